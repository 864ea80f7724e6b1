"""Which weights a model's name means now: a commit of the hub, or a digest of its files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ...errors import GenerationError, one_line
from ...text import visible
from ..models.loading import model_folder

READ = {".safetensors", ".bin", ".pt", ".json", ".model", ".txt", ".jinja", ".tiktoken", ".py"}
"""Suffixes of the files that a model and its tokenizer are loaded from."""


def revision_of(name: str) -> str | None:
    """Of a folder or GGUF file "sha256:..." of its files, of a name on the hub its commit.

    Of a folder of adapters the base model's revision counts too. None: the name is neither a folder
    nor in the cache of the hub. Call it once the model is loaded, so that the cache has it.
    """
    folder = Path(model_folder(name))
    if not folder.is_dir():
        return _commit(name)
    digest = hashlib.sha256()
    try:
        for path in sorted(p for p in folder.iterdir() if p.suffix in READ and p.is_file()):
            with path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").digest()
            digest.update(path.name.encode() + b"\0" + content)
        adapter = folder / "adapter_config.json"
        if adapter.is_file():
            base: Any = json.loads(adapter.read_text()).get("base_model_name_or_path")
            if base and Path(base).resolve() != folder.resolve():
                digest.update(str(revision_of(str(base))).encode())
    except (OSError, ValueError) as error:
        raise GenerationError(f"{visible(name)} cannot be read: {one_line(error)}.") from error
    return f"sha256:{digest.hexdigest()}"


def _commit(name: str) -> str | None:
    """The folder of the hub's cache that holds the configuration is named after the commit."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json")
    except HFValidationError:
        return None
    return Path(found).parent.name if isinstance(found, str) else None
