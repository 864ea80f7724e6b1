"""Tables that take a program to build are kept on disk, keyed by what they were built for.

The folder is the user's cache directory (platformdirs), or the environment variable
DAGAME_CACHE_DIR; an empty value switches the disk off. A file that is damaged, or was made for another
table, is built again; if the folder cannot be written to, nothing is stored. The check is against accidents,
not forgery: whoever may write to the folder is trusted.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OutputError
from ..files.output import write_text
from .binomial import grid

VERSION = 2
"""Raised when an algorithm changes the tables."""

_PROBE = grid(64, 4)


def folder() -> Path | None:
    """Where tables are kept; None: nowhere."""
    chosen = os.environ.get("DAGAME_CACHE_DIR")
    if chosen is not None:
        return Path(chosen) / "tables" if chosen else None
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("dagame", appauthor=False)) / "tables"


def cached(
    slope: Callable[[Any], Any],
    k: int,
    method: str,
    options: dict[str, Any],
    build: Callable[..., np.ndarray],
) -> np.ndarray:
    """build(f' / size, K, **options) * size, from the disk where it is there.

    All programs are homogeneous in f', so that size = max |p f'(p)| is taken out: one file serves
    every strength. The key is the values of f' / size on a grid, not the objective's name.
    """
    values = np.asarray(slope(_PROBE), float) + 0 * _PROBE
    size = float(np.abs(_PROBE * values).max())
    if size == 0:
        return np.zeros(k)
    shape = np.round(values / size, 9) + 0.0
    key = {"version": VERSION, "K": k, "method": method, **options}
    text = json.dumps(key, sort_keys=True).encode() + shape.tobytes()
    name = f"{method}-{k}-{hashlib.sha256(text).hexdigest()[:24]}.json"
    place = folder()
    found = None if place is None else _read(place / name, text, k)
    if found is None:
        found = np.asarray(build(lambda p: np.asarray(slope(p), float) / size, k, **options), float)
        if place is not None:
            _write(place / name, {**key, "entries": found.tolist(), "sha256": _digest(text, found)})
    return found * size


def _digest(key: bytes, entries: np.ndarray) -> str:
    """Of the table and of what it is for, so that a file under another's name is noticed."""
    return hashlib.sha256(key + entries.tobytes()).hexdigest()


def _read(path: Path, key: bytes, k: int) -> np.ndarray | None:
    """The table, if a file of a plausible size holds it and it is the one that was written."""
    try:
        if not path.is_file() or path.stat().st_size > 1000 + 40 * k:
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
        entries = np.array([float(entry) for entry in content["entries"]])
        whole = content["sha256"] == _digest(key, entries) and len(entries) == k
        return entries if whole and np.isfinite(entries).all() else None
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def _write(path: Path, content: dict[str, Any]) -> None:
    if path.exists() and not path.is_file():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(content))
    except (OSError, OutputError):
        return
