"""Looking at everything SliceLab needs on this machine, and naming the remedy for what is missing."""

from __future__ import annotations

import ipaddress
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

import psutil

from slicelab.core import NoMongodError, SliceLabError
from slicelab.store._connection import Connection
from slicelab.store._fiftyone import user_uri
from slicelab.store._home import home as default_home
from slicelab.store._home import read_json
from slicelab.store._mongod import find_mongod

FIFTYONE_VERSIONS = ((1, 22), (1, 23))
"""The first version that SliceLab was tested with, and the first one that it wasn't."""

MIN_FREE_GIB = 2.0
FRONT_ENDS = ("anywidget", "@jupyter-widgets/jupyterlab-manager")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Parameters
    ----------
    name
        What was looked at, in a word or two.
    ok
        False: it isn't as it should be.
    message
        What was found, one line.
    remedy
        What to do; '' when it is ok.
    warning
        True for something that isn't ok, but without which SliceLab works.
    """

    name: str
    ok: bool
    message: str
    remedy: str = ""
    warning: bool = False

    def __str__(self) -> str:
        mark = "ok  " if self.ok else "warn" if self.warning else "FAIL"
        return f"{mark}  {self.name}: {self.message}" + (f" -> {self.remedy}" if self.remedy else "")


def doctor(home: Path | None = None) -> list[Check]:
    """Check what SliceLab needs; the database is started for this if it doesn't run. FiftyOne isn't imported.

    Parameters
    ----------
    home
        SliceLab's folder; None: the one in use.

    Returns
    -------
    One check for each thing, always the same things in the same order.
    """
    folder = home or default_home()
    checks = [_folder(folder), _disk(folder), _mongod()]
    connection = Connection(folder, user_uri())
    try:
        checks += [_database(connection), _loopback(connection), _password(connection)]
    finally:
        connection.close()
    return [*checks, _apps(), _helper(), _fiftyone(), _front_ends(), _torch()]


def _folder(home: Path) -> Check:
    mode = home.stat().st_mode & 0o777
    if mode & 0o077:
        return Check("folder", False, f"others may look into {str(home)!r} (mode {mode:o})", f"chmod 700 {home}")
    return Check("folder", True, f"{str(home)!r} is private")


def _disk(home: Path) -> Check:
    free = shutil.disk_usage(home).free / 2**30
    if free < MIN_FREE_GIB:
        remedy = "free some space, or set SLICELAB_HOME to a folder on another disk"
        return Check("disk", False, f"{free:.1f} GiB free, {MIN_FREE_GIB:.0f} GiB are needed", remedy)
    return Check("disk", True, f"{free:.0f} GiB free")


def _mongod() -> Check:
    if user_uri():
        return Check("mongod", True, "not needed: FIFTYONE_DATABASE_URI names a database")
    try:
        found = find_mongod()
    except SliceLabError as error:
        lines = str(error).splitlines()
        tried = "; ".join(line.strip() for line in lines[1:] if line.startswith("  ") and not line[2].isdigit())
        return Check("mongod", False, f"none runs here; tried {tried}", "slicelab doctor --fix")
    return Check("mongod", True, f"{found.version} at {str(found.path)!r}")


def _database(connection: Connection) -> Check:
    try:
        connection.ensure()
        said = connection.run(lambda: connection.client.admin.command("hello"))
        version = connection.client.server_info()["version"]
    except SliceLabError as error:
        first = str(error).splitlines()[0]
        if isinstance(error, NoMongodError):
            return Check("database", False, "there is no mongod to run it", "mend 'mongod' first")
        return Check("database", False, first, f"read {str(connection.home / 'mongod.log')!r}; mend what it names")
    return Check("database", True, f"MongoDB {version}, replica set {said.get('setName', '(sharded)')!r}, takes writes")


def _loopback(connection: Connection) -> Check:
    """Check that the database listens on loopback only."""
    if not connection.is_own:
        return Check("database port", True, "not SliceLab's: FIFTYONE_DATABASE_URI names a database")
    if not connection.is_open:
        return Check("database port", False, "the database doesn't run", "mend 'database' first")
    pid = int(read_json(connection.home / "server.json")["pid"])
    open_, listens = _listening([psutil.Process(pid)])
    if open_ or not listens:
        return Check(
            "database port", False, f"it listens on {open_ or 'nothing'}", "stop it and start it again with SliceLab"
        )
    return Check("database port", True, f"it listens on {', '.join(listens)} only")


def _password(connection: Connection) -> Check:
    """Check that who has no password gets nothing."""
    from pymongo import MongoClient
    from pymongo.errors import OperationFailure, PyMongoError

    if not connection.is_own:
        return Check("password", True, "not SliceLab's: FIFTYONE_DATABASE_URI names a database")
    if not connection.is_open:
        return Check("password", False, "the database doesn't run", "mend 'database' first")
    host, port = connection.client.address or ("127.0.0.1", 0)
    try:
        with MongoClient[dict[str, object]](
            host, port, directConnection=True, serverSelectionTimeoutMS=5000
        ) as stranger:
            stranger[connection.database.name].list_collection_names()
    except OperationFailure:
        return Check("password", True, "the database refuses who has none")
    except PyMongoError as error:
        return Check("password", False, f"couldn't be tried: {str(error)[:200]}", "mend 'database' first")
    return Check("password", False, "the database lets anybody in", "stop every SliceLab process and start again")


def _apps() -> Check:
    """Check that the servers of FiftyOne's App listen on loopback only: they serve any file to anybody."""
    open_, listens = _listening(p for p in _processes(_is_app))
    if open_:
        remedy = 'close them; launch the App with address="127.0.0.1"'
        return Check("FiftyOne App", False, f"it serves files to the network on {', '.join(open_)}", remedy)
    return Check("FiftyOne App", True, f"listens on {', '.join(listens)} only" if listens else "doesn't run")


def _helper() -> Check:
    """Check that FiftyOne's helper doesn't run: it runs pickles that it gets from any user of this machine."""
    pids = [str(p.pid) for p in _processes(lambda words: "--51-service" in words and "db" in words)]
    if pids:
        return Check(
            "FiftyOne helper",
            False,
            f"FiftyOne runs a database of its own (pid {', '.join(pids)}), whose helper runs code for any local user",
            "close the programs that use fiftyone without slicelab",
            warning=True,
        )
    return Check("FiftyOne helper", True, "doesn't run")


def _fiftyone() -> Check:
    low, high = (".".join(map(str, version)) for version in FIFTYONE_VERSIONS)
    remedy = f'pip install "fiftyone>={low},<{high}"'
    try:
        version = metadata.version("fiftyone")
    except metadata.PackageNotFoundError:
        return Check("fiftyone", False, "isn't installed", remedy)
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if not FIFTYONE_VERSIONS[0] <= numbers < FIFTYONE_VERSIONS[1]:
        return Check("fiftyone", False, f"is {version}; SliceLab is tested with {low} up to below {high}", remedy)
    return Check("fiftyone", True, version)


def _front_ends() -> Check:
    """Check that JupyterLab finds the front ends of the widgets."""
    from jupyter_core.paths import jupyter_path

    places = [Path(place) for place in jupyter_path("labextensions")]
    missing = [name for name in FRONT_ENDS if not any((place / name / "package.json").is_file() for place in places)]
    if missing:
        return Check(
            "widgets",
            False,
            f"JupyterLab doesn't find {', '.join(missing)} in {', '.join(map(str, places))}",
            "install slicelab into the environment that JupyterLab runs from, or: pip install anywidget ipywidgets",
        )
    return Check("widgets", True, "JupyterLab finds their front ends")


def _torch() -> Check:
    if util.find_spec("torch") is None:
        return Check("torch", False, "isn't installed", "pip install torch")
    code = (
        "import torch; a = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else 'cpu'; "
        "n = torch.cuda.get_device_name() if torch.cuda.is_available() else ''; print(torch.__version__, 'on', a, n)"
    )
    try:
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180, check=False)
    except subprocess.TimeoutExpired:
        return Check("torch", False, "didn't import within 180 s", "try `python -c 'import torch'`")
    if ran.returncode:
        said = (ran.stderr.strip().splitlines() or ["it said nothing"])[-1][:300]
        return Check("torch", False, f"doesn't import: {said}", "pip install --force-reinstall torch")
    return Check("torch", True, ran.stdout.strip())


def _is_app(words: list[str]) -> bool:
    return "--port" in words and any(word.endswith("main.py") for word in words)


def _processes(matches: Callable[[list[str]], bool]) -> Iterator[psutil.Process]:
    """Yield FiftyOne's processes of this user whose command line matches."""
    me = psutil.Process().username()
    for process in psutil.process_iter(["username", "cmdline", "cwd"]):
        words = process.info["cmdline"] or []
        place = " ".join([process.info["cwd"] or "", *words])
        if process.info["username"] == me and "fiftyone" in place and matches(words):
            yield process


def _listening(processes: Iterator[psutil.Process] | list[psutil.Process]) -> tuple[list[str], list[str]]:
    """Return the addresses on which they listen to the network, and all on which they listen."""
    found: list[tuple[str, int]] = []
    for process in processes:
        try:
            sockets = process.net_connections(kind="inet")
        except psutil.Error:
            continue
        found += [(s.laddr.ip, s.laddr.port) for s in sockets if s.status == psutil.CONN_LISTEN]
    shown = [f"{ip}:{port}" for ip, port in found]
    return [s for s, (ip, _) in zip(shown, found, strict=True) if not ipaddress.ip_address(ip).is_loopback], shown
