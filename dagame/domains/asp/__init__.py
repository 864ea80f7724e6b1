"""Answer-set programs as answers, told apart by what they do (docs/theory/answer-sets.md)."""

from __future__ import annotations

from .keys import OUTCOMES, AnswerSet, Reading, SemanticKey, key, read

__all__ = ["OUTCOMES", "AnswerSet", "Reading", "SemanticKey", "key", "read"]
