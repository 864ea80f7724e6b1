"""The duality gap from samples: the numbers behind `dagame.lm.certificate`, on tables of counts.

For any target q and any a_x > 0, with u = grad Phi(q) and X_x(z) = exp(u_x(z)/beta) / a_x,

    D(q) <= Phi(q) - <u, q> + beta sum_x w_x (log a_x + E_{pi0_x} X_x - 1),

as log t <= t - 1. The right-hand side is linear in the reference, so its sample mean has no bias of
a logarithm, and it bounds every J (T4). q is solved and a taken on one half of the reference
samples, the mean on the other; the halves change places and the two are averaged. So E D_hat >= J*,
while E [Phi(nu_hat) - beta KL_hat] <= J(pi) for concave Phi: the expected difference is at least the
gain of any policy whose answers are among those counted.

From below, the optimum on the empirical reference is at most J* on average, as J* is concave in the
reference, and Phi(nu) <= Phi(q) + <grad Phi(q), nu - q> for any q: q is smoothed from one half of the
policy's samples, nu estimated on the other, so that the mean of the right-hand side is not low. (The list
of answers that occur is taken from all samples, not from one half.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...errors import NotConcave
from ...games.game import AlignmentGame
from ...games.solution import Solution, Status
from ...objectives import Objective
from ...solvers import solve


@dataclass(frozen=True, eq=False)
class SampleTables:
    """Samples of B classes with m contexts, counted over n answers (padding: zero everywhere).

    reference (2, B, m, n): counts of the reference samples' two halves, or sums of pi0/pi where they
    were drawn from the policy; reference_squares the same with squares; reference_sizes (2, B, m)
    samples in each. policy (2, B, m, n): counts of the policy samples' two halves. log_ratio
    (B, m, n) sums of log(pi/pi0) by answer, log_ratio_squares (B, m) sums of its squares.
    answers (B, n): the answers seen anywhere. weighted: pi0/pi was used.
    """

    reference: np.ndarray
    reference_squares: np.ndarray
    reference_sizes: np.ndarray
    policy: np.ndarray
    log_ratio: np.ndarray
    log_ratio_squares: np.ndarray
    answers: np.ndarray
    weighted: bool = False


@dataclass(frozen=True, eq=False)
class Parts:
    """Estimates for each class, (B,), and what their intervals are made of.

    upper: estimate of D, not low on average; in_sample: the optimum on the empirical reference, not
    high on average (J* is concave in the reference); phi, kl: Phi(nu_hat), not high on average, and
    sum_x w_x KL_hat; phi_above: the cross-fitted estimate of Phi(nu), not low on average; phi_bias:
    estimate by halving of E Phi(nu_hat) - Phi(nu), <= 0 for concave Phi, of which some remains.
    Of the mean of X, per half (2, B): scale, expected and seen sums of squares (see `exceeding`).
    Variances of `upper`, `in_sample` and phi - beta kl; value_kurtosis is sum_x s_x^4 / (K_x - 1).
    """

    upper: np.ndarray
    phi: np.ndarray
    kl: np.ndarray
    in_sample: np.ndarray
    phi_above: np.ndarray
    phi_bias: np.ndarray
    scale: np.ndarray
    expected: np.ndarray
    seen: np.ndarray
    upper_variance: np.ndarray
    value_variance: np.ndarray
    value_kurtosis: np.ndarray
    in_sample_variance: np.ndarray

    def mean(self) -> Parts:
        """The parts of the mean over the classes, as of one class: sums of squares over B^2."""
        b = len(self.upper)
        first = {n: getattr(self, n).mean(keepdims=True) for n in _MEANS}
        second = {n: getattr(self, n).sum(-1, keepdims=True) / b**2 for n in _SQUARES}
        return Parts(
            **first,
            **second,
            scale=self.scale.max(-1, keepdims=True) / b,
            value_kurtosis=self.value_kurtosis.sum(keepdims=True) / b**4,
        )


_MEANS = ("upper", "in_sample", "phi", "phi_above", "kl", "phi_bias")
_SQUARES = ("expected", "seen", "upper_variance", "value_variance", "in_sample_variance")


def check_objective(objective: Objective) -> None:
    """Raise `NotConcave` where no bound can be estimated from samples."""
    for _, part in objective.terms():
        if part.hard:
            raise NotConcave(
                f"{part!r} is minus infinity off a set, and marginals of samples never lie in it "
                "exactly; use a soft constraint, or certify a table of the marginals."
            )
        if part.on_traces:
            raise NotConcave(f"{part!r} acts on traces; samples show answers only.")
    if objective.concave is False:
        raise NotConcave(
            f"{objective!r} is not concave: its bound (T6) needs the reference's probabilities "
            "themselves, not only samples of it; use dagame.certify on enumerated traces."
        )


def estimate(
    tables: SampleTables,
    objective: Objective,
    beta: float,
    *,
    smoothing: float = 0.5,
    unseen: int = 0,
) -> Parts:
    """D, J and their noise from counts.

    `smoothing` is added to the count of each answer where q is solved, so that u stays finite and
    X <= 1 / smallest smoothed mass: that is how u is clipped, and it costs no validity, as every q
    bounds the optimum. The bound is over policies whose answers are among those in the tables and
    `unseen` more, which get the smoothing alone.

    Raises:
        NotConcave: see `check_objective`.
    """
    check_objective(objective)
    tables = _widened(tables, unseen)
    solutions = _equilibria(tables, objective, beta, smoothing)
    best, best_variance = _in_sample(tables, solutions[2], beta)
    game = solutions[0].game
    found = _cross_fitted(tables, solutions, beta) | _policy_value(tables, game, beta)
    above, above_variance = _phi_above(tables, game, beta, smoothing)
    found["value_variance"] = np.maximum(found["value_variance"], above_variance)
    return Parts(**found, in_sample=best, in_sample_variance=best_variance, phi_above=above)


def _cross_fitted(
    tables: SampleTables, solutions: Sequence[Solution], beta: float
) -> dict[str, np.ndarray]:
    """The bound at the target of each half with the mean over the other, and its noise, as in `Parts`."""
    bounds = [_bound(tables, solutions[h], 1 - h, beta) for h in (0, 1)]
    upper, scale, expected, seen = (np.stack(part) for part in zip(*bounds, strict=True))
    noise = {"scale": scale, "expected": expected, "seen": seen}
    return {"upper": upper.mean(0), "upper_variance": seen.mean(0) / 2, **noise}


def exceeding(scale: np.ndarray, expected: np.ndarray, seen: np.ndarray, risk: float) -> np.ndarray:
    """How far a mean may lie above its sample mean, but for a probability `risk`.

    Of independent Y_i >= 0 with predictions y_i fixed beforehand and Y_i - y_i <= scale: with
    psi(t) = -log(1-t) - t and any t in (0, 1) fixed beforehand, sum (E Y_i - Y_i) <= (scale/t)
    (log(1/risk) + psi(t) sum (Y_i - y_i)^2 / scale^2), as exp(t xi - psi(t) xi^2) <= 1 + t xi for
    xi >= -1 (Fan, Grama and Liu 2015). `seen` is sum (Y_i - y_i)^2, `expected` what it was thought to
    be, which chooses t. No distribution is assumed and the Y_i may differ.
    """
    out = np.zeros(np.broadcast_shapes(np.shape(scale), np.shape(seen)))
    b = np.broadcast_to(np.maximum(scale, 0.0), out.shape)
    live = b > 0
    level, b = math.log(1 / risk), b[live]
    predicted = np.maximum(np.broadcast_to(expected, out.shape)[live] / b**2, 1e-12)
    tilt = np.sqrt(2 * level / predicted)
    t = tilt / (1 + tilt)
    psi = -np.log1p(-t) - t
    out[live] = b / t * (level + psi * np.broadcast_to(seen, out.shape)[live] / b**2)
    return out


def intervals(
    parts: Parts, beta: float, confidence: float, weighted: bool
) -> dict[str, np.ndarray]:
    """Estimates with both ends of their intervals, (B,) each; half of the risk goes to D, half to J.

    gap = upper - (phi - phi_bias - beta kl). The upper end takes `exceeding` for D (a normal limit
    where `weighted`), phi as it is and a Student limit for J; the lower end sets the optimum in the
    sample against phi_above - beta kl, with a Student limit.
    """
    plug_in = parts.phi - beta * parts.kl
    value, unknown = plug_in - parts.phi_bias, ~np.isfinite(plug_in)
    high = _upper_end(parts, np.where(unknown, 0.0, plug_in), 1 - confidence, weighted)
    high = np.where(unknown, np.inf, high)
    noise = np.sqrt(parts.value_variance + parts.in_sample_variance)
    low = parts.in_sample - np.where(unknown, 0.0, parts.phi_above - beta * parts.kl)
    low = np.clip(low - _t_quantile(parts, confidence) * noise, 0.0, high)
    other, spread = np.sqrt(parts.upper_variance), np.sqrt(parts.value_variance)
    return {
        "gap": np.where(unknown, np.inf, parts.upper - np.where(unknown, 0.0, value)),
        "lower": np.where(unknown, 0.0, low),
        "upper": high,
        "standard_error": other + spread if weighted else np.hypot(other, spread),
        "value": value,
        "upper_bound": parts.upper,
        "phi": parts.phi,
        "kl": parts.kl,
    }


def _upper_end(parts: Parts, value: np.ndarray, risk: float, weighted: bool) -> np.ndarray:
    """That of the gain over a policy of plug-in value, >= 0."""
    t = _t_quantile(parts, 1 - risk / 2)
    if weighted:
        above = t * np.sqrt(parts.upper_variance)
    else:
        above = exceeding(parts.scale, parts.expected, parts.seen, risk / 4).mean(0)
    high = parts.upper + above - value
    return np.maximum(high + t * np.sqrt(parts.value_variance), 0.0)


def _t_quantile(parts: Parts, probability: float) -> np.ndarray:
    """Student's quantile with the degrees of freedom of Welch and Satterthwaite."""
    from scipy.special import stdtrit

    known = parts.value_kurtosis > 0
    freedom = np.full(len(known), 1e6)
    np.divide(parts.value_variance**2, parts.value_kurtosis, out=freedom, where=known)
    return stdtrit(np.maximum(freedom, 1.0), probability)


def _widened(tables: SampleTables, unseen: int) -> SampleTables:
    """The tables with a column for each of `unseen` answers that no sample shows."""
    if not unseen:
        return tables
    names = ("reference", "reference_squares", "policy", "log_ratio")
    pad = {
        name: np.pad(table, [(0, 0)] * (table.ndim - 1) + [(0, unseen)])
        for name in names
        for table in [getattr(tables, name)]
    }
    more = np.ones((len(tables.answers), unseen), bool)
    return replace(tables, **pad, answers=np.concatenate([tables.answers, more], axis=-1))


def _equilibria(
    tables: SampleTables, objective: Objective, beta: float, smoothing: float
) -> tuple[Solution, Solution, Solution]:
    """Of each half, smoothed over the answers seen anywhere, and of all samples as they are."""
    mask = tables.answers[:, None, :]
    smoothed = tables.reference + smoothing * mask
    found = []
    for counts in (smoothed[0], smoothed[1], tables.reference.sum(0)):
        reference = counts / counts.sum(-1, keepdims=True)
        game = AlignmentGame(reference, objective, beta=beta)
        found.append(solve(game, tol=1e-9, max_steps=2000, throw=False))
    return found[0], found[1], found[2]


def _bound(
    tables: SampleTables, solution: Solution, half: int, beta: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The bound with the mean of X over `half`, and scale, expected and seen squares of its noise.

    Any q bounds the optimum, so the accuracy of the solver does not matter here.
    """
    game = solution.game
    at = solution.log_marginals
    multipliers = solution.multipliers
    constant, u = game.linearise(at, game.multipliers(at) if multipliers is None else multipliers)
    top = np.max(np.where(game.support, u, -np.inf), axis=-1, keepdims=True)
    tilted = np.where(game.support, np.exp((u - top) / beta), 0.0)
    mean = (game.reference * tilted).sum(-1, keepdims=True)
    x, log_a = tilted / mean, (np.log(mean) + top / beta)[..., 0]
    w, size = game.weights, tables.reference_sizes[half]
    share = beta * w / size
    sums, squares = tables.reference[half], tables.reference_squares[half]
    excess = (sums * x).sum(-1) / size - 1
    upper = constant + beta * ((log_a + excess) * w).sum(-1)
    seen = share**2 * ((squares * x**2).sum(-1) - 2 * (sums * x).sum(-1) + size)
    expected = share**2 * size * (game.reference * (x - 1) ** 2).sum(-1)
    scale = share * (x.max(-1) - 1)
    feasible = np.asarray(solution.statuses != Status.INFEASIBLE)
    upper = np.where(feasible & np.isfinite(upper), upper, np.inf)
    return upper, scale.max(-1), expected.sum(-1), np.maximum(seen, 0.0).sum(-1)


def _in_sample(
    tables: SampleTables, solution: Solution, beta: float
) -> tuple[np.ndarray, np.ndarray]:
    """The optimum on the empirical reference and its variance: dJ*/dnu0 = beta w nu*/nu0."""
    x = solution.weights_on_traces()
    size = tables.reference_sizes.sum(0)
    squares = (tables.reference_squares.sum(0) * x**2).sum(-1)
    mean = (tables.reference.sum(0) * x).sum(-1) / size
    share = beta * solution.game.weights
    variance = (share**2 * np.maximum(squares / size - mean**2, 0.0) / (size - 1)).sum(-1)
    return np.where(solution.statuses == Status.INFEASIBLE, -np.inf, solution.value), variance


def _phi_above(
    tables: SampleTables, game: AlignmentGame, beta: float, smoothing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the halves of Phi(q) + <u, nu_hat - q>, q and u of one half, nu_hat of the other.

    And sum_x w_x^2 Var(u_x(a(y)) - beta log(pi/pi0)) / K_x with the mean of both u. Answers at which Phi
    is minus infinity take no part: Phi(nu_hat) itself is minus infinity where the policy gives one.
    """
    w, mask, forbidden = game.weights, tables.answers[:, None, :], game.forbidden
    if forbidden is not None:
        mask = mask & ~forbidden
    values, rewards = [], []
    for half in (0, 1):
        counts = np.where(mask, tables.policy[half] + smoothing, 0.0)
        q = counts / counts.sum(-1, keepdims=True)
        u = np.where(mask, game.objective.reward(q, w), 0.0)
        other = tables.policy[1 - half]
        nu = other / other.sum(-1, keepdims=True)
        values.append(game.objective.value(q, w) + (w * (u * (nu - q)).sum(-1)).sum(-1))
        rewards.append(u)
    return np.mean(values, 0), _noise(tables, np.mean(rewards, 0), w, beta).sum(-1)


def _noise(tables: SampleTables, u: np.ndarray, w: np.ndarray, beta: float) -> np.ndarray:
    """w_x^2 Var(u_x(a(y)) - beta log(pi/pi0)) / (K_x - 1) of the policy's samples (B, m)."""
    counts = tables.policy.sum(0)
    size = counts.sum(-1)
    mean = ((counts * u).sum(-1) - beta * tables.log_ratio.sum(-1)) / size
    squares = (
        (counts * u**2).sum(-1)
        - 2 * beta * (u * tables.log_ratio).sum(-1)
        + beta**2 * tables.log_ratio_squares
    )
    return np.maximum(squares / size - mean**2, 0.0) * w**2 / (size - 1)


def _policy_value(tables: SampleTables, game: AlignmentGame, beta: float) -> dict[str, np.ndarray]:
    """Phi(nu_hat), KL_hat, the bias of Phi, and sum s_x^2 and sum s_x^4 / (K_x - 1) of J_hat, as in `Parts`.

    s_x^2 = w_x^2 Var(u_x(a(y)) - beta log(pi/pi0)) / K_x with u = grad Phi(nu_hat): J's first
    variation, constant at the optimum, so that there the noise of Phi and of the KL cancel.
    """
    counts = tables.policy.sum(0)
    size, w = counts.sum(-1), game.weights
    nu = counts / size[..., None]
    halves = tables.policy / tables.policy.sum(-1, keepdims=True)
    phi = game.objective.value(nu, w)
    half_phi = np.mean([game.objective.value(part, w) for part in halves], axis=0)
    finite = np.isfinite(phi) & np.isfinite(half_phi)
    bias = np.subtract(half_phi, phi, where=finite, out=np.zeros_like(phi))
    u = np.where((counts > 0) & np.isfinite(phi)[:, None, None], game.objective.reward(nu, w), 0.0)
    variance = _noise(tables, u, w, beta)
    return {
        "phi": phi,
        "kl": (tables.log_ratio.sum(-1) / size * w).sum(-1),
        "phi_bias": bias,
        "value_variance": variance.sum(-1),
        "value_kurtosis": (variance**2 / (size - 1)).sum(-1),
    }
