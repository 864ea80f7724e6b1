"""Wrong traces planted among right ones: which does push-pull transport find, against three baselines?

    python benchmarks/push_pull.py

The pool of a seed: 270 right completions of the embedded model (`dagame.lm.tiny`) on test problems, and 30
wrong ones: its own mistakes, or right completions of other problems' prompts ("swapped"). The references: 30
right completions on other problems, and 30 wrong ones of the planted kind. Each row is embedded
(`dagame.lm.embed`), and the 30 rows that a method trusts least are dropped: recall is the share of planted
ones among them, 0.1 by chance. Baselines: random order, distance to the mean embedding of the pool, and the
model's likelihood of the completion. "safe set of another task": right completions of one-step sums instead.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from common import keep

from dagame.lm import cosine_cost, embed, log_probability, push_pull, tiny
from dagame.lm.models.generation import complete, tokenise
from dagame.lm.models.scoring import score

POOL, PLANTED, POINTS, SEEDS = 300, 30, 30, 10
EPSILON, BETA, PUSH = 0.05, 0.05, 1.0


def completions(model: Any, tokenizer: Any, split: str, limit: int) -> list[dict[str, Any]]:
    """One completion of every prompt, whether it is right, its log-probability."""
    rows = tiny.rows(split, limit)
    ids = tokenise(tokenizer, [row["prompt"] for row in rows])
    drawn = complete(model, tokenizer, ids, 1, max_new_tokens=20, seed=0, batch_size=256)
    scored = log_probability(model, tokenizer, [row["prompt"] for row in rows], drawn)
    for row, (text,), (log_p,) in zip(rows, drawn.texts, scored, strict=True):
        row |= {"completion": text, "right": tiny.extract(text) == row["answer"], "log_p": log_p}
    return rows


def one_step() -> list[dict[str, Any]]:
    """Right completions of another task: sums of two numbers, in one step."""
    return [
        {"prompt": f"what is {a} + {b} ?", "completion": f"{a} + {b} = {a + b} # {a + b}"}
        for a in range(2, 13)
        for b in range(2, 13)
    ]


def main() -> None:
    """Ten seeds of every method."""
    import torch

    torch.set_num_threads(1)
    model, tokenizer = tiny.load()
    found = {s: completions(model, tokenizer, s, 200) for s in ("test", "selection")}
    other = one_step()
    states = {
        name: embed(model, rows, tokenizer) for name, rows in (*found.items(), ("other", other))
    }
    right = {name: np.array([row["right"] for row in rows]) for name, rows in found.items()}
    table: list[dict[str, Any]] = []
    recalls: dict[str, dict[str, list[float]]] = {}
    for kind in ("own mistakes", "swapped"):
        measured, statuses, seconds = {}, {}, {}
        for seed in range(SEEDS):
            rng = np.random.default_rng(seed)

            def some(split: str, good: bool, count: int, rng: np.random.Generator = rng) -> Any:
                return rng.choice(np.flatnonzero(right[split] == good), count, replace=False)

            def wrong(split: str, count: int, some: Any = some, kind: str = kind) -> Any:
                """States and log-probabilities of wrong rows."""
                if kind == "own mistakes":
                    rows = some(split, False, count)
                    return states[split][rows], np.array([found[split][i]["log_p"] for i in rows])
                of, by = some(split, True, count), some(split, True, count)
                rows = [
                    {
                        "prompt": found[split][i]["prompt"],
                        "completion": found[split][j]["completion"],
                    }
                    for i, j in zip(of, by, strict=True)
                ]
                return embed(model, rows, tokenizer), likelihood_of(model, tokenizer, rows)

            clean = some("test", True, POOL - PLANTED)
            planted, planted_log_p = wrong("test", PLANTED)
            rows = np.concatenate([states["test"][clean], planted])
            log_p = np.concatenate([[found["test"][i]["log_p"] for i in clean], planted_log_p])
            safe = cosine_cost(rows, states["selection"][some("selection", True, POINTS)])
            harm = cosine_cost(rows, wrong("selection", POINTS)[0])
            away = cosine_cost(rows, states["other"][rng.choice(len(other), POINTS, replace=False)])
            trust = {
                "random": rng.random(POOL),
                "distance to the mean": -np.linalg.norm(rows - rows.mean(0), axis=-1),
                "likelihood": log_p,
            }
            for name, sets in {
                "push-pull": (safe, harm),
                "pull only": (safe, None),
                "push-pull, safe set of another task": (away, harm),
                "pull only, safe set of another task": (away, None),
            }.items():
                started = time.process_time()
                weighed = push_pull(*sets, epsilon=EPSILON, beta=BETA, push=PUSH)
                seconds[name] = seconds.get(name, 0.0) + time.process_time() - started
                statuses.setdefault(name, set()).add(weighed.solution.status.name.lower())
                trust[name] = weighed.mass
            for name, value in trust.items():
                dropped = np.argsort(value, kind="stable")[:PLANTED]
                measured.setdefault(name, []).append(float((dropped >= POOL - PLANTED).mean()))
            print(kind, seed, {k: round(v[-1], 3) for k, v in measured.items()}, flush=True)
        recalls[kind] = measured
        table += [
            {
                "planted": kind,
                "method": name,
                "recall": float(np.mean(values)),
                "least": min(values),
                "most": max(values),
                "status": ", ".join(sorted(statuses.get(name, ["-"]))),
                "CPU seconds": seconds.get(name, 0.0) / SEEDS,
            }
            for name, values in measured.items()
        ]
        keep(
            "push_pull",
            table,
            pool=POOL,
            planted=PLANTED,
            points=POINTS,
            seeds=SEEDS,
            epsilon=EPSILON,
            beta=BETA,
            push=PUSH,
            right={name: float(v.mean()) for name, v in right.items()},
            recalls=recalls,
        )


def likelihood_of(model: Any, tokenizer: Any, rows: list[dict[str, Any]]) -> np.ndarray:
    """log pi(completion and its end | prompt) of each row."""
    prompts = [row["prompt"] for row in rows]
    tails = [
        [
            *tokenizer(row["completion"], add_special_tokens=False)["input_ids"],
            tokenizer.eos_token_id,
        ]
        for row in rows
    ]
    width = max(map(len, tails))
    tokens = np.array([t + [0] * (width - len(t)) for t in tails])
    mask = np.array([[k < len(t) for k in range(width)] for t in tails])
    return score(model, tokenise(tokenizer, prompts), tokens, mask)


if __name__ == "__main__":
    main()
