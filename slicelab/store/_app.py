"""FiftyOne's App beside the explorer: the same samples selected in both."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicelab.core import StateError

if TYPE_CHECKING:
    import fiftyone as fo

_LOG = logging.getLogger("slicelab")
_EVENT = "select_samples"


class AppSession:
    """FiftyOne's App on one dataset, to this machine only.

    Parameters
    ----------
    dataset
        The FiftyOne dataset; its samples have a `key`.
    port
        None: a free one. FiftyOne joins whatever answers on a port that is taken, another project's App too.

    Attributes
    ----------
    session
        FiftyOne's own session.
    url
        Where the App is.
    """

    def __init__(self, dataset: fo.Dataset, *, port: int | None = None) -> None:
        import fiftyone as fo

        port = port or _free_port()
        self.session: Any = fo.launch_app(dataset, port=port, address="127.0.0.1", auto=False)
        self.url = f"http://127.0.0.1:{port}/datasets/{dataset.name}"
        ids, keys = dataset.values(["id", "key"])
        self._ids = dict(zip(keys, ids, strict=True))
        self._keys = dict(zip(ids, keys, strict=True))
        self._lock = threading.RLock()
        self._said: list[str] = []

    def select(self, keys: Sequence[str]) -> None:
        """Select these samples in the App; none: nothing."""
        with self._lock:
            self._said = sorted(self._ids[key] for key in keys if key in self._ids)
            self.session.selected = list(self._said)

    def selected(self) -> list[str]:
        """Return the keys of the samples that are selected in the App."""
        return [self._keys[i] for i in self.session.selected or () if i in self._keys]

    def on_select(self, callback: Callable[[list[str]], None]) -> None:
        """Call `callback` with the keys of the samples whenever a person selects some in the App.

        It is called on a thread of FiftyOne's; not for what `select` did.
        """

        def heard(_event: object) -> None:
            ids = sorted(self.session.selected or ())
            with self._lock:
                if ids == self._said:
                    return
                self._said = ids
            try:
                callback(self.selected())
            except Exception:  # noqa: BLE001 (a thread of FiftyOne's: nobody above could show it)
                _LOG.exception("What was selected in FiftyOne's App couldn't be shown.")

        # FiftyOne has no public way to be told: this one name is its own business.
        listen = getattr(getattr(self.session, "_client", None), "add_event_listener", None)
        if listen is None:
            raise StateError("This version of FiftyOne doesn't tell what is selected in its App; read `selected()`.")
        listen(_EVENT, heard)

    def close(self) -> None:
        """Stop the App."""
        self.session.close()

    def __repr__(self) -> str:
        return f"FiftyOne's App at {self.url}"


def install_plugin(source: Path) -> Path:
    """Make a plugin's folder known to FiftyOne: a link in its plugins folder, a copy where links are impossible.

    Returns
    -------
    Where it is now.
    """
    import fiftyone as fo

    target = Path(fo.config.plugins_dir) / "slicelab"
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink():
        target.unlink()
    elif target.exists():
        shutil.rmtree(target)
    try:
        os.symlink(source, target, target_is_directory=True)
    except OSError:
        shutil.copytree(source, target)
    return target


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
