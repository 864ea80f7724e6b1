"""The selection of tests that touch a dependency is in step with pyproject.toml and the tests."""

import ast
import tomllib
from pathlib import Path

import pytest
from dependencies import TESTS, is_listed
from packaging.requirements import Requirement
from packaging.version import Version

from dagame.apps.doctor import versions_in
from dagame.provenance import requirements

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDED = [
    Requirement(line)
    for part in (
        PROJECT["dependencies"],
        *(
            PROJECT["optional-dependencies"][k]
            for k in ("torch", "lm", "endpoint", "asp", "fast", "ray")
        ),
    )
    for line in part
    if not line.startswith("dagame")
]


def named(needed):
    return [pytest.param(one, id=one.name) for one in needed]


@pytest.mark.parametrize("one", named(NEEDED))
def test_every_dependency_has_tests(one):
    assert TESTS[one.name]


def test_no_other_has():
    assert set(TESTS) == {one.name for one in NEEDED}


@pytest.mark.parametrize("place", sorted({p for places in TESTS.values() for p in places}))
def test_every_test_that_is_listed_exists(place):
    path, _, case = place.partition("::")
    function = case.partition("[")[0]
    tree = ast.parse((ROOT / "tests" / path).read_text())
    assert not function or function in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
    assert is_listed(f"tests/{path}::{case or 'test_any[x]'}")


@pytest.mark.parametrize("one", named(NEEDED))
def test_both_ends_of_what_is_tested_are_allowed(one):
    oldest, newest = versions_in("constraints-oldest.txt"), versions_in("constraints.txt")
    for versions in (oldest, newest):
        assert one.specifier.contains(versions[one.name], prereleases=True)
    assert Version(oldest[one.name]) <= Version(newest[one.name])


@pytest.mark.parametrize("one", named(NEEDED))
def test_the_oldest_is_the_bound_or_says_why_not(one):
    lines = (ROOT / "dagame" / "constraints-oldest.txt").read_text().splitlines()
    line = next(line for line in lines if line.startswith(f"{one.name}=="))
    bound = next(Version(s.version) for s in one.specifier if s.operator == ">=")
    assert Version(versions_in("constraints-oldest.txt")[one.name]) == bound or "#" in line


def test_installed_metadata_are_those_of_the_project():
    """As an editable install is not made anew by a change of pyproject.toml, `make` does it."""
    assert set(requirements()) == {one.name for one in NEEDED}
