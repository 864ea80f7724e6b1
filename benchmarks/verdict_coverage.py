"""How often the verdict's 95% intervals hold the truth, on simulated models whose marginals are known.

    python benchmarks/verdict_coverage.py [--quick]

Questions of m contexts, whose answers are Dirichlet round the question's own; the first is right. "few": 6
answers, concentration 3; "noisy": 6 and 10, contexts differ less than their samples; "open": 40 and 3, most
wrong answers are a context's own; "agreed": 6 and 100, contexts hardly differ at all. K samples of each
context are drawn. Per question: accuracy and agreement

    truth (i)   at the equilibrium of the true marginals
    truth (ii)  of the true marginals reweighed by what all K samples say (`held_out.fitted`), which is
                what the interval is for
    of the parts' fits  the same of what three quarters of the samples say, the mean of the four
    held out    cross-fitted, as `dagame solve` says it (`held_out.judged`)
    plug-in     at the equilibrium of the samples themselves

Intervals are `bootstrap_means` over Q questions drawn from a population of a thousand, whose mean truth they
should hold; those of "held out" are wider by the bias of a rehearsal, as the verdict's are, those of "noise
alone" are not. The mechanism was chosen on the seeds 11 and 12; the seed here is another.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from common import keep

import dagame as dg
from dagame.samples.bootstrap import bootstrap_means
from dagame.samples.held_out import fitted, judged, parts
from dagame.samples.metrics import accuracy, agreement
from dagame.samples.partition import Bucket

WORLDS = {"few": (6, 3.0), "noisy": (6, 10.0), "open": (40, 3.0), "agreed": (6, 100.0)}
"""Answers and concentration of the contexts round their question's common distribution."""

CONTEXTS, SAMPLES, QUESTIONS = (2, 5, 8), (2, 4, 6, 8, 16), (30, 100, 300)
STRENGTHS = (1.0, 10.0)
RESAMPLES = 400
BETA = 1.0
MEASURES = ("accuracy", "agreement")
ESTIMATES = ("held out", "noise alone", "plug-in")
SEED = 2026


def marginals(rng: np.random.Generator, world: str, questions: int, contexts: int) -> np.ndarray:
    """True answer marginals (questions, contexts, answers)."""
    n, concentration = WORLDS[world]
    centre = rng.dirichlet(np.full(n, 0.5), questions)
    centre[:, 0] += rng.random(questions)
    centre /= centre.sum(-1, keepdims=True)
    wide = np.broadcast_to(centre[:, None, :], (questions, contexts, n))
    p = np.maximum(rng.gamma(np.maximum(concentration * wide, 1e-3)), 1e-12)
    return p / p.sum(-1, keepdims=True)


def drawn(rng: np.random.Generator, p: np.ndarray, samples: int) -> np.ndarray:
    """Counts of so many samples of every context."""
    return rng.multinomial(samples, p).astype(float)


def columns(
    rng: np.random.Generator, p: np.ndarray, samples: int, strength: float
) -> dict[str, np.ndarray]:
    """Per question (questions, measures): truths, estimates, the error of a rehearsal, what is before."""
    counts, n = drawn(rng, p, samples), p.shape[-1]
    right = np.broadcast_to(np.arange(n) == 0, (len(p), n)).astype(float)
    seen = counts.sum(1) > 0
    bucket = Bucket(np.arange(len(p)), counts, seen, np.zeros_like(seen), right)
    objective = dg.Coherence(strength)
    fit = dg.solve(dg.AlignmentGame(bucket.reference, objective, beta=BETA), tol=1e-7, throw=False)
    true = dg.solve(dg.AlignmentGame(p, objective, beta=BETA), tol=1e-7, throw=False)
    dealt = parts(counts, np.arange(len(p)), 0)
    held = judged(bucket, fit, np.arange(len(p)), 1.0, 0)[:, :2]

    def both(nu: np.ndarray) -> np.ndarray:
        return np.stack([accuracy(nu, right), agreement(nu)], axis=-1)

    def trained(seen_by_fit: np.ndarray) -> np.ndarray:
        nu = p * fitted(seen_by_fit, seen, fit.game, BETA)[0]
        return both(nu / nu.sum(-1, keepdims=True))

    return {
        "reference": both(p),
        "truth (i)": both(true.marginals),
        "truth (ii)": trained(counts),
        "of the parts' fits": np.mean([trained(counts - part) for part in dealt], axis=0),
        "held out": held[..., 1],
        "error": held[..., 2],
        "plug-in": both(fit.marginals),
    }


def rows(
    rng: np.random.Generator, found: dict[str, np.ndarray], replicates: int
) -> list[dict[str, Any]]:
    """A row per measure: mean truths and estimates, and the coverage of both for each number of questions."""
    kept = np.isfinite(found["held out"] + found["error"]).all(-1)
    table = np.concatenate([found["held out"], found["plug-in"]], axis=-1)[kept]
    truths = {k: v[kept].mean(0) for k, v in found.items()}
    made: list[dict[str, Any]] = [
        {"measure": measure} | {name: float(mean[k]) for name, mean in truths.items()}
        for k, measure in enumerate(MEASURES)
    ]
    for questions in QUESTIONS:
        chosen = rng.integers(0, len(table), (questions, replicates))
        ends = bootstrap_means(table[chosen].reshape(questions, -1), resamples=RESAMPLES)
        assert ends is not None
        low, high = (end.reshape(replicates, 4) for end in ends)
        bias = np.abs(found["error"][kept][chosen].mean(0))
        for place, row in enumerate(made):
            for name, at, more in zip(
                ESTIMATES, (place, place, 2 + place), (bias[:, place], 0.0, 0.0), strict=True
            ):
                for truth in ("(i)", "(ii)"):
                    value = truths[f"truth {truth}"][place]
                    held = (low[:, at] - more <= value) & (value <= high[:, at] + more)
                    row[f"{name} covers {truth}, {questions}"] = float(held.mean())
                row[f"{name} width, {questions}"] = float(
                    np.mean(high[:, at] - low[:, at] + 2 * more)
                )
    return made


def summary(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Over the cells of each K and number of questions: mean and least coverage, share of 0.9 and above."""
    out = []
    for samples in SAMPLES:
        cells = [row for row in found if row["K"] == samples]
        for questions in QUESTIONS:
            row: dict[str, Any] = {"K": samples, "questions": questions}
            for name in ESTIMATES:
                for truth in ("(i)", "(ii)"):
                    covered = np.array([c[f"{name} covers {truth}, {questions}"] for c in cells])
                    row[f"{name} covers {truth}"] = float(covered.mean())
                    row[f"{name} {truth} at 0.9"] = float((covered >= 0.9).mean())
                    row[f"{name} {truth} least"] = float(covered.min())
                widths = [c[f"{name} width, {questions}"] for c in cells]
                row[f"{name} width"] = float(np.mean(widths))
            out.append(row)
    return out


def main() -> None:
    """All cells."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="A fifth of everything.")
    quick, started = parser.parse_args().quick, time.perf_counter()
    population, replicates = (200, 40) if quick else (1000, 200)
    rng, found = np.random.default_rng(SEED), []
    for world in WORLDS:
        for contexts in CONTEXTS:
            p = marginals(rng, world, population, contexts)
            for strength in STRENGTHS:
                for samples in SAMPLES:
                    made = columns(rng, p, samples, strength)
                    cell = {"world": world, "m": contexts, "K": samples, "strength": strength}
                    found += [cell | row for row in rows(rng, made, replicates)]
            print(world, contexts, f"{time.perf_counter() - started:.0f} s", flush=True)
    facts = {"population": population, "replicates": replicates, "beta": BETA, "seed": SEED}
    name = "verdict_coverage" + "_quick" * quick
    seconds = time.perf_counter() - started
    keep(name, summary(found), **facts, cells=found, seconds=seconds)


if __name__ == "__main__":
    main()
