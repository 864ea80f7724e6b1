"""Hostile layouts: damaged archives, bombs, one broken file of many, ragged and deep rows, odd chats."""

from __future__ import annotations

import gzip
import itertools
import json
import random
import time
import zipfile

import pytest
import zstandard
from budget import FACTOR, scale
from damaged_files import read_damaged
from test_readers import limited

from dagame.errors import SamplesError
from dagame.samples import Samples
from dagame.samples.files.packed import MOST_UNPACKED

SEED = 8 if FACTOR == 1 else random.SystemRandom().randrange(2**32)
ROW = {"q": 1, "completion": "#### 1"}
GOOD = json.dumps(ROW).encode() + b"\n"


def zipped(*members, kind=zipfile.ZIP_DEFLATED):
    import io

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return stream.getvalue()


ZST, ZIP = zstandard.compress(GOOD * 50), zipped(("s.jsonl", GOOD * 50))
STORED = zipped(("s.jsonl", GOOD * 50), kind=zipfile.ZIP_STORED)
ENCRYPTED = ZIP.replace(b"PK\x03\x04\x14\x00\x00\x00", b"PK\x03\x04\x14\x00\x01\x00").replace(
    b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00"
)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("s.jsonl.zst", ZST[:-1], "truncated zstd"),
        ("s.jsonl.zst", ZST[: len(ZST) // 2], "truncated zstd"),
        ("s.jsonl.zst", ZST + b"more", "damaged zstd"),
        ("s.jsonl.zst", GOOD, "damaged zstd"),
        ("s.jsonl.zst", b"", "holds no samples"),
        ("s.jsonl", ZST, "zstd, which its suffix does not say"),
        ("s.jsonl.zst", zstandard.compress(ZST), "zstd, which"),
        ("s.zip", ZIP[:-30], "damaged zip"),
        ("s.zip", STORED.replace(b"#### 1", b"#### 2"), "damaged zip"),
        ("s.zip", b"PK\x03\x04", "damaged zip"),
        ("s.zip", GOOD, "damaged zip"),
        ("s.zip", ENCRYPTED, "is encrypted"),
        ("s.zip", zipped(("a.jsonl", GOOD), ("b.jsonl", GOOD)), "holds 2 files"),
        ("s.zip", zipped(), "holds 0 files"),
        ("s.zip", zipped(("a.txt", GOOD)), "suffix 'none'"),
        ("s.zip", zipped(("a.jsonl", ZIP)), "zip, which"),
        ("s.eval", zipped(("header.json", b"{}")), "no samples of an inspect log"),
        ("s.eval", zipped(("samples/a.json", b"{")), "no whole JSON document"),
        ("s.eval", b"junk", "damaged zip"),
        ("s.json", b"[" + GOOD, "no whole JSON document"),
        ("s.json", b"[\n" + GOOD.strip() + b",\n" + GOOD, "no whole JSON document"),
        ("s.json", b'{"outputs": [\n' + GOOD.strip() + b",\n" + GOOD, "no whole JSON document"),
        ("s.json", b'{\n "outputs": [', "no whole JSON document"),
        ("s.json", b"[1, 2]", "row 1: a JSON value that is not an object"),
        ("s.json", b"[" + GOOD + b", 3]", "row 2: a JSON value that is not an object"),
        ("s.json", b'[\n{"q": NaN}]', "NaN"),
        ("s.json", b'[{"q": 1, "completion": "\\ud800"}]', "row 1: half of a surrogate"),
        ("s.json", b"[" * 100_000, "nested deeper"),
        ("s.json", b"[" * 60_000 + b"]" * 60_000, "nested deeper"),
        ("s.json", b'[{"q": ' + b"[" * 70 + b"]" * 70 + b"}]", "nested deeper"),
        ("s.json", b"[]", "holds no samples"),
        ("s.json", b"{}", "holds no samples"),
        ("s.json", b'"text"', "line 1"),
        ("s.json", b'[{"q": 1}]\n[{"q": 1}]', "line 1: a JSON value that is not an object"),
        ("s.json", b'{"a": [{"b": 1}], "c": [{"d": 1}]}', "--rows"),
        ("s.json", b'{"q": [1, 2], "completion": ["#### 1"]}', "2 values for 1"),
    ],
    ids=itertools.count(),
)  # fmt: skip
@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_each_bad_file_is_one_error_and_skipping_loses_no_rows_of_documents(
    tmp_path, name, data, message, on_error
):
    path = tmp_path / name
    path.write_bytes(data)
    if on_error == "skip" and "row" in message:
        return
    with pytest.raises(SamplesError, match=message if on_error == "stop" else ".") as caught:
        Samples.read(path, "q", extract="gsm8k", on_error=on_error)
    assert len(str(caught.value)) < 700


def test_rows_of_documents_that_are_no_objects_can_be_skipped_and_are_counted(tmp_path):
    path = tmp_path / "s.json"
    path.write_bytes(b"[3, " + GOOD + b', {"q": "\\ud800"}, ' + GOOD + b"]")
    samples = Samples.read(path, "q", extract="gsm8k", on_error="skip")
    assert len(samples.frame) == 2
    assert samples.skipped_lines == (1, 3)


def test_any_cut_and_any_byte_changed_in_archives(tmp_path):
    rng = random.Random(SEED)
    rows = [{"q": k, "completion": f"#### {k}"} for k in range(60)]
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    whole = {
        "s.jsonl.zst": zstandard.ZstdCompressor(write_checksum=True).compress(text),
        "s.zip": zipped(("s.jsonl", text)),
        "s.json": json.dumps(rows, indent=1).encode(),
        "s.eval": zipped(*((f"samples/{k}.json", json.dumps(r)) for k, r in enumerate(rows[:5]))),
    }
    told = []
    for _, _, found in read_damaged(tmp_path, rng, whole, range(1, 3), scale(200)):
        if isinstance(found, str):
            told.append(found)
        else:
            assert found <= len(rows) + 2
    assert len(told) > 40
    assert max(map(len, told)) < 700


BOMB = """
import sys
from dagame.samples import Samples
try:
    print(Samples.read(sys.argv[1], "q", extract="gsm8k").frame.shape)
except Exception as error:
    print(type(error).__name__, str(error)[:300])
"""


@pytest.mark.parametrize("name", ["s.jsonl.zst", "s.zip", "s.eval", "rows.jsonl"])
def test_bombs_in_bounded_memory(tmp_path, name):
    path, size = tmp_path / name, 2 * MOST_UNPACKED
    if name.endswith("zst"):
        path.write_bytes(zstandard.compress(b" " * size))
    elif name == "rows.jsonl":
        row = {"q": 1, "completions": ["#### 1"] * 100_000, "big": [["x" * 10_000_000]]}
        path.write_text(json.dumps(row) + "\n")
    else:
        member = "samples/a.json" if name == "s.eval" else "s.jsonl"
        path.write_bytes(zipped((member, b" " * size)))
    found = limited(BOMB, path, gigabytes=3)
    assert found.startswith("(100000, 3)" if name == "rows.jsonl" else "SamplesError")


# -- many files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [b"{bro", b"", b"\x28\xb5\x2f\xfd\x00", b'{"q": 1}\n', b"[1"])
def test_one_broken_file_in_a_folder_is_named_or_counted(tmp_path, broken):
    for k in range(3):
        (tmp_path / f"{k}.jsonl").write_bytes(GOOD * (k + 1))
    (tmp_path / "1.jsonl").write_bytes(broken)
    with pytest.raises(SamplesError, match=r"1\.jsonl"):
        Samples.read(tmp_path, "q", "file", extract="gsm8k")
    samples = Samples.read(tmp_path, "q", "file", extract="gsm8k", on_error="skip")
    assert [name for (name,) in samples.partition.context_names(0)] == ["0", "2"]
    assert len(samples.frame) == 4
    assert any(note.startswith("left out:") and "1.jsonl" in note for note in samples.notes)


def test_faulty_lines_are_counted_by_file(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(GOOD + b"{bro\n")
    (tmp_path / "b.jsonl").write_bytes(b"{bro\n" + GOOD + b"17\n")
    samples = Samples.read(tmp_path, "q", "file", extract="gsm8k", on_error="skip")
    assert samples.skipped_lines == (2, 1, 3)
    said = [note for note in samples.notes if "lines skipped" in note]
    assert [note.rsplit(" ", 1)[1] for note in said] == ["1.", "2."]


def test_no_two_files_share_a_name(tmp_path):
    for name in ("a/x.jsonl", "b/x.jsonl", "b/x.json", "b/y.jsonl.gz"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(GOOD) if name.endswith("gz") else GOOD)
    samples = Samples.read(str(tmp_path / "**" / "*.j*"), "q", "file", extract="gsm8k")
    assert samples.partition.contexts_per_class.tolist() == [4]
    assert samples.frame["file"].n_unique() == 4
    with pytest.raises(SamplesError, match="named twice"):
        Samples.read([tmp_path / "a/x.jsonl", tmp_path / "a/x.jsonl"], "q", extract="gsm8k")
    with pytest.raises(SamplesError, match="called like"):
        Samples.read(str(tmp_path / "*.parquet"), "q", extract="gsm8k")


def test_a_file_of_its_own_brackets_is_no_glob(tmp_path):
    path = tmp_path / "s[1].jsonl"
    path.write_bytes(GOOD)
    assert len(Samples.read(path, "q", extract="gsm8k").frame) == 1


def test_columns_of_other_types(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({**ROW, "x": 1, "z": [1]}) + "\n")
    (tmp_path / "b.jsonl").write_text(json.dumps({**ROW, "x": "é", "y": 2.5, "z": "t"}) + "\n")
    samples = Samples.read(tmp_path, "q", extract="gsm8k")
    assert samples.frame["x"].to_list() == ["1", "é"]
    assert samples.frame["y"].to_list() == [None, 2.5]
    (tmp_path / "b.jsonl").write_text(json.dumps({**ROW, "q": "é"}) + "\n")
    with pytest.raises(
        SamplesError, match=r"'q' holds Int64 in .*a\.jsonl and String in .*b\.jsonl"
    ):
        Samples.read(tmp_path, "q", extract="gsm8k")


def test_a_column_called_file_stays(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({**ROW, "file": "own"}) + "\n")
    samples = Samples.read(tmp_path, "q", "file", extract="gsm8k")
    assert samples.frame["file"].to_list() == ["own"] * 2
    assert samples.frame["dagame_file"].to_list() == ["a", "b"]


# -- nested rows ----------------------------------------------------------------------------------


def test_nothing_nested_passes_as_text(tmp_path):
    """Beside text, polars makes JSON text of lists and objects; that is a list or an object all the same."""
    rng = random.Random(SEED)
    nested = [
        ["#### 7"],
        [["#### 7"]],
        {"role": "assistant", "content": "#### 7"},
        [{"text": "#### 7"}],
    ]
    refused = [{"a": "#### 7"}, [{"a": "#### 7"}], [7], {"content": {"a": "#### 7"}}]
    for _ in range(scale(60)):
        texts = [rng.choice(['["#### 1"]', "#### 2", '{"a": 3}', " [x"]) for _ in range(3)]
        odd = rng.choice(nested + refused)
        rows = [{"q": 1, "completion": t} for t in texts] + [{"q": 1, "completion": odd}]
        rng.shuffle(rows)
        for row in rows:
            row["mixed"] = rng.choice([1, "a", [1], {"a": [1]}])
        path = tmp_path / "s.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        if odd in refused:
            number = 1 + next(k for k, row in enumerate(rows) if row["completion"] == odd)
            with pytest.raises(SamplesError, match=rf"row {number}: column 'completion'"):
                Samples.read(path, "q", extract=lambda text: text)
        else:
            samples = Samples.read(path, "q", extract=lambda text: text)
            assert set(samples.partition.answer_keys(0)) == {t.strip() for t in texts} | {"#### 7"}


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": [None, 5, {"type": "text", "text": "#### 7"}]},
        {"role": "assistant", "content": {"#### 7": 1}},
        {"role": "assistant", "content": [[{"type": "text", "text": "#### 7"}]]},
        {"role": "assistant", "content": 7},
        "#### 7",
        None,
        [],
    ],
)
def test_odd_ends_of_chats_are_refused_not_read(message):
    rows = [{"q": 1, "completion": [{"role": "user", "content": "#### 1"}, message]}, ROW]
    with pytest.raises(SamplesError, match="row 1: column 'completion'"):
        Samples.read(rows, "q", extract="gsm8k")


def test_messages_of_very_many_parts_and_rows_of_very_many_columns():
    parts = [{"type": "image_url", "image_url": {"url": "data:"}}] * 100_000
    text = {"type": "text", "text": "#### 7"}
    rows = [{"q": 1, "completion": [{"role": "assistant", "content": [*parts, text, None]}]}]
    started = time.process_time()
    assert Samples.read(rows, "q", extract="gsm8k").partition.answer_keys(0) == ["7"]
    wide = {"q": 1, "completion": ["#### 7"] * 50, **{f"c{k}": [k] * 50 for k in range(2000)}}
    assert Samples.read([wide], "q", extract="gsm8k").frame.shape == (50, 2002)
    assert time.process_time() - started < 60


def test_ragged_lists_equal_keys_and_deep_paths(tmp_path):
    path = tmp_path / "s.jsonl"
    path.write_text(
        '{"q": 1, "completion": ["#### 1"], "completion": ["#### 2", "#### 3"]}\n'
        '{"q": 1, "completion": [["#### 4"], [], ["#### 5", null]]}\n'
    )
    assert Samples.read(path, "q", extract="gsm8k").partition.answer_keys(0) == [
        "1",
        "4",
        "5",
        None,
    ]
    inner = "#### 1"
    for _ in range(40):
        inner = {"a": inner}
    rows = [{"q": 1, "deep": inner}]
    name = ".".join(["deep", *"a" * 40])
    assert Samples.read(rows, "q", completion=name, extract="gsm8k").partition.answer_keys(0) == [
        "1"
    ]
    with pytest.raises(SamplesError, match="no column"):
        Samples.read(rows, "q", completion=name + ".a" * 400, extract="gsm8k")
