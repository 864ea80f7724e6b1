"""The plug-in that verl loads (experimental): importing it registers `dagame` with verl 0.9.

Answers are stored by the reward manager, which sees one trajectory; the trainer, which sees the
whole batch, then replaces verl's advantages by the game's. Everything that is computed is in
`dagame.lm.verl`.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
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

from ..errors import SettingsError
from ..samples.keys.reader import AnswerReader
from ._schedule import CLASS, MEMBER, SIZE, ScheduleError
from .verl import Trajectories, game_section, read_answer, verl_game

if not callable(getattr(PPOTrainerSync, "_compute_advantage", None)):
    raise SettingsError(
        "this verl has no PPOTrainerSync._compute_advantage, so the game's advantages would never be used; "
        "install verl 0.9."
    )

_COLUMNS = (CLASS, MEMBER, SIZE, "extra_fields")
_TOKENS = ("response_mask", "old_log_probs", "ref_log_prob")


@register("dagame")
class GameRewardManager(RewardManagerBase):
    """Stores the answer of each trajectory; its score is 0, as the trainer pays whole classes."""

    def __init__(self, config: Any, tokenizer: Any, compute_score: Any, **_: Any) -> None:
        """See the class; the section `dagame` says how answers are read."""
        super().__init__(config, tokenizer, compute_score)
        answers = game_section(_plain(config)).answers
        self._reader = AnswerReader(answers.extract, answers.canonical)
        self._thread = ThreadPoolExecutor(1)  # the reader's memory is not shared between threads

    async def run_single(self, data: Any) -> dict[str, Any]:
        """The score 0, and as extra information "pred" and "acc" of the last output."""
        item = data[-1:][0]
        ids = item.batch["responses"]
        ids = ids[: int(item.batch["attention_mask"][-len(ids) :].sum())]
        told = item.non_tensor_batch
        truth = (told.get("reward_model") or {}).get("ground_truth")
        aliases = (told.get("extra_info") or {}).get("aliases")

        def read() -> dict[str, Any]:
            text = self.tokenizer.decode(ids, skip_special_tokens=True)
            return read_answer(self._reader, text, truth, aliases)

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

    def _compute_advantage(self, batch: Any, metrics: dict[str, Any]) -> Any:
        batch = super()._compute_advantage(batch, metrics)
        where = {"keys": batch.keys, "partition_id": batch.partition_id}
        data = tq.kv_batch_get(**where, select_fields=[*_COLUMNS, *_TOKENS])
        tokens, found = self.game.advantages(_trajectories(batch, data))
        metrics.update({f"game/{name}": value for name, value in found.items()})
        mask = data["response_mask"]
        nested = response_to_nested(torch.tensor(tokens, dtype=torch.float32), mask)
        fields = TensorDict({"advantages": nested, "returns": nested}, batch_size=len(batch))
        return tq.kv_batch_put(**where, fields=fields)


def _trajectories(batch: Any, data: Any) -> Trajectories:
    present = set(data.keys())
    absent = [name for name in (CLASS, MEMBER, SIZE) if name not in present]
    if absent:
        raise ScheduleError(
            f"the data has no column {absent[0]}; write it with dagame.lm.verl.verl_rows."
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
    return Trajectories(
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


def _plain(config: Any) -> dict[str, Any]:
    return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]
