"""Are different answers ever one key, or spellings of one answer two? Generated texts whose meaning is known.

python benchmarks/meanings.py [--pairs 20000] [--values 400] [--seed 0]

"formulas": pairs of formulas, quantities, intervals, sets, tuples, equations, matrices and names, each
pair one meaning or two, through the key of `math`; "in sentences" through its finder too. "numbers":
every spelling of random numbers in sentences through `last-number` and `gsm8k`, each to be the number
that was written. "parts": texts of which a number is only a part, all against all.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
from common import keep

from dagame.samples.keys.finder import find_mathematics
from dagame.samples.keys.mathematics import exact_key
from dagame.samples.keys.reader import AnswerReader

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "samples" / "keys"))
from meanings import faults
from number_meanings import a_value, other_meanings, spellings, surroundings


def formulas(seed: int, pairs: int, sentence: bool) -> dict[str, Any]:
    """Merges and splits of generated pairs of formulas."""
    key = (lambda text: exact_key(find_mathematics(text))) if sentence else exact_key
    found = faults(key, seed, pairs, sentence=sentence)
    return {
        "texts": "formulas in sentences" if sentence else "formulas",
        "pairs": found.read,
        "merges": len(found.merges),
        "splits": len(found.splits),
    }


def numbers(seed: int, values: int, preset: str) -> dict[str, Any]:
    """Spellings of random numbers; a wrong key that is another number's is a merge."""
    rng, rows, meant = random.Random(seed), [], []
    for _ in range(values):
        value = a_value(rng)
        for text in spellings(value, rng):
            if preset == "gsm8k":
                if text.endswith(("%", "percent")):
                    continue
                texts = [f"#### {text}{tail}" for tail in ("", ".", " clips", " (see above)")]
            else:
                texts = surroundings(text)
            rows += texts
            meant += [str(value)] * len(texts)
    keys = AnswerReader(preset, "number").read(pl.Series(rows, dtype=pl.String)).keys.to_list()
    wrong = [key for key, value in zip(keys, meant, strict=True) if key != value]
    merges = sum(key in set(meant) for key in wrong)
    return {
        "texts": f"numbers by {preset}",
        "pairs": len(rows),
        "merges": merges,
        "splits": len(wrong) - merges,
    }


def parts(seed: int, values: int) -> dict[str, Any]:
    """Texts of which a number is a part, against each other and against the number."""
    rng, meanings = random.Random(seed), {}
    for _ in range(values):
        number = rng.randrange(2, 10**5)
        meanings[str(number)] = ("number", Fraction(number))
        for kind, text in enumerate(other_meanings(str(number))):
            powers = {0: Fraction(number) ** 2, 1: Fraction(10) ** number if number < 100 else None}
            value = powers.get(kind)
            meanings[text] = (kind, number) if value is None else ("number", value)
    rows = list(meanings)
    keys = AnswerReader("last-number", "number").read(pl.Series(rows)).keys.to_list()
    groups = defaultdict(set)
    for row, key in zip(rows, keys, strict=True):
        if key is not None:
            groups[key].add(meanings[row])
    merges = sum(len(found) - 1 for found in groups.values())
    count = len(rows) * (len(rows) - 1) // 2
    return {"texts": "parts of numbers", "pairs": count, "merges": merges, "splits": 0}


def main() -> None:
    """All four, kept under benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--values", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rows = [
        formulas(given.seed, given.pairs, sentence=False),
        formulas(given.seed, given.pairs, sentence=True),
        numbers(given.seed, given.values, "last-number"),
        numbers(given.seed, given.values, "gsm8k"),
        parts(given.seed, given.values),
    ]
    keep("meanings", rows, pairs=given.pairs, values=given.values, seed=given.seed)
    sys.exit(any(row["merges"] or row["splits"] for row in rows))


if __name__ == "__main__":
    main()
