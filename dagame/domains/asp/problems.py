"""Problems of the families, with phrasings, right program, programs that mean the same, and near misses."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from string import Template
from typing import Any

import numpy as np

from ...errors import ProgramError, nearest
from .families import COMPARISONS, FAMILIES, LEVELS, THRESHOLDS
from .keys import SECONDS, SemanticKey
from .phrasings import PHRASINGS, TEST
from .rewrites import REWRITES
from .vocabulary import (
    ATTRIBUTES,
    BINARY,
    KINDS,
    NUMBERS,
    RELATIONS,
    SHOW,
    UNARY,
    instances,
)

SPLITS = {"pretrain": 0.4, "finetune": 0.3, "test": 0.3}
"""Shares of each family's problems; the splits are disjoint."""
MOST = 240
"""Problems of one family."""
_SPLIT_SEED = 20261129


@dataclass(frozen=True)
class Problem:
    """One filling of a family's words; `class_id` numbers it among all problems of all splits."""

    class_id: int
    family: str
    words: tuple[tuple[str, str], ...]

    @property
    def right(self) -> str:
        """A right program."""
        return self._filled(FAMILIES[self.family].right)

    @property
    def show(self) -> str:
        """The signature of what is asked for."""
        return f"{dict(self.words)['o']}/{FAMILIES[self.family].arity}"

    def phrasings(self, split: str) -> list[str]:
        """Eight phrasings, "train" or "test"; no phrasing of a family is in both."""
        if split not in PHRASINGS:
            raise ProgramError(f"phrasings {split!r} are unknown; {nearest(split, PHRASINGS)}")
        return [self._filled(text) for text in PHRASINGS[split][self.family]]

    def rewrites(self, seed: int = 0) -> dict[str, str]:
        """Programs that mean the same, by the name of the difference."""
        rng = np.random.default_rng([seed, self.class_id])
        own = {name: self._filled(text) for name, text in FAMILIES[self.family].same.items()}
        return own | {name: rewrite(self.right, rng) for name, rewrite in REWRITES.items()}

    def misses(self) -> dict[str, str]:
        """Programs that nearly mean it, by the name of the difference."""
        return {name: self._filled(text) for name, text in FAMILIES[self.family].miss.items()}

    def _filled(self, text: str) -> str:
        words = dict(self.words)
        return Template(text).substitute(words | COMPARISONS.get(words.get("c", ""), {}))


def semantic_key(seed: int = 0, *, seconds: float = SECONDS) -> SemanticKey:
    """One key for every problem of the generator: `instances(seed)`, all output predicates shown.

    Raises:
        DagameError: clingo is not installed.
    """
    return SemanticKey(instances(seed), SHOW, seconds=seconds)


def problems(split: str, family: str | None = None) -> list[Problem]:
    """The problems of the split "pretrain", "finetune" or "test", of one family or all, shuffled.

    Raises:
        ProgramError: the split or the family is unknown.
    """
    if split not in SPLITS:
        raise ProgramError(f"split {split!r} is unknown; {nearest(split, SPLITS)}")
    if family is not None and family not in FAMILIES:
        raise ProgramError(f"family {family!r} is unknown; {nearest(family, FAMILIES)}")
    return [p for p in _splits()[split] if family in (None, p.family)]


def rows(
    chosen: Sequence[Problem], phrasings: str = TEST, key: SemanticKey | None = None
) -> list[dict[str, Any]]:
    """One row per problem and phrasing: class_id, member_id, family, prompt; with a key also `answer`."""
    return [
        {"class_id": p.class_id, "member_id": t, "family": p.family, "prompt": prompt}
        | ({} if key is None else {"answer": key.read(p.right).key})
        for p in chosen
        for t, prompt in enumerate(p.phrasings(phrasings))
    ]


@cache
def _splits() -> dict[str, tuple[Problem, ...]]:
    rng = np.random.default_rng(_SPLIT_SEED)
    out: dict[str, list[Problem]] = {split: [] for split in SPLITS}
    number = itertools.count()
    for family in FAMILIES:
        fillings = list(_fillings(family))
        few = sorted(rng.permutation(len(fillings))[:MOST])
        every = [Problem(next(number), family, fillings[i]) for i in few]
        order = rng.permutation(len(every))
        ends = np.round(np.cumsum(list(SPLITS.values())) * len(every)).astype(int)
        for split, part in zip(SPLITS, np.split(order, ends[:-1]), strict=True):
            out[split] += [every[i] for i in part]
    return {
        split: tuple(found[i] for i in rng.permutation(len(found))) for split, found in out.items()
    }


def _fillings(family: str) -> Iterator[tuple[tuple[str, str], ...]]:
    """Every choice of words for the slots of a family, two of one sort different."""
    slots = FAMILIES[family].slots.split()
    choices = {
        **dict.fromkeys("kl", KINDS),
        **dict.fromkeys("rs", RELATIONS),
        "n": NUMBERS,
        "a": tuple(ATTRIBUTES),
        **dict.fromkeys("vw", tuple(v for values in ATTRIBUTES.values() for v in values)),
        "c": tuple(COMPARISONS),
        "t": tuple(map(str, THRESHOLDS)),
        "m": tuple(map(str, LEVELS)),
        "o": UNARY if FAMILIES[family].arity == 1 else BINARY,
    }
    for chosen in itertools.product(*(choices[slot] for slot in slots)):
        words = dict(zip(slots, chosen, strict=True))
        if _fit(words):
            yield tuple(words.items())


def _fit(words: dict[str, str]) -> bool:
    twins = (("k", "l"), ("r", "s"), ("v", "w"))
    if any(one in words and words[one] == words.get(other) for one, other in twins):
        return False
    return all(words[slot] in ATTRIBUTES[words["a"]] for slot in "vw" if slot in words)
