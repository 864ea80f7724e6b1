"""What coherence adds on logged samples: before, equilibrium, majority vote, best single format.

    python benchmarks/faithful_cot.py --data FOLDER    # holds date.jsonl.gz and gsm8k.jsonl.gz

Logs of Faithful Chain-of-Thought Reasoning (Lyu et al., 2023). Contexts are the five prompt formats, samples
the six models, one greedy completion each, so that the reference is the even mixture of the six itself and
not an estimate of it. Read and solved as by

    dagame solve FILE --class id --context format --answer answer --correct correct --strength S

with --no-answer keep and drop. Sampled accuracy is the mean correctness of an answer drawn at random: of all
formats ("before"), at the equilibrium, in one format. A vote is right or wrong: of all 30 answers
("majority"), of the six in one format, and the commonest answer at the equilibrium ("mode"). A format is
chosen by its labels, on the questions it is measured on ("same data") or on the other half of them, mean over
`HALVES` halvings ("cross-fitted"). The equilibrium of a question sees neither labels nor other questions, so
that there is nothing to cross-fit, except that a strength may be chosen: all are shown, and the one that each
half would choose is told. No policy of the game gives a format an answer that none of its six gave: accuracy
"within reach" is the share of formats in which one of them is right.

Intervals: 95% bootstrap over questions, differences paired; the chosen format is held fixed in them. With
no-answer "drop" a question's formats differ in what they leave out, and no single one is compared.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import keep

import dagame as dg
from dagame.samples.bootstrap import bootstrap_means
from dagame.samples.metrics import accuracy, majority_accuracy

FILES = ("date", "gsm8k")
STRENGTHS, BETA = (0.3, 1.0, 3.0, 10.0), 1.0
HALVES, SEED = 200, 0

Columns = dict[str, np.ndarray]


def read(file: Path, no_answer: str) -> dg.Samples:
    """The samples as the command reads them."""
    return dg.Samples.read(
        file, ["id"], ["format"], answer=["answer"], correct=["correct"], no_answer=no_answer
    )


def solved(samples: dg.Samples) -> tuple[Columns, dict[str, Any]]:
    """Per question: before, at each strength's equilibrium, its mode, majority; no-answer shares."""
    columns: Columns = {}
    empty: dict[str, Any] = {}
    for strength in STRENGTHS:
        found = samples.solve(dg.Coherence(strength), beta=BETA)
        if found.summary["unsolved"] or found.summary["infeasible"]:
            raise SystemExit(f"strength {strength:g}: {found.summary['unsolved']} unsolved classes")
        table, name = found.classes, f"equilibrium {strength:g}"
        columns.setdefault("before", table["accuracy_reference"].to_numpy())
        columns.setdefault("majority", table["majority_accuracy"].to_numpy())
        columns[name] = table["accuracy_equilibrium"].to_numpy()
        columns[f"mode {strength:g}"] = mode_accuracy(found)
        empty.setdefault("before", found.summary["no_answer_reference"])
        empty[name] = found.summary["no_answer_equilibrium"]
    return columns, empty


def mode_accuracy(found: Any) -> np.ndarray:
    """Correctness (C,) of the commonest answer at the equilibrium, by the rules of the majority.

    Masses within 1e-6, which a solver's tolerance may move, tie.
    """
    out = np.full(len(found.classes), np.nan)
    for bucket, solution in zip(found.buckets, found.solutions, strict=True):
        out[bucket.classes] = majority_accuracy(
            replace(bucket, counts=solution.marginals), tie=1e-6
        )
    return out


def of_formats(samples: dg.Samples) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names of the formats, and of each question (C, formats) the sampled accuracy and the vote in it."""
    partition = samples.partition
    names = sorted(partition.contexts["format"].unique().to_list())
    sampled = np.full((len(partition), len(names)), np.nan)
    vote = sampled.copy()
    for bucket in partition.buckets():
        for row, c in enumerate(bucket.classes):
            if [name for (name,) in partition.context_names(int(c))] != names:
                raise SystemExit(f"question {partition.class_names[c][0]} lacks a format")
            one = replace(bucket, **{f: getattr(bucket, f)[row : row + 1] for f in OF_CLASS})
            for k in range(len(names)):
                alone = replace(one, counts=one.counts[:, k : k + 1])
                sampled[c, k] = accuracy(alone.reference, alone.correct)[0]
                vote[c, k] = majority_accuracy(alone)[0]
    return names, sampled, vote


OF_CLASS = ("classes", "counts", "answer_mask", "no_answer", "correct")


def chosen_elsewhere(by: np.ndarray, measured: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each question (C,) the measured column that is best `by` the half it is not in, mean over halvings.

    Also the share of halves in which each column is chosen.
    """
    count, columns = by.shape
    rng = np.random.default_rng(SEED)
    total, times = np.zeros(count), np.zeros(columns)
    for _ in range(HALVES):
        order = rng.permutation(count)
        halves = order[: count // 2], order[count // 2 :]
        for one, other in (halves, halves[::-1]):
            best = int(by[one].mean(0).argmax())
            total[other] += measured[other, best]
            times[best] += 1
    return total / HALVES, times / (2 * HALVES)


def choices(samples: dg.Samples, columns: Columns) -> dict[str, Any]:
    """Puts the best format's columns beside the others; which formats and strengths were chosen."""
    names, sampled, vote = of_formats(samples)
    best = int(sampled.mean(0).argmax())
    columns["best format, same data"] = sampled[:, best]
    columns["best format, cross-fitted"], shares = chosen_elsewhere(sampled, sampled)
    columns["vote in best format, cross-fitted"], _ = chosen_elsewhere(vote, vote)
    columns["within reach"] = (sampled > 0).mean(1)
    strengths = np.stack([columns[f"equilibrium {s:g}"] for s in STRENGTHS], axis=1)
    _, times = chosen_elsewhere(strengths, strengths)
    return {
        "within reach": dict(zip(names, (sampled > 0).mean(0).tolist(), strict=True)),
        "formats": dict(zip(names, sampled.mean(0).tolist(), strict=True)),
        "votes in formats": dict(zip(names, vote.mean(0).tolist(), strict=True)),
        "formats chosen": dict(zip(names, shares.tolist(), strict=True)),
        "strengths chosen": dict(zip(map(str, STRENGTHS), times.tolist(), strict=True)),
    }


def compared(columns: Columns) -> list[tuple[str, str]]:
    """Which differences are taken."""
    others = ("before", "majority", "best format, same data", "best format, cross-fitted")
    pairs = [
        (f"equilibrium {s:g}", other) for s in STRENGTHS for other in others if other in columns
    ]
    pairs += [(f"mode {s:g}", "majority") for s in STRENGTHS]
    vote = "vote in best format, cross-fitted"
    return [*pairs, ("majority", vote)] if vote in columns else pairs


def with_intervals(columns: Columns) -> list[dict[str, Any]]:
    """Means of the columns and of their differences, with intervals."""
    every = dict(columns)
    every |= {f"{a} - {b}": columns[a] - columns[b] for a, b in compared(columns)}
    values = np.stack(list(every.values()), axis=1)
    if np.isnan(values).any():
        raise SystemExit("a question has no label")
    ends = bootstrap_means(values, seed=SEED)
    if ends is None:
        raise SystemExit("one question has no interval")
    return [
        {"measure": name, "mean": float(v.mean()), "low": float(low), "high": float(high)}
        for (name, v), low, high in zip(every.items(), *ends, strict=True)
    ]


def main() -> None:
    """Both files, with no answer kept and dropped."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    folder, rows, facts = parser.parse_args().data, [], {}
    for name in FILES:
        for no_answer in ("keep", "drop"):
            samples = read(folder / f"{name}.jsonl.gz", no_answer)
            columns, empty = solved(samples)
            told = choices(samples, columns) if no_answer == "keep" else {}
            facts[f"{name}, {no_answer}"] = {"questions": len(samples.partition)} | told
            facts[f"{name}, {no_answer}"]["no answer"] = empty
            key = {"samples": name, "no answer": no_answer}
            rows += [key | row for row in with_intervals(columns)]
    keep("faithful_cot", rows, beta=BETA, halves=HALVES, seed=SEED, files=facts)


if __name__ == "__main__":
    main()
