"""What the command lines share: an application, its one-sentence errors, its version, its console,
and the refusal of work whose packages are missing.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup
from typer.models import ArgumentInfo, OptionInfo

from ..errors import DagameError
from ..files.output import check_file, hush, system_reason
from ..provenance import not_installed
from ..text import visible

if TYPE_CHECKING:
    from rich.console import Console


WORDS = {str: "TEXT", Path: "PATH", int: "INTEGER", float: "NUMBER"}


def _name_values(function: Callable[..., Any]) -> None:
    """Name what each parameter of a command takes, where its declaration does not: an argument by its own
    name, an option in `WORDS`, or COLUMN where its help begins with that.
    """
    function.__annotations__ = get_type_hints(function, include_extras=True)  # no longer strings
    for name, hint in function.__annotations__.items():
        for info in getattr(hint, "__metadata__", ()):
            if isinstance(info, ArgumentInfo):
                info.metavar = info.metavar or name.upper()
            elif isinstance(info, OptionInfo) and info.metavar is None:
                word = next((word for kind, word in WORDS.items() if kind in _kinds(hint)), None)
                info.metavar = "COLUMN" if (info.help or "").startswith("Column") else word


def _kinds(hint: Any) -> set[Any]:
    """The types that an annotation mentions."""
    return {hint}.union(
        *map(_kinds, get_args(hint)[: 1 if hasattr(hint, "__metadata__") else None])
    )


class _InWords:
    """A command whose help leaves out what typer says besides: types of Python, and braces."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters; arguments and flags have no type shown."""
        params = super().get_params(ctx)  # pyright: ignore[reportAttributeAccessIssue]
        for one in params:
            if one.metavar is None or one.param_type_name == "argument":
                vars(one)["display_type"] = _nothing
        return params

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words of the usage line."""
        pieces = super().collect_usage_pieces(ctx)  # pyright: ignore[reportAttributeAccessIssue]
        return [piece.replace("{", "").replace("}", "") for piece in pieces]


def _nothing(*_: Any) -> str:
    return ""


class _Command(_InWords, TyperCommand):
    """A command of typer's, its values named in words."""


class _Group(_InWords, TyperGroup):
    """A group of such commands."""


class _Application(typer.Typer):
    """Typer's, the values of its commands named in words."""

    def command(self, *args: Any, **settings: Any) -> Any:
        """As typer's."""
        register = super().command(*args, **{"cls": _Command} | settings)

        def named(function: Callable[..., Any]) -> Callable[..., Any]:
            _name_values(function)
            return register(function)

        return named


def application(summary: str) -> typer.Typer:
    """A typer application whose only option is --version."""
    app = _Application(
        cls=_Group,
        help=summary,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @app.callback(invoke_without_command=True)
    def _root(
        version: Annotated[
            bool, typer.Option("--version", help="Print the version and exit.")
        ] = False,
    ) -> None:
        if version:
            from .. import __version__

            print(f"dagame {__version__}")
            raise typer.Exit

    return app


def run(app: typer.Typer, name: str) -> None:
    """Run the command line and exit.

    The exit code is 2, with one sentence, for an error of the user's or of the system's (no space, no
    memory), and 130, with a sentence, after Ctrl-C. SIGTERM ends the process at once; nothing has to be
    cleaned up. A reader that closes standard output early, as `head` does, changes only what is printed.
    """
    _reserve_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may be no text
    try:
        code = _called(app)
    except DagameError as error:
        code = _refused(f"{name}: {error}")
    except Exception as error:
        reason = "out of memory" if isinstance(error, MemoryError) else system_reason(error)
        if reason is None:
            raise
        where = getattr(error, "filename", None)
        code = _refused(f"{name}: {where or 'the system says'}: {reason}.")
    if code == 130:
        _tell(f"{name}: interrupted; nothing half-written was left.")
    sys.exit(code)


def _called(app: typer.Typer) -> int | str | None:
    """Run the application, flush stdout, and return the exit code."""
    code: int | str | None = 0
    try:
        app()
    except SystemExit as stop:
        code = stop.code
    except KeyboardInterrupt:
        code = 130
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        hush(1)
    return code


def _refused(sentence: str) -> int:
    """Print the sentence on stderr and return exit code 2; text that stdout does not accept is dropped."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        hush(1)
    _tell(sentence)
    return 2


def _tell(sentence: str) -> None:
    """Print one line on stderr, if that can be written to."""
    if sys.stderr is None:  # closed: print would fall back on standard output
        return
    with suppress(OSError):
        print(visible(" ".join(sentence.splitlines()), 2000), file=sys.stderr)


def _reserve_streams() -> None:
    """Open the null device as each of streams 0, 1, 2 that the caller closed, so that no file becomes one."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        continue
    os.close(descriptor)


def console(stderr: bool = False) -> Console:
    """A rich console that prints nothing more once its reader has closed the pipe."""
    from rich.console import Console

    class _Patient(Console):
        def on_broken_pipe(self) -> None:
            self.quiet = True
            hush(2 if self.stderr else 1)

    return _Patient(stderr=stderr)


def numbers_file(json_file: str | None, taken: Sequence[str | Path] = ()) -> Path | None:
    """Where --json writes, checked before the work (see `check_file`); None: nowhere, or to stdout."""
    return None if json_file in (None, "-") else check_file(json_file, taken)


def require_lm() -> None:
    """Refuse work with language models where their packages are missing; keep those quiet."""
    from importlib.util import find_spec

    absent = [name for name in ("torch", "transformers", "trl") if find_spec(name) is None]
    if absent:
        raise DagameError(not_installed(absent[0], "lm", "work with language models"))
    from huggingface_hub.utils import logging as hub
    from transformers.utils import logging

    logging.disable_progress_bar()
    for one in (logging, hub):  # the hub's says each of its retries
        one.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|trl|peft)\b")
