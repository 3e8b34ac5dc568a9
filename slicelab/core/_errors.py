"""Every error that SliceLab raises on purpose.

::

    SliceLabError
    ├── InvalidInputError   (ValueError)    a value, shape, name or expression is wrong
    │   └── RuleError                       a slice rule can't be read
    ├── SourceError         (ValueError)    a file can't be read as what it was given for
    ├── LoadRefusedError    (ValueError)    a load was refused; `report` lists every finding
    ├── MediaError          (OSError)       an image can't be opened or shown
    ├── NotFoundError       (LookupError)   no dataset, model, unit, slice, case or queue of that name
    ├── StateError          (RuntimeError)  not possible in the present state
    ├── ConflictError       (RuntimeError)  someone else changed it first; `mine` and `theirs`
    ├── SuiteError          (ValueError)    the gate can't run this suite
    ├── ReturnFileError     (ValueError)    a returned annotation file can't be taken
    ├── MissingExtraError   (ImportError)   an optional package isn't installed
    └── StoreError          (RuntimeError)  the database
        ├── DatabaseUnavailableError (ConnectionError)    no answer in time
        ├── NoMongodError            (FileNotFoundError)  no mongod that runs on this machine
        ├── WrongDatabaseError                            connected, but not to ours
        ├── AlreadyConnectedError                         fiftyone is connected elsewhere in this process
        └── NewerSchemaError                              written by a newer SliceLab
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slicelab.core._report import LoadReport


class SliceLabError(Exception):
    """Base of every error that SliceLab raises on purpose."""


class InvalidInputError(SliceLabError, ValueError):
    """A value, shape, name or expression is wrong."""


class RuleError(InvalidInputError):
    """A slice rule can't be read or applied."""


class SourceError(SliceLabError, ValueError):
    """A file can't be read as what it was given for."""


class LoadRefusedError(SliceLabError, ValueError):
    """A load was refused and nothing was written.

    Parameters
    ----------
    message
        What is wrong, what was found, what to do.
    report
        Every finding of the load.
    """

    def __init__(self, message: str, report: LoadReport | None = None) -> None:
        super().__init__(message)
        self.report = report


class MediaError(SliceLabError, OSError):
    """An image can't be opened or shown."""


class NotFoundError(SliceLabError, LookupError):
    """Nothing of that name is here."""


class StateError(SliceLabError, RuntimeError):
    """Not possible in the present state."""


class ConflictError(SliceLabError, RuntimeError):
    """Someone else changed the record first; nothing was written.

    Parameters
    ----------
    message
        What is wrong, what was found, what to do.
    mine
        What this process wanted to write.
    theirs
        What the store holds now (None: deleted).
    """

    def __init__(self, message: str, mine: Any = None, theirs: Any = None) -> None:
        super().__init__(message)
        self.mine = mine
        self.theirs = theirs


class SuiteError(SliceLabError, ValueError):
    """The gate can't run this suite."""


class ReturnFileError(SliceLabError, ValueError):
    """A returned annotation file can't be taken; nothing was changed."""


class MissingExtraError(SliceLabError, ImportError):
    """An optional package isn't installed; the message holds the install line."""


class StoreError(SliceLabError, RuntimeError):
    """The database refused or failed."""


class DatabaseUnavailableError(StoreError, ConnectionError):
    """The database doesn't answer."""


class NoMongodError(StoreError, FileNotFoundError):
    """No mongod that runs was found on this machine."""


class WrongDatabaseError(StoreError):
    """A database answers, but it isn't this workspace's."""


class AlreadyConnectedError(StoreError):
    """In this process fiftyone is already connected to another database."""


class NewerSchemaError(StoreError):
    """The record or database was written by a newer SliceLab."""
