"""The demo's parts: a run with labels beside it, repeated by its seed."""

import json

import pytest
from commandline import dagame, dagame_lm

from dagame.apps.demo import run_demo
from dagame.lm import tiny
from dagame.lm.tiny.experiment import Judge, Recipe, fine_tune
from dagame.numerics.fast import on_arrays


@pytest.fixture(autouse=True)
def _one_thread():
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The folder, the numbers and the messages of the command."""
    out = tmp_path_factory.mktemp("demo") / "d"
    done = dagame_lm(
        *("demo", "--out", out, "--steps", 2, "--problems", 3, "--seed", 3, "--compare"),
        *("--json", "-"),
    )
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout), done.stderr


def test_the_command_trains_the_embedded_model_and_reports(command):
    out, found, said = command
    assert found["before"]["kl"] == pytest.approx(0, abs=1e-5)
    assert 0 < found["after"]["kl"] < 0.2
    for when in ("before", "after"):
        low, high = found[when]["gap_interval"]
        assert low <= found[when]["gap"] <= high
        assert 0.3 < found[when]["sampled_accuracy"] < found[when]["majority_accuracy"] <= 1
    assert found["predicted"]["accuracy_equilibrium"] > found["after"]["sampled_accuracy"]
    assert found["seconds"] > 0
    assert "Warning" not in said
    names = sorted(p.name for p in out.iterdir())
    assert names == ["game.html", "model", "report.html", "samples.parquet"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert f"{found['after']['sampled_accuracy']:.3f}" in page
    assert "Worst after training" in page
    assert "after training on labels" in page
    assert found["provenance"]["versions"]["trl"]
    assert found["provenance"]["date"] in page
    assert "<script" not in page


def test_its_samples_are_solved_to_what_it_predicts(command):
    out, found, _ = command
    again = dagame(
        *("solve", out / "samples.parquet", "--class", "class_id", "--context", "member_id"),
        *("--correct", "correct", "--extract", r"#\s*(\d+)", "--beta", 0.1, "--json", "-"),
    )
    summary = json.loads(again.stdout)["summary"]
    assert summary["accuracy_equilibrium"] == pytest.approx(
        found["predicted"]["accuracy_equilibrium"], abs=1e-6
    )


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_run_repeats_with_labels_beside_it_and_without(command, tmp_path):
    _, first, _ = command
    stages = []
    with on_arrays():  # as the command's own process, which has solved too little for kernels
        again = run_demo(tmp_path, 3, recipe=Recipe(steps=2), problems=3, progress=stages.append)
    for when in ("before", "after", "predicted"):
        assert first[when] == json.loads(json.dumps(again[when]))
    assert first["labelled"]["sampled_accuracy"] != first["after"]["sampled_accuracy"]
    assert "training: step 2 of 2" in stages


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_model_that_moved_is_closer_to_the_equilibrium():
    """Eight steps already gain agreement, and the estimated gap falls with it."""
    base, tokenizer = tiny.load()
    model, _ = tiny.load()
    recipe = Recipe(steps=8, classes_per_step=4)
    judge = Judge.of(base, tokenizer, tiny.rows("selection", 5), recipe, 0)
    before, _ = judge.measure(base)
    curve = fine_tune(model, tokenizer, tiny.rows("finetune"), recipe.objective(), recipe, 0)
    after, _ = judge.measure(model)
    assert after["agreement"] > before["agreement"] + 0.02
    assert after["gap"] < before["gap"]
    assert [row["step"] for row in curve] == list(range(1, 9))
    assert curve[-1]["game/kl"] > 0
