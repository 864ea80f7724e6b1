"""OUT.partial, the finished prompts of a run of sampling: what a killed run goes on from.

Line 1 says what the run is; each further line holds the completions of the next prompt. Nothing in the file
is believed unchecked, and a file that is not of this very run is left as it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import GenerationError, OutputError
from ...files.output import check_file, locked
from .base import Drawn

FORMAT = "dagame sample 1"


class Partial:
    """An open file of finished prompts."""

    def __init__(self, path: Path, head: dict[str, Any], samples: int, prompts: int) -> None:
        """`head`: what the completions depend on, plain JSON values; `Partial.done`: those found."""
        self.path, self.head = path, {"format": FORMAT, **head}
        lines = self._lines()
        if not lines:
            lines = [_line(self.head)]
            path.write_bytes(lines[0])
        self._compare(lines[0])
        self.ends = [len(lines[0])]
        self.done: list[list[Drawn]] = []
        for number, line in enumerate(lines[1:], start=2):
            found = _completions(line, samples)
            if found is None or len(self.done) == prompts:
                raise GenerationError(
                    f"{path}, line {number}, is not {samples} completions of a prompt of this run; remove "
                    "the file to begin anew."
                )
            self.done.append(found)
            self.ends.append(self.ends[-1] + len(line))

    def go_on_from(self, prompts: int) -> None:
        """Forget what stands behind so many prompts, such as a line that was not written whole."""
        del self.done[prompts:], self.ends[prompts + 1 :]
        with self.path.open("rb+") as stream:
            stream.truncate(self.ends[-1])

    def add(self, found: Sequence[Sequence[Drawn]]) -> None:
        """The completions of the next prompts, forced to the disk."""
        lines = [_line(list(map(list, part))) for part in found]
        with self.path.open("ab") as stream:
            stream.writelines(lines)
            stream.flush()
            os.fsync(stream.fileno())
        for part, line in zip(found, lines, strict=True):
            self.done.append(list(part))
            self.ends.append(self.ends[-1] + len(line))

    def _lines(self) -> list[bytes]:
        """Those that end; a kill can only have cut the last one."""
        found = self.path.read_bytes().splitlines(keepends=True)
        if len(found) == 1 and not found[0].endswith(b"\n"):
            raise self._foreign()
        return [line for line in found if line.endswith(b"\n")]

    def _compare(self, line: bytes) -> None:
        try:
            found = json.loads(line)
        except ValueError:
            raise self._foreign() from None
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise self._foreign()
        other = [name for name in self.head if found.get(name) != self.head[name]]
        if other or set(found) != set(self.head):
            names = ", ".join(other) or "settings"
            raise GenerationError(
                f"{self.path} was begun with other {names}; give the same command, or remove that file to "
                "begin anew."
            )

    def _foreign(self) -> GenerationError:
        return GenerationError(
            f"{self.path} is no file of `dagame sample`, which keeps its finished prompts there; move it "
            "away, or name another --out."
        )


@contextmanager
def partial_of(out: Path, head: dict[str, Any], samples: int, prompts: int) -> Iterator[Partial]:
    """The finished prompts of a run that writes `out`, held against other processes."""
    path = check_file(out.with_name(out.name + ".partial"))
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is no plain file; name another --out.")
    path.touch()
    with locked(path):
        yield Partial(path, head, samples, prompts)


def _line(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False).encode() + b"\n"


def _completions(line: bytes, samples: int) -> list[Drawn] | None:
    """So many completions, None where the line is anything else."""
    try:
        found = json.loads(line)
        drawn = [Drawn(*values) for values in found]
    except (ValueError, TypeError):
        return None
    kinds = (str, float | int | None, int | None, str | None)
    good = all(isinstance(v, kind) for d in drawn for v, kind in zip(d, kinds, strict=True))
    return drawn if good and len(drawn) == samples else None
