"""Real GRPO runs on tiny random models: rewards, steps and resumed runs recomputed from outside."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("trl")
pytest.importorskip("peft")

import peft
import polars as pl
import torch
import trl
from distributed.runs import (
    ANSWER,
    CONTEXTS,
    GROUP,
    model_folder,
    problems,
    random_model,
    settings,
    word_tokenizer,
)
from distributed.tabular import TabularLM
from transformers import TrainerCallback

import dagame as dg
from dagame import Cap, Coherence, GiniDiversity, HardConstraint, ShannonDiversity
from dagame.errors import InvalidObjective, ScheduleError, SelfCheckFailed, SettingsError
from dagame.lm.certificates.estimate import certificate_from_samples
from dagame.lm.rewards import group_rewards
from dagame.lm.schedules import check_whole_classes, schedule
from dagame.lm.trainers.trl.reward import GroupReward
from dagame.lm.trainers.trl.settings import grpo_config
from dagame.lm.trainers.trl.trainer import coherence_grpo
from dagame.objectives.names import by_name
from dagame.samples.metrics import labelled_table

pytestmark = pytest.mark.filterwarnings(  # the trainer itself reads the deprecated name
    "ignore:.*is_gradient_checkpointing.*:FutureWarning"
)
EUCLIDEAN = Coherence(consensus="euclidean")
EXACT = {"no_answer": "keep", "estimator": "u_statistic"}


class Recorder:
    """An extra reward of 0 that keeps what the trainer hands to reward functions."""

    __name__ = "recorder"

    def __init__(self):
        self.calls = []

    def __call__(self, prompts, completions, completion_ids, **columns):
        self.calls.append((list(prompts), [list(c) for c in completion_ids]))
        return [0.0] * len(prompts)


class Snapshots(TrainerCallback):
    """The weights before each optimiser step."""

    def __init__(self):
        self.weights = []

    def on_step_begin(self, args, state, control, model=None, **kwargs):
        self.weights.append({k: v.detach().clone() for k, v in model.state_dict().items()})


def run(folder, objective=EUCLIDEAN, model=None, rows=None, resume=None, **options):
    """A finished run and its recorder."""
    record = Recorder()
    options = {"steps": 2, "reward_options": EXACT, "extra_rewards": [record]} | options
    trainer = coherence_grpo(
        random_model() if model is None else model,
        problems() if rows is None else rows,
        objective,
        tokenizer=word_tokenizer(),
        **settings(folder, **options),
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer, record


def completion_log(folder, step):
    return pl.read_parquet(Path(folder) / "completions" / f"completions_{step:05d}.parquet")


def euclidean_rewards(log, group=GROUP):
    """The reward by its formula: own shares among the others, corrected for the group's mean."""
    names = log["prompt"].str.split(" ")
    log = log.with_columns(
        c=names.list.get(0), x=names.list.get(1), z=pl.col("answer").fill_null("none")
    )
    shares = {
        key: len(part) / group for key, part in log.group_by("c", "x", "z", maintain_order=True)
    }
    members = sorted(set(log["x"]))
    paid = []
    for c, x, z in log.select("c", "x", "z").iter_rows():
        others = shares[c, x, z] * group - 1
        own = group / (group - 2) * others / (group - 1)
        rest = sum(shares.get((c, o, z), 0.0) for o in members if o != x) / len(members)
        paid.append(-2 * ((1 - 1 / len(members)) * own - group / (group - 1) * rest))
    return np.array(paid)


def centred(rewards):
    """Less the group's mean: a constant per group is free."""
    grouped = rewards.reshape(-1, GROUP)
    return (grouped - grouped.mean(-1, keepdims=True)).ravel()


def log_likelihood(model, tokenizer, prompts, completions):
    """Teacher forcing one row at a time, without padding."""
    out = []
    for prompt, completion in zip(prompts, completions, strict=True):
        before = tokenizer(prompt)["input_ids"]
        logits = model(torch.tensor([before + completion])).logits[0].double()
        logp = logits.log_softmax(-1)
        at = range(len(before) - 1, len(before) + len(completion) - 1)
        out.append(sum(logp[t, token] for t, token in zip(at, completion, strict=True)))
    return torch.stack(out)


def test_rewards_equal_a_recount_of_the_completion_log(tmp_path):
    folder = model_folder(tmp_path / "model")
    run(tmp_path, model=folder, kl="loss", steps=3)
    for step in (1, 2, 3):
        log = completion_log(tmp_path, step)
        wanted = euclidean_rewards(log)
        assert np.abs(centred(wanted) - centred(log["group_reward"].to_numpy())).max() < 1e-6
        assert np.abs(centred(wanted) - log["advantage"].to_numpy()).max() < 1e-6
        assert np.ptp(wanted) > 0.1


def test_the_kl_paid_in_the_reward_is_that_of_the_whole_completion(tmp_path):
    seen, first = Snapshots(), random_model()
    _, record = run(tmp_path, model=random_model(), steps=2, callbacks=[seen], beta=0.3)
    tokenizer, now = word_tokenizer(), random_model()
    now.load_state_dict(seen.weights[1])
    with torch.no_grad():
        prompts, completions = record.calls[1]
        ratio = log_likelihood(now, tokenizer, prompts, completions) - log_likelihood(
            first, tokenizer, prompts, completions
        )
    log = completion_log(tmp_path, 2)
    assert np.abs(ratio.numpy() - log["log_ratio"].to_numpy()).max() < 1e-5
    assert ratio.abs().max() > 0.1
    wanted = euclidean_rewards(log) - 0.3 * GROUP / (GROUP - 1) * ratio.numpy()
    assert np.abs(centred(wanted) - centred(log["group_reward"].to_numpy())).max() < 1e-5


@pytest.mark.parametrize("change", [{"temperature": 0.3}, {"top_k": 2}], ids=str)
def test_a_trainer_that_samples_another_policy_is_stopped_at_its_first_batch(tmp_path, change):
    trainer = coherence_grpo(
        random_model(),
        problems(),
        EUCLIDEAN,
        tokenizer=word_tokenizer(),
        steps=2,
        **settings(tmp_path),
    )
    trainer.generation_config.update(**change)
    with pytest.raises(SelfCheckFailed, match=r"self-check \(samples\): .* trl"):
        trainer.train()
    assert trainer.state.global_step == 0


@pytest.mark.parametrize("micro_batch", [24, 6])
def test_two_sgd_steps_are_the_policy_gradient_of_the_core(tmp_path, micro_batch):
    seen, rate, beta = Snapshots(), 0.5, 0.2
    trainer, record = run(
        tmp_path,
        ShannonDiversity() + EUCLIDEAN,
        steps=2,
        beta=beta,
        optim="sgd",
        learning_rate=rate,
        max_grad_norm=0.0,
        per_device_train_batch_size=micro_batch,
        callbacks=[seen],
        reward_options={"no_answer": "keep"},
    )
    tokenizer, first, hand = word_tokenizer(), random_model(), random_model()
    for step, (prompts, completions) in enumerate(record.calls):
        texts = tokenizer.batch_decode(completions, skip_special_tokens=True)
        keys = [next((c for c in reversed(t.split()) if c in "012"), None) for t in texts]
        names = [p.split() for p in prompts]
        core = group_rewards(
            [n[0] for n in names],
            [n[1] for n in names],
            keys,
            ShannonDiversity() + EUCLIDEAN,
            baseline="group_mean",
            no_answer="keep",
        )
        likelihood = log_likelihood(hand, tokenizer, prompts, completions)
        with torch.no_grad():
            ratio = likelihood - log_likelihood(first, tokenizer, prompts, completions)
        paid = core.rewards - beta * GROUP / (GROUP - 1) * ratio.numpy()
        advantage = torch.as_tensor(centred(paid))
        length = trainer.args.max_completion_length
        hand.zero_grad()
        (-(advantage * likelihood).mean() / length).backward()
        with torch.no_grad():
            for parameter in hand.parameters():
                parameter -= rate * parameter.grad
        after = seen.weights[1] if step == 0 else trainer.model.state_dict()
        moved = max((after[k] - v).abs().max() for k, v in seen.weights[step].items())
        error = max((after[k] - v).abs().max() for k, v in hand.state_dict().items())
        assert error < 1e-5
        assert moved > 1e-2


def test_the_expected_step_of_a_tabular_model_is_the_exact_policy_gradient(tmp_path):
    group, rate = 2048, 1.0
    model = TabularLM.random(len(word_tokenizer()), seed=3)
    before = model.table.weight.detach().double().clone()
    trainer, _ = run(
        tmp_path,
        model=model,
        rows=problems(1),
        classes_per_step=1,
        steps=1,
        group_size=group,
        max_completion_length=1,
        optim="sgd",
        learning_rate=rate,
        max_grad_norm=0.0,
        log_completions=False,
        reward_options={"no_answer": "keep", "estimator": "auto"},
    )
    tokens = [word_tokenizer().convert_tokens_to_ids(p) for p in ("a", "b", "c")]
    pi = before[tokens].softmax(-1).numpy()
    column = [{2: 0, 3: 1, 4: 2}.get(v, 3) for v in range(pi.shape[1])]
    nu = np.stack([np.bincount(column, row, minlength=4) for row in pi])
    u = np.asarray(EUCLIDEAN.reward(nu))[:, column]
    exact = pi * (u - (pi * u).sum(-1, keepdims=True)) / CONTEXTS
    step = (trainer.model.table.weight.detach().double() - before)[tokens].numpy() / rate
    noise = np.sqrt(pi * (1 - pi) / group) * np.abs(u - (pi * u).sum(-1, keepdims=True))
    assert (np.abs(step - exact) < 5 * noise.max() / CONTEXTS).all()
    assert np.abs(exact).max() > 20 * noise.max() / CONTEXTS
    cosine = (step * exact).sum() / np.sqrt((step**2).sum() * (exact**2).sum())
    assert cosine > 0.99


def weights(model):
    return {k: v.clone() for k, v in model.state_dict().items()}


def difference(one, other):
    return max(float((one[k] - other[k]).abs().max()) for k in one)


def test_a_resumed_run_is_the_same_run_and_multipliers_survive(tmp_path):
    objective = Coherence() + HardConstraint(Cap([0, 3], 0.2))
    options = {
        "reward_options": {"vocabulary": ["0", "1", "2"], "multiplier_rate": 1.0},
        "save_strategy": "steps",
        "save_steps": 2,
        "steps": 5,
    }
    straight, _ = run(tmp_path / "one", objective, **options)
    reward = straight.reward_funcs[0]
    assert reward.calls == 5
    assert (reward.multipliers >= 0).all()
    assert reward.multipliers.max() > 0.1
    checkpoint = str(tmp_path / "one" / "checkpoint-2")
    resumed, _ = run(tmp_path / "two", objective, resume=checkpoint, **options)
    again = resumed.reward_funcs[0]
    assert difference(straight.model.state_dict(), resumed.model.state_dict()) == 0.0
    assert again.calls == 5
    assert again.multipliers.tolist() == reward.multipliers.tolist()
    log = [r for r in straight.state.log_history if "game/multiplier_max" in r]
    assert log[0]["game/violation"] > 0
    record = tmp_path / "one" / "checkpoint-2" / "trainer_state.json"
    lost = json.loads(record.read_text())
    lost["stateful_callbacks"].pop("GroupReward")
    record.write_text(json.dumps(lost))
    with pytest.raises(SettingsError, match="no state of this reward"):
        run(tmp_path / "three", objective, resume=checkpoint, **options)


def test_constraints_are_those_of_the_contexts_in_a_batch(tmp_path):
    options = {"vocabulary": ["0", "1", "2"], "no_answer": "keep"}
    cap = Coherence() + HardConstraint(Cap([0], 1e-9))
    trainer, _ = run(tmp_path, cap, contexts=2, reward_options=options)
    reward = trainer.reward_funcs[0]
    assert reward.multipliers.shape == (2,)
    log = completion_log(tmp_path, 1)
    shares = [
        (part["answer"] == "0").fill_null(False).mean()
        for _, part in log.group_by("prompt", maintain_order=True)
    ]
    first = np.array(shares).reshape(2, 2).mean(0) * 0.1
    second = completion_log(tmp_path, 2)
    shares = [
        (part["answer"] == "0").fill_null(False).mean()
        for _, part in second.group_by("prompt", maintain_order=True)
    ]
    wanted = first + np.array(shares).reshape(2, 2).mean(0) * 0.1 / np.sqrt(2)
    assert np.abs(reward.multipliers - wanted).max() < 1e-6


def test_a_resumed_run_does_not_take_a_trained_model_for_its_reference(tmp_path):
    options = {"save_strategy": "steps", "save_steps": 1, "steps": 2}
    run(tmp_path / "one", **options)
    reward = GroupReward(EUCLIDEAN, beta=0.1, kl="reward", group_size=GROUP, extract=ANSWER)
    data = schedule(problems(), classes_per_step=2, steps=2)
    trainer = trl.GRPOTrainer(
        random_model(),
        reward,
        args=config(tmp_path / "two", kl="reward"),
        train_dataset=data,
        processing_class=word_tokenizer(),
        callbacks=[reward],
    )
    with pytest.raises(SettingsError, match="give reference="):
        trainer.train(resume_from_checkpoint=str(tmp_path / "one" / "checkpoint-1"))


@pytest.mark.parametrize("kl", ["reward", "loss"])
def test_adapters_train_against_the_model_without_them(tmp_path, kl):
    lora = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    trainer, record = run(tmp_path, kl=kl, peft_config=lora, steps=3, learning_rate=0.1)
    model, base = trainer.model, random_model()
    assert any("lora" in n and p.requires_grad for n, p in model.named_parameters())
    with model.disable_adapter(), torch.no_grad():
        prompts, completions = record.calls[-1]
        off = log_likelihood(model, word_tokenizer(), prompts, completions)
        own = log_likelihood(base, word_tokenizer(), prompts, completions)
    assert (off - own).abs().max() < 1e-5
    if kl == "reward":
        assert completion_log(tmp_path, 1)["log_ratio"].abs().max() == 0.0
        assert completion_log(tmp_path, 3)["log_ratio"].abs().max() > 1e-3


def config(folder, objective=EUCLIDEAN, **options):
    chosen = settings(folder, beta=0.1, contexts=CONTEXTS, classes_per_step=2, **options)
    del chosen["extract"], chosen["truncated"]
    return grpo_config(objective, **chosen)


def plain_trainer(folder, reward, args=None, callbacks=(), rows=None):
    data = schedule(problems(), classes_per_step=2, steps=2) if rows is None else rows
    return trl.GRPOTrainer(
        model_folder(folder / "model"),
        reward,
        args=args or config(folder),
        train_dataset=data,
        callbacks=list(callbacks),
    )


def test_a_plain_trainer_takes_the_reward_and_is_told_to_register_it(tmp_path):
    reward = GroupReward(EUCLIDEAN, beta=0.1, group_size=GROUP, extract=ANSWER, **EXACT)
    with pytest.warns(UserWarning, match=r"callbacks=\[reward\]"):
        plain_trainer(tmp_path, reward).train()
    log = completion_log(tmp_path, 2)
    assert np.abs(centred(euclidean_rewards(log)) - log["advantage"].to_numpy()).max() < 1e-6


def test_a_shuffled_dataset_is_found_out_with_and_without_the_callback(tmp_path):
    args = config(tmp_path)
    args.shuffle_dataset = True
    reward = GroupReward(EUCLIDEAN, beta=0.1, group_size=GROUP, extract=ANSWER)
    with pytest.raises(SettingsError, match="shuffle_dataset"):
        plain_trainer(tmp_path, reward, args, [reward]).train()
    with (
        pytest.warns(UserWarning, match="callbacks"),
        pytest.raises(ScheduleError, match="shuffle_dataset=False"),
    ):
        plain_trainer(tmp_path, reward, args).train()


def test_what_needs_the_callback_refuses_to_run_without(tmp_path):
    reward = GroupReward(EUCLIDEAN, beta=0.1, kl="reward", group_size=GROUP, extract=ANSWER)
    with pytest.raises(SettingsError, match=r"callbacks=\[reward\]"):
        reward(["q0 a"] * 4, ["1"] * 4, [[3]] * 4, [0] * 4, [0] * 4, [1] * 4)
    cap = HardConstraint(Cap([0], 0.2))
    with pytest.raises(InvalidObjective, match="vocabulary"):
        GroupReward(cap, beta=0.1)
    reward = GroupReward(
        cap, beta=0.1, group_size=GROUP, extract=ANSWER, vocabulary=["0", "1", "2"]
    )
    with pytest.raises(SettingsError, match="survive a checkpoint"):
        plain_trainer(tmp_path, reward, config(tmp_path, cap)).train()


def test_a_dataset_without_class_columns_is_refused(tmp_path):
    from datasets import Dataset

    reward = GroupReward(EUCLIDEAN, beta=0.1, group_size=GROUP, extract=ANSWER)
    rows = Dataset.from_list([{"prompt": p["prompt"]} for p in problems()])
    with pytest.raises(ScheduleError, match=r"dagame\.lm\.schedule"):
        plain_trainer(tmp_path, reward, callbacks=[reward], rows=rows).train()


def test_a_model_made_in_memory_needs_the_kl_in_the_reward(tmp_path):
    with pytest.raises(SettingsError, match="kl='reward'"):
        run(tmp_path, kl="loss")


@pytest.mark.parametrize(
    "own", [{"min_p": 0.9}, {"typical_p": 0.5}, {"suppress_tokens": [2]}, {"min_new_tokens": 3}]
)
def test_generation_settings_that_a_model_brings_along_are_refused(tmp_path, own):
    model = random_model()
    for name, value in own.items():
        setattr(model.generation_config, name, value)
    with pytest.raises(SettingsError, match=next(iter(own))):
        run(tmp_path, model=model)


def test_generation_settings_that_the_trainer_overrides_change_nothing(tmp_path):
    model = random_model()
    model.generation_config.update(top_k=1, temperature=0.1, top_p=0.1, repetition_penalty=9.0)
    run(tmp_path / "one", model=model)
    run(tmp_path / "two")
    one, two = (completion_log(tmp_path / run, 2)["completion"] for run in ("one", "two"))
    assert one.to_list() == two.to_list()


def test_chats_are_read_and_scored_like_strings(tmp_path):
    tokenizer = word_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] + ' ' }}{% endfor %}"
    rows = [
        {"class": r["class"], "prompt": [{"role": "user", "content": r["prompt"]}]}
        for r in problems()
    ]
    trainer = coherence_grpo(
        random_model(),
        rows,
        EUCLIDEAN,
        tokenizer=tokenizer,
        reward_options=EXACT,
        steps=2,
        **settings(tmp_path),
    )
    trainer.train()
    log = completion_log(tmp_path, 1).with_columns(
        pl.col("prompt").list.get(0).struct.field("content").alias("prompt")
    )
    assert log["log_ratio"].abs().max() == 0.0
    assert np.abs(centred(euclidean_rewards(log)) - log["advantage"].to_numpy()).max() < 1e-6


def test_labels_pay_correct_answers_and_aliases_count_as_one(tmp_path):
    rows = problems(answer=[["1", "2"], ["0"], ["2"], ["1"]])
    trainer, _ = run(
        tmp_path,
        lambda batch: by_name("reward", 2.0, labelled_table(batch)),
        rows=rows,
        kl="reward",
        steps=2,
        reward_options={"no_answer": "keep"},
    )
    log = completion_log(tmp_path, 1)
    right = {"q0": "1", "q1": "0", "q2": "2", "q3": "1"}
    assert "2" not in log.filter(pl.col("prompt").str.starts_with("q0"))["answer"].to_list()
    for prompt, answer, paid in log.select("prompt", "answer", "group_reward").iter_rows():
        hit = answer == right[prompt.split()[0]]
        assert math.isclose(paid, 2.0 * hit * GROUP / (GROUP - 1), abs_tol=1e-6)
    share = trainer.state.log_history[0]["game/accuracy"]
    hits = [a == right[p.split()[0]] for p, a in log.select("prompt", "answer").iter_rows()]
    assert math.isclose(share, np.mean(hits), abs_tol=1e-6)


def test_dropped_completions_are_unscorable_and_move_nothing(tmp_path):
    run(tmp_path, GiniDiversity(), reward_options={"no_answer": "drop"}, extra_rewards=[])
    log = completion_log(tmp_path, 1)
    silent = log.filter(pl.col("answer").is_null())
    assert len(silent)
    assert silent["group_reward"].is_nan().all()
    assert (silent["advantage"] == 0.0).all()
    assert log.filter(pl.col("answer").is_not_null())["group_reward"].is_finite().all()


def test_metrics_are_logged_by_name(tmp_path):
    trainer, _ = run(tmp_path)
    first = trainer.state.log_history[0]
    for name in ("value", "divergence", "entropy", "agreement", "no_answer", "zero_signal"):
        assert math.isfinite(first[f"game/{name}"])
    log = completion_log(tmp_path, 1)
    assert math.isclose(
        first["game/no_answer"], log["answer"].null_count() / len(log), abs_tol=1e-6
    )
    assert trainer.state.log_history[1]["game/kl"] == pytest.approx(
        completion_log(tmp_path, 2)["log_ratio"].mean(), abs=1e-6
    )


def test_rounding_of_mixed_precision_is_no_kl(tmp_path):
    run(tmp_path, bf16=True, steps=1)
    assert completion_log(tmp_path, 1)["log_ratio"].abs().max() == 0.0


def test_the_gap_is_estimated_from_the_batch_now_and_then(tmp_path):
    """Every second call, by the certificate on the completions that were logged."""
    trainer, _ = run(tmp_path, steps=3, reward_options=EXACT | {"gap_every": 2}, group_size=8)
    logged = [row.get("game/gap_estimate") for row in trainer.state.log_history[:3]]
    assert logged[1] is None
    log = completion_log(tmp_path, 3)
    names = log["prompt"].str.split(" ")
    rows = log.select("answer", log_policy="log_ratio", log_reference=pl.lit(0.0)).with_columns(
        class_id=names.list.get(0), member_id=names.list.get(1)
    )
    again = certificate_from_samples(rows, None, EUCLIDEAN, trainer_beta(trainer), seed=2)
    assert logged[0] is not None
    assert logged[2] == pytest.approx(again.gap, abs=0.2)


def trainer_beta(trainer):
    return next(f.beta for f in trainer.reward_funcs if isinstance(f, GroupReward))


def test_drop_and_extra_rewards_are_refused_together(tmp_path):
    with pytest.raises(SettingsError, match="silence would beat"):
        run(tmp_path, GiniDiversity(), reward_options={"no_answer": "drop"})


def test_a_schedule_is_not_scheduled_again(tmp_path):
    made = schedule(problems(2), classes_per_step=1, class_column="class")
    with pytest.raises(ScheduleError, match="already"):
        run(tmp_path, rows=made, steps=3)


def test_two_samples_leave_no_signal_wherever_they_are_asked_for(tmp_path):
    with pytest.raises(SettingsError, match="no signal"):
        grpo_config(Coherence(), beta=0.1, group_size=2, contexts=2)
    with pytest.raises(SettingsError, match="no signal"):
        GroupReward(Coherence(), beta=0.1, group_size=2)
    with pytest.raises(SettingsError, match="no signal"):
        run(tmp_path, group_size=2)


class Halved(dg.Objective):
    """Gini's value with half of its reward."""

    def value(self, nu, weights=None):
        return GiniDiversity().value(nu, weights)

    def reward(self, nu, weights=None):
        return GiniDiversity().reward(nu, weights) / 2


def test_an_objective_of_ones_own_with_a_wrong_gradient_ends_the_run_before_a_step(tmp_path):
    trainer = coherence_grpo(
        random_model(),
        problems(),
        Halved(),
        tokenizer=word_tokenizer(),
        steps=2,
        **settings(tmp_path),
    )
    with pytest.raises(InvalidObjective, match="not the gradient of value"):
        trainer.train()
    assert trainer.state.global_step == 0
    trainer, _ = run(tmp_path, Halved(), steps=1, reward_options={"check": False})
    assert trainer.state.global_step == 1


def test_tables_need_a_vocabulary():
    with pytest.raises(InvalidObjective, match="numbers its answers"):
        GroupReward(dg.Reward([1.0, 0.0]), beta=0.1)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(0, 0, 2)] * 3, "group_size"),
        ([(0, 0, 1), (0, 0, 1), (0, 1, 1), (1, 0, 1)], "group_size"),
        ([(0, 0, 2)] * 2, "class 0 has 1 prompts"),
        ([(0, 0, 1)] * 2 + [(0, 1, 1)] * 2, "class 0 has 2 prompts"),
        ([(5, 0, 2)] * 2 + [(5, 0, 2)] * 2, "once each"),
    ],
)
def test_torn_classes_are_named(rows, words):
    with pytest.raises(ScheduleError, match=words):
        check_whole_classes(*np.array(rows).T, group_size=2)


def test_whole_classes_pass_in_any_order_of_prompts():
    rows = [(0, 1, 2)] * 2 + [(3, 0, 1)] * 2 + [(0, 0, 2)] * 2
    check_whole_classes(*np.array(rows).T, group_size=2)


def test_training_a_tabular_model_ends_at_the_exact_equilibrium(tmp_path):
    """Gini diversity, the KL in the reward: the exact gap of the trained table, by enumeration."""
    size, beta = len(word_tokenizer()), 0.5
    model = TabularLM.random(size, seed=3)
    tokens = [word_tokenizer().convert_tokens_to_ids(p) for p in ("a", "b", "c")]
    reference = model.table.weight.detach().double()[tokens].softmax(-1).numpy()
    column = np.array([{2: 0, 3: 1, 4: 2}.get(v, 3) for v in range(size)])
    game = dg.AlignmentGame(
        reference / reference.sum(-1, keepdims=True), GiniDiversity(1.0), beta=beta, answers=column
    )
    trainer, _ = run(
        tmp_path,
        GiniDiversity(1.0),
        model=model,
        rows=problems(1),
        beta=beta,
        classes_per_step=1,
        steps=60,
        group_size=128,
        max_completion_length=1,
        optim="sgd",
        learning_rate=10.0,
        lr_scheduler_type="linear",
        max_grad_norm=0.0,
        log_completions=False,
    )
    trained = trainer.model.table.weight.detach().double()[tokens].softmax(-1).numpy()
    trained /= trained.sum(-1, keepdims=True)
    start, end = (dg.certify(game, p) for p in (game.reference, trained))
    assert end.gap < 0.1 * start.gap
    solution = dg.solve(game)
    np.testing.assert_allclose(game.marginals(trained), solution.marginals, atol=0.05)
