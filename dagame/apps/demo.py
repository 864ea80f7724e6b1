"""`dagame demo`: the embedded model plays Coherence-GRPO, measured and certified on new problems."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files.output import put_text, replacing_all
from ..files.strict_json import json_text
from ..lm.tiny.experiment import CERTIFICATE_SAMPLES, CERTIFIED, Judge, Recipe
from ..show.progress import Progress, named, silent

if TYPE_CHECKING:
    from ..samples.equilibria import SampleEquilibria


def run_demo(
    folder: Path,
    seed: int = 0,
    *,
    compare: bool = False,
    recipe: Recipe | None = None,
    problems: int = 100,
    numbers: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Samples, exact game, Coherence-GRPO, evaluation and certificate; writes the report.

    `compare` trains once more, with the same budget, on the true labels. Returns the numbers of
    `--json`: seconds, before, after, predicted and, with `compare`, labelled; they go into the file
    `numbers` if one is named. All files are of one run, whenever it is stopped.
    """
    from ..lm import tiny
    from ..provenance import provenance
    from .demo_report import demo_page

    started, say, made = time.perf_counter(), progress or silent, recipe or Recipe()
    say("loading the embedded model")
    base, tokenizer = tiny.load()
    new = tiny.rows("test", problems)
    judge = Judge.of(base, tokenizer, new, made, seed, progress=named("reference", say))
    before, first = judge.measure(base, named("before", say))
    say("solving the exact game on the reference's samples")
    exact = judge.predict(first)
    model, curves = judge.trained(made.objective(), say)
    after, last = judge.measure(model, named("after", say))
    result: dict[str, Any] = {"before": before, "after": after}
    if compare:
        told, _ = judge.trained(made.labelled(), named("labels", say))
        result["labelled"], _ = judge.measure(told, named("labelled", say))
    result["predicted"] = {k: exact.summary[k] for k in _PREDICTED}
    say("writing the report")
    seconds = time.perf_counter() - started
    facts = _settings(judge, model) | {"seconds": seconds}
    result = {"seconds": seconds, **result, "settings": facts, "provenance": provenance()}
    page = demo_page(result, first, last, new, curves)
    _write(folder, exact, (model, tokenizer), page, None if numbers is None else (numbers, result))
    return result


_PREDICTED = ("accuracy_equilibrium", "agreement_equilibrium", "no_answer_equilibrium", "max_gap")


def _settings(judge: Judge, model: Any) -> dict[str, Any]:
    from ..lm import tiny

    recipe, tested = judge.recipe, len(judge.rows) // tiny.PHRASINGS
    return {
        "objective": repr(recipe.objective()),
        "beta": recipe.beta,
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": recipe.steps,
        "completions": recipe.classes_per_step * tiny.PHRASINGS * recipe.group_size,
        "problems": len(tiny.rows("finetune")) // tiny.PHRASINGS,
        "tested": tested,
        "contexts": tiny.PHRASINGS,
        "seed": judge.seed,
        "confidence": 0.95,
        "certified": min(CERTIFIED, tested),
        "certificate_samples": CERTIFICATE_SAMPLES,
    }


def _write(
    folder: Path,
    exact: SampleEquilibria,
    trained: Sequence[Any],
    page: str,
    numbers: tuple[Path, dict[str, Any]] | None,
) -> None:
    """The files of one run: samples, their page, the trained model and tokenizer, the page, the numbers."""
    from .report import samples_report

    rows, front, game = (folder / n for n in ("samples.parquet", "report.html", "game.html"))
    files = [rows, front, game, *([] if numbers is None else [numbers[0]])]
    with replacing_all(files, folders=[folder / "model"]) as drafts:
        with drafts[rows].open("wb") as stream:
            exact.rows.write_parquet(stream)
        for part in trained:
            part.save_pretrained(drafts[folder / "model"])
        told = "What samples of the model as it was say"
        put_text(drafts[game], samples_report(exact, told, rows=rows))
        put_text(drafts[front], page)
        if numbers is not None:
            put_text(drafts[numbers[0]], json_text(numbers[1]))
