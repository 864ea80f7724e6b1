"""The commands that messages and pages name bring an extra to the installation at hand."""

import json
import re
import shlex
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from dagame import provenance

ROOT = Path(__file__).parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


class Installed:
    """A distribution that was installed as direct_url.json says, outside a checkout."""

    def __init__(self, told):
        self.told = told

    def read_text(self, name):
        assert name == "direct_url.json"
        return None if self.told is None else json.dumps(self.told)


@pytest.fixture
def outside(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "dagame/provenance.py"))

    def installed(told):
        monkeypatch.setattr(provenance, "distribution", lambda name: Installed(told))

    return installed


def test_in_a_checkout_the_command_works_from_where_one_is(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    assert shlex.split(provenance.install("lm")) == ["pip", "install", "-e", ".[lm]"]
    monkeypatch.chdir(tmp_path)
    assert shlex.split(provenance.install("lm")) == ["pip", "install", "-e", f"{ROOT}[lm]"]


@pytest.mark.parametrize(
    ("told", "command"),
    [
        (None, ["dagame[asp]"]),
        ({"url": "https://x.org/dagame.whl", "archive_info": {}}, ["dagame[asp]"]),
        ({"url": "file:///a%20b/c", "dir_info": {"editable": True}}, ["-e", "/a b/c[asp]"]),
        ({"url": "file:///a/c", "dir_info": {}}, ["/a/c[asp]"]),
    ],
)
def test_elsewhere_it_is_as_the_package_came(outside, told, command):
    outside(told)
    assert shlex.split(provenance.install("asp")) == ["pip", "install", *command]


def test_without_metadata_it_is_by_name(outside, monkeypatch):
    def none(name):
        raise PackageNotFoundError

    monkeypatch.setattr(provenance, "distribution", none)
    assert provenance.install("lm") == "pip install 'dagame[lm]'"


def test_pages_install_from_the_checkout_and_name_extras_that_exist():
    pages = [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), ROOT / "examples/README.md"]
    named = set()
    for page in pages:
        text = page.read_text(encoding="utf-8")
        if page.name != "install.md":
            assert "dagame[" not in text, page
        named |= {e for found in re.findall(r"'\.\[([\w,]+)\]'", text) for e in found.split(",")}
    assert {"lm", "asp", "endpoint", "notebooks"} <= named <= set(EXTRAS)


def test_no_message_names_an_extra_by_hand():
    """Messages call `provenance.not_installed`, with an extra that exists."""
    found = set()
    for path in (ROOT / "dagame").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"[\"' ]dagame\[", text), path
        found |= set(re.findall(r"not_installed\(['\"]\w+['\"], ['\"](\w+)['\"]", text))
    assert {"lm", "asp", "endpoint", "torch", "dev"} <= found <= set(EXTRAS)


def test_the_page_has_every_extra():
    page = (ROOT / "docs/install.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(EXTRAS)
