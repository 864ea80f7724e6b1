"""An estimate of how much any policy could still gain over a language model, from samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from .._display import Shown
from ..errors import InvalidGame, SamplesError
from ..objectives import Objective
from ..progress import Progress, silent
from ..samples.equilibria import ObjectiveOf, _described
from ..samples.keys.reader import AnswerReader
from ..samples.partition import Bucket, Partition
from .gap import Parts, SampleTables, check_objective, estimate, intervals
from .gap_samples import columns, sample_tables, tail_of
from .pooling import tail_notes, whole

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedTokenizerBase

    from .generation import Generations


def _ends(low: float, high: float) -> str:
    upper = f"{high:.4g}, each end for itself" if np.isfinite(high) else "(no upper end)"
    return f"{low:.4g} to {upper}"


@dataclass(frozen=True, eq=False, repr=False)
class GapEstimate(Shown):
    """How much any policy could still gain, estimated from samples (theory, section 5); no proof.

    All numbers are means over classes. value: J of the policy; upper_bound: D(q), an upper bound of
    every policy's J at a target q solved on other samples than those that evaluate it; gap:
    upper_bound - value; standard_error of gap as an estimate of D(q) - J. interval (lower, upper):
    each end holds with probability `confidence` for the largest gain of a policy whose answers are
    among those seen. Its upper end assumes nothing of the reference's answers, has plug-in Phi uncorrected,
    hence low, and of the policy's log-ratios that their mean is normal but for a tail of rare completions
    (`dagame.lm.tail`). A tail that samples show is added; as too few cannot show it, the upper end is
    infinite (refused) below `samples_needed` samples of the policy in all, 0 where there are enough, and
    `upper_if_light` is what it would be if no rare completions carried the KL. The lower end is that of
    the gain or 0, whichever is more, has Phi cross-fitted, hence high, and normal limits. From 12 classes
    on both ends also use the spread between the classes. `gap` is high where samples are few beside the
    answers, as halving leaves a part of Phi's bias: trust the interval, or draw more. `classes`: the
    same per class, each interval for itself. `tail_samples`: log-ratios far above their context's median.
    """

    gap: float
    interval: tuple[float, float]
    value: float
    upper_bound: float
    standard_error: float
    kl: float
    confidence: float
    classes: pl.DataFrame
    objective: str
    beta: float
    smoothing: float
    unseen: int
    notes: tuple[str, ...] = ()
    upper_if_light: float = float("inf")
    samples_needed: int = 0
    tail_samples: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and texts, the classes as a list of rows."""
        own = {name: value for name, value in vars(self).items() if name != "classes"}
        own |= {"interval": list(self.interval), "notes": list(self.notes)}
        return {**own, "classes": self.classes.to_dicts()}

    def _rows(self) -> list[tuple[str, str]]:
        low, high = self.interval
        sizes = self.classes.select("policy_samples", "reference_samples").sum().row(0)
        return [
            ("estimate of the gap", f"{self.gap:.4g} (standard error {self.standard_error:.2g})"),
            (f"{self.confidence:.0%} interval", _ends(low, high)),
            ("value J(pi)", f"{self.value:.4g} (estimate)"),
            ("upper bound D(q)", f"{self.upper_bound:.4g} (estimate)"),
            ("KL to the reference", f"{self.kl:.4g} nats (estimate)"),
            ("game", f"{len(self.classes)} classes, {self.objective}, beta={self.beta:g}"),
            ("samples", f"{sizes[0]:,} of the policy, {sizes[1]:,} of the reference"),
            *(("note", note) for note in self.notes),
        ]


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
    """Estimate from samples how much any policy could still gain over `policy` (theory, section 5).

    Draws completions of both models at temperature 1, scores the policy's under the reference, and
    hands them to `certificate_from_samples`, which states formula and guarantees.

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
        SelfCheckFailed: sampler, scorer and tokenizer disagree, see `dagame.lm.selfcheck`.
    """
    from .answers import check_truncated
    from .generation import complete, log_probability, tokenise
    from .selfcheck import require_agreement

    check_truncated(truncated)
    reader = AnswerReader(extract, canonical)
    _check(smoothing, unseen, confidence, seed, largest_log_ratio)
    if isinstance(objective, Objective):
        check_objective(objective)
    count = samples if reference_samples is None else reference_samples
    if min(samples, count) < 4:
        raise InvalidGame("draw at least 4 samples of each model for each prompt.")
    rows = _prompt_rows(prompts, class_ids)
    texts = [row["prompt"] for row in rows]
    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(2)]
    say = progress or silent
    common: dict[str, Any] = {
        "max_new_tokens": max_new_tokens,
        "batch_size": batch_size,
        "progress": progress,
    }
    require_agreement([policy, reference], tokenizer, texts, max_new_tokens)
    if reference is None:
        with _reference_of(policy, None) as pi0:
            require_agreement([pi0], tokenizer, texts, max_new_tokens)
    ids = tokenise(tokenizer, texts)
    say("sampling the policy")
    ours = complete(policy, tokenizer, ids, samples, seed=seeds[0], **common)
    with _reference_of(policy, reference) as pi0:
        say("scoring under the reference")
        scored = log_probability(pi0, tokenizer, texts, ours, batch_size=batch_size)
        say("sampling the reference")
        theirs = complete(pi0, tokenizer, ids, count, seed=seeds[1], **common)
    say("solving the games")
    policy_rows = _answer_frame(reader, rows, ours, truncated, scored)
    return certificate_from_samples(
        policy_rows,
        _answer_frame(reader, rows, theirs, truncated, None),
        objective,
        beta,
        correct="correct" if "correct" in policy_rows.columns else None,
        smoothing=smoothing,
        unseen=unseen,
        confidence=confidence,
        largest_log_ratio=largest_log_ratio,
        seed=seed,
    )


def certificate_from_samples(
    policy: Any,
    reference: Any | None,
    objective: ObjectiveOf,
    beta: float,
    *,
    class_by: str = "class_id",
    context_by: str = "member_id",
    answer: str = "answer",
    log_policy: str = "log_policy",
    log_reference: str = "log_reference",
    correct: str | None = None,
    smoothing: float = 0.5,
    unseen: int = 0,
    confidence: float = 0.95,
    largest_log_ratio: float | None = None,
    seed: int = 0,
) -> GapEstimate:
    """The estimate from samples that are there already, such as those of a training run.

    gap = D(q) - J(pi): q is the equilibrium of a random half of the reference samples with
    `smoothing` added to each answer's count, D(q) = Phi(q) - <u, q> + beta sum_x w_x log E_{pi0_x}
    exp(u_x/beta) is estimated on the other half without the bias of the logarithm (see
    `dagame.lm.gap`), the halves change places, and the two are averaged. J(pi) = Phi(nu_hat) - beta
    sum_x w_x mean log(pi/pi0); `gap` corrects Phi(nu_hat) by halving, the interval's upper end does
    not. Contexts weigh alike. Rows without an answer (null) count as the answer "none".

    Args:
        policy: samples of the policy, one row each (frame, dictionary of columns, or list of rows),
            with class, context, answer key and log-probabilities of the sequence under both models.
        reference: samples of the reference with class, context and answer. None: they are made from
            the policy's with weights pi0/pi, cheap and asymptotic only: nothing bounds the weights.
        objective: Phi for all classes, or a function of a `Bucket` where it has tables.
        beta: coefficient of KL(pi || pi0).
        class_by, context_by, answer, log_policy, log_reference, correct: names of columns;
            `correct` fills `Bucket.correct` for objectives that are functions of buckets.
        smoothing: 1e-6 to 1e6; more lowers the noise of the bound and moves q away from the equilibrium.
        unseen: answers that no sample shows and that the gain is to cover, per class. They matter for
            diversity at strengths above beta: an answer of probability 0.001 is worth as much as
            any other to it, and 500 samples do not show it.
        confidence: of either end of each interval.
        largest_log_ratio: what log(pi/pi0) of no completion exceeds, if you know such a number; the upper
            end then covers rare completions of that size, from however few samples.
        seed: of the halves.

    Raises:
        SamplesError: a missing column, log-probabilities that are not finite, a context with fewer
            than 4 samples of either model.
        InvalidGame: a parameter outside its range.
        NotConcave: objectives for which samples give no bound, see `dagame.lm.gap`.
    """
    _check(smoothing, unseen, confidence, seed, largest_log_ratio)
    names = {class_by: "class", context_by: "context", answer: "answer"}
    if correct is not None:
        names[correct] = "correct"
    ours = columns(policy, names | {log_policy: "log_policy", log_reference: "log_reference"})
    theirs = None if reference is None else columns(reference, names)
    partition, made = sample_tables(ours, theirs, seed)
    objectives = [_made(objective, bucket) for bucket, _ in made]
    if unseen and any(o.tables for _, o in objectives[0].terms()):
        raise InvalidGame(f"{objectives[0]!r} has a table of answers, so `unseen` must be 0.")
    parts = [
        estimate(tables, phi, beta, smoothing=smoothing, unseen=unseen)
        for (_, tables), phi in zip(made, objectives, strict=True)
    ]
    joined = Parts(
        *(np.concatenate([getattr(p, f.name) for p in parts], axis=-1) for f in fields(Parts))
    )
    weighted = reference is None
    tail = tail_of(ours, partition, 1 - confidence, largest_log_ratio)
    each = intervals(joined, beta, confidence, weighted)
    order = np.concatenate([bucket.classes for bucket, _ in made])
    numbers, light = whole(joined, beta, confidence, weighted)
    for_all, for_each = tail.unseen_kl((1 + confidence) / 2)
    light += beta * for_all
    each["upper"] = each["upper"] + beta * for_each[order]
    if not tail.enough:
        each["upper"] = np.full_like(each["upper"], np.inf)
    classes = _class_table(partition, made, each)
    interval = numbers.pop("lower"), light if tail.enough else np.inf
    return GapEstimate(
        **numbers,
        interval=interval,
        confidence=confidence,
        classes=classes,
        objective=_described(objectives[0]),
        beta=beta,
        smoothing=smoothing,
        unseen=unseen,
        notes=(*_notes(classes, objectives[0], weighted), *tail_notes(tail, light, confidence)),
        upper_if_light=light,
        samples_needed=0 if tail.enough else tail.needed,
        tail_samples=int(tail.counts.sum()),
    )


def _class_table(
    partition: Partition,
    made: list[tuple[Bucket, SampleTables]],
    numbers: dict[str, np.ndarray],
) -> pl.DataFrame:
    import polars as pl

    sizes: list[dict[str, np.ndarray]] = []
    for bucket, tables in made:
        theirs = tables.reference_sizes.sum((0, 2)).astype(int)
        sizes.append(
            {
                "contexts": np.full(len(bucket.classes), bucket.counts.shape[1]),
                "answers": bucket.answer_mask.sum(-1),
                "policy_samples": tables.policy.sum((0, 2, 3)).astype(int),
                "reference_samples": 0 * theirs if tables.weighted else theirs,
            }
        )
    order = np.argsort(np.concatenate([bucket.classes for bucket, _ in made]))
    columns = {name: np.concatenate([s[name] for s in sizes])[order] for name in sizes[0]}
    columns |= {name: value[order] for name, value in numbers.items()}
    names = partition.classes.drop("#class").rename({"class": "class_id"})
    return pl.concat([names, pl.DataFrame(columns)], how="horizontal")


def _notes(classes: pl.DataFrame, objective: Objective, weighted: bool) -> tuple[str, ...]:
    unbounded = int(classes["gap"].is_infinite().sum())
    notes = []
    if unbounded:
        notes.append(
            f"{unbounded} classes have no finite value at their sampled marginals; draw more samples"
        )
    if objective.concave is None:
        notes.append("an upper bound only if the objective is concave, which it does not state")
    if weighted:
        notes.append("the reference was weighted from the policy's samples: asymptotic only")
    return tuple(notes)


def _check(
    smoothing: float, unseen: int, confidence: float, seed: int, largest: float | None
) -> None:
    if largest is not None and not (isinstance(largest, Real) and 0 <= largest < np.inf):
        raise InvalidGame(f"largest_log_ratio is {largest!r}; give a number >= 0, in nats.")
    if not isinstance(smoothing, Real) or not 1e-6 <= smoothing <= 1e6:
        raise InvalidGame(f"smoothing is {smoothing!r}; give a number > 0, from 1e-6 to 1e6.")
    if not isinstance(confidence, Real) or not 0 < confidence < 1:
        raise InvalidGame(f"confidence is {confidence!r}; give a number between 0 and 1.")
    if not isinstance(unseen, Integral) or not 0 <= unseen <= 100_000:
        raise InvalidGame(f"unseen is {unseen!r}; give a number of answers from 0 to 100,000.")
    if not isinstance(seed, Integral) or seed < 0:
        raise InvalidGame(f"seed is {seed!r}; give an integer >= 0.")


def _made(objective: ObjectiveOf, bucket: Bucket) -> Objective:
    """The objective of a bucket of classes."""
    made = objective(bucket) if callable(objective) else objective
    if not isinstance(made, Objective):
        raise InvalidGame(
            f"objective is a {type(made).__name__}; give a dagame Objective or a function of a Bucket "
            "that returns one."
        )
    check_objective(made)
    return made


# -- models ---------------------------------------------------------------------------------------


def _prompt_rows(prompts: Sequence[Any], class_ids: Sequence[Any] | None) -> list[dict[str, Any]]:
    """Rows of class_id, member_id and prompt from each of the three forms."""
    rows: list[dict[str, Any]] = []
    if class_ids is not None and len(class_ids) != len(prompts):
        raise SamplesError(f"{len(class_ids)} class ids for {len(prompts)} prompts.")
    for k, entry in enumerate(prompts):
        if isinstance(entry, dict):
            missing = [c for c in ("class_id", "member_id", "prompt") if c not in entry]
            if missing:
                raise SamplesError(
                    f"prompt {k} has no {missing[0]!r}; give class_id, member_id, prompt."
                )
            rows.append(dict(entry))
        elif isinstance(entry, str):
            rows.append({"class_id": k if class_ids is None else class_ids[k], "prompt": entry})
        else:
            rows += [{"class_id": k, "prompt": text} for text in entry]
    seen: dict[Any, int] = {}
    for row in rows:
        number = seen[row["class_id"]] = seen.get(row["class_id"], -1) + 1
        row.setdefault("member_id", number)
    keys = [(row["class_id"], row["member_id"]) for row in rows]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise SamplesError(f"class {twice[0]!r} has two prompts with member_id {twice[1]!r}.")
    if not rows:
        raise SamplesError("there are no prompts to certify.")
    return rows


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

    from .answers import judged_generations

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
