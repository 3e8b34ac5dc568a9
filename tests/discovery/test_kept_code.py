"""What is compiled for UMAP is there for the next process."""

import importlib.util
import os
import subprocess
import sys

import numba

from slicelab.discovery._kept_code import kept_code

SOURCE = """
import numba

@numba.njit
def plain(x):
    return x + 1

@numba.njit(fastmath=True)
def fast(x):
    return x * 2

typed = numba.njit("i8(i8)")(lambda x: x - 1)
"""


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_compiled_code_is_kept_and_found_again(tmp_path, monkeypatch):
    """Functions compiled inside are on disk, a second import takes them from there, and numba is as it was before."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "kept"))
    source = tmp_path / "functions.py"
    source.write_text(SOURCE)
    before = numba.njit
    for hits in (0, 1):
        with kept_code():
            module = load(source)
        assert (module.plain(1), module.fast(2), module.typed(3)) == (2, 4, 2)
        assert sum(module.plain.stats.cache_hits.values()) == hits
        assert sum(module.fast.stats.cache_hits.values()) == hits
    assert list((tmp_path / "kept").rglob("*.nbc"))
    assert numba.njit is before
    assert str(tmp_path / "kept") == numba.config.CACHE_DIR


def test_without_a_place_it_is_compiled_as_ever(tmp_path, monkeypatch):
    """A function of no file can't be kept; it is compiled all the same."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    namespace = {"numba": numba}
    with kept_code():
        exec("@numba.njit\ndef f(x):\n    return x + 1", namespace)
    assert namespace["f"](1) == 2
    assert not list(tmp_path.rglob("*.nbc"))


def test_kernels_are_found_again_by_the_next_process(tmp_path):
    """The map's kernels are compiled once for all processes; where nothing can be kept they work all the same."""
    code = (
        "from slicelab.discovery._kept_code import load_kernels\n"
        "k = load_kernels()\n"
        "print(*(sum(f.stats.cache_hits.values()) for f in (k.pull_and_push, k.smooth_knn, k.measure_again)))\n"
        "import numpy as np\n"
        "print(k.smooth_knn(np.array([[0, 1, 2]], np.float32), 1.0).shape)"
    )
    (tmp_path / "file").touch()
    # Below a file nothing can be kept: numba looks beside the source, where an earlier run may have left it.
    for folder, expected in (("kept", {"0 0 0"}), ("kept", {"2 1 1"}), ("file/below", {"0 0 0", "2 1 1"})):
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / folder)}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        hits, shape = done.stdout.splitlines()
        assert hits in expected
        assert shape == "(1, 3)"
