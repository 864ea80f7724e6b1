"""verl's settings: those that play the game, and every one that would break it."""

import pytest

from dagame.errors import ConfigError, ExtractionError, InvalidObjective
from dagame.lm.trainers.trl.settings import SettingsError
from dagame.lm.trainers.verl.advantages import verl_game
from dagame.lm.trainers.verl.settings import LOSS_KL, RULES

OVERRIDES = {
    "trainer.use_v1": True,
    "trainer.v1.trainer_mode": "dagame",
    "reward.reward_manager.name": "dagame",
    "reward.reward_model.enable": False,
    "data.shuffle": False,
    "data.filter_overlong_prompts": False,
    "data.train_batch_size": 4,
    "algorithm.adv_estimator": "grpo",
    "algorithm.norm_adv_by_std_in_grpo": False,
    "algorithm.use_kl_in_reward": True,
    "algorithm.kl_penalty": "kl",
    "algorithm.kl_ctrl.type": "fixed",
    "algorithm.kl_ctrl.kl_coef": 0.1,
    "actor_rollout_ref.rollout.n": 4,
    "actor_rollout_ref.rollout.temperature": 1.0,
    "actor_rollout_ref.rollout.top_p": 1,
    "actor_rollout_ref.rollout.top_k": -1,
    "actor_rollout_ref.actor.use_kl_loss": False,
    "actor_rollout_ref.actor.entropy_coeff": 0,
    "actor_rollout_ref.actor.policy_loss.loss_mode": "vanilla",
    "actor_rollout_ref.actor.loss_agg_mode": "seq-mean-token-sum",
    "actor_rollout_ref.actor.ppo_mini_batch_size": 4,
    "actor_rollout_ref.actor.ppo_epochs": 1,
}
KL_IN_LOSS = {
    "algorithm.use_kl_in_reward": False,
    "actor_rollout_ref.actor.use_kl_loss": True,
    "actor_rollout_ref.actor.kl_loss_type": "low_var_kl+",
    "actor_rollout_ref.actor.kl_loss_coef": 0.2,
}


def config(**changed):
    """A configuration as nested dictionaries, dotted paths changed (dots written as __)."""
    nested = {}
    for path, value in (OVERRIDES | {k.replace("__", "."): v for k, v in changed.items()}).items():
        *above, name = path.split(".")
        place = nested
        for part in above:
            place = place.setdefault(part, {})
        place[name] = value
    return nested


def test_settings_that_play_the_game_are_accepted():
    made = verl_game(config())
    spec = made.game.spec
    assert (spec.kl, spec.beta, spec.group_size, made.prompts) == ("reward", 0.1, 4, 4)
    for kind in LOSS_KL:
        made = verl_game(config(**KL_IN_LOSS | {"actor_rollout_ref.actor.kl_loss_type": kind}))
        assert (made.game.spec.kl, made.game.spec.beta) == ("loss", 0.2)


WRONG = {
    "trainer.use_v1": False,
    "trainer.v1.trainer_mode": "separate_async",
    "reward.reward_manager.name": "naive",
    "reward.reward_model.enable": True,
    "algorithm.adv_estimator": "gae",
    "algorithm.norm_adv_by_std_in_grpo": True,
    "algorithm.use_pf_ppo": True,
    "algorithm.filter_groups.enable": True,
    "algorithm.rollout_correction.rollout_rs": "seq_mean_k1",
    "algorithm.rollout_correction.bypass_mode": True,
    "data.shuffle": True,
    "data.filter_overlong_prompts": True,
    "trainer.v1.sampler.sync_refill_failed_groups": True,
    "actor_rollout_ref.rollout.temperature": 0.7,
    "actor_rollout_ref.rollout.top_p": 0.95,
    "actor_rollout_ref.rollout.top_k": 50,
    "actor_rollout_ref.actor.entropy_coeff": 0.001,
    "actor_rollout_ref.actor.policy_loss.loss_mode": "gspo",
    "actor_rollout_ref.actor.loss_agg_mode": "seq-mean-token-mean",
}


def test_every_rule_has_a_wrong_value_here():
    assert set(WRONG) == set(RULES)


@pytest.mark.parametrize("path", WRONG)
def test_each_setting_that_breaks_the_game_is_refused(path):
    with pytest.raises(SettingsError) as caught:
        verl_game(config(**{path: WRONG[path]}))
    assert f"{path}={WRONG[path]!r}: set {RULES[path].fix}; {RULES[path].why}" in str(caught.value)
    assert str(caught.value).count(": set ") == 1


@pytest.mark.parametrize(
    ("changed", "fix"),
    [
        ({"algorithm__use_kl_in_reward": False}, "use_kl_in_reward=False: set True"),
        ({"actor_rollout_ref__actor__use_kl_loss": True}, "two KLs"),
        ({"algorithm__kl_penalty": "low_var_kl"}, "kl_penalty='low_var_kl': set kl"),
        ({"algorithm__kl_ctrl__type": "adaptive"}, "set fixed"),
        ({"algorithm__kl_ctrl__kl_coef": 0.0}, "beta is 0.0"),
        ({"actor_rollout_ref__rollout__n": 1}, "n=1: set 2 or more"),
        (KL_IN_LOSS | {"actor_rollout_ref.actor.kl_loss_type": "low_var_kl"}, "another game"),
        (KL_IN_LOSS | {"actor_rollout_ref.actor.kl_loss_type": "kl"}, "follows nothing"),
        (KL_IN_LOSS | {"actor_rollout_ref.actor.ppo_epochs": 2}, "ppo_epochs=2: set 1"),
        (KL_IN_LOSS | {"actor_rollout_ref.actor.ppo_mini_batch_size": 2}, "size=2: set 4"),
    ],
)
def test_kls_of_another_game_are_refused(changed, fix):
    with pytest.raises(SettingsError, match=fix):
        verl_game(config(**changed))


def test_what_the_objective_cannot_do_is_said_before_training():
    with pytest.raises(InvalidObjective, match="group_mean"):
        verl_game(config(dagame__objective__name="majority-vote"))
    verl_game(config(dagame__objective__name="majority-vote", dagame__baseline="group_mean"))
    verl_game(config(dagame__objective__name="log-success"))
    with pytest.raises(InvalidObjective, match="did you mean 'coherence'"):
        verl_game(config(dagame__objective__name="coherense"))
    with pytest.raises(ConfigError, match=r"dagame\.objektive is unknown"):
        verl_game(config(dagame__objektive="coherence"))
    with pytest.raises(ExtractionError, match="last-number"):
        verl_game(config(dagame__answers__extract="last_number"))
