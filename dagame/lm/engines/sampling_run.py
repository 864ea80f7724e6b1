"""A run of sampling that goes on after a kill and ends with the same file."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import GenerationError, OutputError
from ...files.output import check_file, locked, replacing, sync
from ...show.progress import Progress, silent
from .base import Engine

Row = dict[str, Any]


def sample_to(
    out: str | Path,
    engine: Engine,
    prompts: Sequence[Row],
    *,
    samples: int,
    seed: int,
    settings: dict[str, Any],
    progress: Progress = silent,
) -> list[Row]:
    """Draw `samples` completions of each prompt into a JSONL or Parquet file, by its suffix.

    Prompt i has a seed made of (seed, i). Finished prompts stand in OUT.partial, which the same call
    goes on from; `settings` (with the prompts and the engine's identity) must then be the same.

    Raises:
        GenerationError: a partial file of other settings. OutputError: a place that cannot be written.
    """
    out = check_file(out)
    if out.suffix not in (".jsonl", ".parquet"):
        raise OutputError(f"{out} must end in .jsonl or .parquet.")
    if samples < 1:
        raise GenerationError("--samples must be at least 1.")
    partial = out.with_name(out.name + ".partial")
    whole = [samples, seed, settings, engine.identity, list(prompts)]
    text = json.dumps(whole, sort_keys=True, default=str)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()
    check_file(partial).touch()
    with locked(partial):
        done = _done(partial, fingerprint)
        engine.check([row["prompt"] for row in prompts])
        _draw(partial, engine, prompts, done, samples, seed, progress)
        rows = [row for part in done for row in part]
        _write(out, rows)
        partial.unlink()
    return rows


def _done(partial: Path, fingerprint: str) -> list[list[Row]]:
    """The finished prompts; a last line without its end is cut off."""
    data = partial.read_bytes()
    data = data[: data.rfind(b"\n") + 1]
    if not data:
        data = json.dumps({"fingerprint": fingerprint}).encode() + b"\n"
        partial.write_bytes(data)
    with partial.open("rb+") as stream:
        stream.truncate(len(data))
    try:
        head, *lines = [json.loads(line) for line in data.splitlines()]
        same = head["fingerprint"] == fingerprint
    except (ValueError, TypeError, KeyError):
        same, lines = False, []
    if not same:
        raise GenerationError(
            f"{partial} was begun with other settings, questions or another model; give the same "
            "command, or remove that file to begin anew."
        )
    return lines


def _draw(
    partial: Path,
    engine: Engine,
    prompts: Sequence[Row],
    done: list[list[Row]],
    samples: int,
    seed: int,
    progress: Progress,
) -> None:
    started, first = time.monotonic(), len(done)
    with partial.open("ab") as stream:
        for index in range(first, len(prompts)):
            row = prompts[index]
            own = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
            drawn = engine.complete(row["prompt"], samples, own)
            part = [
                {**row, **asdict(d), "model": engine.identity, "seed": seed, "sample": k}
                for k, d in enumerate(drawn)
            ]
            stream.write(json.dumps(part, default=str).encode() + b"\n")
            stream.flush()
            done.append(json.loads(json.dumps(part, default=str)))
            spent = time.monotonic() - started
            left = spent / (index + 1 - first) * (len(prompts) - index - 1)
            progress(f"sampled {index + 1:,} of {len(prompts):,} prompts, {left:.0f} s left")
    sync(partial)


def _write(out: Path, rows: list[Row]) -> None:
    with replacing(out) as temporary:
        if out.suffix == ".jsonl":
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            temporary.write_text("".join(lines), encoding="utf-8")
        else:
            import polars as pl

            pl.DataFrame(rows, infer_schema_length=None).write_parquet(temporary)
