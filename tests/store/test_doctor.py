"""The doctor says what is well, and names the remedy for what isn't."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from importlib import metadata

import pytest

from slicelab.store import _doctor, _mongod, connect
from slicelab.store._doctor import doctor

NAMES = [
    "folder",
    "disk",
    "mongod",
    "database",
    "database port",
    "password",
    "FiftyOne App",
    "FiftyOne helper",
    "fiftyone",
    "widgets",
    "torch",
]


@pytest.mark.mongo
def test_all_is_well_here(home, python):
    """On a machine where everything is in place every check is ok, in one line each, and FiftyOne isn't imported."""
    code = (
        "import sys; from slicelab.store._doctor import doctor as d; print(*d(), 'fiftyone' in sys.modules, sep='\\n')"
    )
    said, problem = python(code).communicate()
    *lines, imported = said.splitlines()
    assert imported == "False", problem
    assert [line.split(": ")[0][6:] for line in lines] == NAMES
    assert [line for line in lines if not line.startswith("ok  ") and "FiftyOne helper" not in line] == []
    assert f"fiftyone: {metadata.version('fiftyone')}" in lines[8]
    assert "127.0.0.1" in lines[4]


@pytest.mark.mongo
def test_the_doctor_leaves_a_running_database_running(home, probe, monkeypatch):
    """A database in use is still there after the doctor came; one that he started is gone again."""
    monkeypatch.setattr(_doctor, "_torch", lambda: _doctor.Check("torch", True, ""))
    doctor(home)
    assert probe.pid() is None
    connection = connect()
    pid = probe.pid()
    doctor(home)
    assert probe.pid() == pid
    assert connection.records.count("things") == 0


def test_a_machine_without_mongod(home, tmp_path, monkeypatch):
    """Where no mongod runs the checks of the database fail with remedies, the others are still made."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(_mongod.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(_doctor, "_torch", lambda: _doctor.Check("torch", True, ""))
    checks = {check.name: check for check in doctor(home)}
    assert list(checks) == NAMES
    assert not any(checks[name].ok for name in ("mongod", "database", "database port", "password"))
    assert all(checks[name].remedy for name in ("mongod", "database", "database port", "password"))
    assert checks["mongod"].remedy == "slicelab doctor --fix"
    assert checks["folder"].ok
    assert all("\n" not in str(check) for check in checks.values())


def test_an_open_folder(home):
    """A folder that other users can look into fails, with the command that closes it."""
    home.chmod(0o755)
    check = _doctor._folder(home)
    assert not check.ok
    assert check.remedy == f"chmod 700 {home}"


def test_a_full_disk(home, monkeypatch):
    """Below 2 GiB of free space the disk fails."""
    usage = _doctor.shutil.disk_usage(home)
    monkeypatch.setattr(_doctor.shutil, "disk_usage", lambda path: usage._replace(free=2**30))
    assert not _doctor._disk(home).ok


@pytest.mark.parametrize("version", ["1.21.9", "1.23.0", "2.0"])
def test_an_untried_fiftyone(monkeypatch, version):
    """A FiftyOne outside the tested versions fails, with the line that installs one."""
    monkeypatch.setattr(_doctor.metadata, "version", lambda name: version)
    check = _doctor._fiftyone()
    assert not check.ok
    assert check.remedy == 'pip install "fiftyone>=1.22,<1.23"'


def test_missing_front_ends(tmp_path, monkeypatch):
    """Where JupyterLab's folders hold no widget front ends, both are named."""
    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda *parts: [str(tmp_path)])
    check = _doctor._front_ends()
    assert not check.ok
    assert "anywidget" in check.message
    assert "jupyterlab-manager" in check.message


@pytest.mark.parametrize(("address", "ok"), [("127.0.0.1", True), ("0.0.0.0", False)])
def test_an_app_open_to_the_network(tmp_path, address, ok):
    """A server of FiftyOne's App fails when it listens to the network, and passes on loopback."""
    folder = tmp_path / "fiftyone" / "server"
    folder.mkdir(parents=True)
    (folder / "main.py").write_text(
        "import socket, sys\n"
        "s = socket.create_server((sys.argv[4], 0)); print(s.getsockname()[1], flush=True); sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "main.py", "--port", "0", "--address", address],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    port = process.stdout.readline().strip()
    check = _doctor._apps()
    process.communicate("")
    assert check.ok == ok
    assert f":{port}" in check.message


def test_fiftyones_own_database_helper_is_a_warning(tmp_path):
    """A running helper of FiftyOne's own database is a warning, not a failure."""
    folder = tmp_path / "fiftyone"
    folder.mkdir()
    (folder / "main.py").write_text("import sys; print(1, flush=True); sys.stdin.read()\n")
    command = [sys.executable, str(folder / "main.py"), "--51-service", "db", "--multi"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    check = _doctor._helper()
    process.communicate("")
    assert (check.ok, check.warning) == (False, True)
    assert str(process.pid) in check.message


def test_listening_tells_loopback_from_network():
    """Sockets on 127.0.0.1 and ::1 are loopback; on 0.0.0.0 they are open to the network."""
    import psutil

    with socket.create_server(("127.0.0.1", 0)) as inner, socket.create_server(("0.0.0.0", 0)) as outer:
        open_, all_ = _doctor._listening([psutil.Process(os.getpid())])
        assert f"127.0.0.1:{inner.getsockname()[1]}" in all_
        assert f"127.0.0.1:{inner.getsockname()[1]}" not in open_
        assert f"0.0.0.0:{outer.getsockname()[1]}" in open_
