"""Caps, floors and quotas on disjoint groups: the formula against the barrier, rounds and the certificate."""

import array_api_strict
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import dagame as dg
from dagame.errors import Infeasible
from dagame.games.library import random_reference
from dagame.solvers.dual import dual_solve
from dagame.solvers.groups import grouped_solve
from tests.games import SEEDS


def sets(rng, n):
    """Bounds on groups in a random order of the answers."""
    order, shares = rng.permutation(n), rng.dirichlet(np.ones(3))
    limit, low = rng.uniform(0, 0.6), rng.uniform(0, 0.3)
    return {
        "cap": dg.Cap(order[: n // 2], limit),
        "floor": dg.Floor(order[: n // 2], limit),
        "quota": dg.Quota(order[:1], limit),
        "quotas": dg.Quota([order[:1], order[1:2]], shares[:2]),
        "cap and floor": dg.Cap(order[:1], limit) & dg.Floor(order[1:2], low),
        "floors": dg.Floor(order[:1], low) & dg.Floor(order[1:3], low) & dg.Cap(order[3:], 0.5),
        "cap of 0": dg.Cap(order[:1], 0.0) & dg.Quota(order[1:2], low),
    }


KINDS = sorted(sets(np.random.default_rng(0), 5))


def with_terms(rng, objective, m, n):
    extra = [
        0.0 * dg.ShannonDiversity(),
        dg.Reward(rng.normal(size=(m, n))),
        dg.ShannonDiversity(0.5),
    ]
    return objective + extra[rng.integers(3)]


def drawn(seed, kind, make, batch=(2,), zeros=0.05):
    """A game with exact zeros, uneven weights and beta 0.7."""
    rng = np.random.default_rng(seed)
    m, n = int(rng.integers(1, 4)), int(rng.integers(5, 9))
    reference = random_reference(rng, (*batch, m, n), floor=1e-6, zeros=zeros)
    objective = with_terms(rng, make(sets(rng, n)[kind]), m, n)
    return dg.AlignmentGame(
        reference, objective, beta=0.7, weights=rng.dirichlet(np.ones(m), batch)
    )


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=3)
@given(SEEDS)
def test_hard_bounds_are_met_and_proved_by_their_multipliers(kind, seed):
    game = drawn(seed, kind, dg.HardConstraint)
    found = dg.solve(game, throw=False)
    ok, proof = found.solved, found.certificate
    assert (found.statuses != dg.Status.STALLED).all()
    assert (np.abs(proof.relative_gap[ok]) <= 1e-10).all()
    assert (proof.violation[ok] <= 1e-12).all()
    np.testing.assert_allclose(found.marginals[ok].sum(-1), 1, rtol=1e-12)
    inner = game.solved_form
    old = dual_solve(inner)
    lost = old.statuses == dg.Status.INFEASIBLE
    np.testing.assert_array_equal(found.statuses == dg.Status.INFEASIBLE, lost)
    np.testing.assert_allclose(found.policy[ok], np.exp(old.log_policy)[ok], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=3)
@given(SEEDS, st.floats(-2, 2))
def test_soft_bounds_are_what_rounds_on_policies_find(kind, seed, size):
    try:
        game = drawn(seed, kind, lambda chosen: dg.SoftConstraint(chosen, 10**size))
    except Infeasible:
        return
    ours = dg.solve(game, throw=False)
    theirs = dg.solve(game, "anderson", throw=False)
    np.testing.assert_array_equal(ours.solved, theirs.solved)
    ok = ours.solved
    np.testing.assert_allclose(ours.value[ok], theirs.value[ok], rtol=1e-9, atol=1e-9)
    assert (ours.certificate.relative_gap[ok] <= 1e-12).all()


def test_one_cap_scales_both_sides_of_it():
    reference = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    game = dg.AlignmentGame(reference, dg.HardConstraint(dg.Cap([0], 0.2)), beta=2.0)
    found = dg.solve(game)
    np.testing.assert_allclose(found.policy, [[0.2, 0.48, 0.32], [0.1, 0.2, 0.7]], rtol=1e-14)
    np.testing.assert_allclose(found.multipliers, [0.5 * 2 * np.log(0.5 / 0.2 * 0.8 / 0.5), 0])
    soft = dg.solve(dg.AlignmentGame(reference, dg.SoftConstraint(dg.Cap([0], 0.2), 2.0), beta=2.0))
    shares = np.sqrt([0.5 * 0.2, 0.5 * 0.8])
    assert soft.method == "closed_form"
    np.testing.assert_allclose(soft.policy[0, 0], shares[0] / shares.sum(), rtol=1e-14)


def test_games_without_a_policy_keep_their_place_in_a_batch():
    reference = [[[0.0, 0.5, 0.5]], [[0.2, 0.4, 0.4]], [[0.0, 1.0, 0.0]]]
    game = dg.AlignmentGame(reference, dg.HardConstraint(dg.Floor([0], 0.3)), beta=1.0)
    found = dg.solve(game)
    solved, lost = dg.Status.SOLVED, dg.Status.INFEASIBLE
    assert list(found.statuses) == [lost, solved, lost]
    assert "floor 0.3" in str(found.notes)
    np.testing.assert_allclose(found.policy[1], [[0.3, 0.35, 0.35]], rtol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_loops_and_other_arrays_give_the_same(kind, monkeypatch):
    game = drawn(3, kind, dg.HardConstraint, (3,), zeros=0.0)
    found = dg.solve(game, throw=False)
    monkeypatch.setattr("dagame.solvers.groups._PIECE", 1)
    pieces = dg.solve(game, throw=False)
    np.testing.assert_allclose(pieces.policy, found.policy, rtol=1e-12)
    for b in range(3):
        alone = dg.AlignmentGame(
            game.reference[b], game.objective, beta=0.7, weights=game.weights[b]
        )
        np.testing.assert_allclose(dg.solve(alone, throw=False).policy, found.policy[b], rtol=1e-12)
    for xp in (torch, array_api_strict):
        table, w = xp.asarray(game.reference), xp.asarray(game.weights)
        other = dg.AlignmentGame(table, game.objective, beta=0.7, weights=w)
        again = dg.solve(other, throw=False)
        np.testing.assert_allclose(np.asarray(again.policy), found.policy, rtol=1e-12)
        np.testing.assert_allclose(np.asarray(again.multipliers), found.multipliers, atol=1e-12)


def test_several_bounds_on_one_group_are_left_to_the_dual():
    both = dg.HardConstraint(dg.Cap([0], 0.5) & dg.Floor([0], 0.2))
    game = dg.AlignmentGame([[0.1, 0.4, 0.5]], both, beta=1.0)
    assert grouped_solve(game.solved_form) is None
    np.testing.assert_allclose(dg.solve(game).policy[0, 0], 0.2, rtol=1e-9)
