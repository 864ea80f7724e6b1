"""The theorems and identities as checks on batches of random games."""

from __future__ import annotations

from . import theorems  # isort: split

from . import coverage, identities, transport  # isort: split

from . import answer_sets
from .base import CHECKS, VIOLATION, Check, Registered, Theorem, VerificationReport

__all__ = [
    "CHECKS",
    "VIOLATION",
    "Check",
    "Registered",
    "Theorem",
    "VerificationReport",
    "answer_sets",
    "coverage",
    "identities",
    "theorems",
    "transport",
]
