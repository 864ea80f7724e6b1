"""The command line: `dagame demo | sample | solve | verify | finetune | evaluate | certify | doctor`.

Exit codes: 0 done; 1 a check failed or a class was not solved; 2 bad input, explained in one sentence;
3 `solve --strict` has a warning (its results are written).
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from ..errors import DagameError
from ..lm.tiny.experiment import Recipe
from ..objectives.names import NAMES
from ..solvers import METHODS
from ..text import visible
from .command import application, console, numbers_file, require_lm, run
from .in_parts import Address, Engine, MaxMemory, in_parts, opened
from .model_commands import register as register_model_commands
from .next_command import after_finetuning, after_solving, show_next
from .options import check_device, check_level, correct_limits, right_answers
from .sample_command import register as register_sample
from .solution_files import content_of, numbers_text, write_solution
from .terminal import (
    demo_table,
    facts,
    show,
    show_lines,
    show_run,
    show_warnings,
    show_written,
    stages,
    summary_table,
    verification_table,
)

app = application("Solve, certify and analyse Distributional Alignment Games.")


def main() -> None:
    """The entry point."""
    run(app, "dagame")


@app.command()
def solve(
    call: typer.Context,
    samples: Annotated[
        list[str] | None,
        typer.Argument(
            help="JSON, JSONL, CSV, TSV, Parquet or .eval, also .gz, .zst, .zip; several, a folder, "
            'a glob, or "-" for standard input.'
        ),
    ] = None,
    class_by: Annotated[
        list[str] | None,
        typer.Option(
            "--class", "--question", help="Column or dotted path that names a question; repeatable."
        ),
    ] = None,
    context_by: Annotated[
        list[str] | None,
        typer.Option(
            "--context", "--phrasing", help="Column that names a paraphrase or format; repeatable."
        ),
    ] = None,
    completion: Annotated[
        list[str] | None,
        typer.Option(
            help="Column of the completions: texts, lists of them, chats; several are contexts. "
            "[default: completion]"
        ),
    ] = None,
    answer: Annotated[
        list[str] | None, typer.Option(help="Column of answers already extracted.")
    ] = None,
    correct: Annotated[
        list[str] | None,
        typer.Option(help="Column of correctness, in [0, 1]; one for each of --completion."),
    ] = None,
    correct_range: Annotated[
        str, typer.Option(help="Labels of wrong and right, such as -1,1.")
    ] = "0,1",
    gold: Annotated[
        list[str] | None,
        typer.Option(help="Column of right answers, read as completions are; a list: aliases."),
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of right answers: each half of the questions calibrates the other, for "
            "answer sets of known coverage and p-values.",
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(help="Share of those sets that may lack the right answer. [default: 0.1]"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the halves of --calibrate. [default: 0]")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="COLUMN=VALUE of the rows to keep; repeatable.")
    ] = None,
    format_name: Annotated[
        str,
        typer.Option(
            "--format",
            help="auto | lm-eval | inspect | openai | vllm | trl | verl, or the kind of file: "
            "json | jsonl | csv | tsv | parquet.",
        ),
    ] = "auto",
    rows: Annotated[
        str | None, typer.Option(help="Path of the list of rows in a JSON document with several.")
    ] = None,
    finish_reason: Annotated[
        list[str] | None,
        typer.Option(
            help='Column of why a completion ended ("length"), or whether it was cut off.'
        ),
    ] = None,
    truncated: Annotated[
        str, typer.Option(help="What a completion that was cut off has: no-answer | read.")
    ] = "no-answer",
    extract: Annotated[
        str,
        typer.Option(
            help="Pattern (group 1 of its last match), or boxed | gsm8k | last-number | choice | "
            "answer | math, also first-... and last-...; auto tries them on the file."
        ),
    ] = "auto",
    canonical: Annotated[
        str,
        typer.Option(
            help="exact | nospace | casefold | number | math; auto: what suits --extract."
        ),
    ] = "auto",
    thinking: Annotated[
        str, typer.Option(help="Reasoning between tags, such as <think>: drop | keep.")
    ] = "drop",
    no_answer: Annotated[
        str, typer.Option(help='"keep" no answer as an answer of its own, or "drop" its samples.')
    ] = "keep",
    abstain: Annotated[
        str | None, typer.Option(help="Pattern of answers that mean no answer.")
    ] = None,
    objective: Annotated[
        str,
        typer.Option(help=" | ".join(NAMES) + "."),
    ] = "coherence",
    strength: Annotated[float, typer.Option(help="Strength of the objective (lambda).")] = 1.0,
    beta: Annotated[float, typer.Option(help="Strength of the KL to the reference.")] = 1.0,
    method: Annotated[str, typer.Option(help=", ".join(METHODS) + ".")] = "auto",
    device: Annotated[
        str | None,
        typer.Option(help="Solve with torch on auto | cpu | cuda; default numpy, no torch needed."),
    ] = None,
    on_error: Annotated[
        str, typer.Option(help="What a malformed line, or one of several files, does: stop | skip.")
    ] = "stop",
    json_file: Annotated[
        str | None, typer.Option("--json", help='Write summary and classes; "-" for stdout.')
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for samples.parquet and report.html.")
    ] = None,
    report: Annotated[bool, typer.Option(help="Write report.html into --out.")] = True,
    max_memory: MaxMemory = None,
    engine: Engine = None,
    address: Address = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 3 where there is a warning.")
    ] = False,
    example: Annotated[
        bool, typer.Option("--example", help="Solve the example that ships with the package.")
    ] = False,
) -> None:
    """Solve the game of every question in a file of sampled completions, with a certificate."""
    from ..files.output import check_file, check_folder, locked, write_out
    from ..lm.spec import named_objective
    from ..objectives.names import LABELLED, by_name
    from ..samples.example import ANSWER, CLASS, CONTEXT, CORRECT, PATH
    from ..samples.files.containers import STDIN

    if example:
        if samples:
            raise DagameError("--example brings its own file; leave the file or --example out.")
        samples, class_by, context_by = [str(PATH)], class_by or [CLASS], context_by or [CONTEXT]
        answer = answer or ([] if completion else [ANSWER])
        correct = correct or ([] if gold or calibrate not in (None, CORRECT) else [CORRECT])
    elif not samples:
        raise typer.BadParameter("missing argument 'SAMPLES', unless there is --example.", call)
    check_level(calibrate, alpha, seed)
    way = in_parts(max_memory, engine, address, calibrate)
    gold = right_answers(calibrate, correct, gold)
    made = named_objective(objective, strength)
    if device is not None:
        check_device(device)
    if objective in LABELLED and not (correct or gold):
        by_name(objective, strength)
    folder = None if out is None else check_folder(out)
    names = (
        () if folder is None else ("samples.parquet", "report.html")[: 1 + (report and way is None)]
    )
    taken = [name for name in samples if name != STDIN]
    parts = [check_file(Path(out or "") / name, taken) for name in names]
    numbers = numbers_file(json_file, [*taken, *parts])
    limits = correct_limits(correct_range)
    with ExitStack() as held, stages() as say:
        if folder is not None:
            held.enter_context(locked(folder))
        read = opened(
            *(held, way, folder, samples[0] if len(samples) == 1 else samples),
            class_by or None,
            context_by or None,
            completion or None,
            extract,
            correct or None,
            answer=answer or None,
            gold=gold or None,
            correct_range=limits,
            canonical=canonical,
            thinking=thinking,
            finish_reason=finish_reason or None,
            truncated=truncated,
            where=where or (),
            format=format_name,
            rows=rows,
            no_answer=no_answer,
            abstain=abstain,
            on_error=on_error,
            progress=say,
        )
        found = read.solve(made, beta=beta, method=method, progress=say, device=device)
        if calibrate is not None:
            found = found.calibrate(0.1 if alpha is None else alpha, seed=seed or 0)
        content = content_of(found)
        written = write_solution(found, content, parts, numbers, say)
    shown = console(stderr=json_file == "-")
    shown.print(found.verdict, markup=False, highlight=False)
    shown.print(summary_table(found))
    for note in read.notes:
        shown.print(visible(note), markup=False, highlight=False, soft_wrap=True)
    sure = () if found.calibration is None else found.calibration.told()
    show_lines([*facts(found.summary), *sure, *found.reading.told()], shown)
    show_warnings([caution.sentence for caution in found.reading.warnings], shown)
    show_written(written, shown)
    if json_file == "-":
        write_out(numbers_text(found, content, True))
    else:
        show_next(shown, *after_solving(parts))
    if found.summary["unsolved"]:
        raise typer.Exit(1)
    if strict and found.reading.warnings:
        raise typer.Exit(3)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo-out"),
    seed: Annotated[int, typer.Option(help="Seed of training and evaluation.")] = 0,
    compare: Annotated[
        bool, typer.Option("--compare", help="Train once more, on the true labels.")
    ] = False,
    steps: Annotated[int, typer.Option(min=1, help="Steps of training.")] = Recipe.steps,
    problems: Annotated[int, typer.Option(min=2, max=200, help="Test problems.")] = 100,
    json_file: Annotated[
        str | None, typer.Option("--json", help='Write the numbers; "-" for stdout.')
    ] = None,
) -> None:
    """Fine-tune the embedded language model without labels, certify it, and write a report."""
    from ..files.output import check_folder, locked, write_json

    require_lm()
    folder = check_folder(out)
    results = [folder / name for name in ("report.html", "game.html", "samples.parquet", "model")]
    numbers = numbers_file(json_file, results)
    import torch

    from .demo import run_demo

    torch.set_num_threads(1)  # faster than two for tensors this small
    with locked(folder), stages() as say:
        result = run_demo(
            folder,
            seed,
            compare=compare,
            recipe=Recipe(steps=steps),
            problems=problems,
            numbers=numbers,
            progress=say,
        )
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
    from ..files.output import write_json

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
    from ..files.output import write_json
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
    from ..files.output import write_json
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
