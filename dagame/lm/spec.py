"""The settings of one game, written as keywords, in a YAML file, or in verl's configuration."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from numbers import Integral
from typing import Any

from ..errors import InvalidObjective, SettingsError
from ..objectives import HardConstraint, Objective
from ..objectives.names import LABELLED, by_name, check_name
from ..samples.equilibria import ObjectiveOf
from ..samples.keys.reader import AnswerReader
from ..samples.metrics import labelled_table
from .answers import check_truncated
from .rewards import check_payment

KL_MODES = ("loss", "reward")


def named_objective(name: str, strength: float = 1.0) -> ObjectiveOf:
    """The objective of that name; of labelled ones the function of a bucket of classes that makes it."""
    if check_name(name) in LABELLED:
        return lambda bucket: by_name(name, strength, labelled_table(bucket))
    return by_name(name, strength)


@dataclass(frozen=True)
class ObjectiveSection:
    """`name` as on the command line, `strength` lambda."""

    name: str = "coherence"
    strength: float = 1.0

    def make(self) -> ObjectiveOf:
        """See `named_objective`."""
        return named_objective(self.name, self.strength)


@dataclass(frozen=True)
class AnswerSection:
    """How answers are read from completions: see `AnswerReader`, `group_rewards` and `GroupReward`."""

    extract: str = "boxed"
    canonical: str = "auto"
    no_answer: str = "lowest"
    truncated: str = "no-answer"


@dataclass(frozen=True, eq=False)
class GameSpec:
    """What is played and how it is paid; checked when it is made.

    Args:
        objective: an `Objective`, or a function of the batch for labelled ones (`group_rewards`).
        beta: the game's KL coefficient.
        kl: "loss" (the trainer's own KL) or "reward" (exact: -beta log(pi/pi0) of the whole completion
            is paid, and the loss has none).
        group_size: K, completions per prompt; 3 or more where the group's mean is the baseline.
        estimator: of rewards from counts, see `group_rewards`.
        baseline: what the update subtracts, see `dagame.estimators.count_rewards`.
        extract, canonical: of answers, see `AnswerReader`.
        no_answer: "lowest" | "keep" | "drop", see `group_rewards`.
        truncated: what a completion without an end token is: "no-answer", or "read" like any other.
        vocabulary: answer keys that are the columns of the objective's tables and sets; one more
            column, the last, is no answer and takes every other answer.
        multiplier_rate: of dual ascent on a `HardConstraint`'s multipliers: rate / sqrt(rounds).

    Raises:
        SettingsError, InvalidObjective, InvalidGame, ExtractionError: a setting out of its range, or
            an objective that no batch could be paid by.
    """

    objective: ObjectiveOf
    beta: float
    kl: str = "loss"
    group_size: int = 8
    estimator: str = "auto"
    baseline: str = "group_mean"
    extract: str | Callable[[str], str | None] = "boxed"
    canonical: str = "auto"
    no_answer: str = "lowest"
    truncated: str = "no-answer"
    vocabulary: Sequence[str] | None = None
    multiplier_rate: float = 0.1

    @classmethod
    def of_sections(
        cls, objective: ObjectiveSection, answers: AnswerSection, **others: Any
    ) -> GameSpec:
        """From the sections of a file, and the settings that have no section."""
        return cls(objective.make(), **asdict(answers), **others)

    def __post_init__(self) -> None:
        """Every rule, in one place."""
        check_kl(self.beta, self.kl)
        check_payment(self.objective, self.estimator, self.no_answer, self.columns)
        if self.hard is not None and self.vocabulary is None:
            raise InvalidObjective(
                f"{self.hard!r} has multipliers, which are learned from batch to batch for the same answers; "
                "name them by vocabulary=."
            )
        check_truncated(self.truncated)
        check_group_size(self.group_size, self.baseline)
        rate = self.multiplier_rate
        if not isinstance(rate, float | int) or not 0 < rate < math.inf:
            raise SettingsError(f"multiplier_rate is {rate!r}; give a finite number > 0.")
        self.reader  # noqa: B018  (patterns and names are read when it is made)

    @cached_property
    def reader(self) -> AnswerReader:
        """Completions -> answer keys."""
        return AnswerReader(self.extract, self.canonical)

    @cached_property
    def columns(self) -> list[str | None] | None:
        """The vocabulary with its last column, no answer."""
        return None if self.vocabulary is None else [*self.vocabulary, None]

    @cached_property
    def hard(self) -> HardConstraint | None:
        """The hard set among the objective's terms, whose multipliers the target learns."""
        terms = self.objective.terms() if isinstance(self.objective, Objective) else ()
        return next((term for _, term in terms if isinstance(term, HardConstraint)), None)

    def keywords(self) -> dict[str, Any]:
        """What `GroupReward` takes beside the objective."""
        own = [f.name for f in fields(self) if f.name not in ("objective", "baseline")]
        return {name: getattr(self, name) for name in own}


def check_kl(beta: float, kl: str) -> None:
    """Raise `SettingsError` unless beta > 0 and kl is one of `KL_MODES`."""
    if kl not in KL_MODES:
        raise SettingsError(f'kl is {kl!r}; choose "loss" or "reward".')
    if isinstance(beta, bool) or not isinstance(beta, float | int) or not 0 < beta < math.inf:
        raise SettingsError(
            f"beta is {beta!r}; give a finite number > 0: without a KL to the reference there is no "
            "game."
        )


def check_group_size(group_size: Any, baseline: str | None) -> None:
    """Raise `SettingsError` unless so many samples of a prompt leave a signal under the baseline."""
    why = "; of two samples the group's mean leaves no signal" if baseline == "group_mean" else ""
    check_count("group_size", group_size, 3 if why else 2, why)


def check_count(name: str, value: Any, least: int, why: str = "") -> None:
    """Raise `SettingsError` unless the value is an integer of at least `least`."""
    if not isinstance(value, Integral) or value < least:
        raise SettingsError(f"{name} is {value!r}; give an integer >= {least}{why}.")
