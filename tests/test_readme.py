"""Every number of the README is that of the result file, or of the command, that it comes from."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from commandline import dagame

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
WORDS = " ".join(README.split())


def results(name):
    return json.loads((ROOT / "benchmarks/results" / f"{name}.json").read_text())


def embedded(run, key):
    return np.mean([r[key] for r in results("embedded_lm")["runs"] if r["run"] == run])


def of_capitals(key):
    found = results("real_model")["numbers"]["coherence"]["same"][key]
    return found["before"], found["after"]


def test_the_embedded_model():
    before, after = (embedded("coherence", f"sampled_accuracy {k}") for k in ("before", "after"))
    labels = embedded("labelled", "sampled_accuracy after")
    steps = {len(r["curve"]) for r in results("embedded_lm")["runs"]}
    assert steps == {80}
    assert f"80 such steps take accuracy from {before:.2f} to {after:.2f} on problems" in WORDS
    assert f"never seen (labels: {labels:.2f})" in WORDS


def test_the_real_model():
    one, other = of_capitals("consistency"), of_capitals("sampled accuracy")
    said = "consistency from {:.2f} to {:.2f} and accuracy from {:.2f} to {:.2f} on 20 capitals"
    assert said.format(*one, *other) in WORDS


def test_the_random_games():
    found = results("bench_equivalence")
    refereed = sum(row["solved by cvxpy"] for row in found["rows"])
    worst = max(row["largest difference"] or 0.0 for row in found["rows"])
    assert f"On {refereed:,} random games of every objective" in WORDS
    said = re.search(r"differ by at most ([\d.e-]+) of", WORDS)
    assert 0.95 * float(said[1]) <= worst <= float(said[1])


def test_the_samples_below_which_there_is_no_upper_end():
    from dagame.lm.certificates.tail import pooled_tail

    one = np.zeros(1, dtype=int)
    needed = pooled_tail(np.zeros(1), one, one, risk=0.05).needed
    assert f"Below {needed} samples of the policy in all" in WORDS


def test_the_size_of_the_embedded_model():
    pytest.importorskip("torch")
    from dagame.lm import tiny

    model, _ = tiny.load()
    assert f"{sum(p.numel() for p in model.parameters()):,} parameters" in WORDS


def test_the_example_prints_what_is_shown(tmp_path):
    done = dagame(
        "solve", "--example", "--strength", "10", "--out", "results", cwd=tmp_path, columns=88
    )
    assert done.returncode == 0, done.stderr
    shown = re.search(r"```\n(Agreement would rise.*?)```", README, re.DOTALL)[1]
    assert " ".join(shown.split()) in " ".join(done.stdout.split())
