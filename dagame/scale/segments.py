"""Traces -> answers on a device with a fixed order of additions."""

from __future__ import annotations

import torch

from ..errors import InvalidGame


class SegmentSum:
    """Sums of values (..., t) by answer (t,) -> (..., n), the same bits every time.

    `scatter_add_` on CUDA adds in the order in which threads arrive. Here the traces are sorted by
    answer once (stable), and every call reduces consecutive runs, in float64 if asked to. Costs one
    gather and one pass; worth it when an answer map is used many times.
    """

    def __init__(self, answers: torch.Tensor, n: int) -> None:
        """Sort `answers` (t,), integers in 0..n-1."""
        if answers.ndim != 1:
            raise InvalidGame(f"answers have shape {tuple(answers.shape)}; give one per trace.")
        self.order = torch.argsort(answers, stable=True)
        self.lengths = torch.bincount(answers, minlength=n)
        if self.lengths.numel() != n:
            raise InvalidGame(f"answers range to {int(answers.max())}, outside 0..{n - 1}.")

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """The sums."""
        flat = values.reshape(-1, values.shape[-1])[:, self.order].T.contiguous()
        summed = torch.segment_reduce(flat, "sum", lengths=self.lengths, axis=0, unsafe=True)
        return summed.T.reshape(*values.shape[:-1], -1)
