"""Sampled completions -> classes x contexts x answers."""

from __future__ import annotations

from .partition import Bucket, Partition
from .samples import Samples

__all__ = ["Bucket", "Partition", "Samples"]
