"""Killed, out of space, in each other's way: an output is whole, as it was, or absent; never a mixture."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("resource")

from budget import FACTOR, scale
from faults import fill_set
from outputs import (
    assert_old_or_new,
    child_env,
    chosen,
    left,
    one_sentence,
    read_only,
    solving,
    state,
)

import dagame as dg
from dagame.errors import OutputError
from dagame.estimators import reward_table
from dagame.files.output import check_file, check_folder, locked, replacing, replacing_all

SIZES = (0, 1, 100, 1_000, 10_000)


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


IN_PARTS = pytest.mark.parametrize("more", [[], ["--max-memory", "64MiB"]], ids=["", "parts"])


@IN_PARTS
def test_solve_killed_at_changes(forks, samples, tmp_path, more):
    argv = solving(samples, tmp_path, *more)
    other = [*argv, "--beta", "2"]
    assert forks.run(other).code == 0
    new = state(tmp_path)
    count = forks.changes(argv, root=tmp_path)
    old = state(tmp_path)
    assert set(old) == {"samples.parquet", "numbers.json", *([] if more else ["report.html"])}
    assert all(old[name] != new[name] for name in old)
    for k in chosen(count, 3):
        assert forks.run(other, kill=k, root=tmp_path).killed
        assert_old_or_new(state(tmp_path), old, new)
        if state(tmp_path) != old or FACTOR > 1:
            assert forks.run(argv).code == 0
            assert state(tmp_path) == old
    assert forks.run(argv).code == 0
    assert not left(tmp_path)


@IN_PARTS
@pytest.mark.parametrize("fault", ["torn", "full"])
def test_solve_in_the_middle_of_a_write(forks, samples, tmp_path, fault, more):
    argv = solving(samples, tmp_path, *more)
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
    for k in chosen(count - 5, 1):
        outcome = forks.run([*argv, "--beta", "2"], kill=k, root=tmp_path, signal_number=number)
        assert (outcome.code, outcome.said) == (code, said)
        assert state(tmp_path) == old
        assert number == signal.SIGTERM or not left(tmp_path)


def failing(monkeypatch, name):
    """os.replace, which puts results in place, fails for that one."""
    replace = os.replace

    def refuse(source, target):
        if Path(target).name == name:
            raise OSError(errno.EIO, "Input/output error", str(source))
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)


@pytest.mark.parametrize("name", ["folder", "first", "second"])
def test_what_cannot_be_put_in_place_is_kept_and_named(tmp_path, monkeypatch, name):
    write = lambda: fill_set(tmp_path, "new")  # noqa: E731
    write()
    new = state(tmp_path)
    fill_set(tmp_path, "old")
    old = state(tmp_path)
    failing(monkeypatch, name)
    with pytest.raises(
        OutputError, match=f"{name}.* cannot be put in place: Input/output"
    ) as error:
        write()
    assert_old_or_new({k: v for k, v in state(tmp_path).items() if ".kept" not in k}, old, new)
    assert (tmp_path / "folder" / "one").exists(), "the old one, or the new"
    monkeypatch.undo()
    check_file(tmp_path / name) if name != "folder" else check_folder(tmp_path)  # removes nothing
    for moved, target in re.findall(r"(\S+\.kept) to (\S+?)[,.](?: |$)", str(error.value)):
        shutil.rmtree(target) if Path(target).is_dir() else None
        os.replace(moved, target)
    assert state(tmp_path) == new
    assert not left(tmp_path)


def test_an_interrupt_while_results_are_put_in_place_waits_for_that(forks, tmp_path):
    forks.run([tmp_path, "old"], call="faults:write_set")
    call = {"call": "faults:write_set", "root": tmp_path, "signal_number": signal.SIGINT}
    count = forks.changes([tmp_path, "old"], **call)
    old, seen = state(tmp_path), []
    for k in range(count - 14, count + 1):
        assert forks.run([tmp_path, "new"], kill=k, **call).code == 1
        seen.append(state(tmp_path) != old)
        assert len(state(tmp_path)) == 4
        assert len({bytes(content[:3]) for content in state(tmp_path).values()}) == 1
        assert forks.run([tmp_path, "old"], call="faults:write_set").code == 0
        assert not left(tmp_path)
    assert seen == sorted(seen)
    assert sum(seen) > 5


def test_an_error_of_what_is_read_is_not_blamed_on_what_is_written(tmp_path):
    with pytest.raises(FileNotFoundError) as error, replacing(tmp_path / "out"):
        (tmp_path / "input").read_text()
    assert error.value.filename == str(tmp_path / "input")
    with (
        pytest.raises(OutputError, match="out cannot be written"),
        replacing(tmp_path / "out") as d,
    ):
        (d / "below").write_text("")
    assert not left(tmp_path)


def test_a_draft_has_no_draft_of_its_own_that_a_kill_would_leave(tmp_path):
    with replacing(tmp_path / "out") as draft, replacing(draft) as inner:
        assert inner == draft
        inner.write_text("whole")
    assert (tmp_path / "out").read_text() == "whole"
    assert not left(tmp_path)


def test_one_place_is_not_written_twice(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with (
        pytest.raises(OutputError, match="link is to be written twice"),
        replacing_all([tmp_path / "a", tmp_path / "link"]),
    ):
        pass
    assert not left(tmp_path)


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


def test_many_processes_on_one_cache(forks, tmp_path):
    env = [{"DAGAME_CACHE_DIR": str(tmp_path)}] * 3
    many = forks.together(["4", "5", "6"], call="faults:build_tables", env=env, limit=300)
    assert [outcome.code for outcome in many] == [0] * len(many)
    said = {outcome.said for outcome in many}
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
    code = "import faults; faults.hold()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, env=child_env()
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


def test_many_writers_of_one_file(tmp_path):
    code = "import faults; faults.write_often()"
    argv = [sys.executable, "-c", code, str(tmp_path / "file"), str(scale(50))]
    writers = [subprocess.Popen([*argv, name], env=child_env()) for name in "abc"]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        if (tmp_path / "file").exists():
            lines = (tmp_path / "file").read_text().splitlines()
            assert (len(lines), len(set(lines))) == (1000, 1)
            seen.add(lines[0])
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert len(seen) > 10
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


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
