"""The plug-in that verl loads (experimental): importing it registers `dagame` with verl 0.9.

Answers are stored by the reward manager, which sees one trajectory; the trainer, which sees the
whole batch, then replaces verl's advantages by the game's. Everything that is computed is in
`dagame.lm.trainers.verl.advantages`.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import transfer_queue as tq
from omegaconf import OmegaConf, open_dict
from tensordict import TensorDict
from verl.experimental.reward_loop.reward_manager import register
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase
from verl.trainer.ppo.v1.trainer_base import register_trainer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.workers.utils.padding import response_to_nested

from ....errors import SettingsError
from ....samples.keys.reader import AnswerReader
from ...models.generation import end_tokens
from ...schedules import CLASS, MEMBER, SIZE, ScheduleError
from .advantages import Trajectories, check_first_batch, game_section, read_answer, verl_game
from .settings import setting

if not callable(getattr(PPOTrainerSync, "_compute_advantage", None)):
    raise SettingsError(
        "this verl has no PPOTrainerSync._compute_advantage, so the game's advantages would never be used; "
        "install verl 0.9."
    )

_COLUMNS = (CLASS, MEMBER, SIZE, "extra_fields")
_TOKENS = ("response_mask", "old_log_probs", "ref_log_prob", "rollout_log_probs")


@register("dagame")
class GameRewardManager(RewardManagerBase):
    """Stores the answer of each trajectory; its score is 0, as the trainer pays whole classes."""

    def __init__(self, config: Any, tokenizer: Any, compute_score: Any, **_: Any) -> None:
        """See the class; the section `dagame` says how answers are read."""
        super().__init__(config, tokenizer, compute_score)
        plain = _plain(config)
        answers = game_section(plain).answers
        self._reader = AnswerReader(answers.extract, answers.canonical)
        self._ends: list[int] | None = None
        if answers.truncated == "no-answer":
            self._ends = _end_tokens(tokenizer, setting(plain, "actor_rollout_ref.model.path"))
        self._thread = ThreadPoolExecutor(1)  # the reader's memory is not shared between threads

    async def run_single(self, data: Any) -> dict[str, Any]:
        """The score 0, and as extra information "pred" and "acc" of the last output."""
        item = data[-1:][0]
        ids = item.batch["responses"]
        ids = ids[: int(item.batch["attention_mask"][-len(ids) :].sum())]
        told = item.non_tensor_batch
        truth = (told.get("reward_model") or {}).get("ground_truth")
        aliases = (told.get("extra_info") or {}).get("aliases")
        cut = self._ends is not None and (not len(ids) or int(ids[-1]) not in self._ends)

        def read() -> dict[str, Any]:
            text = self.tokenizer.decode(ids, skip_special_tokens=True)
            return read_answer(self._reader, text, truth, aliases, cut)

        found = await self.loop.run_in_executor(self._thread, read)
        return {"reward_score": 0.0, "reward_extra_info": found}


@register_trainer("dagame")
class GameTrainer(PPOTrainerSync):
    """verl's synchronous trainer with the game's advantages; refuses settings that break the game."""

    def __init__(self, config: Any) -> None:
        """See the class; `trainer.v1.trainer_mode` reads "sync" from here on."""
        self.game = verl_game(_plain(config))
        with open_dict(config):
            config.trainer.v1.trainer_mode = "sync"
        super().__init__(config)
        self._checked = False

    def _compute_advantage(self, batch: Any, metrics: dict[str, Any]) -> Any:
        batch = super()._compute_advantage(batch, metrics)
        where = {"keys": batch.keys, "partition_id": batch.partition_id}
        data = tq.kv_batch_get(**where, select_fields=[*_COLUMNS, *_TOKENS])
        rows, logs = _trajectories(batch, data)
        if not self._checked:
            self._checked = True
            same = setting(_plain(self.config), "actor_rollout_ref.ref.model") is None
            fresh = same and getattr(self, "global_steps", None) == 1
            check_first_batch(rows, logs.get("old_log_probs"), logs.get("rollout_log_probs"), fresh)
        tokens, found = self.game.advantages(rows)
        metrics.update({f"game/{name}": value for name, value in found.items()})
        mask = data["response_mask"]
        nested = response_to_nested(torch.tensor(tokens, dtype=torch.float32), mask)
        fields = TensorDict({"advantages": nested, "returns": nested}, batch_size=len(batch))
        return tq.kv_batch_put(**where, fields=fields)


def _end_tokens(tokenizer: Any, path: str | None) -> list[int]:
    """The end tokens of the tokenizer and of the model's generation settings, if it has any."""
    from transformers import GenerationConfig

    try:
        settings = None if path is None else GenerationConfig.from_pretrained(path)
    except OSError:  # the model has no such file
        settings = None
    return end_tokens(SimpleNamespace(generation_config=settings), tokenizer)


def _trajectories(batch: Any, data: Any) -> tuple[Trajectories, dict[str, np.ndarray]]:
    """The rows of a batch, and the log-probabilities of their tokens by name."""
    present = set(data.keys())
    absent = [name for name in (CLASS, MEMBER, SIZE) if name not in present]
    if absent:
        raise ScheduleError(
            f"the data has no column {absent[0]}; write it with dagame.lm.trainers.verl.advantages.verl_rows."
        )
    info = [(x or {}).get("reward_extra_info", {}) for x in data.get("extra_fields").tolist()]
    right = [x.get("acc") for x in info]
    tokens = {
        name: torch.nested.to_padded_tensor(data[name], 0.0).double().numpy()
        for name in _TOKENS
        if name in present
    }
    ratio = None
    if "ref_log_prob" in tokens:
        ratio = tokens["old_log_probs"] - tokens["ref_log_prob"]
    rows = Trajectories(
        keys=batch.keys,
        class_id=np.array(data.get(CLASS).tolist()),
        member_id=np.array(data.get(MEMBER).tolist()),
        class_size=np.array(data.get(SIZE).tolist()),
        answers=[x.get("pred") for x in info],
        correct=np.array([math.nan if r is None else r for r in right], dtype=float),
        mask=tokens["response_mask"],
        padding=np.array([bool(tag.get("is_padding", False)) for tag in batch.tags]),
        log_ratio=ratio,
    )
    return rows, {name: value for name, value in tokens.items() if name != "response_mask"}


def _plain(config: Any) -> dict[str, Any]:
    return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]
