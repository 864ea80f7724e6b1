"""The command line of the benchmarks: `dagame-bench equivalence | scaling | ... | lm`, and `draw`.

Exit codes: 0 done; 1 a result contradicts the theory; 2 bad input, explained in one sentence.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..apps.command import application, console, numbers_file, option, require_lm, run
from ..errors import OutputError, one_line
from ..files.output import check_file, put_text, replacing_all, write_json
from ..files.strict_json import json_text
from ..provenance import in_words, provenance

if TYPE_CHECKING:
    from .common import Result

FORMATS = (".png", ".pdf", ".svg")
BENCHMARKS = ("equivalence", "scaling", "solvers", "roof", "estimators", "lm")
"""Those whose full run is kept in benchmarks/results, and whose files `draw` takes."""

app = application(
    "Benchmarks of dagame; each ends with tables, what their columns mean, and machine, versions and seed."
)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options of every benchmark."""

    quick: bool = option(
        "A small version, of a minute at most; its tables and files say so.",
        "--quick",
        default=False,
    )
    seed: int = option("Seed of everything random.", default=0, min=0)
    json_file: str | None = option('Write the result; "-" for stdout.', "--json")
    plot: Path | None = option("Write the picture: .png, .pdf or .svg.", "--plot")


@dataclass(frozen=True, kw_only=True)
class AskedEstimators(Asked):
    """With the parts, and a seed of their own."""

    seed: int = option("Seed of everything random.", default=5, min=0)
    part: list[str] | None = option("tables | gaps | throughput; repeatable, default all.")


@dataclass(frozen=True, kw_only=True)
class AskedMethods(Asked):
    """With the methods, and how long they are trained and measured."""

    method: list[str] | None = option(
        "One method; repeatable, default all; an unknown name lists them."
    )
    steps: int | None = option("Training steps of each.", min=1)
    problems: int | None = option("Test problems measured.", min=2, max=200)


def main() -> None:
    """The entry point."""
    run(app, "dagame-bench")


@app.command()
def equivalence(asked: Asked) -> None:
    """Equilibrium against cvxpy's optimum of answer-level fine-tuning on random games, by objective.

    In full about 0.5 minutes on one core.
    """
    _measure("equivalence", asked)


@app.command()
def scaling(asked: Asked) -> None:
    """Cost to a fixed gap as the traces |Y| = V^T multiply, and in the number of contexts; log-log slopes.

    In full about 1.5 minutes on one core, and 7 GB of memory.
    """
    _measure("scaling", asked)


@app.command()
def solvers(asked: Asked) -> None:
    """Time and certified gap against cvxpy, scipy and jaxopt, as performance profiles.

    In full about 3.5 minutes on one core; each game has 4 seconds, with --quick 0.5.
    """
    _measure("solvers", asked)


@app.command()
def roof(asked: Asked) -> None:
    """Solves of every objective in copies of their reference, with gaps, and cvxpy beside.

    In full about 1.5 minutes on one core; sizes that would take a solve over 2 seconds are left out.
    """
    _measure("roof", asked)


@app.command()
def estimators(asked: AskedEstimators) -> None:
    """Bias, noise and samples to a gap of every reward estimator; rewards a second.

    In full about 11 minutes on one core: tables 1, gaps 9.5, throughput 0.5.
    """
    from .estimators import check_parts

    _measure("estimators", asked, parts=check_parts(asked.part))


@app.command()
def lm(asked: AskedMethods) -> None:
    """Objectives and published rewards on the embedded language model: predicted and trained.

    In full about 46 minutes on one core, 3.3 a method.
    """
    from .lm import check_methods

    require_lm()
    methods = check_methods(asked.method)
    _measure("lm", asked, methods=methods, steps=asked.steps, problems=asked.problems)


@app.command()
def draw(
    stored: Annotated[Path, typer.Argument(help="A file of --json.")],
    plot: Annotated[Path, typer.Option("--plot", help="The picture: .png, .pdf or .svg.")],
) -> None:
    """Draw the picture of a result again from its file, without measuring anything."""
    from .common import save_plot

    result = _stored(stored)
    target = check_file(_drawable(plot), [stored])
    try:
        figure = _module(result.benchmark).draw(result)
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


def _module(benchmark: str) -> Any:
    return import_module(f".{benchmark}", __package__)


def _measure(benchmark: str, asked: Asked, **options: Any) -> None:
    """Check the outputs, run, print, write; exit code 1 if the result did not pass."""
    from .common import save_plot, watching

    bench, plot = _module(benchmark), asked.plot
    numbers = numbers_file(asked.json_file)
    targets = [] if numbers is None else [numbers]
    if plot is not None:
        targets.append(check_file(_drawable(plot), targets))
    with watching() as watch:
        result = bench.run(asked.quick, seed=asked.seed, watch=watch, **options)
    with replacing_all(targets) as drafts:
        if numbers is not None:
            put_text(drafts[numbers], json_text(result.as_dict()))
        if plot is not None:
            save_plot(bench.draw(result), drafts[plot], plot.suffix[1:])
    _print(result, stderr=asked.json_file == "-")
    if asked.json_file == "-":
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
