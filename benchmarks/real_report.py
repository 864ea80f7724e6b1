"""The runs on a real model as one table: means over seeds, intervals over facts, predicted beside reached."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import keep
from embedded_lm import shuffled_classes
from real_arms import ARMS, objective_of
from real_measures import AFTER, OF_FACTS, Measure, entropies, predicted
from real_tied import predict

from dagame.samples.bootstrap import bootstrap_means

SHOWN = ("consistency", "consistent accuracy", "greedy accuracy", "sampled accuracy", "agreement")
PREDICTED = {"sampled accuracy": "accuracy", "agreement": "agreement"}


def runs_of(work: Path) -> list[dict[str, Any]]:
    """The runs that are done, in order."""
    file = work / "runs.jsonl"
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def brief(row: dict[str, Any]) -> str:
    """One line of a run."""
    sets = [(s, row[s]) for s in ("same", "other") if s in row]
    moved = "  ".join(f"{s}: " + " ".join(f"{n} {mean(f[n]):.3f}" for n in SHOWN) for s, f in sets)
    took = row["training seconds"], row["seconds"] - row["training seconds"]
    return (
        f"{row['run']} seed {row['seed']}: {moved}  kl {mean(row['same']['kl']):.2f}  gap "
        f"{row['gap']:.3f}  {took[0]:.0f} + {took[1]:.0f} s"
    )


def mean(values: list[float | None]) -> float:
    """Of the known values."""
    return float(np.nanmean(np.array(values, float)))


def moved(before: dict[str, Any], after: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    """A measure before and after and the difference, means over facts and runs, each with a 95 % interval.

    The facts are drawn anew, the runs as they are: their range is `seeds`.
    """
    ours = np.array([found[name] for found in after], float)
    if np.isnan(ours).all():
        return None
    theirs = np.array(before[name], float)
    theirs = np.zeros(len(theirs)) if np.isnan(theirs).all() else theirs
    columns = np.stack([theirs, ours.mean(0), ours.mean(0) - theirs], axis=1)
    ends = bootstrap_means(columns)
    low, high = (None, None) if ends is None else (e.tolist() for e in ends)
    of_seeds = np.nanmean(ours, axis=1)
    found = {"before": columns[:, 0].mean(), "after": columns[:, 1].mean()}
    return {
        **{key: float(value) for key, value in found.items()},
        "seeds": [float(of_seeds.min()), float(of_seeds.max())],
        **({} if low is None or high is None else intervals(low, high)),
    }


def intervals(low: list[float], high: list[float]) -> dict[str, list[float]]:
    """The bootstrap's ends by name."""
    names = ("before interval", "after interval", "difference interval")
    return {name: list(ends) for name, *ends in zip(names, low, high, strict=True)}


def of_arm(measure: Measure, before: dict[str, Any], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Everything measured of one arm's runs, by set of questions."""
    found: dict[str, Any] = {}
    for name in measure.sets:
        after = [run[name] for run in runs]
        found[name] = {key: moved(before[name], after, key) for key in OF_FACTS} | {
            "commonest answer": [before[name]["commonest answer"], *of_each(after)],
            "distinct answers": [
                before[name]["distinct answers"],
                *of_each(after, "distinct answers"),
            ],
            "exact game": exact(measure, name, runs),
        }
    for name, of_set in tied(measure, runs).items():
        found[name]["tied game"] = of_set
    return found


def of_each(after: list[dict[str, Any]], name: str = "commonest answer") -> list[float]:
    """A number of every run."""
    return [found[name] for found in after]


def exact(measure: Measure, name: str, runs: list[dict[str, Any]]) -> dict[str, float]:
    """Accuracy and agreement at the equilibrium of the reference's samples of these very questions."""
    recipe, arm = measure.recipe, runs[0]["run"]
    game = partial(
        predicted,
        measure.reference_samples(name),
        objective_of(arm, recipe.strength),
        recipe.beta,
    )
    if arm == "shuffled":
        all_of = [game(partial(shuffled_classes, seed=run["seed"])) for run in runs]
    else:
        all_of = [game()]
    return {k: mean([v for found in all_of for v in found[k]]) for k in all_of[0]}


def tied(measure: Measure, runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The prediction of `real_tied` of each set, mean over runs; nothing where `tied` has not been run.

    It stops at the agreement of the trained batches that the run itself ended with.
    """
    if not (measure.work / "tied.npy").exists():
        return {}
    recipe, arm = measure.recipe, runs[0]["run"]
    found = []
    for run in runs:
        last = [step["game/agreement"] for step in run["curve"] if "game/agreement" in step][-4:]
        regroup = partial(shuffled_classes, seed=run["seed"]) if arm == "shuffled" else None
        objective = objective_of(arm, recipe.strength)
        until = float(np.mean(last)) if last else None
        found.append(predict(measure.work, objective, recipe.beta, until, regroup))
    return {
        name: {key: mean([v for f in found for v in f[name][key]]) for key in PREDICTED.values()}
        | {key: [f[key] for f in found] for key in ("stopped", "steps", "until")}
        for name in measure.sets
    }


def report(measure: Measure, name: str, **facts: Any) -> None:
    """Print and keep, under that name, the table of all runs that are done."""
    runs = runs_of(measure.work)
    before = json.loads((measure.work / "before.json").read_text(encoding="utf-8"))
    for kind in measure.sets:
        before[kind]["entropy"] = entropies(measure.reference_samples(kind), AFTER)
    numbers = {
        arm: of_arm(measure, before, mine)
        for arm in ARMS
        if (mine := [r for r in runs if r["run"] == arm])
    }
    rows = [
        line(arm, kind, numbers[arm][kind], [r for r in runs if r["run"] == arm])
        for kind in measure.sets
        for arm in numbers
    ]
    keep(name, rows, **facts, before=before, numbers=numbers, runs=runs)


def line(arm: str, name: str, found: dict[str, Any], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """A row of the table: every measure as before -> after [95 % interval of after]."""
    row: dict[str, Any] = {"questions": name, "run": arm, "seeds": len(runs)}
    for key in SHOWN:
        value = found[key]
        row[key] = f"{value['before']:.2f} → {value['after']:.2f}{shown(value)}"
        if key in PREDICTED:
            for game in ("exact game", "tied game"):
                if game in found:
                    row[key] += f", {game} {found[game][PREDICTED[key]]:.2f}"
    row["no answer"] = f"{found['no answer']['before']:.2f} → {found['no answer']['after']:.2f}"
    row["entropy"] = f"{found['entropy']['before']:.2f} → {found['entropy']['after']:.2f}"
    commonest, distinct = found["commonest answer"], found["distinct answers"]
    row["commonest answer"] = f"{commonest[0]:.2f} → {np.mean(commonest[1:]):.2f}"
    row["distinct"] = f"{distinct[0]} → {np.mean(distinct[1:]):.0f}"
    if name == "same":
        row["KL"] = f"{found['kl']['after']:.2f}"
        row["gap"] = f"{np.mean([r['gap'] for r in runs]):.2f}"
    else:
        row["KL"] = row["gap"] = "–"
    return row


def shown(value: dict[str, Any]) -> str:
    """The interval of the difference."""
    ends = value.get("difference interval")
    return "" if ends is None else f" [{ends[0]:+.2f}, {ends[1]:+.2f}]"
