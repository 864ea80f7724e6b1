"""A run of sampling that goes on after a kill and ends with the same file."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import GenerationError, OutputError, one_line
from ...files.output import check_file, put_text, replacing
from ...files.strict_json import json_line
from .base import Drawn, Engine
from .partial import Partial, partial_of
from .questions import Row

Counted = Callable[[int, int], object]
"""Told how many of how many prompts are done, once before the first."""

SUFFIXES = (".jsonl", ".parquet")


@dataclass(frozen=True)
class Sampled:
    """What was drawn: numbers of prompts and completions, and of completions by their finish reason.

    empty: completions without text; alike: all completions of each prompt were one and the same, of
    two or more, which is what a greedy sampler gives.
    """

    prompts: int
    completions: int
    reasons: dict[str, int]
    empty: int
    alike: bool
    tokens: int | None

    @property
    def cut(self) -> int:
        """Completions that were cut off."""
        return self.reasons.get("length", 0)


def check_out(out: str | Path, taken: Sequence[str | Path] = ()) -> Path:
    """The file to write, if one can be written there."""
    out = check_file(out, taken)
    if out.suffix not in SUFFIXES or (out.exists() and not out.is_file()):
        raise OutputError(f"{out} must be a file that ends in {' or '.join(SUFFIXES)}.")
    return out


def sample_to(
    out: str | Path,
    engine: Engine,
    prompts: Sequence[Row],
    *,
    samples: int,
    seed: int,
    max_new_tokens: int,
    chat: bool = False,
    progress: Counted = lambda _done, _all: None,
) -> Sampled:
    """Draw `samples` completions of each prompt into a JSONL or Parquet file, by its suffix.

    The engine has checked the prompts.
    Prompt i has a seed made of (seed, i). Finished prompts stand in OUT.partial, which the same call
    goes on from, with the batches that it would have had.

    Raises:
        GenerationError: a partial file of another run. OutputError: a place that cannot be written.
    """
    out = check_out(out)
    if samples < 1:
        raise GenerationError("--samples must be at least 1.")
    if out.suffix == ".parquet":
        _frame(out, prompts)
    head = {"model": engine.model, "revision": engine.revision, **engine.facts}
    head |= {"samples": samples, "seed": seed, "max_new_tokens": max_new_tokens, "chat": chat}
    head["questions"] = _digest(prompts)
    with partial_of(out, head, samples, len(prompts)) as partial:
        _draw(partial, engine, prompts, samples, seed, progress)
        _write(out, _rows(prompts, partial.done, engine, seed))
        partial.path.unlink()
        return _counted(partial.done)


def _draw(
    partial: Partial,
    engine: Engine,
    prompts: Sequence[Row],
    samples: int,
    seed: int,
    progress: Counted,
) -> None:
    size, done = engine.at_once(samples), len(partial.done)
    first = done if done == len(prompts) else done - done % size
    partial.go_on_from(first)
    progress(first, len(prompts))
    for start in range(first, len(prompts), size):
        part = [row["prompt"] for row in prompts[start : start + size]]
        seeds = [seed_of(seed, start + k) for k in range(len(part))]
        try:
            found = engine.complete(part, samples, seeds)
        except GenerationError as error:
            raise GenerationError(
                f"{error} {start:,} of {len(prompts):,} prompts are done; the same command goes on there."
            ) from error
        if [len(drawn) for drawn in found] != [samples] * len(part):
            raise GenerationError("the engine gave another number of completions than asked for.")
        partial.add(found)
        progress(start + len(part), len(prompts))


def seed_of(seed: int, index: int) -> int:
    """The seed of prompt number `index`, below 2^31."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0]) >> 1


def _rows(
    prompts: Sequence[Row], done: Sequence[Sequence[Drawn]], engine: Engine, seed: int
) -> list[Row]:
    same = {"model": engine.model, "revision": engine.revision, "seed": seed}
    return [
        {
            **{name: row[name] for name in ("class", "context", "prompt")},
            **drawn._asdict(),
            **same,
            "sample": k,
            **row,
        }
        for row, part in zip(prompts, done, strict=True)
        for k, drawn in enumerate(part)
    ]


def _write(out: Path, rows: list[Row]) -> None:
    frame = _frame(out, rows) if out.suffix == ".parquet" else None
    with replacing(out) as temporary:
        if frame is None:
            put_text(temporary, "".join(json_line(row) for row in rows))
        else:
            frame.write_parquet(temporary)


def _frame(out: Path, rows: Sequence[Row]) -> Any:
    """The rows as a table; `OutputError` where a column holds values of several types."""
    import polars as pl

    kinds = {"completion": pl.String, "log_probability": pl.Float64, "tokens": pl.Int64}
    kinds |= {"finish_reason": pl.String, "model": pl.String, "revision": pl.String}
    known = {name: kind for name, kind in kinds.items() if name in rows[0]}
    for name in {name for row in rows for name in row}:
        held = {_kind(row[name]) for row in rows if row.get(name) is not None}
        if len(held) > 1:
            raise OutputError(
                f"{out}: column {name!r} holds {' and '.join(sorted(held))}, so that it is no column of a "
                "table; write a .jsonl file."
            )
    try:
        return pl.DataFrame(rows, infer_schema_length=None, schema_overrides=known)
    except (pl.exceptions.PolarsError, TypeError, OverflowError) as error:
        raise OutputError(
            f"{out}: the questions make no table ({one_line(error, 120)}); write a .jsonl file."
        ) from None


def _kind(value: Any) -> str:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return "numbers" if plain else type(value).__name__


def _digest(prompts: Sequence[Row]) -> str:
    digest = hashlib.sha256()
    for row in prompts:
        digest.update(json.dumps(row, sort_keys=True, default=str).encode() + b"\n")
    return digest.hexdigest()


def _counted(done: Sequence[Sequence[Drawn]]) -> Sampled:
    flat = [drawn for part in done for drawn in part]
    tokens = [drawn.tokens for drawn in flat]
    return Sampled(
        prompts=len(done),
        completions=len(flat),
        reasons=dict(Counter(str(drawn.finish_reason) for drawn in flat).most_common()),
        empty=sum(not drawn.completion for drawn in flat),
        alike=all(len(part) > 1 and len({d.completion for d in part}) == 1 for part in done),
        tokens=None if None in tokens else sum(n for n in tokens if n is not None),
    )
