"""Questions in several phrasings for a real model: facts of ParaRel, and word problems of GSM8K.

ParaRel (Elazar et al., 2021): a relation has patterns such as "The capital of [X] is [Y]." and facts, pairs
of subject and object. Those patterns that end in the object are prompts of a causal model; a fact is a
class, its prompts are the contexts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import dagame as dg

Rows = list[dict[str, Any]]

TRAINED, OTHER, COUNTRIES = "P36", "P30", ("P17", "P1376")
"""Capitals are trained on, continents never; subjects of P36 that are objects of these are countries or
large states, of whose capitals a small model knows something."""

_CAPITALISED = re.compile(r"[^\W\d_][\w'’-]*")


@dataclass(frozen=True)
class Questions:
    """Rows class_id, member_id, prompt, answer of four disjoint sets, and how completions are read.

    train: used without its answers except by the labelled run; dev: on which the recipe is chosen; test:
    measured; other: of a kind never trained on, measured, may be empty.
    """

    train: Rows
    dev: Rows
    test: Rows
    other: Rows
    extract: str | Callable[[str], str | None]
    truncated: str
    max_new_tokens: int

    def evaluate(
        self, model: Any, tokenizer: Any, rows: Rows, samples: int, seed: int, reference: Any = None
    ) -> Any:
        """`dagame.lm.evaluate` of the rows."""
        return dg.lm.evaluate(
            model,
            tokenizer,
            rows,
            samples=samples,
            max_new_tokens=self.max_new_tokens,
            extract=self.extract,
            truncated=self.truncated,
            reference=reference,
            seed=seed,
            batch_size=128,
        )


def first_name(text: str) -> str | None:
    """The first word that begins with a capital letter, None without one: " is New York." -> "New"."""
    words = (m.group() for m in _CAPITALISED.finditer(text))
    return next((w.removesuffix("'s").removesuffix("’s") for w in words if w[0].isupper()), None)


def stems(patterns: Sequence[str]) -> list[str]:
    """What stands before the object in the patterns that end in it; "[Y] is ..." is left out."""
    ending = [p.rstrip(" .") for p in patterns]
    return [p.removesuffix("[Y]").rstrip() for p in ending if p.endswith("[Y]")]


def prompts(relation: str, facts: Sequence[tuple[str, str]], stems: Sequence[str]) -> Rows:
    """One row for each fact and stem; the right answer is the first name of the object."""
    return [
        {
            "class_id": f"{relation} {subject}",
            "member_id": k,
            "prompt": stem.replace("[X]", subject),
            "answer": first_name(thing),
        }
        for subject, thing in facts
        for k, stem in enumerate(stems)
    ]


def lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def facts_of(folder: Path, relation: str) -> list[tuple[str, str]]:
    """Subject and object of each fact whose object has a capitalised word, a subject once, in order."""
    found: dict[str, str] = {}
    for row in lines(folder / f"{relation}_facts.jsonl"):
        if first_name(row["obj_label"]):
            found.setdefault(row["sub_label"], row["obj_label"])
    return list(found.items())


def pararel(folder: Path, train: int, dev: int, test: int, other: int, seed: int = 0) -> Questions:
    """So many capitals to train on, to choose on and to measure on, and as many continents.

    Continents are drawn evenly from the six that the facts name, of subjects that no other set has.
    """
    countries = {thing for r in COUNTRIES for _, thing in facts_of(folder, r)}
    capitals = [f for f in facts_of(folder, TRAINED) if f[0] in countries]
    if len(capitals) < train + dev + test:
        raise ValueError(f"{len(capitals)} capitals are fewer than {train} + {dev} + {test}.")
    rng = np.random.default_rng(seed)
    mixed = [capitals[i] for i in rng.permutation(len(capitals))]
    cut = np.cumsum([train, dev, test])
    used = {subject for subject, _ in mixed[: cut[-1]]}
    continents = [f for f in facts_of(folder, OTHER) if f[0] not in used]
    chosen = evenly([continents[i] for i in rng.permutation(len(continents))], other)
    stem = {
        r: stems([row["pattern"] for row in lines(folder / f"{r}_patterns.jsonl")])
        for r in (TRAINED, OTHER)
    }
    parts = [
        prompts(TRAINED, mixed[a:b], stem[TRAINED]) for a, b in zip([0, *cut], cut, strict=False)
    ]
    return Questions(*parts, prompts(OTHER, chosen, stem[OTHER]), first_name, "read", 5)


def evenly(facts: Sequence[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    """The first `count` facts if the objects take turns, in order of their names."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for fact in facts:
        groups.setdefault(fact[1], []).append(fact)
    queues = [groups[name] for name in sorted(groups)]
    longest = max(map(len, queues), default=0)
    turns = [queue[k] for k in range(longest) for queue in queues if k < len(queue)]
    return turns[:count]


WORDINGS = (
    "{q}\nThink step by step and end with: #### <number>",
    "Solve this problem. Give the final number after ####.\n\n{q}",
    "A pupil asks: {q} Explain the steps briefly; last line: #### <number>",
    "Problem: {q}\nWrite the solution, then the result as #### <number>.",
)


def gsm8k(file: Path, train: int, dev: int, test: int, max_new_tokens: int) -> Questions:
    """Word problems in four wordings, as chats; the sets follow each other in the file."""
    problems = lines(file)[: train + dev + test]
    rows = [
        {
            "class_id": f"gsm8k {i}",
            "member_id": k,
            "prompt": [{"role": "user", "content": wording.format(q=problem["question"])}],
            "answer": problem["answer"].rsplit("####", 1)[1].strip(),
        }
        for i, problem in enumerate(problems)
        for k, wording in enumerate(WORDINGS)
    ]
    m = len(WORDINGS)
    parts = rows[: train * m], rows[train * m : (train + dev) * m], rows[(train + dev) * m :]
    return Questions(*parts, [], "gsm8k", "no-answer", max_new_tokens)


def consistency(answers: Sequence[str | None]) -> float:
    """The share of pairs of phrasings with the same answer; none at all agrees with nothing (ParaRel)."""
    m = len(answers)
    names, counts = np.unique([a for a in answers if a is not None], return_counts=True)
    return float((counts * (counts - 1)).sum() / (m * (m - 1))) if len(names) else 0.0


def collapse(answers: Sequence[str | None]) -> tuple[float, int]:
    """Share of the commonest answer among all of several facts, and the number of different ones."""
    names, counts = np.unique([a for a in answers if a is not None], return_counts=True)
    return (float(counts.max() / len(answers)), len(names)) if len(names) else (0.0, 0)
