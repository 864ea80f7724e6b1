"""Hostile files: the rows of the well-formed lines exactly, or one error that names the line."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import random
import re
import resource
import subprocess
import sys
import threading
from collections import Counter

import polars as pl
import pytest
from budget import FACTOR, scale, settings
from corpora import rows_and_lines
from damaged_files import read_damaged
from hypothesis import stateful
from hypothesis import strategies as st

from dagame.errors import SamplesError
from dagame.samples import Samples
from dagame.samples.files.reading import MOST_UNPACKED, read_frame

SEED = 8 if FACTOR == 1 else random.SystemRandom().randrange(2**32)


def limited(code, *arguments, gigabytes=4, seconds=120):
    """stdout of a fresh interpreter under a limit of memory and time."""

    def limit():
        resource.setrlimit(resource.RLIMIT_DATA, (gigabytes << 30, gigabytes << 30))

    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        preexec_fn=limit,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def counts(path, **options):
    """{(class, context): Counter of answers} of the samples in a file."""
    pattern = r"####[ \t]*([^\n#]*)"
    samples = Samples.read(path, "q", "f", extract=pattern, canonical="nospace", **options)
    found = {}
    for bucket in samples.partition.buckets():
        for k, c in enumerate(bucket.classes):
            (q,), keys = samples.partition.class_names[c], samples.partition.answer_keys(int(c))
            for x, (f,) in enumerate(samples.partition.context_names(int(c))):
                found[q, f] = Counter(
                    {a: int(n) for a, n in zip(keys, bucket.counts[k, x], strict=False) if n}
                )
    return found, samples


def slow_counts(rows):
    """The same by plain Python from the rows themselves."""
    found = {}
    for row in rows:
        *_, answer = ["", *re.findall(r"####[ \t]*([^\n#]*)", row["completion"])]
        key = "".join(answer.split()) or None
        found.setdefault((row["q"], row["f"]), Counter())[key] += 1
    return found


def check_lines(path, lines, ending=b"\n", pack=False):
    """Both ways to deal with faults, against what the lines were made from."""
    text = b"".join(line + ending for _, line in lines)
    path.write_bytes(gzip.compress(text) if pack else text)
    good = [row for row, line in lines if row is not None]
    bad = [k for k, (row, line) in enumerate(lines, 1) if row is None and line.strip()]
    answered = any(set(c) - {None} for c in slow_counts(good).values())
    if bad:
        with pytest.raises(SamplesError, match=rf"line {bad[0]}:"):
            read_frame(path)
    if not answered:
        with pytest.raises(SamplesError):
            counts(path, on_error="skip")
        return
    found, samples = counts(path, on_error="skip")
    assert found == slow_counts(good)
    assert samples.skipped_lines == tuple(bad)
    for name in ("q", "f", "completion"):
        assert samples.frame[name].to_list() == [row[name] for row in good]
    if any("ok" in row for row in good):
        assert samples.frame["ok"].to_list() == [row.get("ok") for row in good]


def test_random_files_against_a_slow_reader(tmp_path):
    rng = random.Random(SEED)
    for _ in range(scale(250)):
        lines = rows_and_lines(rng, rng.randrange(1, 12))
        for _ in range(rng.randrange(3)):
            lines.insert(rng.randrange(len(lines) + 1), (None, rng.choice((b"", b"  ", b"\t"))))
        ending = rng.choice((b"\n", b"\r\n"))
        path = tmp_path / rng.choice(("s.jsonl", "s.json", "s.jsonl.gz"))
        check_lines(path, lines, ending, pack=path.suffix == ".gz")


class GrowingFile(stateful.RuleBasedStateMachine):
    """A file that gets valid and faulty lines, read again after each."""

    def __init__(self):
        super().__init__()
        import tempfile
        from pathlib import Path

        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "s.jsonl"
        self.lines = []

    @stateful.rule(seed=st.integers(0, 2**32))
    def append(self, seed):
        self.lines += rows_and_lines(random.Random(seed), 1)
        check_lines(self.path, self.lines)

    @stateful.rule()
    def append_blank(self):
        self.lines.append((None, b""))

    def teardown(self):
        self.folder.cleanup()


GrowingFile.TestCase.settings = settings(12, stateful_step_count=8)
TestGrowingFile = GrowingFile.TestCase


def test_any_cut_and_any_byte_changed_ends_in_rows_or_one_error(tmp_path):
    rng = random.Random(SEED)
    rows = [row for row, _ in rows_and_lines(rng, 40) if row is not None]
    frame = pl.DataFrame([{"q": r["q"], "f": r["f"], "completion": r["completion"]} for r in rows])
    whole = {
        "s.jsonl": "".join(json.dumps(r) + "\n" for r in rows).encode(),
        "s.csv": frame.write_csv().encode(),
        "s.tsv": frame.write_csv(separator="\t").encode(),
    }
    whole["s.jsonl.gz"] = gzip.compress(whole["s.jsonl"])
    told = []
    for name, data, found in read_damaged(tmp_path, rng, whole, range(3), scale(150)):
        if isinstance(found, str):
            told.append(found)
        else:
            text = gzip.decompress(data) if name.endswith("gz") else data
            assert found <= len(text.splitlines())
    assert len(told) > 20
    assert max(map(len, told)) < 600


PARQUET = """
import random, sys
from pathlib import Path
from dagame.samples.files.reading import read_frame
from dagame.errors import SamplesError
whole, rng = Path(sys.argv[1]).read_bytes(), random.Random(int(sys.argv[2]))
path = Path(sys.argv[1]).with_name("broken.parquet")
for _ in range(int(sys.argv[3])):
    data = bytearray(whole)
    if rng.random() < 0.3:
        del data[rng.randrange(len(data)):]
    for _ in range(rng.randrange(1, 4)):
        data[rng.randrange(len(data)) if data else 0:][:1] = bytes([rng.randrange(256)])
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(data)
    try:
        read_frame(path)
    except SamplesError:
        pass
print("done")
"""


def test_damaged_parquet_is_one_error(tmp_path):
    path = tmp_path / "s.parquet"
    pl.DataFrame({"q": [1, 2] * 20, "completion": ["#### 1", "x"] * 20}).write_parquet(path)
    assert limited(PARQUET, path, SEED, scale(150), seconds=60 * FACTOR).strip() == "done"


# -- one file, one error --------------------------------------------------------------------------

GOOD = b'{"q": 1, "completion": "#### 1"}\n'


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("s.jsonl", b"", "holds no samples"),
        ("s.jsonl", b"\n \n", "holds no samples"),
        ("s.jsonl", b"{}\n{}\n", "holds no samples"),
        ("s.csv", b"q,completion\n", "holds no samples"),
        ("s.csv", b"q,q\n1,2\n", "two columns called 'q'"),
        ("s.csv", b"q,\xff\n1,2\n", "line 1, the header"),
        ("s.csv", b'q,completion\n1,"a\nb"\n2,c,d\n', "line 4: 3 fields"),
        ("s.csv", b"q,completion\r\n\r\n1,a\r\n2\r\n", "line 4: 1 fields"),
        ("s.csv", b'q,completion\n1,"a\n2,b\n', "line 2: badly quoted"),
        ("s.jsonl", GOOD + b'\r\n\r\n{"q": 1', "line 4"),
        ("s.jsonl", '{"q": 1}\n'.encode("utf-16"), "UTF-16"),
        ("s.jsonl", b"PAR1" + b"x" * 20, "holds parquet"),
        ("s.parquet", GOOD, "no readable Parquet"),
        ("s.parquet", b"PAR1", "no readable Parquet"),
        ("s.jsonl", gzip.compress(GOOD, mtime=0), "gzip, which its suffix does not say"),
        ("s.jsonl.gz", GOOD, "damaged gzip"),
        ("s.jsonl.gz", gzip.compress(GOOD, mtime=0)[:-9], "truncated gzip"),
        ("s.jsonl.gz", gzip.compress(GOOD, mtime=0)[:-8] + b"\0" * 8, "damaged gzip"),
        ("s.jsonl.gz", gzip.compress(GOOD, mtime=0) + b"trailing", "damaged gzip"),
        ("s.jsonl", b"\x28\xb5\x2f\xfd\x00", "unpack it first"),
        ("s.jsonl.gz", gzip.compress(b"\x28\xb5\x2f\xfd\x00", mtime=0), "unpack it first"),
        ("s.jsonl", b'{"q": ' + b"[" * 900 + b"]" * 900 + b"}\n", "line 1: nested deeper"),
        ("s.jsonl", b'{"q": ' * 90_000, "line 1: nested deeper"),
        ("s.jsonl", GOOD + b'{"q": "\\udc00"}\n', "line 2: half of a surrogate pair"),
        ("s.jsonl", GOOD.replace(b"1,", b"9007199254740993,") + GOOD.replace(b"1,", b".5,"), "line 2"),
        ("s.jsonl", GOOD.replace(b"1,", b"9007199254740993,") + GOOD.replace(b"1,", b"0.5,"), "apart"),
        ("s.jsonl", b'{"q": 1, "completion": {"a": "#### 1"}}\n', "row 1.*an object with 'a'"),
        ("s.jsonl", b'{"q": 1, "completion": [[["#### 1"]]]}\n', "row 1.*lists within lists"),
        ("s.jsonl", b'{"q": 1, "completion": ["#### 1", 7]}\n', "row 1.*a number, '7', not text"),
    ],
    ids=itertools.count(),
)  # fmt: skip
def test_each_bad_file_is_one_error(tmp_path, name, data, message):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(SamplesError, match=message):
        Samples.read(path, "q", extract="gsm8k")


def test_first_of_two_equal_keys_members_of_gzip_and_bom(tmp_path):
    path = tmp_path / "s.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"q": 1, "q": 2}\n{"q": 3, "q": "x"}\n')
    assert read_frame(path)[0]["q"].to_list() in ([1, 3], ["1", "3"])
    packed = tmp_path / "s.jsonl.gz"
    packed.write_bytes(gzip.compress(GOOD, mtime=0) + gzip.compress(GOOD * 2) + b"\0" * 512)
    assert len(read_frame(packed)[0]) == 3


def test_mixed_columns_are_text(tmp_path):
    path = tmp_path / "s.jsonl"
    values = ["a", 1, 2.5, True, None, [1, "é"], {"b": [1, {}]}, [[1], {"c": 2}]]
    path.write_text("".join(json.dumps({"q": "x", "v": v}) + "\n" for v in values))
    text = [v if v is None or v == "a" else json.dumps(v, ensure_ascii=False) for v in values]
    assert read_frame(path)[0]["v"].to_list() == text


def test_paths_that_are_no_files(tmp_path):
    loop, fifo, dangling = (tmp_path / f"{n}.jsonl" for n in ("loop", "fifo", "dangling"))
    loop.symlink_to(loop)
    dangling.symlink_to(tmp_path / "nothing.jsonl")
    os.mkfifo(fifo)
    closed = tmp_path / "closed.jsonl"
    closed.write_bytes(GOOD)
    (tmp_path / "empty").mkdir()
    for path in (loop, fifo, dangling, tmp_path / "empty", "/dev/zero", "/dev/null", "a" * 5000 + ".jsonl",
                 "a\0.jsonl", "", closed / "x.jsonl"):  # fmt: skip
        with pytest.raises(SamplesError):
            Samples.read(path, "q")
        if "\0" not in str(path):
            done = subprocess.run(
                [sys.executable, "-m", "dagame", "solve", str(path)[:5000], "--class", "q"],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            ) if path in (fifo, loop) else None  # fmt: skip
            assert done is None or (done.returncode == 2 and "Traceback" not in done.stderr)


def test_a_file_that_grows_and_shrinks_while_it_is_read(tmp_path):
    path = tmp_path / "s.jsonl"
    path.write_bytes(GOOD * 50_000)
    stop = threading.Event()

    def disturb():
        rng = random.Random(SEED)
        while not stop.wait(0.002):
            with path.open("r+b") as stream:
                if rng.random() < 0.5:
                    stream.truncate(rng.randrange(os.path.getsize(path) + 1))
                else:
                    stream.seek(0, 2)
                    stream.write(GOOD * rng.randrange(20_000))

    other = threading.Thread(target=disturb)
    other.start()
    try:
        for _ in range(scale(8)):
            try:
                frame, skipped = read_frame(path, "skip")
            except SamplesError:
                continue
            assert set(frame.columns) >= {"q", "completion"}
            assert len(skipped) <= 3 + len(frame)
    finally:
        stop.set()
        other.join()


BOMB = """
import sys
from dagame.samples.files.reading import read_frame
try:
    frame, _ = read_frame(sys.argv[1])
    print(frame.shape)
except Exception as error:
    print(type(error).__name__, str(error)[:300])
"""


@pytest.mark.parametrize(
    ("name", "outcome"),
    [("bomb.jsonl.gz", "SamplesError"), ("long.jsonl", "(2, 2)"), ("wide.csv", "(2, 20000)")],
)
def test_large_files_in_bounded_memory(tmp_path, name, outcome):
    path = tmp_path / name
    if name == "bomb.jsonl.gz":
        with gzip.open(path, "wb", compresslevel=1) as stream:
            for _ in range(2 * MOST_UNPACKED >> 20):
                stream.write(b" " * (1 << 20))
    elif name == "long.jsonl":
        path.write_bytes(GOOD + b'{"q": 2, "completion": "' + b"a" * 100_000_000 + b'"}\n')
    else:
        line = ",".join(str(k) for k in range(20_000))
        path.write_text(f"{line}\n{line}\n{line}\n")
    assert limited(BOMB, path, gigabytes=2).startswith(outcome)


def test_half_pairs_and_escaped_emoji_line_by_line(tmp_path):
    rng = random.Random(SEED)
    pieces = ["\\ud83d", "\\ude00", "\\ud83d\\ude00", "\\uD83D\\uDE00", "\\\\", "ud83d", "\\n", "x"]
    for _ in range(scale(100)):
        values = ["".join(rng.choice(pieces) for _ in range(rng.randrange(5))) for _ in range(6)]
        path = tmp_path / "s.jsonl"
        path.write_text("".join(f'{{"v": "{v}"}}\n' for v in values))
        read = [json.loads(f'"{v}"') for v in values]
        bad = [k for k, v in enumerate(read, 1) if re.search("[\ud800-\udfff]", v)]
        if len(bad) < len(values):
            found, skipped = read_frame(path, "skip")
            assert skipped == bad
            assert found["v"].to_list() == [v for k, v in enumerate(read, 1) if k not in bad]
