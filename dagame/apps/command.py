"""What the command lines share: an application, its one-sentence errors, its version, its console,
and the refusal of work whose packages are missing.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import MISSING, field, fields, is_dataclass
from inspect import Parameter, Signature, signature
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


Json = Annotated[str | None, typer.Option("--json", help='Write the numbers; "-" for stdout.')]
ClassBy = Annotated[
    str | None,
    typer.Option(
        "--class", "--question", help="Column that names a question; else each row is one."
    ),
]
ContextBy = Annotated[
    str | None,
    typer.Option("--context", "--phrasing", help="Column that names a paraphrase; else numbered."),
]
Limit = Annotated[int | None, typer.Option(min=1, help="The first so many questions.")]
Chat = Annotated[bool, typer.Option("--chat", help="Prompts are a user's messages.")]
WORDS = {str: "TEXT", Path: "PATH", int: "INTEGER", float: "NUMBER"}


def option(help: str, *names: str, default: Any = None, **more: Any) -> Any:
    """A field that is an option of a command; default ...: it has to be given. See `_with_options`."""
    return _declared(typer.Option(*names, help=help, **more), default)


def argument(help: str, *, default: Any = None, **more: Any) -> Any:
    """The same of an argument."""
    return _declared(typer.Argument(help=help, **more), default)


def _declared(info: Any, default: Any) -> Any:
    return field(default=MISSING if default is ... else default, metadata={"typer": info})


def _with_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The command with the fields of its parameters that are dataclasses as options of its own, in order.

    A field with init=False is none. What each takes is named, where its declaration does not: an
    argument by its own name, an option in `WORDS`, or COLUMN where its help begins with that.
    """
    hints = get_type_hints(function, include_extras=True)
    kinds: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    options: list[Parameter] = []
    for one in signature(function).parameters.values():
        hint = hints[one.name]
        options += _fields(hint) if one.name in kinds else [one.replace(annotation=hint)]
    for one in options:
        _name_values(one)

    def command(**given: Any) -> Any:
        made = {
            name: kind(**{one.name: given.pop(one.name) for one in _fields(kind)})
            for name, kind in kinds.items()
        }
        return function(**given, **made)

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__annotations__ = {one.name: one.annotation for one in options}
    vars(command)["__signature__"] = Signature(options)
    return command


def _fields(kind: Any) -> list[Parameter]:
    hints, found = get_type_hints(kind, include_extras=True), []
    for one in (one for one in fields(kind) if one.init):
        default = Parameter.empty if one.default is MISSING else one.default
        hint, info = hints[one.name], one.metadata.get("typer")
        made = Parameter(one.name, Parameter.KEYWORD_ONLY, default=default)
        found.append(made.replace(annotation=hint if info is None else Annotated[hint, info]))
    return found


def _name_values(option: Parameter) -> None:
    """See `_with_options`."""
    for info in getattr(option.annotation, "__metadata__", ()):
        if isinstance(info, ArgumentInfo):
            info.metavar = info.metavar or option.name.upper()
        elif isinstance(info, OptionInfo) and info.metavar is None:
            kinds = _kinds(option.annotation)
            word = next((word for kind, word in WORDS.items() if kind in kinds), None)
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

        def registered(function: Callable[..., Any]) -> Callable[..., Any]:
            register(_with_options(function))
            return function

        return registered


def application(summary: str) -> typer.Typer:
    """A typer application whose only option is --version."""
    app = _Application(
        cls=_Group,
        help=summary,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback(invoke_without_command=True)(_root)
    return app


def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from .. import __version__

        print(f"dagame {__version__}")
        raise typer.Exit


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
