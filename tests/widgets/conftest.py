"""Units, a desk and an explorer without a browser."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from slicelab.widgets import Explorer


@pytest.fixture(scope="session")
def fakes() -> ModuleType:
    spec = importlib.util.spec_from_file_location("widget_fakes", Path(__file__).with_name("fakes.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def units(fakes: ModuleType) -> pd.DataFrame:
    return fakes.make_units()


@pytest.fixture
def projection(fakes: ModuleType) -> np.ndarray:
    return fakes.make_projection()


@pytest.fixture
def desk(fakes: ModuleType, units: pd.DataFrame) -> Any:
    return fakes.FakeDesk(units)


@pytest.fixture
def explorer(fakes: ModuleType, units: pd.DataFrame, projection: np.ndarray, desk: Any) -> Explorer:
    return Explorer(units, projection, desk=desk, candidates=fakes.make_candidates(units), model="v3")


@pytest.fixture
def lasso() -> Callable[..., None]:
    """A function that sends what the map's JavaScript sends when these rows are lassoed or one of them is clicked."""

    def give(map_: Any, rows: list[int], *, way: str = "replace", click: bool = False) -> None:
        if click:
            map_._handle_custom_msg({"kind": "pick", "row": rows[0]}, [])
        else:
            buffers = [memoryview(np.array(rows, dtype="<i4").tobytes())]
            map_._handle_custom_msg({"kind": "select", "way": way}, buffers)

    return give


@pytest.fixture
def send() -> Callable[[Any, object], list[tuple[dict[str, Any], list[bytes]]]]:
    """A function that gives a widget a message as its JavaScript would; it returns the messages that answer it."""

    def give(widget: Any, content: object) -> list[tuple[dict[str, Any], list[bytes]]]:
        answers, real = [], widget.comm.send

        def keep(data=None, metadata=None, buffers=None, **rest) -> None:
            if data.get("method") == "custom":
                answers.append((data["content"], list(buffers or ())))

        widget.comm.send = keep
        try:
            widget._handle_custom_msg(content, [])
        finally:
            widget.comm.send = real
        return answers

    return give
