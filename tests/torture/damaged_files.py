"""Files cut anywhere, with bytes changed: what reading them ends in."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from dagame.errors import SamplesError
from dagame.samples.files.reading import read_frame


def read_damaged(
    folder: Path, rng: random.Random, whole: dict[str, bytes], changes: range, times: int
) -> Iterator[tuple[str, bytes, int | str]]:
    """Files by name damaged and read in both modes: the name, the bytes, and how many rows or the refusal.

    Rows are those read and those left out, of which there are none without "skip".
    """
    for _ in range(times):
        name = rng.choice(list(whole))
        data = _damaged(rng, whole[name], changes)
        (folder / name).write_bytes(data)
        for mode in ("stop", "skip"):
            try:
                frame, skipped = read_frame(folder / name, mode)
            except SamplesError as error:
                yield name, data, str(error)
            else:
                assert mode == "skip" or not skipped
                yield name, data, len(frame) + len(skipped)


def _damaged(rng: random.Random, data: bytes, changes: range) -> bytes:
    """The bytes cut anywhere in one case of two, and as many of them changed as drawn from `changes`."""
    out = bytearray(data)
    if rng.random() < 0.5:
        del out[rng.randrange(len(out)) :]
    for _ in range(rng.randrange(changes.start, changes.stop)):
        if out:
            out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)
