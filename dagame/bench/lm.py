"""Objectives and published rewards side by side on the embedded language model, from the same start.

For each method the exact game is solved on the base model's own samples (the prediction, before any
training), then the model is trained by TRL with the method's rewards at the recipe of `dagame demo`,
and measured on test problems. Strength 1, beta = 0.1 for all, the KL in the reward; nothing was
tuned for any but coherence. Methods that read labels are marked; the others never see them.

Predictions: means over problems of the equilibrium on empirical answer distributions. Where neither T4
nor T6 nor a formula gives the optimum (agreement, self-consistency at strengths above beta), the end of
300 mirror steps from the reference stands in, `found by` says so. The empirical game knows only answers
that were sampled, a trained model may go elsewhere (diversity does).
`gap`: estimate of what any policy could still gain over the trained model (docs/theory/lm-certificate.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DagameError, InvalidObjective
from ..games.game import AlignmentGame
from ..games.solution import Status
from ..lm.tiny.experiment import Judge, Recipe
from ..numerics.arrays import log, to_numpy
from ..numerics.simplex import log_entropy
from ..objectives import Objective
from ..show.progress import Progress
from ..solvers import run as play
from ..solvers import solve
from ..theory.atlas import methods as atlas
from ..theory.atlas import of_kind
from .common import Result, Watch, explain_below, label, panels, timed
from .tables import Row, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..lm.evaluation import LMEvaluation
    from ..samples.equilibria import ObjectiveOf
    from ..samples.partition import Bucket

Make = Callable[[Any, float], Objective]


@dataclass(frozen=True)
class Reward:
    """A row: the objective from labels (or None) and a strength, and whether it reads labels."""

    make: Make
    labelled: bool = False

    def objective(self, strength: float) -> ObjectiveOf:
        """The objective, or a function of a bucket of classes where it has tables of labels."""
        from ..samples.metrics import labelled_table

        if not self.labelled:
            return self.make(None, strength)
        return lambda bucket: self.make(labelled_table(bucket), strength)


METHODS: dict[str, Reward] = {
    "coherence": Reward(atlas["coherence"].objective),
    "coherence, geometric": Reward(atlas["geometric overlap"].objective),
    "coherence, Euclidean": Reward(of_kind("euclidean")),
    "pairwise coherence, KL": Reward(atlas["pairwise coherence"].objective),
    "expected agreement": Reward(atlas["expected agreement"].objective),
    "majority vote (TTRL)": Reward(atlas["majority vote"].objective),
    "self-consistency (EMPO)": Reward(atlas["EMPO as coded"].objective),
    "sharpening": Reward(of_kind("sharpening")),
    "entropy diversity": Reward(atlas["entropy diversity"].objective),
    "Gini diversity": Reward(atlas["Gini diversity"].objective),
    "expected reward (RLVR)": Reward(atlas["expected reward"].objective, True),
    "rejection sampling (STaR)": Reward(atlas["rejection sampling"].objective, True),
    "pass@4": Reward(atlas["pass@k"].objective, True),
    "reward less repeats": Reward(atlas["batch exploration"].objective, True),
}
QUICK = ("coherence", "majority vote (TTRL)", "expected reward (RLVR)")
MEASURES = ("accuracy", "agreement", "entropy", "no answer", "value")
MIRROR_STEPS = 300


LEGEND = {
    "labels": "whether the reward reads labels",
    "accuracy, predicted": "of sampled answers, at the exact equilibrium on the reference's samples",
    "accuracy, trained": "of sampled answers of the trained model",
    "agreement, predicted": "mean over pairs of phrasings of ⟨ν_x, ν_x'⟩, at that equilibrium",
    "agreement, trained": "of the trained model",
    "entropy, predicted": "of the answers to one phrasing, in nats, at that equilibrium",
    "entropy, trained": "of the trained model; it may give answers that the reference never gave",
    "found by": "how the equilibrium was found",
    "gap, trained": "estimate of what any policy could still gain in J; where it is –, the file says why",
    "seconds": "of training and measurement",
}


def check_methods(names: Sequence[str] | None) -> tuple[str, ...] | None:
    """The names, known all of them; None for the default."""
    for name in names or ():
        if name not in METHODS:
            raise InvalidObjective(
                f"method {name!r} is unknown; choose one of {'; '.join(METHODS)}."
            )
    return tuple(names) if names else None


@timed
def run(
    quick: bool,
    seed: int = 0,
    *,
    watch: Watch,
    methods: tuple[str, ...] | None = None,
    steps: int | None = None,
    problems: int | None = None,
) -> Result:
    """Train and measure each method (quick: three, few steps and problems)."""
    import torch

    from ..lm import tiny

    torch.set_num_threads(1)  # faster than two for tensors this small
    names = methods or (QUICK if quick else tuple(METHODS))
    recipe = replace(Recipe(), steps=steps or (4 if quick else Recipe.steps))
    problems, samples = problems or (6 if quick else 100), 8 if quick else 16
    with watch.stage("reference") as say:
        rows = tiny.rows("test", problems)
        judge = Judge.of(*tiny.load(), rows, recipe, seed, samples, say)
        first = judge.evaluate(judge.reference)
    before = _measured(judge, first, None)
    found = []
    for name in watch.over(names, str):
        with watch.stage("") as say:
            found.append({"method": name, **_trained(METHODS[name], judge, first, say)})
    settings = _settings(recipe) | {"problems": problems, "samples": samples}
    section = Section("rows", _title(settings, before), [_brief(r) for r in found], LEGEND)
    return Result("lm", quick, seed, settings, [section], {"reference": before, "runs": found})


def _settings(recipe: Recipe) -> Row:
    return {
        "strength": recipe.strength, "beta": recipe.beta, "learning rate": recipe.learning_rate,
        "steps": recipe.steps, "classes a step": recipe.classes_per_step,
        "group size": recipe.group_size,
    }  # fmt: skip


def _title(settings: Row, reference: Row) -> str:
    names = ("accuracy", "agreement", "entropy", "no answer")
    facts = ", ".join(f"{k} {reference[k]:.3f}" for k in names)
    on = (
        f"{settings['steps']} steps, {settings['problems']} problems, {settings['samples']} samples"
    )
    return f"Embedded model, {on} of each phrasing; reference: {facts}"


def _brief(run: Row) -> Row:
    """The printed row of a run."""
    out: Row = {"method": run["method"], "labels": run["labels"]}
    for name in ("accuracy", "agreement", "entropy"):
        out[f"{name}, predicted"] = run["predicted"][name]
        out[f"{name}, trained"] = run["after"][name]
    out["found by"] = run["predicted"]["found by"]
    return out | {"gap, trained": run["after"]["gap"], "seconds": run["seconds"]}


def _trained(reward: Reward, judge: Judge, first: LMEvaluation, say: Progress) -> Row:
    """Prediction, training and measurement of one method."""
    started, objective = time.perf_counter(), reward.objective(judge.recipe.strength)
    predicted = predict(first, objective, judge.recipe.beta)
    model, _ = judge.trained(objective, say)
    after = _measured(judge, judge.evaluate(model), objective)
    seconds = round(time.perf_counter() - started, 2)
    return {
        "labels": reward.labelled,
        "predicted": predicted,
        "after": after,
        "seconds": seconds,
    }


# -- what is expected -----------------------------------------------------------------------------


def predict(found: LMEvaluation, objective: ObjectiveOf, beta: float) -> Row:
    """Means over problems at the equilibrium of the empirical game; infeasible ones are counted."""
    from ..samples import Samples

    samples = Samples.from_answers(found.completions, "class_id", "member_id", correct="correct")
    parts, ways, worst, infeasible = [], set(), 0.0, 0
    for bucket in samples.partition.buckets():
        made = objective if isinstance(objective, Objective) else objective(bucket)
        game = AlignmentGame(bucket.reference, made, beta=beta)
        nu, value, gap, feasible, how = _equilibrium(game)
        ways.add(how)
        infeasible += int((~feasible).sum())
        worst = max(worst, gap)
        parts.append(_marginal_measures(bucket, nu, value)[feasible])
    means = np.concatenate(parts).mean(0) if parts else np.full(len(MEASURES), np.nan)
    out: Row = {k: float(v) for k, v in zip(MEASURES, means, strict=True)}
    certified = None if _MIRROR in ways else worst
    return out | {"found by": ", ".join(sorted(ways)), "gap": certified, "infeasible": infeasible}


_MIRROR = "mirror steps, not certified"


def _equilibrium(game: AlignmentGame) -> tuple[np.ndarray, np.ndarray, float, np.ndarray, str]:
    """Marginals, values, largest gap, which classes are feasible, and how they were found."""
    try:
        solution = solve(game, throw=False)
    except DagameError:
        history = play(game, "mirror", MIRROR_STEPS)
        assert history.marginals is not None
        nu = history.marginals[-1]
        return nu, history.values[-1], np.inf, np.ones(len(nu), bool), _MIRROR
    feasible = np.asarray(solution.statuses != Status.INFEASIBLE)
    gap = float(to_numpy(solution.gap)[feasible].max(initial=0))
    nu = to_numpy(solution.marginals)
    return nu, to_numpy(solution.value), gap, feasible, solution.method


def _marginal_measures(bucket: Bucket, nu: np.ndarray, value: np.ndarray) -> np.ndarray:
    """`MEASURES` of each class (B, 5)."""
    from ..samples.metrics import accuracy, agreement

    none = (nu * bucket.no_answer[:, None, :]).sum(-1).mean(-1)
    entropy = log_entropy(log(nu)).mean(-1)
    return np.stack([accuracy(nu, bucket.correct), agreement(nu), entropy, none, value], axis=-1)


# -- what is measured -----------------------------------------------------------------------------


def _measured(judge: Judge, found: LMEvaluation, objective: ObjectiveOf | None) -> Row:
    """Accuracies, agreement, entropy, KL, and for an objective the estimated value and gap."""
    numbers = found.as_dict()
    out: Row = {"accuracy": numbers["sampled_accuracy"], "no answer": numbers["no_answer"]}
    names = ("greedy_accuracy", "majority_accuracy", "agreement", "entropy", "kl")
    out |= {name.replace("_", " "): numbers[name] for name in names}
    return out | _certified(judge, found, objective)


def _certified(judge: Judge, found: LMEvaluation, objective: ObjectiveOf | None) -> Row:
    import polars as pl

    unknown: Row = {"value": None, "gap": None, "gap interval": None, "gap note": ""}
    if objective is None:
        return unknown
    first = judge.drawn.completions["class_id"].unique().to_list()
    ours = found.completions.filter(pl.col("class_id").is_in(first))
    try:
        gap = judge.gap(ours, objective, "correct")
    except DagameError as error:
        return unknown | {"gap note": str(error)}
    interval = list(gap.interval)
    note = "" if np.isfinite(gap.gap) else "infinite: an answer that some contexts never gave"
    return {"value": gap.value, "gap": gap.gap, "gap interval": interval, "gap note": note}


# -- the picture ----------------------------------------------------------------------------------


def draw(result: Result) -> Figure:
    """Reference, prediction and trained model of every method: accuracy, agreement, entropy."""
    from ..show.plots import AFTER, CYCLE

    runs: list[Mapping[str, Any]] = list(result.facts["runs"])[::-1]
    figure, axes = panels(3, width=3.9, height=1.5 + 0.27 * len(runs))
    for one, name in zip(axes, ("accuracy", "agreement", "entropy"), strict=True):
        one.axvline(result.facts["reference"][name], color="#9aa5b1", lw=1.4, label="reference")
        hollow: Any = {"mfc": "white", "color": CYCLE[1]}
        for k, row in enumerate(runs):
            expected, trained = row["predicted"][name], row["after"][name]
            one.plot([expected, trained], [k, k], color="#cbd5e1", lw=2, zorder=1)
            one.plot(expected, k, "D", ms=6, zorder=2, **hollow)
            one.plot(trained, k, "o", color=AFTER, ms=6, zorder=3)
        one.plot([], [], "D", label="predicted by the exact game", **hollow)
        one.plot([], [], "o", color=AFTER, label="trained")
        one.set_yticks(range(len(runs)), [""] * len(runs))
        one.set_ylim(-0.6, len(runs) - 0.4)
        label(one, name + (", nats" if name == "entropy" else ""), "")
    axes[0].set_yticks(range(len(runs)), [r["method"] + " *" * r["labels"] for r in runs])
    for one in axes[:2]:
        one.set_xlim(-0.02, 1.02)
    explain_below(figure, axes[0], 3, "upper")
    figure.supxlabel("* reads the labels", fontsize=8)
    return figure
