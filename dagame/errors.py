"""Exceptions, each named after what is wrong; a message says what happened, where, and the likely fix."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

from .text import on_one_line


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


class CalibrationError(DagameError):
    """Conformal scores, their level, or the questions to calibrate on cannot be used."""


class ProgramError(DagameError):
    """Facts, shown predicates or limits cannot be used, or an answer-set program has nothing to show."""


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


def nearest(name: object, known: Iterable[object], listed: str = "") -> str:
    """What to say of an unknown name: "did you mean 'x'?", or else "known are a, b, c.".

    With `listed`, such as "columns", the known names are listed in any case. Of very many or very long
    ones the first.
    """
    names = [text if text.isprintable() else ascii(text) for text in map(str, islice(known, 1000))]
    near = get_close_matches(str(name)[:100], [text for text in names if len(text) <= 100], 1, 0.5)
    hint = f"did you mean {near[0]!r}?" if near else ""
    if near and not listed:
        return hint
    shown = ", ".join(text if len(text) <= 60 else f"{text[:60]}..." for text in names[:20])
    more = f" and {len(names) - 20:,} more" if len(names) > 20 else ""
    the = f"the {listed}" if listed else "known"
    return f"{hint} {the.capitalize() if hint else the} are {shown}{more}.".lstrip()


def one_line(error: BaseException, longest: int = 300) -> str:
    """What an error of another package says, to stand inside a sentence."""
    return (on_one_line(str(error), longest) or type(error).__name__).rstrip(".")
