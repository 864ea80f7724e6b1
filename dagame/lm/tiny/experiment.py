"""Experiments on the embedded model: a recipe trains it, a judge measures what came of it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ...objectives import Coherence, Objective
from ...show.progress import Progress
from .problems import extract

if TYPE_CHECKING:
    import polars as pl

    from ...samples.equilibria import ObjectiveOf, SampleEquilibria
    from ..certificates.from_samples import GapEstimate
    from ..evaluation import LMEvaluation

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
        from ..spec import named_objective

        return named_objective("reward", self.strength)


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

    def trained(
        self, objective: ObjectiveOf, progress: Progress | None = None
    ) -> tuple[Any, list[dict[str, Any]]]:
        """The embedded model trained by the recipe, on problems of its own, and the metrics of every step."""
        from . import load, rows

        model, tokenizer = load()
        given = (objective, self.recipe, self.seed, progress)
        return model, fine_tune(model, tokenizer, rows("finetune"), *given)

    def measure(
        self, model: Any, progress: Progress | None = None
    ) -> tuple[dict[str, Any], LMEvaluation]:
        """Accuracies, agreement, entropy, KL and the estimated gap of a model; and its evaluation."""
        found = self.evaluate(model, progress)
        of, draws = (model, self.tokenizer, self.certified), CERTIFICATE_SAMPLES
        more = _evaluate(*of, draws, self.seed, self.reference, progress)
        gap = self.gap(more.completions, self.recipe.objective())
        numbers = found.as_dict()
        names = ("sampled_accuracy", "greedy_accuracy", "majority_accuracy", "agreement")
        names += ("entropy", "kl", "no_answer")
        return {k: numbers[k] for k in names} | {
            "gap": gap.gap,
            "gap_interval": list(gap.interval),
            "value": gap.value,
        }, found

    def evaluate(self, model: Any, progress: Progress | None = None) -> LMEvaluation:
        """A model on all problems, with its log-ratio to the reference."""
        of = (model, self.tokenizer, self.rows, self.samples)
        return _evaluate(*of, self.seed, self.reference, progress)

    def gap(
        self, completions: pl.DataFrame, objective: ObjectiveOf, correct: str | None = None
    ) -> GapEstimate:
        """What any policy could still gain over the model of the completions, of the first problems."""
        import polars as pl

        from ..certificates.from_samples import certificate_from_samples

        reference = (pl.col("log_prob") - pl.col("log_ratio")).alias("log_reference")
        return certificate_from_samples(
            completions.with_columns(reference),
            self.drawn.completions,
            objective,
            self.recipe.beta,
            log_policy="log_prob",
            correct=correct,
            seed=self.seed,
        )

    def predict(self, found: LMEvaluation) -> SampleEquilibria:
        """The exact game on samples of the reference: what coherence would make of them."""
        from ...samples import Samples

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
    from ..evaluation import evaluate

    return evaluate(
        model,
        tokenizer,
        rows,
        samples=samples,
        max_new_tokens=MAX_NEW_TOKENS,
        extract=extract,
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

    from ..trainers.trl.trainer import coherence_grpo

    own = {k: v for k, v in asdict(recipe).items() if k != "strength"}
    with TemporaryDirectory() as folder:
        trainer = coherence_grpo(
            *(model, list(rows), objective),
            **(_PLAIN | own),
            tokenizer=tokenizer,
            output_dir=folder,
            reward_options=reward_options,
            seed=seed,
            callbacks=[_steps_to(progress)],
        )
        trainer.remove_callback(PrinterCallback)
        with warnings.catch_warnings():  # TRL calls old names of transformers
            warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\b")
            trainer.train()
        return [row for row in trainer.state.log_history if "loss" in row]


_PLAIN: dict[str, Any] = {
    "extract": extract,
    "class_column": "class_id",
    "lr_scheduler_type": "linear",
    "max_completion_length": MAX_NEW_TOKENS,
    "use_cpu": True,
    "bf16": False,
    "dataloader_pin_memory": False,
    "gradient_checkpointing": False,
    "save_strategy": "no",
    "logging_steps": 1,
    "disable_tqdm": True,
    "report_to": [],
}
"""How the embedded model is trained, whatever the recipe."""


def _steps_to(progress: Progress | None) -> Any:
    from transformers.trainer_callback import TrainerCallback

    class Steps(TrainerCallback):
        """Reports each step to a function."""

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            """Step k of n."""
            if progress is not None:
                progress(f"training: step {state.global_step} of {state.max_steps}")

    return Steps()
