"""The gate's usual options are read without typer; what they mean is what typer says."""

import inspect
import subprocess
import sys
from functools import wraps

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from slicelab.cli import app
from slicelab.cli._gate import gate
from slicelab.cli._plain_options import plain_options
from slicelab.cli._root import new_app
from slicelab.cli._start import gate_app

FILES = ["s.json", "v4.csv", "a=b", ""]
NAMES = ["--predictions", "--predictions", "--against", "--json", "--strict", "--metrics"]
ODD = ["--no-strict", "--confidence", ".3", "--help", "--predictions=v4.csv", "-x", "--", "--jso"]
WORDS = st.sampled_from([*FILES, *FILES, *NAMES, *NAMES, *ODD])


def as_typer_reads(arguments):
    """The values that the command gets by typer; None where it isn't called."""
    seen = []

    @wraps(gate)
    def told(**values):
        seen.append(values)

    told.__signature__ = inspect.signature(gate, eval_str=True)
    typed = new_app()
    typed.command("gate")(told)
    CliRunner().invoke(typed, ["gate", *arguments])
    return seen[0] if seen else None


@settings(max_examples=150, deadline=None)
@given(st.lists(WORDS, max_size=6))
def test_plain_options_mean_what_typer_says(arguments):
    """Whatever is read without typer, typer reads the same."""
    found = plain_options(gate, arguments)
    assert found is None or found == as_typer_reads(arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["s.json", "--predictions", "v4.csv"],
        ["--predictions", "v4=p.csv", "s.json", "--against", "v3.csv", "--junit", "r.xml", "--strict"],
        ["s.json", "--predictions", "v4.csv", "--metrics", "a.py", "--metrics", "b.py"],
    ],
)
def test_usual_options_are_plain(arguments):
    """Files, flags and repeated options don't need typer."""
    assert plain_options(gate, arguments) == as_typer_reads(arguments) is not None


@pytest.mark.parametrize("arguments", [["--help"], ["gate", "--help"], ["gate"], ["gate", "--predictions"]])
def test_the_gate_alone_says_what_all_commands_together_say(arguments):
    """Help and errors of `slicelab gate` don't depend on which other commands were made."""
    alone, whole = (CliRunner().invoke(each, arguments) for each in (gate_app(), app))
    assert alone.exit_code == whole.exit_code
    if arguments[0] == "gate":
        assert alone.output == whole.output
    else:
        assert "gate" in alone.output


def test_a_gate_makes_no_other_command(tmp_path):
    """A gate with plain options imports neither the other commands nor what typer checks values with."""
    code = f"""
import sys
sys.argv = ["slicelab", "gate", {str(tmp_path / "none.json")!r}, "--predictions", "v4.csv"]
from slicelab.cli import main
try:
    main()
except SystemExit as ended:
    print(ended.code, sorted({{"pydantic", "PIL", "tqdm", "slicelab.cli._main"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2 []"
    assert done.stderr.startswith("slicelab: The suite ")


@pytest.mark.parametrize(("error", "code"), [(typer.Exit(1), 1), (typer.BadParameter("no such thing"), 2)])
def test_a_gate_ends_as_typer_ends_it(monkeypatch, capsys, error, code):
    """The exit code of the command, and of a parameter that it refuses, is that of the process."""
    from slicelab.cli import _gate, _start

    @wraps(gate)
    def ends(**_):
        raise error

    monkeypatch.setattr(_gate, "gate", ends)
    with pytest.raises(SystemExit) as ended:
        _start.run_gate(["s.json", "--predictions", "v4.csv"])
    assert ended.value.code == code
    assert ("no such thing" in capsys.readouterr().err) == (code == 2)
