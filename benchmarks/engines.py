"""One step of each training engine that is importable, its own code around our adapter, rewards recounted.

    python benchmarks/engines.py                 # every engine that is found, kept in results/engines.json
    python benchmarks/engines.py slime tinker    # those

Two questions in three phrasings are completed four times each by the embedded model, and pi0 is that model
with its output layer disturbed. The engine's own functions carry the completions to the adapter and the
payment to its training batch; `recount` computes the same advantages from the definition. docs/engines.md
says how each engine is installed.
"""

from __future__ import annotations

import asyncio
import copy
import subprocess
import sys
from argparse import Namespace
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

BETA, K, CLASSES, CONTEXTS, LENGTH = 0.3, 4, 2, 3, 14
OBJECTIVE = {"name": "agreement", "strength": 2.0}


@dataclass(frozen=True)
class Drawn:
    """One completion and what is known of it; log_policy and log_reference: of each token."""

    class_id: int
    member_id: int
    prompt: str
    prompt_ids: list[int]
    ids: list[int]
    text: str
    truncated: bool
    label: str
    log_policy: list[float]
    log_reference: list[float]


@cache
def models() -> tuple[Any, Any, Any]:
    """Policy, reference and tokenizer."""
    import torch

    from dagame.lm import tiny

    model, tokenizer = tiny.load()
    reference = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        weight = reference.get_output_embeddings().weight
        weight += 0.1 * torch.randn(weight.shape, generator=generator)
    return model, reference, tokenizer


def token_log_probs(model: Any, prompt_ids: list[int], ids: list[int]) -> list[float]:
    """The log-probability of each token of a completion."""
    import torch

    with torch.no_grad():
        logits = model(torch.tensor([prompt_ids + ids])).logits[0].double()
    logs = torch.log_softmax(logits, -1)
    return [float(logs[len(prompt_ids) + t - 1, i]) for t, i in enumerate(ids)]


def prompts() -> list[dict[str, Any]]:
    """The rows of both questions, as `dagame.lm.schedule` numbers them."""
    from dagame.lm import schedule, tiny

    data = [r | {"class": r["class_id"]} for r in tiny.rows("finetune", 8)]
    rows = [r for r in data if r["member_id"] < CONTEXTS and r["class_id"] % 4 < 1]
    return list(schedule(rows[: CLASSES * CONTEXTS], classes_per_step=CLASSES))


@cache
def drawn() -> list[Drawn]:
    """K completions of every prompt, side by side, some of them cut."""
    from dagame.lm import generate

    policy, reference, tokenizer = models()
    rows = prompts()
    found = generate(
        policy, tokenizer, [r["prompt"] for r in rows], K, max_new_tokens=LENGTH, seed=5
    )
    out = []
    for p, row in enumerate(rows):
        head = tokenizer(row["prompt"])["input_ids"]
        for k in range(K):
            ids = found.token_ids[p, k][found.mask[p, k]].tolist()
            logs = [token_log_probs(m, head, ids) for m in (policy, reference)]
            text, cut = found.texts[p][k], bool(found.truncated[p, k])
            place = row["class_id"], row["member_id"], row["prompt"]
            out.append(Drawn(*place, head, ids, text, cut, row["answer"], *logs))
    return out


def recount(rows: list[tuple[Any, Any, Any]], strength: float, log_ratio: Any = None) -> np.ndarray:
    """Advantages of agreement by its definition, from (class, context, answer or None) of each completion.

    The target pays answer z of context x u = 2 strength sum over the other contexts of w nu(z), w = 1/m, no
    answer at most the least of its group; the advantage is u less the mean of the group's other samples. A
    KL costs beta (s_i less the mean of the others' s).
    """
    counts, sizes = Counter(rows), Counter((c, x) for c, x, _ in rows)
    paid = []
    for c, x, z in rows:
        others = [o for (d, o) in sizes if d == c and o != x]
        shares = [counts[c, o, z] / sizes[c, o] for o in others]
        paid.append(2 * strength * sum(shares) / (len(others) + 1))
    u, place = np.array(paid), [(c, x) for c, x, _ in rows]
    own = u.copy()
    for i, (c, x, z) in enumerate(rows):
        answered = [u[j] for j, r in enumerate(rows) if r[:2] == (c, x) and r[2] is not None]
        if z is None:
            own[i] = min([u[i], *answered]) if answered else 0.0
    cost = own - BETA * np.asarray(log_ratio) if log_ratio is not None else own
    peers = [[j for j in range(len(rows)) if place[j] == p and j != i] for i, p in enumerate(place)]
    return np.array([cost[i] - np.mean(cost[peers[i]]) for i in range(len(rows))])


def wanted(found: list[Drawn], *, kl: bool, read_cut: bool = False) -> np.ndarray:
    """The recount of completions of the embedded model; the answer stands after "#"."""
    from dagame.lm import tiny

    keys = [None if d.truncated and not read_cut else tiny.extract(d.text) for d in found]
    ratio = [sum(d.log_policy) - sum(d.log_reference) for d in found] if kl else None
    rows = [(d.class_id, d.member_id, key) for d, key in zip(found, keys, strict=True)]
    return recount(rows, OBJECTIVE["strength"], ratio)  # type: ignore[arg-type]


ANSWERS = {"extract": r"#\s*(\d+)", "canonical": "number"}


def checkout(module: str) -> Path:
    """The folder of an engine's own repository, from where its module was found."""
    found = find_spec(module)
    if found is None:
        raise ImportError(module)
    return Path(next(iter(found.submodule_search_locations or [found.origin or ""])))


def commit(folder: Path) -> str:
    """The commit of the repository that holds a folder."""
    command = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
    return "commit " + subprocess.run(command, capture_output=True, text=True).stdout.strip()


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
    from dagame.lm.trainers.tinker import ClassDataset
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


# -- NeMo-RL --------------------------------------------------------------------------------------


def nemo_rl() -> dict[str, Any]:
    """NeMo-RL's `calculate_rewards` on its batch, our environment as a ray actor, its own advantages."""
    import ray
    import torch
    from nemo_rl.algorithms.advantage_estimator import AdvEstimatorConfig, GRPOAdvantageEstimator
    from nemo_rl.distributed.batched_data_dict import BatchedDataDict
    from nemo_rl.experience.rollouts import calculate_rewards

    from dagame.lm.trainers.nemo_rl import GameActor

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

    from dagame.lm.trainers.prime_rl import GameAlgorithm

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


# -- all of them ----------------------------------------------------------------------------------

ENGINES = {
    "slime": (slime, "slime"),
    "tinker": (tinker, "tinker_cookbook"),
    "nemo_rl": (nemo_rl, "nemo_rl"),
    "prime_rl": (prime_rl, "prime_rl"),
}
"""Each engine's step, and the module that shows whether it is there."""


def measured(name: str) -> dict[str, Any]:
    """The row of one engine: what ran, and how far its payment is from the recount."""
    step = ENGINES[name][0]()
    paid, right = step.pop("paid"), step.pop("wanted")
    return step | {
        "completions": len(paid),
        "largest_advantage": float(np.abs(right).max()),
        "largest_difference": float(np.abs(paid - right).max()),
    }


def main(names: list[str]) -> None:
    """Run the engines of these names, or those that are there, and keep their rows beside the others'."""
    import json

    from common import RESULTS, keep

    chosen = names or [name for name, (_, module) in ENGINES.items() if find_spec(module)]
    file = RESULTS / "engines.json"
    kept = json.loads(file.read_text())["rows"] if file.exists() else []
    rows = {row["engine"]: row for row in kept}
    rows |= {row["engine"]: row for row in map(measured, chosen)}
    keep("engines", [rows[name] for name in sorted(rows)])


if __name__ == "__main__":
    main(sys.argv[1:])
