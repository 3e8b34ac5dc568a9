"""What all tests share: an own SLICELAB_HOME per test process, and the samples of the repository."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

SAMPLES = Path(__file__).parents[1] / "data_samples"

# Set before any test module is imported: nothing may ever touch the user's own database.
_HOME = Path(tempfile.mkdtemp(prefix="slicelab-"))
os.environ["SLICELAB_HOME"] = str(_HOME)
os.environ.pop("FIFTYONE_DATABASE_URI", None)
# No test is timed: machines are shared.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def _clean_home():
    yield
    import sys

    connection = sys.modules.get("slicelab.store._connection")
    for found in list(getattr(connection, "_connections", {}).values()):
        found.close()
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder `data_samples` of the repository."""
    return SAMPLES


@pytest.fixture(scope="session")
def run_cli():
    """Run the command line in a process of its own."""
    import subprocess
    import sys

    def run(*arguments, **environment):
        command = [sys.executable, "-m", "slicelab", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)

    return run


@pytest.fixture(scope="session")
def cvat_api():
    """The module tests/cvat_api.py: a server that speaks the part of CVAT's API that is used."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("cvat_api", Path(__file__).with_name("cvat_api.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def ray_address():
    """The address of a Ray cluster of two nodes; SLICELAB_TEST_RAY names one that runs already."""
    import importlib.util

    if "SLICELAB_TEST_RAY" in os.environ:
        yield os.environ["SLICELAB_TEST_RAY"]
        return
    spec = importlib.util.spec_from_file_location("ray_cluster", Path(__file__).with_name("ray_cluster.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.two_nodes() as address:
        yield address


@pytest.fixture(scope="session")
def connected(ray_address):
    """This process connected to that cluster; calls that find a connection use it and leave it."""
    import ray

    ray.init(address=ray_address, log_to_driver=False, logging_level="ERROR")
    yield ray_address
    ray.shutdown()
