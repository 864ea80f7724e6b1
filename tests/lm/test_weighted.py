"""Weighted SFT and DPO: gradients by hand, constant weights against TRL's own trainers, resumed runs."""

import copy
import math

import numpy as np
import pytest

pytest.importorskip("trl")
pytest.importorskip("peft")

import datasets
import peft
import polars as pl
import torch
from distributed.runs import random_model, word_tokenizer
from distributed.weighted import OTHER, PROMPTS, ROWS, SHORT, WEIGHTS, unweighted, weighted
from hypothesis import given
from hypothesis import strategies as st

import dagame as dg
from dagame.errors import SamplesError, SettingsError
from dagame.lm.trainers.weighted.rows import resampled_index

pytestmark = pytest.mark.filterwarnings(  # the trainer itself reads the deprecated name
    "ignore:.*is_gradient_checkpointing.*:FutureWarning"
)

kinds = pytest.mark.parametrize("kind", ["sft", "dpo"])


def trained(trainer, resume=None):
    trainer.train(resume_from_checkpoint=resume)
    return {k: v.detach().clone() for k, v in trainer.model.state_dict().items()}


def losses(trainer):
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


def distance(one, two):
    assert one.keys() == two.keys()
    return max((one[k] - two[k]).abs().max().item() for k in one)


def log_likelihood(model, prompt, completion, ended=True):
    """The completion and its end token, row by row, without padding; and its length."""
    tokenizer = word_tokenizer()
    before = tokenizer(prompt)["input_ids"]
    ids = before + tokenizer(completion)["input_ids"] + [tokenizer.eos_token_id] * ended
    logits = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
    token = logits.gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    return token[len(before) - 1 :].sum(), len(ids) - len(before)


def row_losses(kind, model, reference, beta=0.1):
    """The loss of every row by its formula, and what the sum is divided by."""
    if kind == "sft":
        found = [log_likelihood(model, r["prompt"], r["completion"]) for r in ROWS["sft"]]
        return [-value for value, _ in found], sum(n for _, n in found)
    out = []
    for row in ROWS["dpo"]:
        gain = [
            log_likelihood(model, row["prompt"], row[name])[0]
            - log_likelihood(reference, row["prompt"], row[name])[0].detach()
            for name in ("chosen", "rejected")
        ]
        out.append(-torch.nn.functional.logsigmoid(beta * (gain[0] - gain[1])))
    return out, len(out)


@kinds
@pytest.mark.parametrize(("batch", "accumulate"), [(10, 1), (5, 2), (2, 5), (1, 10)])
def test_the_step_is_the_weighted_sum_of_row_gradients(kind, batch, accumulate, tmp_path):
    start, reference = random_model(), random_model(seed=3)
    found, divisor = row_losses(kind, start, reference)
    w = np.array(WEIGHTS) / np.mean(WEIGHTS)
    wanted = sum(wi * li for wi, li in zip(w.tolist(), found, strict=True)) / divisor
    gradients = torch.autograd.grad(wanted, list(start.parameters()))
    assert max(g.abs().max() for g in gradients) > 1e-3

    given_reference = {"reference": reference} if kind == "dpo" else {}
    steps = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulate}
    trainer = weighted(kind, tmp_path, WEIGHTS, max_steps=1, **steps, **given_reference)
    after = trained(trainer)
    assert losses(trainer)[0] == pytest.approx(wanted.item(), abs=2e-4)  # TRL rounds what it logs
    for (name, before), g in zip(random_model().named_parameters(), gradients, strict=True):
        assert (before - 0.1 * g - after[name]).abs().max() < 2e-6


@kinds
@pytest.mark.parametrize("constant", [1.0, 0.3, 1e6])
def test_constant_weights_are_the_trainer_without_weights(kind, constant, tmp_path):
    one = weighted(kind, tmp_path / "one", [constant] * 10, optim="adamw_torch")
    two = unweighted(kind, tmp_path / "two", optim="adamw_torch")
    assert distance(trained(one), trained(two)) < 1e-6
    assert losses(one) == pytest.approx(losses(two), rel=1e-6)
    assert one.state.global_step == 6, "ten rows in steps of four: the last of an epoch is short"
    ours, theirs = ({k for row in t.state.log_history for k in row} for t in (one, two))
    assert ours == theirs


@kinds
def test_adapters_are_weighted_too(kind, tmp_path):
    lora = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    one = weighted(kind, tmp_path / "one", [2.0] * 10, peft_config=copy.deepcopy(lora))
    two = unweighted(kind, tmp_path / "two", peft_config=copy.deepcopy(lora))
    assert distance(trained(one), trained(two)) < 1e-6
    split = weighted(kind, tmp_path / "three", WEIGHTS, peft_config=copy.deepcopy(lora))
    assert distance(trained(split), trained(one)) > 1e-5


@kinds
def test_four_batches_of_one_are_one_batch_of_four(kind, tmp_path):
    parts = [
        trained(
            weighted(
                kind,
                tmp_path / str(batch),
                WEIGHTS[:8],
                ROWS[kind][:8],
                per_device_train_batch_size=batch,
                gradient_accumulation_steps=4 // batch,
            )
        )
        for batch in (1, 2, 4)
    ]
    rounding = 5e-6  # of float32 sums in another order, which differs between processors
    assert distance(parts[0], parts[1]) < rounding
    assert distance(parts[0], parts[2]) < rounding
    assert distance(parts[0], trained(unweighted(kind, tmp_path / "un"))) > 1e-4


@kinds
def test_rows_of_weight_zero_move_nothing(kind, tmp_path):
    first = {"train_sampling_strategy": "sequential", "num_train_epochs": 1}
    trainer = weighted(kind, tmp_path, [0.0] * 8 + [1.0] * 2, max_steps=2, **first)
    start = {k: v.detach().clone() for k, v in trainer.model.state_dict().items()}
    assert distance(trained(trainer), start) == 0.0
    assert losses(trainer) == [0.0, 0.0]
    assert all(math.isfinite(v) for row in trainer.state.log_history for v in row.values())


@kinds
def test_a_row_of_weight_zero_might_say_anything(kind, tmp_path):
    rows = [dict(row) for row in ROWS[kind]]
    name = "completion" if kind == "sft" else "chosen"
    rows[2][name] = "1 2 2"  # as many tokens, since these divide the loss
    one, two = (weighted(kind, tmp_path / str(len(r)), WEIGHTS, r) for r in (rows, ROWS[kind]))
    assert distance(trained(one), trained(two)) < 1e-6


@kinds
def test_a_resumed_run_ends_with_the_same_weights(kind, tmp_path):
    saving = {"save_strategy": "steps", "save_steps": 2, "optim": "adamw_torch"}
    whole = trained(weighted(kind, tmp_path / "one", WEIGHTS, **saving))
    again = weighted(kind, tmp_path / "two", WEIGHTS, **saving)
    for step in (2, 4):
        found = trained(again, str(tmp_path / "one" / f"checkpoint-{step}"))
        assert distance(whole, found) == 0.0
        again = weighted(kind, tmp_path / "three", WEIGHTS, **saving)


@kinds
def test_the_weights_of_held_out_rows_count(kind, tmp_path):
    held = [row | {"weight": w} for row, w in zip(ROWS[kind], WEIGHTS, strict=True)]
    trainer = weighted(kind, tmp_path, [2.0] * 10, eval_rows=held, per_device_eval_batch_size=10)
    with torch.no_grad():
        found, divisor = row_losses(kind, random_model(), random_model())
    wanted = sum(w / 2 * value for w, value in zip(WEIGHTS, found, strict=True)) / divisor
    assert trainer.evaluate()["eval_loss"] == pytest.approx(float(wanted), abs=1e-4)


@kinds
@pytest.mark.parametrize(
    ("weight", "said"),
    [
        (-1.0, "row 3 has the weight -1.0"),
        (math.nan, "row 3 has the weight nan"),
        (math.inf, "row 3 has the weight inf"),
        (None, "row 3 has no weight"),
        ("1", "row 3 has the weight '1'"),
        (True, "row 3 has the weight True"),
    ],
)
@pytest.mark.parametrize("as_column", [False, True])
def test_weights_that_are_none_are_refused_with_their_row(kind, weight, said, as_column, tmp_path):
    weights = [*WEIGHTS[:3], weight, *WEIGHTS[4:]]
    rows = ROWS[kind]
    if as_column:
        rows = [row | {"weight": w} for row, w in zip(rows, weights, strict=True)]
    with pytest.raises(SamplesError, match=said) as caught:
        weighted(kind, tmp_path, None if as_column else weights, rows)
    assert str(caught.value).count(".\n") == 0


@kinds
def test_rows_that_cannot_be_trained_on_are_refused(kind, tmp_path):
    with pytest.raises(SamplesError, match="no row has a weight above 0"):
        weighted(kind, tmp_path, [0.0] * 10)
    with pytest.raises(SamplesError, match="9 weights for 10 rows"):
        weighted(kind, tmp_path, WEIGHTS[:9])
    with pytest.raises(SamplesError, match="no column 'weight'"):
        weighted(kind, tmp_path)
    with pytest.raises(SamplesError, match="no rows"):
        weighted(kind, tmp_path, [], [])
    rows = [dict(row) for row in ROWS[kind]]
    del rows[1]["prompt"]
    with pytest.raises(SamplesError, match="row 1: column 'prompt' holds None"):
        weighted(kind, tmp_path, WEIGHTS, rows)
    trainer = weighted(kind, tmp_path, WEIGHTS)
    with pytest.raises(SamplesError, match="no column 'weight'"):
        type(trainer)(
            random_model(),
            args=trainer.args,
            train_dataset=datasets.Dataset.from_list(ROWS[kind]),
            processing_class=word_tokenizer(),
        )
    with pytest.raises(SamplesError, match="without a column 'weight'"):
        trainer.evaluate(datasets.Dataset.from_list(ROWS[kind]))


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        ("sft", {"packing": True}),
        ("sft", {"padding_free": True}),
        ("sft", {"loss_type": "dft"}),
        ("sft", {"label_smoothing_factor": 0.1}),
        ("sft", {"remove_unused_columns": True}),
        ("sft", {"completion_only_loss": False}),
        ("sft", {"dataset_kwargs": {"skip_prepare_dataset": True}}),
        ("dpo", {"loss_type": "ipo"}),
        ("dpo", {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 1.0]}),
        ("dpo", {"use_weighting": True}),
        ("dpo", {"label_smoothing": 0.1}),
        ("dpo", {"ld_alpha": 0.5}),
        ("dpo", {"f_divergence_type": "forward_kl"}),
        ("dpo", {"ignore_data_skip": True}),
        ("dpo", {"sync_ref_model": True}),
        ("dpo", {"precompute_ref_log_probs": True}),
    ],
)
def test_settings_that_break_the_weights_are_refused(kind, option, tmp_path):
    with pytest.raises(SettingsError, match=f"break the weights of rows: {next(iter(option))}="):
        weighted(kind, tmp_path, WEIGHTS, **option)


@kinds
def test_tokens_are_those_of_sampling(kind, tmp_path):
    """Without the blank between them TRL would read prompt and completion as one unknown word."""
    bare = [row | {"prompt": row["prompt"].rstrip()} for row in ROWS[kind]]
    found = trained(weighted(kind, tmp_path / "bare", WEIGHTS, bare))
    assert distance(found, trained(weighted(kind, tmp_path / "blank", WEIGHTS))) < 1e-6


@kinds
def test_a_completion_that_was_cut_off_has_no_end(kind, tmp_path):
    rows = [row | {"truncated": i == 4} for i, row in enumerate(ROWS[kind])]
    trainer = weighted(kind, tmp_path, WEIGHTS, rows)
    column = "input_ids" if kind == "sft" else "chosen_ids"
    ends = [ids[-1] == word_tokenizer().eos_token_id for ids in trainer.train_dataset[column]]
    assert ends == [i != 4 for i in range(10)]
    with pytest.raises(SamplesError, match="row 0: column 'truncated' holds 'no'"):
        weighted(kind, tmp_path, WEIGHTS, [row | {"truncated": "no"} for row in rows])


@kinds
def test_a_row_that_passes_the_models_positions_is_refused(kind, tmp_path):
    rows = [dict(row) for row in ROWS[kind]]
    rows[3]["completion" if kind == "sft" else "rejected"] = "1 " * 32
    with pytest.raises(SettingsError, match=r"row 3 has 35 tokens, more than the model's 32"):
        weighted(kind, tmp_path, WEIGHTS, rows)
    cut = weighted(kind, tmp_path, WEIGHTS, rows, max_length=16)
    assert all(torch.isfinite(v).all() for v in trained(cut).values())


@kinds
def test_chats_go_through_the_template(kind, tmp_path):
    def chat(row):
        return {
            name: [{"role": "user" if name == "prompt" else "assistant", "content": text}]
            for name, text in row.items()
        }

    tokenizer = word_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['content'] + ' ' }}"
        "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    )
    rows = [chat(row) for row in ROWS[kind]]
    found = trained(weighted(kind, tmp_path / "chat", WEIGHTS, rows, tokenizer=tokenizer))
    assert distance(found, trained(weighted(kind, tmp_path / "text", WEIGHTS))) < 1e-6
    with pytest.raises(SamplesError, match="row 0 was cut off"):
        weighted(kind, tmp_path, WEIGHTS, [row | {"truncated": True} for row in rows])


def test_rows_of_any_kind_and_names(tmp_path):
    columns = {"question": PROMPTS, "answer": SHORT, "w": WEIGHTS, "text": OTHER}
    frame = pl.DataFrame(columns)
    names = {"prompt_column": "question", "completion_column": "answer", "column": "w"}
    wanted = trained(weighted("sft", tmp_path / "wanted", WEIGHTS))
    for kind, rows in (("frame", frame), ("dataset", datasets.Dataset.from_dict(columns))):
        found = trained(weighted("sft", tmp_path / kind, None, rows, **names))
        assert distance(found, wanted) == 0.0


@given(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 3.0]), min_size=1, max_size=12).filter(any),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
)
def test_resampled_counts_are_the_expected_ones_rounded(weights, n, seed):
    counts = np.bincount(resampled_index(weights, n, seed), minlength=len(weights))
    expected = n * np.array(weights) / sum(weights)
    assert counts.sum() == n
    assert (np.abs(counts - expected) < 1 + 1e-9).all()
    assert not counts[np.array(weights) == 0].any()


def test_resampling_is_unbiased_also_jointly_with_its_order():
    weights, n, draws = np.array(WEIGHTS), 7, 4000
    index = np.array([resampled_index(weights, n, seed) for seed in range(draws)])
    expected = n * weights / weights.sum()
    counts = np.stack([np.bincount(i, minlength=10) for i in index])
    spread = np.sqrt(np.maximum(expected % 1 * (1 - expected % 1), 1e-12) / draws)
    assert (np.abs(counts.mean(0) - expected) < 5 * spread + 1e-12).all()
    first = np.bincount(index[:, 0], minlength=10) / draws
    assert np.abs(first - expected / n).max() < 5 * np.sqrt(0.25 / draws)


def test_resample_gives_back_the_kind_of_rows_it_got():
    frame = pl.DataFrame(ROWS["sft"])
    index = resampled_index(WEIGHTS, 6, 1).tolist()
    assert dg.lm.resample(ROWS["sft"], WEIGHTS, 6, 1) == [ROWS["sft"][i] for i in index]
    assert dg.lm.resample(frame, WEIGHTS, 6, 1).equals(frame[index])
    data = dg.lm.resample(datasets.Dataset.from_list(ROWS["sft"]), WEIGHTS, 6, 1)
    assert data.to_list() == [ROWS["sft"][i] for i in index]
    with pytest.raises(SamplesError, match="10 weights for 3 rows"):
        dg.lm.resample(ROWS["sft"][:3], WEIGHTS, 6)
    with pytest.raises(SettingsError, match="n is 0"):
        dg.lm.resample(ROWS["sft"], WEIGHTS, 0)
