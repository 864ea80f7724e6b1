"""Completions of whole classes -> what an engine is told to pay them: the one path of all adapters.

TRL and verl have adapters of their own; every other engine translates its samples into `EngineRow`s and
carries the advantages away (docs/engines.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np

from ...errors import InvalidGame, ScheduleError, SettingsError
from ...files.fields import section
from ...games.play import pay
from ..answers import cut, judged
from ..game import Completions, LMGame
from ..schedules import CLASS, MEMBER, SIZE
from ..spec import AnswerSection, GameSpec, ObjectiveSection

UNCLASSED = 0, 0, 1
"""The place of a completion that is measured only."""


@dataclass(frozen=True)
class EngineRow:
    """One completion, as an engine shows it.

    completion: text or chat. class_id, member_id, class_size: as `dagame.lm.schedule` numbers them.
    truncated: it has no end token. answer, aliases: the labels of its prompt, if any. log_ratio:
    log(pi/pi0) of the whole completion in nats, for kl="reward". lost: the engine failed to draw it,
    so it plays no part: advantage 0.
    """

    completion: Any
    class_id: int
    member_id: int
    class_size: int
    truncated: bool = False
    answer: Any = None
    aliases: Any = None
    log_ratio: float | None = None
    lost: bool = False


@dataclass(frozen=True, eq=False)
class Payment:
    """Advantages and rewards (N,), 0 where unscorable; keys and correctness (N,); metrics by name.

    The advantages of the completions of each prompt sum to 0, so that an engine may subtract any
    mean of them (of the prompt, the class or the batch) and changes nothing.
    """

    advantages: np.ndarray
    rewards: np.ndarray
    keys: list[str | None]
    correct: list[float]
    metrics: dict[str, float]


class EngineGame:
    """`GameSpec` -> `Payment` of the completions that an engine shows at once.

    The expected update along `Payment.advantages` is the gradient of J per context, up to the bias
    of the estimator (docs/theory/policy-gradient.md#the-gradient).

    Args:
        spec: what is played; its baseline is "group_mean".
        gap_every, check: see `LMGame`.

    Raises:
        SettingsError: another baseline, whose advantages an engine's own centring would change; a hard
            set, whose multipliers no engine keeps in its checkpoints.
    """

    def __init__(self, spec: GameSpec, *, gap_every: int | None = None, check: bool = True) -> None:
        """See the class."""
        if spec.baseline != "group_mean":
            raise SettingsError(
                f"baseline is {spec.baseline!r}: set 'group_mean'; engines subtract a mean of what they "
                "are paid, which only advantages that sum to 0 over each prompt survive."
            )
        if spec.hard is not None:
            raise SettingsError(
                f"{spec.hard!r} has multipliers, which an engine would lose with each restart; use the TRL "
                "trainer, which keeps them in its checkpoints, or a SoftConstraint."
            )
        self.spec, self.game = spec, LMGame(spec, gap_every=gap_every, check=check)

    def pay(
        self, rows: Sequence[EngineRow], *, fix: str = "show the reward whole classes"
    ) -> Payment:
        """The payment of N completions, whole classes in any order.

        Args:
            rows: of the completions.
            fix: what to change in the engine where a class is not whole, for the message.

        Raises:
            ScheduleError: a class lacks completions, or has too many, in this call.
            InvalidGame: kl="reward" without log-ratios.
        """
        spec, n = self.spec, len(rows)
        require_whole_classes(rows, spec.group_size, fix)
        own = [i for i, row in enumerate(rows) if not row.lost]
        payment = _nothing(n)
        payment.metrics["lost"] = 1 - len(own) / n if n else 0.0
        if not own:
            return payment
        drawn = [rows[i] for i in own]
        keys, correct = self._judged(drawn)
        ids = ([row.class_id for row in drawn], [row.member_id for row in drawn])
        ratios = _log_ratios(drawn) if spec.kl == "reward" else None
        seen = Completions(*ids, keys, np.array(correct, dtype=float), ratios)
        paid = pay(self.game, seen)
        payment.advantages[own] = paid.advantages
        payment.rewards[own] = np.nan_to_num(paid.rewards, nan=0.0)
        for i, key, right in zip(own, keys, correct, strict=True):
            payment.keys[i], payment.correct[i] = key, right
        payment.metrics.update(paid.metrics)
        return payment

    def measure(self, rows: Sequence[EngineRow]) -> Payment:
        """Any completions read and judged, for validation: paid their correctness, 0 where unknown."""
        payment = _nothing(len(rows))
        payment.keys[:], payment.correct[:] = self._judged(rows)
        right = np.array(payment.correct, dtype=float)
        payment.rewards[:] = payment.advantages[:] = np.nan_to_num(right, nan=0.0)
        if np.isfinite(right).any():
            payment.metrics["accuracy"] = float(np.nanmean(right))
        return payment

    def _judged(self, rows: Sequence[EngineRow]) -> tuple[list[str | None], list[float]]:
        """Key and correctness of each completion."""
        return judged(
            self.spec.reader,
            [row.completion for row in rows],
            cut([row.truncated for row in rows], self.spec.truncated),
            [row.answer for row in rows],
            [row.aliases for row in rows],
        )


@dataclass(frozen=True)
class EngineSection:
    """The game in an engine's own configuration file; beta and K stand elsewhere in it."""

    objective: ObjectiveSection = field(default_factory=ObjectiveSection)
    answers: AnswerSection = field(default_factory=AnswerSection)
    estimator: str = "auto"

    @classmethod
    def read(cls, raw: Any, engine: str) -> EngineSection:
        """From plain dictionaries, all keys known and of their type (`ConfigError`)."""
        return section(cls, raw, f"{engine}'s configuration", "dagame.")

    def spec(self, kl: str, beta: float, group_size: int) -> GameSpec:
        """The game, with what stands elsewhere in the configuration."""
        others = {"beta": beta, "kl": kl, "group_size": group_size}
        return GameSpec.of_sections(**vars(self), **others)


def class_columns(columns: Any, where: str) -> tuple[int, int, int]:
    """class_id, member_id and class_size of what an engine keeps of a prompt.

    Raises:
        ScheduleError: a column is missing or no integer.
    """
    found = columns if isinstance(columns, Mapping) else {}
    for name in (CLASS, MEMBER, SIZE):
        value = found.get(name)
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise ScheduleError(
                f"{where} has {name} {value!r} instead of an integer; number the prompts with "
                "dagame.lm.schedule and keep its columns."
            )
    return int(found[CLASS]), int(found[MEMBER]), int(found[SIZE])


def require_whole_classes(rows: Sequence[EngineRow], group_size: int, fix: str) -> None:
    """Raise `ScheduleError` unless every class has each of its contexts group_size times, lost ones too."""
    counts = Counter((row.class_id, row.member_id) for row in rows)
    sizes: dict[int, set[int]] = {}
    members = Counter(class_id for class_id, _ in counts)
    for row in rows:
        sizes.setdefault(row.class_id, set()).add(row.class_size)
    for class_id, known in sizes.items():
        if known != {members[class_id]}:
            raise ScheduleError(
                f"class {class_id} has {members[class_id]} of its {max(known)} contexts among the "
                f"completions that were shown at once, so it was split or torn; {fix}."
            )
    for (class_id, member_id), count in counts.items():
        if count != group_size:
            raise ScheduleError(
                f"context {member_id} of class {class_id} has {count} completions in one call instead "
                f"of {group_size}, the group_size of the game; {fix}."
            )


def record(payment: Payment) -> dict[str, float]:
    """The metrics of a payment under the names that every adapter logs: game/<name>."""
    return {f"game/{name}": value for name, value in payment.metrics.items()}


def prompt_rows(scheduled: Any, answer: str = "answer", alias: str = "aliases") -> list[dict]:
    """The rows of `dagame.lm.schedule` as plain dictionaries of JSON: prompt, label, metadata.

    metadata has the class columns and the aliases; `answer` and `alias` name the columns of the labels.
    """
    return [
        {
            "prompt": row["prompt"],
            "label": row.get(answer),
            "metadata": {name: row[name] for name in (CLASS, MEMBER, SIZE)}
            | {"aliases": row.get(alias)},
        }
        for row in scheduled
    ]


def _nothing(n: int) -> Payment:
    """Nothing paid to n completions, none of them read."""
    return Payment(np.zeros(n), np.zeros(n), [None] * n, [float("nan")] * n, {})


def _log_ratios(rows: Sequence[EngineRow]) -> np.ndarray:
    if any(row.log_ratio is None for row in rows):
        raise InvalidGame(
            "kl='reward' pays log(pi/pi0), but the engine shows no log-probabilities of the reference; "
            "use kl='loss', or give the adapter a reference."
        )
    return np.array([row.log_ratio for row in rows], dtype=float)
