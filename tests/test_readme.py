"""Every number of the README is that of the result file, or of the command, that it comes from."""

import doctest
import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from commandline import dagame

from dagame.errors import DagameError

PARSER = doctest.DocTestParser()
ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# an output stands below its command, as comments
WORDS = " ".join(re.sub(r"^# ", "", README, flags=re.MULTILINE).split())


def results(name):
    return json.loads((ROOT / "benchmarks/results" / f"{name}.json").read_text())


def embedded(run, key):
    return np.mean([r[key] for r in results("embedded_lm")["runs"] if r["run"] == run])


def of_capitals(key):
    found = results("real_model")["numbers"]["coherence"]["same"][key]
    return found["before"], found["after"]


def test_the_line_of_facts():
    """In place of badges, which would need a server that tests and an index that lists this."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    least = project["requires-python"].removeprefix(">=")
    line = f"Python {least} or newer · version {project['version']} · {project['license']} ·"
    assert line in WORDS
    for link in re.findall(r"\]\(((?:docs|paper_figs)/[^)#]*)", README):
        assert (ROOT / link).is_file(), link


def test_the_embedded_model():
    before, after = (embedded("coherence", f"sampled_accuracy {k}") for k in ("before", "after"))
    labels = embedded("labelled", "sampled_accuracy after")
    steps = {len(r["curve"]) for r in results("embedded_lm")["runs"]}
    assert steps == {80}
    assert (
        f"80 steps of training take accuracy from {before:.2f} to {after:.2f} on problems" in WORDS
    )
    assert f"never seen (labels: {labels:.2f})" in WORDS


def test_the_verdict_of_the_example_that_trains():
    """Of the run whose numbers are kept; that the example still runs is tested with it."""
    from dagame.lm.comparison import Compared, verdict

    found = results("embedded_example")
    assert found["command"] in README
    kept = found["evaluation"]
    ends = [key for key in kept["measures"][0] if key.endswith("interval")]
    rows = [
        Compared(**row | {key: None if row[key] is None else tuple(row[key]) for key in ends})
        for row in kept["measures"]
    ]
    where = f"On {kept['settings']['questions']} questions held out of the training"
    assert verdict(rows, where) in WORDS


def test_the_real_model():
    one, other = of_capitals("consistency"), of_capitals("sampled accuracy")
    said = "consistency from {:.2f} to {:.2f} and accuracy from {:.2f} to {:.2f} on 20 capitals"
    assert said.format(*one, *other) in WORDS


def test_the_random_games():
    """What the command says of the run whose numbers are kept, and what its rows say."""
    from dagame.bench.equivalence import verdict

    rows = results("bench_equivalence")["rows"]
    refereed = sum(row["solved by cvxpy"] for row in rows)
    worst = max(row["largest difference"] or 0.0 for row in rows)
    assert verdict(rows) in WORDS
    assert f"On {refereed:,} random games" in WORDS
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


def test_the_mistake_is_named_as_shown():
    """Doctest leaves the text of an exception out."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    code = "".join(f"{e.source}" for block in blocks for e in PARSER.get_examples(block))
    with pytest.raises(DagameError) as raised:
        exec(code, {})
    shown = WORDS.partition("InvalidObjective: ")[2].partition("```")[0]
    start, end = (" ".join(part.split()) for part in shown.split("..."))
    said = " ".join(str(raised.value).split())
    assert said.startswith(start)
    assert said.endswith(end)


def test_the_example_prints_what_is_shown(tmp_path):
    done = dagame(
        "solve", "--example", "--strength", "10", "--out", "results", cwd=tmp_path, columns=88
    )
    assert done.returncode == 0, done.stderr
    shown = re.search(r"Agreement would rise.*? is right in [\d.]+\.", WORDS)[0]
    assert shown in " ".join(done.stdout.split())


def test_the_coverage_of_the_verdicts_intervals():
    """Every cell of the table of docs/theory/samples.md is that of its result file."""
    page = (ROOT / "docs/theory/samples.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| \d+ \| \d+ \| \*\*.*$", page, re.MULTILINE)
    found = results("verdict_coverage")["rows"]
    assert len(lines) == len(found) == 15
    for line, row in zip(lines, found, strict=True):
        covers = {k: row[f"{k} covers (ii)"] for k in ("held out", "noise alone", "plug-in")}
        least = {k: row[f"{k} (ii) least"] for k in ("held out", "noise alone")}
        said = [
            f"{row['K']}",
            f"{row['questions']}",
            f"**{covers['held out']:.2f}** ({least['held out']:.2f})",
            f"{row['held out width']:.3f}",
            f"{covers['noise alone']:.2f} ({least['noise alone']:.2f})",
            f"{row['noise alone width']:.3f}",
            f"{row['held out covers (i)']:.2f}",
            f"{covers['plug-in']:.2f}",
            f"{row['plug-in covers (i)']:.2f}",
        ]
        assert [cell.strip() for cell in line.strip("| ").split("|")] == said
