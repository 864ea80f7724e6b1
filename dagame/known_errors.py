"""Errors and warnings of other packages that have no class of their own, known by their text.

Everything that is decided by a text stands here; elsewhere an error is known by its class. A test
provokes each real one, at the oldest and the newest versions too, so that a text that changed is seen.
"""

from __future__ import annotations

import errno
import os
import re
from json import JSONDecodeError

NO_GLYPH = "Glyph .* missing|Matplotlib currently does not support"
"""matplotlib's UserWarning where the font has no picture of a letter, or (3.9) nobody who could shape it."""


def system_number(error: BaseException) -> int | None:
    """The system's error number that a library written in Rust (polars, safetensors) puts in its text."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


def torch_cannot_write(error: BaseException) -> bool:
    """torch's archive writer, a RuntimeError that names no reason."""
    text = str(error)
    return "PytorchStreamWriter" in text or ("inline_container" in text and "Reader" not in text)


def refused_by_the_system(error: BaseException) -> str | None:
    """Why the system refused, where a library hides that in its text; else None."""
    if (number := system_number(error)) is not None:
        return os.strerror(number)
    return (
        "torch could not write its file, the disk may be full"
        if torch_cannot_write(error)
        else None
    )


def damaged(error: BaseException) -> bool:
    """Whether a file of a checkpoint is cut off, or holds more than tensors.

    torch's archive reader raises a RuntimeError, or seeks before the start of a file that was cut off,
    which is the system's EINVAL; of the class of its refusal to load more than
    tensors the name is compared, as this package imports no pickle.
    """
    from safetensors import SafetensorError

    if isinstance(error, JSONDecodeError | SafetensorError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.EINVAL
    return type(error).__name__ == "UnpicklingError" or "PytorchStreamReader" in str(error)


def connection_lost(error: BaseException) -> bool:
    """Whether the connection between the processes of a run broke; gloo raises a RuntimeError."""
    from torch.distributed import DistError

    return isinstance(error, DistError) or "gloo" in str(error) or "NCCL" in str(error)


def needs_own_code(error: BaseException) -> bool:
    """Whether transformers refuses a model for its Python files: a ValueError without a class."""
    return "custom code" in str(error)
