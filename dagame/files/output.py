"""Writing results: checked before the work, whole or not at all, and never half-written.

Results are written beside their place under a temporary name, forced to the disk (fsync), and renamed
together at the end. After a kill, a full disk or a power cut each is whole, as it was before, or
absent, and no two of one call stem from different runs. A temporary, `.dagame-*.part`, is locked
(flock) while its writer lives; one that a killed writer left is removed by the next write to its place.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..known_errors import refused_by_the_system
from .drafts import Draft, is_draft, lock, place
from .strict_json import json_text

# -- before the work ------------------------------------------------------------------------------


def check_file(path: str | Path, taken: Sequence[str | Path] = ()) -> Path:
    """The path, if a file can be written there, outside of what is taken; else `OutputError`.

    `taken`: files and folders that are read or written besides.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise OutputError(f"{path} is a folder; name a file to write.")
        folder = place(path).parent
        if not folder.is_dir():
            raise OutputError(f"{path} cannot be written: the folder {folder} does not exist.")
        if any(place(other) in (place(path), *place(path).parents) for other in taken):
            raise OutputError(f"{path} is read or written already in this run; name another file.")
    except (OSError, ValueError) as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{path} cannot be written: {system_reason(error) or error}.") from None
    if not _is_special(path):
        _check_access(place(path), path)
    return path


def check_folder(path: str | Path) -> Path:
    """The folder, made with its parents if need be; `OutputError` if it cannot be written to."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError(f"{path} is a file; name a folder for the results.") from None
    except (OSError, ValueError) as error:
        raise OutputError(f"{path} cannot be made: {system_reason(error) or error}.") from None
    _check_access(path / "results", path)
    return path


def _check_access(target: Path, shown: Path) -> None:
    try:
        Draft(target, folder=False).drop()
    except OSError as error:
        raise OutputError(f"{shown} cannot be written: {system_reason(error)}.") from None


@contextmanager
def locked(folder: str | Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a folder while results are made for it; if another process does, wait or raise `OutputError`.

    The lock is the system's (flock on the folder itself): it leaves no file and ends with its holder,
    however that dies. Where the file system has no such locks, nothing is held.
    """
    with ExitStack() as stack:
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            if not lock(descriptor, wait):
                raise OutputError(
                    f"{folder} is being written to by another process; wait until that ends, or name "
                    "another folder."
                )
        yield


@contextmanager
def scratch(folder: str | Path) -> Iterator[Path]:
    """A temporary folder inside `folder`, removed in the end; one that a killed run left goes first."""
    try:
        draft = Draft(place(Path(folder) / "scratch"), folder=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {system_reason(error)}.") from error
    try:
        yield draft.path
    finally:
        draft.drop()


# -- writing --------------------------------------------------------------------------------------


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; renamed to `path` at the end if all went well."""
    with replacing_all([path]) as drafts:
        yield drafts[path]


@contextmanager
def replacing_all(
    files: Sequence[str | Path], folders: Sequence[str | Path] = ()
) -> Iterator[Mapping[str | Path, Path]]:
    """Temporary paths, by their targets, for results that belong together; folders exist already.

    If all went well they are renamed one after the other, once the old versions of all but the first
    are gone: at any moment the results in place come from one run. If that fails, what could not
    be renamed is kept beside its place. A device, a pipe or such a temporary path is written to as it is, a
    symbolic link is followed. An error that names another file, such as one that is read, stays as it is.

    Raises:
        OutputError: a write failed, or two of the targets are one place.
    """
    drafts: list[Draft] = []
    try:
        given = _begin(files, folders, drafts)
        try:
            yield given
            for draft in drafts:
                draft.flush()
        except Exception as error:
            reason = system_reason(error)
            if reason is None or _is_of_others(error, [*given, *given.values()]):
                raise
            at = ", ".join(map(str, given))
            raise OutputError(f"{at} cannot be written: {reason}.") from error
        _put_in_place(drafts)
    finally:
        for draft in drafts:
            draft.drop()


def _begin(
    files: Sequence[str | Path], folders: Sequence[str | Path], drafts: list[Draft]
) -> dict[str | Path, Path]:
    """Open a draft for every place, into `drafts`; the temporary paths by their targets."""
    given: dict[str | Path, Path] = {}
    for at in [*folders, *files]:
        try:
            if _is_special(at) or is_draft(Path(at)):
                given[at] = Path(at)
                continue
            if place(at) in [draft.target for draft in drafts]:
                raise OutputError(f"{at} is to be written twice; name another file.")
            drafts.append(Draft(place(at), folder=at in folders))
            given[at] = drafts[-1].path
        except OSError as error:
            raise OutputError(f"{at} cannot be written: {system_reason(error)}.") from error
    return given


def _is_of_others(error: Exception, ours: Sequence[str | Path]) -> bool:
    """Whether the error names a file that is neither one of `ours` nor inside one of them."""
    name = getattr(error, "filename", None)
    if not isinstance(name, str | bytes | os.PathLike):
        return False
    at = place(os.fsdecode(name))
    return not any(place(path) in (at, *at.parents) for path in ours)


def _put_in_place(drafts: Sequence[Draft]) -> None:
    """Rename every draft to its target, also when interrupted; keep each draft that cannot be renamed.

    Such a draft may be the only copy of its data: the error names it and where it belongs.
    """
    waiting = [draft for draft in drafts if draft.path.exists()]
    try:
        for draft in waiting[1:]:
            draft.retire()
        for draft in waiting:
            draft.publish()
    except KeyboardInterrupt:
        _put_in_place(waiting)
        raise
    except OSError as error:
        failed = [draft for draft in waiting if draft.path.exists()]
        names = ", ".join(str(draft.target) for draft in failed)
        moves = ", ".join(f"{draft.keep()} to {draft.target}" for draft in failed)
        raise OutputError(
            f"{names} cannot be put in place: {system_reason(error)}; all is written, move {moves}."
        ) from error


def _is_special(path: str | Path) -> bool:
    """Whether it is there and is neither a file nor a folder, such as /dev/null or a pipe."""
    path = Path(path)
    return path.exists() and not (path.is_file() or path.is_dir())


def system_reason(error: BaseException) -> str | None:
    """Why the system refused to write, if that is what the error is about, else None."""
    if isinstance(error, OutputError):
        return None
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return refused_by_the_system(error)


# -- formats --------------------------------------------------------------------------------------


def write_text(path: str | Path, text: str) -> None:
    """Write a whole text file or nothing."""
    with replacing(path) as temporary:
        put_text(temporary, text)


def put_text(path: Path, text: str) -> None:
    """UTF-8, a lone surrogate (from a file name that is not) as its escape, which JSON reads back."""
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: str | Path, value: Any) -> None:
    """Write strict JSON (NaN and infinities become null) to a file, or to stdout for "-"."""
    if str(path) != "-":
        write_text(path, json_text(value))
        return
    write_out([json_text(value, ensure_ascii=True)])


def write_out(parts: Iterable[str]) -> None:
    """Write JSON to stdout, part by part; a reader that closes it early ends that silently."""
    if sys.stdout is None:
        raise OutputError("standard output is closed, so the JSON cannot go there; name a file.")
    try:
        for part in parts:
            sys.stdout.write(part)
        sys.stdout.flush()
    except BrokenPipeError:
        hush(1)


def hush(stream: int) -> None:
    """Send stream 1 or 2, whose reader has closed it, to the null device."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream)
    os.close(null)
