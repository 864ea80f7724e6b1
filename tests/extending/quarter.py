"""A quarter of a sample added to the answer and to the rest."""

from __future__ import annotations

from .method import Method, left_out

QUARTER = Method(
    "quarter",
    lambda others, of: (others + 0.25) / (of + 0.5),
    whole=lambda counts, own, seen: left_out(counts, own) + 0.25 * seen,
)
