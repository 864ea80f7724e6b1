"""Objectives of users are tried when a game is made: wrong ones refused for their cause, right ones taken."""

import numpy as np
import pytest

import dagame as dg
from tests.objective_zoo import RIGHT, WRONG

WEIGHTS = np.array([0.5, 0.3, 0.2])


def references(rng):
    """Uniform, random, with zeros, with masses of 1e-12, one context, and a batch."""
    p = rng.dirichlet(np.ones(4), 3)
    zeros, tiny = p.copy(), p.copy()
    zeros[0, 3] = zeros[2, 2] = 0
    tiny[:, 3] = 1e-12
    return {
        "uniform": np.full((3, 4), 0.25),
        "random": p,
        "zeros": zeros / zeros.sum(-1, keepdims=True),
        "tiny": tiny / tiny.sum(-1, keepdims=True),
        "one context": p[:1],
        "batch": rng.dirichlet(np.ones(4), (2, 3)),
    }


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_objective_is_refused_for_its_cause(name, rng):
    make, cause = WRONG[name]
    reference = references(rng)["zeros" if "0 log 0" in cause else "random"]
    with pytest.raises(dg.DagameError, match=cause) as refused:
        dg.AlignmentGame(reference, make(), beta=1.0, weights=WEIGHTS)
    assert type(refused.value).__name__ == "InvalidObjective"


@pytest.mark.parametrize("kind", ["uniform", "random", "zeros", "tiny", "one context", "batch"])
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_objective_is_taken(name, kind, rng):
    reference = references(rng)[kind]
    weights = None if kind in ("uniform", "one context") else WEIGHTS
    game = dg.AlignmentGame(reference, RIGHT[name](), beta=1.0, weights=weights)
    assert any("differences at" in c or "not told" in c for c in game.conditions)
