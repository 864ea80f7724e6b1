"""T1 to T6, gradients, curvature, closed forms, rates: docs/theory/game.md to dynamics.md."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import InvalidObjective
from ...games.certificate import certify
from ...games.game import AlignmentGame
from ...numerics.simplex import kl, total_variation
from ...objectives import HardCoherence, HardConstraint, ShannonDiversity, SoftConstraint
from ...objectives.parameters import taken
from ...solvers import BestResponse, Mirror, run
from ...solvers.closed_form import closed_form
from .base import (
    OUTSIDE,
    Violations,
    a_policy,
    bregman,
    check,
    mean_kl,
    outside,
    random_pairs,
    relative,
    solved,
    with_traces,
)


@check(
    "gradient",
    "reward = gradient of Φ, against central differences",
    1e-6,
    of_objective=True,
    kinks="has multipliers instead of a gradient",
)
def _gradient(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    inside = 0.5 / game.n + 0.5 * rng.dirichlet(np.ones(game.n), (*game.batch_shape, game.contexts))
    direction = rng.normal(size=inside.shape)
    direction = 1e-2 * (direction - direction.mean(-1, keepdims=True)) / game.n
    phi, w, h = game.objective, game.weights, 1e-3
    if outside(phi, w, inside):
        return OUTSIDE
    rise = phi.value(inside + h * direction, w) - phi.value(inside - h * direction, w)
    slope = ((phi.reward(inside, w) * direction).sum(-1) * w).sum(-1)
    scale = np.abs(phi.value(inside, w)) * 1e-16 / h
    return relative(np.abs(rise / (2 * h) - slope), slope, 1e6 * scale)


@check(
    "concavity",
    "Φ + μ KL lies above its chords",
    1e-10,
    of_objective=True,
    kinks="is concave by its dual",
)
def _concave(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    phi, w = game.objective, game.weights
    p, q = (rng.dirichlet(np.ones(game.n), (*game.batch_shape, game.contexts)) for _ in range(2))
    if outside(phi, w, p, q):
        return OUTSIDE
    rho, base = game.transfer, np.full(game.n, 1 / game.n)

    def value(nu: Any) -> Any:
        return phi.value(nu, w) - rho * (kl(nu, base) * w).sum(-1)

    chord = (value(p) + value(q)) / 2
    return relative(chord - value((p + q) / 2), chord)


@check(
    "curvature",
    "μ KL ≤ B(p, q) ≤ L KL",
    1e-10,
    of_objective=True,
    kinks="has no curvature",
)
def _curvature(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    p, q = random_pairs(game, rng)
    if outside(game.objective, game.weights, p, q):
        return OUTSIDE
    b, distance = bregman(game, p, q), mean_kl(game, p, q)
    mu = game.objective.curvature_for(game.weights)
    smooth = game.objective.smoothness
    excess = mu * distance - b
    if smooth is not None:
        excess = np.maximum(excess, b - smooth * distance)
    return relative(excess, b)


@check(
    "T1",
    "V(π, q) = J(π) + B(ν(π), q), and V(π, ν(π)) = J(π)",
    1e-10,
    of_objective=True,
    kinks="has multipliers, which the target moves",
)
def _payoff(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    game = with_traces(game, rng, channel=bool(rng.integers(2)))
    policy = a_policy(game, rng)
    nu, q = game.marginals(policy), game.marginals(a_policy(game, rng))
    if outside(game.objective, game.weights, nu, q):
        return OUTSIDE
    value = game.value(policy)
    first = np.abs(game.payoff(policy, q) - value - bregman(game, nu, q))
    second = np.abs(game.payoff(policy, game.target_reply(nu)) - value)
    return relative(np.maximum(first, second), value, game.payoff(policy, q))


@check(
    "T2", "no random policy beats the solved one, which is a best response", 1e-9, of_objective=True
)
def _equilibrium(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    solution = solved(game)
    others = [a_policy(game, rng, like) for like in [None, solution.policy] * 50]
    best = np.max([game.value(p) for p in others], axis=0)
    better = relative(best - solution.value, solution.value)
    if game.transfer or game.objective.has_multipliers:
        return better
    reply = game.best_response(game.rewards(solution.marginals, solution.target))
    apart = (total_variation(reply, solution.policy) * game.weights).sum(-1)
    away = apart - np.sqrt(solution.gap / (2 * game.beta))
    return np.maximum(better, away)


@check("T2 cvxpy", "cvxpy's optimum equals the solved one", 1e-6, of_objective=True)
def _referee(game: AlignmentGame, _rng: np.random.Generator) -> Violations:
    if game.objective.concave is not True or game.n > 4:
        return "asked of concave objectives with few answers"
    first = game.rows(np.asarray([0]))
    try:
        theirs = solved(first, "convex")
    except InvalidObjective:
        return "it states no cvxpy expression"
    ours = solved(first)
    return relative(np.abs(theirs.value - ours.value), ours.value)


@check("T3", "KL over traces = KL over answers + KL given the answer", 1e-10)
def _lifting(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    game = with_traces(game, rng, channel=False)
    policy = a_policy(game, rng)
    log_policy = np.log(np.where(policy > 0, policy, 1))
    amap = game.answer_map
    given = np.where(
        policy > 0,
        amap.condition(np.where(policy > 0, log_policy, -1e30))
        - amap.condition(game.log_reference),
        0,
    )
    whole = kl(policy, game.reference)
    parts = kl(game.marginals(policy), game.marginals(game.reference)) + (policy * given).sum(-1)
    return relative(np.abs(whole - parts), whole)


@check("T3", "the optimum on traces is the lifted optimum on answers", 1e-8, of_objective=True)
def _lifted(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    if isinstance(game.objective, HardCoherence):
        return "hard coherence is a set of answers"
    game = with_traces(game, rng, channel=False)
    lifted, answers = solved(game), solved(game.on_answers())
    apart = np.abs(lifted.value - answers.value)
    return relative(np.maximum(certify(game, lifted.policy).gap, apart), lifted.value)


@check(
    "T4",
    "D(q) ≥ J* ≥ J(π), and KL(π ‖ π*) ≤ gap / (β + min(μ, 0))",
    1e-9,
    of_objective=True,
)
def _certificate(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    kinked = game.objective.has_multipliers
    if not kinked:
        game = with_traces(game, rng, channel=bool(rng.integers(2)))
    solution = solved(game)
    policy, best = a_policy(game, rng, solution.policy), solution.value
    target = (
        game.marginals(a_policy(game, rng))
        if game.answer_map.deterministic and not kinked
        else None
    )
    if target is not None and outside(game.objective, game.weights, target):
        return OUTSIDE
    found = certify(game, policy, target)
    distance = mean_kl(game, policy, solution.policy)
    worst = np.maximum(best - found.upper_bound, found.value - best)
    slack = np.sqrt(solution.gap / game.free_beta)
    far = distance - found.distance_bound - 10 * slack * np.maximum(1, distance)
    return np.maximum(relative(worst, best), relative(far, distance))


@check(
    "T5",
    "mirror and best response on traces, then marginalised, run on the answers",
    1e-9,
    of_objective=True,
    kinks="has no dynamic",
)
def _commute(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    if game.objective.smoothness is None:
        return "it states no smoothness L, so steps are found by backtracking"
    game = with_traces(game, rng, channel=False)
    answers = game.on_answers()
    worst = 0.0
    for dynamic, steps in ((Mirror(), 6), (BestResponse(), 1)):
        one, other = run(game, dynamic, steps).marginals, run(answers, dynamic, steps).marginals
        assert one is not None
        assert other is not None
        worst = np.maximum(worst, total_variation(one, other).max((0, -1)))
    return worst


@check("T6", "sharpening: the power distribution below beta, the mode's value at beta", 1e-9)
def _sharpening(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    strength = float(rng.uniform(0.1, 0.9))
    sharp = game.with_objective(-strength * ShannonDiversity(), beta=1.0)
    power = np.where(game.support, game.reference, 1) ** (1 / (1 - strength)) * game.support
    power = power / power.sum(-1, keepdims=True)
    iterated = solved(sharp, "mirror").marginals
    at_beta = game.with_objective(-1.0 * ShannonDiversity(), beta=1.0)
    linear = at_beta.value(a_policy(game, rng)) - (
        np.log(game.reference.max(-1)) * game.weights
    ).sum(-1)
    return np.maximum(total_variation(iterated, power).max(-1) ** 2, linear)


@check("closed form", "closed forms = the iterative solvers' equilibria", 1e-8, of_objective=True)
def _closed_forms(game: AlignmentGame, _rng: np.random.Generator) -> Violations:
    if closed_form(game) is None or game.objective.has_multipliers:
        return "it has no closed form"
    one, other = solved(game, "closed_form"), solved(game, "newton")
    return np.maximum(relative(np.abs(one.value - other.value), one.value), one.gap)


@check(
    "mirror",
    "J never falls; KL(π* ‖ π_t) ≤ ((L − μ)/(L + β))^t KL(π* ‖ π⁰)",
    1e-9,
    of_objective=True,
    kinks="has no dynamic",
)
def _mirror_rate(game: AlignmentGame, _rng: np.random.Generator) -> Violations:
    smooth, mu = game.objective.smoothness, game.objective.curvature_for(game.weights)
    if smooth is None or game.transfer:
        return "it states no smoothness L, or is solved through T6"
    history = run(game, Mirror(), 12)
    falls = np.max(-np.diff(history.values, axis=0), axis=0)
    solution = solved(game, tol=1e-12)
    assert history.marginals is not None
    distance = np.stack([mean_kl(game, solution.marginals, nu) for nu in history.marginals])
    bound = distance[0] * ((smooth - mu) / (smooth + game.beta)) ** np.arange(13)[:, None]
    return np.maximum(relative(falls, history.values[0]), (distance - bound).max(0))


@check("threshold", "undamped best response on Shannon: converges below beta, diverges above", 0.0)
def _divergence(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    reference = 0.5 / game.n + 0.5 * rng.dirichlet(np.ones(game.n), (8, 1))

    def last_gaps(strength: float) -> Any:
        one = AlignmentGame(reference, ShannonDiversity(strength), beta=1.0)
        return run(one, BestResponse(), 150).gaps[[0, -1]]

    below, above = last_gaps(0.9), last_gaps(1.1)
    return np.concatenate([below[1] > 1e-6 * below[0], above[1] < above[0]]).astype(float)


@check(
    "symmetry", "permuting answers or contexts permutes the equilibrium", 1e-7, of_objective=True
)
def _permuted(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    if any(part.own for _, part in game.objective.terms()):
        return "an objective of your own may name answers or contexts"
    if any(isinstance(part, HardConstraint | SoftConstraint) for _, part in game.objective.terms()):
        return "a set is of named answers"
    answers, contexts = rng.permutation(game.n), rng.permutation(game.contexts)
    objective = taken(taken(game.objective, "n", answers), "m", contexts)
    other = AlignmentGame(
        game.reference[:, contexts][:, :, answers],
        objective,
        beta=game.beta,
        weights=game.weights[:, contexts],
    )
    one = solved(game, tol=1e-13).marginals[:, contexts][:, :, answers]
    return total_variation(one, solved(other, tol=1e-13).marginals).max(-1)
