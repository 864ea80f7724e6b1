"""Training a tabular policy from samples ends where the exact solver says."""

import numpy as np
import pytest

import dagame as dg
from dagame.estimators.sampled import SampledGame, train

RNG = np.random.default_rng(0)
REFERENCE = RNG.dirichlet(np.full(4, 2.0), 3)


def game(objective, contexts=3, beta=0.4, answers=None):
    return dg.AlignmentGame(REFERENCE[:contexts], objective, beta=beta, answers=answers)


CASES = {
    "diversity": (game(dg.ShannonDiversity(), 1), 32, 0.005),
    "coherence": (game(dg.Coherence()), 32, 0.02),
    "pass@k": (game(dg.PassAtK([1.0, 0.0, 0.0, 1.0], 4), 2), 16, 0.002),
    "gini on traces": (game(dg.GiniDiversity(), 1, answers=[0, 0, 1, 2]), 16, 0.005),
}


@pytest.mark.parametrize("name", CASES)
def test_sampled_training_reaches_the_equilibrium(name):
    played, k, close = CASES[name]
    run = train(SampledGame(played, k), 2500, learning_rate=0.4, decay=150, replicas=4)
    solution = dg.solve(played)
    gap = np.median(run.gaps[-1])
    assert gap < close < run.gaps[0, 0] / 5
    apart = run.values[-1] - float(solution.value)
    assert (apart <= 1e-12).all()
    nu = played.answer_map.push_forward(np.exp(run.log_policies[-1])).mean(0)
    np.testing.assert_allclose(nu, solution.marginals, atol=0.06)


def test_a_cap_is_kept_by_multipliers_that_are_learned_from_samples():
    cap = dg.HardConstraint(dg.Cap([0], 0.1))
    played = game(0.5 * dg.ShannonDiversity() + cap, 1)
    assert played.reference[0, 0] > 0.15
    run = train(
        SampledGame(played, 16, multiplier_rate=0.05),
        6000,
        learning_rate=0.4,
        decay=300,
        replicas=6,
    )
    solution = dg.solve(played)
    assert run.multipliers.mean(0) == pytest.approx(solution.multipliers, rel=0.25)
    assert np.median(run.violations[-1]) < 0.02
    assert np.median(run.gaps[-1]) < run.gaps[0, 0] / 5


def test_more_samples_and_less_bias_end_closer():
    """The plug-in's floor is its bias, which falls with K; the designed table's is lower."""
    played = dg.AlignmentGame(np.full((1, 6), 1 / 6) * 0.6 + np.eye(6)[:1] * 0.4,
                              dg.ShannonDiversity(), beta=0.2)  # fmt: skip

    def floor(k, estimator):
        run = train(
            SampledGame(played, k, estimator=estimator),
            3000,
            learning_rate=0.2,
            decay=100,
            replicas=8,
        )
        return np.median(run.gaps[-8:])

    assert floor(32, "plug_in") < floor(8, "plug_in")
    assert floor(8, "variance_optimal") < floor(8, "plug_in")


def test_k3_as_a_loss_goes_elsewhere():
    """Its fixed point is that of KL(pi0 || pi), so the gap stays."""
    played = game(dg.Reward([1.0, 0.0, 0.5, 0.0]), 1, beta=0.5)
    gaps = {
        kl: np.median(
            train(
                SampledGame(played, 16, kl=kl), 2500, learning_rate=0.4, decay=150, replicas=4
            ).gaps[-1]
        )
        for kl in ("reward", "k2", "k3", "k3_corrected")
    }
    assert max(gaps["reward"], gaps["k2"], gaps["k3_corrected"]) < 0.002 < gaps["k3"] / 2


def test_seeds_repeat_and_replicas_differ():
    played = CASES["coherence"][0]
    first, again = (train(SampledGame(played, 4, seed=7), 20, replicas=2) for _ in range(2))
    np.testing.assert_array_equal(first.log_policies, again.log_policies)
    assert (first.log_policies[-1, 0] != first.log_policies[-1, 1]).any()
    assert first.samples[-1] == 20 * 4 * 3
    assert first.samples_to(np.inf).tolist() == [0, 0]
    assert np.isinf(first.samples_to(0.0)).all()
    assert first.plot().axes[0].get_ylabel() == "exact gap"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SampledGame(game(dg.Coherence()), 1), "group_size is 1"),
        (lambda: SampledGame(game(dg.Coherence()), 4, kl="k4"), "choose one of reward"),
        (
            lambda: SampledGame(
                dg.AlignmentGame(REFERENCE[None], dg.Coherence(), beta=1.0), 4
            ),
            "one of the batch",
        ),
        (
            lambda: SampledGame(game(dg.ShannonDiversity(), answers=np.full((4, 2), 0.5)), 4),
            "deterministic answer map",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_sampled(call, message):
    with pytest.raises(dg.DagameError, match=message):
        call()
