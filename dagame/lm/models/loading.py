"""Models and tokenizers from folders that others wrote: no code of theirs runs unless asked for."""

from __future__ import annotations

import os
from typing import Any

from ...errors import GenerationError, one_line
from ...known_errors import needs_own_code
from ...text import visible
from .gguf import folder_of, is_gguf

SMALL = 1_000_000


def fit_threads(model: Any) -> int:
    """Let torch use one thread for a model of fewer than `SMALL` parameters on the CPU.

    Its tensors are too small to share: threads that wait for each other cost more than they save, most of
    all on a machine that does other work. Returns how many there were, for `torch.set_num_threads`.
    """
    import torch

    before = torch.get_num_threads()
    if model.device.type == "cpu" and sum(p.numel() for p in model.parameters()) < SMALL:
        torch.set_num_threads(1)
    return before


def model_folder(name: str | os.PathLike[str]) -> str:
    """What transformers loads: the folder that a GGUF file is converted into, other names as they are."""
    return str(folder_of(name)) if is_gguf(name) else os.fspath(name)


def pretrained(
    kind: Any, name: str | os.PathLike[str], *, trust_remote_code: bool = False, **options: Any
) -> Any:
    """`kind.from_pretrained(name)`, an `Auto...` class of transformers, from a folder or the hub.

    Weights are safetensors, or a checkpoint of tensors alone (torch's `weights_only`).

    Args:
        kind: such as `AutoModelForCausalLM`, `AutoTokenizer`, `AutoConfig`.
        name: a folder, a GGUF file or a name on the hub.
        trust_remote_code: run the Python files of the folder. They can do whatever you can: read
            them first. False refuses a model that needs them, and never asks at the terminal.
        options: of `from_pretrained`.

    Raises:
        GenerationError: in one sentence, why it cannot be loaded.
    """
    name = model_folder(name)
    try:
        return kind.from_pretrained(name, trust_remote_code=trust_remote_code, **options)
    except Exception as error:  # files, network and hub raise anything
        reason = one_line(error)
        if not trust_remote_code and needs_own_code(error):
            reason = (
                "it needs Python code of its own, which is not run; read it, and allow it with "
                "trust_remote_code (in a file of dagame finetune: training.trust_remote_code: true)"
            )
        elsewhere = "" if os.path.isdir(name) else "; without the hub, name a folder that holds it"
        raise GenerationError(
            f"{visible(str(name))} cannot be loaded: {reason}{elsewhere}."
        ) from error
