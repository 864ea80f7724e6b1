"""Temporaries beside the places of results: locked while their writer lives, renamed or removed at last."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing is locked, and what a killed writer left stays
    fcntl = None


def lock(descriptor: int, wait: bool = False) -> bool:
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


def is_draft(path: Path) -> bool:
    """Whether it is called like one."""
    return re.fullmatch(r"\.dagame-[0-9a-f]{12}-[0-9a-f]{12}\.part", path.name) is not None


class Draft:
    """A locked temporary file or folder beside its target."""

    def __init__(self, target: Path, folder: bool) -> None:
        """Make it."""
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
        if fcntl is not None and lock(descriptor) and self.path.exists():
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
                    remove(path)
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
            remove(self._set_aside())
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
            remove(old)

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
                remove(self.path)
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def remove(path: Path) -> None:
    """Remove a file or a folder."""
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


def place(path: str | Path) -> Path:
    """Where the file itself is or will be, links followed."""
    return Path(os.path.realpath(path))
