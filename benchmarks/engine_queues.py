"""One step of the engines that keep batches of their own kind: NeMo-RL, prime-rl and verl."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from engine_cases import (
    ANSWERS,
    BETA,
    CLASSES,
    CONTEXTS,
    OBJECTIVE,
    Drawn,
    K,
    checkout,
    commit,
    drawn,
    models,
    wanted,
)

# -- NeMo-RL --------------------------------------------------------------------------------------


def nemo_rl() -> dict[str, Any]:
    """NeMo-RL's `calculate_rewards` on its batch, our environment as a ray actor, its own advantages."""
    import ray
    import torch
    from nemo_rl.algorithms.advantage_estimator import AdvEstimatorConfig, GRPOAdvantageEstimator
    from nemo_rl.distributed.batched_data_dict import BatchedDataDict
    from nemo_rl.experience.rollouts import calculate_rewards

    from dagame.lm.trainers.nemo_rl.environment import GameActor

    cfg = {"objective": OBJECTIVE, "answers": ANSWERS, "beta": BETA, "group_size": K}
    found = drawn()
    places = [{"class_id": d.class_id, "member_id": d.member_id} for d in found]
    batch = BatchedDataDict(
        {
            "message_log": [
                [
                    {"role": "user", "content": d.prompt, "token_ids": torch.tensor(d.prompt_ids)},
                    {"role": "assistant", "content": d.text, "token_ids": torch.tensor(d.ids)},
                ]
                for d in found
            ],
            "task_name": ["game"] * len(found),
            "extra_env_info": [
                p | {"class_size": CONTEXTS, "ground_truth": d.label}
                for p, d in zip(places, found, strict=True)
            ],
        }
    )
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        environment = GameActor.remote(cfg)  # type: ignore[attr-defined]
        paid = calculate_rewards(batch, {"game": environment}).rewards
    finally:
        ray.shutdown()
    width = max(len(d.prompt_ids) for d in found)
    ids = torch.tensor([d.prompt_ids + [0] * (width - len(d.prompt_ids)) for d in found])
    settings = AdvEstimatorConfig(normalize_rewards=False, use_leave_one_out_baseline=False)
    estimator = GRPOAdvantageEstimator(settings, None)  # type: ignore[arg-type]
    advantages = estimator.compute_advantage(ids, paid, torch.ones(len(found), 1))
    return {
        "engine": "NeMo-RL",
        "version": commit(checkout("nemo_rl")),
        "ran": "calculate_rewards with the environment as a ray actor, GRPOAdvantageEstimator",
        "paid": advantages[:, 0].numpy(),
        "wanted": wanted(found, kl=False, read_cut=True),
    }


# -- prime-rl -------------------------------------------------------------------------------------


def prime_rl() -> dict[str, Any]:
    """prime-rl's `finalize_group` and its training samples on verifiers' episodes, one class a group."""
    from prime_rl.orchestrator.trajectories import trace_to_samples

    from dagame.lm.trainers.prime_rl.algorithm import GameAlgorithm

    config = Namespace(
        teacher=None,
        beta=BETA,
        group_size=K,
        game={"objective": OBJECTIVE, "answers": ANSWERS},
    )
    algorithm = GameAlgorithm(config, None)
    paid: dict[int, float] = {}
    for class_id in dict.fromkeys(d.class_id for d in drawn()):
        found = [(i, d) for i, d in enumerate(drawn()) if d.class_id == class_id]
        episodes = [episode([d for _, d in found[k::K]]) for k in range(K)]
        asyncio.run(algorithm.finalize_group(episodes))
        for k, made in enumerate(episodes):
            for (i, _), trace in zip(found[k::K], made.traces, strict=True):
                (sample,) = trace_to_samples(trace, env_name="game", mm_token_type_ids_mapping=None)
                tokens = np.array(sample.advantages)[np.array(sample.mask)]
                assert np.ptp(tokens) == 0
                paid[i] = float(tokens[0])
    return {
        "engine": "prime-rl",
        "version": f"{commit(checkout('prime_rl'))}, verifiers {version('verifiers')}",
        "ran": "Algorithm.finalize_group on vf.Episode, trace_to_samples",
        "paid": np.array([paid[i] for i in range(len(drawn()))]),
        "wanted": wanted(drawn(), kl=True),
    }


def episode(found: list[Drawn]) -> Any:
    """Every context of a class once, as an episode of verifiers."""
    import verifiers.v1 as vf

    traces = [_trace(vf, d) for d in found]
    task = traces[0].task
    return vf.Episode(env=vf.EnvInfo(id="game", name="game"), task=task, traces=traces, ok=True)


def _trace(vf: Any, d: Drawn) -> Any:
    data = vf.WireTaskData(
        prompt=d.prompt,
        class_id=d.class_id,
        member_id=d.member_id,
        class_size=CONTEXTS,
        answer=d.label,
    )
    asked = vf.MessageNode(
        message=vf.UserMessage(content=d.prompt),
        token_ids=d.prompt_ids,
        mask=[False] * len(d.prompt_ids),
    )
    said = vf.MessageNode(
        message=vf.AssistantMessage(content=d.text),
        token_ids=d.ids,
        mask=[True] * len(d.ids),
        logprobs=d.log_policy,
        reference_logprobs=d.log_reference,
        sampled=True,
        parent=0,
    )
    call = vf.ModelCall(node=1, finish_reason="length" if d.truncated else "stop")
    return vf.Trace[vf.WireTaskData](
        task=vf.TraceTask(type="Task", data=data),
        agent=vf.AgentInfo(config=vf.AgentConfig()),
        nodes=[asked, said],
        calls=[call],
        ok=True,
    )


# -- verl -----------------------------------------------------------------------------------------


def verl() -> dict[str, Any]:
    """verl's reward manager and its trainer's `_compute_advantage`, on its data queue."""
    import ray
    import torch
    import transfer_queue as queue
    from tensordict import TensorDict
    from verl import DataProto
    from verl.utils.tensordict_utils import list_of_dict_to_tensordict

    from dagame.lm.trainers.verl import plugin

    config, tokenizer = verl_config(), models()[2]
    manager = plugin.GameRewardManager(config, tokenizer, None)

    async def stored(d: Drawn) -> Any:
        ids = torch.tensor([d.ids])
        told = {"reward_model": {"ground_truth": d.label}, "extra_info": {}}
        data = DataProto.from_dict(
            {"responses": ids, "attention_mask": torch.ones_like(ids)},
            {k: np.array([v], dtype=object) for k, v in told.items()},
        )
        return await manager.run_single(data)

    async def all_stored() -> list[Any]:
        manager.loop = asyncio.get_running_loop()
        return [await stored(d) for d in drawn()]

    info = [found["reward_extra_info"] for found in asyncio.run(all_stored())]
    fields = [
        {
            "uid": f"u{i // K}",
            "response_mask": torch.ones(len(d.ids), dtype=torch.int64),
            "rm_scores": torch.zeros(len(d.ids)),
            "class_id": d.class_id,
            "member_id": d.member_id,
            "class_size": CONTEXTS,
            "extra_fields": {"reward_extra_info": info[i]},
        }
        for i, d in enumerate(drawn())
    ]
    keys = [f"u{i // K}_{i % K}_0" for i in range(len(fields))]
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    try:
        queue.init(config.transfer_queue)
        where = {"keys": keys, "partition_id": "train"}
        tags = [{"status": "success"} for _ in keys]
        queue.kv_batch_put(**where, fields=list_of_dict_to_tensordict(fields), tags=tags)
        logs = {
            name: torch.nested.as_nested_tensor(
                [torch.tensor(x) for x in values], layout=torch.jagged
            )
            for name, values in (
                ("old_log_probs", [d.log_policy for d in drawn()]),
                ("ref_log_prob", [d.log_reference for d in drawn()]),
            )
        }
        batch = queue.kv_batch_put(
            **where, fields=TensorDict(logs, batch_size=len(keys)), tags=tags
        )
        plugin.GameTrainer(config)._compute_advantage(batch, {})
        found = queue.kv_batch_get(**where, select_fields=["advantages"])["advantages"]
        paid = torch.nested.to_padded_tensor(found, 0.0).numpy()[:, 0]
    finally:
        queue.close()
        ray.shutdown()
    return {
        "engine": "verl",
        "version": version("verl"),
        "ran": "GameRewardManager, PPOTrainerSync._compute_advantage on its data queue",
        "paid": paid,
        "wanted": wanted(drawn(), kl=True),
    }


def verl_config() -> Any:
    """The command of docs/verl.md, composed by hydra, with the game that is recounted here."""
    import re

    from hydra import compose, initialize_config_module
    from omegaconf import open_dict

    text = (Path(__file__).parents[1] / "docs" / "verl.md").read_text()
    chosen = dict(re.findall(r"^  ([+\w.]+)=(\S+)", text, re.MULTILINE)) | {
        "data.train_batch_size": CLASSES * CONTEXTS,
        "actor_rollout_ref.rollout.n": K,
        "algorithm.kl_ctrl.kl_coef": BETA,
        "transfer_queue.backend.SimpleStorage.num_data_storage_units": 1,
        "+dagame.objective.name": OBJECTIVE["name"],
        "+dagame.objective.strength": OBJECTIVE["strength"],
        "+dagame.baseline": "group_mean",
        "+dagame.answers.extract": "answer",
    }
    with initialize_config_module("verl.trainer.config", version_base=None):
        made = compose("ppo_trainer", overrides=[f"{k}={v}" for k, v in chosen.items()])
    with open_dict(made):
        made.dagame.answers.update(ANSWERS)
    return made
