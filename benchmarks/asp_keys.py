"""Semantic keys of answer-set programs, beside the published metric.

    python benchmarks/asp_keys.py

Each family. Keys, on every problem of the test split: share of right programs whose key is their own in a
second process, share of rewrites with the right program's key, share of near misses with another key;
"share of instances": on how many of the four instances a near miss differs, mean and least. "Held-out":
the same on 8 problems of the finetune split and four instances of another seed, which no condition of
`instances` was ever completed on. Published metric, on 10 problems and the first of the same instances:
how often a right program differs from itself with four threads (which answer set is met first varies
from run to run) and with one, how often a rewrite is called different; on 10 scattered instances (facts
drawn without care: three of each predicate over 60 constants): how often the empty program, and a near
miss that the key tells apart, passes.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from common import keep

from dagame.domains.asp import vocabulary, worker
from dagame.domains.asp.families import FAMILIES
from dagame.domains.asp.keys import SemanticKey
from dagame.domains.asp.problems import Problem, problems, semantic_key
from dagame.domains.asp.published import published

HELD_OUT, SCORED, THREADS, SECONDS = 8, 10, 4, 60.0
KEPT = ("rewrites", "rewrites equal", "near misses", "near misses different", "wrong")


def share(values: Iterable[bool]) -> float:
    found = list(values)
    return float(np.mean(found))


def of_keys(chosen: list[Problem], key: SemanticKey) -> dict[str, Any]:
    """What the keys of one family do."""
    again = SemanticKey(key.facts, key.show, seconds=SECONDS + 1)  # another process
    same, other, apart, wrong = [], [], [], []
    texts = [[p.right, *p.rewrites().values(), *p.misses().values()] for p in chosen]
    key.read_all([text for of in texts for text in of])
    again.read_all([p.right for p in chosen])
    for p in chosen:
        right = key.read(p.right)
        for name, text in p.rewrites().items():
            same.append(key.read(text).key == right.key)
            wrong += [] if same[-1] else [["rewrite", name, text]]
        for name, text in p.misses().items():
            found = key.read(text)
            other.append(found.key not in (None, right.key))
            apart.append(1 - right.share_equal(found))
            wrong += [] if other[-1] else [["near miss", name, text]]
    return {
        "problems": len(chosen),
        "equal to itself": share(key(p.right) == again(p.right) is not None for p in chosen),
        "rewrites": len(same),
        "rewrites equal": share(same),
        "near misses": len(other),
        "near misses different": share(other),
        "share of instances": float(np.mean(apart)),
        "least share": float(np.min(apart)),
        "wrong": wrong,
    }


def of_published(chosen: list[Problem], key: SemanticKey) -> dict[str, Any]:
    """What the published metric does on the same programs."""
    told = vocabulary.instances(0)[0]
    facts = [vocabulary.scattered(p.class_id)[0] for p in chosen]

    def equal(program: str, p: Problem, where: str, threads: int = 1) -> bool:
        return published(program, p.right, where, threads=threads, seconds=SECONDS).equal

    misses = [
        (text, p, where)
        for p, where in zip(chosen, facts, strict=True)
        for text in p.misses().values()
        if key(text) not in (None, key(p.right))
    ]
    pairs = list(zip(chosen, facts, strict=True))
    return {
        "itself different, 4 threads": share(not equal(p.right, p, told, THREADS) for p in chosen),
        "itself different, 1 thread": share(not equal(p.right, p, told) for p in chosen),
        "rewrites different": share(
            not equal(text, p, told) for p in chosen for text in p.rewrites().values()
        ),
        "empty passes": share(equal("", p, where) for p, where in pairs),
        "near misses pass": share(equal(text, p, where) for text, p, where in misses),
    }


def main() -> None:
    """The table, one row a family."""
    started, key = time.perf_counter(), semantic_key(seconds=SECONDS)
    held_out, rows = semantic_key(1, seconds=SECONDS), []
    for family in FAMILIES:
        every = problems("test", family)
        fresh = of_keys(problems("finetune", family)[:HELD_OUT], held_out)
        rows.append(
            {"family": family}
            | of_keys(every, key)
            | {f"held-out {name}": fresh[name] for name in KEPT}
            | of_published(every[:SCORED], key)
        )
        print(family, f"{time.perf_counter() - started:.0f} s", flush=True)
    wrong = {row["family"]: row.pop("wrong") for row in rows}
    wrong |= {f"{row['family']}, held out": row.pop("held-out wrong") for row in rows}
    keep("asp_keys", rows, wrong=wrong, seconds=time.perf_counter() - started)
    worker.close()


if __name__ == "__main__":
    main()
