"""The fused kernel of arithmetic coherence on one data-centre GPU: games a second, bandwidth and gap.

    python benchmarks/gpu_roof.py                       # minutes on a CUDA device; needs Triton
    TRITON_INTERPRET=1 python benchmarks/gpu_roof.py    # on the CPU: the kernel alone, no times, nothing kept
    python benchmarks/gpu_roof.py --compile             # machine code for capability 9.0, without a device

Games of 4 x 64 at strength 10, beta 1, Dirichlet(1) references drawn on the device with seed 0, in float32
to a relative gap of 1e-6 and float64 to 1e-10, batches of 1e3 to 1e7. Medians of warm repeats by the
device's own clock. The share of a copy's bandwidth is the time of one copy of the reference over the
kernel's: both read and write one table. The kernel's gap is the largest of its own bounds, the certified
one the largest of 1,000 games whose policies are certified in float64 by `dagame.certify`, which shares
nothing with the kernel.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import triton
from common import keep
from gpu_consensus import ROUNDS, Found, solve_game, solve_games
from triton.knobs import runtime

import dagame as dg

CONTEXTS, ANSWERS, BETA, STRENGTH = 4, 64, 1.0, 10.0
BATCHES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
PRECISIONS = ((torch.float32, 1e-6), (torch.float64, 1e-10))
CERTIFIED = 1_000
"""Games whose policies are certified, spread over the batch."""


def references(games: int, dtype: torch.dtype, device: str) -> torch.Tensor:
    """log nu0 of Dirichlet(1), drawn and normalised where they stand."""
    torch.manual_seed(0)
    table = torch.empty((games, CONTEXTS, ANSWERS), dtype=dtype, device=device)
    for part in table.split(1_000_000):
        part.exponential_().log_().sub_(torch.logsumexp(part, dim=-1, keepdim=True))
    return table


def milliseconds(call: Callable[[], Any], repeats: int) -> float:
    """Median by the device's clock, after one warm call."""
    call()
    times = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return float(np.median(times))


def certified_gap(table: torch.Tensor, found: Found) -> float:
    """The largest relative gap of some of the policies, from a proof in float64 on the host."""
    step = max(1, table.shape[0] // CERTIFIED)
    log_nu0, log_nu = (t[::step].double().cpu() for t in (table, found.log_policy))
    reference, policy = (torch.softmax(t, dim=-1).numpy() for t in (log_nu0, log_nu))
    game = dg.AlignmentGame(reference, dg.Coherence(STRENGTH), beta=BETA)
    return float(dg.certify(game, policy).relative_gap.max())


def row(games: int, dtype: torch.dtype, tol: float, device: str) -> dict[str, Any]:
    """One batch; on the CPU without times."""
    table = references(games, dtype, device)
    weights = table.new_full((CONTEXTS,), 1 / CONTEXTS)
    found = solve_games(table, weights, BETA, STRENGTH, tol)
    facts: dict[str, Any] = {"precision": str(dtype).removeprefix("torch."), "games": games}
    if device == "cuda":
        repeats = 20 if games < 1_000_000 else 5
        mine = milliseconds(
            lambda: solve_games(table, weights, BETA, STRENGTH, tol, found), repeats
        )
        copy = milliseconds(lambda: found.log_policy.copy_(table), repeats)
        moved = 2 * table.numel() * table.element_size()
        facts |= {
            "games a second": 1e3 * games / mine,
            "GB/s of a copy": moved / copy / 1e6,
            "share of a copy's bandwidth": copy / mine,
        }
        solve_games(table, weights, BETA, STRENGTH, tol, found)  # the copy was written over it
    facts |= {
        "largest gap by the kernel": float(found.relative_gap.max()),
        "largest certified gap": certified_gap(table, found),
        "moves at most": int(found.steps.max()),
        f"games at the limit of {ROUNDS}": int((found.steps == ROUNDS).sum()),
    }
    return facts


def compiled() -> None:
    """Machine code of both precisions for compute capability 9.0, which needs no device."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    for name in ("fp32", "fp64"):
        kinds = dict.fromkeys(("table", "weights", "numbers", "log_policies", "gaps"), f"*{name}")
        kinds |= {"moves": "*i32", "m": "i32", "n": "i32"}
        sizes = {"ROUNDS": ROUNDS, "M": CONTEXTS, "N": ANSWERS}
        kinds |= dict.fromkeys(sizes, "constexpr")
        source = ASTSource(fn=solve_game, signature=kinds, constexprs=sizes)
        made = triton.compile(source, GPUTarget("cuda", 90, 32), {"num_warps": 1})
        print(
            f"{name}: {len(made.asm['ptx']):,} characters of PTX, {len(made.asm['cubin']):,} bytes"
        )


def main() -> None:
    """All batches that fit the device's memory; those that do not are named."""
    if "--compile" in sys.argv:
        compiled()
        return
    if runtime.interpret:
        for dtype, tol in PRECISIONS:
            for games in (1, 20):
                print(row(games, dtype, tol, "cpu"))
        return
    if not torch.cuda.is_available():
        sys.exit("There is no CUDA device; set TRITON_INTERPRET=1 or give --compile.")
    rows = []
    for dtype, tol in PRECISIONS:
        for games in BATCHES:
            needed = 2.2 * games * CONTEXTS * ANSWERS * torch.finfo(dtype).bits / 8
            if needed > torch.cuda.mem_get_info()[0]:
                print(f"{games:,} games of {dtype} need {needed / 1e9:.0f} GB: left out")
                continue
            rows.append(row(games, dtype, tol, "cuda"))
            torch.cuda.empty_cache()
    device = {"device": torch.cuda.get_device_name(), "triton": triton.__version__}
    keep("gpu_roof", rows, **device, seed=0, strength=STRENGTH, beta=BETA)


if __name__ == "__main__":
    main()
