"""Arguments of a wrong kind: what is said, by name, with what to write instead; what `dir` offers."""

import numpy as np
import pytest

import dagame as dg
from dagame.solvers import Mirror

TABLE = [[0.5, 0.5], [0.2, 0.8]]
GAME = dg.AlignmentGame(TABLE, dg.Coherence(), beta=1.0)
CAP = dg.Cap([1], 0.1)


def made(objective, **options):
    return dg.AlignmentGame(TABLE, objective, beta=1.0, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: made(dg.Coherence), r"the class Coherence.*call it: Coherence\(\.\.\.\)"),
        (lambda: made("coherence"), r"'coherence'.*write dagame\.Coherence"),
        (lambda: made("worst-case"), r"write dagame\.WorstCase"),
        (lambda: made("coherance"), "did you mean 'Coherence'"),
        (lambda: made(CAP), r"a set.*wrap it: HardConstraint\(Cap\(\.\.\.\)\)"),
        (lambda: made(CAP & dg.Floor([0], 0.1)), r"HardConstraint\(Cap\(\.\.\.\) & Floor"),
        (lambda: made(dg.Cap), r"give HardConstraint\(Cap\(\.\.\.\)\)"),
        (lambda: made(None), "not a dagame Objective; try"),
        (lambda: dg.Reward([1, 0]) + CAP, r"wrap it: HardConstraint"),
        (lambda: CAP + dg.Reward([1, 0]), r"neither adds nor scales.*HardConstraint"),
        (lambda: 2 * CAP, r"join sets by &"),
        (lambda: dg.Reward([1, 0]) - CAP, r"wrap it: HardConstraint"),
        (lambda: dg.Reward([1, 0]) + dg.Coherence, r"call it: Coherence\("),
        (lambda: dg.Coherence + dg.Reward([1, 0]), r"call it: Coherence\("),
        (lambda: dg.Reward([1, 0]) * "2x", "one finite number"),
        (lambda: dg.Coherence(-1), "^Coherence: strength is -1"),
        (
            lambda: dg.AlignmentGame([["a", "b"]], dg.Coherence(), beta=1.0),
            "^reference holds no real",
        ),
        (lambda: made(dg.Coherence(), weights=["a", "b"]), "^weights holds no real"),
        (lambda: made(dg.Coherence(), answers=[["a"], [1, 2]]), "answers holds no real"),
        (lambda: dg.Reward(["a", "b"]), "^r holds no real"),
        (lambda: dg.certify(GAME, "x"), "^policy holds no real"),
        (lambda: dg.certify(GAME, TABLE, "x"), "^target holds no real"),
        (
            lambda: dg.library.random_game_of("mine", np.random.default_rng(0), 2, 3),
            "'mine'.*kinds",
        ),
        (lambda: dg.library.named("rps"), "known are reward, shannon"),
        (lambda: dg.solve(GAME, "foo"), "known are auto, closed_form"),
        (lambda: dg.run(GAME, "foo"), "known are anderson, newton, mirror"),
        (lambda: dg.solve(TABLE), "a list is given where a game is needed"),
        (lambda: dg.run(TABLE), "where a game is needed"),
        (lambda: dg.certify(TABLE, TABLE), "where a game is needed"),
        (lambda: dg.explore(TABLE), "where a game is needed"),
        (lambda: dg.solve(GAME, Mirror), r"the class Mirror; call it: Mirror\(\)"),
        (lambda: dg.run(GAME, Mirror), r"the class Mirror; call it"),
        (lambda: dg.solve(GAME, None), "a NoneType; give a name, one of auto"),
        (lambda: dg.run(GAME, "mirror", -1), "steps is -1"),
    ],
)
def test_the_message_names_the_fix(call, message):
    with pytest.raises(dg.DagameError, match=message):
        call()


def test_objectives_sum():
    total = sum([dg.Reward([1, 0]), dg.Coherence(), dg.ShannonDiversity()])
    assert repr(total) == "Reward([1, 0]) + Coherence(1) + ShannonDiversity(1)"
    with pytest.raises(TypeError):
        1 + dg.Coherence()


def test_status_of_clashing_sets_does_not_claim_another_cause():
    clash = dg.HardConstraint(dg.Cap([1], 0.05) & dg.Floor([1], 0.2))
    found = dg.solve(made(clash))
    shown = str(found)
    assert "clash" in shown
    assert "cap 0.05" in shown
    assert "no answer is possible" not in shown


def test_rooms_are_loaded_when_asked_for_and_old_names_say_where_they_are():
    assert dg.show.plots.triangle
    assert dg.scale.equilibrium
    assert set(dir(dg)) == set(dg.__all__)
    with pytest.raises(AttributeError, match=r"dagame\.show\.plots"):
        dg.plots  # noqa: B018
    with pytest.raises(AttributeError, match="did you mean 'Coherence'"):
        dg.Coherenc  # noqa: B018


def test_completion_offers_what_a_user_needs():
    offered = {name for name in dir(GAME) if not name.startswith("_")}
    assert {"reference", "with_objective", "value", "marginals", "answer_names"} <= offered
    assert not {"detached", "free_beta", "transfer", "mirror_step", "without"} & offered
    assert len(offered) < 25

    class Mine(dg.Objective):
        helper = 3

        def value(self, marginals, weights):
            return 0 * marginals[..., 0, 0]

    assert {"value", "reward", "helper"} <= set(dir(Mine()))
    assert "reward_log" not in dir(dg.Coherence())


LONG = np.random.default_rng(0)
OBJECTS = [
    dg.Reward(LONG.random((30, 60))),
    sum((dg.Reward(LONG.random(3)) for _ in range(50)), dg.Coherence()),
    dg.Polytope(LONG.random((40, 50)), LONG.random(40)),
    dg.AnswerMap.index(np.arange(900)),
    dg.AlignmentGame(LONG.dirichlet(np.ones(60), 30), dg.Reward(LONG.random((30, 60))), beta=1.0),
    dg.solve(GAME),
    dg.solve(dg.AlignmentGame(LONG.dirichlet(np.ones(60), (9, 30)), dg.Coherence(), beta=1.0)),
    dg.run(GAME),
    dg.solve(GAME).certificate,
    dg.methods,
    dg.library.gini,
    dg.path(GAME, [1, 2]),
]


@pytest.mark.parametrize("thing", OBJECTS, ids=lambda thing: type(thing).__name__)
def test_a_repr_fits_a_screen_and_no_zero_has_a_sign(thing):
    text = repr(thing)
    assert text.count("\n") < 60
    assert len(text) < 4000
    assert "-0.0" not in text.split()
    assert "array(" not in text


def test_numbers_of_one_thing_are_in_the_singular_and_zeros_have_no_sign():
    one = dg.AlignmentGame([[0.5, 0.5, 0.0]], dg.Sharpening(2.0), beta=1.0)
    assert repr(one).startswith("AlignmentGame(1 context, 3 answers")
    assert repr(dg.Reward([-0.0, 1])) == "Reward([0, 1])"
    solution = dg.solve(one)
    frame = solution.to_polars()
    for column in ("reference", "equilibrium", "target", "reward"):
        values = frame[column].to_numpy()
        assert not np.signbit(values[values == 0]).any()
    from dagame.show.tables import number, shortest

    assert (number(-0.0), shortest(-0.0), shortest([-0.0, -1.0])) == ("0", "0", "largest 0")
