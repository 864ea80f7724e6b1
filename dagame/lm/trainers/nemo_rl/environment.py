"""Games in NeMo-RL (experimental): an environment that pays whole classes.

In synchronous rollouts NeMo-RL hands an environment all samples of its task at once, with what the
data keeps of each prompt (`extra_env_info`); asynchronous rollouts hand it one sample at a time, and
are refused. Written for NeMo-RL at commit 7ea279a. Its environments do not see which completions were
cut, so that these are read like any other.

    from nemo_rl.environments.utils import register_env
    register_env("dagame", "dagame.lm.trainers.nemo_rl.environment.GameActor")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....errors import SettingsError
from ..whole_classes import UNCLASSED, EngineGame, EngineRow, class_columns, record
from .settings import game_spec

try:
    from nemo_rl.environments.interfaces import EnvironmentInterface, EnvironmentReturn
except ImportError as error:
    raise SettingsError(
        f"games in NeMo-RL need it ({error}): clone github.com/NVIDIA-NeMo/RL and run in its environment; "
        "the package of that name on PyPI is empty."
    ) from error

import ray
import torch

FIX = (
    "let grpo.num_prompts_per_step be classes_per_step * contexts of dagame.lm.schedule, with "
    "data.shuffle false and synchronous rollouts"
)


class GameEnvironment(EnvironmentInterface):
    """Pays the completions of whole classes; NeMo-RL runs it as a ray actor, `GameActor`.

    Args:
        cfg: `objective` {name, strength}, `answers` {extract, canonical, no_answer}, `estimator` of the
            game; `beta`, that of `loss_fn.reference_policy_kl_penalty`; `group_size`, K.
            `measure`: true in the environment of validation, which is paid correctness and may be
            shown any samples.

    Raises:
        SettingsError, ConfigError, InvalidObjective: a setting that is unknown or out of its range.
    """

    def __init__(self, cfg: Mapping[str, Any]) -> None:
        """See the class."""
        self.measure = bool(cfg.get("measure", False))
        self.game = EngineGame(game_spec(cfg))
        self.metrics: dict[str, float] = {}

    def step(
        self, message_log_batch: Sequence[Sequence[Mapping[str, Any]]], metadata: Sequence[Any]
    ) -> EnvironmentReturn[Any]:
        """Rewards (N,) of the batch: advantages that sum to 0 over each prompt; answers are keys.

        Raises:
            ScheduleError: the batch does not hold whole classes.
        """
        pairs = zip(message_log_batch, metadata, strict=True)
        rows = [_row(log, info or {}, self.measure) for log, info in pairs]
        payment = self.game.measure(rows) if self.measure else self.game.pay(rows, fix=FIX)
        self.metrics = record(payment)
        n = len(rows)
        return EnvironmentReturn(
            observations=[{"role": "environment", "content": ""} for _ in rows],
            metadata=list(metadata),
            next_stop_strings=[None] * n,
            rewards=torch.tensor(payment.advantages, dtype=torch.float32),
            terminateds=torch.ones(n),
            answers=list(payment.keys),
        )

    def global_post_process_and_metrics(self, batch: Any) -> tuple[Any, dict[str, float]]:
        """The batch as it is, and the metrics of the last step."""
        return batch, dict(self.metrics)


GameActor = ray.remote(GameEnvironment)
"""`GameEnvironment` as the ray actor that `register_env` names."""


def _row(log: Sequence[Mapping[str, Any]], info: Mapping[str, Any], measure: bool) -> EngineRow:
    """A sample: its last message, and what the data keeps of its prompt."""
    where = UNCLASSED if measure else class_columns(info, "extra_env_info")
    return EngineRow(
        str(log[-1]["content"]),
        *where,
        answer=info.get("ground_truth"),
        aliases=info.get("aliases"),
    )
