"""The command line of the benchmarks: `dagame-bench equivalence | scaling | solvers | estimators | lm`.

Exit codes: 0 done; 1 a result contradicts the theory; 2 bad input, explained in one sentence.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..apps.command import application, console, numbers_file, run
from ..errors import OutputError
from ..provenance import in_words, provenance

if TYPE_CHECKING:
    from .common import Result

FORMATS = (".png", ".pdf", ".svg")

app = application(
    "Benchmarks of dagame; each ends with a table and records machine, versions and seed."
)

Quick = Annotated[bool, typer.Option("--quick", help="A small version.")]
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
    """|J(Nash) - J(ALFT by cvxpy)| and certified gaps on random games, by objective."""
    from . import equivalence as bench

    _measure(bench, json_file, plot, quick=quick, seed=seed)


@app.command()
def scaling(
    quick: Quick = False, seed: Seed = 0, json_file: Json = None, plot: Plot = None
) -> None:
    """Cost to a fixed gap as |Y| = V^T grows, and in the number of contexts; log-log slopes."""
    from . import scaling as bench

    _measure(bench, json_file, plot, quick=quick, seed=seed)


@app.command()
def solvers(
    quick: Quick = False, seed: Seed = 0, json_file: Json = None, plot: Plot = None
) -> None:
    """Time and certified gap against cvxpy, scipy and jaxopt, as performance profiles."""
    from . import solvers as bench

    _measure(bench, json_file, plot, quick=quick, seed=seed)


@app.command()
def roof(quick: Quick = False, seed: Seed = 0, json_file: Json = None, plot: Plot = None) -> None:
    """Solves of every objective in copies of their reference, with gaps, and cvxpy beside."""
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
    """Bias, noise and samples to a gap of every reward estimator; reward throughput."""
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
    """Objectives and published rewards on the embedded language model: predicted and trained."""
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


def _measure(bench: Any, json_file: str | None, plot: Path | None, **options: Any) -> None:
    """Check the outputs, run, print, write; exit code 1 if the result did not pass."""
    from ..files.output import check_file, json_text, put_text, replacing_all, write_json
    from .common import save_plot, watching

    numbers = numbers_file(json_file)
    targets = [] if numbers is None else [numbers]
    if plot is not None:
        if plot.suffix not in FORMATS:
            raise OutputError(f"{plot} cannot be drawn: name a .png, .pdf or .svg file.")
        targets.append(check_file(plot, targets))
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
    shown = console(stderr)
    if not shown.is_terminal:
        shown.width = max(shown.width, 160)
    for section in (s for s in result.sections if s.printed):
        shown.print(section.table())
    for note in result.facts.get("notes", ()):
        shown.print(note, markup=False, highlight=False)
    shown.print(f"{result.benchmark}, seed {result.seed}, {result.seconds:.1f} s", highlight=False)
    shown.print(in_words(provenance()), markup=False, highlight=False)


if __name__ == "__main__":
    main()
