"""Options of `dagame solve` for files that do not fit in memory."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DagameError

if TYPE_CHECKING:
    from ..samples import Samples
    from ..samples.stream.streamed import StreamedSamples

MaxMemory = Annotated[
    str | None,
    typer.Option(
        "--max-memory",
        metavar="SIZE",
        help="Read and solve in parts within about so much memory, such as 2GiB; files only, no "
        "report.html, no --calibrate.",
    ),
]


def check_in_parts(max_memory: str | None, calibrate: str | None) -> None:
    """Refuse what needs all samples in memory."""
    if max_memory is None:
        return
    from ..samples.stream.streamed import memory_bytes

    memory_bytes(max_memory)
    if calibrate is not None:
        raise DagameError("--calibrate needs all samples at once; leave out --max-memory.")


def opened(
    held: ExitStack,
    max_memory: str | None,
    folder: Path | None,
    source: str | Sequence[str],
    *columns: Any,
    **options: Any,
) -> Samples | StreamedSamples:
    """The samples, in memory or in parts that are removed when `held` ends."""
    from ..samples import Samples

    if max_memory is None:
        return Samples.read(source, *columns, **options)
    more = {"max_memory": max_memory, "folder": folder}
    return held.enter_context(Samples.stream(source, *columns, **more, **options))
