"""How much any policy could still gain over a language model: samples are drawn, scored and judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InvalidGame, SamplesError
from ...objectives import Objective
from ...samples.equilibria import ObjectiveOf
from ...samples.keys.reader import AnswerReader
from ...show.progress import Progress, silent
from .bounds import check_objective
from .from_samples import GapEstimate, certificate_from_samples, check_numbers

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedTokenizerBase

    from ..models.generation import Generations


def certificate(
    policy: Any,
    reference: Any,
    prompts: Sequence[Any],
    objective: ObjectiveOf,
    beta: float,
    samples: int = 64,
    *,
    tokenizer: PreTrainedTokenizerBase,
    extract: str | Callable[[str], str | None],
    max_new_tokens: int,
    class_ids: Sequence[Any] | None = None,
    canonical: str = "auto",
    truncated: str = "no-answer",
    reference_samples: int | None = None,
    smoothing: float = 0.5,
    unseen: int = 0,
    confidence: float = 0.95,
    largest_log_ratio: float | None = None,
    seed: int = 0,
    batch_size: int = 256,
    progress: Progress | None = None,
) -> GapEstimate:
    """Estimate from samples how much any policy could still gain over `policy`.

    Draws completions of both models at temperature 1, scores the policy's under the reference, and
    hands them to `certificate_from_samples`, which states formula and guarantees
    (docs/theory/lm-certificate.md).

    Args:
        policy: a causal language model of transformers.
        reference: pi0, of the same tokenizer; None for the policy with its peft adapter disabled.
        prompts: rows with class_id, member_id and prompt, and where `objective` needs them labels
            as in `dagame.lm.evaluate`; or one list of prompts per class; or texts, with `class_ids`
            beside them or each a class of its own.
        objective: Phi for all classes, or a function of a `Bucket` where it has tables.
        beta: coefficient of KL(pi || pi0).
        samples: completions of the policy for each prompt, at least 4.
        tokenizer: of both models.
        extract: how to find the answer in a completion, see `AnswerReader`.
        max_new_tokens: where a completion is cut; the policy is the model cut there.
        class_ids: the class of each of `prompts` given as texts.
        canonical: how answers become keys, see `AnswerReader`.
        truncated: what a completion without an end token is: "no-answer", or "read" like any other.
        reference_samples: completions of the reference for each prompt; default `samples`.
        smoothing, unseen, confidence, largest_log_ratio: see `certificate_from_samples`.
        seed: of the samples and of the halves.
        batch_size: completions generated side by side.
        progress: called with the name of each stage.

    Raises:
        SamplesError, InvalidGame, NotConcave, GenerationError: one sentence that says what to change.
        SelfCheckFailed: sampler, scorer and tokenizer disagree, see `dagame.lm.models.selfcheck`.
    """
    from ..answers import check_truncated

    check_truncated(truncated)
    reader = AnswerReader(extract, canonical)
    check_numbers(smoothing, unseen, confidence, seed, largest_log_ratio)
    if isinstance(objective, Objective):
        check_objective(objective)
    counts = samples, samples if reference_samples is None else reference_samples
    if min(counts) < 4:
        raise InvalidGame("draw at least 4 samples of each model for each prompt.")
    rows = _prompt_rows(prompts, class_ids)
    how = {"max_new_tokens": max_new_tokens, "batch_size": batch_size, "progress": progress}
    ours, scored, theirs = _drawn(policy, reference, tokenizer, rows, counts, seed, how)
    (progress or silent)("solving the games")
    policy_rows = _answer_frame(reader, rows, ours, truncated, scored)
    return certificate_from_samples(
        policy_rows,
        _answer_frame(reader, rows, theirs, truncated, None),
        *(objective, beta),
        correct="correct" if "correct" in policy_rows.columns else None,
        smoothing=smoothing,
        unseen=unseen,
        confidence=confidence,
        largest_log_ratio=largest_log_ratio,
        seed=seed,
    )


def _drawn(
    policy: Any,
    reference: Any,
    tokenizer: Any,
    rows: list[dict[str, Any]],
    counts: tuple[int, int],
    seed: int,
    how: dict[str, Any],
) -> tuple[Generations, np.ndarray, Generations]:
    """Samples of the policy, their log-probabilities under the reference, and samples of the reference."""
    from ..models.generation import complete, log_probability, tokenise
    from ..models.selfcheck import require_agreement

    texts, say = [row["prompt"] for row in rows], how["progress"] or silent
    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(2)]
    require_agreement([policy, reference], tokenizer, texts, how["max_new_tokens"])
    if reference is None:
        with _reference_of(policy, None) as pi0:
            require_agreement([pi0], tokenizer, texts, how["max_new_tokens"])
    ids = tokenise(tokenizer, texts)
    say("sampling the policy")
    ours = complete(policy, tokenizer, ids, counts[0], seed=seeds[0], **how)
    with _reference_of(policy, reference) as pi0:
        say("scoring under the reference")
        scored = log_probability(pi0, tokenizer, texts, ours, batch_size=how["batch_size"])
        say("sampling the reference")
        theirs = complete(pi0, tokenizer, ids, counts[1], seed=seeds[1], **how)
    return ours, scored, theirs


def _prompt_rows(prompts: Sequence[Any], class_ids: Sequence[Any] | None) -> list[dict[str, Any]]:
    """Rows of class_id, member_id and prompt from each of the three forms."""
    rows: list[dict[str, Any]] = []
    if class_ids is not None and len(class_ids) != len(prompts):
        raise SamplesError(f"{len(class_ids)} class ids for {len(prompts)} prompts.")
    for k, entry in enumerate(prompts):
        if isinstance(entry, dict):
            rows.append(_whole_row(entry, k))
        elif isinstance(entry, str):
            rows.append({"class_id": k if class_ids is None else class_ids[k], "prompt": entry})
        else:
            rows += [{"class_id": k, "prompt": text} for text in entry]
    if not rows:
        raise SamplesError("there are no prompts to certify.")
    _number_members(rows)
    return rows


def _whole_row(row: dict[str, Any], number: int) -> dict[str, Any]:
    missing = [c for c in ("class_id", "member_id", "prompt") if c not in row]
    if missing:
        raise SamplesError(
            f"prompt {number} has no {missing[0]!r}; give class_id, member_id, prompt."
        )
    return dict(row)


def _number_members(rows: list[dict[str, Any]]) -> None:
    """Give every prompt without a member_id its number in the class; each must be another."""
    seen: dict[Any, int] = {}
    for row in rows:
        number = seen[row["class_id"]] = seen.get(row["class_id"], -1) + 1
        row.setdefault("member_id", number)
    keys = [(row["class_id"], row["member_id"]) for row in rows]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise SamplesError(f"class {twice[0]!r} has two prompts with member_id {twice[1]!r}.")


@contextmanager
def _reference_of(policy: Any, reference: Any | None) -> Iterator[Any]:
    """The reference, or the policy while its adapter is disabled."""
    if reference is not None:
        yield reference
    elif hasattr(policy, "disable_adapter"):
        with policy.disable_adapter():
            yield policy
    else:
        raise InvalidGame(
            "reference is None, but the policy has no peft adapter to disable; give one."
        )


def _answer_frame(
    reader: AnswerReader,
    rows: list[dict[str, Any]],
    generations: Generations,
    truncated: str,
    log_reference: np.ndarray | None,
) -> pl.DataFrame:
    """One row per completion: class, context, answer key, and what else is known of it."""
    import polars as pl

    from ..answers import judged_generations

    samples = generations.log_prob.shape[1]
    keys, right = judged_generations(reader, rows, generations, truncated)
    columns: dict[str, Any] = {
        name: [row[name] for row in rows for _ in range(samples)]
        for name in ("class_id", "member_id")
    }
    columns["answer"] = pl.Series(keys, dtype=pl.String)
    if not np.isnan(right).all():
        columns["correct"] = pl.Series(right, dtype=pl.Float64).fill_nan(None)
    if log_reference is not None:
        columns["log_policy"] = generations.log_prob.ravel()
        columns["log_reference"] = log_reference.ravel()
    return pl.DataFrame(columns)
