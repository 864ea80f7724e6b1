"""What tests of outputs share: a run of `dagame solve`, what it left, how it was told; disks of their own."""

import os
import re
import subprocess
from contextlib import contextmanager

import numpy as np
import pytest
from budget import scale
from forks import ROOT


def solving(samples, out, *more):
    columns = ["--class", "question", "--context", "format", "--extract", r"Answer: (\S+)"]
    return ["solve", samples, *columns, "--out", out, "--json", out / "numbers.json", *more]


def state(folder):
    """What is in a folder, times left out; temporaries by their number."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".part"):
        content = path.read_bytes()
        content = re.sub(rb'solved in [\d.]+ s|dagame, \d+ s|"seconds": [\d.e-]+', b"", content)
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


def child_env():
    """For processes of their own that import this folder's modules."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.path.dirname(__file__)])}


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
