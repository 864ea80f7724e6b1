"""`verify`: the theorems on random games -> a table of worst violations.

Each check states a definition or theorem from outside: it uses the public functions of a game, and
where it needs an equilibrium, any policy and target will do, as the certificate proves them. A
violation is a difference divided by max(1, the size of what is compared).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from .checks import CHECKS, Check, Theorem, VerificationReport
from .game import AlignmentGame
from .library import KINKED, OBJECTIVES, random_game_of, reference_games
from .simplex import total_variation
from .solvers import solve

_SHAPES = ((1, 2), (2, 4), (3, 9))


def verify(
    seed: int = 0, games: int = 200, *, progress: Callable[[str], None] | None = None
) -> VerificationReport:
    """Check the theorems on `games` random games of every objective's kind, and on the library.

    Random sizes, weights, strengths; references with zeros and masses of 1e-12. The report's
    `passed` says whether all held; `dagame verify` prints it.
    """
    say = progress or (lambda stage: None)
    checks = []
    for k, (theorem, statement, tolerance, function) in enumerate(CHECKS):
        say(f"{theorem} ({k + 1}/{len(CHECKS)})")
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
