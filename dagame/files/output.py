"""Writing results: checked before the work, whole or not at all, and never half-written.

Results are written beside their place under a temporary name, forced to the disk (fsync), and renamed
together at the end. After a kill, a full disk or a power cut each is whole, as it was before, or
absent, and no two of one call stem from different runs. A temporary, `.dagame-*.part`, is locked
(flock) while its writer lives; one that a killed writer left is removed by the next write to its place.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..known_errors import refused_by_the_system
from .strict_json import json_text

try:
    import fcntl
except ImportError:  # Windows: nothing is locked, and what a killed writer left stays
    fcntl = None

# -- before the work ------------------------------------------------------------------------------


def check_file(path: str | Path, taken: Sequence[str | Path] = ()) -> Path:
    """The path, if a file can be written there, outside of what is taken; else `OutputError`.

    `taken`: files and folders that are read or written besides.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise OutputError(f"{path} is a folder; name a file to write.")
        folder = _place(path).parent
        if not folder.is_dir():
            raise OutputError(f"{path} cannot be written: the folder {folder} does not exist.")
        if any(_place(other) in (_place(path), *_place(path).parents) for other in taken):
            raise OutputError(f"{path} is read or written already in this run; name another file.")
    except (OSError, ValueError) as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{path} cannot be written: {system_reason(error) or error}.") from None
    if not _is_special(path):
        _check_access(_place(path), path)
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
        _Draft(target, folder=False).drop()
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
            if not _lock(descriptor, wait):
                raise OutputError(
                    f"{folder} is being written to by another process; wait until that ends, or name "
                    "another folder."
                )
        yield


def _lock(descriptor: int, wait: bool = False) -> bool:
    """Lock an open file or folder; False if another has it; True, unlocked, where there are no locks."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


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
    be renamed is kept beside its place. A device or pipe is written to as it is, a symbolic link is
    followed. An error that names another file, such as one that is read, stays as it is.

    Raises:
        OutputError: a write failed, or two of the targets are one place.
    """
    drafts: list[_Draft] = []
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
    files: Sequence[str | Path], folders: Sequence[str | Path], drafts: list[_Draft]
) -> dict[str | Path, Path]:
    """Open a draft for every place, into `drafts`; the temporary paths by their targets."""
    given: dict[str | Path, Path] = {}
    for at in [*folders, *files]:
        try:
            if _is_special(at):
                given[at] = Path(at)
                continue
            if _place(at) in [draft.target for draft in drafts]:
                raise OutputError(f"{at} is to be written twice; name another file.")
            drafts.append(_Draft(_place(at), folder=at in folders))
            given[at] = drafts[-1].path
        except OSError as error:
            raise OutputError(f"{at} cannot be written: {system_reason(error)}.") from error
    return given


def _is_of_others(error: Exception, ours: Sequence[str | Path]) -> bool:
    """Whether the error names a file that is neither one of `ours` nor inside one of them."""
    name = getattr(error, "filename", None)
    if not isinstance(name, str | bytes | os.PathLike):
        return False
    place = _place(os.fsdecode(name))
    return not any(_place(path) in (place, *place.parents) for path in ours)


def _put_in_place(drafts: Sequence[_Draft]) -> None:
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


class _Draft:
    """A locked temporary file or folder beside its target."""

    def __init__(self, target: Path, folder: bool) -> None:
        self.target, self.folder, self.kept = target, folder, False
        name = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]
        self.stem = f".dagame-{name}"  # of one length, however long the target's name is
        self.descriptor: int | None = None
        self._remove_abandoned()
        while self.descriptor is None:
            self.path = self._fresh()
            if folder:
                self.path.mkdir()
            self.descriptor = self._opened()
            if fcntl is None:
                return

    def _fresh(self) -> Path:
        return self.target.with_name(f"{self.stem}-{secrets.token_hex(6)}.part")

    def _opened(self) -> int | None:
        """The descriptor that holds the lock; None if another process has just removed it as abandoned."""
        if self.folder and fcntl is None:
            return None
        flags = os.O_RDONLY if self.folder else os.O_CREAT | os.O_EXCL | os.O_RDWR
        try:
            descriptor = os.open(self.path, flags, 0o666)
        except FileNotFoundError:
            if self.folder:
                return None
            raise
        if fcntl is not None and _lock(descriptor) and self.path.exists():
            return descriptor
        os.close(descriptor)
        return None

    def _remove_abandoned(self) -> None:
        """Remove temporaries of this target that no process has locked."""
        if fcntl is None:
            return
        for path in self.target.parent.glob(f"{self.stem}-*.part"):
            with suppress(OSError):
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove(path)
                finally:
                    os.close(descriptor)

    def flush(self) -> None:
        """Give it the permissions of the old version, and force it to the disk."""
        if not self.folder and self.target.exists():
            shutil.copymode(self.target, self.path)
        for path in [*self.path.rglob("*"), self.path] if self.folder else [self.path]:
            sync(path)

    def retire(self) -> None:
        """Take the old version away."""
        if self.folder:
            _remove(self._set_aside())
        else:
            self.target.unlink(missing_ok=True)

    def _set_aside(self) -> Path:
        """Where the old version of a folder is now, if there was one."""
        old = self._fresh()
        if self.target.exists():
            self.target.rename(old)
        return old

    def publish(self) -> None:
        """Put the new version in place, or leave the old one there."""
        old = self._set_aside() if self.folder else None
        try:
            os.replace(self.path, self.target)
        except OSError:
            if old is not None and old.exists():
                old.rename(self.target)
            raise
        sync(self.target.parent)
        if old is not None:
            _remove(old)

    def keep(self) -> Path:
        """Keep the temporary file or folder, and return its path.

        It is renamed to .kept where that is possible, so that no later write removes it as abandoned.
        """
        with suppress(OSError):
            self.path = self.path.rename(self.path.with_suffix(".kept"))
        self.kept = True
        return self.path

    def drop(self) -> None:
        """Remove the temporary unless it is to be kept, and release the lock."""
        if not self.kept:
            with suppress(OSError):
                _remove(self.path)
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Force a file to the disk; or the names in a folder, where the system knows of that."""
    with suppress(*[OSError] if path.is_dir() else []):
        descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _place(path: str | Path) -> Path:
    """Where the file itself is or will be, links followed."""
    return Path(os.path.realpath(path))


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
    if sys.stdout is None:
        raise OutputError("standard output is closed, so the JSON cannot go there; name a file.")
    try:
        sys.stdout.write(json_text(value, ensure_ascii=True))
        sys.stdout.flush()
    except BrokenPipeError:
        hush(1)


def hush(stream: int) -> None:
    """Send stream 1 or 2, whose reader has closed it, to the null device."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream)
    os.close(null)
