"""Reference games that carry their answers, and seeded random families.

Every reference game states its value, equilibrium and reward table from a derivation that uses no
solver: the closed form at numbers chosen so that roots and powers are rational, a game built
backwards from its equilibrium, or constants computed to 25 digits. `reference_games()` lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np

from ..errors import InvalidGame, nearest
from ..numerics.arrays import as_floating, namespace
from ..objectives import (
    Cap,
    Coherence,
    GiniDiversity,
    HardCoherence,
    HardConstraint,
    Objective,
    Parity,
    Reward,
    ShannonDiversity,
    TargetMatching,
    WorstCase,
)
from ..show.names import unlabelled
from ..show.tables import Shown
from .game import AlignmentGame
from .random_games import (
    COMMON_SUPPORT,
    KINKED,
    OBJECTIVES,
    random_game,
    random_game_of,
    random_reference,
)

__all__ = [
    "COMMON_SUPPORT",
    "KINKED",
    "OBJECTIVES",
    "ReferenceGame",
    "fairness",
    "matrix_game",
    "named",
    "random_game",
    "random_game_of",
    "random_reference",
    "reference_games",
    "safety",
]


@dataclass(frozen=True, eq=False, repr=False)
class ReferenceGame(Shown):
    """A game with its known equilibrium.

    `value` is J*; `policy` (m, traces) and `marginals` (m, n) are pi* and nu(pi*); `rewards` (m, n)
    is grad Phi at nu* (0 where nu0 is 0), for hard coherence the multipliers; `note` the derivation.
    """

    name: str
    game: AlignmentGame
    value: float
    marginals: np.ndarray
    rewards: np.ndarray | None
    note: str
    policy: np.ndarray

    def _rows(self) -> list[tuple[str, str]]:
        return [
            ("name", self.name),
            ("game", repr(self.game)),
            ("value", f"{self.value:.10g}"),
            ("note", self.note),
        ]


_BUILDERS: dict[str, Callable[[], ReferenceGame]] = {}


def reference_games() -> dict[str, ReferenceGame]:
    """Every reference game by name, built afresh."""
    return {name: build() for name, build in _BUILDERS.items()}


def named(name: str) -> ReferenceGame:
    """The reference game `name`; `InvalidGame` suggests the nearest name."""
    if name not in _BUILDERS:
        raise InvalidGame(f"reference game {name!r} is unknown; {nearest(name, _BUILDERS)}")
    return _BUILDERS[name]()


_Parts = tuple[Any, ...]


def _reference(build: Callable[[], Any]) -> Callable[[], Any]:
    """Register a function that returns (game, value, marginals, rewards[, policy])."""
    name = build.__name__.removeprefix("_")

    def made() -> ReferenceGame:
        game, value, marginals, rewards, *policy = build()
        nu = np.asarray(marginals, dtype=np.float64)
        u = None if rewards is None else np.asarray(rewards, dtype=np.float64)
        pi = np.asarray(policy[0], dtype=np.float64) if policy else nu
        return ReferenceGame(name, game, value, nu, u, (build.__doc__ or "").strip(), pi)

    _BUILDERS[name] = made
    return build


def _game(reference: Any, objective: Objective, **options: Any) -> AlignmentGame:
    options.setdefault("beta", 1.0)
    return AlignmentGame(np.asarray(reference, dtype=np.float64), objective, **options)


# -- closed forms at rational points --------------------------------------------------------------


@_reference
def _reward() -> _Parts:
    """nu* ∝ nu0 e^{r/beta}, J* = beta log sum nu0 e^{r/beta}; nu0 e^r = (1/2, 1/2, 1), sum 2."""
    r = [[0.0, log(2), log(4)]]
    return _game([[1 / 2, 1 / 4, 1 / 4]], Reward(r)), log(2), [[1 / 4, 1 / 4, 1 / 2]], r


@_reference
def _shannon() -> _Parts:
    """nu* ∝ nu0^{beta/(beta+strength)}, J* = (beta+strength) log of the sum; roots of (9, 4, 1)/14."""
    nu = np.array([[3, 2, 1]]) / 6
    return _game([[9 / 14, 4 / 14, 1 / 14]], ShannonDiversity(1.0)), log(36 / 14), nu, -np.log(nu)


@_reference
def _shannon_zero_mass() -> _Parts:
    """As `shannon` with an answer of mass 0 in one context, which stays 0, in another place each."""
    reference = [[9 / 14, 0, 4 / 14, 1 / 14], [0, 16 / 25, 9 / 25, 0]]
    nu = np.array([[3 / 6, 0, 2 / 6, 1 / 6], [0, 4 / 7, 3 / 7, 0]])
    rewards = [[log(2), 0, log(3), log(6)], [0, log(7 / 4), log(7 / 3), 0]]
    value = 0.25 * log(36 / 14) + 0.75 * log(49 / 25)
    return _game(reference, ShannonDiversity(1.0), weights=[0.25, 0.75]), value, nu, rewards


@_reference
def _shannon_tiny_mass() -> _Parts:
    """As `shannon` at nu0 ∝ (1, 1e-12, 1e-300), whose square roots are (1, 1e-6, 1e-150)."""
    root, total = np.array([[1, 1e-6, 1e-150]]), 1 + 1e-12
    nu = root / (1 + 1e-6)
    value = 2 * np.log1p(1e-6) - np.log1p(1e-12)
    rewards = np.log1p(1e-6) - np.array([[0, -6, -150]]) * log(10)
    return _game(root**2 / total, ShannonDiversity(1.0)), float(value), nu, rewards


@_reference
def _target_matching() -> _Parts:
    """nu* ∝ sqrt(nu0 rho) at strength = beta, J* = 2 beta log sum sqrt(nu0 rho) = 2 log(8/9)."""
    nu0, rho = np.array([[4, 4, 1]]) / 9, np.array([1, 4, 4]) / 9
    nu = np.array([[1 / 4, 1 / 2, 1 / 4]])
    return _game(nu0, TargetMatching(rho, 1.0)), 2 * log(8 / 9), nu, np.log(rho / nu)


@_reference
def _reward_and_shannon() -> _Parts:
    """nu* ∝ exp((beta log nu0 + r)/(beta+strength)): roots of nu0 e^r = (1, 4, 9)/4, sum 3."""
    nu0, nu = np.array([[1 / 4, 1 / 2, 1 / 4]]), np.array([[1, 2, 3]]) / 6
    r = np.array([[0.0, log(2), log(9)]])
    game = _game(nu0, Reward(r) + ShannonDiversity(1.0))
    return game, 2 * log(3), nu, r - np.log(nu)


@_reference
def _gini() -> _Parts:
    """Built backwards from log nu + a nu = log nu0 + t, a = 2 strength/beta = 4 log 2, t = log 3.

    nu* = (1/2, 1/4, 1/4) has nu e^{a nu} = (2, 1/2, 1/2), which is 3 nu0.
    """
    nu, strength = np.array([[1 / 2, 1 / 4, 1 / 4]]), 2 * log(2)
    value = strength * (1 - 3 / 8) - (log(3 / 4) + log(3 / 2)) / 2
    return _game([[2 / 3, 1 / 6, 1 / 6]], GiniDiversity(strength)), value, nu, -2 * strength * nu


@_reference
def _gini_lambert() -> _Parts:
    """nu = W(a nu0 e^t)/a with a = 2 strength/beta = 2; 25 digits by mpmath's Lambert W."""
    nu = [[0.5537967641988094842505595, 0.2758626376965233478290716, 0.1703405981046671679203689]]
    game = _game([[0.7, 0.2, 0.1]], GiniDiversity(1.0))
    return game, 0.5384960091083299284945262, nu, -2 * np.array(nu)


@_reference
def _gini_tiny_mass() -> _Parts:
    """As `gini_lambert` with a = 12 and an answer of mass 1e-12."""
    nu = [
        [0.5144803178913463663617507, 0.4855196816970785551418025, 4.115750784964468223479517e-10]
    ]
    game = _game([[0.6, 0.4 - 1e-12, 1e-12]], GiniDiversity(3.0), beta=0.5)
    return game, 1.491262346840907553362804, nu, -6 * np.array(nu)


# -- coherence ------------------------------------------------------------------------------------


@_reference
def _hard_coherence() -> _Parts:
    """nu* ∝ prod nu0_x^{w_x} = (8^{1/3}, 8^{2/3})/9 = (2, 4)/9, J* = log(6/9).

    The multipliers are log(nu*/nu0_x), less their mean over contexts, log(3/2).
    """
    game = _game([[8 / 9, 1 / 9], [1 / 9, 8 / 9]], HardCoherence(), weights=[1 / 3, 2 / 3])
    nu = [[1 / 3, 2 / 3], [1 / 3, 2 / 3]]
    return game, log(2 / 3), nu, [[-log(4), log(4)], [log(2), -log(2)]]


@_reference
def _hard_coherence_tiny_mass() -> _Parts:
    """References (1, d) and (d, 1), over 1 + d, at d = 1e-300: nu* = 1/2, J* = log(2 sqrt d)."""
    game = _game([[1, 1e-300], [1e-300, 1]], HardCoherence())
    c = 150 * log(10)
    return game, log(2) - c, [[0.5, 0.5], [0.5, 0.5]], [[-c, c], [c, -c]]


@_reference
def _coherence_symmetric() -> _Parts:
    """By symmetry the consensus is (1/2, 1/2), so nu_x ∝ nu0_x^{beta/(beta+strength)}: roots of 4/5, 1/5.

    J* = (beta+strength) log sum sqrt(nu0/2) = 2 log(3/sqrt 10).
    """
    nu = np.array([[2 / 3, 1 / 3], [1 / 3, 2 / 3]])
    game = _game([[4 / 5, 1 / 5], [1 / 5, 4 / 5]], Coherence(1.0))
    return game, log(9 / 10), nu, -np.log(2 * nu)


@_reference
def _coherence_tiny_mass() -> _Parts:
    """As `coherence_symmetric` with references (1, d), (d, 1) over 1 + d, d = 1e-12."""
    nu = np.array([[1, 1e-6], [1e-6, 1]]) / (1 + 1e-6)
    game = _game(np.array([[1, 1e-12], [1e-12, 1]]) / (1 + 1e-12), Coherence(1.0))
    value = 2 * np.log1p(1e-6) - np.log1p(1e-12) - log(2)
    return game, float(value), nu, -np.log(2 * nu)


@_reference
def _coherence_two_contexts() -> _Parts:
    """Built backwards: at strength = beta nu0_x = nu_x^2 / (q Z_x) and J* = -sum_x w_x log Z_x.

    nu* = (1/2, 1/2), (1/4, 3/4) with weights 1/3, 2/3: q = (1/3, 2/3), Z = 9/8, 33/32.
    """
    nu, q = np.array([[1 / 2, 1 / 2], [1 / 4, 3 / 4]]), np.array([1 / 3, 2 / 3])
    game = _game([[2 / 3, 1 / 3], [2 / 11, 9 / 11]], Coherence(1.0), weights=[1 / 3, 2 / 3])
    return game, -log(9 / 8) / 3 - 2 * log(33 / 32) / 3, nu, -np.log(nu / q)


@_reference
def _coherence_zero_mass() -> _Parts:
    """As `coherence_two_contexts` with nu* = (2, 1, 1)/4, (1, 1, 0)/2: q = (4, 3, 1)/8, Z = 7/6."""
    nu = [[1 / 2, 1 / 4, 1 / 4], [1 / 2, 1 / 2, 0]]
    game = _game([[3 / 7, 1 / 7, 3 / 7], [3 / 7, 4 / 7, 0]], Coherence(1.0))
    return game, -log(7 / 6), nu, [[0, log(3 / 2), -log(2)], [0, -log(4 / 3), 0]]


@_reference
def _coherence_single_context() -> _Parts:
    """One context always agrees with itself: nu* = nu0, J* = 0, rewards 0."""
    nu0 = [[0.7, 0.3 - 1e-12, 1e-12, 0.0]]
    return _game(nu0, Coherence(5.0)), 0.0, nu0, [[0.0] * 4]


# -- traces that map to answers -------------------------------------------------------------------


@_reference
def _shannon_traces() -> _Parts:
    """`shannon` with five traces, answers 0 0 1 1 2: pi*(y) = pi0(y) nu*(a(y)) / nu0(a(y)) (T3)."""
    nu = np.array([[3, 2, 1]]) / 6
    game = _game(
        [[6 / 14, 3 / 14, 4 / 14, 0, 1 / 14]], ShannonDiversity(1.0), answers=[0, 0, 1, 1, 2]
    )
    return game, log(36 / 14), nu, -np.log(nu), [[2 / 6, 1 / 6, 2 / 6, 0, 1 / 6]]


@_reference
def _shannon_channel() -> _Parts:
    """A trace with two equally likely answers, built backwards: pi0 = pi* e^{A log nu} / Z.

    nu* = (1, 4)/5 from pi* = (1, 2, 7)/10 gives e^{A log nu} = (1, 2, 4)/5, Z = 33/50, J* = -log Z.
    """
    channel = np.array([[1, 0], [1 / 2, 1 / 2], [0, 1]])
    game = _game([[1 / 33, 4 / 33, 28 / 33]], ShannonDiversity(1.0), answers=channel)
    nu = np.array([[1, 4]]) / 5
    return game, log(50 / 33), nu, -np.log(nu), [[1 / 10, 2 / 10, 7 / 10]]


# -- examples of constraints ------------------------------------------------------------------------


def safety(limit: float = 0.1) -> AlignmentGame:
    """A model that is paid most for the answer that must stay rare: Reward under a Cap (beta 1).

    Answers: helpful, evasive, unsafe; two prompts. The multipliers price the cap in each of them.
    """
    reward = Reward([1.0, 0.0, 1.5])
    reference = [[0.5, 0.3, 0.2], [0.3, 0.6, 0.1]]
    return _game(reference, reward + HardConstraint(Cap([2], limit)))


def fairness(delta: float = 0.05) -> AlignmentGame:
    """Two groups (contexts) whose acceptance may differ by delta: Reward under Parity (beta 1).

    Answers: accept, refer, reject; the reference accepts the first group more often.
    """
    reward = Reward([0.3, 0.0, 0.2])
    reference = [[0.7, 0.2, 0.1], [0.25, 0.35, 0.4]]
    parity = Parity(delta, answers=[0])
    return _game(reference, reward + HardConstraint(parity), weights=[0.6, 0.4])


def matrix_game(payoffs: Any, *, beta: float = 1e-3) -> AlignmentGame:
    """The zero-sum game of a matrix, for the row player: `WorstCase` of the columns, reference uniform.

    As beta -> 0 the policy is a maximin strategy, `Solution.opponent` a minimax one; J* lies within
    beta log n below the value of the matrix.

    Args:
        payoffs: (n, k) or (*batch, n, k) to the row player, who maximises; the columns are the opponent's.
            A data frame names both.
        beta: strength of the KL to the uniform strategy, the price of being predictable.
    """
    found = unlabelled(payoffs)
    table = as_floating(found.table, "payoffs")
    if table.ndim < 2:
        raise InvalidGame(
            f"payoffs have shape {tuple(table.shape)}; give (*batch, rows, columns) of a matrix game."
        )
    xp, n = namespace(table), table.shape[-2]
    phi = WorstCase(xp.matrix_transpose(table), names=found.columns)
    uniform = 0 * table[..., :1, :1] + xp.ones((1, n), dtype=table.dtype, device=table.device) / n
    return AlignmentGame(uniform, phi, beta=beta, answer_names=found.rows)


def __getattr__(name: str) -> ReferenceGame:
    """A reference game as an attribute, so that `dagame.games.library.<TAB>` lists them."""
    if name not in _BUILDERS:
        raise AttributeError(f"module 'dagame.games.library' has no attribute {name!r}")
    return _BUILDERS[name]()


def __dir__() -> list[str]:
    """The public names and those of the reference games."""
    return sorted([*__all__, *_BUILDERS])
