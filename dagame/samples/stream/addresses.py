"""Files at addresses, such as s3://bucket/runs, through pyarrow's file systems."""

from __future__ import annotations

import fnmatch
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from ...errors import SamplesError, one_line
from ...provenance import not_installed
from ..files.containers import KINDS, PACKED


def is_address(path: object) -> bool:
    """Whether it is no path on this machine."""
    return "://" in str(path)


def expanded(source: Any) -> Any:
    """With the files that addresses of files, folders and globs name, sorted in each; paths stay.

    Raises:
        SamplesError: an address that does not answer, or names no file of a known suffix.
    """
    if isinstance(source, str | PurePath):
        return _files_at(str(source)) if is_address(source) else source
    found = [_files_at(str(one)) if is_address(one) else str(one) for one in source]
    return [name for one in found for name in ([one] if isinstance(one, str) else one)]


def _files_at(address: str) -> str | list[str]:
    fs, path = _system(address)
    stem = address.removesuffix(path) if address.endswith(path) else address.split("://")[0] + "://"
    try:
        if any(sign in path for sign in "*?["):
            folder = str(PurePosixPath(path).parent)
            names = [n for n in _listed(fs, folder) if fnmatch.fnmatch(n, path)]
        elif fs.get_file_info(path).is_file:
            return address
        else:
            names = [n for n in _listed(fs, path) if _known(n)]
    except OSError as error:
        raise SamplesError(f"{address} cannot be read: {one_line(error, 200)}.") from None
    if not names:
        raise SamplesError(f"there is no file of a known suffix at {address}.")
    return [f"{stem}{name}" for name in sorted(names)]


def _listed(fs: Any, folder: str) -> list[str]:
    from pyarrow.fs import FileSelector

    return [info.path for info in fs.get_file_info(FileSelector(folder)) if info.is_file]


def _known(name: str) -> bool:
    suffixes = [s.lower() for s in PurePosixPath(name).suffixes]
    kept = suffixes[:-1] if suffixes and suffixes[-1] in PACKED else suffixes
    return bool(kept) and kept[-1] in KINDS


def _system(address: str) -> tuple[Any, str]:
    try:
        from pyarrow.fs import FileSystem
    except ImportError:
        raise SamplesError(not_installed("pyarrow", "ray", f"reading {address}")) from None
    try:
        return FileSystem.from_uri(address)
    except (OSError, ValueError) as error:
        raise SamplesError(f"{address} cannot be read: {one_line(error, 200)}.") from None


@contextmanager
def fetched(path: str, folder: Path) -> Iterator[str]:
    """A file of this machine with what is at an address, as long as it is needed."""
    if not is_address(path):
        yield path
        return
    fs, inner = _system(path)
    own = folder / f"fetched-{secrets.token_hex(6)}"
    own.mkdir()
    try:
        place = own / PurePosixPath(inner).name
        try:
            with (
                fs.open_input_stream(inner, compression=None) as source,
                place.open("wb") as target,
            ):
                shutil.copyfileobj(source, target, 1 << 20)
        except OSError as error:
            raise SamplesError(f"{path} cannot be read: {one_line(error, 200)}.") from None
        yield str(place)
    finally:
        shutil.rmtree(own, ignore_errors=True)
