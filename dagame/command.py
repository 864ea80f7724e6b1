"""What the command lines share: an application, its one-sentence errors, its version."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .errors import DagameError


def application(summary: str) -> typer.Typer:
    """A typer application whose only option is --version."""
    app = typer.Typer(
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
            from . import __version__

            print(f"dagame {__version__}")
            raise typer.Exit

    return app


def run(app: typer.Typer, name: str) -> None:
    """Run the command line; an error of the user's is one sentence and exit code 2."""
    try:
        app()
    except DagameError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(0)
