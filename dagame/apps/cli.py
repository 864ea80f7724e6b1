"""The command line: `dagame demo | sample | solve | verify | finetune | evaluate | certify | doctor`.

Exit codes: 0 done; 1 a check failed or a class was not solved; 2 bad input, explained in one sentence;
3 `solve --strict` has a warning (its results are written).
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..files.output import check_folder, locked, write_json, write_out
from ..lm.tiny.experiment import Recipe
from .command import Json, application, console, numbers_file, require_lm, run
from .in_parts import in_parts, opened, results_alone
from .model_commands import register as register_model_commands
from .next_command import after_finetuning, after_solving, show_next
from .options import SolveOptions
from .sample_command import register as register_sample
from .solution_files import SolutionFiles, content_of, numbers_text
from .terminal import (
    demo_table,
    show,
    show_run,
    show_solution,
    show_warnings,
    show_written,
    stages,
    verification_table,
)

if TYPE_CHECKING:
    from .solution_files import Found

app = application("Solve, certify and analyse Distributional Alignment Games.")


def main() -> None:
    """The entry point."""
    run(app, "dagame")


@app.command()
def solve(call: typer.Context, asked: SolveOptions) -> None:
    """Solve the game of every question in a file of sampled completions, with a certificate."""
    if not (asked.samples or asked.example):
        raise typer.BadParameter("missing argument 'SAMPLES', unless there is --example.", call)
    with ExitStack() as held:  # parts on disk are read until all is shown
        found, content, files = _solved(asked.with_example(), held)
        shown = console(stderr=asked.json_file == "-")
        show_solution(found, shown)
        show_written(files.all, shown)
        if asked.json_file == "-":
            write_out(numbers_text(found, content, True))
        else:
            show_next(shown, *after_solving(files.parts))
    if found.summary["unsolved"]:
        raise typer.Exit(1)
    if asked.strict and found.reading.warnings:
        raise typer.Exit(3)


def _solved(asked: SolveOptions, held: ExitStack) -> tuple[Found, dict[str, Any], SolutionFiles]:
    """The solved samples, their numbers, and the files that have them; parts stay while `held` is open."""
    asked.check_level()
    way = in_parts(asked)
    asked = asked.with_right_answers()
    made, files = asked.game(), SolutionFiles.of(asked, page=way is None)
    reading = asked.reading()
    with stages() as say, results_alone(way):
        files.hold(held)
        read = opened(held, way, files.folder, asked.sources, progress=say, **reading)
        found = read.solve(made, progress=say, **asked.solving())
        if asked.calibrate is not None:
            found = found.calibrate(
                0.1 if asked.alpha is None else asked.alpha, seed=asked.seed or 0
            )
        content = content_of(found)
        files.write(found, content, say)
    return found, content, files


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo-out"),
    seed: Annotated[int, typer.Option(help="Seed of training and evaluation.")] = 0,
    compare: Annotated[
        bool, typer.Option("--compare", help="Train once more, on the true labels.")
    ] = False,
    steps: Annotated[int, typer.Option(min=1, help="Steps of training.")] = Recipe.steps,
    problems: Annotated[int, typer.Option(min=2, max=200, help="Test problems.")] = 100,
    json_file: Json = None,
) -> None:
    """Fine-tune the embedded language model without labels, certify it, and write a report."""
    require_lm()
    folder = check_folder(out)
    results = [folder / name for name in ("report.html", "game.html", "samples.parquet", "model")]
    numbers = numbers_file(json_file, results)
    import torch

    from .demo import run_demo

    torch.set_num_threads(1)  # faster than two for tensors this small
    how = {"compare": compare, "recipe": Recipe(steps=steps), "problems": problems}
    with locked(folder), stages() as say:
        result = run_demo(folder, seed, **how, numbers=numbers, progress=say)
    written = [*results, *([] if numbers is None else [numbers])]
    show(demo_table(result), written, stderr=json_file == "-")
    if json_file == "-":
        write_json("-", result)


@app.command()
def finetune(
    config: Annotated[Path, typer.Argument(help="YAML file; examples/ has some to start from.")],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last complete checkpoint.")
    ] = False,
    json_file: Annotated[
        str | None, typer.Option("--json", help='Write the summary; "-" for stdout.')
    ] = None,
) -> None:
    """Fine-tune a Hugging Face model in the game of a YAML file, through TRL.

    For several processes, start it by torchrun or accelerate launch: `torchrun --nproc_per_node 2 -m
    dagame finetune CONFIG`.
    """
    require_lm()
    from ..lm.finetune.run import before, paths_of, read_config, run_finetune

    numbers_file(json_file, paths_of(config))
    known = before(read_config(config))
    show_warnings(known, console(stderr=True))
    with stages() as say:
        result = run_finetune(config, resume=resume, progress=say)
    if not result["main"]:
        return
    shown = console(json_file == "-")
    show_run(result, shown)
    show_warnings([told for told in result["warnings"] if told not in known], shown)
    if json_file is not None:
        write_json(json_file, result)
    if json_file != "-":
        show_next(shown, *after_finetuning(result))


@app.command()
def verify(
    seed: Annotated[int, typer.Option(help="Seed of the random games.")] = 0,
    games: Annotated[int, typer.Option(min=1, help="Random games for each check.")] = 200,
    objective: Annotated[
        str | None,
        typer.Option(
            help="One of your own: package.module:Class, ...:Class(2.0), or an instance; the current "
            "folder counts."
        ),
    ] = None,
    json_file: Annotated[
        str | None, typer.Option("--json", help='Write the report; "-" for stdout.')
    ] = None,
) -> None:
    """Check the theorems on random games, or all that applies to one objective; exit code 1 if violated."""
    from ..provenance import provenance
    from ..theory.checks.own import named_objective
    from ..theory.verify import verify as check

    numbers_file(json_file)
    mine = None if objective is None else named_objective(objective)
    with stages() as say:
        report = check(seed, games, objective=mine, progress=say)
    show(verification_table(report), [], stderr=json_file == "-")
    if json_file is not None:
        write_json(json_file, report.as_dict() | {"provenance": provenance()})
    if not report.passed:
        raise typer.Exit(1)


register_sample(app)
register_model_commands(app)


@app.command()
def doctor(
    json_file: Annotated[
        str | None, typer.Option("--json", help='Write what was found; "-" for stdout.')
    ] = None,
) -> None:
    """Versions against what was tested, and whether each part works here; exit code 1 if one does not."""
    from ..provenance import in_words
    from .doctor import diagnose, tables

    numbers_file(json_file)
    with stages() as say:
        found = diagnose(say)
    shown = console(stderr=json_file == "-")
    shown.print(*tables(found))
    shown.print(in_words(found.provenance), markup=False, highlight=False)
    if json_file is not None:
        write_json(json_file, found.as_dict())
    if not found.passed:
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
