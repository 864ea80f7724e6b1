"""One step of the engines whose rewards are asked in this process: slime and tinker-cookbook."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from importlib.metadata import version
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
    prompts,
    token_log_probs,
    wanted,
)

# -- slime ----------------------------------------------------------------------------------------


def slime_arguments(**changed: Any) -> Namespace:
    """What slime's parser would leave of the arguments that matter here."""
    chosen: dict[str, Any] = {
        "advantage_estimator": "grpo",
        "n_samples_per_prompt": K,
        "rollout_batch_size": CLASSES * CONTEXTS,
        "global_batch_size": CLASSES * CONTEXTS * K,
        "use_kl_loss": True,
        "kl_loss_coef": BETA,
        "kl_loss_type": "k3",
        "use_unbiased_kl": True,
        "calculate_per_token_loss": True,
        "dagame": {"objective": OBJECTIVE, "answers": ANSWERS},
    }
    return Namespace(**chosen | changed)


def slime() -> dict[str, Any]:
    """slime's `Sample` and the two methods of its `RolloutManager` that ask for rewards.

    The module of the manager imports sglang, so the two methods are compiled from its file.
    """
    import ast

    import torch
    from slime.utils.data import get_source
    from slime.utils.types import Sample

    from dagame.lm.trainers import slime as adapter

    folder = checkout("slime")
    tree = ast.parse((folder / "ray" / "rollout.py").read_text())
    manager = next(n for n in tree.body if getattr(n, "name", "") == "RolloutManager")
    names = ("_post_process_rewards", "_convert_samples_to_train_data")
    methods = [n for n in manager.body if getattr(n, "name", "") in names]  # type: ignore[attr-defined]
    space: dict[str, Any] = {"torch": torch, "Sample": Sample, "get_source": get_source}
    exec(compile(ast.Module(methods, []), "slime/ray/rollout.py", "exec"), space)  # noqa: S102
    own = {name: space[name] for name in names}
    hooks = {
        "args": slime_arguments(),
        "custom_reward_post_process_func": adapter.rewards,
        "custom_convert_samples_to_train_data_func": None,
    }
    manager_now = type("RolloutManager", (), own | hooks)
    manager_now.custom_reward_post_process_func = staticmethod(adapter.rewards)  # type: ignore[attr-defined]
    samples = [slime_sample(Sample, i, d) for i, d in enumerate(drawn())]
    batch = manager_now()._convert_samples_to_train_data(samples)
    return {
        "engine": "slime",
        "version": commit(folder),
        "ran": "RolloutManager._convert_samples_to_train_data on its Sample",
        "paid": np.array(batch["rewards"]),
        "wanted": wanted(drawn(), kl=False),
    }


def slime_sample(kind: Any, i: int, d: Drawn) -> Any:
    """A completion as slime's sample."""
    place = {"class_id": d.class_id, "member_id": d.member_id, "class_size": CONTEXTS}
    return kind(
        group_index=i // K,
        index=i,
        rollout_id=i,
        prompt=d.prompt,
        tokens=d.prompt_ids + d.ids,
        response=d.text,
        response_length=len(d.ids),
        label=d.label,
        status=kind.Status.TRUNCATED if d.truncated else kind.Status.COMPLETED,
        metadata=place,
    )


# -- tinker-cookbook ------------------------------------------------------------------------------


def tinker(kl: str = "reward") -> dict[str, Any]:
    """tinker-cookbook's rollouts, advantages and training data, with the embedded model as the sampler."""
    from tinker_cookbook.rl.data_processing import assemble_training_data, compute_advantages
    from tinker_cookbook.rl.rollouts import do_group_rollout

    from dagame.lm import GameSpec
    from dagame.lm.spec import AnswerSection, ObjectiveSection
    from dagame.lm.trainers.tinker.groups import ClassDataset
    from dagame.lm.trainers.whole_classes import EngineGame

    sections = ObjectiveSection(**OBJECTIVE), AnswerSection(**ANSWERS)  # type: ignore[arg-type]
    spec = GameSpec.of_sections(*sections, beta=BETA, kl=kl, group_size=K)
    from datasets import Dataset

    data = ClassDataset(
        Dataset.from_list(prompts()),
        EngineGame(spec),
        _Renderer(),
        classes_per_step=CLASSES,
        reference=_scorer(),
    )

    async def rollouts() -> list[Any]:
        return [await do_group_rollout(group, _completer()) for group in data.get_batch(0)]

    groups = asyncio.run(rollouts())
    advantages = compute_advantages(groups)
    batch, _ = assemble_training_data(groups, advantages, include_provenance=False)
    firsts = []
    for datum in batch:
        mask = datum.loss_fn_inputs["mask"].to_torch().numpy() > 0
        tokens = datum.loss_fn_inputs["advantages"].to_torch().numpy()[mask]
        assert np.ptp(tokens) == 0
        firsts.append(float(tokens[0]))
    return {
        "engine": "tinker-cookbook",
        "version": version("tinker-cookbook"),
        "ran": "do_group_rollout, compute_advantages, assemble_training_data",
        "paid": np.array(firsts),
        "wanted": wanted(drawn(), kl=kl == "reward"),
    }


class _Renderer:
    """Prompts of the embedded model as they are; an answer ends with its end token."""

    def build_generation_prompt(self, messages: list[Any]) -> Any:
        import tinker as service

        return service.ModelInput.from_ints(models()[2](messages[-1]["content"])["input_ids"])

    def get_stop_sequences(self) -> list[int]:
        return [models()[2].eos_token_id]

    def parse_response(self, ids: list[int]) -> tuple[Any, None]:
        text = models()[2].decode(ids, skip_special_tokens=True)
        return {"role": "assistant", "content": text}, None


def _completer() -> Any:
    """The embedded model's completions in the cookbook's form, each prompt's in the order of `drawn`."""
    from tinker_cookbook.completers import TokenCompleter, TokensWithLogprobs

    class Local(TokenCompleter):
        async def __call__(self, model_input: Any, stop: Any, *, max_tokens: Any = None) -> Any:
            asked = tuple(model_input.to_ints())
            d = next(d for d in drawn() if tuple(d.prompt_ids) == asked and id(d) not in used)
            used.add(id(d))
            reason = "length" if d.truncated else "stop"
            return TokensWithLogprobs(d.ids, d.log_policy, stop_reason=reason)

    used: set[int] = set()
    return Local()


def _scorer() -> Any:
    """The reference in the place of the service's sampling client: log-probabilities of whole prompts."""

    class Scorer:
        def sample(self, prompt: Any, **_: Any) -> Any:
            ids = prompt.to_ints()
            logs = [None, *token_log_probs(models()[1], ids[:1], ids[1:])]
            sequence = Namespace(tokens=[0])
            answer = Namespace(
                prompt_logprobs=logs, sequences=[sequence], prompt_cache_hit_tokens=0
            )

            async def later() -> Any:
                return answer

            return Namespace(coroutine=later)

    return Scorer()
