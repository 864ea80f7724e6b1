"""The theorems as checks on random games: `verify` -> a table of worst violations.

Each check states a definition or theorem from outside: it uses the public functions of a game, and
where it needs an equilibrium, any policy and target will do, as the certificate proves them. A
violation is a difference divided by max(1, the size of what is compared).
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .certificate import certify
from .errors import InvalidObjective
from .game import AlignmentGame
from .library import KINKED, OBJECTIVES, random_game, random_game_of, reference_games
from .objectives import HardCoherence, Objective, ShannonDiversity
from .simplex import kl, total_variation
from .solvers import BestResponse, Mirror, run, solve
from .solvers.closed_form import closed_form

_SHAPES = ((1, 2), (2, 4), (3, 9))


@dataclass(frozen=True)
class Check:
    """One row: the worst violation over all cases, the limit, and where the worst one was."""

    theorem: str
    statement: str
    worst: float
    tolerance: float
    cases: int
    where: str

    @property
    def passed(self) -> bool:
        """Whether the worst violation is within the limit (NaN is not)."""
        return bool(self.worst <= self.tolerance)


@dataclass(frozen=True)
class VerificationReport:
    """The rows of `verify`, and whether all passed."""

    checks: tuple[Check, ...]
    seed: int
    games: int

    @property
    def passed(self) -> bool:
        """Whether every theorem held."""
        return all(c.passed for c in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        rows = [asdict(c) | {"passed": c.passed} for c in self.checks]
        return {"seed": self.seed, "games": self.games, "passed": self.passed, "checks": rows}

    def __str__(self) -> str:
        return "\n".join(
            f"{c.theorem:<10} {'holds' if c.passed else 'VIOLATED':<9} worst {c.worst:.1e} "
            f"(limit {c.tolerance:.0e}, {c.cases} cases)  {c.statement}"
            for c in self.checks
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{c.theorem}</td><td style='text-align:left'>{html.escape(c.statement)}</td>"
            f"<td>{'holds' if c.passed else '<b>violated</b>'}</td><td>{c.worst:.1e}</td>"
            f"<td>{c.tolerance:.0e}</td><td>{c.cases}</td></tr>"
            for c in self.checks
        )
        names = ("theorem", "statement", "", "worst", "limit", "cases")
        head = "".join(f"<th>{name}</th>" for name in names)
        return f"<table><tr>{head}</tr>{rows}</table>"


Violations = Any
Theorem = Callable[[AlignmentGame, np.random.Generator], Violations]
_CHECKS: list[tuple[str, str, float, Theorem]] = []


def _check(theorem: str, statement: str, tolerance: float) -> Callable[[Theorem], Theorem]:
    """Register a function of a batch of games that returns violations, None where not applicable."""

    def register(function: Theorem) -> Theorem:
        _CHECKS.append((theorem, statement, tolerance, function))
        return function

    return register


def verify(
    seed: int = 0, games: int = 200, *, progress: Callable[[str], None] | None = None
) -> VerificationReport:
    """Check the theorems on `games` random games of every objective's kind, and on the library.

    Random sizes, weights, strengths; references with zeros and masses of 1e-12. The report's
    `passed` says whether all held; `dagame verify` prints it.
    """
    say = progress or (lambda stage: None)
    checks = []
    for k, (theorem, statement, tolerance, function) in enumerate(_CHECKS):
        say(f"{theorem} ({k + 1}/{len(_CHECKS)})")
        rng = np.random.default_rng([seed, k])
        checks.append(_worst(theorem, statement, tolerance, function, rng, games))
    say("reference games")
    checks.append(_library_check())
    return VerificationReport(tuple(checks), seed, games)


def _worst(
    theorem: str,
    statement: str,
    tolerance: float,
    function: Theorem,
    rng: np.random.Generator,
    games: int,
) -> Check:
    worst, cases, where = 0.0, 0, ""
    for name, game in _cases(rng, games):
        found = function(game, rng)
        if found is None:
            continue
        found = np.ravel(np.asarray(found, dtype=float))
        cases += found.size
        top = float("nan") if np.isnan(found).any() else float(found.max(initial=0))
        if not top <= worst:
            worst, where = top, f"{name}, {game.contexts} contexts, {game.n} answers"
    return Check(theorem, statement, worst, tolerance, cases, where)


def _cases(rng: np.random.Generator, games: int) -> Iterator[tuple[str, AlignmentGame]]:
    """Batches of random games: every kind of objective at every shape, `games` in all or more."""
    kinds = (*OBJECTIVES, *KINKED)
    size = -(-games // (len(kinds) * len(_SHAPES)))
    for kind in kinds:
        for m, n in _SHAPES:
            yield kind, random_game_of(kind, rng, m, n, batch=(size,))


# -- helpers --------------------------------------------------------------------------------------


def _policy(game: AlignmentGame, rng: np.random.Generator, like: np.ndarray | None = None) -> Any:
    """A random policy on the reference's support, half-way to `like` if given."""
    p = rng.dirichlet(np.ones(game.traces), (*game.batch_shape, game.contexts))
    p = np.where(game.support, p, 0) + 1e-3 * game.reference
    p = p / p.sum(-1, keepdims=True)
    p = p if like is None else 0.5 * p + 0.5 * like
    if not game.objective.has_multipliers or game.answer_map.kind != "identity":
        return p
    inside = np.exp(
        game.objective.project(np.where(p > 0, np.log(p + (p == 0)), -1e30), game.weights)
    )
    return inside / inside.sum(-1, keepdims=True)


def _with_traces(game: AlignmentGame, rng: np.random.Generator, channel: bool) -> AlignmentGame:
    """A game of the same objective whose answers are shown by twice as many traces."""
    return random_game(
        rng,
        batch=game.batch_shape,
        contexts=game.contexts,
        answers=game.n,
        traces=2 * game.n + 1,
        channel=channel,
        zeros=0.0,
        objective=game.objective,
        beta=game.beta,
    )


def _relative(difference: Any, *scales: Any) -> Any:
    return difference / np.maximum(1, np.max(np.abs(np.stack(scales)), axis=0))


def _mean_kl(game: AlignmentGame, p: Any, q: Any) -> Any:
    return (kl(p, q) * game.weights).sum(-1)


def _bregman(game: AlignmentGame, p: Any, q: Any) -> Any:
    """B(p, q) of -Phi by its definition."""
    phi, w = game.objective, game.weights
    slope = np.where(game.answer_support, phi.reward(q, w), 0)
    linear = ((slope * (p - q)).sum(-1) * w).sum(-1)
    return phi.value(q, w) + linear - phi.value(p, w)


def _random_pairs(game: AlignmentGame, rng: np.random.Generator) -> tuple[Any, Any]:
    first = _policy(game, rng)
    return first, _policy(game, rng, first)


# -- the theorems ---------------------------------------------------------------------------------


@_check("gradient", "reward = gradient of Phi, against central differences", 1e-6)
def _gradient(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    if game.objective.has_multipliers:
        return None
    inside = 0.5 / game.n + 0.5 * rng.dirichlet(np.ones(game.n), (*game.batch_shape, game.contexts))
    direction = rng.normal(size=inside.shape)
    direction = 1e-2 * (direction - direction.mean(-1, keepdims=True)) / game.n
    phi, w, h = game.objective, game.weights, 1e-3
    rise = phi.value(inside + h * direction, w) - phi.value(inside - h * direction, w)
    slope = ((phi.reward(inside, w) * direction).sum(-1) * w).sum(-1)
    scale = np.abs(phi.value(inside, w)) * 1e-16 / h
    return _relative(np.abs(rise / (2 * h) - slope), slope, 1e6 * scale)


@_check("concavity", "Phi + mu KL lies above its chords", 1e-10)
def _concave(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    if game.objective.has_multipliers:
        return None
    phi, w = game.objective, game.weights
    p, q = (rng.dirichlet(np.ones(game.n), (*game.batch_shape, game.contexts)) for _ in range(2))
    rho, base = game.transfer, np.full(game.n, 1 / game.n)

    def value(nu: Any) -> Any:
        return phi.value(nu, w) - rho * (kl(nu, base) * w).sum(-1)

    chord = (value(p) + value(q)) / 2
    return _relative(chord - value((p + q) / 2), chord)


@_check("curvature", "mu KL <= B(p, q) <= L KL", 1e-10)
def _curvature(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    if game.objective.has_multipliers:
        return None
    p, q = _random_pairs(game, rng)
    b, distance = _bregman(game, p, q), _mean_kl(game, p, q)
    mu = game.objective.curvature_for(game.weights)
    smooth = game.objective.smoothness
    excess = mu * distance - b
    if smooth is not None:
        excess = np.maximum(excess, b - smooth * distance)
    return _relative(excess, b)


@_check("T1", "V(pi, q) = J(pi) + B(nu(pi), q), and V(pi, nu(pi)) = J(pi)", 1e-10)
def _payoff(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    if game.objective.has_multipliers:
        return None
    game = _with_traces(game, rng, channel=bool(rng.integers(2)))
    policy = _policy(game, rng)
    nu, q = game.marginals(policy), game.marginals(_policy(game, rng))
    value = game.value(policy)
    first = np.abs(game.payoff(policy, q) - value - _bregman(game, nu, q))
    second = np.abs(game.payoff(policy, game.target_reply(nu)) - value)
    return _relative(np.maximum(first, second), value, game.payoff(policy, q))


@_check("T2", "no random policy beats the solved one, which is a best response", 1e-9)
def _equilibrium(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    solution = solve(game, throw=False)
    others = [_policy(game, rng, like) for like in [None, solution.policy] * 50]
    best = np.max([game.value(p) for p in others], axis=0)
    better = _relative(best - solution.value, solution.value)
    if game.transfer or game.objective.has_multipliers:
        return better
    reply = game.best_response(game.rewards(solution.marginals, solution.target))
    apart = (total_variation(reply, solution.policy) * game.weights).sum(-1)
    away = apart - np.sqrt(solution.gap / (2 * game.beta))
    return np.maximum(better, away)


@_check("T2 cvxpy", "cvxpy's optimum is not above the solved one", 1e-6)
def _referee(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    if game.objective.concave is not True or game.n > 4:
        return None
    first = game.rows(np.asarray([0]))
    try:
        theirs = solve(first, "convex", throw=False)
    except InvalidObjective:
        return None
    ours = solve(first, throw=False)
    return _relative(np.abs(theirs.value - ours.value), ours.value)


@_check("T3", "KL over traces = KL over answers + KL given the answer", 1e-10)
def _lifting(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    game = _with_traces(game, rng, channel=False)
    policy = _policy(game, rng)
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
    return _relative(np.abs(whole - parts), whole)


@_check("T3", "the optimum on traces is the lifted optimum on answers", 1e-8)
def _lifted(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    if isinstance(game.objective, HardCoherence):
        return None
    game = _with_traces(game, rng, channel=False)
    lifted, answers = solve(game, throw=False), solve(game.on_answers(), throw=False)
    apart = np.abs(lifted.value - answers.value)
    return _relative(np.maximum(certify(game, lifted.policy).gap, apart), lifted.value)


@_check("T4", "D(q) >= J* >= J(pi), and KL(pi || pi*) <= gap / (beta + min(mu, 0))", 1e-9)
def _certificate(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    kinked = game.objective.has_multipliers
    if not kinked:
        game = _with_traces(game, rng, channel=bool(rng.integers(2)))
    solution = solve(game, throw=False)
    policy, best = _policy(game, rng, solution.policy), solution.value
    target = (
        game.marginals(_policy(game, rng)) if game.answer_map.deterministic and not kinked else None
    )
    found = certify(game, policy, target)
    distance = _mean_kl(game, policy, solution.policy)
    worst = np.maximum(best - found.upper_bound, found.value - best)
    slack = np.sqrt(solution.gap / game.free_beta)
    far = distance - found.distance_bound - 10 * slack * np.maximum(1, distance)
    return np.maximum(_relative(worst, best), _relative(far, distance))


@_check("T5", "mirror and best response on traces, then marginalised, run on the answers", 1e-9)
def _commute(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    if game.objective.has_multipliers:
        return None
    if game.objective.smoothness is None:
        return None
    game = _with_traces(game, rng, channel=False)
    answers = game.on_answers()
    worst = 0.0
    for dynamic, steps in ((Mirror(), 6), (BestResponse(), 1)):
        one, other = run(game, dynamic, steps).marginals, run(answers, dynamic, steps).marginals
        assert one is not None
        assert other is not None
        worst = np.maximum(worst, total_variation(one, other).max((0, -1)))
    return worst


@_check("T6", "sharpening: the power distribution below beta, the mode's value at beta", 1e-9)
def _sharpening(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    strength = float(rng.uniform(0.1, 0.9))
    sharp = game.with_objective(-strength * ShannonDiversity(), beta=1.0)
    power = np.where(game.support, game.reference, 1) ** (1 / (1 - strength)) * game.support
    power = power / power.sum(-1, keepdims=True)
    iterated = solve(sharp, "mirror", throw=False).marginals
    at_beta = game.with_objective(-1.0 * ShannonDiversity(), beta=1.0)
    linear = at_beta.value(_policy(game, rng)) - (
        np.log(game.reference.max(-1)) * game.weights
    ).sum(-1)
    return np.maximum(total_variation(iterated, power).max(-1) ** 2, linear)


@_check("closed form", "closed forms = the iterative solvers' equilibria", 1e-8)
def _closed_forms(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    if closed_form(game) is None or game.objective.has_multipliers:
        return None
    one, other = solve(game, "closed_form"), solve(game, "newton", throw=False)
    return np.maximum(_relative(np.abs(one.value - other.value), one.value), one.gap)


@_check("mirror", "J never falls; KL(pi* || pi_t) <= ((L - mu)/(L + beta))^t KL(pi* || pi0)", 1e-9)
def _mirror_rate(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    if game.objective.has_multipliers:
        return None
    smooth, mu = game.objective.smoothness, game.objective.curvature_for(game.weights)
    if smooth is None or game.transfer:
        return None
    history = run(game, Mirror(), 12)
    falls = np.max(-np.diff(history.values, axis=0), axis=0)
    solution = solve(game, tol=1e-12, throw=False)
    assert history.marginals is not None
    distance = np.stack([_mean_kl(game, solution.marginals, nu) for nu in history.marginals])
    bound = distance[0] * ((smooth - mu) / (smooth + game.beta)) ** np.arange(13)[:, None]
    return np.maximum(_relative(falls, history.values[0]), (distance - bound).max(0))


@_check("threshold", "undamped best response on Shannon: converges below beta, diverges above", 0.0)
def _divergence(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    reference = 0.5 / game.n + 0.5 * rng.dirichlet(np.ones(game.n), (8, 1))

    def last_gaps(strength: float) -> Any:
        one = AlignmentGame(reference, ShannonDiversity(strength), beta=1.0)
        return run(one, BestResponse(), 150).gaps[[0, -1]]

    below, above = last_gaps(0.9), last_gaps(1.1)
    return np.concatenate([below[1] > 1e-6 * below[0], above[1] < above[0]]).astype(float)


@_check("symmetry", "permuting answers or contexts permutes the equilibrium", 1e-7)
def _permuted(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    if any(hasattr(part, "set") for _, part in game.objective.terms()):
        return None
    answers, contexts = rng.permutation(game.n), rng.permutation(game.contexts)
    objective = _reordered(game.objective, contexts, answers)
    other = AlignmentGame(
        game.reference[:, contexts][:, :, answers],
        objective,
        beta=game.beta,
        weights=game.weights[:, contexts],
    )
    one = solve(game, tol=1e-13, throw=False).marginals[:, contexts][:, :, answers]
    return total_variation(one, solve(other, tol=1e-13, throw=False).marginals).max(-1)


def _reordered(objective: Objective, contexts: np.ndarray, answers: np.ndarray) -> Objective:
    def change(table: Any) -> Any:
        table = table[..., answers]
        per_context = table.ndim > 1 and table.shape[-2] == len(contexts)
        return table[..., contexts, :] if per_context else table

    parts = [f * o._map_tables(change) for f, o in objective.terms()]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _library_check() -> Check:
    """Every reference game: value, marginals and gap against what it carries."""
    worst, where, games = 0.0, "", reference_games()
    for name, known in games.items():
        solution = solve(known.game, tol=1e-12, throw=False)
        off = abs(float(solution.value) - known.value) / max(1, abs(known.value))
        away = float(np.max(total_variation(solution.marginals, known.marginals)) ** 2)
        top = max(off, away, float(solution.gap))
        if not top <= worst:
            worst, where = top, name
    statement = "values and equilibria of the reference games"
    return Check("library", statement, worst, 1e-10, len(games), where)
