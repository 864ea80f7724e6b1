"""What solved samples amount to: the sentence is true, classes that stay are told, other strengths agree."""

import numpy as np
import polars as pl
import pytest

import dagame as dg
from dagame.apps.sample_file import sample_file
from dagame.samples import Samples
from dagame.samples.verdict import FACTORS, _Change, _changes, at_strength, curve


def solved(counts, objective=None, beta=1.0, correct=None):
    """Counts {class: {context: {answer: samples}}}, solved."""
    rows = [
        {"q": q, "f": f, "answer": a, "ok": float(a == (correct or {}).get(q))}
        for q, contexts in counts.items()
        for f, answers in contexts.items()
        for a, count in answers.items()
        for _ in range(count)
    ]
    samples = Samples.from_answers(
        pl.DataFrame(rows), "q", "f", correct=None if correct is None else "ok"
    )
    return samples.solve(dg.Coherence(1.0) if objective is None else objective, beta=beta)


def kinds(found):
    return [caution.kind for caution in found.reading.warnings]


MOVES = {"x": {"1": 3, "2": 1}, "y": {"1": 1, "2": 3}}


def test_a_game_that_moves_has_no_warning():
    found = solved({"a": MOVES, "b": MOVES})
    assert kinds(found) == []
    assert found.verdict.startswith("Agreement would rise from 0.38 to ")


@pytest.mark.parametrize(
    ("contexts", "why"),
    [
        ({"x": {"1": 1}, "y": {"2": 1}}, "every context has one sample"),
        ({"x": {"1": 4}, "y": {"2": 4}}, "every context always gives one answer"),
        ({"x": {"1": 3, "2": 1}}, "there is one context"),
        ({"x": {"1": 3, "2": 1}, "y": {"1": 3, "2": 1}}, "pays every answer alike"),
    ],
)
def test_classes_in_which_no_policy_moves_are_told_with_the_reason(contexts, why):
    found = solved({"a": contexts, "b": contexts})
    (caution,) = found.reading.warnings
    assert caution.kind == "no policy moves"
    assert why in caution.sentence
    assert "2 of 2" in caution.sentence
    assert found.verdict == f"Nothing would change: {found.verdict.split(': ')[1]}"
    assert why in found.verdict
    one = solved({"a": contexts, "b": MOVES, "c": MOVES})
    assert "no policy moves" not in kinds(one)


def test_one_context_is_no_warning_where_the_objective_moves_it():
    assert kinds(solved({"a": {"x": {"1": 3, "2": 1}}}, dg.ShannonDiversity())) == []


def test_contexts_that_others_have_are_missed():
    found = solved({"a": MOVES, "b": MOVES | {"z": {"1": 1, "2": 1}}})
    (caution,) = found.reading.warnings
    assert caution.kind == "contexts missing"
    assert "1 of 2 classes lack some of the 3 contexts" in caution.sentence


def test_paraphrases_with_names_of_their_own_are_not_missed():
    found = solved(
        {"a": MOVES, "b": {"z": {"1": 1, "2": 1}, "u": {"1": 3, "2": 1}, "v": {"1": 1, "2": 2}}}
    )
    assert kinds(found) == []
    alone = {"w": {"1": 2, "2": 1}}
    found = solved({"a": MOVES, "b": MOVES, "c": alone})
    (caution,) = found.reading.warnings
    assert "1 of 3 classes have one context" in caution.sentence


def test_the_verdict_says_what_happens_to_the_right_answer():
    wrong = solved({"a": MOVES | {"z": {"1": 4}}}, correct={"a": "2"})
    assert "accuracy would fall from 0.33 to" in wrong.verdict
    assert "a majority vote over all samples is right in 0.00." in wrong.verdict
    assert "not known without labels" in solved({"a": MOVES}).verdict
    infeasible = solved({"a": {"x": {"1": 1}, "y": {"2": 1}}}, dg.HardCoherence())
    assert infeasible.verdict.startswith("No class is feasible")


def test_a_higher_strength_is_advised_only_where_it_closes_half_of_the_distance_to_the_vote():
    agreed = {"x": {"1": 5, "2": 5}, "y": {"1": 5, "3": 5}, "z": {"1": 5, "4": 5}}
    found = solved({"a": agreed}, dg.Coherence(1.0), correct={"a": "1"})
    stronger = at_strength(found, 10.0)
    assert stronger.accuracy > (found.summary["accuracy_equilibrium"] + 1) / 2
    assert f"raise the strength (10 times gives {stronger.accuracy:.2f})" in found.verdict
    mixed = {"x": {"1": 6, "2": 5}, "y": {"1": 6, "2": 5}, "z": {"1": 5, "2": 5}}
    found = solved({"a": mixed}, dg.Coherence(1.0), correct={"a": "1"})
    assert "a majority vote over all samples is right in 1.00." in found.verdict


def test_two_advices_are_joined_by_one_word(tmp_path):
    path = sample_file(tmp_path / "s.jsonl", seed=0)
    read = Samples.read(path, "question", "format", extract="Answer: (.*)", correct="correct")
    verdict = read.solve(dg.Coherence(2.0), beta=1.0).verdict
    assert "draw more samples of each context" in verdict
    assert "; or raise the strength (10 times gives" in verdict
    assert verdict.count(": ") == 1


def test_the_verdict_says_that_no_answer_becomes_commoner():
    rows = [("x", "1"), ("x", None), ("x", None), ("y", "2"), ("y", None), ("y", None)]
    frame = pl.DataFrame([{"q": "a", "f": f, "answer": a} for f, a in rows])
    found = Samples.from_answers(frame, "q", "f").solve(dg.Coherence(1.0), beta=1.0)
    assert "the share without an answer would rise from 0.67 to" in found.verdict


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("objective", [dg.Coherence, dg.ShannonDiversity, dg.GiniDiversity])
def test_other_strengths_are_the_games_of_that_strength(factor, objective, rng):
    counts = {
        q: {f: {a: int(rng.integers(0, 6)) for a in "1234"} | {"5": 1} for f in "xyz"[: 2 + k % 2]}
        for k, q in enumerate("abcd")
    }
    correct = dict.fromkeys("abcd", "5")
    point = at_strength(solved(counts, objective(0.7), correct=correct), factor)
    told = solved(counts, objective(0.7 * factor), correct=correct).summary
    assert point.agreement == pytest.approx(told["agreement_equilibrium"], abs=1e-4)
    assert point.accuracy == pytest.approx(told["accuracy_equilibrium"], abs=1e-4)


def test_strengths_beyond_what_is_certified_are_left_out():
    found = solved({"a": MOVES}, dg.Agreement(0.2))
    factors = [point.factor for point in curve(found)]
    assert 1.0 in factors
    assert 100.0 not in factors


def test_intervals_hold_their_means_and_narrow_with_classes(rng):
    def some(number):
        return solved(
            {
                f"q{k}": {f: {a: int(rng.integers(0, 9)) for a in "12"} | {"3": 1} for f in "xy"}
                for k in range(number)
            },
            correct={f"q{k}": "1" for k in range(number)},
        )

    widths = []
    for number in (10, 160):
        found = some(number)
        for name in ("accuracy", "agreement"):
            for side in ("reference", "equilibrium"):
                low, high = found.intervals[f"{name}_{side}"]
                assert low <= found.summary[f"{name}_{side}"] <= high
        widths.append(np.ptp(found.intervals["accuracy_reference"]))
        table = found.classes["accuracy_reference"]
        error = table.std() / np.sqrt(number)
        assert widths[-1] == pytest.approx(2 * 1.96 * error, rel=0.2)
    assert widths[1] < widths[0] / 2
    assert solved({"a": MOVES}).intervals == {}


def test_the_example_is_what_the_readme_says():
    found = Samples.example().solve(dg.Coherence(10.0), beta=1.0)
    s = found.summary
    assert (s["classes"], s["contexts"], s["samples"]) == (359, 1795, 10770)
    assert round(s["accuracy_reference"], 4) == 0.6704
    assert round(s["accuracy_equilibrium"], 4) == 0.8551
    assert round(s["majority_accuracy"], 4) == 0.8742
    assert found.reading.warnings == ()
    frame = found.samples.frame
    assert ((frame["answer"] == frame["gold"]).fill_null(False) == frame["correct"]).all()


def test_the_verdict_is_judged_on_samples_left_out_where_there_are_enough(rng):
    def some(questions, samples, correct=True):
        p = rng.dirichlet(np.full(4, 0.6), (questions, 3))
        drawn = rng.multinomial(samples, p)
        counts = {
            f"q{q}": {
                f"f{x}": {str(z): int(c) for z, c in enumerate(row)} for x, row in enumerate(t)
            }
            for q, t in enumerate(drawn)
        }
        return solved(counts, correct=dict.fromkeys(counts, "0") if correct else None)

    found = some(40, 8)
    held = found.held_out.agreement
    low, high = held.interval
    assert f"{held.after:.2f} ({low:.2f} to {high:.2f})" in found.verdict
    own = found.summary["agreement_equilibrium"]
    assert f"on samples left out of the fit, to {own:.2f} and " in found.verdict
    assert held.after < own
    few = some(5, 8)
    assert few.held_out.agreement is None
    assert "in these very samples (fewer than 10 questions)" in few.verdict
    assert "4 samples in every context" in some(12, 3).verdict


def test_a_change_whose_interval_holds_zero_only_might_be():
    said = list(_changes([_Change("accuracy", 0.6, 0.62, (0.55, 0.7), sure=False)]))
    assert said == ["accuracy might rise from 0.60 to 0.62 (0.55 to 0.70)"]
    both = [_Change("agreement", 0.5, 0.6), _Change("accuracy", 0.5, 0.4, (0.3, 0.45))]
    assert list(_changes(both)) == [
        "agreement would rise from 0.50 to 0.60",
        "accuracy would fall from 0.50 to 0.40 (0.30 to 0.45)",
    ]
