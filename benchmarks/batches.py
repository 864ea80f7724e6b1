"""Games per second against batch size and shape, and against other ways to solve the same games.

    python benchmarks/batches.py           # CPU; CUDA too where there is a device
    pip install jax jaxopt                 # optional: adds jaxopt's MirrorDescent to the peers

Arithmetic coherence, strength 10, beta 1, Dirichlet(1) references, seed 0, numpy float64 unless said. Peers
solve one game each: a Python loop of single solves, cvxpy + CLARABEL, scipy SLSQP and trust-constr (given
J and its gradient, in the probabilities), jaxopt MirrorDescent with the KL prox (jitted, compilation
outside the timing, 2,000 steps). A peer's gap is certified like ours; certificates are not timed.
Roofline: the bytes of one read of the reference and one write of the policy, over the bandwidth of a
copy measured in the same run.
"""

from __future__ import annotations

import time
import warnings
from importlib.util import find_spec
from typing import Any

import numpy as np
from common import RESULTS, keep, median_seconds

import dagame as dg
from dagame.bench.common import Watch, watching
from dagame.bench.peers import Peer, jaxopt_mirror, scipy_minimiser
from dagame.numerics.arrays import to_numpy

PHI = dg.Coherence(10.0)


def references(count: int, m: int, n: int) -> np.ndarray:
    """Random games."""
    return np.random.default_rng(0).dirichlet(np.ones(n), (count, m))


def ours(table: Any, **options: Any) -> dg.Solution:
    """One call for all games."""
    return dg.solve(dg.AlignmentGame(table, PHI, beta=1.0), throw=False, **options)


def copy_bandwidth() -> float:
    """Bytes per second of a copy, read and write counted, of 256 MiB."""
    source = np.ones(32 << 20)
    target = np.empty_like(source)
    seconds = median_seconds(lambda: np.copyto(target, source), 7)
    return 2 * source.nbytes / seconds


def batches(watch: Watch) -> list[dict[str, Any]]:
    """Rate against the batch size, and against a loop of single solves of the same shape."""
    rows, bandwidth = [], copy_bandwidth()
    for m, n in watch.over(((4, 64), (2, 16), (8, 256)), "shapes"):
        table = references(400, m, n)
        started = time.perf_counter()
        for one in table:
            ours(one)
        single = len(table) / (time.perf_counter() - started)
        counts = [c for c in (1, 10, 100, 1_000, 10_000, 100_000) if c * m * n <= 30_000_000]
        for count in watch.over(counts, lambda c, shape=f"{m} x {n}": f"{c:,} games of {shape}"):
            table = references(count, m, n)
            ours(table[: min(count, 1000)])
            started = time.perf_counter()
            solution = ours(table)
            seconds = time.perf_counter() - started
            roof = bandwidth / (2 * m * n * 8)
            rows.append(
                {
                    "m x n": f"{m} x {n}",
                    "games": count,
                    "games/s": count / seconds,
                    "over single solves": count / seconds / single,
                    "fraction of the copy roof": count / seconds / roof,
                    "largest gap": float(solution.gap.max()),
                    "solved": int(solution.solved.sum()),
                }
            )
    return rows


def cuda_batches() -> list[dict[str, Any]]:
    """The same on a CUDA device, float32 and float64; empty where there is none."""
    try:
        import torch
    except ImportError:
        return []
    if not torch.cuda.is_available():
        return []
    rows = []
    for dtype, tol in ((torch.float32, 1e-6), (torch.float64, 1e-10)):
        for count in (10_000, 100_000, 1_000_000):
            table = torch.as_tensor(references(count, 4, 64), dtype=dtype).cuda()
            table = table / table.sum(-1, keepdim=True)
            ours(table[:1000], tol=tol, check_every=2)
            torch.cuda.synchronize()
            started = time.perf_counter()
            solution = ours(table, tol=tol, check_every=2)
            torch.cuda.synchronize()
            seconds = time.perf_counter() - started
            rows.append(
                {
                    "dtype": str(dtype),
                    "games": count,
                    "games/s": count / seconds,
                    "largest gap": float(to_numpy(solution.gap).max()),
                }
            )
    return rows


def peers(watch: Watch) -> list[dict[str, Any]]:
    """One game each, m = 4, n = 64: seconds and certified gap, as multiples of ours alone and batched."""
    table = references(20, 4, 64)
    game = [dg.AlignmentGame(t, PHI, beta=1.0) for t in table]
    jaxopt = find_spec("jaxopt") is not None
    ways: dict[str, Peer | None] = {
        "dagame, single solves": lambda g: dg.solve(g, throw=False).marginals,
        "cvxpy + CLARABEL": lambda g: dg.solve(g, "convex", throw=False).marginals,
        "scipy SLSQP": scipy_minimiser("SLSQP"),
        "scipy trust-constr": scipy_minimiser("trust-constr"),
        "jaxopt MirrorDescent": jaxopt_mirror() if jaxopt else None,
    }
    big = references(20_000, 4, 64)
    ours(big[:1000])
    started = time.perf_counter()
    ours(big)
    batch = (time.perf_counter() - started) / len(big)
    first = float(ours(table).gap.max())
    rows = [_row("dagame, one batch", 1e3 * batch, 1.0, first)]
    for name, way in watch.over(list(ways.items()), lambda pair: pair[0]):
        if way is None:
            rows.append(_row(name, "not installed", "-", "-"))
            continue
        count = 2 if name.startswith("scipy") else 10
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if not name.startswith("scipy"):
                    way(game[0])
                started = time.perf_counter()
                found = [way(g) for g in game[:count]]
                seconds = (time.perf_counter() - started) / count
                gaps = [float(dg.certify(g, f).gap) for g, f in zip(game, found, strict=False)]
            rows.append(_row(name, 1e3 * seconds, seconds / batch, max(gaps)))
        except Exception as error:
            rows.append(_row(name, "failed", type(error).__name__, "-"))
    return rows


def _row(way: str, milliseconds: Any, times: Any, gap: Any) -> dict[str, Any]:
    return {"way": way, "ms per game": milliseconds, "times ours": times, "gap": gap}


def draw(rows: list[dict[str, Any]]) -> None:
    """Rate against batch size, one line per shape."""
    from matplotlib.figure import Figure

    from dagame.show.plots import CYCLE

    made = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = made.subplots()
    for k, shape in enumerate(dict.fromkeys(r["m x n"] for r in rows)):
        mine = [r for r in rows if r["m x n"] == shape]
        axes.loglog(
            [r["games"] for r in mine],
            [r["games/s"] for r in mine],
            "o-",
            color=CYCLE[k],
            label=shape,
        )
    axes.set_xlabel("games in one call")
    axes.set_ylabel("games per second")
    axes.legend(title="contexts x answers", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    made.savefig(RESULTS / "batches.png", dpi=120)


def main() -> None:
    """All tables."""
    with watching() as watch:
        rows = batches(watch)
        device = cuda_batches()
        others = peers(watch)
    draw(rows)
    keep(
        "batches",
        rows,
        seed=0,
        strength=10.0,
        cuda=device or "no CUDA device on this machine",
    )
    print()
    keep("batch_peers", others, seed=0, contexts=4, answers=64)


if __name__ == "__main__":
    main()
