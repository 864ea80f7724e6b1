"""The certificate's estimate from samples of two models, and the result that holds it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InvalidGame
from ...objectives import Objective
from ...samples.equilibria import ObjectiveOf
from ...samples.facts import described
from ...samples.partition import Bucket, Partition
from ...show.tables import Shown
from .bounds import Parts, SampleTables, check_objective, estimate, intervals
from .pooling import tail_notes, whole
from .tables import columns, sample_tables, tail_of
from .tail import Tail

if TYPE_CHECKING:
    import polars as pl


def _ends(low: float, high: float) -> str:
    upper = f"{high:.4g}, one-sided at either end" if np.isfinite(high) else "(no upper end)"
    return f"{low:.4g} to {upper}"


@dataclass(frozen=True, eq=False, repr=False)
class GapEstimate(Shown):
    """How much any policy could still gain, estimated from samples (docs/theory/lm-certificate.md); no proof.

    All numbers are means over classes. value: J of the policy; upper_bound: D(q), an upper bound of
    every policy's J at a target q solved on other samples than those that evaluate it; gap:
    upper_bound - value; standard_error of gap as an estimate of D(q) - J. interval (lower, upper):
    each end holds with probability `confidence` for the largest gain of a policy whose answers are
    among those seen. Its upper end assumes nothing of the reference's answers, has plug-in Phi uncorrected,
    hence low, and of the policy's log-ratios that their mean is normal but for a tail of rare completions
    (`certificates.tail`). A tail that samples show is added; as too few cannot show it, the upper end is
    infinite (refused) below `samples_needed` samples of the policy in all, 0 where there are enough, and
    `upper_if_light` is what it would be if no rare completions carried the KL. The lower end is that of
    the gain or 0, whichever is more, has Phi cross-fitted, hence high, and normal limits. From 12 classes
    on both ends also use the spread between the classes. `gap` is high where samples are few beside the
    answers, as halving leaves a part of Phi's bias: trust the interval, or draw more. `classes`: the
    same per class, each interval for itself. `tail_samples`: log-ratios far above their context's median.
    `distance_bound`: what the mean over classes of sum_x w_x KL(pi_x || pi*_x), in nats, to the optimum among
    such policies does not exceed where the interval's upper end holds: that end / (beta + min(mu, 0)), T6.
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
    distance_bound: float = float("inf")

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
            ("value J(π)", f"{self.value:.4g} (estimate)"),
            ("upper bound D(q)", f"{self.upper_bound:.4g} (estimate)"),
            ("KL to the reference", f"{self.kl:.4g} nats (estimate)"),
            ("game", f"{len(self.classes)} classes, {self.objective}, beta={self.beta:g}"),
            ("samples", f"{sizes[0]:,} of the policy, {sizes[1]:,} of the reference"),
            *(("note", note) for note in self.notes),
        ]


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
    `dagame.lm.certificates.bounds`), the halves change places, and the two are averaged. J(pi) = Phi(nu_hat)
    - beta sum_x w_x mean log(pi/pi0); `gap` corrects Phi(nu_hat) by halving, the interval's upper end does
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
        NotConcave: objectives for which samples give no bound, see `dagame.lm.certificates.bounds`.
    """
    check_numbers(smoothing, unseen, confidence, seed, largest_log_ratio)
    names = {class_by: "class", context_by: "context", answer: "answer"}
    if correct is not None:
        names[correct] = "correct"
    ours = columns(policy, names | {log_policy: "log_policy", log_reference: "log_reference"})
    theirs = None if reference is None else columns(reference, names)
    partition, made = sample_tables(ours, theirs, seed)
    objectives = [_made(objective, bucket, unseen) for bucket, _ in made]
    parts = _parts(made, objectives, beta, smoothing, unseen)
    tail = tail_of(ours, partition, 1 - confidence, largest_log_ratio)
    numbers, each, light = _with_tail(parts, tail, made, beta, confidence)
    classes = _class_table(partition, made, each)
    low = numbers.pop("lower")
    high, free = light if tail.enough else np.inf, _free_beta(beta, made, objectives)
    notes = _notes(classes, objectives[0], weighted=reference is None)
    return GapEstimate(
        **numbers,
        interval=(low, high),
        confidence=confidence,
        classes=classes,
        objective=described(objectives[0]),
        beta=beta,
        smoothing=smoothing,
        unseen=unseen,
        notes=(*notes, *tail_notes(tail, light, confidence)),
        upper_if_light=light,
        samples_needed=0 if tail.enough else tail.needed,
        tail_samples=int(tail.counts.sum()),
        distance_bound=high / free if free > 0 else np.inf,
    )


Made = list[tuple[Bucket, SampleTables]]


def _parts(
    made: Made, objectives: list[Objective], beta: float, smoothing: float, unseen: int
) -> Parts:
    """Of all classes, those of each shape one after the other."""
    parts = [
        estimate(tables, phi, beta, smoothing=smoothing, unseen=unseen)
        for (_, tables), phi in zip(made, objectives, strict=True)
    ]
    names = (f.name for f in fields(Parts))
    return Parts(*(np.concatenate([getattr(p, name) for p in parts], axis=-1) for name in names))


def _with_tail(
    parts: Parts, tail: Tail, made: Made, beta: float, confidence: float
) -> tuple[dict[str, float], dict[str, np.ndarray], float]:
    """The numbers of the mean and of each class, and the mean's upper end without rare completions."""
    weighted = made[0][1].weighted
    each = intervals(parts, beta, confidence, weighted)
    numbers, light = whole(parts, beta, confidence, weighted)
    for_all, for_each = tail.unseen_kl((1 + confidence) / 2)
    order = np.concatenate([bucket.classes for bucket, _ in made])
    each["upper"] = each["upper"] + beta * for_each[order]
    if not tail.enough:
        each["upper"] = np.full_like(each["upper"], np.inf)
    return numbers, each, light + beta * for_all


def _free_beta(beta: float, made: Made, objectives: list[Objective]) -> float:
    """beta + min(mu, 0), the least over the classes: what is left of the KL (T6); 0 where nothing is."""
    found = [beta]
    for (bucket, _), phi in zip(made, objectives, strict=True):
        contexts = bucket.counts.shape[1]
        found.append(beta + phi.curvature_for(np.full(contexts, 1 / contexts)))
    return max(0.0, min(found))


def _class_table(partition: Partition, made: Made, numbers: dict[str, np.ndarray]) -> pl.DataFrame:
    import polars as pl

    sizes = [_sizes(bucket, tables) for bucket, tables in made]
    order = np.argsort(np.concatenate([bucket.classes for bucket, _ in made]))
    columns = {name: np.concatenate([s[name] for s in sizes])[order] for name in sizes[0]}
    columns |= {name: value[order] for name, value in numbers.items()}
    names = partition.classes.drop("#class").rename({"class": "class_id"})
    return pl.concat([names, pl.DataFrame(columns)], how="horizontal")


def _sizes(bucket: Bucket, tables: SampleTables) -> dict[str, np.ndarray]:
    theirs = tables.reference_sizes.sum((0, 2)).astype(int)
    return {
        "contexts": np.full(len(bucket.classes), bucket.counts.shape[1]),
        "answers": bucket.answer_mask.sum(-1),
        "policy_samples": tables.policy.sum((0, 2, 3)).astype(int),
        "reference_samples": 0 * theirs if tables.weighted else theirs,
    }


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


def check_numbers(
    smoothing: float, unseen: int, confidence: float, seed: int, largest: float | None
) -> None:
    """Raise `InvalidGame` for a number outside its range."""
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


def _made(objective: ObjectiveOf, bucket: Bucket, unseen: int) -> Objective:
    """The objective of a bucket of classes, which can be judged from samples."""
    made = objective(bucket) if callable(objective) else objective
    if not isinstance(made, Objective):
        raise InvalidGame(
            f"objective is a {type(made).__name__}; give a dagame Objective or a function of a Bucket "
            "that returns one."
        )
    check_objective(made)
    if unseen and any(term.tables for _, term in made.terms()):
        raise InvalidGame(f"{made!r} has a table of answers, so `unseen` must be 0.")
    return made
