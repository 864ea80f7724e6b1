"""Files as people have them: the same samples in every layout are the same classes, contexts, answers."""

import json
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from commandline import dagame
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import LAYOUTS

import dagame as dg
from dagame.samples import Samples

ROWS = [
    {"q": q, "f": f, "completion": text, "ok": ok}
    for q, f, text, ok in (
        ("a", "x", "so #### 1", 1), ("a", "x", "#### 2", 0), ("a", "y", "[1] #### 1", 1),
        ("a", "y", '{"a": 1}', 0), ("b", "x", "é\n#### 5", 0), ("b", "y", "#### 5", 0),
        ("b", "y", "#### 6", 1),
    )
]  # fmt: skip


def partition(samples, named=str):
    """{(class, context): {answer: (count, mean correctness)}}; contexts by the last part of their name."""
    found = {}
    table = samples.partition
    for bucket in table.buckets():
        for k, c in enumerate(bucket.classes):
            keys = table.answer_keys(int(c))
            for x, (*_, f) in enumerate(table.context_names(int(c))):
                for j, key in enumerate(keys):
                    if bucket.counts[k, x, j]:
                        right = None if bucket.correct is None else float(bucket.correct[k, j])
                        name = table.class_names[c][0], named(f)
                        found.setdefault(name, {})[key] = int(bucket.counts[k, x, j]), right
    return found


def counted(rows):
    """The same by plain Python."""
    found, labels = {}, {}
    for row in rows:
        *_, key = [None, *re.findall(r"####[ ]*(\d+)", row["completion"])]
        found.setdefault((row["q"], row["f"]), Counter())[key] += 1
        labels.setdefault((row["q"], key), []).append(row["ok"])
    mean = {name: sum(values) / len(values) for name, values in labels.items()}
    return {n: {k: (c, mean[n[0], k]) for k, c in keys.items()} for n, keys in found.items()}


def read(source, options, **more):
    return Samples.read(source, extract="gsm8k", canonical="exact", **options, **more)


def first_part(name):
    return name.split(".")[0]


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_the_same_partition(tmp_path, name):
    source, options = LAYOUTS[name](tmp_path, ROWS)
    samples = read(source, options)
    assert partition(samples, first_part) == counted(ROWS)
    assert len(samples.frame) == len(ROWS)
    assert samples.solve(dg.Coherence(1.0), beta=1.0).summary["solved"] == 2


rows = st.lists(
    st.fixed_dictionaries(
        {
            "q": st.sampled_from(["a", "b", "1", "é"]),
            "f": st.sampled_from(["x", "y", "z"]),
            "completion": st.sampled_from(
                ["#### 1", "#### 2", "no", "[#### 1]", '["#### 3"]', "{", "a,b\n#### 1", '"#### 2"']
            ),
            "ok": st.sampled_from([0, 1]),
        }
    ),
    min_size=1,
    max_size=12,
).filter(lambda rows: any("####" in row["completion"] for row in rows))


@given(rows, st.sampled_from(sorted(LAYOUTS)))
@settings(max_examples=80)
def test_any_rows_in_any_layout(made, name):
    with tempfile.TemporaryDirectory() as folder:
        source, options = LAYOUTS[name](Path(folder), made)
        assert partition(read(source, options), first_part) == counted(made)


# -- as a user would ------------------------------------------------------------------------------

SPELLED = {"class_by": "class", "context_by": "context", "correct_range": "correct-range"}


def command(source, options, out, *more):
    """The arguments of `dagame solve` that say the same."""
    paths = source if isinstance(source, list) else [source]
    arguments = ["solve", *map(str, paths)]
    for name, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            text = ",".join(map(str, one)) if isinstance(one, tuple) else str(one)
            arguments.append(f"--{SPELLED.get(name, name)}={text}")
    return [*arguments, "--extract", "gsm8k", "--out", str(out), "--no-report", *more]


@pytest.mark.parametrize("name", [n for n in LAYOUTS if n not in ("frame", "list_of_rows")])
def test_every_layout_by_the_command_line(tmp_path, name, monkeypatch):
    from dagame.apps import cli

    source, options = LAYOUTS[name](tmp_path, ROWS)
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["dagame", *command(source, options, out)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code in (0, None)
    answers = pl.read_parquet(out / "samples.parquet")["answer"].to_list()
    keys = [n for row in counted(ROWS).values() for k, (c, _) in row.items() for n in [k] * c]
    assert Counter(answers) == Counter(keys)


@pytest.mark.parametrize(
    "name",
    [
        "plain", "pretty_array", "packed_zst", "packed_zip", "comma_separated", "semicolon_separated",
        "parquet",
    ],
)  # fmt: skip
def test_standard_input(tmp_path, name):
    source, options = LAYOUTS[name](tmp_path, ROWS)
    done = dagame(*command("-", options, tmp_path / "out"), input=source.read_bytes(), text=False)
    assert done.returncode == 0, done.stderr
    assert b"2 solved" in done.stdout


def test_aliases_of_the_options_and_notes(tmp_path):
    path = tmp_path / "s.jsonl"
    row = {"q": 1, "p": 1, "response": ["#### 1", "#### 2"], "finish_reason": ["stop", "length"]}
    path.write_text(json.dumps(row) + "\n")
    arguments = ["--question", "q", "--phrasing", "p", "--json", "-", "--extract", "gsm8k"]
    done = dagame("solve", path, *arguments, text=False)
    assert done.returncode == 0, done.stderr
    notes = json.loads(done.stdout)["summary"]["notes"]
    assert notes[:2] == [
        "completions taken from the column 'response'.",
        "completions cut off, which have no answer: 1.",
    ]
    for note in notes:
        assert note.encode() in done.stderr


SHARED = next(
    (
        d
        for d in (Path(__file__).parents[k] / ".." / "shared" / "data" for k in (3, 4))
        if d.exists()
    ),
    None,
)


@pytest.mark.skipif(SHARED is None, reason="the real samples are not at hand")
def test_real_files_by_one_command_each():
    faithful = {"class_by": "id", "context_by": "format", "answer": "answer", "correct": "correct"}
    for name, before, majority in (("date", 0.670, 0.874), ("gsm8k", 0.456, 0.901)):
        found = Samples.read(SHARED / "faithful_cot" / f"{name}.jsonl.gz", **faithful)
        told = found.solve(dg.Coherence(1.0), beta=1.0).summary
        assert told["accuracy_reference"] == pytest.approx(before, abs=1e-3)
        assert told["majority_accuracy"] == pytest.approx(majority, abs=1e-3)
    sac3 = Samples.read(
        SHARED / "sac3" / "prime-500-SC.json", "question", "question_perturb",
        completion="perb_evaluations", extract=r"^\W*(?i:(yes|no))\b", canonical="casefold",
    )  # fmt: skip
    assert (len(sac3.partition), len(sac3.frame)) == (500, 5000)
    assert set(sac3.partition.contexts_per_class) == {10}
