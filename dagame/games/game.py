"""The game between a policy and a target on tables: `AlignmentGame`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property
from typing import Any, NamedTuple, Self

from ..errors import InvalidDistribution, InvalidGame
from ..numerics.arrays import (
    LOG_ZERO,
    Array,
    as_floating,
    infinities,
    log,
    log_normalise,
    namespace,
)
from ..numerics.shapes import Numbers, Policy, Table
from ..numerics.simplex import check_distribution, check_scale, check_weights, log_kl
from ..objectives.names import no_objective
from ..objectives.objective import Objective
from ..objectives.own.checked import checked_terms, conditions_of
from ..objectives.own.conditions import Condition
from ..objectives.pairing import pairing, weighted
from ..objectives.parameters import bound_to
from .answer_map import AnswerMap
from .named import NamedGame, distinct, taken_apart


class Evaluation(NamedTuple):
    """One iterate seen by every solver: log-policy, J, rewards of traces, best response and gap.

    With the target at q = nu(pi), gap = beta * sum_x w_x KL(pi_x || best response_x) (T4).
    """

    log_policy: Array
    log_marginals: Array
    value: Array
    rewards: Array
    log_best: Array
    gap: Array


class AlignmentGame(NamedGame):
    """A distributional alignment game on tables (docs/theory/game.md).

    J(pi) = Phi(nu(pi)) - beta * sum_x w_x KL(pi_x || pi0_x), played as
    V(pi, q) = Phi(q) + <grad Phi(q), nu(pi) - q> - beta * sum_x w_x KL(pi_x || pi0_x).

    Args:
        reference: pi0, probabilities (*batch, m, traces); with `answers=None` traces are answers.
            Zeros are allowed. numpy, torch or any array-API array; results are of the same kind.
        objective: Phi, a `dagame.Objective`.
        beta: strength of the KL to the reference, > 0, in the units of Phi per nat. Games are solved and
            certified in units of beta, so that a game times a constant is the same game; the
            objective's `magnitude` is at most 1e9 beta (1e4 beta in single precision), as rounding
            error beyond exceeds what the game is about. beta is from 1e-30 to 1e12 (1e-4 to 1e4).
        weights: context weights (m,) or (*batch, m), positive, sum 1; default uniform.
        answers: answer of each trace, integers or texts (traces,) or (m, traces); an `AnswerMap`; or a
            row-stochastic channel (traces, n).
        answer_names, context_names: n and m different names, which tables, pictures and frames show;
            a batch shares them. A pandas or polars frame brings its own: columns, index or one column
            of text.
        check: whether an objective from outside the package is tried: is `reward` the gradient of
            `value`, are batches, shapes and stated facts right? About 5 ms, once per object and
            numbers of contexts and answers; certificates say what was checked, or that nothing was.

    Raises:
        InvalidDistribution: the reference is not a probability table.
        InvalidGame: shapes, weights, beta or objective parameters do not fit together.
        InvalidObjective: the check found `value`, `reward` or a stated fact wrong.
        Infeasible: the objective is finite nowhere (a `SoftConstraint` to an empty set).
    """

    _check: bool
    _checked: Any

    def __init__(
        self,
        reference: Array,
        objective: Objective,
        *,
        beta: float,
        weights: Array | None = None,
        answers: Any = None,
        answer_names: Iterable[object] | None = None,
        context_names: Iterable[object] | None = None,
        check: bool = True,
    ) -> None:
        """See the class."""
        given = taken_apart(reference, answers, answer_names, context_names)
        p = _checked_reference(given.reference)
        if not isinstance(objective, Objective):
            raise InvalidGame(f"objective is {no_objective(objective)}")
        vars(self).update(
            beta=check_scale(beta, objective.magnitude, p),
            log_reference=namespace(p).where(p > 0, log_normalise(log(p)), LOG_ZERO),
            answer_map=AnswerMap.of(given.answers, p.shape[-1]).bind(p),
            weights=check_weights(weights, tuple(p.shape), p),
            objective=bound_to(objective, p),
            _check=check,
        )
        vars(self).update(
            answer_names=distinct(given.answer_names, self.n, "answers"),
            context_names=distinct(given.context_names, self.contexts, "contexts"),
        )
        _check_answer_map(objective, self.answer_map, answers is not None)
        self._check_objective(objective)

    def _check_objective(self, given: Objective) -> None:
        """Fit, domain, and what an objective from outside the package says of itself."""
        shape = (*self.log_reference.shape[:-1], self.n)
        self.objective.check(shape, self.weights)
        own = self._check and any(part.own for _, part in given.terms())
        log_nu0 = self.log_reference_answers if own else self.log_reference
        checked = checked_terms(given, self.objective, log_nu0, self.weights, self._check)
        vars(self).update(_checked=checked)

    def with_objective(self, objective: Objective, beta: float | None = None) -> Self:
        """The same reference and weights with another objective (and beta)."""
        beta = self.beta if beta is None else beta
        changed = self.replaced(
            objective=bound_to(objective, self.log_reference),
            beta=check_scale(beta, objective.magnitude, self.log_reference),
        )
        changed._check_objective(objective)
        return changed

    # -- shape ------------------------------------------------------------------------------------

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Leading dimensions: independent games."""
        return tuple(self.log_reference.shape[:-2])

    @property
    def contexts(self) -> int:
        """The number of contexts, m."""
        return self.log_reference.shape[-2]

    @property
    def n(self) -> int:
        """Number of answers."""
        return self.answer_map.n

    @property
    def traces(self) -> int:
        """Number of traces."""
        return self.answer_map.traces

    @property
    def reference(self) -> Array:
        """pi0 as probabilities (*batch, m, traces)."""
        return namespace(self.log_reference).exp(self.log_reference)

    @cached_property
    def log_reference_answers(self) -> Array:
        """log nu0 (*batch, m, n)."""
        return self.answer_map.log_push_forward(self.log_reference)

    @cached_property
    def support(self) -> Array:
        """Where pi0 > 0 (*batch, m, traces)."""
        return self.log_reference > LOG_ZERO / 2

    @cached_property
    def answer_support(self) -> Array:
        """Where nu0 > 0 (*batch, m, n)."""
        return self.log_reference_answers > LOG_ZERO / 2

    @cached_property
    def _full_support(self) -> bool:
        return bool(namespace(self.support).all(self.support))

    @cached_property
    def transfer(self) -> float:
        """rho = max(0, -mu), the share of the KL that makes Phi concave; 0 where beta <= rho (T6)."""
        mu = self.objective.curvature_for(self.weights)
        return -mu if -self.beta < mu < 0 else 0.0

    @cached_property
    def provable(self) -> bool:
        """Whether T4 or T6 bounds the optimum: Phi concave or of unknown sign, or beta + mu > 0."""
        mu = self.objective.curvature_for(self.weights)
        return self.objective.concave is not False or self.beta + mu > 0

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """What a certificate of this game stands on, and how far each condition is known."""
        mu = self.objective.curvature_for(self.weights)
        return conditions_of(self.objective, self._checked, mu, self.beta)

    @cached_property
    def forbidden(self) -> Array | None:
        """Answers that every policy of finite value avoids (*batch, m, n), or None."""
        return self.objective.domain.forbidden(self.log_reference_answers, self.weights)

    @cached_property
    def open_traces(self) -> Array:
        """Traces (*batch, m, traces) that never show a forbidden answer."""
        forbidden, xp = self.forbidden, namespace(self.log_reference)
        if forbidden is None:
            return self.support | ~self.support
        return self.answer_map.pull_back(xp.astype(forbidden, self.log_reference.dtype)) == 0

    @cached_property
    def smoothness(self) -> float | None:
        """L on traces: the objective's, and for a channel at least 0, as KL(nu) <= KL(pi).

        Proof: docs/theory/dynamics.md#mirror-ascent.
        """
        smooth = self.objective.smoothness
        if smooth is None or self.answer_map.deterministic:
            return smooth
        return max(smooth, 0.0)

    @cached_property
    def unit(self) -> Self:
        """The game divided by beta: the same equilibrium and multipliers, J and gaps in units of beta."""
        if self.beta == 1:
            return self
        return self.replaced(objective=(1 / self.beta) * self.objective, beta=1.0)

    @cached_property
    def free_beta(self) -> float:
        """beta - rho, what is left of the KL (T6)."""
        return self.beta - self.transfer

    # -- the two players, on probabilities --------------------------------------------------------

    def marginals(self, policy: Array) -> Array:
        """nu(pi): policy (*batch, m, traces) -> (*batch, m, n)."""
        return self.answer_map.push_forward(self.check_policy(policy))

    def target_reply(self, marginals: Table) -> Table:
        """argmin_q V(pi, q) = nu(pi) (T1), a copy; kinks and hard sets choose multipliers besides."""
        return marginals + 0.0

    def rewards(self, marginals: Table, target: Table) -> Table:
        """u = grad Phi(q) of each answer at the target q (*batch, m, n); 0 where nu0 is 0.

        Reads the target only; `marginals` is there for games whose rewards are estimated.
        """
        log_q = log(as_floating(target, "target"))
        return self.rewards_at(log_q, self.multipliers(log_q))

    def policy_step(self, policy: Array, rewards: Array, step: float | None = None) -> Array:
        """Mirror step pi^{1 - step beta} pi0^{step beta} e^{step u}; `step=None`: best response.

        `rewards` are those of answers (*batch, m, n); step in (0, 1/beta].
        """
        xp = namespace(self.log_reference)
        log_best = self.log_best_response(self.answer_map.pull_back(rewards))
        if step is None:
            return xp.exp(log_best)
        log_pi = log(self.check_policy(policy))
        return xp.exp(self.mirror_step(log_pi, log_best, step))

    def best_response(self, rewards: Array) -> Array:
        """argmax_pi V: pi0 e^{u/beta} / Z for rewards of answers (*batch, m, n)."""
        log_best = self.log_best_response(self.answer_map.pull_back(rewards))
        return namespace(log_best).exp(log_best)

    def value(self, policy: Array) -> Array:
        """J(pi) (*batch,); -inf outside the objective's domain."""
        return self.beta * infinities(self.unit.value_log(log(self.check_policy(policy))))

    def payoff(self, policy: Array, target: Array) -> Array:
        """V(pi, q) (*batch,), from policy and target probabilities."""
        log_pi, log_q = log(self.check_policy(policy)), log(as_floating(target, "target"))
        constant, u = self.unit.linearise(log_q, self.multipliers(log_q))
        log_nu = self.answer_map.log_push_forward(log_pi)
        paid = pairing(u, log_nu, self.weights)
        return self.beta * infinities(constant + paid - self.unit.cost(log_pi))

    def check_policy(self, policy: Array) -> Array:
        """`policy` as floating probabilities of the game's shape and support, or an error."""
        p = check_distribution(policy, "policy")
        want = tuple(self.log_reference.shape)
        if tuple(p.shape) != want:
            raise InvalidGame(f"policy has shape {tuple(p.shape)}, the reference has {want}.")
        xp = namespace(p)
        if not self._full_support and bool(xp.any((p > 0) & ~self.support)):
            raise InvalidDistribution(
                "policy has mass where the reference has none, so its KL is infinite; set those "
                "entries to 0 and divide each row by its sum."
            )
        return p

    # -- in log space: what solvers and the certificate call --------------------------------------

    def log_best_response(self, rewards: Policy, beta: float | None = None) -> Policy:
        """log(pi0 e^{u/beta} / Z) for rewards of traces (*batch, m, traces)."""
        tilted = self.log_reference + rewards / (self.beta if beta is None else beta)
        tilted = self.masked(tilted)
        if not self._full_support:  # below any answer of the support, however little that is paid
            tilted = namespace(tilted).where(self.support, tilted, 2 * LOG_ZERO)
        return self.masked(log_normalise(tilted))

    def mirror_step(self, log_policy: Policy, log_best: Policy, step: Any) -> Policy:
        """The policy moved a share step * beta of the way to the best response, in log space."""
        share = step * self.free_beta
        return self.masked(log_normalise(log_policy + share * (log_best - log_policy)))

    def masked(self, log_p: Array) -> Array:
        """LOG_ZERO off the support, and as the least log-probability on it."""
        xp = namespace(log_p)
        log_p = xp.clip(log_p, LOG_ZERO, None)
        return log_p if self._full_support else xp.where(self.support, log_p, LOG_ZERO)

    def cost(self, log_policy: Policy, beta: float | None = None) -> Numbers:
        """beta * sum_x w_x KL(pi_x || pi0_x), shape (*batch,)."""
        beta = self.beta if beta is None else beta
        return beta * pairing(log_policy - self.log_reference, log_policy, self.weights)

    def value_log(self, log_policy: Policy, log_nu: Table | None = None) -> Numbers:
        """J from a log-policy (and its log-marginals), -1e30 and below standing for -infinity."""
        if log_nu is None:
            log_nu = self.answer_map.log_push_forward(log_policy)
        return self.objective.value_log(log_nu, self.weights) - self.cost(log_policy)

    def evaluate(self, log_policy: Policy) -> Evaluation:
        """Value, rewards, best response and gap at a log-policy, the target replying at once.

        With negative curvature all are those of Phi~ and beta~ (T6), whose J is the same.
        """
        log_nu = self.answer_map.log_push_forward(log_policy)
        phi, u = self.objective.value_and_reward_log(log_nu, self.weights)
        u = self.answer_map.pull_back(u)
        beta = self.free_beta
        if beta != self.beta:
            u = u - self.transfer * (log_policy - self.log_reference)
        log_best = self.log_best_response(u, beta)
        gap = beta * weighted(log_kl(log_policy, log_best), self.weights)
        return Evaluation(log_policy, log_nu, phi - self.cost(log_policy), u, log_best, gap)

    def rewards_at(self, log_q: Table, multipliers: Array | None) -> Table:
        """What each answer is paid at a target and multipliers (*batch, m, n), infinities as such."""
        return self.beta * infinities(self.unit.linearise(log_q, multipliers)[1])

    def linearise(self, log_q: Table, multipliers: Array | None) -> tuple[Numbers, Table]:
        """The target's affine bound of Phi; rewards 0 off the reference's support.

        Answers that no finite policy gives are paid minus infinity.
        """
        constant, u = self.objective.reply.linearise(log_q, self.weights, multipliers)
        xp, forbidden = namespace(u), self.forbidden
        if forbidden is not None:
            u = xp.where(forbidden, LOG_ZERO, u)
        return constant, xp.where(self.answer_support, u, 0.0)

    def multipliers(self, log_q: Table) -> Array | None:
        """The multipliers that fit log_q best, found in units of beta, which does not change them."""
        if not self.objective.has_multipliers:
            return None
        xp = namespace(log_q)
        residual = xp.where(self.answer_support, log_q - self.log_reference_answers, 0.0)
        phi = self.unit.objective
        return phi.reply.multipliers(log_q, self.weights, residual, self.answer_support)


def _checked_reference(reference: Array) -> Array:
    """pi0 as floating probabilities (*batch, m, traces), or an error."""
    p = as_floating(reference, "reference")
    if p.ndim < 2:
        raise InvalidGame(
            f"reference has shape {tuple(p.shape)}; give (*batch, contexts, traces), for one "
            "context reference[None, :]."
        )
    if math.prod(p.shape) == 0:
        raise InvalidGame(f"reference is empty, of shape {tuple(p.shape)}.")
    return check_distribution(p, "reference")


def _check_answer_map(objective: Objective, answer_map: AnswerMap, given: bool) -> None:
    """Raise `InvalidGame` where the objective cannot be played on answers of this map."""
    if objective.on_traces and given:
        raise InvalidGame(
            f"{objective!r} acts on traces; leave answers=None and push the policy forward "
            "with dagame.AnswerMap."
        )
    if answer_map.kind == "channel" and objective.deterministic_only:
        raise InvalidGame(
            f"{objective!r} needs a deterministic answer map; for a channel use "
            "HardConstraint(Parity(0.0))."
        )


def require_game(game: Any) -> AlignmentGame:
    """The game, or `InvalidGame` for something that is none."""
    if isinstance(game, AlignmentGame):
        return game
    raise InvalidGame(
        f"a {type(game).__name__} is given where a game is needed; make one: "
        "dagame.AlignmentGame(reference, objective, beta=...)."
    )
