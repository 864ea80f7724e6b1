"""The fused Triton kernel of benchmarks/, on a CUDA device or by Triton's interpreter on the CPU.

There TRITON_INTERPRET=1 has to stand in the environment before anything imports Triton.
"""

import os
from pathlib import Path

import numpy as np
import pytest

import dagame as dg
from dagame.games.certificate import certify_log
from dagame.games.library import random_reference
from dagame.numerics.arrays import log_normalise

torch = pytest.importorskip("torch")
pytest.importorskip("triton", reason="Triton comes with torch for CUDA only")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("no CUDA device, and TRITON_INTERPRET is not 1", allow_module_level=True)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def solve_games():
    from gpu_consensus import solve_games

    with np.errstate(
        all="ignore"
    ):  # the interpreter is numpy, and evaluates both sides of a choice
        yield solve_games


@pytest.mark.parametrize("strength", [1e-3, 1.0, 10.0, 1e2])
@pytest.mark.parametrize(("dtype", "tol"), [(torch.float64, 1e-10), (torch.float32, 1e-6)])
def test_it_finds_the_equilibria(solve_games, strength, dtype, tol, rng):
    """Shapes that are no powers of two, exact zeros, answers that nobody gives, uneven weights."""
    floor = 1e-300 if dtype is torch.float64 else 1e-20
    table = random_reference(rng, (3, 3, 10), floor=floor, zeros=0.3)
    table[0, :, 4] = 0.0
    table[0] /= table[0].sum(-1, keepdims=True)
    weights = np.array([0.5, 0.3, 0.2])
    game = dg.AlignmentGame(table, dg.Coherence(strength), beta=0.7, weights=weights)
    log_reference = torch.as_tensor(game.log_reference).to(DEVICE, dtype)
    found = solve_games(log_reference, torch.as_tensor(weights), 0.7, strength, tol)
    log_policy = found.log_policy.double().cpu().numpy()
    policy = np.exp(log_policy)
    assert (policy[table == 0] == 0).all()
    np.testing.assert_allclose(policy.sum(-1), 1, atol=tol)
    proof = certify_log(game, game.masked(log_normalise(log_policy)))
    assert (np.asarray(proof.relative_gap) <= tol).all()
    known = dg.solve(game, tol=1e-12)
    np.testing.assert_allclose(policy, known.policy, atol=30 * tol**0.75)
    said = found.relative_gap.double().cpu().numpy()
    assert (said <= tol).all()
    if dtype is torch.float64:
        assert (proof.relative_gap <= said * (1 + 1e-3) + 1e-20).all()
        np.testing.assert_array_equal(found.steps.cpu().numpy() <= known.steps + 2, True)


def test_far_starts_and_one_context(solve_games):
    """Contexts that barely share an answer, at a strong pull; a single context is its reference."""
    rows = [[1 - 1e-12, 1e-12, 0.0], [0.0, 1e-9, 1 - 1e-9]]
    game = dg.AlignmentGame(rows, dg.Coherence(1e4), beta=1.0)
    log_reference = torch.as_tensor(game.log_reference, device=DEVICE)[None]
    found = solve_games(log_reference, torch.tensor([0.5, 0.5]), 1.0, 1e4, 1e-10)
    proof = dg.certify(game, found.log_policy[0].cpu().exp().numpy())
    assert proof.relative_gap <= 1e-10
    alone = solve_games(log_reference[:, :1], torch.tensor([1.0]), 1.0, 1e4, 1e-10)
    np.testing.assert_allclose(alone.log_policy[0].exp().cpu(), game.reference[:1], atol=1e-12)
    assert int(alone.steps[0]) == 0
