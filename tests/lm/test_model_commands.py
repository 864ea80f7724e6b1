"""`dagame evaluate` and `dagame certify` on a run of the embedded model, against the Python calls."""

import json
import re
import shlex
import sys

import numpy as np
import pytest
import yaml

pytest.importorskip("trl")

import dagame as dg
from dagame.apps import cli
from dagame.apps.command import run
from dagame.errors import SamplesError
from dagame.lm import tiny
from dagame.lm.comparison import MEASURES, Compared, compare, verdict

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*is_gradient_checkpointing.*:FutureWarning",
    "ignore::ResourceWarning",
)
EXTRACT = r"#\s*(\d+)"
TRAINING = {"learning_rate": 1e-3, "max_completion_length": 16, "use_cpu": True, "bf16": False}
TRAINING |= {"gradient_checkpointing": False, "dataloader_pin_memory": False}
READ = ("--extract", EXTRACT, "--canonical", "number", "--max-new-tokens", "16")
COLUMNS = ("--class", "class_id", "--gold", "answer")


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The embedded model, questions to train on and new ones, and a run of two steps."""
    folder = tmp_path_factory.mktemp("commands")
    tiny.save(*tiny.load(), folder / "base")
    write_rows(folder / "train.jsonl", tiny.rows("finetune", 4))
    write_rows(folder / "new.jsonl", tiny.rows("test", 3))
    settings = {
        "model": str(folder / "base"),
        "output": str(folder / "out"),
        "data": {
            "path": str(folder / "train.jsonl"),
            "class_column": "class_id",
            "answer_column": "answer",
        },
        "objective": {"name": "coherence", "strength": 0.7},
        "beta": 0.2,
        "answers": {"extract": EXTRACT, "canonical": "number"},
        "batch": {"group_size": 4, "classes_per_step": 2, "steps": 2},
        "training": TRAINING,
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    return folder


@pytest.fixture
def dagame(monkeypatch, capsys):
    """The command line in this process: exit code, stdout, stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["dagame", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setattr("dagame.apps.command._reserve_streams", lambda: None)
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            run(cli.app, "dagame")
        told = capsys.readouterr()
        return stopped.value.code or 0, told.out, told.err

    return call


def next_of(out):
    return [
        shlex.split(line.removeprefix("next: ")) for line in out.splitlines() if "next: " in line
    ]


@pytest.fixture
def trained(place, dagame):
    """The run's folder; made by the command line once."""
    if not (place / "out").exists():
        code, out, err = dagame("finetune", place / "run.yaml")
        assert code == 0, err
        found = [["dagame", verb, str(place / "out")] for verb in ("evaluate", "certify")]
        assert next_of(out) == found
    return place / "out"


def loaded(place, trained):
    from transformers import AutoModelForCausalLM

    reference, tokenizer = tiny.load(place / "base")
    return AutoModelForCausalLM.from_pretrained(trained / "model").eval(), reference, tokenizer


def rows_of(split, count):
    """As the commands number contexts: in the order of the file."""
    return tiny.rows(split, count)


def test_a_run_is_evaluated_as_the_python_calls_do(place, trained, dagame, tmp_path):
    numbers, page = tmp_path / "e.json", tmp_path / "e.html"
    given = ("evaluate", trained, place / "new.jsonl", "--samples", 4, "--seed", 3)
    code, out, err = dagame(*given, "--json", numbers, "--report", page)
    assert code == 0, err
    found = json.loads(numbers.read_text())
    model, reference, tokenizer = loaded(place, trained)
    options = {"samples": 4, "max_new_tokens": 16, "extract": EXTRACT, "canonical": "number"}
    rows = rows_of("test", 3)
    before = dg.lm.evaluate(reference, tokenizer, rows, seed=3, **options)
    after = dg.lm.evaluate(model, tokenizer, rows, seed=3, reference=reference, **options)
    assert [row["name"] for row in found["measures"]] == [name for name, _ in MEASURES]
    for row in found["measures"]:
        assert row["before"] == pytest.approx(getattr(before, row["name"]), abs=1e-12)
        assert row["after"] == pytest.approx(getattr(after, row["name"]), abs=1e-12)
        for value, ends in (("after", "after_interval"), ("difference", "difference_interval")):
            if row[value] is not None:
                assert row[ends][0] - 1e-12 <= row[value] <= row[ends][1] + 1e-12
    assert found["settings"]["reference"] == str(place / "base")
    assert next_of(out) == [["dagame", "certify", str(trained), str(place / "new.jsonl")]]
    assert max(map(len, out.splitlines()[:20])) <= 80
    text = page.read_text()
    assert text.startswith("<!doctype html>")
    assert found["verdict"] in " ".join(out.split())
    assert found["verdict"].startswith("On 3 questions held out of the training agreement ")
    assert found["verdict"] in text
    assert not re.search(r"(src|href)=[\"'](?!data:)", text)
    assert "accuracy, sampled" in text


def test_a_run_is_certified_in_its_own_game(place, trained, dagame, tmp_path):
    numbers, page = tmp_path / "c.json", trained / "certificate.html"
    given = ("certify", trained, place / "new.jsonl", "--samples", 6, "--seed", 1)
    code, out, err = dagame(*given, "--json", numbers, "--report", page)
    assert code == 0, err
    found = json.loads(numbers.read_text())
    model, reference, tokenizer = loaded(place, trained)
    wanted = dg.lm.certificate(
        model,
        reference,
        rows_of("test", 3),
        dg.Coherence(0.7),
        0.2,
        6,
        tokenizer=tokenizer,
        extract=EXTRACT,
        canonical="number",
        max_new_tokens=16,
        seed=1,
    )
    for name in ("gap", "value", "upper_bound", "kl", "standard_error", "upper_if_light"):
        assert found["certificate"][name] == pytest.approx(getattr(wanted, name), rel=1e-9)
    assert found["certificate"]["interval"][0] == pytest.approx(wanted.interval[0], rel=1e-9)
    assert found["settings"]["objective"] == "coherence"
    assert found["settings"]["beta"] == 0.2
    assert "no upper end" in out  # 144 samples are too few for a tail to show
    more, other = next_of(out)
    least = -(-wanted.samples_needed // 24)
    assert more[-2:] == ["--samples", str(least)]
    assert other[:2] == ["dagame", "evaluate"]
    assert "no upper end" in page.read_text()


@pytest.mark.parametrize(("drawn", "played"), [(3, False), (8, True)])
def test_a_run_on_some_contexts_at_a_time_is_told_apart(
    place, trained, dagame, tmp_path, drawn, played
):
    """The certificate is of the game of all contexts, whatever the run played."""
    record = json.loads((trained / "run.json").read_text())
    record["config"]["data"]["contexts"] = drawn
    (tmp_path / "run.json").write_text(json.dumps(record))
    (tmp_path / "model").symlink_to(trained / "model")
    given = ("certify", tmp_path, place / "new.jsonl", "--limit", 1, "--samples", 4)
    code, out, err = dagame(*given, "--json", "-")
    assert code == 0, err
    told = [line for line in json.loads(out)["conditions"] if "all contexts" in line]
    assert len(told) == (not played)
    assert played or "(8)" in told[0]
    assert played or "drew 3 of them" in told[0]


def test_what_is_asked_next_can_be_pasted(place, trained, dagame):
    """The command that `certify` names for an upper end gives one."""
    _, out, _ = dagame("certify", trained, place / "new.jsonl", "--samples", 4)
    code, out, err = dagame(*next_of(out)[0][1:])
    assert code == 0, err
    assert "no upper end" not in out
    assert [words[1] for words in next_of(out)] == ["evaluate"]


def test_the_distance_bound_is_the_upper_end_over_what_is_left_of_the_kl():
    rng = np.random.default_rng(0)
    rows = [
        {"class_id": c, "member_id": x, "answer": str(rng.integers(3)), "log_policy": -1.0}
        | {"log_reference": -1.1}
        for c in range(4)
        for x in range(2)
        for _ in range(100)
    ]
    for objective, left in (
        (dg.Coherence(), 0.5),
        (
            0.5 * dg.PairwiseCoherence(),
            0.5 + 0.5 * dg.PairwiseCoherence().curvature_for([0.5, 0.5]),
        ),
    ):
        found = dg.lm.certificate_from_samples(rows, rows, objective, 0.5)
        assert np.isfinite(found.interval[1])
        assert found.distance_bound == pytest.approx(found.interval[1] / min(left, 0.5))


def test_without_a_reference_and_without_labels(place, dagame):
    given = ("evaluate", place / "base", place / "new.jsonl", "--class", "class_id", *READ)
    code, out, err = dagame(*given, "--samples", 2, "--json", "-")
    assert code == 0, err
    found = json.loads(out)  # nothing else is on stdout
    known = {row["name"]: row for row in found["measures"]}
    assert all(row["before"] is row["difference"] is None for row in known.values())
    for name in ("sampled_accuracy", "greedy_accuracy", "majority_accuracy", "kl"):
        assert known[name]["after"] is None
    assert known["length"]["after"] > 5
    assert "no right answers were given" in " ".join(found["notes"])
    assert "next: " not in err


def test_the_runs_own_questions_are_told_to_be_its_own(trained, dagame):
    code, out, err = dagame("evaluate", trained, "--limit", 2, "--samples", 2)
    assert code == 0, err
    assert "2 questions, 16 prompts" in out
    assert "that the run was trained on" in " ".join(out.split())


def test_rows_without_a_right_answer_count_in_no_accuracy():
    model, tokenizer = tiny.load()
    rows = tiny.rows("test", 2)
    options = {"samples": 4, "max_new_tokens": 16, "extract": tiny.extract}
    half = [
        row | {"answer": None} if row["class_id"] == rows[-1]["class_id"] else row for row in rows
    ]
    found = dg.lm.evaluate(model, tokenizer, half, **options)
    alone = dg.lm.evaluate(model, tokenizer, rows, **options).prompts[:8]
    assert found.sampled_accuracy == pytest.approx(alone["sampled_accuracy"].mean())
    assert found.greedy_accuracy == pytest.approx(alone["greedy_accuracy"].mean())
    assert found.classes["majority_accuracy"].null_count() == 1
    assert found.length == pytest.approx(found.completions["tokens"].mean())


def test_ragged_questions_weigh_by_their_prompts():
    model, tokenizer = tiny.load()
    rows = [row for k, row in enumerate(tiny.rows("test", 3)) if k not in (1, 2, 3, 9)]
    found = dg.lm.evaluate(
        model, tokenizer, rows, samples=4, max_new_tokens=16, extract=tiny.extract
    )
    for row in compare(None, found):
        assert row.after is None or row.after == pytest.approx(getattr(found, row.name))
    other = dg.lm.evaluate(
        model, tokenizer, rows[1:], samples=4, max_new_tokens=16, extract=tiny.extract
    )
    with pytest.raises(SamplesError, match="different prompts"):
        compare(other, found)


def test_the_card_of_a_run_takes_the_verdict(place, trained, dagame):
    card = (trained / "README.md").read_text()
    assert "not checked**: no questions were held out" in card or "held out of the training" in card
    given = ("evaluate", trained, place / "new.jsonl", "--samples", 2, "--limit", 1)
    code, out, err = dagame(*given, "--card")
    assert code == 0, err
    for card in (trained / "README.md", trained / "model" / "README.md"):
        assert "**On 1 question held out of the training" in card.read_text()
        assert f"wrote {card}" in out
    code, _, err = dagame("evaluate", place / "base", place / "new.jsonl", *READ, "--card")
    assert code == 2
    assert "name its folder" in " ".join(err.split())


def measure(name, before, after, ends):
    return Compared(name, name, before, None, after, ends, None, ends)


@pytest.mark.parametrize(
    ("accuracy", "wanted"),
    [
        ((0.5, 0.7, (0.1, 0.3)), "accuracy rose from 0.50 to 0.70 (by 0.10 to 0.30)"),
        ((0.5, 0.7, (-0.1, 0.3)), "accuracy may have risen from 0.50 to 0.70 (by -0.10 to 0.30)"),
        ((0.7, 0.5, (-0.3, -0.1)), "accuracy fell from 0.70 to 0.50"),
        ((0.7, 0.5, (-0.3, 0.1)), "accuracy may have fallen from 0.70"),
        ((0.7, 0.7, (-0.1, 0.1)), "accuracy at 0.70 (by -0.10 to 0.10)"),
        ((None, 0.7, (0.6, 0.8)), "accuracy is 0.70 (0.60 to 0.80)"),
        ((0.5, 0.7, None), "accuracy may have risen from 0.50 to 0.70 and"),
        ((None, None, None), "is not known without right answers"),
    ],
)
def test_a_verdict_is_as_sure_as_its_interval(accuracy, wanted):
    rows = [
        measure("agreement", 0.2, 0.2, (-0.1, 0.1)),
        measure("sampled_accuracy", *accuracy),
        measure("majority_accuracy", 0.8, 0.9, None),
        measure("no_answer", 0.1, 0.3, (0.1, 0.3)),
    ]
    said = verdict(rows, "On 9 questions")
    assert said.startswith("On 9 questions agreement stayed at 0.20")
    assert wanted in said
    assert "the share without an answer" in said
    assert "from 0.10 to 0.30 (by 0.10 to 0.30)" in said
    assert said.endswith((".", "right in 0.80."))


@pytest.mark.parametrize(
    ("verb", "arguments", "sentence"),
    [
        ("evaluate", ["{base}", *READ], "brings no questions"),
        ("evaluate", ["{base}", "{new}", "--max-new-tokens", "8"], "name it by --extract"),
        ("evaluate", ["{base}", "{new}", "--extract", "boxed"], "name it by --max-new-tokens"),
        ("evaluate", ["{empty}", "{new}", *READ], "neither run.json"),
        ("evaluate", ["{base}", "{empty}/none.jsonl", *READ], "none.jsonl"),
        ("evaluate", ["{base}", "{new}", *READ, "--gold", "anwser"], "'answer'"),
        ("evaluate", ["{base}", "{new}", *READ, "--prompt", "text"], "no column 'text'"),
        (
            "evaluate",
            ["{base}", "{new}", *READ, "--class", "answer", "--context", "answer"],
            "two prompts of context",
        ),
        ("evaluate", ["{base}", "{new}", *READ, "--chat"], "no chat template"),
        ("evaluate", ["{base}", "{new}", *READ, "--json", "{new}"], "read or written already"),
        ("certify", ["{base}", "{new}", *READ], "name it by --reference"),
        (
            "certify",
            ["{base}", "{new}", *READ, "--reference", "{base}", "--objective", "cohrence"],
            "coherence",
        ),
        (
            "certify",
            ["{base}", "{new}", *READ, "--reference", "{base}", "--beta", "0"],
            "beta is 0",
        ),
        (
            "certify",
            ["{base}", "{new}", *READ, "--reference", "{base}", "--objective", "reward"],
            "name their column by --gold",
        ),
        ("certify", ["{base}", "{new}", *READ, "--reference", "{empty}"], "cannot be loaded"),
        ("evaluate", ["{trained}", "--chat"], "no chat template"),
        ("certify", ["{unfinished}"], "has no model yet"),
        ("certify", ["{damaged}"], "cannot be read as the record"),
    ],
)
def test_bad_inputs_are_one_sentence(verb, arguments, sentence, place, trained, dagame, tmp_path):
    folders = {name: tmp_path / name for name in ("empty", "unfinished", "damaged")}
    for folder in folders.values():
        folder.mkdir()
    (folders["unfinished"] / "run.json").write_text((trained / "run.json").read_text())
    (folders["damaged"] / "run.json").write_text("{")
    names = folders | {"base": place / "base", "new": place / "new.jsonl"}
    names["trained"] = trained
    told = [word.format(**names) if word.startswith("{") else word for word in arguments]
    code, out, err = dagame(verb, *told)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.startswith("dagame: ")
    assert err.count("\n") == 1
