"""The demo: the whole loop on both samples."""

import json

import pytest


@pytest.mark.mongo
@pytest.mark.parametrize("times", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_demo_walks_the_loop(run_cli, tmp_path, times):
    """Suite, JUnit, HTML with pictures, Label Studio and CVAT files for both samples; a second run is the same."""
    for _ in range(times):
        done = run_cli("demo", "--out", tmp_path)
        assert done.returncode == 0, done.stderr
        for sample in ("digits", "baggage"):
            assert json.loads((tmp_path / sample / "release.json").read_text())["cases"]
            assert "data:image/jpeg" in (tmp_path / sample / "release.html").read_text()
            assert "<testcase" in (tmp_path / sample / "release.xml").read_text()
            assert len(list((tmp_path / sample).rglob("tasks.json"))) == 1
            assert len(list((tmp_path / sample).rglob("annotations.xml"))) == 1
            assert f"{tmp_path / sample}/release.json" in done.stdout
