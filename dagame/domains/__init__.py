"""Kinds of answers that need more than a string to be told apart: answer-set programs (`domains.asp`)."""

from __future__ import annotations

from . import asp

__all__ = ["asp"]
