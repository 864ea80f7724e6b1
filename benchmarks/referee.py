"""J and D of a game in mpmath from their definitions (docs/theory/game.md): certificates' referee."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np
from textbook import Line, Table, each, exact, kl, line_of, mean, name_of, normalised, pair, shut

_COMMON = ("PairwiseCoherence, kl", "PairwiseCoherence, jeffreys", "HardCoherence")


def least_curvature(objective: Any, w: list[Any]) -> Any:
    """mu of T6 by the table of docs/theory/objectives.md, at most 0."""
    total = mp.mpf(0)
    for factor, o in objective.terms():
        name = name_of(o)
        if name in ("Sharpening", "SelfConsistency"):
            total -= factor * o.strength
        elif name == "Agreement":
            root = mp.matrix(
                [[mp.sqrt(a * b) - a * (i == j) for j, b in enumerate(w)] for i, a in enumerate(w)]
            )
            total -= factor * o.strength * max(mp.eigsy(root, eigvals_only=True))
        elif name == "ShannonDiversity" or (name == "TsallisDiversity" and o.order < 1):
            total += factor * o.strength * getattr(o, "order", 1)
        elif name == "TargetMatching, reverse":
            total += factor * o.strength
    return min(total, mp.mpf(0))


def combined(objective: Any, nu: Table, w: list[Any]) -> Line:
    """Value and gradient of the differentiable terms of a sum."""
    value, u = mp.mpf(0), each(nu, lambda p: mp.mpf(0))
    for factor, part in objective.terms():
        line = line_of(part)
        if line is None or factor == 0 or getattr(part, "strength", 1.0) == 0:
            continue
        phi, table = line(part, nu, w)
        value += factor * phi
        u = [
            [a + factor * b for a, b in zip(old, new, strict=True)]
            for old, new in zip(u, table, strict=True)
        ]
    return value, u


def kinked(objective: Any, w: list[Any], n: int, multipliers: Any) -> Line | None:
    """The constant and rewards that the multipliers of a kink or hard set pay; None: there is none.

    Multipliers are put where they must be first: >= 0, of sum 1 or of mean 0 over the contexts.
    """
    m = len(w)
    for factor, part in objective.terms():
        name = type(part).__name__
        if name == "WorstCase":
            alpha = normalised([max(a, mp.mpf(0)) for a in exact(multipliers)[0]])
            grades = exact(part.rewards)
            row = [
                factor
                * part.strength
                * mp.fsum(a * g[z] for a, g in zip(alpha, grades, strict=True))
                for z in range(n)
            ]
            return mp.mpf(0), [list(row) for _ in range(m)]
        if name == "HardCoherence":
            table = exact(multipliers)
            centre = mean(table, w)
            return mp.mpf(0), [
                [factor * (a - b) for a, b in zip(row, centre, strict=True)] for row in table
            ]
        if name == "HardConstraint":
            rows = part.set.rows(m, n, np.asarray([float(v) for v in w]))
            y = [
                factor * (v if equal else max(v, mp.mpf(0)))
                for v, equal in zip(exact(multipliers)[0], rows.equal, strict=True)
            ]
            matrix = [exact(g) for g in rows.matrix]
            u = [
                [
                    -mp.fsum(a * g[x][z] for a, g in zip(y, matrix, strict=True)) / w[x]
                    for z in range(n)
                ]
                for x in range(m)
            ]
            return mp.fdot(zip(y, exact(rows.bound)[0], strict=True)), u
    return None


def worst_grade(objective: Any, nu: Table, w: list[Any]) -> Any:
    """strength * min_k <r_k, mean nu> of a worst case in the sum, else 0."""
    average = mean(nu, w)
    for factor, part in objective.terms():
        if type(part).__name__ == "WorstCase":
            grades = [mp.fdot(zip(g, average, strict=True)) for g in exact(part.rewards)]
            return factor * part.strength * min(grades)
    return mp.mpf(0)


def allowed(objective: Any, nu0: Table) -> list[list[bool]]:
    """Answers that a policy of finite value may give: the others lack support or get no mass in a set."""
    common = [all(row[z] for row in nu0) for z in range(len(nu0[0]))]
    mask = [[True] * len(common) for _ in nu0]
    for _, part in objective.terms():
        if getattr(part, "strength", 1.0) == 0:
            continue
        name, here = name_of(part), [common] * len(nu0)
        if name == "TargetMatching, reverse":
            here = [[r > 0 for r in row] for row in exact(part.target, len(nu0))]
        elif name in ("HardConstraint", "SoftConstraint"):
            closed = shut(part.set, len(common))
            here = [[z not in closed for z in range(len(common))]] * len(nu0)
        elif name not in _COMMON:
            continue
        mask = [
            [a and b for a, b in zip(p, q, strict=True)] for p, q in zip(mask, here, strict=True)
        ]
    return mask


def feasible(objective: Any, nu0: Table) -> bool:
    """Whether some policy on the support has a finite value, for sets of disjoint caps and a moment."""
    ok = all(
        any(p and z for p, z in zip(*rows, strict=True))
        for rows in zip(nu0, allowed(objective, nu0), strict=True)
    )
    common = any(all(row[z] for row in nu0) for z in range(len(nu0[0])))
    for _, part in objective.terms():
        name = name_of(part)
        if getattr(part, "strength", 1.0) == 0:
            continue
        if name == "Coherence, geometric":
            ok &= common
        elif name in ("LogSuccess", "TargetMatching, forward"):
            table = exact(part.success if name == "LogSuccess" else part.target, len(nu0))
            pairs = [list(zip(p, t, strict=True)) for p, t in zip(nu0, table, strict=True)]
            if name == "LogSuccess":
                ok &= all(any(p and t for p, t in row) for row in pairs)
            else:
                ok &= all(p > 0 or not t for row in pairs for p, t in row)
        elif name == "HardConstraint":
            rows = zip(nu0, allowed(objective, nu0), strict=True)
            ok &= all(
                _meets(part.set, {z for z, (p, a) in enumerate(zip(*row, strict=True)) if p and a})
                for row in rows
            )
    return ok


def _meets(chosen: Any, support: set[int]) -> bool:
    """Whether disjoint caps leave room for a mass of 1, and each moment for its least value."""
    free, room = set(support), 0.0
    for s in chosen.parts():
        if type(s).__name__ == "Cap":
            members = {int(z) for z in s.answers}
            free, room = free - members, room + s.limit * bool(members & support)
        elif type(s).__name__ == "Floor":
            if not support & {int(z) for z in s.answers}:
                return False
        elif support and min(s.values[z] for z in support) > s.bound:
            return False
    return bool(free) or room >= 1


def value_and_bound(
    reference: Any,
    weights: Any,
    objective: Any,
    beta: float,
    log_policy: Any,
    multipliers: Any = None,
) -> tuple[Any, Any]:
    """J(pi) and D(q = nu(pi)) of a game whose traces are its answers, in the working precision.

    reference (m, n) and weights (m,) as the user gave them, log_policy (m, n). D is T4's at q = nu(pi),
    after T6's transfer where mu < 0, or that of the multipliers for kinks and hard sets.
    """
    w = normalised(exact(np.asarray(weights))[0])
    nu0 = [normalised(row) for row in exact(reference)]
    nu = [
        normalised([mp.exp(v) if v > -1e29 else mp.mpf(0) for v in row])
        for row in exact(log_policy)
    ]
    beta_, rho = mp.mpf(beta), -least_curvature(objective, w)
    cost = mp.fsum(wx * kl(p, p0) for wx, p, p0 in zip(w, nu, nu0, strict=True))
    phi, u = combined(objective, nu, w)
    value = phi + worst_grade(objective, nu, w) - beta_ * cost
    constant = phi - pair(w, u, nu)
    if rho:  # Phi~(q) - <u~, q> is Phi(q) - <u, q>: the KL is <log(q / nu0), q>
        u = [
            [a - rho * mp.log(p / p0) if p else a for a, p, p0 in zip(ux, px, p0x, strict=True)]
            for ux, px, p0x in zip(u, nu, nu0, strict=True)
        ]
    moved = kinked(objective, w, len(nu[0]), multipliers)
    if moved is not None:
        constant += moved[0]
        u = [[a + b for a, b in zip(p, q, strict=True)] for p, q in zip(u, moved[1], strict=True)]
    return value, constant + (beta_ - rho) * mp.fsum(
        wx
        * mp.log(
            mp.fsum(
                p0 * mp.exp(v / (beta_ - rho))
                for v, p0, z in zip(ux, p0x, open_, strict=True)
                if p0 and z
            )
        )
        for wx, ux, p0x, open_ in zip(w, u, nu0, allowed(objective, nu0), strict=True)
    )
