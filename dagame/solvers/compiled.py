"""The evaluation of a game as one compiled torch function; on CUDA its launches are captured as a graph."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch

from ..games.game import AlignmentGame, Evaluation
from ..numerics.arrays import Array


def compiled_evaluate(game: AlignmentGame) -> Callable[[Array], Evaluation]:
    """`game.evaluate` through torch.compile: fused passes on the CPU, a CUDA graph on CUDA.

    The first call of a shape compiles (tens of seconds on a CPU, a C++ compiler needed there); the batch
    must keep its shape. Differs from the plain evaluation by rounding only.
    """
    captured = game.log_reference.device.type == "cuda"
    game.evaluate(game.log_reference)  # fills what the game caches, which the compiler cannot trace

    def plain(log_policy: Array) -> tuple[Array, ...]:
        return tuple(game.evaluate(log_policy))

    fast = torch.compile(plain, mode="reduce-overhead" if captured else "default", dynamic=False)

    def evaluate(log_policy: Array) -> Evaluation:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = fast(log_policy)
        return Evaluation(*(t.clone() for t in found)) if captured else Evaluation(*found)

    return evaluate
