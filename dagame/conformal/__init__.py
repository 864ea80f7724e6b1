"""How far an answer can be trusted: split conformal sets, p-values and weights (docs/theory/conformal.md)."""

from __future__ import annotations

from .preferences import PreferencePairs, preference_pairs
from .reliability import (
    RELIABILITIES,
    pair_weights,
    published_reliability,
    reliability,
    row_weights,
)
from .scores import SCORES, pooled, scores, true_scores
from .sets import Flag, Threshold, calibrate, flags, least_questions, p_value, prediction_sets

__all__ = [
    "RELIABILITIES",
    "SCORES",
    "Flag",
    "PreferencePairs",
    "Threshold",
    "calibrate",
    "flags",
    "least_questions",
    "p_value",
    "pair_weights",
    "pooled",
    "prediction_sets",
    "preference_pairs",
    "published_reliability",
    "reliability",
    "row_weights",
    "scores",
    "true_scores",
]
