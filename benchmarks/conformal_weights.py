"""The published weights of Conformal Feedback Alignment: reproduced, and whether they predict preferences.

    python benchmarks/conformal_weights.py --data FOLDER

FOLDER holds dpo_data_llama2_withuncertainty.zip of tiejin98/Conformal-Feedback-Alignment (MIT), 104,614
preference pairs over 860 prompts, read as a stream. A pair's weight is the mean of the weights of its
two responses, which are not published; they are recovered from the pairs: a level is ruled out where no
level of the other response gives the pair's weight, until nothing changes. Reproduced: the share of pairs
between recovered responses whose weight `dagame.conformal` gives to the last bit; held out: the same with
levels recovered from a random half of the pairs (seed 0) and the other half predicted.

Win rate: the share of a response's comparisons that it wins, mean over the responses of a level with at
least --comparisons; "stricter wins": of the pairs of two levels, how often that of the smaller set wins,
with a 95% bootstrap interval over prompts. Cyclic triads: of all three responses of a prompt that were
compared with each other.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import keep

from dagame.conformal import pair_weights, published_reliability

FILE = "dpo_data_llama2_withuncertainty.zip"
CELLS = {
    "none": (False, False),
    "50% set alone": (True, False),
    "both": (True, True),
    "ring": (False, True),
}
LEVELS = {name: float(published_reliability(*cell)) for name, cell in CELLS.items()}
NAMES = {level: name for name, level in LEVELS.items()}


class Prompt(NamedTuple):
    """Pairs (chosen, rejected, weight) of numbered responses."""

    pairs: list[tuple[int, int, float]]
    responses: int


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of the file within the archive, one at a time."""
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as stream:
        yield from map(json.loads, stream)


def prompts(path: Path) -> list[Prompt]:
    """The comparisons of every prompt."""
    pairs: dict[str, list[tuple[int, int, float]]] = defaultdict(list)
    numbers: dict[str, dict[str, int]] = defaultdict(dict)
    for row in lines(path):
        known = numbers[row["prompt"]]
        first, second = (known.setdefault(row[c], len(known)) for c in ("chosen", "rejected"))
        pairs[row["prompt"]].append((first, second, row["weight"]))
    return [Prompt(found, len(numbers[name])) for name, found in pairs.items()]


def partners() -> dict[float, dict[float, set[float]]]:
    """By the weight of a pair: the levels that one response may have, and the other's for each."""
    table: dict[float, dict[float, set[float]]] = defaultdict(lambda: defaultdict(set))
    for one, other in itertools.product(LEVELS.values(), repeat=2):
        table[float(pair_weights(one, other))][one].add(other)
    return table


def recovered(prompt: Prompt, table: Any) -> list[set[float]]:
    """The levels that each response can have, given all weights; empty sets: no levels give them."""
    possible = [set(LEVELS.values()) for _ in range(prompt.responses)]
    changed = True
    while changed:
        changed = False
        for first, second, weight in prompt.pairs:
            for one, other in ((first, second), (second, first)):
                left = {v for v in possible[one] if table[weight][v] & possible[other]}
                changed |= left != possible[one]
                possible[one] = left
    return possible


def reproduced(known: list[Prompt], asked: list[Prompt], table: Any) -> dict[str, int]:
    """Levels from `known`, weights of the pairs `asked`: how many are given, how many of them right."""
    count = {"pairs": 0, "recoverable": 0, "equal": 0, "contradictions": 0}
    for source, target in zip(known, asked, strict=True):
        possible = recovered(source, table)
        count["contradictions"] += sum(not levels for levels in possible)
        count["pairs"] += len(target.pairs)
        for first, second, weight in target.pairs:
            if len(possible[first]) == len(possible[second]) == 1:
                count["recoverable"] += 1
                made = pair_weights(min(possible[first]), min(possible[second]))
                count["equal"] += float(made) == weight
    return count


def halves(all_prompts: list[Prompt], seed: int) -> tuple[list[Prompt], list[Prompt]]:
    """The pairs of every prompt in two random halves."""
    rng = np.random.default_rng(seed)
    parts: tuple[list[Prompt], list[Prompt]] = ([], [])
    for prompt in all_prompts:
        first = rng.random(len(prompt.pairs)) < 0.5
        for part, side in zip(parts, (first, ~first), strict=True):
            chosen = [pair for pair, taken in zip(prompt.pairs, side, strict=True) if taken]
            part.append(Prompt(chosen, prompt.responses))
    return parts


def preferences(all_prompts: list[Prompt], table: Any, least: int) -> dict[str, Any]:
    """Win rates by level, pairs of levels by prompt, cyclic triads."""
    rates: dict[str, list[float]] = defaultdict(list)
    cross: dict[tuple[str, str], list[list[int]]] = defaultdict(list)
    triads, cyclic, shares = 0, 0, []
    for prompt in all_prompts:
        wins = np.zeros((prompt.responses, prompt.responses), dtype=int)
        for first, second, _ in prompt.pairs:
            wins[first, second] = 1
        met = wins | wins.T
        of = [min(v) if len(v) == 1 else None for v in recovered(prompt, table)]
        for k, level in enumerate(of):
            if level is not None and met[k].sum() >= least:
                rates[NAMES[level]].append(wins[k].sum() / met[k].sum())
        mine: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        for one, other in itertools.permutations(range(prompt.responses), 2):
            a, b = of[one], of[other]
            if wins[one, other] and a is not None and b is not None and a != b:
                key, won = order(NAMES[a], NAMES[b])
                mine[key][0] += won
                mine[key][1] += 1
        for key, count in mine.items():
            cross[key].append(count)
        here = int(np.trace(met @ met @ met)) // 6
        round_about = int(np.trace(wins @ wins @ wins)) // 3
        triads, cyclic = triads + here, cyclic + round_about
        shares += [round_about / here] if here else []
    return {"rates": rates, "cross": cross, "triads": triads, "cyclic": cyclic, "shares": shares}


def order(winner: str, loser: str) -> tuple[tuple[str, str], bool]:
    """The two levels, that of the smaller set first, and whether it won."""
    size = ("both", "50% set alone", "ring", "none")
    first, second = sorted((winner, loser), key=size.index)
    return (first, second), winner == first


def interval(counts: list[list[int]], seed: int = 0) -> tuple[float, float]:
    """95% bootstrap interval over prompts of a share of counts."""
    won, met = np.array(counts).T
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(won), size=(2000, len(won)))
    low, high = np.quantile(won[drawn].sum(1) / met[drawn].sum(1), [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Both findings."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--comparisons", type=int, default=4)
    asked, started = parser.parse_args(), time.perf_counter()
    found, table = prompts(asked.data / FILE), partners()
    weights: dict[float, int] = defaultdict(int)
    for prompt in found:
        for *_, weight in prompt.pairs:
            weights[weight] += 1
    every = reproduced(found, found, table)
    one, other = halves(found, 0)
    held_out = reproduced(one, other, table)
    told = preferences(found, table, asked.comparisons)
    every_response = preferences(found, table, 1)["rates"]
    rows = [
        {
            "level": name,
            "weight": LEVELS[name],
            "responses": len(every_response[name]),
            "win rate": float(np.mean(every_response[name])),
            f"responses of {asked.comparisons}+": len(told["rates"][name]),
            f"win rate of {asked.comparisons}+": float(np.mean(told["rates"][name])),
        }
        for name in ("ring", "both", "none")
    ]
    pairs = [
        {
            "smaller set": key[0],
            "other": key[1],
            "pairs": int(np.sum(counts, axis=0)[1]),
            "smaller set wins": float(np.divide(*np.sum(counts, axis=0))),
            "interval": interval(counts),
        }
        for key, counts in told["cross"].items()
    ]
    facts = {
        "prompts": len(found),
        "weights": dict(sorted(weights.items())),
        "all pairs": every,
        "held out": held_out,
        "between levels": pairs,
        "triads": told["triads"],
        "cyclic": told["cyclic"],
        "cyclic share": told["cyclic"] / told["triads"],
        "cyclic share, mean over prompts": float(np.mean(told["shares"])),
    }
    keep("conformal_weights", rows, **facts, seconds=time.perf_counter() - started)
    for name in ("all pairs", "held out"):
        print(name, facts[name])
    print(*pairs, sep="\n")
    print(f"cyclic triads {facts['cyclic share']:.4f} of {told['triads']:,}, by prompt "
          f"{facts['cyclic share, mean over prompts']:.4f}")  # fmt: skip


if __name__ == "__main__":
    main()
