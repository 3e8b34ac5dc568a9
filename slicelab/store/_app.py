"""FiftyOne's App beside the explorer: the same samples selected in both."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicelab.core import StateError

if TYPE_CHECKING:
    import fiftyone as fo

_LOG = logging.getLogger("slicelab")
_PATIENCE = 60  # s
_SELECTED, _LOOKED = "select_samples", "state_update"


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
        _wait_until_joined(self.session)
        self.url = f"http://127.0.0.1:{port}/datasets/{dataset.name}"
        ids, keys = dataset.values(["id", "key"])
        self._ids = dict(zip(keys, ids, strict=True))
        self._keys = dict(zip(ids, keys, strict=True))
        self._dataset = dataset
        self._lock = threading.RLock()
        self._said: list[str] = []
        self._view: str | None = None

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

        def heard(event: Any) -> None:
            # The session may hear of it later than this does.
            chosen = event.samples or ()
            ids = sorted(one["id"] if isinstance(one, dict) else str(one) for one in chosen)
            with self._lock:
                if ids == self._said:
                    return
                self._said = ids
            callback([self._keys[i] for i in ids if i in self._keys])

        self._listen(_SELECTED, heard)

    def show(self, view: str | None) -> None:
        """Show a saved view in the App; None: the whole dataset. A view that isn't there leaves it as it is."""
        with self._lock:
            if view == self._view or (view is not None and not self._dataset.has_saved_view(view)):
                return
            self._view = view
            self.session.view = None if view is None else self._dataset.load_saved_view(view)

    def on_view(self, callback: Callable[[str], None]) -> None:
        """Call `callback` with the name of a saved view that a person chose in the App; as `on_select` does."""

        def heard(event: Any) -> None:
            name = getattr(event.state.view, "name", None)
            with self._lock:
                if name == self._view:
                    return
                self._view = name
            if name is not None:
                callback(name)

        self._listen(_LOOKED, heard)

    def refresh(self) -> None:
        """Let the App see what was saved since: views, fields, tags."""
        self._dataset.reload()
        self.session.refresh()

    def _listen(self, event: str, act: Callable[[Any], None]) -> None:
        # FiftyOne has no public way to be told: this one name is its own business.
        listen = getattr(getattr(self.session, "_client", None), "add_event_listener", None)
        if listen is None:
            raise StateError("This version of FiftyOne doesn't tell what is done in its App; read `selected()`.")

        def safely(told: Any) -> None:
            try:
                act(told)
            except Exception:  # noqa: BLE001 (a thread of FiftyOne's: nobody above could show it)
                _LOG.exception("What was done in FiftyOne's App couldn't be shown.")

        listen(event, safely)

    def close(self) -> None:
        """Stop the App."""
        self.session.close()

    def __repr__(self) -> str:
        return f"FiftyOne's App at {self.url}"


def _wait_until_joined(session: Any) -> None:
    """Wait for the App's server: before it listens, FiftyOne's session fails, and tries again ten seconds later."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            session.refresh()
        except (RuntimeError, OSError) as error:
            if time.monotonic() > end:
                raise StateError(
                    f"FiftyOne's App didn't answer within {_PATIENCE} s. Try again, or with another port: "
                    "lab.open_app(port=...)."
                ) from error
            time.sleep(0.2)
        else:
            return


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
