"""Files to classes, contexts, answers; every class solved; against plain Python counting."""

import gzip
import json
from collections import Counter, defaultdict

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dagame as dg
from dagame.samples import Samples
from dagame.samples.metrics import agreement, labelled_table

ROWS = [
    {"q": "a", "f": "x", "completion": "#### 1", "ok": 1},
    {"q": "a", "f": "x", "completion": "#### 2", "ok": 0},
    {"q": "a", "f": "y", "completion": "#### 1", "ok": 1},
    {"q": "a", "f": "y", "completion": "none", "ok": 0},
    {"q": "b", "f": "x", "completion": "#### 5", "ok": 0},
    {"q": "b", "f": "y", "completion": "#### 5", "ok": 0},
]


def write(path, rows):
    text = "".join(json.dumps(r) + "\n" for r in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif path.suffix == ".jsonl":
        path.write_text(text)
    elif path.suffix == ".parquet":
        pl.DataFrame(rows).write_parquet(path)
    else:
        pl.DataFrame(rows).write_csv(path, separator="\t" if path.suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("name", ["s.jsonl", "s.csv", "s.tsv", "s.parquet", "s.jsonl.gz"])
def test_every_format_gives_the_same_game(tmp_path, name):
    samples = Samples.read(
        write(tmp_path / name, ROWS), "q", "f", extract="gsm8k", correct="ok", canonical="number"
    )
    assert samples.partition.class_names == [("a",), ("b",)]
    assert samples.partition.answer_keys(0) == ["1", "2", None]
    found = samples.solve(dg.Coherence(1.0), beta=1.0)
    s = found.summary
    assert (s["classes"], s["contexts"], s["samples"], s["answers"]) == (2, 4, 6, 4)
    assert s["no_answer"] == pytest.approx(0.125)
    assert s["accuracy_reference"] == pytest.approx(0.25)
    assert s["majority_accuracy"] == pytest.approx(0.5)
    assert s["max_gap"] < 1e-11


rows = st.lists(
    st.tuples(
        st.sampled_from("abcde"),
        st.sampled_from("xyz"),
        st.sampled_from(["1", "2", "3", "10", None]),
        st.sampled_from([0.0, 1.0, 0.5, None]),
    ),
    min_size=1,
    max_size=40,
)


@given(rows, st.sampled_from(["keep", "drop"]))
def test_counts_and_metrics_against_plain_python(rows, no_answer):
    if no_answer == "drop" and all(r[2] is None for r in rows):
        return
    frame = pl.DataFrame(
        rows, schema={"q": str, "f": str, "answer": str, "ok": float}, orient="row"
    )
    samples = Samples.from_answers(frame, "q", "f", correct="ok", no_answer=no_answer)
    counts = defaultdict(Counter)
    labels = defaultdict(list)
    for q, f, a, ok in rows:
        if a is not None or no_answer == "keep":
            counts[q, f][a] += 1
            if ok is not None:
                labels[q, a].append(ok)
    partition = samples.partition
    seen = {}
    for bucket in partition.buckets():
        for k, c in enumerate(bucket.classes):
            (q,), answers = partition.class_names[c], partition.answer_keys(int(c))
            for x, (f,) in enumerate(partition.context_names(int(c))):
                row = bucket.counts[k, x]
                seen[q, f] = Counter({a: int(row[j]) for j, a in enumerate(answers) if row[j]})
                assert row[len(answers) :].sum() == 0
            for j, a in enumerate(answers):
                want = np.mean(labels[q, a]) if labels[q, a] else np.nan
                np.testing.assert_allclose(bucket.correct[k, j], want)
    assert seen == dict(counts)
    assert set(partition.lost_classes) == {(q,) for q, *_ in rows} - {(q,) for q, _ in counts}


@given(rows)
def test_row_weights_average_to_one_and_match_a_single_game(rows):
    frame = pl.DataFrame(
        rows, schema={"q": str, "f": str, "answer": str, "ok": float}, orient="row"
    )
    found = Samples.from_answers(frame, "q", "f").solve(dg.Coherence(2.0), beta=0.5)
    table = found.rows
    assert len(table) == len(rows)
    mean = table.group_by("q", "f").agg(pl.col("weight_normalised").mean())
    np.testing.assert_allclose(mean["weight_normalised"].to_numpy(), 1)
    np.testing.assert_allclose(table["weight"].to_numpy(), table["weight_normalised"].to_numpy())
    q = rows[0][0]
    mine = [r for r in rows if r[0] == q]
    contexts = sorted({r[1] for r in mine})
    answers = sorted({r[2] for r in mine}, key=lambda a: (a is None, a))
    nu0 = np.array(
        [[sum(r[1] == f and r[2] == a for r in mine) for a in answers] for f in contexts], float
    )
    nu0 /= nu0.sum(-1, keepdims=True)
    one = dg.solve(dg.AlignmentGame(nu0, dg.Coherence(2.0), beta=0.5), tol=1e-12)
    for row, weight in zip(rows, table["weight"], strict=True):
        if row[0] == q:
            x, z = contexts.index(row[1]), answers.index(row[2])
            assert weight == pytest.approx(one.marginals[x, z] / nu0[x, z], abs=1e-4)
    value = found.classes.filter(pl.col("q") == q)["value"][0]
    assert value == pytest.approx(float(one.value), abs=1e-9)


def test_order_of_rows_does_not_matter(rng):
    frame = pl.DataFrame(ROWS).with_columns(answer=pl.col("completion").str.extract(r"#### (\d)"))
    shuffled = frame[rng.permutation(len(frame)).tolist()]
    one, other = (Samples.from_answers(f, "q", "f", correct="ok") for f in (frame, shuffled))
    a, b = (s.solve(dg.ShannonDiversity(), beta=1.0) for s in (one, other))
    assert a.classes.equals(b.classes)


def test_one_context_drop_abstain_and_several_class_columns(tmp_path):
    path = write(tmp_path / "s.jsonl", [*ROWS, {"q": "c", "f": "x", "completion": "?", "ok": 0}])
    dropped = Samples.read(path, ["q", "f"], extract="gsm8k", no_answer="drop")
    assert dropped.partition.class_names[0] == ("a", "x")
    assert dropped.partition.lost_classes == (("c", "x"),)
    found = dropped.solve(dg.GiniDiversity(), beta=1.0)
    assert found.summary["agreement_reference"] is None
    assert found.rows["weight"].null_count() == 2
    abstained = Samples.read(path, "q", "f", extract="gsm8k", abstain="^2$")
    assert abstained.partition.answer_keys(0) == ["1", None]


def test_a_reward_from_labels_and_the_batched_game(tmp_path):
    samples = Samples.read(
        write(tmp_path / "s.jsonl", ROWS), "q", "f", extract="gsm8k", correct="ok"
    )
    found = samples.solve(lambda bucket: dg.Reward(labelled_table(bucket)), beta=0.1)
    assert found.summary["accuracy_equilibrium"] > found.summary["accuracy_reference"]
    game = samples.game(dg.Coherence(), beta=1.0)
    assert game.log_reference.shape[0] == 2
    values = dg.solve(game).value
    np.testing.assert_allclose(
        values.mean(), samples.solve(dg.Coherence(), beta=1.0).summary["mean_value"]
    )
    ragged = Samples.from_answers(
        pl.DataFrame({"q": ["a", "a", "b"], "f": ["x", "y", "x"], "answer": ["1", "1", "2"]}),
        "q",
        "f",
    )
    with pytest.raises(dg.DagameError, match="1 to 2 contexts"):
        ragged.game(dg.Coherence(), beta=1.0)
    assert ragged.solve(dg.Coherence(), beta=1.0).summary["solved"] == 2


def test_agreement_by_its_definition(rng):
    nu = rng.dirichlet(np.ones(4), (2, 3))
    pairs = [[nu[b, x] @ nu[b, y] for x in range(3) for y in range(3) if x != y] for b in range(2)]
    np.testing.assert_allclose(agreement(nu), np.mean(pairs, axis=1))


def test_infeasible_classes_are_named_and_the_others_solved():
    frame = pl.DataFrame(
        {"q": ["a", "a", "b", "b"], "f": ["x", "y"] * 2, "answer": ["1", "1", "1", "2"]}
    )
    found = Samples.from_answers(frame, "q", "f").solve(dg.HardCoherence(), beta=1.0)
    assert found.summary["infeasible"] == ["b"]
    assert found.summary["solved"] == 1
    assert found.summary["mean_value"] == 0
    assert found.classes["status"].to_list() == ["solved", "infeasible"]


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("s.txt", "x", {}, "suffix '.txt'"),
        ("s.jsonl", "", {}, "holds no samples"),
        ("s.jsonl", '{"q": 1, "completion": "#### 1"}\n{"q": 1,\n', {}, "line 2: not valid JSON"),
        ("s.jsonl", '{"q": 1, "completion": "#### 1"}\n[3]\n', {}, "line 2"),
        ("s.csv", "q,completion\n1,a\n1,a,b\n", {}, "line 3: 3 fields"),
        ("s.parquet", "junk", {}, "no readable Parquet"),
        ("s.jsonl", '{"q": 1, "completion": "one"}\n', {}, "no sample has an answer"),
        ("s.jsonl", '{"q": 1, "complete": "#### 1"}\n', {}, "did you mean 'complete'"),
        ("s.jsonl", '{"q": 1, "completion": 5}\n', {}, "not text"),
        ("s.jsonl", '{"q": null, "completion": "#### 1"}\n', {}, "empty in row 1"),
        (
            "s.jsonl",
            '{"q": 1, "completion": "#### 1", "ok": 2}\n',
            {"correct": "ok"},
            r"in \[0, 1\]",
        ),
        ("s.jsonl", '{"q": 1, "completion": "#### 1", "ok": "y"}\n', {"correct": "ok"}, "booleans"),
        ("s.jsonl", '{"q": 1, "completion": "#### 1"}\n', {"no_answer": "lose"}, "choose 'keep'"),
        ("s.jsonl", '{"q": 1, "completion": "#### 1"}\n', {"on_error": "go"}, "choose 'stop'"),
        ("s.jsonl", '{"q": 1, "completion": "#### 1"}\n', {"abstain": "("}, "abstain pattern"),
    ],
)
def test_bad_files(tmp_path, name, content, options, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(dg.DagameError, match=message):
        Samples.read(path, "q", extract="gsm8k", **options)


def test_malformed_lines_can_be_skipped_and_are_counted(tmp_path):
    path = tmp_path / "s.jsonl"
    good = '{"q": 1, "completion": "#### 1"}\n'
    path.write_text(good + "{broken\n" + good + "17\n")
    samples = Samples.read(path, "q", extract="gsm8k", on_error="skip")
    assert samples.skipped_lines == (2, 4)
    assert samples.solve(dg.Coherence(), beta=1.0).summary["skipped_lines"] == 2


def test_missing_and_odd_paths(tmp_path):
    for path, message in ((tmp_path, "folder"), (tmp_path / "no.jsonl", "does not exist")):
        with pytest.raises(dg.DagameError, match=message):
            Samples.read(path, "q")


def test_columns_may_be_called_anything():
    names = ["class", "context", "answer", "index", "gap", "samples"]
    frame = pl.DataFrame({name: ["a", "a", "b"] for name in names}).with_columns(
        context=pl.Series(["x", "y", "x"])
    )
    found = Samples.from_answers(frame, ["class", "gap", "samples"], ["context", "index"]).solve(
        dg.Coherence(), beta=1.0
    )
    assert found.summary["solved"] == 2
    assert {"class", "gap (class)", "samples (class)"} <= set(found.classes.columns)
    assert "dagame_answer" in found.rows.columns


def test_parts_of_a_bucket_give_what_the_whole_gives(rng, monkeypatch):
    """Also from a function of buckets, and with tables of an objective."""
    rows = {"q": rng.integers(0, 30, 900), "f": rng.integers(0, 2, 900)}
    answers = pl.Series(rng.integers(0, 4, 900)).cast(pl.String)
    frame = pl.DataFrame(rows).with_columns(answer=answers, ok=pl.Series(answers == "1"))
    samples = Samples.from_answers(frame, "q", "f", correct="ok")

    def objective(bucket):
        return dg.Coherence(1.0) + dg.Reward(labelled_table(bucket))

    whole = samples.solve(objective, beta=1.0)
    monkeypatch.setattr("dagame.samples.games._CELLS", 40)
    parts = samples.solve(objective, beta=1.0)
    assert len(parts.buckets) > len(whole.buckets)
    assert parts.rows.equals(whole.rows)
    assert parts.classes.equals(whole.classes)
    assert parts.verdict == whole.verdict
    whole.summary.pop("seconds"), parts.summary.pop("seconds")
    assert parts.summary == whole.summary
