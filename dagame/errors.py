"""Exceptions, each named after what is wrong; a message says what happened, where, and the likely fix."""

from __future__ import annotations


class DagameError(ValueError):
    """Base of every error that dagame raises on purpose; the command line prints it and exits 2."""


class InvalidDistribution(DagameError):
    """A probability vector is negative, not finite, not normalised, or has mass where it may not."""


class InvalidGame(DagameError):
    """Shapes, weights or coefficients of a game do not fit together."""


class InvalidObjective(DagameError):
    """An objective is unknown, incomplete, or given parameters outside its domain."""


class NotConcave(DagameError):
    """The objective is not concave and its curvature does not allow the theorems to be applied."""


class FalseCertificate(DagameError):
    """A bound of the optimum lies below a value that a known policy attains: one of its conditions fails."""


class NotSeparable(DagameError):
    """A per-answer reward table exists only for objectives that treat every answer alike, alone."""


class NotConverged(DagameError):
    """A solver stopped before its tolerance; the status says what to change."""


class Infeasible(DagameError):
    """No policy attains a finite value: supports or constraints clash."""


class ExtractionError(DagameError):
    """An answer pattern cannot be compiled or used."""


class SamplesError(DagameError):
    """A samples file cannot be read: a missing column, a malformed line, no answers at all."""


class OutputError(DagameError):
    """A result cannot be written where it was asked to go."""


class SettingsError(DagameError):
    """A trainer's settings would play another game, or none."""


class ScheduleError(DagameError):
    """Prompts cannot be arranged into generation batches of whole classes."""


class ConfigError(DagameError):
    """A fine-tuning file cannot be read, or says something that cannot be run."""


class GenerationError(DagameError):
    """A language model, its tokenizer or its prompts cannot be used for sampling."""


class SelfCheckFailed(DagameError):
    """Sampler, scorer and tokenizer disagree, so that nothing measured with them would be right."""
