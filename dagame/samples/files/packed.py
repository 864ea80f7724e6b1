"""Archives -> bytes, piece by piece and within bounds."""

from __future__ import annotations

import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, Any

from ...errors import SamplesError

MOST_UNPACKED = 256 << 20
"""Bytes that any archive may unpack to; a larger one up to `MOST_RATIO` times its size."""
MOST_RATIO = 200
PIECE = 1 << 20
"""Bytes taken or given at a time."""


def unpacked(name: str, data: bytes, packed: str) -> tuple[bytes, str]:
    """The bytes, and the suffix of the file in the archive, "" where it has no name there."""
    parts, suffix = unpacked_parts(name, io.BytesIO(data), packed)
    return b"".join(bounded(name, parts, len(data))), suffix


def unpacked_parts(name: str, stream: IO[bytes], packed: str) -> tuple[Iterator[bytes], str]:
    """The same piece by piece, of an open file."""
    if packed == "zip":
        archive = archive_of(name, stream)
        member = _only_member(name, archive)
        suffix = os.path.splitext(member.filename)[1].lower()
        return member_parts(name, archive, member), suffix
    pieces = iter(lambda: stream.read(PIECE), b"")
    return (_gzip_parts if packed == "gzip" else _zstd_parts)(name, pieces), ""


def bounded(name: str, parts: Iterable[bytes], packed_size: int) -> Iterator[bytes]:
    """The parts, refused when they are too many for so small an archive."""
    most, size = max(MOST_UNPACKED, MOST_RATIO * packed_size), 0
    for part in parts:
        size += len(part)
        if size > most:
            raise SamplesError(
                f"{name} unpacks to more than {MOST_RATIO} times its size; unpack it yourself if it "
                "is to be trusted."
            )
        yield part


def _gzip_parts(name: str, packed: Iterable[bytes]) -> Iterator[bytes]:
    member, zeros = None, b""
    try:
        for piece in packed:
            rest = piece
            while rest:
                if member is None:
                    if not rest.strip(b"\0"):  # padding behind the last member
                        zeros = b"\0"
                        break
                    member, rest = zlib.decompressobj(wbits=31), zeros + rest
                yield from _inflated(member, rest)
                rest, member = member.unused_data, None if member.eof else member
    except zlib.error as error:
        raise SamplesError(f"{name} is a damaged gzip file: {error}.") from None
    if member is not None:
        raise SamplesError(f"{name} is a truncated gzip file.")


def _inflated(member: Any, data: bytes) -> Iterator[bytes]:
    """What these bytes of a gzip member unpack to, in parts."""
    part = member.decompress(data, PIECE)
    yield part
    while not member.eof and (member.unconsumed_tail or len(part) == PIECE):
        part = member.decompress(member.unconsumed_tail, PIECE)
        yield part


_FRAME_PIECE = 1 << 10
"""Bytes of zstd taken at a time, which bounds what one step can unpack to."""


def _zstd_parts(name: str, packed: Iterable[bytes]) -> Iterator[bytes]:
    import zstandard

    frame = None
    try:
        for data in packed:
            at = 0
            while at < len(data):
                frame = frame or zstandard.ZstdDecompressor().decompressobj()
                piece = data[at : at + _FRAME_PIECE]
                at += len(piece)
                yield frame.decompress(piece)
                if frame.eof:
                    at, frame = at - len(frame.unused_data), None
    except zstandard.ZstdError as error:
        raise SamplesError(f"{name} is a damaged zstd file: {error}.") from None
    if frame is not None:
        raise SamplesError(f"{name} is a truncated zstd file.")


_ZIP_ERRORS = (zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, OSError, ValueError)


def _only_member(name: str, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [m for m in archive.infolist() if _is_content(m.filename)]
    if len(members) != 1:
        raise SamplesError(
            f"{name} holds {len(members):,} files; unpack it and name those to be read."
        )
    return members[0]


def _damaged_zip(name: str, error: Exception) -> SamplesError:
    return SamplesError(f"{name} is a damaged zip file: {ascii(str(error))[1:-1][:100]}.")


def _is_content(member: str) -> bool:
    hidden = any(part.startswith(".") for part in member.split("/"))
    return not (member.endswith("/") or hidden or member.startswith("__MACOSX/"))


def archive_of(name: str, stream: IO[bytes]) -> zipfile.ZipFile:
    """An open zip file."""
    try:
        return zipfile.ZipFile(stream)
    except (*_ZIP_ERRORS, NotImplementedError) as error:
        raise _damaged_zip(name, error) from None


def member_parts(name: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """What one file in a zip holds."""
    try:
        with archive.open(member) as stream:
            while part := stream.read(PIECE):
                yield part
    except SamplesError:
        raise
    except (RuntimeError, NotImplementedError) as error:
        reason = "is encrypted" if "password" in str(error) else f"cannot be unpacked: {error}"
        raise SamplesError(f"{name} {reason}; unpack it yourself.") from None
    except _ZIP_ERRORS as error:
        raise _damaged_zip(name, error) from None
