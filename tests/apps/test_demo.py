"""The demo's parts: a run with labels beside it, repeated by its seed."""

import pytest

from dagame.apps.demo import run_demo
from dagame.lm import tiny
from dagame.lm.tiny.experiment import Judge, Recipe, fine_tune

SHORT = Recipe(steps=2, classes_per_step=2, group_size=4)


@pytest.fixture(autouse=True)
def _one_thread():
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_run_repeats_and_compares_with_labels(tmp_path):
    stages = []
    runs = []
    for k in range(2):
        folder = tmp_path / str(k)
        folder.mkdir()
        runs.append(
            run_demo(folder, 3, compare=True, recipe=SHORT, problems=3, progress=stages.append)
        )
    first, again = runs
    for when in ("before", "after", "labelled", "predicted"):
        assert first[when] == again[when]
    assert first["labelled"]["sampled_accuracy"] != first["after"]["sampled_accuracy"]
    assert "training: step 2 of 2" in stages
    assert "after training on labels" in (tmp_path / "0" / "report.html").read_text()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_model_that_moved_is_closer_to_the_equilibrium():
    """Twelve steps already gain agreement, and the estimated gap falls with it."""
    base, tokenizer = tiny.load()
    model, _ = tiny.load()
    recipe = Recipe(steps=12, classes_per_step=4)
    judge = Judge.of(base, tokenizer, tiny.rows("selection", 12), recipe, 0)
    before, _ = judge.measure(base)
    curve = fine_tune(model, tokenizer, tiny.rows("finetune"), recipe.objective(), recipe, 0)
    after, _ = judge.measure(model)
    assert after["agreement"] > before["agreement"] + 0.02
    assert after["gap"] < before["gap"]
    assert [row["step"] for row in curve] == list(range(1, 13))
    assert curve[-1]["game/kl"] > 0
