"""Traces -> answers: push a policy forward, pull a reward back, condition on the answer.

Two structures behind one interface: an index map (each trace has one answer) and a channel (trace y
shows answer z with probability A(z|y)). A padded map is an index map stored the other way round, as
the list of traces of each answer. Algorithms never look inside.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import array_api_compat
import numpy as np

from ..errors import InvalidDistribution, InvalidGame
from ..numerics.arrays import (
    LOG_ZERO,
    Array,
    as_floating,
    gather,
    is_array,
    like,
    log,
    log_normalise,
    namespace,
    segment_sum,
    to_numpy,
)


@dataclass(frozen=True, eq=False)
class AnswerMap:
    """The map a from `traces` to `n` answers (docs/theory/game.md#t3-lifting).

    Build it with `AnswerMap.index`, `AnswerMap.padded`, `AnswerMap.channel` or
    `AnswerMap.identity`. Policies have shape (*batch, m, traces), marginals (*batch, m, n).
    """

    kind: str
    traces: int
    n: int
    table: Array | None = field(default=None, repr=False)

    @classmethod
    def identity(cls, n: int) -> AnswerMap:
        """Answers are their own traces."""
        return cls("identity", n, n)

    @classmethod
    def index(cls, answer_of: Any, n: int | None = None) -> AnswerMap:
        """Answer of each trace: integers (traces,), (m, traces) or (*batch, m, traces)."""
        table: Any = answer_of if is_array(answer_of) else np.asarray(answer_of)
        xp = namespace(table)
        if table.ndim == 0 or not xp.isdtype(table.dtype, "integral"):
            raise InvalidGame("answers must be an array of integers, one per trace.")
        if table.shape[-1] == 0:
            raise InvalidGame("answers is empty; give at least one trace.")
        low, high = int(xp.min(table)), int(xp.max(table))
        n = high + 1 if n is None else n
        if low < 0 or high >= n:
            raise InvalidGame(f"answers range over {low}..{high}, outside 0..{n - 1}.")
        return cls("index", table.shape[-1], n, table)

    @classmethod
    def padded(cls, traces_of: Any) -> AnswerMap:
        """Traces of each answer: integers (n, width), -1 as padding; every trace exactly once."""
        table = to_numpy(traces_of)
        if table.ndim != 2 or table.dtype.kind not in "iu":
            raise InvalidGame("a padded answer map is an integer table (answers, width).")
        answer, column = np.nonzero(table >= 0)
        trace = table[answer, column]
        if not np.array_equal(np.sort(trace), np.arange(trace.size)):
            raise InvalidGame("a padded answer map must hold each trace 0..T-1 exactly once.")
        return cls("padded", trace.size, table.shape[0], table)

    @classmethod
    def channel(cls, probabilities: Any) -> AnswerMap:
        """Row-stochastic A(z|y): (traces, n)."""
        table = as_floating(probabilities, "answers")
        xp = namespace(table)
        if table.ndim != 2:
            raise InvalidGame(f"a channel has shape (traces, n), not {tuple(table.shape)}.")
        rows = xp.abs(xp.sum(table, axis=-1) - 1) < 1e-6
        if not bool(xp.all(rows)) or not bool(xp.all(table >= 0)):
            raise InvalidDistribution("each row of a channel must be a probability distribution.")
        return cls("channel", table.shape[0], table.shape[1], table)

    @classmethod
    def of(cls, answers: Any, traces: int) -> AnswerMap:
        """What `AlignmentGame(answers=...)` accepts: None, an AnswerMap, integers or a channel."""
        if answers is None:
            return cls.identity(traces)
        if isinstance(answers, AnswerMap):
            found = answers
        else:
            try:
                table: Any = answers if is_array(answers) else np.asarray(answers)
            except ValueError:  # rows of several lengths
                table = as_floating(answers, "answers")
            integral = namespace(table).isdtype(table.dtype, "integral")
            found = cls.index(table) if integral else cls.channel(table)
        if found.traces != traces:
            raise InvalidGame(
                f"the answer map has {found.traces} traces, the reference has {traces}; "
                "give one answer (or channel row) per trace."
            )
        return found

    @property
    def deterministic(self) -> bool:
        """Whether each trace has one answer, so that lifting (T3) holds."""
        return self.kind != "channel"

    def bind(self, reference: Array) -> AnswerMap:
        """The same map on the namespace and device of `reference`; checks per-context shapes."""
        if self.table is None:
            return self
        xp, device = namespace(reference), array_api_compat.device(reference)
        if self.kind == "channel":
            return replace(self, table=like(self.table, reference))
        lead = self.table.shape[:-1] if self.kind == "index" else ()
        if any(a not in (1, b) for a, b in zip(lead[::-1], reference.shape[-2::-1], strict=False)):
            raise InvalidGame(
                f"answers have shape {tuple(self.table.shape)}, which does not fit the reference's "
                f"{tuple(reference.shape)}."
            )
        table = self.table if xp is namespace(self.table) else to_numpy(self.table)
        return replace(self, table=xp.asarray(table, dtype=xp.int64, device=device))

    def rows(self, index: Array) -> AnswerMap:
        """The map of the games `index` of a flat batch."""
        if self.kind == "index" and self.table is not None and self.table.ndim > 2:
            return replace(self, table=namespace(self.table).take(self.table, index, axis=0))
        return self

    def flat(self, lead: tuple[int, ...]) -> AnswerMap:
        """The map with its leading batch dimensions, if it has any, folded into one."""
        if self.kind != "index" or self.table is None or self.table.ndim <= 2:
            return self
        xp, m = namespace(self.table), self.table.shape[-2]
        full = xp.broadcast_to(self.table, (*lead, m, self.traces))
        return replace(self, table=xp.reshape(full, (-1, m, self.traces)))

    def push_forward(self, mass: Array) -> Array:
        """nu(z) = sum of pi(y) over traces with answer z: (..., traces) -> (..., n)."""
        if self.kind == "identity" or self.table is None:
            return mass
        if self.kind == "channel":
            return mass @ self.table
        xp = namespace(mass)
        if self.kind == "index":
            return segment_sum(mass, self.table, self.n)
        flat = xp.reshape(xp.where(self.table >= 0, self.table, 0), (-1,))
        picked = xp.reshape(gather(mass, flat), (*mass.shape[:-1], *self.table.shape))
        return xp.sum(xp.where(self.table >= 0, picked, 0.0), axis=-1)

    def log_push_forward(self, log_mass: Array) -> Array:
        """The push-forward in log space; mass below 1e-308 of a row's largest counts as zero."""
        if self.kind == "identity":
            return log_mass
        xp = namespace(log_mass)
        top = xp.max(log_mass, axis=-1, keepdims=True)
        pushed = log(self.push_forward(xp.exp(log_mass - top)))
        return xp.where(pushed > LOG_ZERO / 2, pushed + top, LOG_ZERO)

    def pull_back(self, table: Array) -> Array:
        """Per-trace values u(a(y)), for a channel sum_z A(z|y) u(z): (..., n) -> (..., traces)."""
        if self.kind == "identity" or self.table is None:
            return table
        if self.kind == "channel":
            return table @ namespace(table).matrix_transpose(self.table)
        return gather(table, self._answer_of())

    def condition(self, log_policy: Array) -> Array:
        """log pi(y | a(y)): (..., traces) -> (..., traces). Deterministic maps only."""
        self.require_deterministic("conditioning on the answer")
        xp = namespace(log_policy)
        out = log_policy - self.pull_back(self.log_push_forward(log_policy))
        return xp.where(log_policy > LOG_ZERO / 2, out, LOG_ZERO)

    def lift(self, log_reference: Array, log_ratio: Array) -> Array:
        """T3: pi(y) = pi0(y) * ratio(a(y)), normalised, as log-probabilities."""
        self.require_deterministic("lifting answers to traces")
        xp = namespace(log_reference)
        lifted = log_normalise(log_reference + self.pull_back(log_ratio))
        return xp.where(log_reference > LOG_ZERO / 2, lifted, LOG_ZERO)

    def require_deterministic(self, what: str) -> None:
        """Raise `InvalidGame` for a channel."""
        if not self.deterministic:
            raise InvalidGame(
                f"{what} needs a deterministic answer map (T3 fails for a channel); "
                "work on the trace policy instead."
            )

    def _answer_of(self) -> Array:
        if self.kind == "index":
            return self.table
        table: Any = self.table
        xp = namespace(table)
        order = xp.argsort(xp.reshape(table, (-1,)))
        order = order[table.shape[0] * table.shape[1] - self.traces :]
        return order // table.shape[1]
