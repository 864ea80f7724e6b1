"""`dagame finetune` with method sft and dpo: from samples.parquet to a model that can be evaluated."""

import json

import polars as pl
import pytest
import yaml

pytest.importorskip("trl")
pytest.importorskip("peft")

from distributed.runs import ON_CPU, random_model, word_tokenizer
from distributed.weighted import OTHER, PROMPTS, ROWS, SHORT, WEIGHTS
from test_finetune import difference, weights

import dagame as dg
from dagame.apps.next_command import after_finetuning
from dagame.errors import ConfigError, DagameError, OutputError, SamplesError
from dagame.lm.finetune.config import read_config
from dagame.lm.finetune.data import read_rows
from dagame.lm.finetune.folder import read_metrics
from dagame.lm.finetune.run import run_finetune
from dagame.lm.finetune.sections import DataSection
from dagame.lm.finetune.weighted import read_weighted

pytestmark = pytest.mark.filterwarnings(  # the trainer itself reads the deprecated name
    "ignore:.*is_gradient_checkpointing.*:FutureWarning"
)
TRAINING = {
    "learning_rate": 1e-2,
    "per_device_train_batch_size": 2,
    "save_steps": 2,
    **ON_CPU,
    "gradient_checkpointing": False,
}
methods = pytest.mark.parametrize("method", ["sft", "dpo"])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    random_model().save_pretrained(folder)
    tokenizer = word_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['content'] + ' ' }}"
        "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    )
    tokenizer.save_pretrained(folder)
    return str(folder)


def solved(folder, **options):
    """samples.parquet of two classes of three phrasings, with reasoning before the answer."""
    rows = [
        {"class": prompt[:2], "phrasing": prompt[3], "prompt": prompt, "completion": f"x {answer}"}
        for prompt in PROMPTS[:6]
        for answer in (0, 0, 1, 1 + (prompt[3] == "a"))
    ]
    samples = dg.Samples.read(pl.DataFrame(rows), "class", "phrasing", extract=r"(\d)", **options)
    found = samples.solve(dg.Coherence(), beta=0.3)
    found.rows.write_parquet(folder / "samples.parquet")
    return found.rows


def task(folder, base, method="sft", rows=None, **changes):
    """A run; its samples are a solved file (sft) or pairs (dpo) unless there are rows."""
    path = folder / "samples.parquet"
    if rows is not None:
        pl.DataFrame(rows).write_parquet(path)
    elif method == "sft":
        solved(folder)
    else:
        pl.DataFrame(ROWS["dpo"]).with_columns(weight=pl.Series(WEIGHTS)).write_parquet(path)
    made = {
        "model": base,
        "output": str(folder / "out"),
        "method": method,
        "data": {"samples": str(path)},
        "batch": {"steps": 5},
        "training": dict(TRAINING),
    }
    for name, value in changes.items():
        section, _, key = name.rpartition("__")
        (made.setdefault(section, {}) if section else made)[key] = value
    (folder / "run.yaml").write_text(yaml.safe_dump(made))
    return folder / "run.yaml"


@methods
def test_a_run_leaves_weights_metrics_curves_and_a_card(method, tmp_path, model):
    told = []
    result = run_finetune(task(tmp_path, model, method), progress=told.append)
    out = tmp_path / "out"
    assert (result["steps"], result["method"]) == (5, method)
    assert result["longest"] == {"sft": 3, "dpo": 5}[method]  # the end token among them
    for line in after_finetuning(result):
        assert line[3:] == ["--max-new-tokens", str(result["longest"])]
    assert difference(weights(out / "model"), weights(model)) > 1e-3
    metrics = read_metrics(out / "metrics.jsonl")
    assert [row["step"] for row in metrics] == [1, 2, 3, 4, 5]
    assert result["last"] == metrics[-1]
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    card = (out / "model" / "README.md").read_text()
    assert f"fine-tuned by weighted {method.upper()}" in card
    assert f"tags: ['dagame', '{method}']" in card.replace('"', "'")
    assert "GRPO" not in card
    assert "rows, weights in" in card
    assert any("step 5 of 5" in line for line in told)
    assert json.loads((out / "run.json").read_text())["config"]["method"] == method


def test_the_run_is_weighted_sft_of_the_same_rows(tmp_path, model):
    run_finetune(task(tmp_path, model))
    trainer = dg.lm.weighted_sft(
        model,
        solved(tmp_path),
        output_dir=str(tmp_path / "own"),
        **TRAINING | {"max_steps": 5, "save_strategy": "no", "seed": 0},
    )
    trainer.train()
    trainer.save_model(str(tmp_path / "own"))
    assert difference(weights(tmp_path / "out" / "model"), weights(tmp_path / "own")) == 0.0


@methods
def test_a_stopped_run_goes_on_to_the_same_weights(method, tmp_path, model):
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    whole.mkdir(), parted.mkdir()
    run_finetune(task(whole, model, method))

    class Stop(Exception):
        pass

    def progress(line):
        if line.startswith("step 3 of"):
            raise Stop

    path = task(parted, model, method)
    with pytest.raises(Stop):
        run_finetune(path, progress=progress)
    with pytest.raises(OutputError, match="--resume"):
        run_finetune(path)
    result = run_finetune(path, resume=True)
    assert result["resumed_from"] == 2
    ends = [weights(folder / "out" / "model") for folder in (whole, parted)]
    assert difference(*ends) == 0.0
    steps = [row["step"] for row in read_metrics(parted / "out" / "metrics.jsonl")]
    assert steps == [1, 2, 3, 4, 5]


@methods
def test_adapters_are_trained_and_saved_alone(method, tmp_path, model):
    lora = {"r": 2, "target_modules": ["q_proj", "v_proj"]}
    run_finetune(task(tmp_path, model, method, lora=lora))
    assert (tmp_path / "out" / "model" / "adapter_config.json").exists()
    assert not (tmp_path / "out" / "model" / "model.safetensors").exists()


def test_rows_that_left_the_counts_are_left_out_and_told(tmp_path, model):
    rows = solved(tmp_path)
    lost = rows.with_columns(
        weight=pl.when(pl.int_range(pl.len()) < 5).then(None).otherwise(pl.col("weight"))
    )
    lost.write_parquet(tmp_path / "samples.parquet")
    found = read_weighted(DataSection(samples=str(tmp_path / "samples.parquet")), "completions")
    assert len(found.rows) == len(rows) - 5
    assert found.notes == (
        f"5 of {len(rows)} rows left the counts of the solved file and were left out",
    )
    lost.drop("weight_normalised").write_parquet(tmp_path / "samples.parquet")
    with pytest.raises(SamplesError, match="row 0 has no weight"):
        read_weighted(DataSection(samples=str(tmp_path / "samples.parquet")), "completions")


def test_a_files_own_weights_make_way_for_the_solved_ones(tmp_path):
    rows = solved(tmp_path).rename({"weight": "dagame_weight"}).with_columns(weight=pl.lit(7.0))
    rows.write_parquet(tmp_path / "samples.parquet")
    section = DataSection(samples=str(tmp_path / "samples.parquet"))
    assert read_weighted(section, "completions").column == "dagame_weight"
    own = DataSection(samples=section.samples, weight_column="weight")
    assert {row["weight"] for row in read_weighted(own, "completions").rows} == {7.0}


@pytest.mark.parametrize(
    "reasons",
    [{"truncated": [True, False]}, {"finish_reason": ["length", "stop"]}],
)
def test_completions_that_were_cut_off_get_no_end(reasons, tmp_path):
    rows = pl.DataFrame(
        {"prompt": ["q0 a ", "q1 a "], "completion": ["0 1", "2"], "weight": [1.0, 2.0], **reasons}
    )
    rows.write_parquet(tmp_path / "s.parquet")
    found = read_weighted(DataSection(samples=str(tmp_path / "s.parquet")), "completions").rows
    assert [row["truncated"] for row in found] == [True, False]
    chats = read_weighted(
        DataSection(samples=str(tmp_path / "s.parquet"), chat=True), "completions"
    )
    assert [row["prompt"][0]["content"] for row in chats.rows] == ["q1 a "]
    assert chats.rows[0]["completion"] == [{"role": "assistant", "content": "2"}]
    assert chats.notes == ("1 of 2 rows were cut off and were left out",)


def test_chats_are_trained_through_the_template(tmp_path, model):
    run_finetune(task(tmp_path, model, data__chat=True))
    assert difference(weights(tmp_path / "out" / "model"), weights(model)) > 1e-3


def test_the_questions_of_samples_are_their_prompts_once(tmp_path):
    solved(tmp_path)
    section = DataSection(samples=str(tmp_path / "samples.parquet"), class_column="class")
    rows = read_rows(section)
    assert [row["prompt"] for row in rows] == PROMPTS[:6]
    assert [row["class"] for row in rows] == ["q0"] * 3 + ["q1"] * 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "ppo"}, "method is 'ppo'; choose one of grpo, sft, dpo"),
        ({"method": "grpo"}, "data.samples is of method sft or dpo, but method is grpo"),
        ({"data": {"path": "x.jsonl"}}, "method sft trains on data.samples, a file of completions"),
        ({"data__path": "x.jsonl"}, "leave data.path and data.name out"),
        ({"kl": "loss"}, "kl is of method grpo, but method is sft"),
        ({"batch__group_size": 4}, "batch.group_size is of method grpo"),
        ({"data__paraphrases": ["{prompt}"]}, "data.paraphrases is of method grpo"),
        ({"data__chosen_column": "x"}, "data.chosen_column is of method dpo"),
        (
            {"data__weight_column": "wieght"},
            "no column 'wieght' \\(data.weight_column\\).*'weight'",
        ),
        ({"data__completion_column": "out"}, "no column 'out' \\(data.completion_column\\)"),
        ({"training__packing": True}, "break the weights of rows: packing=True"),
        ({"training__num_generations": 8}, "training.num_generations is unknown"),
        ({"training__max_steps": 8}, "training.max_steps has its own place; set batch.steps"),
        ({"training__max_completion_length": 8}, "training.max_completion_length is unknown"),
        ({"data__samples": "missing.parquet"}, "missing.parquet"),
    ],
)
def test_faults_are_found_before_a_model_is_loaded(tmp_path, model, changes, words, monkeypatch):
    monkeypatch.setattr("trl.trainer.sft_trainer.create_model_from_path", None)
    with pytest.raises(DagameError, match=words):
        run_finetune(task(tmp_path, model, **changes))
    assert not (tmp_path / "out" / "run.json").exists()


def test_weights_and_texts_that_are_none_are_one_sentence(tmp_path, model):
    rows = [row | {"weight": w} for row, w in zip(ROWS["sft"], WEIGHTS, strict=True)]
    for row, changes, words in (
        (3, {"weight": -1.0}, "row 3 has the weight -1.0"),
        (2, {"weight": float("nan")}, "row 2 has the weight nan"),
        (4, {"weight": None}, "row 4 has no weight"),
        (1, {"prompt": ""}, "row 2: column 'prompt' holds ''"),
        (1, {"completion": None}, "row 1: column 'completion' holds None"),
        (1, {"completion": "0 " * 40}, "row 1 has 43 tokens, more than the model's 32"),
    ):
        bad = [dict(r) for r in rows]
        bad[row] |= changes
        with pytest.raises(DagameError, match=words):
            run_finetune(task(tmp_path, model, rows=bad, output=str(tmp_path / words[:6])))


def test_the_output_may_not_overwrite_the_samples(tmp_path, model):
    path = task(tmp_path, model, output=str(tmp_path / "samples.parquet"))
    with pytest.raises(ConfigError, match=r"would overwrite data\.samples"):
        read_config(path)


def test_pairs_without_names_of_their_own(tmp_path, model):
    rows = {"q": PROMPTS, "good": SHORT, "bad": OTHER, "w": WEIGHTS}
    names = {"prompt_column": "q", "chosen_column": "good", "rejected_column": "bad"}
    columns = {f"data__{k}": v for k, v in (names | {"weight_column": "w"}).items()}
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir(), two.mkdir()
    run_finetune(task(one, model, "dpo", rows, **columns))
    run_finetune(task(two, model, "dpo"))
    ends = [weights(folder / "out" / "model") for folder in (one, two)]
    assert difference(*ends) == 0.0
