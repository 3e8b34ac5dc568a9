"""Giving FiftyOne the same database, before it connects and again when the address changes."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from slicelab.core import AlreadyConnectedError, NotFoundError

if TYPE_CHECKING:
    import fiftyone as fo

URI = "FIFTYONE_DATABASE_URI"
NAME = "FIFTYONE_DATABASE_NAME"
OWN = "SLICELAB_OWN_URI"
"""Holds the address that SliceLab itself put into `URI`, so that child processes can tell it from a user's."""

_FAREWELL_SECONDS = 0.5
_given = {os.environ[OWN]} if OWN in os.environ else set()
"""Addresses of its own mongod that SliceLab (here or in a parent process) gave to FiftyOne."""


class Link(Protocol):
    """A connection, as far as FiftyOne needs one."""

    def prepare_fiftyone(self) -> None:
        """Make FiftyOne use its database."""


def user_uri() -> str | None:
    """Return the address of the database that the user named, None: SliceLab's own is to be used.

    It is FIFTYONE_DATABASE_URI, else `fiftyone.config.database_uri` or FiftyOne's config file.
    """
    named = os.environ.get(URI)
    if not named:
        config = getattr(sys.modules.get("fiftyone"), "config", None)
        named = config.database_uri if config is not None else _configured().get("database_uri")
    return None if not named or named in _given else str(named)


def prepare_fiftyone(uri: str, *, own: bool) -> None:
    """Make FiftyOne use the database at this address: what `Connection.prepare_fiftyone` does."""
    database = _connected()
    elsewhere = None if database is None else database._connection_kwargs.get("host")
    if database is not None and elsewhere != uri:
        if elsewhere not in _given:
            raise AlreadyConnectedError(
                "In this process FiftyOne is already connected to another database (one that it runs itself, or the "
                "one of its own settings), and it can't change. Restart the kernel and use slicelab first, or set "
                f"{URI} to one replica set for both before the kernel starts."
            )
        _disconnect(database)
    settings = {"FIFTYONE_DO_NOT_TRACK": "true", "FIFTYONE_SHOW_PROGRESS_BARS": "false"}
    if own:
        _given.add(uri)
        os.environ[OWN] = uri
        settings["FIFTYONE_DATABASE_VALIDATION"] = "false"
    os.environ[URI] = uri
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    _configure(uri, own=own)


def import_fiftyone(connection: Link) -> Any:
    """Return FiftyOne, on this connection's database."""
    connection.prepare_fiftyone()
    import fiftyone

    return fiftyone


def load_dataset(connection: Link, name: str) -> fo.Dataset:
    """Return a FiftyOne dataset as it is stored now, or raise `NotFoundError`."""
    fiftyone = import_fiftyone(connection)
    if not fiftyone.dataset_exists(name):
        raise no_samples(name)
    dataset = fiftyone.load_dataset(name)
    dataset.reload()
    return dataset


def refresh_dataset(connection: Link, name: str) -> None:
    """Let the objects that FiftyOne holds of a dataset see what was written; nothing where it isn't imported."""
    if "fiftyone" in sys.modules:
        load_dataset(connection, name)


def no_samples(name: str) -> NotFoundError:
    """Return the error for a dataset that SliceLab knows and FiftyOne doesn't."""
    return NotFoundError(
        f"Dataset {name!r} is known here, but FiftyOne's samples of it are gone: they were deleted outside "
        "SliceLab. Load it again with overwrite=True; its slices, cases and queues are kept."
    )


def database_name() -> str:
    """Return the name of FiftyOne's database, without importing FiftyOne."""
    config = getattr(sys.modules.get("fiftyone"), "config", None)
    if config is not None:
        return str(config.database_name)
    return os.environ.get(NAME) or str(_configured().get("database_name") or "fiftyone")


def repoint_fiftyone(before: str, after: str | None) -> None:
    """Move FiftyOne from one of SliceLab's addresses to another, where it uses it; None: disconnect it."""
    if os.environ.get(OWN) == before:
        for name in (URI, OWN):
            if after is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = after
    if before not in _given:
        return
    database = _connected()
    if database is not None and database._connection_kwargs.get("host") == before:
        _disconnect(database)
        if after is not None:
            _given.add(after)
            _configure(after, own=True)
            database._connect()


def _configure(uri: str, *, own: bool) -> None:
    """Set what FiftyOne has read from its environment when it was imported."""
    config = getattr(sys.modules.get("fiftyone"), "config", None)
    if config is not None:
        config.database_uri = uri
        config.do_not_track = True
        config.show_progress_bars = os.environ["FIFTYONE_SHOW_PROGRESS_BARS"].lower() == "true"
        if own:
            config.database_validation = False


def _connected() -> Any:
    """Return FiftyOne's database module where it is loaded and connected, else None."""
    database = sys.modules.get("fiftyone.core.odm.database")
    return database if database is not None and getattr(database, "_client", None) is not None else None


def _disconnect(database: Any) -> None:
    """Let FiftyOne close its clients, without waiting for a server that doesn't listen any more."""
    import pymongo

    with pymongo.timeout(_FAREWELL_SECONDS):
        database._disconnect()
    factory: Any = sys.modules.get("fiftyone.factory.repo_factory")
    if factory is not None:  # what it keeps goes through the closed client: deleting a dataset would fail
        factory._db = None
        factory.RepositoryFactory.repos.clear()


def _configured() -> dict[str, Any]:
    """Read FiftyOne's config file; empty where there is none that can be read."""
    named = os.environ.get("FIFTYONE_CONFIG_PATH")
    path = Path(named) if named else Path.home() / ".fiftyone" / "config.json"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
