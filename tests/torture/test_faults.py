"""Killed, out of space, in each other's way: an output is whole, as it was, or absent; never a mixture."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest

pytest.importorskip("resource")

from budget import FACTOR, scale
from faults import SOLVING, Forks

import dagame as dg
from dagame.errors import OutputError
from dagame.estimators import reward_table
from dagame.output import check_file, locked, replacing_all, write_json
from dagame.sample_file import sample_file

SIZES = (0, 1, 100, 1_000, 10_000)


@pytest.fixture(scope="module")
def forks():
    with Forks(SOLVING) as made:
        yield made


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return sample_file(tmp_path_factory.mktemp("s") / "s.jsonl", 1, questions=3, samples=4)


def solving(samples, out, *more):
    columns = ["--class", "question", "--context", "format", "--extract", r"Answer: (\S+)"]
    return ["solve", samples, *columns, "--out", out, "--json", out / "numbers.json", *more]


def state(folder):
    """What is in a folder, times left out; temporaries by their number."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".part"):
        content = path.read_bytes()
        content = re.sub(rb'solved in [\d.]+ s|"seconds": [\d.e-]+', b"", content)
        found[path.relative_to(folder).as_posix()] = content
    return {k: v for k, v in found.items() if ".part/" not in k}


def left(folder):
    return sorted(p.name for p in folder.glob(".*"))


def chosen(count, few):
    """All moments under `make torture`; else some spread over all, and the last of them."""
    spread = {int(k) for k in np.linspace(1, count, scale(few))}
    return sorted(spread | set(range(max(count - 3, 1), count + 1)))


def one_sentence(said, *words):
    """The last line is the error, and nothing above it is a traceback."""
    line = said.strip().splitlines()[-1]
    assert line.startswith("dagame"), said
    assert line.endswith("."), said
    assert "Traceback" not in said
    for word in words:
        assert word in line


def assert_old_or_new(found, old, new):
    """Each file is of one run, and all are of the same one."""
    assert any(found.items() <= whole.items() for whole in (old, new)), sorted(found)


# -- killed ---------------------------------------------------------------------------------------


def test_a_set_killed_at_every_change(forks, tmp_path):
    def write(word, **fault):
        return forks.run([tmp_path, word], call="faults:write_set", root=tmp_path, **fault)

    write("new")
    new = state(tmp_path)
    write("old")
    old = state(tmp_path)
    count = forks.changes([tmp_path, "old"], call="faults:write_set", root=tmp_path)
    assert count > 20
    assert set(old) == {"first", "second", "folder/one", "folder/two"}
    seen = set()
    for k in range(1, count + 1):
        assert write("new", kill=k).killed
        assert_old_or_new(state(tmp_path), old, new)
        seen.add(len(state(tmp_path)))
        assert write("old").code == 0
        assert state(tmp_path) == old
        assert not left(tmp_path), "what a killed writer left goes with the next write"
    assert len(seen) > 2, "some kills fell between the renames"


@pytest.mark.parametrize("fault", ["torn", "full"])
def test_a_set_in_the_middle_of_a_write(forks, tmp_path, fault):
    call = {"call": "faults:write_set"}
    forks.run([tmp_path, "old"], **call)
    old = state(tmp_path)
    for size in (0, 1, 150, 299):
        outcome = forks.run([tmp_path, "new"], **call, **{fault: size})
        if fault == "torn":
            assert outcome.code == -signal.SIGXFSZ
            assert left(tmp_path)
        else:
            assert "OutputError" in outcome.said
            assert not left(tmp_path)
        assert state(tmp_path) == old
    assert forks.run([tmp_path, "old"], **call, full=300).code == 0


def test_solve_killed_at_changes(forks, samples, tmp_path):
    argv, other = solving(samples, tmp_path), solving(samples, tmp_path, "--beta", "2")
    assert forks.run(other).code == 0
    new = state(tmp_path)
    count = forks.changes(argv, root=tmp_path)
    old = state(tmp_path)
    assert set(old) == {"samples.parquet", "report.html", "numbers.json"}
    assert all(old[name] != new[name] for name in old)
    for k in chosen(count, 5):
        assert forks.run(other, kill=k, root=tmp_path).killed
        assert_old_or_new(state(tmp_path), old, new)
        if state(tmp_path) != old or FACTOR > 1:
            assert forks.run(argv).code == 0
            assert state(tmp_path) == old
    assert forks.run(argv).code == 0
    assert not left(tmp_path)


@pytest.mark.parametrize("fault", ["torn", "full"])
def test_solve_in_the_middle_of_a_write(forks, samples, tmp_path, fault):
    argv = solving(samples, tmp_path)
    assert forks.run(argv).code == 0
    old = state(tmp_path)
    for size in SIZES if FACTOR > 1 else SIZES[1::2]:
        outcome = forks.run([*argv, "--beta", "2"], **{fault: size})
        assert state(tmp_path) == old
        if fault == "full":
            assert outcome.code == 2
            one_sentence(outcome.said, "cannot be written", "too large")
            assert not left(tmp_path)
        else:
            assert outcome.code == -signal.SIGXFSZ


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGINT, 130, "dagame: interrupted; nothing half-written was left.\n"),
     (signal.SIGTERM, -signal.SIGTERM, "")],
)  # fmt: skip
def test_signals_are_quiet(forks, samples, tmp_path, number, code, said):
    argv = solving(samples, tmp_path)
    count = forks.changes(argv, root=tmp_path)
    old = state(tmp_path)
    for k in chosen(count - 4, 1):
        outcome = forks.run([*argv, "--beta", "2"], kill=k, root=tmp_path, signal_number=number)
        assert (outcome.code, outcome.said) == (code, said)
        assert state(tmp_path) == old
        assert number == signal.SIGTERM or not left(tmp_path)


# -- the cache ------------------------------------------------------------------------------------


def test_the_cache_killed_at_every_change(forks, tmp_path):
    options = {"call": "faults:build_tables", "env": {"DAGAME_CACHE_DIR": str(tmp_path / "c")}}
    right = forks.run(["4"], **options).said
    assert len(right.splitlines()) == 1
    shutil.rmtree(tmp_path / "c")
    count = forks.changes(["4"], root=tmp_path, **options)
    assert count >= 3
    for k in range(1, count + 1):
        shutil.rmtree(tmp_path / "c")
        assert forks.run(["4"], kill=k, root=tmp_path, **options).killed
        assert forks.run(["4"], **options).said == right
        assert not left(tmp_path / "c" / "tables")
    for size in (0, 1, 100):
        for fault in ("torn", "full"):
            shutil.rmtree(tmp_path / "c")
            outcome = forks.run(["4"], **options, **{fault: size})
            assert outcome.said == right if fault == "full" else outcome.killed
            assert forks.run(["4"], **options).said == right


def test_many_processes_on_one_cache(tmp_path):
    env = os.environ | {"DAGAME_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.path.dirname(__file__)}
    code = "import sys, faults; sys.argv[1:] = ['4', '5', '6']; faults.build_tables()"
    many = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=env)
        for _ in range(3)
    ]
    said = {process.communicate(timeout=300)[0] for process in many}
    assert [process.returncode for process in many] == [0] * len(many)
    assert len(said) == 1
    assert len(said.pop().splitlines()) == 3
    assert len(list((tmp_path / "tables").iterdir())) == 3


HOSTILE = {
    "empty": b"",
    "cut": lambda whole: whole[: len(whole) // 2],
    "an entry changed": lambda whole: re.sub(rb"(\[-?)(\d)", rb"\g<1>1\g<2>", whole, count=1),
    "no UTF-8": b"\xff\xfe\x00",
    "a list": b"[1, 2]",
    "deep": b"[" * 100_000,
    "not a number": b'{"entries": [NaN, NaN, NaN, NaN], "sha256": ""}',
    "too large a number": b'{"entries": [1%s, 1, 1, 1], "sha256": ""}' % (b"0" * 400),
    "words": b'{"entries": "four", "sha256": ""}',
    "too long": lambda whole: whole + b" " * 10_000_000,
}


@pytest.mark.parametrize("name", [*HOSTILE, "another's", "a folder", "a pipe"])
def test_a_hostile_cache_file_is_built_again(name, tmp_path, monkeypatch):
    monkeypatch.setenv("DAGAME_CACHE_DIR", str(tmp_path))
    build = lambda: reward_table(dg.ShannonDiversity(), 4, "minimax").entries  # noqa: E731
    right = build()
    (path,) = (tmp_path / "tables").iterdir()
    whole = path.read_bytes()
    path.unlink()
    if name == "another's":
        reward_table(dg.TsallisDiversity(1.0, 3.0), 4, "minimax")
        (other,) = (tmp_path / "tables").iterdir()
        other.rename(path)
    elif name == "a folder":
        path.mkdir()
    elif name == "a pipe":
        os.mkfifo(path)
    else:
        hostile = HOSTILE[name]
        content = hostile if isinstance(hostile, bytes) else hostile(whole)
        assert content != whole
        path.write_bytes(content)
    np.testing.assert_array_equal(build(), right)
    if name not in ("a folder", "a pipe"):
        assert path.read_bytes() == whole, "and kept in its place"


@pytest.mark.parametrize("place", ["a file", "read-only"])
def test_a_cache_that_takes_nothing_costs_only_time(place, tmp_path, monkeypatch):
    where = tmp_path / "place"
    monkeypatch.setenv("DAGAME_CACHE_DIR", str(where))
    if place == "a file":
        where.write_text("")
        assert len(reward_table(dg.ShannonDiversity(), 4, "minimax")) == 4
        return
    where.mkdir()
    with read_only(where):
        assert len(reward_table(dg.ShannonDiversity(), 4, "minimax")) == 4


# -- in each other's way --------------------------------------------------------------------------


def test_the_second_on_a_folder_is_refused_until_the_first_dies(forks, samples, tmp_path):
    argv = solving(samples, tmp_path)
    env = os.environ | {"PYTHONPATH": os.path.dirname(__file__)}
    code = "import faults; faults.hold()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, env=env
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    link = tmp_path.with_name("link")
    link.symlink_to(tmp_path)
    for out in (tmp_path, link):
        outcome = forks.run(solving(samples, out))
        assert outcome.code == 2
        one_sentence(outcome.said, "being written to by another process")
    assert not state(tmp_path)
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert forks.run(argv).code == 0
    with locked(tmp_path), pytest.raises(OutputError, match="another process"), locked(tmp_path):
        pass


def test_a_folder_removed_in_between(tmp_path):
    out = tmp_path / "out"
    out.mkdir()

    def work():
        with locked(out), replacing_all([out / "a", out / "b"]) as drafts:
            drafts[out / "a"].write_text("a")
            shutil.rmtree(out)
            drafts[out / "b"].write_text("b")

    with pytest.raises(OutputError, match="cannot be written: No such file"):
        work()
    assert not out.exists()


# -- places ---------------------------------------------------------------------------------------


def is_root():
    return hasattr(os, "geteuid") and os.geteuid() == 0


@contextmanager
def mounted(folder, options):
    """A small disk of its own; only root may make one."""
    made = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    if not is_root() or subprocess.run(made, capture_output=True).returncode:
        pytest.skip("only root may mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def read_only(folder):
    if is_root():  # whom permissions do not stop
        with mounted(folder, "ro"):
            yield
        return
    folder.chmod(0o555)
    yield
    folder.chmod(0o755)


def test_a_full_disk(forks, samples, tmp_path):
    with mounted(tmp_path, "size=2m"):
        (tmp_path / "ballast").write_bytes(b"0" * 2_000_000)
        outcome = forks.run(solving(samples, tmp_path))
        assert outcome.code == 2
        one_sentence(outcome.said, "No space left on device")
        assert [p.name for p in tmp_path.iterdir()] == ["ballast"]
        (tmp_path / "ballast").unlink()
        assert forks.run(solving(samples, tmp_path)).code == 0


def test_a_read_only_folder(forks, samples, tmp_path):
    with read_only(tmp_path):
        outcome = forks.run(solving(samples, tmp_path))
        assert outcome.code == 2
        one_sentence(outcome.said, "cannot be written")
        one_sentence(forks.run(solving(samples, tmp_path / "new")).said, "cannot be made")


NAMES = ("with space", "new\nline", "ünïcødé 文", "tag[/b]", "n" * 250, os.fsdecode(b"\xff\xfe"))


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_a_folder_or_file(forks, samples, tmp_path, name):
    out = tmp_path / name
    numbers = out / out.name
    outcome = forks.run([*solving(samples, out), "--no-report", "--json", numbers])
    assert outcome.code == 0, outcome.said
    assert sorted(p.name for p in out.iterdir()) == sorted([out.name, "samples.parquet"])
    assert json.loads(numbers.read_text())["summary"]["classes"] == 3
    with (out / "samples.parquet").open("rb") as stream:
        assert len(pl.read_parquet(stream)) == 36


@pytest.mark.parametrize("name", ["n" * 256, "a/" * 3000 + "b", "nul\0"])
def test_names_that_cannot_be(tmp_path, name):
    with pytest.raises(OutputError, match="cannot be written"):
        check_file(tmp_path / name)


def test_links_are_followed_and_devices_stay(tmp_path):
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    write_json(link, {"a": 1})
    assert link.is_symlink()
    assert json.loads(real.read_text()) == {"a": 1}
    assert real.stat().st_mode & 0o777 == 0o640
    write_json(check_file("/dev/null"), {"a": 1})
    assert Path("/dev/null").is_char_device()
    with pytest.raises(OutputError, match="/dev/full cannot be written: No space"):
        write_json(check_file("/dev/full"), {"a": 1})
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", str(tmp_path / "pipe")], stdout=subprocess.PIPE)
    write_json(check_file(tmp_path / "pipe"), {"a": 1})
    assert json.loads(reader.communicate(timeout=60)[0]) == {"a": 1}
    assert (tmp_path / "pipe").is_fifo()


def test_what_is_read_is_not_written_over(forks, samples, tmp_path):
    own = shutil.copy(samples, tmp_path / "own.jsonl")
    (tmp_path / "again.jsonl").symlink_to(own)
    argv = solving(own, tmp_path / "out")
    for name in ("own.jsonl", "again.jsonl", "out/samples.parquet"):
        outcome = forks.run([*argv, "--json", tmp_path / name])
        assert outcome.code == 2
        one_sentence(outcome.said, "read or written already")
    assert Path(own).read_bytes() == samples.read_bytes()


# -- standard output ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("redirection", "code", "words"),
    [("| head -n 1", 0, ""), ("> /dev/full", 2, "No space left"), (">&-", 0, ""),
     ("--json - | head -n 1", 0, ""), ("--json - > /dev/full", 2, "No space left"),
     ("--json - >&-", 2, "standard output is closed"), ("2>&-", 0, "")],
)  # fmt: skip
def test_standard_output_that_takes_nothing(samples, tmp_path, redirection, code, words):
    command = f'set -o pipefail; "$0" -m dagame "$@" {redirection}'
    argv = map(str, [*solving(samples, tmp_path), "--no-report"])
    if "--json" in redirection:
        argv = [a for a in argv if a not in ("--json", str(tmp_path / "numbers.json"))]
    done = subprocess.run(
        ["bash", "-c", command, sys.executable, *argv], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert words in done.stderr
    assert len(done.stderr.splitlines()) <= 1 + 15 * ("--json" in redirection)
    assert len(pl.read_parquet(tmp_path / "samples.parquet")) == 36
