"""`dagame demo`: the embedded model plays Coherence-GRPO, measured and certified on new problems."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ..lm.tiny.experiment import CERTIFICATE_SAMPLES, CERTIFIED, Judge, Recipe, fine_tune
from ..show.progress import Progress, silent


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
    from ..files.output import put_text, replacing_all
    from ..files.strict_json import json_text
    from ..lm import tiny
    from ..provenance import provenance
    from .demo_report import demo_page
    from .report import samples_report

    started = time.perf_counter()
    say = progress or silent
    made = recipe or Recipe()
    say("loading the embedded model")
    base, tokenizer = tiny.load()
    rows, new = tiny.rows("finetune"), tiny.rows("test", problems)
    judge = Judge.of(base, tokenizer, new, made, seed, progress=_named("reference", say))
    before, first = judge.measure(base, _named("before", say))
    say("solving the exact game on the reference's samples")
    exact = judge.predict(first)
    model, _ = tiny.load()
    curves = fine_tune(model, tokenizer, rows, made.objective(), made, seed, say)
    after, last = judge.measure(model, _named("after", say))
    result: dict[str, Any] = {"before": before, "after": after}
    if compare:
        told, _ = tiny.load()
        fine_tune(told, tokenizer, rows, made.labelled(), made, seed, _named("labels", say))
        result["labelled"], _ = judge.measure(told, _named("labelled", say))
    keys = ("accuracy_equilibrium", "agreement_equilibrium", "no_answer_equilibrium", "max_gap")
    result["predicted"] = {k: exact.summary[k] for k in keys}
    say("writing the report")
    facts = {
        "objective": repr(made.objective()),
        "beta": made.beta,
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": made.steps,
        "completions": made.classes_per_step * tiny.PHRASINGS * made.group_size,
        "problems": len(rows) // tiny.PHRASINGS,
        "tested": len(new) // tiny.PHRASINGS,
        "contexts": tiny.PHRASINGS,
        "seed": seed,
        "confidence": 0.95,
        "certified": min(CERTIFIED, len(new) // tiny.PHRASINGS),
        "certificate_samples": CERTIFICATE_SAMPLES,
    }
    result = {"seconds": time.perf_counter() - started, **result, "settings": facts}
    result["provenance"] = provenance()
    facts["seconds"] = result["seconds"]
    rows_file, page, game = (folder / n for n in ("samples.parquet", "report.html", "game.html"))
    weights = folder / "model"
    files = [rows_file, page, game, *([] if numbers is None else [numbers])]
    with replacing_all(files, folders=[weights]) as drafts:
        with drafts[rows_file].open("wb") as stream:
            exact.rows.write_parquet(stream)
        model.save_pretrained(drafts[weights])
        tokenizer.save_pretrained(drafts[weights])
        told = "What samples of the model as it was say"
        put_text(drafts[game], samples_report(exact, told, rows=rows_file))
        put_text(drafts[page], demo_page(result, first, last, new, curves))
        if numbers is not None:
            put_text(drafts[numbers], json_text(result))
    return result


def _named(what: str, say: Progress) -> Progress:
    return lambda stage: say(f"{what}: {stage}")
