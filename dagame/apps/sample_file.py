"""A samples file as a language model might give it, generated from a seed: the demo's input."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

_STORIES = (
    "{name} buys {a} packs of {b} cards and finds {c} more. How many cards is that?",
    "A hall has {a} rows of {b} seats and {c} standing places. How many people fit in?",
    "{name} plants {a} beds with {b} tulips each and {c} in pots. How many tulips are there?",
    "A van carries {a} crates of {b} bottles and {c} loose ones. How many bottles is that?",
)
_NAMES = ("Ana", "Ben", "Chidi", "Dora", "Emil", "Fatma", "Goro", "Hana", "Ivan", "Jun")
_FORMATS = ("plain", "steps", "equation")


def sample_file(
    path: str | PathLike[str], seed: int = 0, *, questions: int = 40, samples: int = 20
) -> Path:
    """Write a JSONL file of sampled completions, as a language model might give them.

    Word problems a * b + c under three prompt formats, each with its own way of being wrong: "plain"
    forgets the c extra, "steps" slips a carry by ten and sometimes breaks off without an answer,
    "equation" multiplies after adding. Every fourth question is easy: its samples give just the
    right answer and those of the first and the last mistake. Columns: question, format, completion
    (ending in "Answer: 42" where there is one) and correct (0 or 1).

    Args:
        path: the file to write.
        seed: the file is a function of it.
        questions: number of classes.
        samples: completions for each question and format.

    Returns:
        The path.
    """
    rng = np.random.default_rng(seed)
    lines = [
        json.dumps(row) for i in range(questions) for row in _question(rng, i, i % 4 == 3, samples)
    ]
    out = Path(path)
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return out


def _question(
    rng: np.random.Generator, number: int, easy: bool, samples: int
) -> list[dict[str, Any]]:
    a, b, c = int(rng.integers(3, 10)), int(rng.integers(4, 20)), int(rng.integers(2, 15))
    name = _NAMES[number % len(_NAMES)]
    text = f"Q{number + 1}. " + _STORIES[number % len(_STORIES)].format(name=name, a=a, b=b, c=c)
    drawn = {f: _kinds(rng, f, easy, samples) for f in _FORMATS}
    return [
        {
            "question": text,
            "format": f,
            "completion": _completion(f, kind, a, b, c),
            "correct": int(kind == "right"),
        }
        for f in _FORMATS
        for kind in drawn[f]
    ]


def _kinds(rng: np.random.Generator, style: str, easy: bool, samples: int) -> list[str]:
    """How each sample of one question and format ends; an easy question shows all three answers."""
    skill = float(rng.beta(2.5, 2.5))
    slips = {
        "plain": {"forgets": 0.8, "regroups": 0.1, "slips": 0.1},
        "steps": {"slips": 0.6, "silent": 0.25, "forgets": 0.15},
        "equation": {"regroups": 0.8, "forgets": 0.15, "silent": 0.05},
    }[style]
    if easy:
        slips = {"forgets": 0.9, "regroups": 0.1} if style == "plain" else {"regroups": 1.0}
    kinds, mass = ["right", *slips], [skill, *((1 - skill) * p for p in slips.values())]
    drawn = [str(kind) for kind in rng.choice(kinds, size=samples, p=mass)]
    return [*kinds[: min(2, samples)], *drawn[2:]] if easy else drawn


def _completion(style: str, kind: str, a: int, b: int, c: int) -> str:
    ab, right = a * b, a * b + c
    answer = {"right": right, "forgets": ab, "slips": right - 10, "regroups": a * (b + c)}.get(kind)
    if style == "plain":
        return f"That makes {answer} in all. Answer: {answer}"
    if style == "equation":
        shown = f"{a} * ({b} + {c})" if kind == "regroups" else f"{a} * {b} + {c}"
        if kind == "forgets":
            shown = f"{a} * {b}"
        return f"x = {shown}" + ("" if answer is None else f" = {answer}. Answer: {answer}")
    first = f"First, {a} groups of {b} make {ab}."
    if answer is None:
        return f"{first} Then we also need to consider the {c} others, which"
    if kind == "forgets":
        return f"{first} So there are {ab}. Answer: {ab}"
    if kind == "regroups":
        return f"Each group has {b} + {c} = {b + c}, and there are {a}. Answer: {answer}"
    return f"{first} Then {ab} + {c} = {answer}. Answer: {answer}"
