"""Wrong rows planted among right ones: which does push-pull transport find, against three baselines?

    python benchmarks/push_pull.py

The pool of a seed: 270 right completions of the embedded model (`dagame.lm.tiny`) on test problems, and 30
planted rows of one of three kinds:

    own mistakes    wrong completions of the model itself
    swapped         right completions of other problems
    another task    right sums of two numbers, in one step

The references: 30 right completions on other problems, and 30 rows of the planted kind. Each row is embedded
(`dagame.lm.embed`), and the 30 rows that a method trusts least are dropped: recall is the share of planted
ones among them, 0.1 by chance. Baselines: random order, distance to the pool's mean embedding, the model's
likelihood of the completion. "wrong safe set": the safe points are of another task, one-step sums.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from common import keep

from dagame.lm import cosine_cost, embed, push_pull, tiny
from dagame.lm.models.generation import complete, tokenise
from dagame.lm.models.scoring import score

POOL, PLANTED, POINTS, SEEDS = 300, 30, 30, 10
EPSILON, BETA, PUSH = 0.05, 0.05, 1.0
KINDS = ("own mistakes", "swapped", "another task")

Rows = list[dict[str, Any]]


def completions(model: Any, tokenizer: Any, split: str) -> Rows:
    """One completion of every prompt of 200 problems, and whether it is right."""
    rows = tiny.rows(split, 200)
    ids = tokenise(tokenizer, [row["prompt"] for row in rows])
    drawn = complete(model, tokenizer, ids, 1, max_new_tokens=20, seed=0, batch_size=256)
    return [
        row | {"completion": text, "right": tiny.extract(text) == row["answer"]}
        for row, (text,) in zip(rows, drawn.texts, strict=True)
    ]


def sums() -> Rows:
    """Right completions of another task."""
    return [
        {"prompt": f"what is {a} + {b} ?", "completion": f"{a} + {b} = {a + b} # {a + b}"}
        for a in range(2, 13)
        for b in range(2, 13)
    ]


def some(rows: Rows, count: int, rng: np.random.Generator, right: bool = True) -> Rows:
    """Rows at random, right or wrong ones."""
    fitting = [row for row in rows if row.get("right", True) == right]
    return [fitting[i] for i in rng.choice(len(fitting), count, replace=False)]


def wrong(kind: str, rows: Rows, count: int, rng: np.random.Generator) -> Rows:
    """Rows of a kind to plant."""
    if kind == "another task":
        return some(sums(), count, rng)
    if kind == "own mistakes":
        return some(rows, count, rng, right=False)
    asked, others = some(rows, 2 * count, rng), some(rows, 2 * count, rng)
    swapped = [
        one | {"completion": other["completion"]}
        for one, other in zip(asked, others, strict=True)
        if one["answer"] != other["answer"]
    ]
    return swapped[:count]


def likelihood(model: Any, tokenizer: Any, rows: Rows) -> np.ndarray:
    """log pi(completion and its end | prompt) of each row."""
    found = tokenizer([row["completion"] for row in rows], add_special_tokens=False)["input_ids"]
    tails = [[*ids, tokenizer.eos_token_id] for ids in found]
    mask = np.arange(max(map(len, tails))) < np.array([len(tail) for tail in tails])[:, None]
    tokens = np.zeros(mask.shape, dtype=np.int64)
    tokens[mask] = np.concatenate(tails)
    return score(model, tokenise(tokenizer, [row["prompt"] for row in rows]), tokens, mask)


def trust(
    kind: str, test: Rows, selection: Rows, rng: np.random.Generator, lm: tuple[Any, Any]
) -> dict[str, tuple[np.ndarray, str, float]]:
    """Of every method: what it trusts the rows of a pool by, the planted ones last; status; CPU seconds."""
    model, tokenizer = lm

    def points(rows: Rows) -> np.ndarray:
        return embed(model, rows, tokenizer)

    pool = some(test, POOL - PLANTED, rng) + wrong(kind, test, PLANTED, rng)
    rows = points(pool)
    safe = cosine_cost(rows, points(some(selection, POINTS, rng)))
    harm = cosine_cost(rows, points(wrong(kind, selection, POINTS, rng)))
    away = cosine_cost(rows, points(some(sums(), POINTS, rng)))
    found = {
        "random": (rng.random(POOL), "", 0.0),
        "distance to the mean": (-np.linalg.norm(rows - rows.mean(0), axis=-1), "", 0.0),
        "likelihood": (likelihood(model, tokenizer, pool), "", 0.0),
    }
    for name, sets in {
        "push-pull": (safe, harm),
        "pull only": (safe, None),
        "push-pull, wrong safe set": (away, harm),
        "pull only, wrong safe set": (away, None),
    }.items():
        started = time.process_time()
        weighed = push_pull(*sets, epsilon=EPSILON, beta=BETA, push=PUSH)
        status = weighed.solution.status.name.lower()
        found[name] = weighed.mass, status, time.process_time() - started
    return found


def main() -> None:
    """Ten seeds of every kind."""
    import torch

    torch.set_num_threads(1)
    lm = tiny.load()
    test, selection = (completions(*lm, split) for split in ("test", "selection"))
    table = []
    for kind in KINDS:
        found = []
        for seed in range(SEEDS):
            found.append(trust(kind, test, selection, np.random.default_rng(seed), lm))
            print(kind, seed, flush=True)
        for name in found[0]:
            dropped = [np.argsort(f[name][0], kind="stable")[:PLANTED] for f in found]
            recall = [float((rows >= POOL - PLANTED).mean()) for rows in dropped]
            table.append(
                {
                    "planted": kind,
                    "method": name,
                    "recall": float(np.mean(recall)),
                    "least": min(recall),
                    "most": max(recall),
                    "status": ", ".join(sorted({f[name][1] for f in found})),
                    "CPU seconds": float(np.mean([f[name][2] for f in found])),
                }
            )
    facts = {"pool": POOL, "planted": PLANTED, "points": POINTS, "seeds": SEEDS}
    right = {
        name: float(np.mean([row["right"] for row in rows]))
        for name, rows in (("test", test), ("selection", selection))
    }
    keep("push_pull", table, **facts, epsilon=EPSILON, beta=BETA, push=PUSH, right=right)


if __name__ == "__main__":
    main()
