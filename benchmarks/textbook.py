"""Value and gradient of every objective in mpmath, written from docs/theory/objectives.md alone.

Nothing here calls the package's numerics: objectives are read for their parameters, and rows of the catalogue
for a definition in plain arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np

from dagame.objectives.catalogue import CATALOGUE, Definition

Table = list[list[Any]]
Line = tuple[Any, Table]


_OPTIONS = {
    "Coherence": "consensus",
    "PairwiseCoherence": "divergence",
    "TargetMatching": "direction",
}


def name_of(o: Any) -> str:
    """The class, and its kind where it has several: "Coherence, geometric"."""
    name = type(o).__name__
    return f"{name}, {getattr(o, _OPTIONS[name])}" if name in _OPTIONS else name


def exact(table: Any, m: int | None = None) -> Table:
    """Floats (m, n) as mpmath numbers, without rounding; (n,) repeated m times."""
    values = np.asarray(table, dtype=np.float64)
    if values.ndim == 1:
        values = np.broadcast_to(values, (m or 1, len(values)))
    return [[mp.mpf(float(v)) for v in row] for row in values]


def normalised(row: list[Any]) -> list[Any]:
    """A row divided by its sum."""
    total = mp.fsum(row)
    return [v / total for v in row]


def pair(w: list[Any], u: Table, nu: Table) -> Any:
    """<u, nu> = sum_x w_x sum_z u_x(z) nu_x(z); 0 where nu is 0."""
    return mp.fsum(
        wx * uz * pz
        for wx, ux, px in zip(w, u, nu, strict=True)
        for uz, pz in zip(ux, px, strict=True)
        if pz
    )


def kl(p: list[Any], q: list[Any]) -> Any:
    """sum p log(p / q)."""
    return mp.fsum(a * mp.log(a / b) if b else mp.inf for a, b in zip(p, q, strict=True) if a)


def log(p: Any) -> Any:
    return mp.log(p) if p else -mp.inf


def mean(nu: Table, w: list[Any]) -> list[Any]:
    return [mp.fsum(wx * row[z] for wx, row in zip(w, nu, strict=True)) for z in range(len(nu[0]))]


def each(nu: Table, f: Callable[[Any], Any]) -> Table:
    return [[f(p) for p in row] for row in nu]


def _reward(o: Any, nu: Table, w: list[Any]) -> Line:
    u = exact(o.r, len(nu))
    return pair(w, u, nu), u


def _successes(o: Any, nu: Table) -> tuple[Table, list[Any]]:
    c = exact(o.success, len(nu))
    return c, [mp.fdot(zip(cx, px, strict=True)) for cx, px in zip(c, nu, strict=True)]


def _log_success(o: Any, nu: Table, w: list[Any]) -> Line:
    c, p = _successes(o, nu)
    value = o.strength * mp.fsum(wx * log(px) for wx, px in zip(w, p, strict=True))
    return value, [[o.strength * v / px for v in cx] for cx, px in zip(c, p, strict=True)]


def _pass_at_k(o: Any, nu: Table, w: list[Any]) -> Line:
    c, p = _successes(o, nu)
    value = o.strength * mp.fsum(wx * (1 - (1 - px) ** o.k) for wx, px in zip(w, p, strict=True))
    u = [
        [o.strength * o.k * (1 - px) ** (o.k - 1) * v for v in cx]
        for cx, px in zip(c, p, strict=True)
    ]
    return value, u


def _shannon(o: Any, nu: Table, w: list[Any], sign: int = 1) -> Line:
    u = each(nu, lambda p: -sign * o.strength * log(p))
    return pair(w, u, nu), u


def _gini(o: Any, nu: Table, w: list[Any]) -> Line:
    squares = [mp.fsum(p * p for p in row) for row in nu]
    value = o.strength * mp.fsum(wx * (1 - s) for wx, s in zip(w, squares, strict=True))
    return value, each(nu, lambda p: -2 * o.strength * p)


def _tsallis(o: Any, nu: Table, w: list[Any]) -> Line:
    t = mp.mpf(o.order)
    powers = [mp.fsum(p**t for p in row) for row in nu]
    value = o.strength * mp.fsum(wx * (1 - s) for wx, s in zip(w, powers, strict=True)) / (t - 1)
    return value, each(nu, lambda p: -o.strength * t * p ** (t - 1) / (t - 1) if p else mp.inf)


def _reverse(o: Any, nu: Table, w: list[Any]) -> Line:
    rho = [normalised(row) for row in exact(o.target, len(nu))]
    value = -o.strength * mp.fsum(wx * kl(px, rx) for wx, px, rx in zip(w, nu, rho, strict=True))
    u = [
        [-o.strength * (log(p) - log(r)) if p else mp.inf for p, r in zip(px, rx, strict=True)]
        for px, rx in zip(nu, rho, strict=True)
    ]
    return value, u


def _forward(o: Any, nu: Table, w: list[Any]) -> Line:
    rho = [normalised(row) for row in exact(o.target, len(nu))]
    value = -o.strength * mp.fsum(wx * kl(rx, px) for wx, px, rx in zip(w, nu, rho, strict=True))
    u = [
        [o.strength * r / p if p else mp.inf for p, r in zip(px, rx, strict=True)]
        for px, rx in zip(nu, rho, strict=True)
    ]
    return value, u


def _arithmetic(o: Any, nu: Table, w: list[Any]) -> Line:
    q = mean(nu, w)
    u = [
        [-o.strength * mp.log(p / qz) if p else mp.inf for p, qz in zip(row, q, strict=True)]
        for row in nu
    ]
    return -o.strength * mp.fsum(wx * kl(row, q) for wx, row in zip(w, nu, strict=True)), u


def _geometric(o: Any, nu: Table, w: list[Any]) -> Line:
    product = [
        mp.fprod(row[z] ** wx for wx, row in zip(w, nu, strict=True)) for z in range(len(nu[0]))
    ]
    total = mp.fsum(product)
    u = [
        [o.strength * g / total / p if p else mp.mpf(0) for g, p in zip(product, row, strict=True)]
        for row in nu
    ]
    return o.strength * log(total), u


def _euclidean(o: Any, nu: Table, w: list[Any]) -> Line:
    q = mean(nu, w)
    off = [[p - qz for p, qz in zip(row, q, strict=True)] for row in nu]
    value = -o.strength * mp.fsum(
        wx * mp.fsum(d * d for d in row) for wx, row in zip(w, off, strict=True)
    )
    return value, each(off, lambda d: -2 * o.strength * d)


def _pairwise(
    divergence: Callable[[Any, Any], Any], slope: Callable[[Any, Any], Any]
) -> Callable[..., Line]:
    """-strength sum w w' sum_z d(p, p'), d symmetric with derivative `slope` by its first argument."""

    def line(o: Any, nu: Table, w: list[Any]) -> Line:
        n, contexts = len(nu[0]), list(zip(w, nu, strict=True))
        value = mp.fsum(
            a * b * mp.fsum(divergence(p[z], q[z]) for z in range(n) if p[z] or q[z])
            for a, p in contexts
            for b, q in contexts
        )
        u = [
            [
                -2 * o.strength * mp.fsum(b * slope(p[z], q[z]) for b, q in contexts)
                if p[z]
                else mp.mpf(0)
                for z in range(n)
            ]
            for _, p in contexts
        ]
        return -o.strength * value, u

    return line


def _xlog(p: Any, q: Any) -> Any:
    return p * mp.log(p / q) if p else mp.mpf(0)


_jeffreys = _pairwise(
    lambda p, q: _xlog(p, q) + _xlog(q, p),
    lambda p, q: mp.log(p / q) + 1 - q / p if q else mp.inf,
)


def _times(scale: float, line: Line) -> Line:
    """KL summed over ordered pairs is half of Jeffreys, the squared distance twice that to the mean."""
    return mp.mpf(scale) * line[0], each(line[1], lambda v: mp.mpf(scale) * v)


_hellinger = _pairwise(lambda p, q: (p + q) / 2 - mp.sqrt(p * q), lambda p, q: -mp.sqrt(q / p) / 2)
_jensen_shannon = _pairwise(
    lambda p, q: (_xlog(p, (p + q) / 2) + _xlog(q, (p + q) / 2)) / 2,
    lambda p, q: mp.log(2 * p / (p + q)) / 2,
)


def _bregman(o: Any, nu: Table, w: list[Any]) -> Line:
    """Jensen gap of p^t / (t (t - 1)); t read off phi''(1/2) = 2^{2-t}."""
    t = 2 - mp.log(mp.mpf(float(o.generator.second(np.asarray(0.5)))), 2)
    q = mean(nu, w)

    def phi(p: Any) -> Any:
        return p**t / (t * (t - 1))

    value = mp.fsum(
        wx * (phi(p) - phi(qz))
        for wx, row in zip(w, nu, strict=True)
        for p, qz in zip(row, q, strict=True)
    )
    u = [
        [
            -o.strength * (p ** (t - 1) - qz ** (t - 1)) / (t - 1)
            for p, qz in zip(row, q, strict=True)
        ]
        for row in nu
    ]
    return -o.strength * value, u


def shut(chosen: Any, n: int) -> set[int]:
    """Answers that a set gives no mass: those of a cap of 0, or of positive value in a moment of 0."""
    out: set[int] = set()
    for part in chosen.parts():
        if type(part).__name__ == "Cap" and part.limit == 0:
            out |= {int(z) for z in part.answers}
        elif type(part).__name__ == "Moment" and part.bound == 0 and min(part.values) >= 0:
            out |= {z for z in range(n) if part.values[z] > 0}
    return out


def _soft_set(o: Any, nu: Table, w: list[Any]) -> Line:
    """-strength KL to the projection on one cap or moment, besides answers that are shut."""
    n, value, u = len(nu[0]), mp.mpf(0), []
    closed = shut(o.set, n)
    left = [s for s in o.set.parts() if 0 < getattr(s, "limit", getattr(s, "bound", 0)) != 1]
    if len(left) > 1:
        raise NotImplementedError("the projection on two rows is no scalar root")
    for wx, row in zip(w, nu, strict=True):
        ratio = [mp.mpf(1)] * n
        if left:
            project = _moment_ratio if type(left[0]).__name__ == "Moment" else _cap_ratio
            ratio = project(left[0], row, closed)
        u.append([-o.strength * mp.log(r) for r in ratio])
        value += wx * mp.fsum(p * v for p, v in zip(row, u[-1], strict=True))
        if any(row[z] for z in closed):
            value = -mp.inf
    return value, u


def _cap_ratio(cap: Any, row: list[Any], closed: set[int]) -> list[Any]:
    """nu / q: the projection scales the two groups, to mass `limit` inside and 1 - limit outside."""
    limit, members = mp.mpf(cap.limit), {int(z) for z in cap.answers}
    mass = mp.fsum(row[z] for z in members)
    if mass <= limit:
        return [mp.mpf(1)] * len(row)
    outside = mp.fsum(p for z, p in enumerate(row) if z not in members) / (1 - limit)
    return [mass / limit if z in members else outside or mp.mpf(1) for z in range(len(row))]


def _moment_ratio(moment: Any, row: list[Any], closed: set[int]) -> list[Any]:
    """nu / q = (s + f - least) / (s + bound - least), least = min f, with s > 0 such that sum q = 1.

    In log s by bisection; s = 0 to all digits where nu lacks the answers of least f, which then get
    the mass that q lacks.
    """
    f, bound = exact(moment.values)[0], mp.mpf(moment.bound)
    least = min(v for z, v in enumerate(f) if z not in closed)
    if mp.fdot(zip(row, f, strict=True)) <= bound:
        return [mp.mpf(1)] * len(row)

    def ratio(power: Any) -> list[Any]:
        s = mp.exp(power)
        return [(s + max(v - least, mp.mpf(0))) / (s + bound - least) for v in f]

    low, high = mp.mpf(-2000), mp.mpf(100)
    while high - low > mp.mpf(10) ** -40:
        middle = (low + high) / 2
        total = mp.fsum(p / r for p, r in zip(row, ratio(middle), strict=True))
        low, high = (middle, high) if total > 1 else (low, middle)
    return ratio(low)


def _self_consistency(o: Any, nu: Table, w: list[Any]) -> Line:
    u = each(nu, lambda p: 2 * o.strength * p)
    return pair(w, u, nu) / 2, u


def _agreement(o: Any, nu: Table, w: list[Any]) -> Line:
    total = mean(nu, w)
    others = [
        [t - wx * p for t, p in zip(total, row, strict=True)] for wx, row in zip(w, nu, strict=True)
    ]
    return o.strength * pair(w, others, nu), each(others, lambda v: 2 * o.strength * v)


def _transport(cost: Table, nu: list[Any], eps: Any) -> tuple[Any, list[Any]]:
    """W_eps(nu; 1/k) and its first potential: Sinkhorn's scalings a, b until b no longer moves."""
    k = len(cost[0])
    kernel = [[mp.exp(-c / eps) / k for c in row] for row in cost]
    b = [mp.mpf(1)] * k
    for _ in range(100_000):
        a = [1 / mp.fdot(zip(row, b, strict=True)) for row in kernel]
        columns = [
            mp.fsum(p * x * row[j] for p, x, row in zip(nu, a, kernel, strict=True) if p)
            for j in range(k)
        ]
        new = [1 / (k * c) for c in columns]
        moved = max(abs(x / y - 1) for x, y in zip(new, b, strict=True))
        b = new
        if moved < mp.mpf(10) ** (5 - mp.mp.dps):
            break
    a = [1 / mp.fdot(zip(row, b, strict=True)) for row in kernel]
    f, g = [eps * mp.log(x) for x in a], [eps * mp.log(y) for y in b]
    shift = mp.fsum(g) / k
    f = [v + shift for v in f]
    return mp.fdot(zip(f, nu, strict=True)), f


def _push_pull(o: Any, nu: Table, w: list[Any]) -> Line:
    eps, push = mp.mpf(o.epsilon), mp.mpf(o.push)
    value, u = mp.mpf(0), []
    for x, row in enumerate(nu):
        value_x, paid = mp.mpf(0), [mp.mpf(0)] * len(row)
        for costs, sign in ((o.safe, -mp.mpf(1)), (o.harm, push)):
            if costs is not None and sign:
                table = np.asarray(costs, dtype=np.float64)
                table = table if table.ndim == 2 else table[x % len(table)]
                cost, f = _transport(exact(table), row, eps)
                value_x += sign * cost
                paid = [p + sign * v for p, v in zip(paid, f, strict=True)]
        value += w[x] * value_x
        u.append([o.strength * v for v in paid])
    return o.strength * value, u


LINES: dict[str, Callable[[Any, Table, list[Any]], Line]] = {
    "Reward": _reward,
    "LogSuccess": _log_success,
    "PassAtK": _pass_at_k,
    "ShannonDiversity": _shannon,
    "GiniDiversity": _gini,
    "TsallisDiversity": _tsallis,
    "TargetMatching, reverse": _reverse,
    "TargetMatching, forward": _forward,
    "Coherence, arithmetic": _arithmetic,
    "Coherence, geometric": _geometric,
    "Coherence, euclidean": _euclidean,
    "PairwiseCoherence, kl": lambda o, nu, w: _times(0.5, _jeffreys(o, nu, w)),
    "PairwiseCoherence, jeffreys": _jeffreys,
    "PairwiseCoherence, hellinger": _hellinger,
    "PairwiseCoherence, jensen_shannon": _jensen_shannon,
    "PairwiseCoherence, euclidean": lambda o, nu, w: _times(2, _euclidean(o, nu, w)),
    "BregmanCoherence": _bregman,
    "SoftConstraint": _soft_set,
    "PushPull": _push_pull,
    "Sharpening": lambda o, nu, w: _shannon(o, nu, w, -1),
    "SelfConsistency": _self_consistency,
    "Agreement": _agreement,
}
"""Value and gradient of a differentiable objective, by `name_of`."""


def line_of(o: Any) -> Callable[[Any, Table, list[Any]], Line] | None:
    """The line of an objective, or of the definition that its row of the catalogue has."""
    name = type(o).__name__
    rows = [k.definition for k in CATALOGUE.values() if k.public == name and k.definition]
    return _per_context(rows[0]) if rows else LINES.get(name_of(o))


def _per_context(definition: Definition) -> Callable[[Any, Table, list[Any]], Line]:
    def line(o: Any, nu: Table, w: list[Any]) -> Line:
        found = [definition(o, row, mp.log, mp.inf) for row in nu]
        value = o.strength * mp.fsum(wx * f for wx, (f, _) in zip(w, found, strict=True))
        return value, [[o.strength * v for v in u] for _, u in found]

    return line
