"""The theorems and identities as checks on batches of random games."""

from __future__ import annotations

from . import theorems  # isort: split

from . import identities
from .base import CHECKS, Check, Theorem, VerificationReport

__all__ = ["CHECKS", "Check", "Theorem", "VerificationReport", "identities", "theorems"]
