"""Weights, choices and acceptances against the equilibrium that they are to realise."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import chisquare

import dagame as dg
from dagame.errors import DagameError
from dagame.lm.reweight import best_of_n, equilibrium_weights, rejection_sample, weighted_sft_rows


def samples_of(rng, size=30, classes="pq", contexts=3, answers=("1", "2", "3", None)):
    rows = []
    for q in classes:
        for f in range(contexts):
            p = rng.dirichlet(np.ones(len(answers)))
            for k in rng.choice(len(answers), size, p=p):
                text = f"{q}{f}: {answers[k]}"
                rows.append((q, f, f"prompt {q}{f}", text, answers[k]))
    schema = {"q": str, "f": int, "prompt": str, "completion": str, "answer": str}
    return dg.Samples.from_answers(pl.DataFrame(rows, schema=schema, orient="row"), "q", "f")


def empirical(samples, q, f):
    frame = samples.frame.filter((pl.col("q") == q) & (pl.col("f") == f))
    counts = frame["answer"].value_counts()
    return dict(zip(counts["answer"], counts["count"] / len(frame), strict=True))


def test_weights_are_the_ratio_and_average_to_one(rng):
    samples = samples_of(rng)
    found = equilibrium_weights(samples, dg.Coherence(2.0), beta=0.5)
    frame = samples.frame.with_columns(w=found.weight, nu=found.mass, c=found.context)
    means = frame.group_by("q", "f").agg(pl.col("w").mean())
    np.testing.assert_allclose(means["w"].to_numpy(), 1, atol=1e-9)
    assert frame.group_by("q", "f").agg(pl.col("c").n_unique())["c"].to_list() == [1] * 6
    names = ["1", "2", "3", None]
    for q in "pq":
        nu0 = np.array([[empirical(samples, q, f).get(a, 0) for a in names] for f in range(3)])
        best = dg.solve(dg.AlignmentGame(nu0, dg.Coherence(2.0), beta=0.5), tol=1e-12).marginals
        for row in frame.filter(pl.col("q") == q).rows(named=True):
            x, z = row["f"], names.index(row["answer"])
            assert row["nu"] == pytest.approx(best[x, z], abs=1e-5)
            assert row["w"] == pytest.approx(best[x, z] / nu0[x, z], abs=1e-4)


def test_accepted_answers_follow_the_equilibrium(rng):
    samples = samples_of(rng, size=20_000, classes="p", contexts=2)
    found = equilibrium_weights(samples, dg.Coherence(1.0), beta=1.0)
    kept = rejection_sample(found, seed=1)
    frame = samples.frame.with_columns(nu=found.mass, w=found.weight, c=found.context)
    assert kept.rate.shape == (2,)
    for f in range(2):
        rows = frame.filter(pl.col("f") == f)
        accepted = frame[kept.index.tolist()].filter(pl.col("f") == f)
        target = {r["answer"]: r["nu"] for r in rows.rows(named=True)}
        counts = [accepted.filter(pl.col("answer").eq_missing(a)).height for a in target]
        expected = np.array(list(target.values())) * accepted.height
        assert chisquare(counts, expected * sum(counts) / expected.sum()).pvalue > 1e-3
        before = [rows.filter(pl.col("answer").eq_missing(a)).height for a in target]
        unchanged = np.array(before) * accepted.height / rows.height
        assert chisquare(counts, unchanged).pvalue < 1e-6
        rate = kept.rate[rows["c"][0]]
        assert rate == pytest.approx(accepted.height / rows.height)
        assert rate == pytest.approx(1 / rows["w"].max(), rel=0.05)
    again = rejection_sample(found, seed=1)
    np.testing.assert_array_equal(kept.index, again.index)


def test_best_of_n_takes_the_mode_or_the_weight_and_draws_ties(rng):
    samples = samples_of(rng)
    found = equilibrium_weights(samples, dg.Coherence(2.0), beta=0.5)
    frame = samples.frame.with_columns(nu=found.mass, w=found.weight, c=found.context)
    for by, column in (("mode", "nu"), ("weight", "w")):
        chosen = best_of_n(found, by=by, seed=0)
        picked = frame[chosen.tolist()]
        np.testing.assert_array_equal(picked["c"].to_numpy(), np.arange(6))
        top = frame.drop_nulls("answer").group_by("c").agg(pl.col(column).max()).sort("c")
        np.testing.assert_allclose(picked[column].to_numpy(), top[column].to_numpy())
        np.testing.assert_array_equal(chosen, best_of_n(found, by=by, seed=0))
    several = {tuple(best_of_n(found, seed=s)) for s in range(10)}
    assert len(several) > 1
    answers = {tuple(frame[list(rows)]["answer"]) for rows in several}
    assert len(answers) == 1
    with pytest.raises(DagameError, match="mode"):
        best_of_n(found, by="luck")


def test_no_answer_is_chosen_only_where_there_is_no_other():
    frame = pl.DataFrame(
        {"q": ["a"] * 4 + ["b"] * 2, "answer": [None, None, None, "1", None, None]}
    )
    samples = dg.Samples.from_answers(frame, "q")
    chosen = best_of_n(equilibrium_weights(samples, dg.GiniDiversity(0.1), beta=1.0))
    assert chosen[0] == 3
    assert chosen[1] in (4, 5)
    dropped = dg.Samples.from_answers(frame, "q", no_answer="drop")
    found = equilibrium_weights(dropped, dg.GiniDiversity(0.1), beta=1.0)
    np.testing.assert_allclose(found.weight, [0, 0, 0, 1, 0, 0], atol=1e-12)
    np.testing.assert_array_equal(rejection_sample(found).index, [3])
    np.testing.assert_array_equal(best_of_n(found), [3])


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_weighted_rows_are_written_and_read_back(rng, tmp_path, suffix):
    samples = samples_of(rng)
    found = equilibrium_weights(samples, dg.ShannonDiversity(), beta=1.0)
    path = tmp_path / f"rows.{suffix}"
    rows = weighted_sft_rows(found, path, min_weight=0.9)
    read = pl.read_ndjson(path) if suffix == "jsonl" else pl.read_parquet(path)
    assert read.columns == ["prompt", "completion", "weight"]
    assert read.equals(rows)
    assert 0 < len(rows) < len(samples.frame)
    assert rows["weight"].min() > 0.9
    want = samples.frame.with_columns(w=found.weight).filter(pl.col("w") > 0.9)
    assert rows["completion"].to_list() == want["completion"].to_list()


def test_weighted_likelihood_is_greatest_at_the_equilibrium(rng):
    """sum_i w_i log pi(y_i) over tables pi: the weighted frequencies, which are pi*."""
    samples = samples_of(rng, classes="p", contexts=1)
    found = equilibrium_weights(samples, dg.ShannonDiversity(), beta=1.0)
    rows = weighted_sft_rows(found)
    share = rows.group_by("completion").agg(pl.col("weight").sum() / len(samples.frame))
    nu0 = np.array(list(empirical(samples, "p", 0).values()))
    best = np.sort(nu0**0.5 / (nu0**0.5).sum())
    np.testing.assert_allclose(np.sort(share["weight"].to_numpy()), best, atol=1e-6)


def test_what_is_wrong_is_named(rng, tmp_path):
    samples = samples_of(rng)
    found = equilibrium_weights(samples, dg.Coherence(), beta=1.0)
    with pytest.raises(DagameError, match="no column 'text'"):
        weighted_sft_rows(found, completion="text")
    with pytest.raises(DagameError, match=r"suffix '\.csv'"):
        weighted_sft_rows(found, tmp_path / "rows.csv")
    frame = pl.DataFrame({"q": ["a"] * 2, "f": [0, 1], "answer": ["1", "2"]})
    with pytest.raises(DagameError, match="class 'a' has no equilibrium"):
        equilibrium_weights(dg.Samples.from_answers(frame, "q", "f"), dg.HardCoherence(), beta=1.0)


def same(one, other):
    assert one.frame.height == other.frame.height
    for name in ("weight", "mass"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-12)
    for name in ("context", "answered"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("no_answer", ["keep", "drop"])
def test_a_solved_file_or_its_frame_has_the_weights_of_its_samples(rng, tmp_path, no_answer):
    """Also where the file's own answer column makes the written ones take other names."""
    frame = samples_of(rng).frame.sample(fraction=1, shuffle=True, seed=1)
    samples = dg.Samples.from_answers(frame, "q", "f", no_answer=no_answer)
    found = samples.solve(dg.Coherence(2.0), beta=0.5)
    wanted = equilibrium_weights(samples, dg.Coherence(2.0), beta=0.5)
    path = tmp_path / "samples.parquet"
    found.write_rows(path)
    same(equilibrium_weights(found), wanted)
    same(equilibrium_weights(path), wanted)
    same(equilibrium_weights(pl.read_parquet(path), class_by="q", context_by="f"), wanted)
    best, how = best_of_n(wanted), {"objective": dg.Coherence(2.0), "beta": 0.5}
    np.testing.assert_array_equal(best_of_n(str(path)), best)
    np.testing.assert_array_equal(best_of_n(samples, **how), best)
    kept = rejection_sample(found).index
    np.testing.assert_array_equal(rejection_sample(path).index, kept)
    assert weighted_sft_rows(path).equals(weighted_sft_rows(wanted))


def test_the_same_of_samples_in_parts(rng, tmp_path):
    samples_of(rng).frame.write_ndjson(tmp_path / "s.jsonl")
    names = {"class_by": "q", "context_by": "f", "answer": "answer"}
    with dg.Samples.stream(tmp_path / "s.jsonl", **names, max_memory="64MiB") as samples:
        samples.solve(dg.Coherence(2.0), beta=0.5).write_rows(tmp_path / "samples.parquet")
    whole = dg.Samples.read(tmp_path / "s.jsonl", **names).solve(dg.Coherence(2.0), beta=0.5)
    same(equilibrium_weights(tmp_path / "samples.parquet"), equilibrium_weights(whole))


def test_tables_that_tell_too_little_or_another_story_are_refused(rng, tmp_path):
    samples = samples_of(rng)
    rows = samples.solve(dg.Coherence(2.0), beta=0.5).rows
    for wrong, words, how in (
        (pl.DataFrame({"weight": [1.0]}), "Samples.read", {}),
        (samples, "objective= and beta=", {}),
        (rows, "class_by=", {}),
        (rows, "no column 'g'", {"class_by": "g"}),
        (rows, "average to .*, not to 1", {"class_by": "q", "context_by": "answer"}),
        (rows.filter(pl.col("weight") > 1), "rows are missing", {"class_by": "q"}),
        (rows, "leave them out", {"beta": 1.0}),
        (rows.with_columns(pl.lit(None).alias("weight")), "no row", {"class_by": "q"}),
        ({"weight": [1.0]}, "not of dict", {}),
    ):
        with pytest.raises(DagameError, match=words):
            best_of_n(wrong, **how)


def test_weights_and_accepted_rows_show_themselves_in_a_few_lines(rng):
    found = equilibrium_weights(samples_of(rng), dg.Coherence(), beta=1.0)
    for shown in (found, rejection_sample(found)):
        assert len(repr(shown).splitlines()) <= 5
        assert len(repr(shown)) < 400
        assert "array" not in repr(shown)
        assert "<table>" in shown._repr_html_()
