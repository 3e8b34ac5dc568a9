"""Label formats: batches out, returns in."""

from slicelab.annotation._cvat_server import pull_cvat, push_cvat
from slicelab.annotation._drafts import settle_drafts
from slicelab.annotation._label_studio_server import pull_label_studio, push_label_studio
from slicelab.annotation._read_return import read_return
from slicelab.annotation._servers import Pushed
from slicelab.annotation._write_batch import EXPORT_FORMATS, RETURN_FORMATS, write_batch
from slicelab.annotation._write_table import write_table

__all__ = [
    "EXPORT_FORMATS",
    "RETURN_FORMATS",
    "Pushed",
    "pull_cvat",
    "pull_label_studio",
    "push_cvat",
    "push_label_studio",
    "read_return",
    "settle_drafts",
    "write_batch",
    "write_table",
]
