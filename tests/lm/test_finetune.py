"""Runs from YAML files: everything is checked first, killed runs go on to the same weights."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("trl")

from distributed.runs import ON_CPU, model_folder, word_tokenizer
from rich.console import Console
from safetensors.numpy import load_file

import dagame as dg
from dagame.apps.terminal import metrics_table
from dagame.errors import ConfigError, DagameError, OutputError, SettingsError
from dagame.lm import tiny
from dagame.lm.finetune.cautions import after, before
from dagame.lm.finetune.config import PLACED, read_config
from dagame.lm.finetune.data import read_rows
from dagame.lm.finetune.folder import last_complete, read_metrics
from dagame.lm.finetune.inputs import inputs_of_run, question_rows, trained_on
from dagame.lm.finetune.judged import BEGIN, END, placed, put_verdict
from dagame.lm.finetune.run import run_finetune
from dagame.lm.finetune.sections import DataSection, FinetuneConfig, ObjectiveSection
from dagame.objectives.catalogue import CATALOGUE
from dagame.text import markdown

pytestmark = pytest.mark.filterwarnings(  # the trainer itself reads the deprecated name
    "ignore:.*is_gradient_checkpointing.*:FutureWarning"
)
EXAMPLES = Path(__file__).parents[2] / "examples"
TRAINING = {
    "learning_rate": 1e-2,
    "max_completion_length": 4,
    "save_steps": 2,
    **ON_CPU,
    "gradient_checkpointing": False,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    model_folder(folder)
    tokenizer = word_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] + ' ' }}{% endfor %}"
    tokenizer.save_pretrained(folder)
    return str(folder)


def write(path, content):
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def questions(path, count=6, **columns):
    rows = [{"q": f"q{i % 4}", "gold": f"#### {i % 3}", **columns} for i in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def task(folder, base, **changes):
    """A small run; `changes` replace or, with a dot in their names, go into a section."""
    made = {
        "model": base,
        "output": str(folder / "out"),
        "data": {
            "path": questions(folder / "data.jsonl"),
            "answer_column": "gold",
            "answer_extract": "gsm8k",
            "paraphrases": ["{q} a", "{q} b"],
        },
        "answers": {"extract": r"\b([0-2])\b", "truncated": "read"},
        "batch": {"group_size": 4, "classes_per_step": 2, "steps": 5},
        "training": dict(TRAINING),
    }
    for name, value in changes.items():
        section, _, key = name.rpartition("__")
        (made[section] if section else made)[key] = value
    return made


def weights(folder):
    return load_file(Path(folder) / "model.safetensors")


def difference(one, other):
    assert one.keys() == other.keys()
    return max(float(np.abs(one[k] - other[k]).max()) for k in one)


@pytest.fixture
def configurations(monkeypatch):
    """The trainer's configurations that are made."""
    from trl.trainer.grpo_config import GRPOConfig

    made, ready = [], GRPOConfig.__post_init__
    monkeypatch.setattr(GRPOConfig, "__post_init__", lambda self: made.append(ready(self)))
    return made


def test_a_run_leaves_weights_metrics_curves_and_a_card(tmp_path, model, configurations):
    told = []
    held = {"path": questions(tmp_path / "new.jsonl", 3, q="x"), "samples": 4}
    path = write(tmp_path / "run.yaml", task(tmp_path, model, evaluation=held))
    result = run_finetune(path, progress=told.append)
    out = tmp_path / "out"
    check_verdict(result["evaluation"], out)
    assert result["steps"] == 5
    assert len(configurations) == 1
    assert difference(weights(out / "model"), weights(model)) > 1e-3
    metrics = read_metrics(out / "metrics.jsonl")
    assert [row["step"] for row in metrics] == [1, 2, 3, 4, 5]
    names = ("value", "agreement", "accuracy", "no_answer", "kl", "zero_signal")
    assert all(f"game/{n}" in row for n in names for row in metrics)
    assert result["last"] == metrics[-1]
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    card = (out / "model" / "README.md").read_text()
    assert "not accuracy" in card
    assert "coherence, strength 1" in card
    assert f"trl {result['provenance']['versions']['trl']}" in card
    assert "Begun with" not in card
    record = json.loads((out / "run.json").read_text())
    assert record["processes"] == 1
    assert record["versions"]["trl"]
    assert any("step 5 of 5" in line for line in told)
    assert not list((out / "model").glob("*.bin"))

    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(out / "model")
    assert len(AutoTokenizer.from_pretrained(out / "model")) == len(word_tokenizer())


def check_verdict(found, out):
    """The numbers of an evaluation on three questions held out, in both copies of the card."""
    assert found["settings"]["questions"] == 3
    assert found["settings"]["prompts"] == 6
    assert "3 questions held out of the training" in found["verdict"]
    measured = {row["name"]: row for row in found["measures"]}
    low, high = measured["agreement"]["difference_interval"]
    assert f"by {low:.2f} to {high:.2f})" in found["verdict"]
    for card in (out / "README.md", out / "model" / "README.md"):
        text = card.read_text()
        assert text.count("## Verdict") == text.count(BEGIN) == text.count(END) == 1
        assert markdown(found["verdict"]) in text
        assert f"{measured['agreement']['after']:.3f}" in text
        assert "Not checked: other questions" in text
        assert "of 3 questions a bootstrap interval is too narrow" in text


def test_a_verdict_takes_the_place_of_the_last(tmp_path):
    (tmp_path / "model").mkdir()
    for start in ("# Card\n", "\n".join(["# Card", *placed(["first"]), "## Training", ""])):
        for card in (tmp_path / "README.md", tmp_path / "model" / "README.md"):
            card.write_text(start)
        put_verdict(tmp_path, ["second"])
        put_verdict(tmp_path, ["third"])
        text = (tmp_path / "model" / "README.md").read_text()
        assert text.count("third") == text.count("## Verdict") == 1
        assert "first" not in text
        assert "second" not in text
        assert ("## Training" in text) == ("Training" in start)


def test_prompts_that_were_trained_on_are_counted(tmp_path, model):
    config = read_config(write(tmp_path / "run.yaml", task(tmp_path, model)))
    rows = question_rows(config.data, "data")
    new = [{**row, "prompt": "x a"} for row in rows[:2]]
    seen = [
        inputs_of_run(config, tmp_path, rows + new, 4, trained).seen
        for trained in (rows, new[:1], [], None)
    ]
    assert seen == [12, 2, 0, None]
    assert trained_on(config.data) == read_rows(config.data)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"path": "nowhere.jsonl"}, "nowhere.jsonl"),
        ({"split": "test"}, "split of data.name"),
        ({"samples": 0}, "evaluation.samples"),
        ({"folder": "x"}, "folder"),
    ],
)
def test_questions_held_out_are_checked_before_a_model_is_loaded(tmp_path, section, words):
    with pytest.raises(DagameError, match=words):
        run_finetune(write(tmp_path / "run.yaml", task(tmp_path, "no-model", evaluation=section)))


def section(name="coherence", strength=1.0, beta=0.1, **others):
    data = DataSection(path="x", answer_column="y")
    objective = ObjectiveSection(name, strength)
    return FinetuneConfig("m", "o", data, objective=objective, beta=beta, **others)


def test_a_game_beyond_the_theorems_is_said():
    beyond = [k.command for k in CATALOGUE.values() if k.command and not (k.concave or k.kinked)]
    assert beyond
    for name in beyond:
        (told,) = before(section(name))
        assert "beta 0.1 is not above 1" in told
        assert before(section(name, 0.05)) == before(section(name, beta=2.0)) == []
    (told,) = before(section("majority-vote", beta=9.0))
    assert "no beta is known" in told
    assert before(section("coherence")) == before(section("reward")) == []


def test_completions_that_are_not_read_are_said():
    (told,) = after(section(), {"game/no_answer": 0.5})
    assert "50%" in told
    assert "'boxed'" in told
    assert after(section(), {"game/no_answer": 0.1}) == after(section(), {}) == []


def test_a_hard_set_is_refused_before_data_and_model_are_read(tmp_path):
    task = {"model": "none", "output": "o", "data": {"path": "none.jsonl"}}
    path = write(tmp_path / "run.yaml", task | {"objective": {"name": "hard-coherence"}})
    with pytest.raises(DagameError, match=r"hard set.*take the soft objective"):
        read_config(path)
    with pytest.raises(DagameError, match="take the soft objective"):
        dg.lm.GroupReward(dg.HardCoherence(), beta=0.1)


def test_a_data_set_that_cannot_be_fetched_names_the_way_out(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError, match=r"give a local file of its rows.*data\.path"):
        read_rows(DataSection(name="no/such-set"))


def test_the_offline_example_is_the_embedded_model_on_its_problems(tmp_path, monkeypatch):
    monkeypatch.chdir(EXAMPLES.parent)
    content = yaml.safe_load((EXAMPLES / "embedded.yaml").read_text())
    assert (
        read_rows(DataSection(**content["data"]))[8]["answer"]
        == tiny.rows("finetune", 2)[8]["answer"]
    )
    rows = [json.loads(line) for line in (EXAMPLES / "embedded.jsonl").read_text().splitlines()]
    assert rows == tiny.rows("finetune", 40)
    new = (EXAMPLES / "embedded-new.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in new] == tiny.rows("test", 20)
    content["output"] = str(tmp_path / "out")
    content["batch"] |= {"steps": 1, "classes_per_step": 1, "group_size": 4}
    content["evaluation"] |= {"limit": 1, "samples": 2}
    result = run_finetune(write(tmp_path / "run.yaml", content))
    assert result["warnings"] == []
    assert result["evaluation"]["verdict"].startswith("On 1 question held out of the training ")
    assert result["first"]["game/no_answer"] < 0.2
    assert 0.3 < result["first"]["game/accuracy"] < 0.95
    out = io.StringIO()
    Console(file=out, width=80).print(metrics_table(result))
    assert "accuracy, sampled" in out.getvalue()
    assert "game/" not in out.getvalue()
    assert "_" not in out.getvalue()


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path, model):
    pytest.importorskip("resource")
    from commandline import parent
    from forks import TRAINING as loaded

    straight = task(tmp_path, model, batch__steps=7)
    run_finetune(write(tmp_path / "straight.yaml", straight))
    path = write(tmp_path / "killed.yaml", straight | {"output": str(tmp_path / "killed")})
    assert parent(loaded).run([path], call="distributed.runs:killed").killed
    out = tmp_path / "killed"
    assert not (out / "model").exists()
    assert [row["step"] for row in read_metrics(out / "metrics.jsonl")] == [1, 2, 3, 4, 5]
    with (out / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 6, "lo')

    (out / "checkpoints" / "checkpoint-6").mkdir()
    assert last_complete(out / "checkpoints").endswith("checkpoint-4")
    result = run_finetune(path, resume=True)
    assert result["resumed_from"] == 4
    assert difference(weights(tmp_path / "out" / "model"), weights(out / "model")) == 0.0
    metrics = [read_metrics(tmp_path / run / "metrics.jsonl") for run in ("out", "killed")]
    assert [row["step"] for row in metrics[1]] == [1, 2, 3, 4, 5, 6, 7]
    timed = {"step_time"}
    for one, other in zip(*metrics, strict=True):
        assert {k: v for k, v in one.items() if k not in timed} == {
            k: v for k, v in other.items() if k not in timed
        }


def test_a_folder_with_a_run_is_neither_overwritten_nor_mixed(tmp_path, model):
    made = task(tmp_path, model, batch__steps=1)
    path = write(tmp_path / "run.yaml", made)
    run_finetune(path)
    with pytest.raises(OutputError, match="--resume"):
        run_finetune(path)
    write(path, made | {"beta": 0.2})
    with pytest.raises(OutputError, match="other settings of beta"):
        run_finetune(path, resume=True)
    write(path, made)
    record = tmp_path / "out" / "run.json"
    facts = json.loads(record.read_text()) | {"processes": 2}
    record.write_text(json.dumps(facts))
    with pytest.raises(OutputError, match="begun with 2 processes"):
        run_finetune(path, resume=True)


def test_adapters_are_trained_and_saved_alone(tmp_path, model):
    lora = {"r": 2, "target_modules": ["q_proj"], "lora_alpha": 4}
    path = write(tmp_path / "run.yaml", task(tmp_path, model, lora=lora, batch__steps=2))
    run_finetune(path)
    saved = load_file(tmp_path / "out" / "model" / "adapter_model.safetensors")
    assert all("lora" in name for name in saved)
    assert max(np.abs(v).max() for k, v in saved.items() if "lora_B" in k) > 0


def test_labelled_objectives_and_the_kl_of_the_loss(tmp_path, model):
    made = task(tmp_path, model, kl="loss", objective={"name": "log-success"}, batch__steps=2)
    result = run_finetune(write(tmp_path / "run.yaml", made))
    assert "kl" in result["last"]
    assert "game/kl" not in result["last"]


@pytest.mark.parametrize("example", sorted(p.name for p in EXAMPLES.glob("*-*.yaml")))
def test_examples_are_valid_and_run_on_tiny_data(tmp_path, model, example):
    read_config(EXAMPLES / example)
    made = yaml.safe_load((EXAMPLES / example).read_text())
    rows = [{"question": f"q{i}", "answer": f"thus #### {i}"} for i in range(4)]
    if "trivia" in example:
        rows = [{"question": f"q{i}", "answer": {"aliases": ["0", "1"]}} for i in range(4)]
        made["answers"]["extract"] = r"\b([0-2])\b"
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    for name in ("name", "config", "split", "limit"):
        made["data"].pop(name, None)
    made["data"]["path"] = str(tmp_path / "d.jsonl")
    made |= {"model": model, "output": str(tmp_path / "out")}
    made["batch"] = {"group_size": 4, "classes_per_step": 2, "steps": 1}
    made["training"] = TRAINING | {"learning_rate": made["training"]["learning_rate"]}
    made["training"]["learning_rate"] = float(made["training"]["learning_rate"])
    assert run_finetune(write(tmp_path / "run.yaml", made))["steps"] == 1


def test_examples_ship():
    assert {p.stem for p in EXAMPLES.glob("*.yaml")} >= {
        "coherence-gsm8k",
        "diversity-gsm8k",
        "coherence-triviaqa",
    }


REFUSED = [
    ({"modle": "x"}, "modle is unknown; did you mean 'model'"),
    ({"data__promt_column": "q"}, "did you mean 'prompt_column'"),
    ({"batch__group_size": "8"}, "batch.group_size is '8'; give an integer"),
    ({"batch__group_size": True}, "give an integer"),
    ({"batch__steps": 0}, "batch.steps is 0"),
    ({"beta": 0}, "finite number > 0"),
    ({"beta": "big"}, "beta is 'big'; give a number"),
    ({"kl": "none"}, '"loss" or "reward"'),
    ({"objective": {"name": "coherent"}}, "did you mean 'coherence'"),
    ({"objective": {"name": "coherence", "strength": -1}}, "strength is -1"),
    ({"objective": "coherence"}, "write settings below it"),
    ({"answers__extract": "("}, "does not compile"),
    ({"answers__truncated": "keep"}, "choose one of no-answer, read"),
    ({"answers__canonical": "numbr"}, "did you mean 'number'"),
    ({"answers__no_answer": "skip"}, "choose one of lowest"),
    ({"data__path": None}, "needs either path"),
    ({"data__name": "gsm8k"}, "needs either path"),
    ({"data__path": "nowhere.jsonl"}, "nowhere.jsonl does not exist"),
    ({"data__answer_column": "god"}, "did you mean 'gold'"),
    ({"data__answer_extract": "boxed"}, "has an answer under data.answer_extract"),
    ({"data__paraphrases": ["{question}"]}, "names {question}"),
    ({"data__paraphrases": ["no column"]}, "has no {column}"),
    ({"data__paraphrases": ["{q"]}, "double braces"),
    ({"data__paraphrases": "{q}"}, "give a list of texts"),
    ({"data__paraphrases": ["{q}"]}, "paraphrases"),
    ({"data__system": "s"}, "set data.chat"),
    ({"data__contexts": 3}, "lower contexts"),
    ({"batch__classes_per_step": 7}, "from 1 to 6"),
    ({"training__lr": 1e-3}, "training.lr is unknown"),
    ({"training__learning_rat": 1e-3}, "did you mean 'learning_rate'"),
    ({"training__num_generations": 4}, "set batch.group_size"),
    ({"training__shuffle_dataset": True}, "shuffle_dataset=True: set False"),
    ({"training__scale_rewards": "group"}, "cancels the strength"),
    ({"training__per_device_train_batch_size": 3}, "make the product 16"),
    ({"training__max_completion_length": 40}, "32 positions"),
    ({"lora": {"rank": 8}}, "lora.rank is unknown"),
    ({"model": "./nowhere"}, "is no folder"),
]


@pytest.mark.parametrize(("changes", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_faults_are_found_before_a_model_is_loaded(tmp_path, model, changes, words, monkeypatch):
    import transformers

    def load(*args, **kwargs):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", load)
    path = write(tmp_path / "run.yaml", task(tmp_path, model, **changes))
    with pytest.raises(DagameError) as caught:
        run_finetune(path)
    assert words in str(caught.value)
    assert not (tmp_path / "out" / "run.json").exists()


def test_a_models_own_sampling_is_found_before_it_is_loaded(tmp_path, model):
    shutil.copytree(model, tmp_path / "m")
    own = {"do_sample": True, "top_k": 20, "min_p": 0.1}
    (tmp_path / "m" / "generation_config.json").write_text(json.dumps(own))
    path = write(tmp_path / "run.yaml", task(tmp_path, str(tmp_path / "m")))
    with pytest.raises(SettingsError, match=r"min_p=0\.1, so"):
        run_finetune(path)


@pytest.mark.parametrize("key", PLACED)
def test_what_has_its_own_place_is_named(tmp_path, model, key):
    path = write(tmp_path / "run.yaml", task(tmp_path, model, **{f"training__{key}": 1}))
    with pytest.raises(ConfigError, match="has its own place"):
        read_config(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model: [", "is no YAML"),
        ("model: a\nmodel: b", "given twice"),
        ("- a", "holds no settings"),
        ("", "holds no settings"),
        ("model: x\noutput: y", "data is missing"),
        ("model: !!python/object/apply:os.getcwd []", "is no YAML"),
    ],
)
def test_broken_files_are_one_sentence(tmp_path, text, words):
    with pytest.raises(ConfigError, match=words):
        read_config(write(tmp_path / "run.yaml", text))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "no.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"model: \xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_config(tmp_path / "latin.yaml")


def test_numbers_in_scientific_notation_are_numbers(tmp_path, model):
    text = yaml.safe_dump(task(tmp_path, model)).replace("0.01", "1e-2")
    assert "1e-2" in text
    assert read_config(write(tmp_path / "run.yaml", text)).training["learning_rate"] == 0.01


def test_rows_of_one_class_are_its_contexts(tmp_path, model):
    data = tmp_path / "d.jsonl"
    rows = [{"id": i // 2, "text": f"q{i} a", "gold": {"n": i // 2}} for i in range(8)]
    data.write_text("".join(json.dumps(r) + "\n" for r in rows))
    section = {
        "path": str(data),
        "class_column": "id",
        "prompt_column": "text",
        "answer_column": "gold.n",
        "limit": 3,
    }
    path = write(tmp_path / "run.yaml", task(tmp_path, model, data=section))
    found = read_rows(read_config(path).data)
    assert [(r["class"], r["prompt"], r["answer"]) for r in found] == [
        (i // 2, f"q{i} a", str(i // 2)) for i in range(6)
    ]


def test_chats_carry_the_system_message(tmp_path, model):
    changes = {"data__chat": True, "data__system": "be brief"}
    path = write(tmp_path / "run.yaml", task(tmp_path, model, **changes))
    prompt = read_rows(read_config(path).data)[0]["prompt"]
    assert [m["role"] for m in prompt] == ["system", "user"]
    assert prompt[1]["content"] == "q0 a"


def test_classes_and_answers_of_csv_stay_what_is_written(tmp_path):
    path = tmp_path / "q.csv"
    path.write_text("no,prompt,gold\n3.1,12,4.50\n3.10,7,4.5\n", encoding="utf-8")
    section = DataSection(path=str(path), class_column="no", answer_column="gold")
    rows = read_rows(section)
    assert [row["class"] for row in rows] == ["3.1", "3.10"]
    assert [row["prompt"] for row in rows] == ["12", "7"]
    assert [row["answer"] for row in rows] == ["4.50", "4.5"]
