"""Label formats: batches out, returns in."""

from slicelab.annotation._read_return import read_return
from slicelab.annotation._write_batch import EXPORT_FORMATS, RETURN_FORMATS, write_batch
from slicelab.annotation._write_table import write_table

__all__ = ["EXPORT_FORMATS", "RETURN_FORMATS", "read_return", "write_batch", "write_table"]
