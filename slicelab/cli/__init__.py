"""The command line: every step of the loop, with exit codes 0 (well), 1 (the gate says no), 2 (can't be done)."""

from slicelab.cli._start import __getattr__ as __getattr__
from slicelab.cli._start import main

__all__ = ["app", "main"]
