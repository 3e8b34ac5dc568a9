"""One object that joins every room: load, look, curate, promote, queue."""

from slicelab.lab._lab import Lab
from slicelab.lab._load import datasets, load, open_lab
from slicelab.lab._queue import Exported, LabQueue, Merged
from slicelab.lab._suite import LabSuite

__all__ = ["Exported", "Lab", "LabQueue", "LabSuite", "Merged", "datasets", "load", "open_lab"]
