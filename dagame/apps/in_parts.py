"""Options of `dagame solve` for files that do not fit in memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import DagameError

if TYPE_CHECKING:
    from ..samples import Samples
    from ..samples.stream.streamed import StreamedSamples
    from .options import SolveOptions


class InParts(NamedTuple):
    """How much memory, which engine, and where it is."""

    max_memory: str
    engine: str
    address: str | None


def in_parts(asked: SolveOptions) -> InParts | None:
    """The way of reading in parts that is asked for, None for all at once; refused where it cannot be."""
    max_memory, engine, address = asked.max_memory, asked.engine, asked.address
    if address is not None and engine != "ray":
        raise DagameError("--address is that of a Ray cluster; give --engine ray with it.")
    if max_memory is None and engine is None:
        return None
    if engine not in (None, "local", "ray"):
        raise DagameError(f"--engine is {engine!r}; choose local or ray.")
    from ..samples.stream.streamed import memory_bytes

    way = InParts(max_memory or "2GiB", engine or "local", address)
    memory_bytes(way.max_memory)
    if asked.calibrate is not None:
        raise DagameError(
            "--calibrate needs all samples at once; leave out --max-memory and --engine."
        )
    return way


@contextmanager
def results_alone(way: InParts | None) -> Iterator[None]:
    """Keep standard output for results: what Ray says of workers that died goes to stderr."""
    if way is None or way.engine != "ray":
        yield
        return
    with redirect_stdout(sys.stderr):
        yield


def _close(samples: StreamedSamples, way: InParts) -> None:
    with results_alone(way):
        samples.close()


def opened(
    held: ExitStack,
    way: InParts | None,
    folder: Path | None,
    source: str | Sequence[str],
    **options: Any,
) -> Samples | StreamedSamples:
    """The samples, in memory or in parts that are removed when `held` ends."""
    from ..samples import Samples

    if way is None:
        return Samples.read(source, **options)
    more = {**way._asdict(), "folder": folder}
    samples = Samples.stream(source, **more, **options)
    held.callback(_close, samples, way)
    return samples
