"""Coverage of the sampled certificate on exact answers of a real model: SmolLM2 on continents (ParaRel).

    make smollm2
    python benchmarks/real_certificate.py --data FOLDER    # holds P30_facts.jsonl and P30_patterns.jsonl

The answers are the continents of the facts, each scored exactly after each phrasing that ends in the
answer; the reference is the model given that it answers from the list (the mass outside is reported). The
policy is a quarter of the way, in log-probabilities, from the reference to the equilibrium of coherence.
K samples of each phrasing are drawn from both, and the interval of `dagame.lm.certificate_from_samples`
is compared with the exact gap, over replicates of all facts together. An upper end that is not finite
holds and says nothing; its median is then null.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from common import keep
from transformers import AutoModelForCausalLM, AutoTokenizer

import dagame as dg
from dagame.lm.models.loading import pretrained
from dagame.lm.models.smollm2 import ABSENT, cached

BETA, SIZES, SEED = 0.3, (8, 16, 64, 256), 0


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def scores(folder: Path, model_folder: Path, count: int) -> np.ndarray:
    """log pi of each continent (facts, phrasings, continents)."""
    facts = rows_of(folder / "P30_facts.jsonl")
    answers = [" " + name for name in sorted({f["obj_label"] for f in facts})]
    patterns = [r["pattern"] for r in rows_of(folder / "P30_patterns.jsonl")]
    stems = [p.split("[Y]")[0].rstrip() for p in patterns if p.rstrip(" .").endswith("[Y]")]
    chosen = np.random.default_rng(SEED).permutation(len(facts))[:count]
    model = pretrained(AutoModelForCausalLM, model_folder, dtype=torch.float32)
    tokenizer = pretrained(AutoTokenizer, model_folder)
    prompts = [s.replace("[X]", facts[i]["sub_label"]) for i in chosen for s in stems]
    found = dg.lm.score_answers(model, prompts, answers, tokenizer)
    return found.reshape(count, len(stems), len(answers))


def drawn(rng: np.random.Generator, p: np.ndarray, k: int) -> dict[str, np.ndarray]:
    """K answers of each fact and phrasing, from p (facts, phrasings, continents)."""
    c, m, _ = p.shape
    answer = [rng.choice(p.shape[-1], k, p=row) for row in p.reshape(c * m, -1)]
    return {
        "class_id": np.repeat(np.arange(c), m * k),
        "member_id": np.tile(np.repeat(np.arange(m), k), c),
        "answer": np.concatenate(answer),
    }


def replicate(
    rng: np.random.Generator, pi0: np.ndarray, pi: np.ndarray, k: int, seed: int
) -> tuple[float, float]:
    ours, theirs = drawn(rng, pi, k), drawn(rng, pi0, k)
    at = (ours["class_id"], ours["member_id"], ours["answer"])
    ours |= {"log_policy": np.log(pi[at]), "log_reference": np.log(pi0[at])}
    for rows in (ours, theirs):
        rows["answer"] = rows["answer"].astype(str)
    found = dg.lm.certificate_from_samples(ours, theirs, dg.Coherence(1.0), BETA, seed=seed)
    return found.interval


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--facts", type=int, default=20)
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--out", default="real_certificate")
    asked = parser.parse_args()
    folder = cached()
    if folder is None or not (asked.data / "P30_facts.jsonl").is_file():
        sys.exit(f"skipped: {ABSENT}" if folder is None else f"skipped: no P30 in {asked.data}")
    log_p = scores(asked.data, folder, asked.facts)
    game, mass = dg.lm.answer_game(log_p, dg.Coherence(1.0), beta=BETA)
    pi0 = np.asarray(game.reference)
    best = np.asarray(dg.solve(game).policy)
    mixed = pi0**0.75 * best**0.25
    pi = mixed / mixed.sum(-1, keepdims=True)
    exact = float(np.mean(np.asarray(game.value(best)) - np.asarray(game.value(pi))))
    rows = []
    for k in SIZES:
        rng = np.random.default_rng([SEED, k])
        ends = np.array([replicate(rng, pi0, pi, k, s) for s in range(asked.replicates)])
        low, high = ends.T
        middle = float(np.median(high))
        rows.append(
            {
                "K": k,
                "exact gap": exact,
                "lower end holds": float((low <= exact).mean()),
                "upper end finite": float(np.isfinite(high).mean()),
                "upper end holds": float((high >= exact).mean()),
                "median lower": float(np.median(low)),
                "median upper": None if np.isinf(middle) else middle,
            }
        )
    facts = {"facts": asked.facts, "phrasings": pi.shape[1], "replicates": asked.replicates}
    keep(asked.out, rows, **facts, beta=BETA, mean_mass_of_list=float(mass.mean()))


if __name__ == "__main__":
    main()
