"""The house: doors, names and sizes."""

import ast
from pathlib import Path

import pytest

import slicelab

ROOT = Path(slicelab.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
ROOMS = sorted(p.parent.name for p in ROOT.glob("*/__init__.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_room_reaches_past_another_rooms_door(path):
    """A private file is imported only inside its own room."""
    room = path.relative_to(ROOT).parts[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("slicelab."):
            parts = node.module.split(".")
            if any(p.startswith("_") for p in parts[1:]):
                assert parts[1] == room, f"{path}: imports {node.module}"


def test_no_drawer_for_everything():
    """No file is called utils, helpers, common or misc."""
    assert not [p for p in MODULES if p.stem.strip("_") in {"utils", "util", "helpers", "common", "misc"}]


def test_doors_only_import():
    """A room's `__init__` holds imports and `__all__`, nothing else."""
    for room in ROOMS:
        for node in ast.parse((ROOT / room / "__init__.py").read_text()).body:
            docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            names = isinstance(node, ast.Assign) and [t.id for t in node.targets] == ["__all__"]
            assert docstring or names or isinstance(node, ast.ImportFrom), f"{room}: {ast.unparse(node)}"


def test_public_names_are_a_decision():
    """The names at the door of the package."""
    assert slicelab.__all__ == [
        "Bar",
        "Candidate",
        "Case",
        "Lab",
        "LoadReport",
        "Slice",
        "SliceLabError",
        "Suite",
        "SuiteReport",
        "datasets",
        "load",
        "metric",
        "open",
    ]
