"""`dagame demo`: the embedded model plays Coherence-GRPO, measured and certified on new problems."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from .objectives import Coherence, Objective
from .progress import Progress, silent

if TYPE_CHECKING:
    from .lm._evaluate import LMEvaluation
    from .lm.rewards import ObjectiveOf
    from .samples.equilibria import SampleEquilibria

MAX_NEW_TOKENS, CERTIFIED, CERTIFICATE_SAMPLES = 16, 20, 64


@dataclass(frozen=True)
class Recipe:
    """How the embedded model is fine-tuned; chosen on the selection split."""

    strength: float = 1.0
    beta: float = 0.1
    learning_rate: float = 1e-3
    steps: int = 80
    classes_per_step: int = 8
    group_size: int = 8

    def objective(self) -> Objective:
        """Arithmetic coherence."""
        return Coherence(self.strength)

    def labelled(self) -> ObjectiveOf:
        """The reward of the right answer, at the same strength."""
        from .objectives import Reward
        from .samples.equilibria import labelled_table

        return lambda bucket: self.strength * Reward(labelled_table(bucket))


@dataclass(frozen=True, eq=False)
class Judge:
    """What every model of a run is measured by: problems, the reference and samples of it."""

    reference: Any
    tokenizer: Any
    rows: Sequence[Mapping[str, Any]]
    recipe: Recipe
    seed: int
    samples: int
    drawn: LMEvaluation
    certified: Sequence[Mapping[str, Any]]
    """Rows of the first problems, of which the certificate has more samples; `drawn` is its reference."""

    @classmethod
    def of(
        cls,
        reference: Any,
        tokenizer: Any,
        rows: Sequence[Mapping[str, Any]],
        recipe: Recipe,
        seed: int,
        samples: int = 16,
        progress: Progress | None = None,
    ) -> Judge:
        """Draw the certificate's samples of the reference."""
        first = list(dict.fromkeys(row["class_id"] for row in rows))[:CERTIFIED]
        some = [row for row in rows if row["class_id"] in first]
        draws = CERTIFICATE_SAMPLES
        drawn = _evaluate(reference, tokenizer, some, draws, seed + 1_000_003, None, progress)
        return cls(reference, tokenizer, rows, recipe, seed, samples, drawn, some)

    def measure(
        self, model: Any, progress: Progress | None = None
    ) -> tuple[dict[str, Any], LMEvaluation]:
        """Accuracies, agreement, entropy, KL and the estimated gap of a model; and its evaluation."""
        import polars as pl

        from .lm._certificate import certificate_from_samples

        found, more = (
            _evaluate(model, self.tokenizer, rows, draws, self.seed, self.reference, progress)
            for rows, draws in (
                (self.rows, self.samples),
                (self.certified, CERTIFICATE_SAMPLES),
            )
        )
        ours = more.completions.with_columns(
            (pl.col("log_prob") - pl.col("log_ratio")).alias("log_reference")
        )
        gap = certificate_from_samples(
            ours,
            self.drawn.completions,
            self.recipe.objective(),
            self.recipe.beta,
            log_policy="log_prob",
            seed=self.seed,
        )
        numbers = found.as_dict()
        names = ("sampled_accuracy", "greedy_accuracy", "majority_accuracy", "agreement")
        names += ("entropy", "kl", "no_answer")
        return {k: numbers[k] for k in names} | {
            "gap": gap.gap,
            "gap_interval": list(gap.interval),
            "value": gap.value,
        }, found

    def predict(self, found: LMEvaluation) -> SampleEquilibria:
        """The exact game on samples of the reference: what coherence would make of them."""
        from .samples import Samples

        samples = Samples.from_answers(
            found.completions, "class_id", "member_id", correct="correct"
        )
        return samples.solve(self.recipe.objective(), beta=self.recipe.beta)


def _evaluate(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Mapping[str, Any]],
    samples: int,
    seed: int,
    reference: Any,
    progress: Progress | None,
) -> LMEvaluation:
    from .lm import tiny
    from .lm._evaluate import evaluate

    return evaluate(
        model,
        tokenizer,
        rows,
        samples=samples,
        max_new_tokens=MAX_NEW_TOKENS,
        extract=tiny.extract,
        reference=reference,
        seed=seed,
        batch_size=1024,
        progress=progress,
    )


def fine_tune(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Mapping[str, Any]],
    objective: ObjectiveOf,
    recipe: Recipe,
    seed: int,
    progress: Progress | None = None,
    **reward_options: Any,
) -> list[dict[str, Any]]:
    """Train the model in place through TRL, the KL in the reward; the metrics of every step."""
    from transformers.trainer_callback import PrinterCallback

    from .lm import tiny
    from .lm.grpo import coherence_grpo

    with TemporaryDirectory() as folder:
        trainer = coherence_grpo(
            model,
            list(rows),
            objective,
            beta=recipe.beta,
            extract=tiny.extract,
            tokenizer=tokenizer,
            output_dir=folder,
            group_size=recipe.group_size,
            classes_per_step=recipe.classes_per_step,
            steps=recipe.steps,
            class_column="class_id",
            reward_options=reward_options,
            learning_rate=recipe.learning_rate,
            lr_scheduler_type="linear",
            max_completion_length=MAX_NEW_TOKENS,
            seed=seed,
            use_cpu=True,
            bf16=False,
            dataloader_pin_memory=False,
            gradient_checkpointing=False,
            save_strategy="no",
            logging_steps=1,
            disable_tqdm=True,
            report_to=[],
            callbacks=[_steps_to(progress)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        return [row for row in trainer.state.log_history if "loss" in row]


def _steps_to(progress: Progress | None) -> Any:
    from transformers.trainer_callback import TrainerCallback

    class Steps(TrainerCallback):
        """Tells the step."""

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            """Step k of n."""
            if progress is not None:
                progress(f"training: step {state.global_step} of {state.max_steps}")

    return Steps()


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
    from .demo_report import demo_page
    from .lm import tiny
    from .output import json_text, put_text, replacing_all
    from .provenance import provenance
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
    rows, page, game = (folder / n for n in ("samples.parquet", "report.html", "game.html"))
    weights = folder / "model"
    files = [rows, page, game, *([] if numbers is None else [numbers])]
    with replacing_all(files, folders=[weights]) as drafts:
        with drafts[rows].open("wb") as stream:
            exact.rows.write_parquet(stream)
        model.save_pretrained(drafts[weights])
        tokenizer.save_pretrained(drafts[weights])
        put_text(drafts[game], samples_report(exact, "The exact game on the reference"))
        put_text(drafts[page], demo_page(result, first, last, new, curves))
        if numbers is not None:
            put_text(drafts[numbers], json_text(result))
    return result


def _named(what: str, say: Progress) -> Progress:
    return lambda stage: say(f"{what}: {stage}")
