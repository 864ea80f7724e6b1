"""`verify`: the theorems on random games -> a table of worst violations.

Each check states a definition or theorem from outside: it uses the public functions of a game, and
where it needs an equilibrium, any policy and target will do, as the certificate proves them. A
violation is a difference divided by max(1, the size of what is compared).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import DagameError, FalseCertificate, InvalidObjective, NotConcave
from ..games.game import AlignmentGame
from ..games.library import KINKED, OBJECTIVES, random_game, random_game_of, reference_games
from ..numerics.simplex import total_variation
from ..objectives import Objective
from ..objectives.own.conditions import Condition
from ..show.progress import Progress, silent
from ..solvers import solve
from .checks import CHECKS, Check, Registered, VerificationReport
from .checks.own import fitting_sizes, made, probe

_SHAPES = ((1, 2), (2, 4), (3, 9))
_ASKED = "shapes, batches, weights; reward = gradient of value; stated facts on chords"

Cases = Iterator[tuple[str, AlignmentGame]]


def verify(
    seed: int = 0, games: int = 200, *, objective: Any = None, progress: Progress | None = None
) -> VerificationReport:
    """Check the theorems on `games` random games of every objective's kind, and on the library.

    Random sizes, weights, strengths; references with zeros and masses of 1e-12. The report's
    `passed` says whether all held; `dagame verify` prints it.

    Args:
        seed: of the random games.
        games: number of them for each check, or a few more.
        objective: one of your own to check instead: an `Objective`, its class, or a function that makes
            it. What does not apply to it is skipped with its reason; if its reward is not the gradient of
            its value, that is all that is reported.
        progress: called with the name of each check.
    """
    say = progress or silent
    if not isinstance(seed, int | np.integer):
        raise InvalidObjective(
            "the seed of verify is a whole number; an objective is named: verify(objective=...)."
        )
    if objective is not None:
        return _verify_own(made(objective), seed, games, say)
    checks, skipped = _checked(CHECKS, seed, say, lambda row, rng: _cases(rng, games, row))
    say("reference games")
    checks.append(_library_check())
    return VerificationReport(tuple(checks), seed, games, skipped=tuple(skipped))


def _checked(
    rows: Sequence[Registered],
    seed: int,
    say: Progress,
    cases: Callable[[Registered, np.random.Generator], Cases],
) -> tuple[list[Check], list[tuple[str, str]]]:
    """The checks of these rows, each on cases by a seed of its own, and what had no case, with why."""
    checks, skipped = [], []
    for row in rows:
        k = CHECKS.index(row)
        say(f"{row.theorem} ({k + 1}/{len(CHECKS)})")
        rng = np.random.default_rng([seed, k])
        found, why = _worst(row, rng, cases(row, rng))
        if found.cases:
            checks.append(found)
        else:
            skipped.append((row.theorem, why))
    return checks, skipped


def _verify_own(objective: Objective, seed: int, games: int, say: Progress) -> VerificationReport:
    """The objective's own check on many games, then every theorem that concerns it."""
    say("the objective itself")
    name = repr(objective)
    try:
        sizes = fitting_sizes(objective)
        left_out = probe(objective, sizes, games, seed)
    except InvalidObjective as error:
        wrong = Check("objective", _ASKED, 1.0, 0.0, games, str(error))
        skipped = (("all others", "they would fail for the same cause"),)
        return VerificationReport((wrong,), seed, games, name, skipped)
    checks = [Check("objective", _ASKED, 0.0, 0.0, games, "")]
    skipped = [("objective", what) for what in left_out]
    if _finite(objective, sizes, 0.0):
        zeros = 0.1 if _finite(objective, sizes, 0.3) else 0.0
        if not zeros:
            skipped.append(("objective", "references with zeros: the value is -infinity there"))
        rows = [row for row in CHECKS if row.of_objective]
        own = (objective, sizes, games, zeros)
        found, absent = _checked(rows, seed, say, lambda _, rng: _own_cases(rng, *own))
        checks, skipped = [*checks, *found], [*skipped, *absent]
    else:
        why = "the value is -infinity at random references, where no theorem has anything to say"
        skipped.append(("all others", why))
    conditions = _conditions(objective, *sizes[-1])
    return VerificationReport(tuple(checks), seed, games, name, tuple(skipped), conditions)


def _conditions(objective: Objective, m: int, n: int) -> tuple[Condition, ...]:
    """What a certificate of a game of that size stands on."""
    return AlignmentGame(np.full((m, n), 1 / n), objective, beta=1.0).conditions


def _finite(objective: Objective, sizes: list[tuple[int, int]], zeros: float) -> bool:
    """Whether the value is finite at random references, of which a share of `zeros` is 0."""
    rng = np.random.default_rng(0)
    options = {"objective": objective, "zeros": zeros, "floor": 0.0}
    for m, n in sizes:
        for _ in range(8):
            game = random_game(rng, contexts=m, answers=n, **options)
            if not np.isfinite(game.value(game.reference)):
                return False
    return True


def _own_cases(
    rng: np.random.Generator,
    objective: Objective,
    sizes: list[tuple[int, int]],
    games: int,
    zeros: float,
) -> Cases:
    size = -(-games // len(sizes))
    for m, n in sizes:
        options = {"contexts": m, "answers": n, "zeros": zeros, "objective": objective}
        try:
            yield repr(objective), random_game(rng, batch=(size,), **options)
        except DagameError:  # a table of one batch: game by game
            for _ in range(min(size, 20)):
                yield repr(objective), random_game(rng, batch=(1,), **options)


def _worst(row: Registered, rng: np.random.Generator, cases: Cases) -> tuple[Check, str]:
    """The worst violation over all games, and why those that do not count do not."""
    worst, count, where, why = 0.0, 0, "", ""
    for name, game in cases:
        try:
            found = row.function(game, rng)
        except NotConcave as error:
            found = str(error)
        except FalseCertificate as error:
            worst, count, where = np.inf, count + 1, str(error)
            break
        if found is None or isinstance(found, str):
            why = why or found or "it does not apply"
            continue
        found = np.ravel(np.asarray(found, dtype=float))
        count += found.size
        top = float("nan") if np.isnan(found).any() else float(found.max(initial=0))
        if not top <= worst:
            worst, where = top, f"{name}, {game.contexts} contexts, {game.n} answers"
    return Check(row.theorem, row.statement, worst, row.tolerance, count, where), why


def _cases(rng: np.random.Generator, games: int, row: Registered) -> Cases:
    """Batches of random games, `games` in all or more, at every shape: of every kind of objective, or of
    one kind where the check puts an objective of its own in its place.
    """
    kinds = (*OBJECTIVES, *KINKED) if row.of_objective else ("shannon",)
    size = -(-games // (len(kinds) * len(_SHAPES)))
    for kind in kinds:
        for m, n in _SHAPES:
            yield kind, random_game_of(kind, rng, m, n, batch=(size,))


def _library_check() -> Check:
    """Every reference game: value, marginals and gap against what it carries."""
    worst, where, games = 0.0, "", reference_games()
    for name, known in games.items():
        try:
            solution = solve(known.game, tol=1e-12, throw=False)
            gap = float(solution.gap)
        except FalseCertificate as error:
            worst, where = np.inf, f"{name}: {error}"
            break
        off = abs(float(solution.value) - known.value) / max(1, abs(known.value))
        away = float(np.max(total_variation(solution.marginals, known.marginals)) ** 2)
        top = max(off, away, gap)
        if not top <= worst:
            worst, where = top, name
    statement = "values and equilibria of the reference games"
    return Check("library", statement, worst, 1e-10, len(games), where)
