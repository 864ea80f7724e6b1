"""The adapters inside engines that are installed: what is refused, lost, or measured only."""

import asyncio
from importlib.util import find_spec

import numpy as np
import pytest
from engine_cases import ANSWERS, BETA, CONTEXTS, OBJECTIVE, K, prompts, recount, wanted
from test_engines import drawn, game

from dagame.errors import InvalidGame, ScheduleError, SettingsError

pytestmark = pytest.mark.filterwarnings("ignore")  # the engines' own


def needs(module):
    return pytest.mark.skipif(find_spec(module) is None, reason=f"{module} is not installed")


# -- tinker-cookbook ------------------------------------------------------------------------------


@needs("tinker_cookbook")
def test_tinker_leaves_the_kl_to_the_loss():
    from engine_single import tinker

    step = tinker("loss")
    np.testing.assert_allclose(step["paid"], step["wanted"], atol=1e-6)


def rollout(strategy, broken=0, kl="loss"):
    """A group of the embedded model's prompts whose sampler fails the first `broken` times."""
    from engine_cases import drawn as of_the_model
    from engine_single import _Renderer
    from tinker_cookbook.completers import TokenCompleter, TokensWithLogprobs
    from tinker_cookbook.rl.rollouts import do_group_rollout

    from dagame.lm.trainers.tinker.groups import ClassGroup

    class Failing(TokenCompleter):
        calls = 0

        async def __call__(self, model_input, stop, *, max_tokens=None):
            Failing.calls += 1
            if 4 < Failing.calls <= 4 + broken:
                raise RuntimeError("no sample")
            asked = model_input.to_ints()
            same = [d for d in of_the_model() if d.prompt_ids == asked]
            d = same[Failing.calls % K]
            return TokensWithLogprobs(d.ids, d.log_policy)

    rows = [row for row in prompts() if row["class_id"] == prompts()[0]["class_id"]]
    group = ClassGroup(rows, game(kl, **_answers()), _Renderer())
    return asyncio.run(do_group_rollout(group, Failing(), strategy=strategy))


def _answers():
    return {"extract": ANSWERS["extract"], "canonical": ANSWERS["canonical"]}


@needs("tinker_cookbook")
def test_tinker_without_a_reference_cannot_pay_the_kl():
    with pytest.raises(SettingsError, match="give ClassGroup a reference"):
        rollout(None, kl="reward")


@needs("tinker_cookbook")
def test_tinkers_retries_of_another_prompt_are_refused():
    from tinker_cookbook.rl.rollout_strategy import RetryOnFailure

    group = rollout(RetryOnFailure(max_retries=3))
    assert sum(group.final_rewards_G) == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(ScheduleError, match=r"5 completions .* rollout_error_tolerance=False"):
        rollout(RetryOnFailure(max_retries=3), broken=1)


@needs("tinker_cookbook")
def test_tinkers_dataset_is_whole_steps():
    from datasets import Dataset

    from dagame.lm.trainers.tinker.groups import ClassDataset

    rows = Dataset.from_list(prompts())
    made = ClassDataset(rows, game(), None, classes_per_step=2)
    assert len(made) == 1
    assert [len(group.rows) for group in made.get_batch(0)] == [CONTEXTS] * 2
    with pytest.raises(ScheduleError, match="there is no batch 1"):
        made.get_batch(1)
    with pytest.raises(ScheduleError, match="not whole steps of 4 classes"):
        ClassDataset(rows, game(), None, classes_per_step=4)


# -- NeMo-RL --------------------------------------------------------------------------------------

CONFIG = {"objective": OBJECTIVE, "answers": ANSWERS, "beta": BETA, "group_size": K}


def shown(found, **extra):
    logs = [[{"role": "user", "content": d.prompt}, {"role": "assistant", "content": d.text}]
            for d in found]  # fmt: skip
    places = [{"class_id": d.class_id, "member_id": d.member_id} for d in found]
    info = [p | {"class_size": CONTEXTS, "ground_truth": d.label} | extra
            for p, d in zip(places, found, strict=True)]  # fmt: skip
    return logs, info


@needs("nemo_rl")
def test_nemo_rl_pays_whole_classes_and_ends_every_episode():
    from dagame.lm.trainers.nemo_rl.environment import GameEnvironment

    made = GameEnvironment(CONFIG)
    back = made.step(*shown(drawn()))
    np.testing.assert_allclose(back.rewards, wanted(drawn(), kl=False, read_cut=True), atol=1e-6)
    assert back.terminateds.all()
    assert made.global_post_process_and_metrics({})[1]["game/accuracy"] > 0
    for part in (drawn()[:1], drawn()[: 3 * K - 1], drawn()[K:]):
        with pytest.raises(ScheduleError, match="synchronous rollouts"):
            made.step(*shown(part))


@needs("nemo_rl")
def test_nemo_rl_measures_validation():
    from dagame.lm.trainers.nemo_rl.environment import GameEnvironment

    made = GameEnvironment(CONFIG | {"measure": True})
    logs, info = shown(drawn()[:5])
    back = made.step(logs, [{"ground_truth": i["ground_truth"]} for i in info])
    right = [float(d.text == f"# {d.label}") for d in drawn()[:5]]
    np.testing.assert_array_equal(back.rewards, right)


# -- prime-rl -------------------------------------------------------------------------------------


def cohort():
    """One class by hand: K episodes of every context once."""
    from engine_queues import episode

    found = [d for d in drawn() if d.class_id == 0]
    return found, [episode(found[k::K]) for k in range(K)]


def paid_by(episodes):
    return [
        node.advantages[0]
        for made in episodes
        for trace in made.traces
        for node in trace.nodes
        if node.advantages
    ]


def of_hand(found):
    keys = [None if d.truncated or d.text == "?" else d.text[2:] for d in found]
    ratio = [sum(d.log_policy) - sum(d.log_reference) for d in found]
    rows = [(0, d.member_id, key) for d, key in zip(found, keys, strict=True)]
    return recount(rows, 2.0, ratio)


@needs("prime_rl")
def test_prime_rl_plays_without_an_episode_that_failed():
    from dagame.lm.trainers.prime_rl.algorithm import pay_episodes

    found, episodes = cohort()
    pay_episodes(game("reward", **_answers()), episodes)
    order = [i for k in range(K) for i in range(k, len(found), K)]
    np.testing.assert_allclose(paid_by(episodes), of_hand(found)[order], atol=1e-12)
    found, episodes = cohort()
    payment = pay_episodes(game("reward", **_answers()), episodes[1:])
    left = [d for i, d in enumerate(found) if i % K]
    order = [i for k in range(K - 1) for i in range(k, len(left), K - 1)]
    np.testing.assert_allclose(paid_by(episodes[1:]), of_hand(left)[order], atol=1e-12)
    assert payment.metrics["lost"] == 1 / K


@needs("prime_rl")
def test_prime_rl_refuses_a_torn_class_and_a_missing_reference():
    from dagame.lm.trainers.prime_rl.algorithm import pay_episodes

    _, episodes = cohort()
    for made in episodes:
        made.traces.pop()
    with pytest.raises(ScheduleError, match="class 0 has 2 of its 3 contexts"):
        pay_episodes(game("reward", **_answers()), episodes)
    _, episodes = cohort()
    episodes[0].traces[0].nodes[1].reference_logprobs = None
    with pytest.raises(InvalidGame, match="configure `teacher`"):
        pay_episodes(game("reward", **_answers()), episodes)
