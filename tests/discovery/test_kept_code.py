"""What is compiled for UMAP is there for the next process."""

import importlib.util

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
