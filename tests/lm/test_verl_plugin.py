"""The plug-in inside verl itself, where verl is installed."""

import asyncio
import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from test_verl import game, trajectories
from test_verl_settings import OVERRIDES

from dagame import Coherence
from dagame.lm.trainers.trl.settings import SettingsError
from dagame.lm.trainers.verl.advantages import verl_game
from dagame.lm.trainers.verl.settings import RULES, setting

STORAGE = "transfer_queue.backend.SimpleStorage"
pytestmark = [
    pytest.mark.skipif(find_spec("verl") is None, reason="verl is not installed"),
    pytest.mark.filterwarnings("ignore"),  # verl's own
]


def documented():
    """The overrides of the command in the how-to."""
    text = (Path(__file__).parents[2] / "docs" / "verl.md").read_text()
    return dict(re.findall(r"^  ([+\w.]+)=(\S+)", text, re.MULTILINE))


def composed(overrides):
    from hydra import compose, initialize_config_module

    given = [f"{k}={v}" for k, v in overrides.items()]
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose("ppo_trainer", overrides=given)


@pytest.fixture(scope="module")
def plugin():
    return import_module("dagame.lm.trainers.verl.plugin")


def test_verl_finds_the_plugin():
    code = (
        "import verl; from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY as t; "
        "from verl.experimental.reward_loop.reward_manager import get_reward_manager_cls as r; "
        "print(t['dagame'].__name__, r('dagame').__name__, t['sync'].__name__)"
    )
    env = os.environ | {"VERL_USE_EXTERNAL_MODULES": "dagame.lm.trainers.verl.plugin"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.split()[-3:] == ["GameTrainer", "GameRewardManager", "PPOTrainerSync"]


def test_the_settings_exist_in_verl_and_its_defaults_are_refused(plugin):
    plain = plugin._plain(composed({}))
    assert [path for path in (*RULES, *OVERRIDES) if setting(plain, path) is None] == [
        "algorithm.rollout_correction.rollout_rs"
    ]
    with pytest.raises(SettingsError, match=r"norm_adv_by_std_in_grpo=True: set False"):
        verl_game(plain)
    made = verl_game(plugin._plain(composed(documented())))
    spec = made.game.spec
    assert (spec.kl, spec.beta, made.prompts) == ("reward", 0.1, 128)
    assert repr(spec.objective) == repr(Coherence(1.0))


def test_the_reward_manager_stores_the_answer(plugin):
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    from verl import DataProto

    words = {"[UNK]": 0, "7": 1, "8": 2, "is": 3, "<eos>": 4}
    model = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    model.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=model, unk_token="[UNK]", eos_token="<eos>"
    )
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    told = {"reward_model": {"ground_truth": "7"}, "extra_info": {"aliases": None}}

    def stored(responses, mask, **options):
        more = {f"+dagame.answers.{k}": v for k, v in options.items()}
        made = composed(documented() | {"+dagame.answers.extract": "last-number"} | more)
        manager = plugin.GameRewardManager(made, tokenizer, None)
        data = DataProto.from_dict(
            {"responses": torch.tensor([responses]), "attention_mask": torch.tensor([mask])},
            {k: np.array([v], dtype=object) for k, v in told.items()},
        )
        return loop.run_until_complete(manager.run_single(data))

    ended = stored([3, 1, 4, 2], [1, 1, 1, 1, 0])
    cut = stored([3, 1, 2], [1, 1, 1, 0])
    read = stored([3, 1, 2], [1, 1, 1, 0], truncated="read")
    loop.close()
    right = {"reward_score": 0.0, "reward_extra_info": {"pred": "7", "acc": 1.0}}
    assert ended == read == right
    assert cut["reward_extra_info"] == {"pred": None, "acc": 0.0}


def test_the_trainer_puts_the_advantages_into_verls_queue(plugin):
    import ray
    import torch
    import transfer_queue as tq
    from tensordict import TensorDict
    from verl.trainer.ppo.padding_utils import upsample_batch_to_divisible_size
    from verl.utils.tensordict_utils import list_of_dict_to_tensordict

    small = {"data.train_batch_size": 2, f"{STORAGE}.num_data_storage_units": 1}
    made = composed(documented() | small)
    rows = trajectories([5] * 4, [0, 0, 1, 1], ["a", "b", "b", None])
    rows = replace(rows, correct=np.array([1.0, 0, 0, 0]))
    lengths = rows.mask.sum(1).astype(int)
    fields = [
        {
            "uid": key.split("_")[0],
            "response_mask": torch.ones(n, dtype=torch.int64),
            "rm_scores": torch.zeros(n),
            "class_id": 5,
            "member_id": int(member),
            "class_size": 2,
            "extra_fields": {"reward_extra_info": {"pred": answer, "acc": float(right)}},
        }
        for key, n, member, answer, right in zip(
            rows.keys, lengths, rows.member_id, rows.answers, rows.correct, strict=True
        )
    ]  # fmt: skip
    ray.init(num_cpus=4, include_dashboard=False)
    try:
        tq.init(made.transfer_queue)
        batch = tq.kv_batch_put(
            keys=list(rows.keys),
            partition_id="train",
            fields=list_of_dict_to_tensordict(fields),
            tags=[{"status": "success"} for _ in fields],
        )
        batch = upsample_batch_to_divisible_size(batch, 6, eos_token_id=0)
        ratios = [torch.tensor(r[:n]).float() for r, n in zip(rows.log_ratio, lengths, strict=True)]
        policy = torch.nested.as_nested_tensor([*ratios, *2 * [torch.ones(1)]], layout=torch.jagged)
        logs = {"old_log_probs": policy, "ref_log_prob": policy * 0}
        where = {"keys": batch.keys, "partition_id": "train"}
        batch = tq.kv_batch_put(**where, fields=TensorDict(logs, batch_size=6), tags=batch.tags)
        batch.reorder([5, 2, 0, 3, 4, 1])
        trainer = plugin.GameTrainer(made)
        metrics = {}
        trainer._compute_advantage(batch, metrics)
        found = tq.kv_batch_get(**where, select_fields=["advantages"])["advantages"]
        advantages = torch.nested.to_padded_tensor(found, 0.0).numpy()
    finally:
        tq.close()
        ray.shutdown()
    expected, named = game(kl="reward").advantages(rows)
    np.testing.assert_allclose(advantages[:4], expected[:, : lengths.max()], atol=1e-5)
    np.testing.assert_array_equal(advantages[4:], 0.0)
    assert {k: metrics[f"game/{k}"] for k in named} == pytest.approx(named, abs=1e-5)
    assert trainer.trainer_mode == "sync"
