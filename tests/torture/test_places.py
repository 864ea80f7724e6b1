"""Full, read-only and odd places, links, devices, and a standard output that takes nothing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

pytest.importorskip("resource")

from outputs import is_root, mounted, one_sentence, read_only, solving

from dagame.errors import OutputError
from dagame.files.output import check_file, write_json


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


def device(folder, name, minor):
    """A device of root's own, who could replace the real one; others have no rights in /dev."""
    if not is_root():
        return Path("/dev") / name
    subprocess.run(["mknod", folder / name, "c", "1", str(minor)], check=True)
    return folder / name


def test_links_are_followed_and_devices_stay(tmp_path):
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    write_json(link, {"a": 1})
    assert link.is_symlink()
    assert json.loads(real.read_text()) == {"a": 1}
    assert real.stat().st_mode & 0o777 == 0o640
    null, full = device(tmp_path, "null", 3), device(tmp_path, "full", 7)
    write_json(check_file(null), {"a": 1})
    assert null.is_char_device()
    with pytest.raises(OutputError, match="full cannot be written: No space"):
        write_json(check_file(full), {"a": 1})
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


def test_an_error_with_standard_error_closed_stays_off_standard_output(tmp_path):
    command = [sys.executable, "-m", "dagame", "solve", tmp_path / "none.jsonl", "--class", "q"]
    shell = ["bash", "-c", '"$@" 2>&-', "bash", *map(str, command)]
    done = subprocess.run(shell, capture_output=True, timeout=300)
    assert (done.returncode, done.stdout) == (2, b"")


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
    assert len(done.stderr.splitlines()) <= 1 + 20 * ("--json" in redirection)
    assert len(pl.read_parquet(tmp_path / "samples.parquet")) == 36
