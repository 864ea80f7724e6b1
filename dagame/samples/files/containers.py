"""Paths -> bytes: what a file holds when it is opened, unpacked within bounds, its kind by its name.

A file is read once, as long as it is when it is opened, so that one that grows or shrinks meanwhile
cannot be read as two different files.
"""

from __future__ import annotations

import glob
import io
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from urllib.parse import unquote
from zipfile import ZipFile, ZipInfo

from ...errors import SamplesError
from .packed import archive_of, bounded, member_parts, unpacked

KINDS = {
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".eval": "eval",
}
"""Kinds of content by suffix; an .eval is a zip of inspect."""
PACKED = {".gz": "gzip", ".zst": "zstd", ".zip": "zip"}
KIND_NAMES = {"jsonl": "json"} | {kind: kind for kind in ("json", "csv", "tsv", "parquet")}
"""What --format may call them."""
STDIN = "-"
ADDRESS_OPTIONS = re.compile(r"\?\w+=[^?]*$")
"""What an address may end with, such as ?endpoint_override=localhost:9000&scheme=http."""

_SIGNS = {
    b"PAR1": "parquet",
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"PK\x03\x04": "zip",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_HELP = {
    "parquet": "name it .parquet",
    "gzip": "end its name in .gz",
    "zstd": "end its name in .zst, or unpack it first",
    "zip": "end its name in .zip, or unpack it first",
    "bzip2": "unpack it first",
    "xz": "unpack it first",
    "UTF-16": "convert it to UTF-8",
}


# -- which files ----------------------------------------------------------------------------------


def is_several(source: object) -> bool:
    """Whether a path stands for any number of files: a list of them, a folder, a glob."""
    if isinstance(source, str | PurePath):
        return _is_glob(str(source)) or (str(source) != STDIN and _is_folder(source))
    return True


def files_of(source: object, pattern: str | None = None) -> list[str]:
    """The files that paths, folders and globs name, sorted within each; "-" is standard input.

    A folder stands for its files of a known suffix, or of names like `pattern`; none below it.

    Raises:
        SamplesError: a folder or glob without such files, a path named twice.
    """
    sources = [source] if isinstance(source, str | PurePath) else list(source)  # type: ignore[call-overload]
    found = [file for one in sources for file in _files_at(str(one), pattern)]
    if not found:
        raise SamplesError("name at least one file of samples.")
    twice = next((name for name, many in Counter(found).items() if many > 1), None)
    if twice is not None:
        raise SamplesError(f"{shown(twice)} is named twice.")
    return found


def _files_at(path: str, pattern: str | None) -> list[str]:
    if path == STDIN:
        return [path]
    if not _is_glob(path):
        return _in_folder(Path(path), pattern) if _is_folder(path) else [path]
    names = sorted(n for n in glob.glob(path, recursive=True) if not os.path.isdir(n))
    if not names:
        raise SamplesError(f"no file is called like {path}.")
    return names


def file_names(paths: Sequence[str]) -> list[str]:
    """A name for each file: its own, with as much of its folder and suffixes as distinguishes the files."""
    bare = [unquote(ADDRESS_OPTIONS.sub("", p)) if is_address(p) else p for p in paths]
    plain = [_stem(Path(p).name) for p in bare]
    if len(set(plain)) == len(plain):
        return plain
    longer = [_stem(Path(p).as_posix()) for p in bare]
    return longer if len(set(longer)) == len(longer) else list(paths)


def shown(path: str | Path) -> str:
    """The path as messages name it."""
    return "standard input" if str(path) == STDIN else str(path)


def _stem(name: str) -> str:
    while (suffix := os.path.splitext(name)[1]).lower() in KINDS or suffix.lower() in PACKED:
        name = name.removesuffix(suffix)
    return name


def is_address(path: object) -> bool:
    """Whether it is no path on this machine, such as s3://bucket/runs."""
    return "://" in str(path)


def _is_glob(path: str) -> bool:
    try:
        return not is_address(path) and glob.has_magic(path) and not os.path.lexists(path)
    except ValueError:
        return False


def _is_folder(path: object) -> bool:
    try:
        return os.path.isdir(str(path))
    except ValueError:
        return False


def _in_folder(folder: Path, pattern: str | None) -> list[str]:
    with readable(folder):
        files = sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.is_file())
    known = [p for p in files if (p.match(pattern) if pattern else kind_by_name(p.name))]
    if not known:
        what = f"called like {pattern}" if pattern else f"with a suffix of {', '.join(KINDS)}"
        raise SamplesError(f"the folder {folder} holds no file {what}.")
    return [str(p) for p in known]


def kind_by_name(name: str) -> str | None:
    """What a file holds by its suffixes, None if they say nothing; a ZIP file by itself is of a kind."""
    suffix, packed = suffix_of(Path(name))
    return KINDS.get(suffix, "zip" if packed == "zip" else None)


def suffix_of(path: Path) -> tuple[str, str | None]:
    """The suffix of what a file holds, "" for none, and how that is packed."""
    suffixes = [s.lower() for s in path.suffixes[-2:]]
    packed = PACKED.get(suffixes[-1]) if suffixes else None
    inner = suffixes[:-1] if packed else suffixes
    return (inner[-1] if inner else ""), packed


# -- the bytes ------------------------------------------------------------------------------------


@contextmanager
def readable(name: str | Path) -> Iterator[None]:
    """`SamplesError` where the system does not let a file be read."""
    try:
        yield
    except OSError as error:
        raise SamplesError(f"{name} cannot be read: {error.strerror or error}.") from None


def contents(path: str | Path, kind: str | None = None) -> tuple[str, bytes]:
    """The kind of what a file holds, and its bytes, unpacked; refused where its name says otherwise.

    Kinds: json, csv, tsv, parquet, and document, JSON that is no lines.
    `kind` stands for the suffix; standard input without it is recognised by its first bytes.
    """
    name = shown(path)
    with readable(name):
        if str(path) == STDIN:
            return _sniffed(name, sys.stdin.buffer.read(), kind)
        data = _stored(Path(path))
    suffix, packed = suffix_of(Path(path))
    if packed is not None and data:
        data, inner = unpacked(name, data, packed)
        suffix = inner if inner in KINDS else suffix
    if kind is None and suffix not in KINDS:
        raise SamplesError(
            f"{path} has the suffix {suffix or 'none'!r}; dagame reads {', '.join(KINDS)}, the text "
            f"ones also with {', '.join(PACKED)}, and any other name with --format."
        )
    return checked(name, data, kind or KINDS[suffix])


def _stored(path: Path) -> bytes:
    """As many bytes as there are when the file is opened."""
    check_regular(path)
    with path.open("rb") as stream:
        return stream.read(os.fstat(stream.fileno()).st_size)


def check_regular(path: Path) -> None:
    """`SamplesError` unless it is a file."""
    if path.is_dir():
        raise SamplesError(f"{path} is a folder; name one file of samples.")
    if not path.exists():
        raise SamplesError(f"{path} does not exist.")
    if not path.is_file():
        raise SamplesError(f"{path} is not a regular file.")


def checked(name: str, data: bytes, kind: str) -> tuple[str, bytes]:
    """The kind and the bytes without their mark, refused where they begin as something else does."""
    if kind == "eval":
        return "document", _inspect_log(name, data)
    found = _sign(data)
    if found is not None and found != kind:
        raise SamplesError(f"{name} holds {found}, which its suffix does not say; {_HELP[found]}.")
    return kind, data.removeprefix(b"\xef\xbb\xbf") if kind != "parquet" else data


def _sign(data: bytes) -> str | None:
    return next((what for sign, what in _SIGNS.items() if data.startswith(sign)), None)


def _sniffed(name: str, data: bytes, kind: str | None) -> tuple[str, bytes]:
    packed = _sign(data)
    if packed is not None and packed in PACKED.values():
        data, suffix = unpacked(name, data, packed)
        kind = kind or KINDS.get(suffix)
    if kind is None:
        head = data.removeprefix(b"\xef\xbb\xbf")[: 1 << 20].lstrip()
        line = head.split(b"\n", 1)[0]
        if _sign(data) == "parquet":
            kind = "parquet"
        elif not head or head[:1] in b"[{":
            kind = "json"
        elif any(sign in line for sign in (b"\t", b",", b";")):
            kind = "tsv" if b"\t" in line else "csv"
        else:
            raise SamplesError(f"{name} is of no known kind; name it by --format.")
    return checked(name, data, kind)


# -- logs of inspect --------------------------------------------------------------------------------


def _inspect_log(name: str, data: bytes) -> bytes:
    """The samples of an .eval as one JSON document like inspect's .json."""
    if data[:1] == b"{":
        return data
    with archive_of(name, io.BytesIO(data)) as archive:
        names = re.compile(r"samples/.*\.json", re.DOTALL)
        members = [m for m in archive.infolist() if names.fullmatch(m.filename)]
        if not members:
            raise SamplesError(f"{name} holds no samples of an inspect log.")
        return b"".join(bounded(name, _as_document(name, archive, members), len(data)))


def _as_document(name: str, archive: ZipFile, members: Sequence[ZipInfo]) -> Iterator[bytes]:
    yield b'{"eval": {}, "samples": ['
    for k, member in enumerate(members):
        yield b",\n" if k else b""
        yield from member_parts(name, archive, member)
    yield b"]}"
