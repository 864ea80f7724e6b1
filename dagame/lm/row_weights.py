"""Fine-tuning rows weighed by push-pull transport: masses, which rows to keep, training weights.

One context, whose answers are the rows: the game of `PushPull` with the rows' masses as the reference. The
published recipe (Safety Optimal Transport, arXiv 2601.07200) keeps the K rows of largest mass and trains with
weights exp(mass)/sum; the weight of the equilibrium is nu*/nu0
(docs/theory/transport.md#weights-for-fine-tuning).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidGame
from ..games.certificate import Certificate
from ..games.game import AlignmentGame
from ..games.solution import Solution
from ..numerics.arrays import log, to_numpy
from ..numerics.transport import entropic_transport, transport_cost
from ..objectives.transport import PushPull
from ..solvers import solve


@dataclass(frozen=True, eq=False)
class PushPullWeights:
    """What push-pull transport makes of N rows, in their order.

    mass (N,): nu*, sum 1. mask (N,): rows to train on. weight (N,): for training, 0 off the mask, of mean 1
    on it. safe_potential, harm_potential (N,): f of each set at nu* (None without one): what a row's mass
    costs it. before, after: W_eps to the sets ("safe", "harm") at the rows' own masses and at nu*.
    `solution` has the game, its status and the certificate.
    """

    mass: np.ndarray
    mask: np.ndarray
    weight: np.ndarray
    safe_potential: np.ndarray
    harm_potential: np.ndarray | None
    before: dict[str, float]
    after: dict[str, float]
    solution: Solution

    @property
    def certificate(self) -> Certificate:
        """Of the masses: a proof of the optimum above the curvature bound, of a local one below it."""
        return self.solution.certificate


def push_pull(
    safe: Any,
    harm: Any = None,
    *,
    epsilon: float,
    beta: float = 1.0,
    push: float = 1.0,
    strength: float = 1.0,
    masses: Any = None,
    mode: str = "equilibrium",
    keep: int | None = None,
) -> PushPullWeights:
    """Solve the game of N rows with costs (N, k) to safe and harmful points, and weigh the rows.

    mode "equilibrium": weight nu*/nu0 of the rows kept, all by default. mode "published": the K = `keep` rows
    of largest mass, weights proportional to exp(nu*). As masses have sum 1, exp(nu*) lies between 1 and
    exp(max nu*): those weights are almost constant (within a factor of 1.0003 where no row of 5,000 has more
    than 1.5 times its share), and all that the recipe does lies in the rows that it keeps.

    Args:
        safe, harm, epsilon, push, strength: of `dagame.PushPull`; `dagame.lm.cosine_cost` makes costs.
        beta: the KL to the rows' own masses; below push * strength * eps sinh^2(D/4) the solution may be
            local, which `solution.status` says.
        masses: of the rows (N,), default equal; divided by their sum.
        mode: "equilibrium" or "published".
        keep: rows of largest mass to keep, K; ties go to the first row. Needed by "published".

    Raises:
        InvalidGame: an unknown mode, or a `keep` that is not among 1..N.
    """
    objective = PushPull(safe, harm, epsilon=epsilon, push=push, strength=strength)
    if objective.safe.ndim != 2 or (harm is not None and objective.harm.ndim != 2):
        raise InvalidGame("rows are one context; give costs (N, k), one row of costs each.")
    n = len(objective.safe)
    _check(mode, keep, n)
    given = np.ones(n) if masses is None else np.asarray(masses, dtype=np.float64)
    start = given / given.sum()
    solution = solve(AlignmentGame(start[None], objective, beta=beta))
    mass, mask = to_numpy(solution.marginals)[0], start > 0
    if keep is not None:
        mask = mask & np.isin(np.arange(n), np.argsort(-mass, kind="stable")[:keep])
    paid = np.exp(mass) if mode == "published" else mass / np.where(start > 0, start, 1.0)
    raw = np.where(mask, paid, 0.0)
    sets = {"safe": objective.safe} | ({} if harm is None else {"harm": objective.harm})
    costs = {name: to_numpy(table) for name, table in sets.items()}
    (before, _), (after, potentials) = (_transported(p, costs, epsilon) for p in (start, mass))
    return PushPullWeights(
        *(mass, mask, raw * mask.sum() / raw.sum()),
        safe_potential=potentials["safe"],
        harm_potential=potentials.get("harm"),
        before=before,
        after=after,
        solution=solution,
    )


def _check(mode: str, keep: int | None, n: int) -> None:
    if mode not in ("equilibrium", "published"):
        raise InvalidGame(f'mode is {mode!r}; choose "equilibrium" or "published".')
    if keep is None and mode == "published":
        raise InvalidGame('mode "published" needs keep=K, the number of rows to train on.')
    if keep is not None and not 1 <= keep <= n:
        raise InvalidGame(f"keep is {keep}; give a number of rows between 1 and {n}.")


def _transported(
    p: np.ndarray, costs: dict[str, np.ndarray], epsilon: float
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """W_eps of masses p to each set, and the potential of the rows."""
    found = {name: entropic_transport(log(p), table, epsilon) for name, table in costs.items()}
    values = {name: float(transport_cost(log(p), one)) for name, one in found.items()}
    return values, {name: one.first for name, one in found.items()}
