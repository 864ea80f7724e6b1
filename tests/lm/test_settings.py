"""The configuration that is built is accepted; each setting that breaks the game is refused by name."""

import numpy as np
import pytest

pytest.importorskip("trl")

import trl

from dagame import Coherence, GiniDiversity, PairwiseCoherence, Reward, ShannonDiversity
from dagame.errors import SettingsError
from dagame.lm.trainers.trl.settings import (
    LOSSES,
    check_config,
    checkpointing_name,
    grpo_config,
    pays_nothing_alone,
)


def config(tmp_path, objective=None, **options):
    chosen = {
        "beta": 0.1,
        "group_size": 4,
        "contexts": 3,
        "classes_per_step": 2,
        "output_dir": str(tmp_path),
        "use_cpu": True,
        "bf16": False,
    } | options
    return grpo_config(Coherence() if objective is None else objective, **chosen)


def plain(tmp_path):
    """The trainer's own defaults."""
    return trl.GRPOConfig(str(tmp_path), use_cpu=True, bf16=False, **{checkpointing_name(): True})


def test_the_default_is_the_game(tmp_path):
    made = config(tmp_path)
    assert made.generation_batch_size == 4 * 3 * 2
    assert made.per_device_train_batch_size * made.gradient_accumulation_steps == 24
    assert (made.beta, made.use_bias_correction_kl) == (0.1, True)
    assert (made.scale_rewards, made.shuffle_dataset, made.loss_type) == ("none", False, "dr_grpo")
    check_config(made, beta=0.1, kl="loss", group_size=4, contexts=3)


def test_the_kl_in_the_reward_leaves_the_loss_without_one(tmp_path):
    made = config(tmp_path, kl="reward")
    assert made.beta == 0.0
    check_config(made, beta=0.1, kl="reward", group_size=4, contexts=3)
    with pytest.raises(SettingsError, match=r"beta=0\.0: set it"):
        check_config(made, beta=0.1, kl="loss")


def test_sharded_models_need_the_kl_in_the_loss(tmp_path, monkeypatch):
    exact, loss = config(tmp_path, kl="reward"), config(tmp_path)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    check_config(loss, beta=0.1, kl="loss")
    with pytest.raises(SettingsError, match="use kl='loss'"):
        check_config(exact, beta=0.1, kl="reward")


def test_micro_batches_make_up_the_step(tmp_path):
    made = config(tmp_path, per_device_train_batch_size=6)
    assert made.gradient_accumulation_steps == 4
    assert made.steps_per_generation == 4
    made = config(tmp_path, gradient_accumulation_steps=8)
    assert made.per_device_train_batch_size == 3


BROKEN = {
    "scale_rewards": "group",
    "multi_objective_aggregation": "normalize_then_sum",
    "shuffle_dataset": True,
    "remove_unused_columns": True,
    "loss_type": "grpo",
    "importance_sampling_level": "sequence",
    "temperature": 0.7,
    "top_p": 0.9,
    "top_k": 20,
    "min_p": 0.1,
    "repetition_penalty": 1.1,
    "mask_truncated_completions": True,
    "top_entropy_quantile": 0.2,
    "off_policy_mask_threshold": 0.5,
    "entropy_coef": 0.01,
    "use_adaptive_entropy": True,
    "sync_ref_model": True,
    "restore_callback_states_from_checkpoint": True,
    "ignore_data_skip": True,
    "use_bias_correction_kl": False,
    "generation_kwargs": {"typical_p": 0.9},
    "reward_weights": [0.5, 1.0],
}


@pytest.mark.parametrize("field", BROKEN)
def test_each_setting_that_breaks_the_game_is_refused_by_name(tmp_path, field):
    with pytest.raises(SettingsError, match=field) as caught:
        config(tmp_path, **{field: BROKEN[field]})
    assert any(word in str(caught.value) for word in ("set ", "leave out"))


def test_std_scaling_by_its_old_name_is_refused_too(tmp_path):
    with pytest.raises(SettingsError, match="cancels the strength"):
        config(tmp_path, scale_rewards=True)


def test_no_kl_anywhere_is_refused(tmp_path):
    for beta in (0.0, -1.0, float("nan"), float("inf"), True):
        with pytest.raises(SettingsError, match="finite number > 0"):
            config(tmp_path, beta=beta)
    with pytest.raises(SettingsError, match="no game"):
        check_config(plain(tmp_path))


def test_the_trainers_own_defaults_are_refused_with_all_their_faults(tmp_path):
    with pytest.raises(SettingsError) as caught:
        check_config(plain(tmp_path), beta=0.1, kl="loss")
    assert all(f"{f}=" in str(caught.value) for f in ("scale_rewards", "shuffle_dataset", "beta"))


def test_a_kl_in_both_places_or_of_another_strength_is_refused(tmp_path):
    made = config(tmp_path)
    with pytest.raises(SettingsError, match="in the reward already"):
        check_config(made, beta=0.1, kl="reward")
    with pytest.raises(SettingsError, match=r"set 0\.2"):
        check_config(made, beta=0.2, kl="loss")


def test_torn_classes_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="multiple of 12"):
        config(tmp_path, generation_batch_size=16, per_device_train_batch_size=16)
    with pytest.raises(SettingsError, match="make the product 24"):
        config(tmp_path, per_device_train_batch_size=16)
    with pytest.raises(SettingsError, match="set 8"):
        check_config(config(tmp_path), group_size=8)


def test_checkpoints_inside_a_generation_batch_are_refused(tmp_path):
    batch = {"per_device_train_batch_size": 6, "steps_per_generation": 4}
    with pytest.raises(SettingsError, match="multiple of 4"):
        config(tmp_path, save_steps=6, **batch)
    config(tmp_path, save_steps=8, **batch)
    with pytest.raises(SettingsError, match="multiple of 2"):
        config(tmp_path, save_steps=5, num_iterations=2)
    with pytest.raises(SettingsError, match="multiple of 4"):
        check_config(config(tmp_path, save_steps=0.5, **batch), save_steps=3)


def test_evaluation_inside_the_trainer_is_refused(tmp_path):
    made = config(tmp_path)
    made.eval_strategy = "steps"
    with pytest.raises(SettingsError, match="shuffles evaluation prompts"):
        check_config(made)


def test_other_trainers_are_refused(tmp_path):
    from transformers import TrainingArguments

    with pytest.raises(SettingsError, match="one at a time"):
        check_config(TrainingArguments(str(tmp_path), use_cpu=True))


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_with_the_right_direction_are_accepted(tmp_path, loss):
    assert config(tmp_path, loss_type=loss).loss_type == loss


def test_objectives_that_compare_contexts_need_some(tmp_path):
    assert pays_nothing_alone(Coherence())
    assert pays_nothing_alone(PairwiseCoherence())
    for objective in (ShannonDiversity(), GiniDiversity(), Coherence() + GiniDiversity()):
        assert not pays_nothing_alone(objective)
    assert not pays_nothing_alone(Reward(np.array([1.0, 0.0])))
    with pytest.raises(SettingsError, match="paraphrases"):
        config(tmp_path, contexts=1)
    config(tmp_path, ShannonDiversity(), contexts=1)


@pytest.mark.parametrize(
    "bad",
    [
        {"group_size": 1},
        {"contexts": 0},
        {"classes_per_step": 0},
        {"kl": "both"},
        {"num_generations": 8},
    ],
)
def test_sizes_out_of_range_are_refused(tmp_path, bad):
    with pytest.raises(SettingsError):
        config(tmp_path, **bad)
