"""Games in tinker-cookbook (experimental): one group of environments is one class.

tinker-cookbook pays a group of trajectories at once and subtracts the group's mean. A group may hold
different prompts, so a group here is all contexts of a class, K times each. Written for
tinker-cookbook 0.6.1. Sampling and training run in a paid service; groups, rewards, advantages and
training data were made by the cookbook's own code with a model in this process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ....errors import ScheduleError, SettingsError
from ...schedules import SIZE, check_schedule
from ..whole_classes import EngineGame, EngineRow, class_columns, record

try:
    import tinker
    from tinker_cookbook.renderers import get_text_content
    from tinker_cookbook.rl.metrics import score_sequences
    from tinker_cookbook.rl.types import Env, EnvGroupBuilder, RLDataset, StepResult
except ImportError as error:
    raise SettingsError(
        f"games in tinker-cookbook need it ({error}): pip install 'tinker-cookbook>=0.6.1'."
    ) from error

FIX = "let the group be all contexts of one class, and set rollout_error_tolerance=False"


class ClassEnv(Env):
    """One completion of one context: asks its prompt, ends after one answer, pays nothing by itself."""

    def __init__(self, row: Mapping[str, Any], renderer: Any) -> None:
        """See the class; the row is one of `dagame.lm.schedule`."""
        self.row, self.renderer = row, renderer

    async def initial_observation(self) -> tuple[Any, Any]:
        """The rendered prompt, and where an answer ends."""
        prompt = self.row["prompt"]
        chat = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        return self.renderer.build_generation_prompt(chat), self.renderer.get_stop_sequences()

    async def step(self, action: Any, *, extra: Any = None) -> StepResult:
        """The end of the episode."""
        stop = self.renderer.get_stop_sequences()
        return StepResult(
            reward=0.0,
            episode_done=True,
            next_observation=tinker.ModelInput.empty(),  # pyright: ignore[reportAttributeAccessIssue]
            next_stop_condition=stop,
        )


@dataclass(frozen=True)
class ClassGroup(EnvGroupBuilder):
    """All contexts of one class, K completions each, paid by the game at once.

    rows: the contexts' rows of `dagame.lm.schedule`; game: what pays them; renderer: of tinker-cookbook;
    reference: a sampling client of pi0, for kl="reward".
    """

    rows: Sequence[Mapping[str, Any]]
    game: EngineGame
    renderer: Any
    reference: Any = None

    async def make_envs(self) -> Sequence[Env]:
        """K environments for each context, side by side."""
        k = self.game.spec.group_size
        return [ClassEnv(row, self.renderer) for row in self.rows for _ in range(k)]

    async def compute_group_rewards(
        self, trajectory_group: list[Any], env_group: Sequence[Any]
    ) -> list[tuple[float, dict[str, float | int]]]:
        """The game's advantages, which sum to 0, so that the group's mean takes nothing off.

        Raises:
            ScheduleError: the group is not one whole class.
        """
        ratios = await self._log_ratios(trajectory_group)
        rows = [
            self._row(trajectory, env.row, ratio)
            for trajectory, env, ratio in zip(trajectory_group, env_group, ratios, strict=True)
        ]
        payment = self.game.pay(rows, fix=FIX)
        metrics = record(payment)
        return [(float(paid), dict(metrics)) for paid in payment.advantages]

    def logging_tags(self) -> list[str]:
        """One tag for all classes."""
        return ["game"]

    def _row(self, trajectory: Any, row: Mapping[str, Any], ratio: float | None) -> EngineRow:
        drawn = trajectory.transitions[-1].ac
        message, _ = self.renderer.parse_response(drawn.tokens)
        return EngineRow(
            get_text_content(message),
            *class_columns(row, "a row of the group"),
            truncated=drawn.stop_reason == "length",
            answer=row.get("answer"),
            aliases=row.get("aliases"),
            log_ratio=ratio,
        )

    async def _log_ratios(self, trajectories: Sequence[Any]) -> Sequence[float | None]:
        """log(pi/pi0) of each completion; None where the loss has the KL."""
        if self.game.spec.kl == "loss":
            return [None] * len(trajectories)
        if self.reference is None:
            raise SettingsError(
                "kl='reward' pays log(pi/pi0): give ClassGroup a reference, a sampling client of the "
                "model that training began with; or use kl='loss' with kl_penalty_coef."
            )
        steps = [trajectory.transitions[-1] for trajectory in trajectories]
        whole = [_sequence(step) for step in steps]
        scores, _ = await score_sequences(self.reference, whole)
        return [
            sum(step.ac.logprobs) - sum(score[step.ob.length :])  # type: ignore[arg-type]
            for step, score in zip(steps, scores, strict=True)
        ]


def _sequence(step: Any) -> Any:
    """Prompt and completion as one input."""
    whole = step.ob
    for token in step.ac.tokens:
        whole = whole.append_int(token)
    return whole


class ClassDataset(RLDataset):
    """Batches of `classes_per_step` groups from the rows of `dagame.lm.schedule`."""

    def __init__(
        self,
        scheduled: Any,
        game: EngineGame,
        renderer: Any,
        *,
        classes_per_step: int,
        reference: Any = None,
    ) -> None:
        """See the class and `ClassGroup`; `ScheduleError` unless the rows are whole steps."""
        check_schedule(scheduled, classes_per_step)
        self._rows, self._step = scheduled, classes_per_step
        self._size = int(scheduled[0][SIZE])
        self._shared = (game, renderer, reference)

    def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
        """The groups of one step."""
        if not 0 <= index < len(self):
            raise ScheduleError(f"there is no batch {index}; the schedule has {len(self)} steps.")
        first = index * self._step * self._size
        starts = range(first, first + self._step * self._size, self._size)
        return [
            ClassGroup(list(self._rows.select(_span(s, self._size))), *self._shared) for s in starts
        ]

    def __len__(self) -> int:
        """Steps of the whole schedule."""
        return len(self._rows) // (self._step * self._size)


def _span(start: int, size: int) -> range:
    return range(start, start + size)
