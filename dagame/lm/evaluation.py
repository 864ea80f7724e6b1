"""How well and how coherently a language model answers: accuracies, agreement, entropy, KL."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ..errors import DagameError
from ..samples import Partition
from ..samples.keys.reader import AnswerReader
from ..samples.metrics import agreement, majority_accuracy
from ..show.progress import Progress
from .answers import check_truncated, judged_generations
from .models.generation import Generations, complete, log_probability, tokenise
from .models.selfcheck import require_agreement

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class LMEvaluation:
    """What K completions of each prompt, and its greedy one, say about a model.

    Means over prompts, agreement and majority over classes:

    sampled_accuracy, greedy_accuracy: share of right completions.
    majority_accuracy: whether the argmax of a class's answer marginal, averaged over its contexts,
        is right; "no answer" is never it, ties share the credit.
    agreement: mean over pairs of contexts x != x' of <nu_x, nu_x'>, "no answer" being an answer.
    entropy: of nu_x in nats, plug-in, hence biased low by about (answers - 1) / (2 K).
    no_answer, truncated: shares of the sampled completions.
    length: tokens of a sampled completion, its end token counted.
    kl: mean over prompts of E[log pi - log pi0] of whole completions, with the standard error
        `kl_error` of the sampling (the prompts taken as given).

    None stands for what cannot be known: accuracies without answers (rows whose answer is None are
    left out of them), agreement with one context
    per class, kl without a reference, its error with one sample. Tables, as polars data frames:
    `classes` and `prompts`, one row each with these measures (of a prompt also greedy_answer), and
    `completions` with the columns
    class_id, member_id, completion, answer, correct, truncated, tokens, log_prob (of pi) and log_ratio
    (log pi - log pi0), fit for `dagame.Samples.from_answers(completions, "class_id", "member_id")`.
    """

    sampled_accuracy: float | None
    greedy_accuracy: float | None
    majority_accuracy: float | None
    agreement: float | None
    entropy: float
    no_answer: float
    truncated: float
    length: float
    kl: float | None
    kl_error: float | None
    samples: int
    seconds: float
    classes: pl.DataFrame
    prompts: pl.DataFrame
    completions: pl.DataFrame

    def as_dict(self) -> dict[str, Any]:
        """The numbers for JSON; of the tables their lengths."""
        out = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: len(v) if isinstance(v, pl.DataFrame) else v for k, v in out.items()}


def evaluate(
    model: PreTrainedModel | Any,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    *,
    samples: int = 16,
    max_new_tokens: int,
    extract: str | Callable[[str], str | None],
    canonical: str = "auto",
    truncated: str = "no-answer",
    reference: PreTrainedModel | Any | None = None,
    seed: int = 0,
    batch_size: int = 256,
    progress: Progress | None = None,
) -> LMEvaluation:
    """Sample K completions of each prompt at temperature 1, and the greedy one, and measure them.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer.
        rows: one per prompt with the keys class_id, member_id, prompt and, in all rows or in none,
            the right answer under `answer`, or a list of its aliases; `aliases` may hold one list of
            answers that count as one, or several.
        samples: K.
        max_new_tokens: where completions are cut.
        extract: preset, pattern or function of one completion, see `AnswerReader`.
        canonical: what makes two answers equal, right ones included, see `AnswerReader`.
        truncated: what a completion without an end token is: "no-answer", or "read" like any other.
        reference: pi0, a model with the same tokenizer.
        seed: of the samples.
        batch_size: completions handled side by side.
        progress: told the stage in work.

    Raises:
        DagameError: a row lacks a key, or see `generate` and `AnswerReader`.
        SelfCheckFailed: sampler, scorer and tokenizer disagree, see `dagame.lm.models.selfcheck`.
    """
    started = time.perf_counter()
    answered = _check_rows(rows)
    check_truncated(truncated)
    reader = AnswerReader(extract, canonical)
    prompts = [row["prompt"] for row in rows]
    require_agreement([model, reference], tokenizer, prompts, max_new_tokens)
    ids = tokenise(tokenizer, prompts)
    size: dict[str, Any] = {"batch_size": batch_size}
    options = size | {"max_new_tokens": max_new_tokens, "seed": seed, "progress": progress}
    drawn = complete(model, tokenizer, ids, samples, **options)
    likeliest = complete(model, tokenizer, ids, 1, greedy=True, **options)
    log_ratio = None
    if reference is not None:
        log_ratio = drawn.log_prob - log_probability(reference, tokenizer, prompts, drawn, **size)
    found, greedy = (judged_generations(reader, rows, g, truncated) for g in (drawn, likeliest))
    tables = _tables(rows, drawn, found, greedy, answered, log_ratio)
    return LMEvaluation(
        **_means(*tables[:2]),
        kl_error=_standard_error(log_ratio),
        samples=samples,
        seconds=time.perf_counter() - started,
        classes=tables[0],
        prompts=tables[1],
        completions=tables[2],
    )


Judged = tuple[list[str | None], list[float]]


def _tables(
    rows: Sequence[Row],
    drawn: Generations,
    found: Judged,
    greedy: Judged,
    answered: bool,
    log_ratio: np.ndarray | None,
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Of classes, prompts and completions."""
    completions = _completions(rows, drawn, found, answered, log_ratio)
    prompts = _prompts(rows, completions, greedy, answered)
    return _classes(prompts, completions), prompts, completions


def _means(classes: pl.DataFrame, prompts: pl.DataFrame) -> dict[str, Any]:
    """The measures of `LMEvaluation`, shares and lengths without any completion 0."""
    found = {name: _mean(classes[name]) for name in ("majority_accuracy", "agreement")}
    found |= {k: _mean(prompts[k]) for k in ("sampled_accuracy", "greedy_accuracy", "kl")}
    plain = ("entropy", "no_answer", "truncated", "length")
    return found | {name: _mean(prompts[name]) or 0.0 for name in plain}


def _check_rows(rows: Sequence[Row]) -> bool:
    """Whether the rows carry answers; `DagameError` if a key is missing."""
    if not len(rows):
        raise DagameError("there are no rows to evaluate.")
    answered = "answer" in rows[0]
    needed = {"class_id", "member_id", "prompt"} | ({"answer"} if answered else set())
    for k, row in enumerate(rows):
        if missing := sorted(needed - set(row)):
            raise DagameError(
                f"row {k} has no {missing[0]!r}; each row needs class_id, member_id and prompt, "
                "and all rows or none need answer."
            )
        if not answered and "answer" in row:
            raise DagameError(f"row {k} has an 'answer' but row 0 has none; give all or none.")
    return answered


def _completions(
    rows: Sequence[Row],
    drawn: Generations,
    found: Judged,
    answered: bool,
    log_ratio: np.ndarray | None,
) -> pl.DataFrame:
    """One row per sampled completion, the prompts in order."""
    of = np.repeat(np.arange(len(rows)), drawn.log_prob.shape[1])
    keys, right = found
    known = [r == 1 if answered and not np.isnan(r) else None for r in right]
    ratio = [None] * len(of) if log_ratio is None else log_ratio.ravel()
    return pl.DataFrame(
        {
            "class_id": pl.Series([r["class_id"] for r in rows])[of],
            "member_id": pl.Series([r["member_id"] for r in rows])[of],
            "completion": [text for texts in drawn.texts for text in texts],
            "answer": pl.Series(keys, dtype=pl.String),
            "correct": pl.Series(known, dtype=pl.Boolean),
            "truncated": drawn.truncated.ravel(),
            "tokens": drawn.mask.sum(-1).ravel(),
            "log_prob": drawn.log_prob.ravel(),
            "log_ratio": pl.Series(ratio, dtype=pl.Float64),
        }
    )


def _prompts(
    rows: Sequence[Row], completions: pl.DataFrame, greedy: Judged, answered: bool
) -> pl.DataFrame:
    """The measures of each prompt, in order."""
    samples = len(completions) // len(rows)
    of = pl.Series("prompt", np.repeat(np.arange(len(rows)), samples))
    measured = (
        completions.with_columns(of)
        .group_by("prompt", maintain_order=True)
        .agg(
            sampled_accuracy=pl.col("correct").mean(),
            entropy=pl.col("answer").unique_counts().entropy(),
            no_answer=pl.col("answer").is_null().mean(),
            truncated=pl.col("truncated").mean(),
            length=pl.col("tokens").mean(),
            kl=pl.col("log_ratio").mean(),
        )
        .drop("prompt")
    )
    names = pl.DataFrame({k: [r[k] for r in rows] for k in ("class_id", "member_id", "prompt")})
    keys, right = greedy
    column = pl.Series(right, dtype=pl.Float64) if answered else pl.lit(None, pl.Float64)
    names = names.with_columns(
        pl.Series("greedy_answer", keys, dtype=pl.String),
        column.fill_nan(None).alias("greedy_accuracy"),
    )
    return pl.concat([names, measured], how="horizontal")


def _classes(per_prompt: pl.DataFrame, completions: pl.DataFrame) -> pl.DataFrame:
    """Means over each class's prompts beside its agreement and the credit of its majority."""
    means = per_prompt.group_by("class_id", maintain_order=True).agg(
        pl.len().alias("contexts"), pl.col(pl.Float64).mean()
    )
    answered = completions["correct"].null_count() < len(completions)
    names = (completions.select("class_id"), completions.select("member_id"))
    right = completions["correct"] if answered else None
    partition = Partition.build(*names, completions["answer"], right)
    buckets = partition.buckets()
    order = np.concatenate([b.classes for b in buckets])
    shared = pl.DataFrame(
        {
            "class_id": partition.classes["class_id"][order],
            "majority_accuracy": np.concatenate([majority_accuracy(b) for b in buckets]),
            "agreement": np.concatenate([agreement(b.reference) for b in buckets]),
        }
    ).with_columns(pl.col(pl.Float64).fill_nan(None))
    return means.join(shared, on="class_id", how="left", maintain_order="left")


def _mean(column: pl.Series) -> float | None:
    value: Any = column.mean()
    return None if value is None else float(value)


def _standard_error(log_ratio: np.ndarray | None) -> float | None:
    """Of the mean over prompts of means over K samples, from the variance within prompts."""
    if log_ratio is None or log_ratio.shape[1] < 2:
        return None
    prompts, samples = log_ratio.shape
    return float(np.sqrt(log_ratio.var(axis=1, ddof=1).sum() / samples) / prompts)
