"""Bad input: one sentence that says what is wrong, where, and what to do."""

import inspect

import numpy as np
import pytest

import dagame as dg
from dagame.objectives.catalogue import CATALOGUE
from tests.kinds import made

GOOD = [[0.5, 0.5], [0.2, 0.8]]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ([[[0.5, -0.1, 0.6]], dg.Coherence()], {}, r"reference\[0, 1\] = -0.1 is negative"),
        ([[[0.5, np.nan]], dg.Coherence()], {}, r"\[0, 1\] = nan is not finite"),
        ([[[0.5, 0.6]], dg.Coherence()], {}, r"sums to 1.1 in row \[0\].*divide"),
        ([[[0.0, 0.0]], dg.Coherence()], {}, r"sums to 0"),
        ([[0.5, 0.5], dg.Coherence()], {}, r"give \(\*batch, contexts, traces\)"),
        ([np.zeros((0, 2)), dg.Coherence()], {}, "empty"),
        ([GOOD, dg.Coherence()], {"beta": 0}, "beta is 0"),
        ([GOOD, dg.Coherence()], {"beta": -1.0}, "must be a finite number > 0"),
        ([GOOD, dg.Coherence()], {"beta": float("nan")}, "beta is nan"),
        ([GOOD, dg.Coherence()], {"beta": "1"}, "beta is '1'"),
        ([GOOD, "coherence"], {}, "not a dagame Objective"),
        ([GOOD, dg.Coherence()], {"weights": [0.5, 0.0]}, "positive"),
        ([GOOD, dg.Coherence()], {"weights": [0.5, -0.5]}, "positive"),
        ([GOOD, dg.Coherence()], {"weights": [0.5, np.nan]}, "positive"),
        ([GOOD, dg.Coherence()], {"weights": [0.5, 0.7]}, "sum to 1"),
        ([GOOD, dg.Coherence()], {"weights": [1.0]}, r"weights have shape \(1,\).*2 contexts"),
        ([GOOD, dg.Reward([1.0, 2, 3])], {}, r"Reward.r has shape \(3,\)"),
        ([GOOD, dg.Reward(np.ones((3, 2)))], {}, r"does not fit"),
        ([GOOD, dg.Coherence()], {"answers": [0, 1, 2]}, "3 traces, the reference has 2"),
        ([GOOD, dg.Coherence()], {"answers": [0, -1]}, "outside"),
        ([GOOD, dg.Coherence()], {"answers": [[0.5, 0.6], [1, 0]]}, "each row of a channel"),
        ([GOOD, dg.Coherence()], {"answers": np.zeros((3, 2), int)}, "answers have shape"),
    ],
)
def test_games_that_do_not_fit(arguments, options, message):
    options.setdefault("beta", 1.0)
    with pytest.raises(dg.DagameError, match=message):
        dg.AlignmentGame(*arguments, **options)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ([[0.5, 0.5, 0.0]], "policy has mass where the reference has none"),
        ([[1.5, -0.5, 0.0]], "negative"),
        ([[0.5, 0.5]], r"policy has shape \(1, 2\)"),
        ([[0.5, 0.0, np.inf]], "not finite"),
    ],
)
def test_policies_that_do_not_fit(policy, message):
    game = dg.AlignmentGame([[0.5, 0, 0.5]], dg.Coherence(), beta=1.0)
    for function in (game.value, game.marginals, lambda p: dg.certify(game, p)):
        with pytest.raises(dg.DagameError, match=message):
            function(policy)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dg.TargetMatching([0.5, 0.6]), "target sums to 1.1"),
        (lambda: dg.Reward([np.nan, 1]), "without NaN"),
        (lambda: dg.solvers.Mirror(-1), "step_size is -1"),
        (lambda: dg.AnswerMap.index([0.5]), "integers"),
        (lambda: dg.AnswerMap.padded([[0, 0], [1, -1]]), "each trace 0..T-1 exactly once"),
        (lambda: dg.AnswerMap.channel([1.0, 0.0]), r"shape \(traces, n\)"),
        (lambda: dg.Coherence().value([0.5, 0.5]), "give"),
    ],
)
def test_parameters_outside_their_domain(make, message):
    with pytest.raises(dg.DagameError, match=message):
        make()


@pytest.mark.parametrize("wrong", [-1.0, float("inf"), "2"])
@pytest.mark.parametrize("name", [n for n, kind in CATALOGUE.items() if kind.strengths])
def test_a_strength_outside_its_domain(name, wrong):
    with pytest.raises(dg.DagameError, match=f"strength is {wrong!r}"):
        made(name, wrong, 2, 3)


OPTIONS = [
    (kind.public, option.name)
    for kind in CATALOGUE.values()
    for option in inspect.signature(getattr(dg, kind.public)).parameters.values()
    if isinstance(option.default, str)
]


@pytest.mark.parametrize(("public", "option"), sorted(set(OPTIONS)))
def test_an_option_that_is_none_is_named(public, option):
    (kind, *_) = (kind for kind in CATALOGUE.values() if kind.public == public)
    tables = kind.parameters(np.random.default_rng(0), 2, 3)
    with pytest.raises(dg.DagameError, match=f"{option} is 'sideways'"):
        getattr(dg, public)(*tables, **{option: "sideways"})


def test_unknown_methods_suggest_the_nearest():
    game = dg.AlignmentGame(GOOD, dg.Coherence(), beta=1.0)
    with pytest.raises(dg.DagameError, match="did you mean 'anderson'"):
        dg.solve(game, "andersen")
    with pytest.raises(dg.DagameError, match="no closed form"):
        dg.solve(game, "closed_form")
    with pytest.raises(dg.DagameError, match="did you mean 'mirror'"):
        dg.run(game, "miror")
    with pytest.raises(dg.DagameError, match="did you mean 'shannon'"):
        dg.library.named("shanon")


def test_a_reference_in_the_objectives_place_is_named():
    with pytest.raises(dg.DagameError, match="it stands second"):
        dg.AlignmentGame(dg.Coherence(1.0), np.full((2, 2), 0.5), beta=1.0)
    with pytest.raises(dg.DagameError, match="objective="):
        dg.verify(dg.Coherence(1.0))
    assert dir(dg.testing) == sorted(dg.testing.__all__)
