"""Files at addresses, such as s3://bucket/runs, through pyarrow's file systems."""

from __future__ import annotations

import fnmatch
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath
from typing import Any
from urllib.parse import quote

from ...errors import SamplesError, one_line
from ...provenance import not_installed
from ..files.containers import ADDRESS_OPTIONS, is_address, kind_by_name

_SECRET = re.compile(r"(?i)^\w+://[^/@]*:[^/@]*@|[?&]\w*(secret|password|token|key)\w*=")
_LEGAL = "/:@%!$&'()*+,;=~"
_GLOB = re.compile(r"[*?\[]")
_SIGNS = str.maketrans({"%": "%25", "?": "%3F"})


def expanded(source: Any, pattern: str | None = None) -> Any:
    """With the files that addresses of files, folders and globs name, sorted in each; paths stay.

    A folder stands for what it does in `files_of`. An address is a URI, with its options, such as
    ?endpoint_override=..., at its end; characters that are none of a URI may stand in it as they are.

    Raises:
        SamplesError: an address that does not answer, names no file of a known suffix, or holds a secret.
    """
    if isinstance(source, str | PurePath):
        return _files_at(str(source), pattern) if is_address(source) else source
    found = [_files_at(str(one), pattern) if is_address(one) else str(one) for one in source]
    return [name for one in found for name in ([one] if isinstance(one, str) else one)]


def _files_at(address: str, of_a_folder: str | None) -> str | list[str]:
    if _SECRET.search(address):
        raise SamplesError(
            "an address with a password or key would be written into the results; leave it to the "
            "environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    plain, options = _parts(address)
    folder, pattern = _cut_at_glob(plain)
    fs, path = _system(folder + options)
    with _answering(address):
        if not pattern and fs.get_file_info(path).is_file:
            return address
        names = _listed(fs, path, deep="/" in pattern)
    chosen = [name for name in names if _is_meant(name, pattern, of_a_folder)]
    if not chosen:
        what = "called like that" if pattern else f"called like {of_a_folder or 'one of samples'}"
        raise SamplesError(f"{address} cannot be read: there is no file {what}.")
    return [f"{folder}/{name.translate(_SIGNS)}{options}" for name in sorted(chosen)]


def _parts(address: str) -> tuple[str, str]:
    """The address without its options, and these."""
    found = ADDRESS_OPTIONS.search(address)
    return (address, "") if found is None else (address[: found.start()], found[0])


def _cut_at_glob(plain: str) -> tuple[str, str]:
    """A folder, and the pattern of the names below it, "" for none."""
    found = _GLOB.search(plain)
    if found is None:
        return plain.rstrip("/"), ""
    end = plain.rindex("/", 0, found.start())
    return plain[:end], plain[end + 1 :]


def _listed(fs: Any, folder: str, deep: bool) -> list[str]:
    """The names of the files below a folder."""
    from pyarrow.fs import FileSelector

    infos = fs.get_file_info(FileSelector(folder, recursive=deep))
    return [info.path.removeprefix(folder).lstrip("/") for info in infos if info.is_file]


def _is_meant(name: str, pattern: str, of_a_folder: str | None) -> bool:
    """Whether a glob names it, as the shell's does; without a glob, whether its folder does."""
    if pattern:
        names, signs = name.split("/"), pattern.split("/")
        return len(names) == len(signs) and all(map(_fits, names, signs))
    if of_a_folder:
        return _fits(name, of_a_folder)
    return not name.startswith(".") and kind_by_name(name) is not None


def _fits(name: str, sign: str) -> bool:
    hidden = name.startswith(".") and not sign.startswith(".")
    return not hidden and fnmatch.fnmatchcase(name, sign)


def _system(address: str) -> tuple[Any, str]:
    """A file system of pyarrow's, and the path in it."""
    try:
        from pyarrow.fs import FileSystem
    except ImportError:
        raise SamplesError(not_installed("pyarrow", "ray", f"reading {address}")) from None
    plain, options = _parts(address)
    with _answering(address, ValueError):
        return FileSystem.from_uri(quote(plain, safe=_LEGAL) + options)


@contextmanager
def _answering(address: str, *errors: type[Exception]) -> Iterator[None]:
    """`SamplesError` where an address does not answer."""
    try:
        yield
    except (OSError, *errors) as error:
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
        with (
            _answering(path),
            fs.open_input_stream(inner, compression=None) as source,
            place.open("wb") as target,
        ):
            shutil.copyfileobj(source, target, 1 << 20)
        yield str(place)
    finally:
        shutil.rmtree(own, ignore_errors=True)
