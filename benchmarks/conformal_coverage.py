"""Coverage and size of conformal answer sets, on simulated questions and on logged samples of real models.

    python benchmarks/conformal_coverage.py --data FOLDER

Simulated: questions are answer distributions drawn from a Dirichlet in two contexts, their right answer drawn
from the mean; "exact" scores them by these distributions (no ties), "10 samples" by counts (ties, and right
answers that no sample gave). n questions calibrate, one is tested, 20,000 times (tuned: 1,000); the promise
is 1 - alpha <= coverage, and for scores without ties <= 1 - alpha + 1/(n+1). "tuned": the score was chosen
for the smallest sets of the very questions that calibrate, among 50 that add noise of their own to 1 - nu,
or among 11 strengths of the entropy term; this breaks the promise.

Real: FOLDER holds faithful_cot/date.jsonl.gz and gsm8k.jsonl.gz (359 and 1,319 questions, five prompt formats
as contexts, six models as samples) and game24/gpt4_samples.jsonl (100 puzzles, two prompt formats, each with
100 samples of GPT-4). Each half of the questions calibrates the other, mean over 20 seeds of the halves;
"pooled": the marginal over all contexts, "one context": the first format alone, "equilibrium": that of
coherence of strength 10, beta 1. Size: answers in a set, of questions with a set that is not every answer;
whole: share of questions whose set is every answer, as too many right answers were never sampled (unseen).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import keep

import dagame as dg
from dagame import conformal

REPLICATES, SEEDS, POPULATION = 20_000, 20, 40_000
ALPHAS = (0.05, 0.1, 0.2)
EXTRACT = r"Answer:\s*([^=\n]*)"
SETS: dict[str, dict[str, Any]] = {
    "faithful_cot/date.jsonl.gz": {"class_by": "id", "context_by": "format", "answer": "answer"},
    "faithful_cot/gsm8k.jsonl.gz": {"class_by": "id", "context_by": "format", "answer": "answer"},
    "game24/gpt4_samples.jsonl": {
        "class_by": "problem",
        "context_by": "prompt_format",
        "extract": EXTRACT,
        "canonical": "nospace",
    },
}
FIRST = {"faithful_cot": "format=COT", "game24": "prompt_format=cot"}


def population(rng: np.random.Generator, samples: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Marginals (Q, 2, 8) and which answers are right (Q, 8)."""
    nu = rng.dirichlet(np.full(8, 0.3), (POPULATION, 2))
    right = (rng.random((POPULATION, 1)) > nu.mean(1).cumsum(-1)[:, :-1]).sum(-1)
    seen = nu if samples is None else rng.multinomial(samples // 2, nu) / (samples // 2)
    return seen, np.arange(8) == right[:, None]


def row(what: str, n: int, alpha: float, covered: np.ndarray, size: np.ndarray) -> dict[str, Any]:
    """A row of the simulated table."""
    return {
        "scores": what,
        "n": n,
        "alpha": alpha,
        "coverage": float(covered.mean()),
        "standard error": float(covered.std() / np.sqrt(len(covered))),
        "least": 1 - alpha,
        "most, no ties": 1 - alpha + 1 / (n + 1),
        "size": float(size.mean()),
    }


def simulated(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Coverage of one new question."""
    rows = []
    for what, samples in (("exact", None), ("10 samples", 10)):
        nu, right = population(rng, samples)
        scores = conformal.scores(nu)
        true = conformal.true_scores(scores, right)
        for n in (19, 50, 200):
            for alpha in (*ALPHAS, 0.5):
                covered, size = [], []
                for _ in range(REPLICATES):
                    chosen = rng.integers(POPULATION, size=n + 1)
                    threshold = conformal.calibrate(true[chosen[:-1]], alpha)
                    inside = conformal.prediction_sets(scores[chosen[-1]], threshold)
                    covered.append(true[chosen[-1]] <= threshold)
                    size.append(inside.sum())
                rows.append(row(what, n, alpha, np.array(covered), np.array(size)))
    return rows


def tuned(rng: np.random.Generator) -> list[dict[str, Any]]:
    """The same where the score is chosen on the calibration questions."""
    nu, right = population(rng, None)
    strengths = {
        "tuned, 11 entropy terms": [conformal.scores(nu, entropy=w) for w in np.linspace(0, 2, 11)],
        "tuned, 50 noisy scores": [
            conformal.scores(nu) + rng.normal(0, 0.3, right.shape) for _ in range(50)
        ],
    }
    rows = []
    for what, tables in strengths.items():
        true = np.stack([conformal.true_scores(t, right) for t in tables])
        for n in (19, 50, 200):
            covered, size = [], []
            for _ in range(REPLICATES // 20):
                chosen = rng.integers(POPULATION, size=n + 1)
                thresholds = [conformal.calibrate(t[chosen[:-1]], 0.2) for t in true]
                pairs = zip(tables, thresholds, strict=True)
                sizes = [(t[chosen[:-1]] <= limit).sum(-1).mean() for t, limit in pairs]
                best = int(np.argmin(sizes))
                covered.append(true[best, chosen[-1]] <= thresholds[best])
                size.append((tables[best][chosen[-1]] <= thresholds[best]).sum())
            rows.append(row(what, n, 0.2, np.array(covered), np.array(size)))
    return rows


def real(folder: Path) -> list[dict[str, Any]]:
    """Logged samples, each half calibrated on the other."""
    rows = []
    for file, options in SETS.items():
        for what in ("pooled", "one context", "equilibrium"):
            where = [FIRST[file.split("/")[0]]] if what == "one context" else []
            read = dg.Samples.read(folder / file, correct="correct", where=where, **options)
            found = read.solve(dg.Coherence(10.0), beta=1.0)
            marginals = "equilibrium" if what == "equilibrium" else "samples"
            for alpha in ALPHAS:
                made = [
                    found.calibrate(alpha, seed=seed, marginals=marginals).calibration
                    for seed in range(SEEDS)
                ]
                rows.append(measured(file, what, alpha, [m for m in made if m is not None]))
    return rows


def measured(file: str, what: str, alpha: float, made: list[Any]) -> dict[str, Any]:
    """A row of the table of real samples."""
    finite = np.concatenate([m.size[~m.whole] for m in made])
    flag = np.concatenate([m.flag for m in made])
    alone = [m.right_alone for m in made if m.right_alone is not None]
    return {
        "samples": file.split("/")[1 if file.startswith("faithful") else 0].removesuffix(
            ".jsonl.gz"
        ),
        "scores of": what,
        "questions": made[0].labelled,
        "unseen": made[0].unseen / made[0].labelled,
        "alpha": alpha,
        "coverage": float(np.mean([m.coverage for m in made])),
        "sd over seeds": float(np.std([m.coverage for m in made])),
        "whole": float(np.mean([m.whole.mean() for m in made])),
        "size": float(finite.mean()) if len(finite) else None,
        "empty": float((flag == "empty").mean()),
        "single": float((flag == "single").mean()),
        "single right": float(np.mean(alone)) if alone else None,
    }


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    folder, started = parser.parse_args().data, time.perf_counter()
    rng = np.random.default_rng(0)
    samples = real(folder)
    facts = {"simulated": [*simulated(rng), *tuned(rng)], "replicates": REPLICATES, "seeds": SEEDS}
    keep("conformal_coverage", samples, **facts, seconds=time.perf_counter() - started)
    for one in facts["simulated"]:
        print({k: round(v, 4) if isinstance(v, float) else v for k, v in one.items()})


if __name__ == "__main__":
    main()
