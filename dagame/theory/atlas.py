"""An atlas of published rewards: what each pays, the objective it thereby optimises, and where it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DagameError
from ..games.game import AlignmentGame
from ..numerics.arrays import log, to_numpy
from ..numerics.simplex import log_entropy
from ..objectives import Objective, Reward, WorstCase
from ..objectives.catalogue import CATALOGUE
from ..samples.metrics import agreement
from ..show.tables import Column, table_html
from ..solvers import run, solve
from .classify import classify


@dataclass(frozen=True)
class Method:
    """A published reward. `objective(success, strength)` builds Phi from c (n,) in {0, 1}.

    `source` names where the reward is used; the objective and its concavity are derived
    (docs/theory/classifier.md).
    """

    name: str
    source: str
    paid: str
    phi: str
    concave: bool
    objective: Callable[[np.ndarray, float], Objective]
    note: str = ""


def of_kind(name: str, factor: float = 1.0) -> Callable[[np.ndarray, float], Objective]:
    """`factor` times the objective of the catalogue's row."""
    row = CATALOGUE[name]

    def make(success: np.ndarray, strength: float) -> Objective:
        labels = (success,) if row.labels else ()
        objective = row.build(strength, *labels)
        return objective if factor == 1 else factor * objective

    return make


def _exploration(success: np.ndarray, strength: float) -> Objective:
    return strength * Reward(success) + of_kind("gini", 0.5)(success, strength)


def _of(
    expression: str, of: str, *, right: bool = True
) -> Callable[[np.ndarray, float], Objective]:
    """What paying the expression optimises; `right`: only right answers are paid."""

    def make(success: np.ndarray, strength: float) -> Objective:
        import sympy

        made = classify(sympy.sympify(expression), of=of)
        return made.as_objective(strength, success if right else None)

    return make


def _graders(success: np.ndarray, strength: float) -> Objective:
    harsh = success * (np.arange(len(success)) == np.flatnonzero(success)[-1])
    return WorstCase(np.stack([success, harsh]), strength)


_ROWS = (
    Method("expected reward", "RLVR; RLOO; Dr. GRPO", "r_z", "⟨r, ν⟩", True, of_kind("reward")),
    Method(
        "GRPO with std division",
        "GRPO (DeepSeekMath), binary reward",
        "(r − p) / σ",
        "2 arcsin √p",
        False,
        _of("1/sqrt(p*(1-p))", "success"),
        "convex for p > 1/2",
    ),
    Method("rejection sampling", "STaR", "1{correct} / p", "log p", True, of_kind("log-success")),
    Method(
        "MaxRL",
        "maximum-likelihood RL, T = 4 terms",
        "(1 − (1−p)^T) / p",
        "−Σ_{k≤T} (1−p)^k / k",
        True,
        _of("1 + (1-p) + (1-p)**2 + (1-p)**3", "success"),
    ),
    Method(
        "pass@k",
        "pass@k training, k = 4",
        "k (1−p)^(k−1)",
        "1 − (1−p)^k",
        True,
        of_kind("pass-at-k"),
    ),
    Method(
        "majority vote",
        "TTRL",
        "1{z = argmax ν}",
        "max_z ν(z)",
        False,
        of_kind("majority-vote"),
        "explicit optimum",
    ),
    Method("EMPO as coded", "EMPO", "ν(z)", "½ Σ ν²", False, of_kind("self-consistency", 0.5)),
    Method(
        "entropy diversity",
        "Diversity-GRPO (Shannon)",
        "−log ν(z)",
        "H(ν)",
        True,
        of_kind("shannon"),
    ),
    Method(
        "Gini diversity",
        "Diversity-GRPO (Gini)",
        "1 − ν(z)",
        "half of the Gini index",
        True,
        of_kind("gini", 0.5),
    ),
    Method(
        "batch exploration",
        "reward less repeats in the batch",
        "r_z − ν(z)",
        "⟨r, ν⟩ − ½ Σ ν²",
        True,
        _exploration,
    ),
    Method(
        "inverse probability",
        "inverse-probability rewards, t = 1/2",
        "r_z / ν(z)^t",
        "Σ r ν^(1−t) / (1−t)",
        True,
        _of("1/sqrt(p)", "answer"),
    ),
    Method(
        "GAPO",
        "GAPO, L = 4 valid answers",
        "1 − |ν(z) − 1/L|",
        "sum of integrals",
        False,
        _of("1 - Abs(p - 1/4)", "answer", right=False),
        "g rises below 1/L",
    ),
    Method(
        "expected agreement",
        "agreement of contexts, uniform weights",
        "mean of ν_x'(z) over x' ≠ x, times 2(m−1)/m (1 for m = 2)",
        "Σ_{x≠x'} w w' ⟨ν_x, ν_x'⟩",
        False,
        of_kind("agreement"),
    ),
    Method(
        "coherence",
        "Coherence-GRPO (arithmetic consensus)",
        "log q(z) − log ν_x(z)",
        "−Jensen-Shannon divergence",
        True,
        of_kind("coherence"),
    ),
    Method(
        "pairwise coherence",
        "−sum of pairwise KL",
        "from the divergence",
        "−Σ w w' KL(ν_x, ν_x')",
        True,
        of_kind("pairwise-kl"),
    ),
    Method(
        "geometric overlap",
        "−log geometric overlap",
        "q(z) / ν_x(z)",
        "log Σ ∏ ν_x^w_x",
        True,
        of_kind("geometric"),
    ),
    Method(
        "worst case of graders",
        "robust rewards, two graders",
        "⟨r_k, ν⟩, k ~ the target's mixture",
        "min_k ⟨r_k, ν⟩",
        True,
        _graders,
    ),
)


class Atlas(dict[str, Method]):
    """The atlas by name; it shows itself as a table (docs/methods.md has the equilibria besides)."""

    def __repr__(self) -> str:
        width = max(map(len, self), default=0)
        return "\n".join(
            f"{m.name:<{width}}  pays {m.paid}\n{'':<{width}}  Φ = {m.phi}; concave: {_concave(m)}"
            for m in self.values()
        )

    __str__ = __repr__

    def _repr_html_(self) -> str:
        names = ("method", "source", "paid", "Φ", "concave")
        rows = [(m.name, m.source, m.paid, m.phi, _concave(m)) for m in self.values()]
        return table_html([Column(name, text=True) for name in names], rows)


def _concave(method: Method) -> str:
    return ("yes" if method.concave else "no") + (f" ({method.note})" if method.note else "")


methods = Atlas({m.name: m for m in _ROWS})
"""The atlas by name: a dictionary that prints as a table."""

REFERENCE = np.array([[0.45, 0.30, 0.15, 0.10], [0.25, 0.45, 0.10, 0.20]])
SUCCESS = np.array([0.0, 1.0, 0.0, 1.0])


def where_it_ends(
    method: Method,
    *,
    reference: Any = REFERENCE,
    success: Any = SUCCESS,
    strength: float = 0.5,
    beta: float = 1.0,
) -> dict[str, Any]:
    """The equilibrium on one game: accuracy, entropy, agreement, certified gap and how it was found.

    Where neither T4 nor T6 nor a formula gives one, the end of 2,000 mirror steps from the reference
    is shown with gap None ("mirror from the reference, not certified").
    """
    c = np.asarray(success, float)
    game = AlignmentGame(np.asarray(reference, float), method.objective(c, strength), beta=beta)
    try:
        solution = solve(game, throw=False)
        nu, gap, how = to_numpy(solution.marginals), float(solution.gap), solution.method
    except DagameError:
        history = run(game, "mirror", 2000)
        assert history.marginals is not None
        nu, gap, how = history.marginals[-1], None, "mirror from the reference, not certified"
    return {
        "method": method.name,
        "accuracy": float((nu @ c).mean()),
        "entropy": float(log_entropy(log(nu)).mean()),
        "agreement": float(agreement(nu[None])[0]) if len(nu) > 1 else None,
        "gap": gap,
        "found by": how,
    }


def atlas() -> str:
    """The atlas as a Markdown table: reward, objective, concavity, and where each ends on one game."""
    head = "| method | source | paid | Φ | concave | accuracy | entropy | agreement | gap |"
    lines = [head, "|" + "---|" * 9]
    for method in _ROWS:
        end = where_it_ends(method)
        gap = "not certified" if end["gap"] is None else f"{end['gap']:.0e}"
        cells = [method.name, method.source, method.paid, method.phi, _concave(method)]
        cells += [f"{end[k]:.3f}" for k in ("accuracy", "entropy", "agreement")] + [gap]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)
