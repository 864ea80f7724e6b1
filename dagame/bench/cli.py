"""The command line of the benchmarks: `dagame-bench equivalence | scaling | ... | lm`, and `draw`.

Exit codes: 0 done; 1 a result contradicts the theory; 2 bad input, explained in one sentence.
"""

from __future__ import annotations

import json
import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..apps.command import application, console, numbers_file, run
from ..errors import OutputError, one_line
from ..provenance import in_words, provenance

if TYPE_CHECKING:
    from .common import Result

FORMATS = (".png", ".pdf", ".svg")
BENCHMARKS = ("equivalence", "scaling", "solvers", "roof", "estimators", "lm")
"""Those whose full run is kept in benchmarks/results, and whose files `draw` takes."""

app = application(
    "Benchmarks of dagame; each ends with tables, what their columns mean, and machine, versions and seed."
)

Quick = Annotated[
    bool,
    typer.Option(
        "--quick", help="A small version, of a minute at most; its tables and files say so."
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Json = Annotated[str | None, typer.Option("--json", help='Write the result; "-" for stdout.')]
Plot = Annotated[Path | None, typer.Option("--plot", help="Write the picture: .png, .pdf or .svg.")]


def main() -> None:
    """The entry point."""
    run(app, "dagame-bench")


@app.command()
def equivalence(
    quick: Quick = False, seed: Seed = 0, json_file: Json = None, plot: Plot = None
) -> None:
    """Equilibrium against cvxpy's optimum of answer-level fine-tuning on random games, by objective.

    In full about 0.5 minutes on one core.
    """
    from . import equivalence as bench

    _measure(bench, json_file, plot, quick=quick, seed=seed)


@app.command()
def scaling(
    quick: Quick = False, seed: Seed = 0, json_file: Json = None, plot: Plot = None
) -> None:
    """Cost to a fixed gap as the traces |Y| = V^T multiply, and in the number of contexts; log-log slopes.

    In full about 1.5 minutes on one core, and 7 GB of memory.
    """
    from . import scaling as bench

    _measure(bench, json_file, plot, quick=quick, seed=seed)


@app.command()
def solvers(
    quick: Quick = False, seed: Seed = 0, json_file: Json = None, plot: Plot = None
) -> None:
    """Time and certified gap against cvxpy, scipy and jaxopt, as performance profiles.

    In full about 3.5 minutes on one core; each game has 4 seconds, with --quick 0.5.
    """
    from . import solvers as bench

    _measure(bench, json_file, plot, quick=quick, seed=seed)


@app.command()
def roof(quick: Quick = False, seed: Seed = 0, json_file: Json = None, plot: Plot = None) -> None:
    """Solves of every objective in copies of their reference, with gaps, and cvxpy beside.

    In full about 1.5 minutes on one core; sizes that would take a solve over 2 seconds are left out.
    """
    from . import roof as bench

    _measure(bench, json_file, plot, quick=quick, seed=seed)


@app.command()
def estimators(
    quick: Quick = False,
    seed: Seed = 5,
    json_file: Json = None,
    plot: Plot = None,
    part: Annotated[
        list[str] | None,
        typer.Option(help="tables | gaps | throughput; repeatable, default all."),
    ] = None,
) -> None:
    """Bias, noise and samples to a gap of every reward estimator; rewards a second.

    In full about 11 minutes on one core: tables 1, gaps 9.5, throughput 0.5.
    """
    from . import estimators as bench

    parts = bench.check_parts(part)
    _measure(bench, json_file, plot, quick=quick, seed=seed, parts=parts)


@app.command()
def lm(
    quick: Quick = False,
    seed: Seed = 0,
    json_file: Json = None,
    plot: Plot = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="One method; repeatable, default all; an unknown name lists them."),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps of each.")] = None,
    problems: Annotated[
        int | None, typer.Option(min=2, max=200, help="Test problems measured.")
    ] = None,
) -> None:
    """Objectives and published rewards on the embedded language model: predicted and trained.

    In full about 46 minutes on one core, 3.3 a method.
    """
    from ..apps.command import require_lm
    from . import lm as bench

    require_lm()
    methods = bench.check_methods(method)
    _measure(
        bench,
        json_file,
        plot,
        quick=quick,
        seed=seed,
        methods=methods,
        steps=steps,
        problems=problems,
    )


@app.command()
def draw(
    stored: Annotated[Path, typer.Argument(help="A file of --json.")],
    plot: Annotated[Path, typer.Option("--plot", help="The picture: .png, .pdf or .svg.")],
) -> None:
    """Draw the picture of a result again from its file, without measuring anything."""
    from ..files.output import check_file, replacing_all
    from .common import save_plot

    result = _stored(stored)
    target = check_file(_drawable(plot), [stored])
    try:
        figure = import_module(f".{result.benchmark}", __package__).draw(result)
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        raise OutputError(
            f"{stored} cannot be drawn: it is of another version ({one_line(error)}); measure it again."
        ) from error
    with replacing_all([target]) as drafts:
        save_plot(figure, drafts[target], plot.suffix[1:])
    console().print(f"wrote {target}", markup=False, highlight=False, soft_wrap=True)


def _stored(path: Path) -> Result:
    """The result in a file, or `OutputError`."""
    from .common import Result

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["benchmark"] not in BENCHMARKS:
            raise KeyError(content["benchmark"])
        return Result.stored(content)
    except OSError as error:
        raise OutputError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError):
        raise OutputError(
            f"{path} is no result of dagame-bench: give a file that --json wrote."
        ) from None


def _drawable(plot: Path) -> Path:
    if plot.suffix not in FORMATS:
        raise OutputError(f"{plot} cannot be drawn: name a .png, .pdf or .svg file.")
    return plot


def _measure(bench: Any, json_file: str | None, plot: Path | None, **options: Any) -> None:
    """Check the outputs, run, print, write; exit code 1 if the result did not pass."""
    from ..files.output import check_file, put_text, replacing_all, write_json
    from ..files.strict_json import json_text
    from .common import save_plot, watching

    numbers = numbers_file(json_file)
    targets = [] if numbers is None else [numbers]
    if plot is not None:
        targets.append(check_file(_drawable(plot), targets))
    with watching() as watch:
        result = bench.run(watch=watch, **options)
    with replacing_all(targets) as drafts:
        for target in targets:
            if plot is not None and target == plot:
                save_plot(bench.draw(result), drafts[target], plot.suffix[1:])
            else:
                put_text(drafts[target], json_text(result.as_dict()))
    _print(result, stderr=json_file == "-")
    if json_file == "-":
        write_json("-", result.as_dict())
    if not result.passed:
        raise typer.Exit(1)


def _print(result: Result, stderr: bool) -> None:
    """Tables as wide as the terminal, or 160 signs into a file that names no width."""
    shown = console(stderr)
    if not shown.is_terminal and "COLUMNS" not in os.environ:
        shown.width = 160
    for section in (s for s in result.sections if s.printed):
        section.print(shown)
    lines = [*result.facts.get("notes", ()), *result.footer(), in_words(provenance())]
    for line in lines:
        shown.print(line, markup=False, highlight=False)


if __name__ == "__main__":
    main()
