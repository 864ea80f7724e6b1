"""GGUF files, the quantised weights of one file: converted once into a folder that transformers loads."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ...errors import GenerationError, one_line
from ...files.output import check_folder, locked, replacing_all
from ...provenance import not_installed
from ...text import visible

MAGIC = b"GGUF"
COMPLETE = "gguf.json"
"""Names the file that a folder was made of; the folder is renamed to its place as a whole."""
VERSION = 1
"""Raised when the conversion changes."""


def is_gguf(name: str | os.PathLike[str]) -> bool:
    """Whether a model's name means one GGUF file."""
    return os.fspath(name).lower().endswith(".gguf")


def models_folder() -> Path:
    """Where converted models are kept: the user's cache directory, or below DAGAME_CACHE_DIR."""
    from platformdirs import user_cache_dir

    chosen = os.environ.get("DAGAME_CACHE_DIR")
    return Path(chosen or user_cache_dir("dagame", appauthor=False)) / "models"


def folder_of(name: str | os.PathLike[str]) -> Path:
    """The folder (float32 safetensors, configuration, tokenizer) of a GGUF file, made if need be.

    It is keyed by the SHA-256 of the file, written to a temporary folder and renamed. One process
    converts at a time; another that wants the same file waits for it and takes what it made.

    Raises:
        GenerationError: no such file, another format, damaged, or no package to read it with.
        OutputError: the cache cannot be written to.
    """
    path = Path(name)
    digest = _digest(path)
    place = models_folder() / f"{path.stem}-{digest[:16]}-{VERSION}"
    if (place / COMPLETE).is_file():
        return place
    _check_package(path)
    with locked(check_folder(place.parent), wait=True):
        if not (place / COMPLETE).is_file():
            _convert_to(place, path, digest)
    return place


def _convert_to(place: Path, path: Path, digest: str) -> None:
    with replacing_all([], [place]) as drafts:
        _convert(path, drafts[place])
        facts = {"file": path.name, "sha256": digest}
        (drafts[place] / COMPLETE).write_text(json.dumps(facts) + "\n")


def _digest(path: Path) -> str:
    """SHA-256 of the file, once it is known to begin like a GGUF file."""
    shown = visible(str(path))
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise GenerationError(
                    f"{shown} is not a GGUF file: it does not begin with {MAGIC.decode()}; "
                    "download it again, or give a folder of transformers."
                )
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise GenerationError(f"{shown} cannot be read: {one_line(error)}.") from error


def _check_package(path: Path) -> None:
    try:
        version("gguf")
    except PackageNotFoundError:
        raise GenerationError(
            not_installed("gguf", "lm", f"reading {visible(str(path))}")
        ) from None


def _convert(path: Path, folder: Path) -> None:
    """Write model and tokenizer of a GGUF file into an empty folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True}
    try:
        with _quiet():
            model = AutoModelForCausalLM.from_pretrained(path.parent, dtype=torch.float32, **found)
            tokenizer = AutoTokenizer.from_pretrained(path.parent, **found)
    except Exception as error:  # a damaged file raises anything
        raise GenerationError(
            f"{visible(str(path))} cannot be converted: {one_line(error)}; the file may be cut off "
            "(download it again), or of a kind that transformers does not read."
        ) from error
    config = model.config
    if hasattr(config, "quantization_config"):
        delattr(config, "quantization_config")
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(model.state_dict())
    plain.generation_config = model.generation_config
    with _quiet():
        plain.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars but that of the tensors, and no list of every key that transformers has no use for."""
    from transformers.utils import logging

    level, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
