"""Addresses of pyarrow's file systems: the files that a path on this machine would name, or a refusal."""

import json
from pathlib import Path

import pytest

from dagame.errors import SamplesError
from dagame.samples import Samples
from dagame.samples.files.containers import file_names, files_of
from dagame.samples.stream.addresses import expanded, fetched

pytest.importorskip("pyarrow", reason="pyarrow is not installed (the extra ray)")

NAMES = ["a.jsonl", "b c.csv.gz", "100%.jsonl", "x%20y.jsonl", "why?a=b.jsonl", "[1]#ü.zip"]


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "in & out"
    (place / "deep").mkdir(parents=True)
    for name in [*NAMES, ".hidden.jsonl", "readme.txt", "deep/c.jsonl"]:
        (place / name).write_text(name)
    return place


def contents(found, place):
    held = []
    for address in found:
        with fetched(address, place) as path, open(path) as file:
            held.append(file.read())
    return held


@pytest.mark.parametrize("glob", ["", "/", "/*.jsonl", "/?.jsonl", "/*/c.jsonl", "/[ab]*", "/.h*"])
def test_an_address_names_what_the_path_does(folder, tmp_path, glob):
    found = expanded(f"file://{folder}{glob}")
    wanted = [Path(path).read_text() for path in files_of(f"{folder}{glob}")]
    assert contents(found, tmp_path) == wanted
    assert files_of(found) == found


def test_the_files_of_a_layout_and_of_several_addresses(folder, tmp_path):
    assert contents(expanded(f"file://{folder}", "[ax]*"), tmp_path) == ["a.jsonl", "x%20y.jsonl"]
    several = expanded([f"file://{folder}/deep", folder / "a.jsonl"])
    assert several == [f"file://{folder}/deep/c.jsonl", str(folder / "a.jsonl")]
    assert expanded(f"file://{folder}/a.jsonl") == f"file://{folder}/a.jsonl"
    assert file_names(["s3://b/a.jsonl?region=x&scheme=http", "s3://b/c.csv"]) == ["a", "c"]


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("file://{}/none*", "no file called like that"),
        ("file://{}/none", "none cannot be read"),
        ("nowhere://{}", "nowhere.* cannot be read"),
        ("s3://me:secret@bucket/x.jsonl", "password"),
        ("abfs://c@a.net/x?client_secret=1", "password"),
    ],
)
def test_an_address_that_cannot_be_read_is_one_sentence(folder, address, says):
    with pytest.raises(SamplesError, match=says) as error:
        expanded(address.format(folder))
    assert "secret@" not in str(error.value)
    assert "\n" not in str(error.value)


def test_the_same_samples_at_an_address(tmp_path):
    rows = [{"q": f"q{k % 3}", "completion": f"#### {k % 2}"} for k in range(12)]
    for name in ("ä b.jsonl", "100%.jsonl"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    plain = Samples.read(tmp_path, "q", "file")
    with Samples.stream(f"file://{tmp_path}", "q", "file", folder=tmp_path) as samples:
        parts = [samples.work.shelf.get(piece)["file"] for _, piece in samples.loaded.parts]
        assert {name for part in parts for name in part} == set(plain.frame["file"])
