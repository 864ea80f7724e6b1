"""Solved samples with conformal sets: halves, sets, p-values, what is written and what is refused."""

import itertools
import json

import commandline
import numpy as np
import polars as pl
import pytest

import dagame as dg
from dagame import conformal
from dagame.apps.report import samples_report
from dagame.errors import CalibrationError, InvalidGame
from dagame.samples import Samples
from dagame.samples.metrics import labelled_table


def drawn(seed=0, questions=60, contexts=2, samples=12, unlabelled=0):
    """Rows of questions whose right answer is drawn from what their samples are drawn from."""
    rng = np.random.default_rng(seed)
    rows = []
    for q in range(questions):
        p = rng.dirichlet(np.full(5, 0.6))
        right = None if q < unlabelled else f"a{1 + rng.choice(4, p=p[1:] / p[1:].sum())}"
        for x in range(contexts):
            said = [f"a{z}" if z else None for z in rng.choice(5, samples, p=p)]
            rows += [{"q": f"q{q:03}", "f": f"f{x}", "answer": z, "gold": right} for z in said]
    return pl.DataFrame(rows, infer_schema_length=None)


def solved(frame, objective=None, **options):
    samples = Samples.read(frame, "q", "f", answer="answer", gold="gold", **options)
    return samples.solve(objective or dg.Coherence(1.0), beta=1.0)


def by_hand(frame, calibration, alpha):
    """Sets, p-values of the right answer and coverage from the definitions, question by question."""
    of = {}
    for q, mine in frame.sort("q").group_by("q", maintain_order=True):
        n = len(mine)
        count = mine.drop_nulls("answer").group_by("answer").len()
        scores = {a: round(1 - c / n, 12) for a, c in count.rows()}
        gold = mine["gold"][0]
        of[q[0]] = scores, None if gold is None else scores.get(gold, np.inf)
    names, part = sorted(of), calibration.part
    found = {}
    for name, k in zip(names, part, strict=True):
        source = [
            of[other][1]
            for other, j in zip(names, part, strict=True)
            if (j == 1 - k if k < 2 else j < 2)
        ]
        scores, true = of[name]
        p = {a: (1 + sum(s >= v for s in source)) / (len(source) + 1) for a, v in scores.items()}
        ranked = sorted(source)[int(np.ceil((len(source) + 1) * (1 - alpha) - 1e-9)) - 1]
        found[name] = ({a for a, v in scores.items() if v <= ranked}, p, true, ranked)
    return found


@pytest.mark.parametrize("unlabelled", [0, 15])
@pytest.mark.parametrize("alpha", [0.1, 0.3])
def test_every_question_has_the_set_and_the_p_values_of_the_definition(alpha, unlabelled):
    frame = drawn(unlabelled=unlabelled)
    found = solved(frame).calibrate(alpha, seed=4)
    made, table = found.calibration, found.classes
    known = 60 - unlabelled
    assert sorted(np.bincount(made.part, minlength=3)) == sorted(
        [known // 2, known - known // 2, unlabelled]
    )
    expected = by_hand(frame, made, alpha)
    for row in table.rows(named=True):
        inside, p, true, threshold = expected[row["q"]]
        assert set(row["set"]) == inside
        assert row["set_size"] == len(inside)
        assert row["flag"] == ("empty", "single", "several")[min(len(inside), 2)]
        assert row["p_value"] == pytest.approx(max(p.values()), abs=1e-12)
        if true is None:
            assert row["covered"] is row["p_value_right"] is None
        else:
            assert row["covered"] == (true <= threshold)
            assert row["covered"] == (row["p_value_right"] > alpha + 1e-12)
    assert made.coverage == pytest.approx(table["covered"].mean())
    rows = found.rows
    for name, answer, r, inside in rows.select("q", "answer", "reliability", "in_set").rows():
        if answer is None:
            assert r is None
            assert inside is False
        else:
            assert r == pytest.approx(expected[name][1][answer], abs=1e-12)
            assert inside == (answer in expected[name][0])


def test_coverage_of_many_files_is_the_promise():
    rates = [
        solved(drawn(seed, questions=38, samples=40)).calibrate(0.2, seed=seed).calibration.coverage
        for seed in range(30)
    ]
    assert 0.8 - 3 * 0.07 / np.sqrt(30) <= np.mean(rates) <= 0.85 + 3 * 0.07 / np.sqrt(30)


def test_nothing_depends_on_the_order_of_the_rows_and_the_seed_decides_the_halves():
    frame = drawn()
    one = solved(frame).calibrate(0.1)
    other = solved(frame.sample(fraction=1, shuffle=True, seed=1)).calibrate(0.1)
    columns = ["q", "set", "flag", "covered", "p_value", "p_value_right"]
    assert one.classes.select(columns).equals(other.classes.select(columns))
    assert (solved(frame).calibrate(0.1, seed=1).calibration.part != one.calibration.part).any()
    nested = [solved(frame).calibrate(a).classes["set"] for a in (0.4, 0.2, 0.1)]
    for small, large in itertools.pairwise(nested):
        assert all(set(s) <= set(t) for s, t in zip(small, large, strict=True))


def test_a_right_answer_that_no_sample_gave_is_infinitely_unusual():
    rows = [{"q": f"q{k}", "answer": "a", "gold": "a" if k % 2 else "b"} for k in range(40)]
    found = Samples.read(pl.DataFrame(rows), "q", answer="answer", gold="gold").solve(
        dg.ShannonDiversity(), beta=1.0
    )
    made = found.calibrate(0.2).calibration
    assert made.unseen == 20
    assert made.whole.all()
    assert found.calibrate(0.2).classes["covered"].all()
    assert "never sampled" in str(made)
    assert made.flag.tolist() == ["several"] * 40
    assert "every answer" in samples_report(found.calibrate(0.2))


def test_the_equilibriums_marginals_calibrate_too_unless_they_saw_the_labels():
    frame = drawn()
    found = solved(frame, dg.Coherence(3.0)).calibrate(0.2, marginals="equilibrium")
    assert found.calibration.score == "1 - nu of the equilibrium"
    assert found.calibration.coverage > 0.6
    paid = solved(frame, lambda bucket: dg.Reward(labelled_table(bucket)))
    with pytest.raises(CalibrationError, match="has seen the right answers"):
        paid.calibrate(0.2, marginals="equilibrium")
    assert paid.calibrate(0.2).calibration.coverage > 0.6


def test_what_cannot_be_calibrated_is_one_sentence():
    frame = drawn(questions=20)
    with pytest.raises(CalibrationError, match=r"needs 19 questions .* 38 in all; there are 20"):
        solved(frame).calibrate(0.05)
    with pytest.raises(CalibrationError, match=r"raise alpha to 0\.091 or more"):
        solved(frame).calibrate(0.09)
    solved(frame).calibrate(0.091)
    with pytest.raises(CalibrationError, match="no question has a right answer"):
        solved(drawn(questions=5, unlabelled=5)).calibrate()
    bare = Samples.read(frame, "q", "f", answer="answer").solve(dg.Coherence(), beta=1.0)
    with pytest.raises(CalibrationError, match="--calibrate COLUMN"):
        bare.calibrate()
    wrong = solved(frame.with_columns(pl.lit("z").alias("gold")))
    with pytest.raises(CalibrationError, match="no sample gives the right answer"):
        wrong.calibrate(0.2)
    with pytest.raises(CalibrationError, match="choose 'samples' or 'equilibrium'"):
        solved(frame).calibrate(0.2, marginals="nu")
    with pytest.raises(InvalidGame, match="did you mean '-log nu'"):
        solved(frame).calibrate(0.2, score="log nu")


def test_preferences_of_the_equilibrium_as_rows(tmp_path):
    frame = drawn(questions=20).with_columns(
        pl.concat_str(pl.col("q"), pl.col("f"), separator=" ").alias("prompt"),
        pl.concat_str(pl.lit("so "), pl.col("answer").fill_null("?")).alias("completion"),
    )
    found = solved(frame, dg.Coherence(2.0)).calibrate(0.2)
    rows = dg.lm.preference_rows(found, tmp_path / "pairs.jsonl")
    assert rows.columns == ["prompt", "chosen", "rejected", "weight", "margin"]
    assert len(pl.read_ndjson(tmp_path / "pairs.jsonl")) == len(rows) > 100
    worth = found.rows.with_columns(
        pl.when(pl.col("dagame_answer").is_null())
        .then(0.0)
        .otherwise(pl.col("reliability"))
        .alias("r")
    )
    reward = {(r["prompt"], r["completion"]): (r["reward"], r["r"]) for r in worth.rows(named=True)}
    for row in rows.rows(named=True):
        (u, r), (v, s) = (reward[row["prompt"], row[c]] for c in ("chosen", "rejected"))
        assert row["margin"] == pytest.approx(u - v, abs=1e-12)
        assert row["margin"] > 0
        assert row["weight"] == pytest.approx((r + s) / 2, abs=1e-12)
    assert not any(row["chosen"] == "so ?" for row in rows.rows(named=True))
    one = dg.lm.preference_rows(found, most=1)
    assert len(one) <= 40
    assert (dg.lm.preference_rows(solved(frame))["weight"] == 1).all()


# -- the command line -----------------------------------------------------------------------------


def dagame(*arguments):
    return commandline.dagame("solve", *arguments)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("drawn") / "s.jsonl"
    drawn().with_columns(right=pl.col("answer").eq_missing(pl.col("gold"))).write_ndjson(path)
    return path


def test_solve_calibrate_writes_sets_p_values_and_coverage(file, tmp_path):
    out = tmp_path / "out"
    asked = (file, "--class", "q", "--context", "f", "--answer", "answer", "--calibrate", "gold")
    done = dagame(*asked, "--alpha", 0.2, "--seed", 3, "--out", out, "--json", tmp_path / "s.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "s.json").read_text())
    made = solved(pl.read_ndjson(file)).calibrate(0.2, seed=3)
    assert found["calibration"] == json.loads(json.dumps(made.calibration.as_dict()))
    assert [row["set"] for row in found["classes"]] == made.classes["set"].to_list()
    assert f"{made.calibration.coverage:.3f} of 60 questions, promised 0.8" in done.stdout
    rows = pl.read_parquet(out / "samples.parquet")
    assert {"reliability", "in_set"} <= set(rows.columns)
    page = (out / "report.html").read_text()
    assert "How far an answer can be trusted" in page
    assert f"{made.calibration.coverage:.3f} of 60 questions" in page
    again = dagame(*asked[:-2], "--correct", "right", "--calibrate", "right", "--json", "-")
    labels = json.loads(again.stdout)["calibration"]
    assert labels["labelled"] == 60


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--calibrate", "gold", "--alpha", 0.001), "needs 999 questions"),
        (("--calibrate", "gold", "--alpha", 1.5), "between 0 and 1"),
        (("--calibrate", "gold", "--seed", -1), "--seed is -1"),
        (("--calibrate", "gild"), "did you mean 'gold'"),
        (("--calibrate", "gold", "--gold", "f"), "one column says what is right"),
        (("--calibrate", "gold", "--correct", "right"), "not both"),
        (("--alpha", 0.1), "--alpha belongs to --calibrate"),
        (("--calibrate", "f"), "no sample gives the right answer"),
    ],
)
def test_what_is_refused_is_one_sentence(file, more, said):
    done = dagame(file, "--class", "q", "--context", "f", "--answer", "answer", *more)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_reliability_can_be_the_reward_of_a_game():
    found = solved(drawn()).calibrate(0.2)
    for bucket, p in zip(found.buckets, found.calibration.p_values, strict=True):
        soft = np.nan_to_num(p)[:, None, :]
        game = dg.AlignmentGame(bucket.reference, dg.Reward(soft), beta=1.0)
        best = dg.solve(game)
        assert (best.value >= game.value(bucket.reference) - 1e-12).all()
        assert conformal.pair_weights(soft, soft).max() <= 1
