"""What importing costs: the heavy libraries come when they are needed."""

import json
import subprocess
import sys

import pytest

HEAVY = ["fiftyone", "torch", "umap", "sklearn", "plotly", "pymongo", "ipywidgets", "scipy", "numba", "IPython"]


def loaded_after(statement: str) -> list[str]:
    code = f"{statement}; import sys, json; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_import_slicelab_loads_nothing_heavy():
    """`import slicelab` loads none of the heavy libraries."""
    assert loaded_after("import slicelab") == []


def test_the_gate_loads_no_database_and_no_network():
    """The gate's rooms load none of them either, apart from scipy when it computes."""
    assert [m for m in loaded_after("import slicelab.gate, slicelab.sources, slicelab.cli") if m != "scipy"] == []


@pytest.mark.parametrize("name", ["load", "open", "datasets", "Lab"])
def test_the_names_of_the_design_are_there(name):
    """The door has the names that users type, without loading fiftyone."""
    assert loaded_after(f"import slicelab; slicelab.{name}") == []
