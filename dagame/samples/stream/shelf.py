"""Frames on disk between the passes, many to a file, each found again by its place."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ...errors import OutputError
from ...files.output import system_reason
from ..lazy import pl

_LENGTH = 8
"""Bytes before each frame, that say how many bytes it has."""


class Piece(NamedTuple):
    """Where a frame of so many rows stands."""

    file: str
    offset: int
    length: int
    rows: int


def unwritten(folder: Path, reason: str | None) -> OutputError:
    """The sentence for a shelf that takes no more."""
    return OutputError(
        f"{folder.parent} cannot be written: {reason}; it holds what is kept between the passes, so free "
        "some space, or name another folder by --out (folder=)."
    )


class Shelf:
    """A folder of files, to which frames are appended (Arrow IPC streams, LZ4)."""

    def __init__(self, folder: Path) -> None:
        """The folder exists."""
        self.folder = folder

    def put(self, name: str, frame: pl.DataFrame) -> Piece:
        """Append a frame to one of the files.

        Raises:
            OutputError: the system refuses, such as on a full disk.
        """
        buffer = io.BytesIO()
        frame.write_ipc_stream(buffer, compression="lz4")
        data = buffer.getbuffer()
        try:
            with (self.folder / name).open("ab") as stream:
                stream.write(len(data).to_bytes(_LENGTH, "little"))
                offset = stream.tell()
                stream.write(data)
        except OSError as error:
            raise unwritten(self.folder, system_reason(error)) from error
        return Piece(name, offset, len(data), len(frame))

    def get(self, piece: Piece) -> pl.DataFrame:
        """The frame."""
        with (self.folder / piece.file).open("rb") as stream:
            stream.seek(piece.offset)
            return pl.read_ipc_stream(io.BytesIO(stream.read(piece.length)))

    def every(self, name: str) -> Iterator[pl.DataFrame]:
        """All frames of one of the files, in order; none where nothing was put."""
        path = self.folder / name
        if not path.exists():
            return
        with path.open("rb") as stream:
            while length := stream.read(_LENGTH):
                data = stream.read(int.from_bytes(length, "little"))
                yield pl.read_ipc_stream(io.BytesIO(data))

    def drop(self, name: str) -> None:
        """Remove a file whose frames are no longer needed."""
        (self.folder / name).unlink(missing_ok=True)
