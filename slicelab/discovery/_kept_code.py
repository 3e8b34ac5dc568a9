"""What numba compiles is kept on disk: else every new process compiles it for ten seconds and more."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import RLock
from typing import Any

_LOCK = RLock()


@contextmanager
def kept_code() -> Iterator[None]:
    """Let numba keep what it compiles inside, in the user's cache folder (or where NUMBA_CACHE_DIR says).

    The folder's name holds the versions of all that takes part, so that an update compiles anew. Where nothing can be
    kept it is compiled as ever.
    """
    import numba

    settings: Any = numba.config
    with _LOCK:
        compile_, folder = numba.njit, settings.CACHE_DIR
        numba.njit = _keeping(compile_)
        settings.CACHE_DIR = folder or str(_folder())
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Cannot cache compiled function")
                yield
        finally:
            numba.njit, settings.CACHE_DIR = compile_, folder


def _keeping(compile_: Callable[..., Any]) -> Callable[..., Any]:
    def njit(*arguments: Any, **options: Any) -> Any:
        if "cache" in options:
            return compile_(*arguments, **options)
        if arguments and callable(arguments[0]):
            return decorate(arguments[0], (), options)
        return lambda function: decorate(function, arguments, options)

    def decorate(function: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        try:
            return compile_(*arguments, cache=True, **options)(function)
        except RuntimeError:  # there is no place to keep it
            return compile_(*arguments, **options)(function)

    return njit


def _folder() -> Path:
    from importlib.metadata import version

    import platformdirs

    names = ("numba", "umap-learn", "pynndescent", "numpy")
    return Path(platformdirs.user_cache_dir("slicelab"), "numba", "-".join(version(name) for name in names))


@cache
def load_kernels(name: str = "_kernels") -> Any:
    """Return a module of kernels, compiled; the first call of a process takes a second, the first ever some more."""
    with kept_code():
        return import_module(f"slicelab.discovery.{name}")
