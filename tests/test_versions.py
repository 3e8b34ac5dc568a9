"""The versions that pyproject.toml promises are those that `make test-lowest` runs the tests with."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {name: needs for name, needs in PROJECT["optional-dependencies"].items() if name != "dev"}
NEEDED = [Requirement(text) for needs in (PROJECT["dependencies"], *EXTRAS.values()) for text in needs]


def pinned(file: str) -> dict[str, Version]:
    lines = (line.split(";")[0].strip() for line in (ROOT / file).read_text().splitlines())
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


@pytest.mark.parametrize("needed", NEEDED, ids=str)
def test_a_floor_is_the_version_that_is_tested(needed):
    """Each lower bound is pinned in constraints-lowest.txt: no floor is promised that nothing runs with."""
    floors = [Version(s.version) for s in needed.specifier if s.operator in (">=", "==", "~=")]
    assert floors == [pinned("constraints-lowest.txt")[canonicalize_name(needed.name)]]


@pytest.mark.parametrize("needed", NEEDED, ids=str)
def test_the_usual_versions_are_allowed(needed):
    """What constraints.txt pins fits pyproject.toml; extras that no test needs aren't pinned there."""
    version = pinned("constraints.txt").get(canonicalize_name(needed.name))
    assert version is None or needed.specifier.contains(version, prereleases=True)
