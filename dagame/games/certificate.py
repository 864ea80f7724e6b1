"""The duality-gap certificate (T4): reads a game and a policy, never a solver, always in float64."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from ..errors import NotConcave
from ..numerics.arrays import (
    LOG_ZERO,
    Array,
    as_floating,
    float64,
    infinities,
    log,
    log_normalise,
    namespace,
    to_numpy,
)
from ..numerics.simplex import log_kl
from ..objectives.difference import majorant, minorant
from ..objectives.own.conditions import Condition
from ..objectives.pairing import weighted
from ..show.tables import Exported, Shown, indexed, number, shortest
from .attainable import Target, confront, refute, targets
from .game import AlignmentGame, require_game

LOCAL = Condition(
    "local solution: the policy's regret is that in the concave game with the convex terms' tangents at it; "
    "the bound, of the game with their chords, holds for all policies: proved"
)
"""What a certificate beyond T6 says of itself."""


@dataclass(frozen=True, eq=False, repr=False)
class Certificate(Shown, Exported):
    """A proof of how far a policy is from the optimum; every field has shape (*batch,).

    value J(pi) <= J* <= upper_bound D(q); gap = upper_bound - value = policy_regret + target_regret,
    the two players' exploitabilities; distance_bound >= sum_x w_x KL(pi_x || pi*_x), in nats, and
    tv_bound its Pinsker bound on the mean total variation. `violation` is the distance to a hard set
    (value and gap are then those of the projected policy). `conditions` name what the proof stands
    on, each proved, checked or assumed; `conditional`: one of them is neither proved nor checked.
    """

    value: Array
    upper_bound: Array
    gap: Array
    policy_regret: Array
    target_regret: Array
    distance_bound: Array
    tv_bound: Array
    violation: Array
    beta: float
    conditions: tuple[Condition, ...]

    @property
    def conditional(self) -> bool:
        """Whether a condition is neither proved nor checked."""
        return bool(self.needs)

    @property
    def needs(self) -> str:
        """What remains to be believed, in words; "" if nothing does."""
        return " and ".join(dict.fromkeys(c.needs for c in self.conditions if c.needs))

    @property
    def relative_gap(self) -> Array:
        """gap / max(beta, |value|)."""
        xp = namespace(self.gap)
        size = xp.where(xp.isfinite(self.value), xp.abs(self.value), 0.0)
        return self.gap / xp.maximum(size, 0 * size + self.beta)

    def __str__(self) -> str:
        gap, value = to_numpy(self.gap), to_numpy(self.value)
        if gap.ndim:
            return f"{gap.size} games certified: largest gap {number(gap.max())}"
        note = f" (if {self.needs})" if self.conditional else ""
        bound = float(to_numpy(self.upper_bound))
        return (
            f"value {number(value, 10)} <= optimum <= {number(bound, 10)}, gap {number(gap)}{note}; "
            f"KL to the optimum <= {number(to_numpy(self.distance_bound))}"
        )

    __repr__ = __str__

    def _rows(self) -> list[tuple[str, str]]:
        value, bound = to_numpy(self.value), to_numpy(self.upper_bound)
        rows = [("games", f"{value.size:,}")]
        if not value.ndim:
            rows = [("value J(π)", number(value, 10)), ("optimum J* ≤", number(bound, 10))]
        rows += [
            ("gap", shortest(to_numpy(self.gap))),
            ("policy's regret", shortest(to_numpy(self.policy_regret))),
            ("target's regret", shortest(to_numpy(self.target_regret))),
            ("KL to the optimum ≤", f"{shortest(to_numpy(self.distance_bound))} nats"),
            ("total variation ≤", shortest(to_numpy(self.tv_bound))),
        ]
        if np.any(to_numpy(self.violation) > 0):
            rows.append(("distance to the hard set", shortest(to_numpy(self.violation))))
        if self.conditions:
            rows.append(("stands on", "; ".join(self.conditions)))
        if self.conditional:
            rows.append(("holds if", self.needs))
        return rows

    def _columns(self) -> dict[str, np.ndarray]:
        """A row per game with every number."""
        names = [f.name for f in fields(self) if f.name not in ("conditions", "beta")]
        shape = to_numpy(self.value).shape
        numbers = {k: np.ravel(to_numpy(getattr(self, k))) + 0.0 for k in names}
        return {**indexed(shape, []), **numbers}


def certify(
    game: AlignmentGame,
    policy: Array,
    target: Array | None = None,
    *,
    multipliers: Array | None = None,
) -> Certificate:
    """Bound how much any policy could still gain over `policy` (T4).

    D(q) = Phi(q) - <u, q> + beta * sum_x w_x log sum_y pi0_x(y) e^{u_x(a(y))/beta}, u = grad Phi(q),
    holds for every q in the interior; the gap is D(q) - J(pi), computed as beta KL(pi || best response)
    plus the Bregman divergence of the target, so that it keeps its precision down to 1e-20. Where the
    curvature mu is negative and beta + mu > 0, the same is done for Phi~ = Phi + mu KL(pi || pi0) and
    beta~ = beta + mu (T6), which leaves J as it is.

    In float64 J is right to about 1e-15 of the size of its terms, the gap at q = nu(pi) to its own
    leading digits; with multipliers a regret below 1e-14 of its terms counts as 0
    (`benchmarks/ten_thousand.py` compares both with 50 digits).

    Args:
        game: the game, of any batch shape.
        policy: probabilities (*batch, m, traces).
        target: q (*batch, m, n); default nu(pi). Where it has zeros that the reference has not, D is
            the least over q mixed with a share of 1e-12 to 1 of the reference.
        multipliers: the target's move for objectives that have them; default the best fit.

    Raises:
        InvalidDistribution, InvalidGame: the policy does not fit the game.
        FalseCertificate: the reference or a best response to the rewards is better than the bound, or, with
            an objective of one's own, a power of the reference: one of its conditions fails.
        NotConcave: the objective's curvature mu has beta + mu <= 0, T4 and T6 do not apply, its optimum is
            not known otherwise, and it is no difference of concave objectives with known chords. Of such a
            difference the policy's regret is that of the concave game with the tangents of the convex terms
            at the policy, and the bound that of the game with their chords.
    """
    log_pi = log(float64(require_game(game).check_policy(policy)))
    log_q = None if target is None else log(float64(as_floating(target, "target")))
    return certify_log(game, log_pi, log_q, multipliers)


def certify_log(
    game: AlignmentGame,
    log_policy: Array,
    log_target: Array | None = None,
    multipliers: Array | None = None,
) -> Certificate:
    """`certify` on log-probabilities, for policies with masses below 1e-308; in units of beta inside."""
    given, game = game, game.in_float64()
    single = game.log_reference.dtype != given.log_reference.dtype
    log_pi = float64(log_policy)
    if single:  # of sum 1 to the precision of the certificate
        log_pi = game.masked(log_normalise(log_pi))
    if not (game.provable and game.unit.provable):
        violation, log_pi = _projected(game, log_pi)
        return _explicit(game, log_pi, violation)
    proof, xp = proved(game, log_pi, log_target, multipliers), namespace(log_pi)
    distance = infinities(proof.gap / game.unit.free_beta)
    bound = xp.where(proof.gap < 1e20, proof.value + proof.gap, proof.gap)
    upper_bound = game.beta * infinities(bound)
    confront(game, upper_bound, proof.replies, single)
    return Certificate(
        value=game.beta * infinities(proof.value),
        upper_bound=upper_bound,
        gap=game.beta * infinities(proof.gap),
        policy_regret=game.beta * infinities(proof.policy_regret),
        target_regret=game.beta * infinities(proof.target_regret),
        distance_bound=distance,
        tv_bound=xp.sqrt(xp.clip(distance, 0.0, 2.0) / 2),
        violation=proof.violation,
        conditions=game.conditions,
        beta=game.beta,
    )


class Proof(NamedTuple):
    """J(pi) of a policy on the set, gap and its two parts, in units of beta (*batch,); the best responses to
    the rewards that prove them, and the distance that the policy had to the set.
    """

    value: Array
    gap: Array
    policy_regret: Array
    target_regret: Array
    replies: list[Array]
    violation: Array


class _Point(NamedTuple):
    """A log-policy, its log-marginals and Phi of them."""

    log_pi: Array
    log_nu: Array
    phi: Array


def proved(
    game: AlignmentGame,
    log_pi: Array,
    log_target: Array | None = None,
    multipliers: Array | None = None,
) -> Proof:
    """What T4 says of a log-policy in float64, of a game that it applies to; +-1e30 stand for infinities."""
    violation, log_pi = _projected(game, log_pi)
    unit, xp = game.unit, namespace(log_pi)
    log_nu = unit.answer_map.log_push_forward(log_pi)
    at = _Point(log_pi, log_nu, unit.objective.value_log(log_nu, unit.weights))
    value = at.phi - unit.cost(log_pi)
    found = targets(unit, log_pi, log_target)
    policy_regret, target_regret, replies = _least(unit, at, found, multipliers)
    regret = policy_regret + target_regret
    rounding = 1e-14 * (1 + xp.abs(value))
    regret = xp.where((regret < 0) & (regret > -rounding), 0 * regret, regret)
    gap = xp.where(value > LOG_ZERO / 2e10, regret, -LOG_ZERO)
    return Proof(value, gap, policy_regret, target_regret, replies, violation)


def not_provable(game: AlignmentGame) -> NotConcave:
    """The error of a game that neither T4 nor T6 covers, with the way out."""
    mu = game.objective.curvature_for(game.weights)
    if mu == -np.inf and any(part.own for _, part in game.objective.terms()):
        return NotConcave(
            f"{game.objective!r} is not concave and no finite curvature mu of it is known, so neither "
            "theorem proves a gap (T4, T6); state `curvature` if B(p, q) >= mu KL(p || q) for a finite mu."
        )
    return NotConcave(
        f"{game.objective!r} is not concave, its curvature is mu = {mu:g}, and beta = {game.beta:g} "
        f"is not above {-mu:g}: neither theorem proves a gap (T6); raise beta or lower the strength."
    )


def _explicit(game: AlignmentGame, log_pi: Array, violation: Array) -> Certificate:
    """Against the known optimum of the answer-level problem, which bounds that on traces (T3)."""
    best = None
    if game.answer_map.deterministic:
        best = game.objective.optimum(game.log_reference_answers, game.weights, game.beta)
    if best is None:
        return _local(game, log_pi, violation)
    xp = namespace(log_pi)
    value = game.beta * infinities(game.unit.value_log(log_pi))
    refute(game, best, value)
    confront(game, best, [])
    gap = xp.maximum(best - value, 0 * best)
    unknown = 0 * best + xp.inf
    return Certificate(
        value=value,
        upper_bound=best,
        gap=gap,
        policy_regret=gap,
        target_regret=0 * best,
        distance_bound=unknown,
        tv_bound=0 * best + 1,
        violation=violation,
        conditions=(Condition("the optimum is a formula: proved"),),
        beta=game.beta,
    )


def _local(game: AlignmentGame, log_pi: Array, violation: Array) -> Certificate:
    """Of a difference of concave objectives beyond T6: two concave games, one below and one above it.

    The policy's regret is its gap in the game whose convex terms are replaced by their tangents at it, 0 at
    a local optimum; the bound is that of the game whose convex terms are replaced by their chords.
    """
    above = majorant(game.objective)
    below = minorant(game.objective, game.answer_map.log_push_forward(log_pi), game.weights)
    if above is None or below is None or game.objective.has_multipliers:
        raise not_provable(game)
    local, over = (
        certify_log(game.replaced(objective=phi, _checked=(None,) * len(phi.terms())), log_pi)
        for phi in (below, above)
    )
    bound, value, xp = over.upper_bound, local.value, namespace(log_pi)
    gap = bound - value
    own = any(part.own for _, part in game.objective.terms())
    confront(game, bound, [log_pi])
    unknown = 0 * gap + xp.inf
    return Certificate(
        value=value,
        upper_bound=bound,
        gap=gap,
        policy_regret=local.gap,
        target_regret=gap - local.gap,
        distance_bound=unknown,
        tv_bound=0 * gap + 1,
        violation=violation,
        conditions=(LOCAL, *(game.conditions if own else ())),
        beta=game.beta,
    )


def _projected(game: AlignmentGame, log_pi: Array) -> tuple[Array, Array]:
    """Distance of nu(pi) to a hard set, and the policy moved onto it, traces given answers kept."""
    log_nu = game.answer_map.log_push_forward(log_pi)
    violation = game.objective.domain.violation(log_nu, game.weights)
    violation = violation + 0 * log_pi[..., 0, 0]
    inside = game.objective.domain.project(log_nu, game.weights)
    if inside is log_nu:
        return violation, log_pi
    xp = namespace(log_pi)
    ratio = xp.where(log_nu > LOG_ZERO / 2, inside - log_nu, LOG_ZERO)
    return violation, game.masked(log_normalise(log_pi + game.answer_map.pull_back(ratio)))


def _regrets(
    game: AlignmentGame, at: _Point, target: Target, multipliers: Array | None
) -> tuple[Array, Array, Array]:
    """max_pi' V(pi', q) - V(pi, q), V(pi, q) - J(pi), 0 at q = nu(pi), and the best response.

    Where nu(pi) misses a hard set within its tolerance, what the multipliers charge for that is added to
    the second, so that no value is above its bound.
    """
    if multipliers is None:
        multipliers = game.multipliers(target.log_q)
    constant, u = game.linearise(target.log_q, multipliers)
    on_traces, rho = game.answer_map.pull_back(u), game.transfer
    if rho:
        on_traces = on_traces - rho * (target.log_policy - game.log_reference)
    (log_pi, log_nu, phi), xp = at, namespace(at.phi)
    log_best = game.log_best_response(on_traces, game.free_beta)
    policy_regret = game.free_beta * weighted(log_kl(log_pi, log_best), game.weights)
    if target.is_policy and multipliers is None:
        reply = game.objective.reply.reply_gap(log_nu, game.weights) + 0 * policy_regret
        return policy_regret, reply, log_best
    paid_each = xp.exp(log_nu) * u
    paid = weighted(xp.sum(paid_each, axis=-1), game.weights)
    target_regret = constant + paid - phi
    if multipliers is not None:
        target_regret = target_regret + _charge(game, log_nu, multipliers)
    size = weighted(xp.sum(xp.abs(paid_each), axis=-1), game.weights)
    rounding = 1e-14 * (xp.abs(constant) + size + xp.abs(phi))
    target_regret = xp.where(xp.abs(target_regret) <= rounding, 0 * phi, target_regret)
    if rho:
        moved = weighted(log_kl(log_pi, target.log_policy), game.weights)
        target_regret = target_regret + rho * moved
    return policy_regret, target_regret, log_best


def _charge(game: AlignmentGame, log_nu: Array, multipliers: Array) -> Array | float:
    """What multipliers charge marginals outside a hard set, >= 0: sum_i max(0, y_i (G_i nu - h_i))."""
    total: Array | float = 0.0
    for factor, part in game.objective.terms():
        slack = part.domain.slack(log_nu, game.weights)
        if slack is not None:
            due, xp = multipliers * slack, namespace(slack)
            total = total + factor * xp.sum(xp.maximum(due, 0 * due), axis=-1)
    return total


def _least(
    game: AlignmentGame, at: _Point, found: list[Target], multipliers: Array | None
) -> tuple[Array, Array, list[Array]]:
    """The two regrets at the target that gives the least bound, and the best responses to all."""
    best: tuple[Array, Array] | None = None
    replies = []
    for target in found:
        policy_regret, target_regret, reply = _regrets(game, at, target, multipliers)
        replies.append(reply)
        xp = namespace(policy_regret)
        total = policy_regret + target_regret
        void = ~target.usable | ~(total > LOG_ZERO / 2e10)
        policy_regret = xp.where(void, -LOG_ZERO, policy_regret)
        target_regret = xp.where(void, 0.0, target_regret)
        if best is not None:
            less = policy_regret + target_regret < best[0] + best[1]
            policy_regret = xp.where(less, policy_regret, best[0])
            target_regret = xp.where(less, target_regret, best[1])
        best = policy_regret, target_regret
    assert best is not None
    return *best, replies
