"""The same source on numpy, torch and array-api-strict."""

from functools import cache

import numpy as np
import pytest

import dagame as dg
from dagame.games.library import KINKED, OBJECTIVES, random_game_of
from dagame.numerics.arrays import to_numpy

KINDS = sorted(OBJECTIVES | KINKED)


@cache
def solved_with_numpy(kind, answers):
    """(a game, its solution): the same for both other libraries."""
    base = random_game_of(
        kind,
        np.random.default_rng(0),
        2,
        4,
        batch=(3,),
        traces=None if answers == "identity" else 7,
        channel=answers == "channel",
        zeros=0.1 if answers == "identity" else 0.0,
    )
    return base, dg.solve(base, tol=1e-12, throw=False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("answers", ["identity", "index", "channel"])
@pytest.mark.parametrize(
    "xp", ["torch", pytest.param("strict", id="array-api-strict")], indirect=True
)
def test_solve_and_certify_agree_with_numpy(xp, kind, answers):
    if answers == "channel" and kind == "hard-coherence":
        pytest.skip("hard coherence is for deterministic answer maps")
    base, one = solved_with_numpy(kind, answers)
    objective = base.objective
    table = base.answer_map.table
    game = dg.AlignmentGame(
        xp(base.reference),
        objective,
        beta=base.beta,
        weights=xp(base.weights),
        answers=None if table is None else xp(table),
    )
    other = dg.solve(game, tol=1e-12, throw=False)
    cvx = one.method == "convex"
    assert type(other.policy) is type(xp(base.reference))
    np.testing.assert_allclose(
        to_numpy(other.value), one.value, rtol=1e-12, atol=1e-9 if cvx else 1e-12
    )
    np.testing.assert_allclose(to_numpy(other.marginals), one.marginals, atol=1e-4 if cvx else 1e-6)
    assert float(to_numpy(other.gap).max()) < (1e-7 if cvx else 1e-10)
    policy = 0.5 * one.policy + 0.5 * base.reference
    np.testing.assert_allclose(
        to_numpy(dg.certify(game, xp(policy)).gap),
        dg.certify(base, policy).gap,
        rtol=1e-8,
        atol=1e-9 if cvx else 1e-13,
    )


def test_float32_stays_float32_and_is_certified_in_float64(xp, rng):
    reference = rng.dirichlet(np.ones(5), (2,)).astype(np.float32)
    solution = dg.solve(dg.AlignmentGame(xp(reference), dg.Coherence(1.0), beta=1.0), tol=1e-5)
    assert str(solution.policy.dtype).endswith("float32")
    assert str(solution.gap.dtype).endswith("float64")
    assert float(to_numpy(solution.gap)) < 1e-5
