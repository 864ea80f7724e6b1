"""`dagame sample` with the embedded model: killed runs, other settings, columns, solve."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from dagame.errors import DagameError
from dagame.lm.engines.questions import prompts_of
from dagame.lm.engines.sampling_run import sample_to
from dagame.lm.engines.transformers import TransformersEngine
from dagame.lm.tiny import problems
from dagame.lm.tiny.llama import __file__ as place
from dagame.samples import Samples

WEIGHTS = os.path.join(os.path.dirname(place), "weights")
OPTIONS = {"samples": 4, "seed": 3, "settings": {"max_new_tokens": 24}}


@pytest.fixture
def questions(tmp_path):
    rows = [row | {"extra": {"n": 1}} for row in problems.rows("test", 5)]
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_killed_run_ends_with_the_same_file(tmp_path, questions):
    command = [sys.executable, "-m", "dagame", "sample", WEIGHTS, str(questions)]
    command += ["--prompt", "prompt", "--class", "class_id", "--context", "member_id"]
    command += ["--samples", "4", "--max-new-tokens", "24", "--out"]
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    partial = tmp_path / "killed.jsonl.partial"
    run = subprocess.Popen([*command, str(killed)])
    while run.poll() is None and not (partial.exists() and partial.read_bytes().count(b"\n") > 2):
        time.sleep(0.001)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL and not killed.exists()
    with partial.open("ab") as stream:
        stream.write(b'[{"torn')
    other = subprocess.run([*command, str(killed), "--seed", "1"], capture_output=True, text=True)
    assert other.returncode == 2 and "other settings" in other.stderr
    for out in (killed, whole):
        subprocess.run([*command, str(out)], check=True)
    assert killed.read_bytes() == whole.read_bytes() and not partial.exists()
    samples = Samples.read(str(whole), "class", "context", extract=problems.extract)
    assert len(samples.frame) == 4 * len(questions.read_text().splitlines())


def test_unknown_fields_and_columns_name_the_nearest(questions):
    with pytest.raises(DagameError, match="did you mean 'prompt'"):
        prompts_of(str(questions), templates=["Say {promt}"])
    with pytest.raises(DagameError, match="did you mean 'class_id'"):
        prompts_of(str(questions), "prompt", "clas_id")


def test_parquet_by_suffix(tmp_path, questions):
    rows = prompts_of(str(questions), "prompt", "class_id", "member_id")[:2]
    out = tmp_path / "o.parquet"
    drawn = sample_to(out, TransformersEngine(WEIGHTS, 24, 1.0), rows, **OPTIONS)
    import polars as pl

    assert pl.read_parquet(out)["completion"].to_list() == [r["completion"] for r in drawn]
