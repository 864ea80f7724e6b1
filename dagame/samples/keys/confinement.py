"""A worker process that reads hostile text: bounded memory and time, and nothing run or written.

The audit hook allows what an import needs and refuses the rest: code from text, files, processes,
sockets. It is a second wall; the readers (`mathematics`) hand no text to an evaluator in the first
place. It cannot be taken off again, so it is for worker processes only.
"""

from __future__ import annotations

import sys
from typing import Any

MEMORY = 1 << 30
"""Bytes of data that a worker may hold; the row that needs more has no answer."""

_YEAR = 366 * 86_400

_HARMLESS = frozenset(
    ("import", "marshal.loads", "sys._getframe", "builtins.id", "code.__new__", "function.__new__")
)
_HARMLESS_KINDS = ("object.__", "gc.", "cpython.", "resource.")
_IMPORTING = "<frozen importlib"
_FROM_NAMES_AND_NUMBERS = ("/dataclasses.py", "/collections/__init__.py", "/polys/monomials.py")
"""Library code that compiles text made of field names or of the number of variables only."""


class Refused(RuntimeError):
    """A row's text made its reader try something that reading never needs."""


def limit(row_seconds: float) -> None:
    """Bound the memory for good, and the processor time of the row that begins now.

    The parent kills a late row by the clock; the limit of the processor ends a worker in the midst
    of a row when its parent is no more.
    """
    try:
        import resource
    except ImportError:
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(usage.ru_utime + usage.ru_stime + min(2 * row_seconds, _YEAR)) + 1
    for name, most in ((resource.RLIMIT_DATA, MEMORY), (resource.RLIMIT_CPU, seconds)):
        hard = resource.getrlimit(name)[1]
        try:
            resource.setrlimit(name, (most if hard < 0 else min(most, hard), hard))
        except (ValueError, OSError):  # not on this system
            continue


def confine() -> None:
    """Refuse from now on every operation that reading a row does not need."""
    sys.addaudithook(_watch)


def _watch(event: str, _args: tuple[Any, ...]) -> None:
    if event in _HARMLESS or event.startswith(_HARMLESS_KINDS):
        return
    try:
        caller = sys._getframe(1).f_code.co_filename.replace("\\", "/")
    except ValueError:  # the interpreter itself, on its way out
        return
    if caller.startswith(_IMPORTING):
        return
    if event in ("compile", "exec") and caller.endswith(_FROM_NAMES_AND_NUMBERS):
        return
    raise Refused(event)
