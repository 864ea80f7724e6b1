"""Identities between objectives and limits, projections, averages: docs/theory."""

from __future__ import annotations

import numpy as np

from ...games.game import AlignmentGame
from ...numerics.simplex import kl
from ...objectives import (
    BregmanCoherence,
    Cap,
    Coherence,
    Floor,
    GiniDiversity,
    HardCoherence,
    HardConstraint,
    MajorityVote,
    Moment,
    PairwiseCoherence,
    ShannonDiversity,
    SoftConstraint,
)
from ...solvers import run
from ...solvers.no_regret import average_gap_bound
from .base import Violations, a_policy, check, mean_kl, relative, solved, with_traces


@check("identity", "pairwise squared Euclid = 2 x Euclidean consensus; Bregman 1 = KL", 1e-12)
def _pairs(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    nu, w = a_policy(game.with_objective(ShannonDiversity()), rng), game.weights
    pairs = PairwiseCoherence(1.0, "euclidean").value(nu, w)
    one = np.abs(pairs - 2 * Coherence(1.0, "euclidean").value(nu, w))
    other = np.abs(BregmanCoherence(1.0).value(nu, w) - Coherence().value(nu, w))
    return np.maximum(one, other)


@check("identity", "J* − J(π) = β KL(π ‖ π*) + λ KL(ν ‖ ν*) for Shannon", 1e-10)
def _shannon_gap(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    game = with_traces(game.with_objective(ShannonDiversity(0.8)), rng, channel=False)
    best, policy = solved(game), a_policy(game, rng)
    nu, star = game.marginals(policy), best.marginals
    apart = game.beta * mean_kl(game, policy, best.policy) + 0.8 * mean_kl(game, nu, star)
    return relative(np.abs(best.value - game.value(policy) - apart), apart)


@check("coherence", "soft coherence tends to hard: J*(λ) − J*(hard) in [0, C / λ]", 1e-9)
def _limit(game: AlignmentGame, _rng: np.random.Generator) -> Violations:
    hard = solved(game.with_objective(HardCoherence())).value
    values = [solved(game.with_objective(Coherence(s)), tol=1e-12).value for s in (1e3, 1e4)]
    above = np.where(np.isfinite(hard), hard, -np.inf)
    falls = np.where(np.isfinite(above), np.maximum(above - values[1], values[1] - values[0]), 0.0)
    close = np.where(np.isfinite(above), values[1] - above - 0.2 * (values[0] - above), 0.0)
    return relative(np.maximum(falls, close), np.nan_to_num(hard, neginf=0.0))


@check("T3", "for a channel the answer-level optimum is only an upper bound", 1e-9)
def _channel(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    one = with_traces(game.with_objective(ShannonDiversity()), rng, channel=True)
    on_answers = AlignmentGame(
        one.marginals(one.reference), ShannonDiversity(), beta=one.beta, weights=one.weights
    )
    loose, exact = solved(on_answers).value, solved(one).value
    return relative(exact - loose, exact)


@check("T6", "majority vote: no policy beats its explicit optimum", 1e-10)
def _majority(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    vote = game.with_objective(MajorityVote(1.5))
    solution = solved(vote)
    best = np.max(
        [vote.value(a_policy(vote, rng, p)) for p in [None, solution.policy] * 20], axis=0
    )
    return relative(best - solution.value, solution.value)


@check("projection", "no point of the set is nearer than the soft constraint's projection", 1e-9)
def _projection(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    n, w = game.n, game.weights
    kinds = [Cap([0], 0.3), Floor([n - 1], 0.2), Moment(np.arange(n), 0.4 * (n - 1), across=True)]
    chosen = kinds[int(rng.integers(3))]
    soft, hard = SoftConstraint(chosen, 1.0), HardConstraint(chosen)
    nu = rng.dirichlet(np.ones(n), (*game.batch_shape, game.contexts))
    cost = -soft.value(nu, w)
    worst = hard.violation(soft.projection_log(np.log(nu), w), w)
    others = np.exp(hard.project(np.log(rng.dirichlet(np.ones(n), (10, *nu.shape[:-1]))), w))
    return np.maximum(worst, (cost - (kl(nu, others) * w).sum(-1)).max(0))


@check("no-regret", "averaged play: gap ≤ G² (1 + log T) / (2 β T), and it bounds J* − J", 1e-10)
def _no_regret(game: AlignmentGame, _rng: np.random.Generator) -> Violations:
    gini = game.with_objective(GiniDiversity(1.0))
    history = run(gini, "multiplicative_weights", 40)
    best = solved(gini).value
    bound = average_gap_bound(2.0, game.beta, 40)
    return np.maximum(history.gaps[-1] - bound, best - history.values[-1] - history.gaps[-1])


@check("weights", "the weights on traces have mean 1 under the reference", 1e-10, of_objective=True)
def _weights(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    if isinstance(game.objective, HardCoherence):
        return "hard coherence is a set of answers"
    solution = solved(with_traces(game, rng, channel=False))
    mean = (solution.weights_on_traces() * solution.game.reference).sum(-1)
    return np.abs(mean - 1).max(-1)
