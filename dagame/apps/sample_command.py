"""`dagame sample`: questions -> the file of completions that `dagame solve` reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DagameError
from ..text import visible
from .command import console, numbers_file, require_lm
from .next_command import after_sampling, show_next
from .terminal import counted, show_written, stages, table_of

if TYPE_CHECKING:
    from ..lm.engines.base import Engine
    from ..lm.engines.sampling_run import Sampled

ENGINES = ("transformers", "vllm")


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command()(sample)


def sample(
    model: Annotated[
        str,
        typer.Argument(help="Folder, .gguf file or name of a model; of the server's, its name."),
    ],
    questions: Annotated[
        str,
        typer.Argument(help="JSON, JSONL, CSV, TSV or Parquet, or a data set of Hugging Face."),
    ],
    out: Annotated[Path, typer.Option(help="File to write, .jsonl or .parquet.")],
    prompt: Annotated[str | None, typer.Option(help="Column of the prompts.")] = None,
    paraphrases: Annotated[
        Path | None,
        typer.Option(help="In place of --prompt: templates with {COLUMN} in them, one a line."),
    ] = None,
    class_by: Annotated[
        str | None,
        typer.Option(
            "--class", "--question", help="Column that names a question; else each row is one."
        ),
    ] = None,
    context_by: Annotated[
        str | None,
        typer.Option(
            "--context", "--phrasing", help="Column that names a paraphrase; else numbered."
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Completions of each prompt.")] = 16,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", min=1, help="Where completions are cut.")
    ] = 256,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of the samples.")] = 0,
    temperature: Annotated[
        float, typer.Option(help="1 alone: the game is about the model's own distribution.")
    ] = 1.0,
    limit: Annotated[int | None, typer.Option(min=1, help="The first so many questions.")] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Prompts are a user's messages.")] = False,
    config: Annotated[str | None, typer.Option(help="Configuration of the data set.")] = None,
    split: Annotated[str, typer.Option(help="Split of the data set.")] = "train",
    engine: Annotated[str, typer.Option(help=" | ".join(ENGINES) + ".")] = "transformers",
    endpoint: Annotated[
        str | None,
        typer.Option(help="URL of an OpenAI-compatible server; its key in OPENAI_API_KEY."),
    ] = None,
    concurrent: Annotated[
        int, typer.Option(min=1, max=256, help="Requests to the server side by side.")
    ] = 8,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Completions side by side, in process.")
    ] = 256,
    json_file: Annotated[
        str | None, typer.Option("--json", help='Write the numbers; "-" for stdout.')
    ] = None,
) -> None:
    """Sample completions of questions for `dagame solve`; after a kill the same command goes on."""
    from ..files.output import write_json
    from ..lm.engines.questions import prompts_of, templates_of
    from ..lm.engines.sampling_run import check_out, sample_to

    check_temperature(temperature)
    read = [model, questions, *([paraphrases] if paraphrases else [])]
    check_out(out, read)
    numbers = numbers_file(json_file, [*read, out])
    if endpoint is None:
        require_lm()
    rows = prompts_of(
        questions,
        prompt,
        class_by,
        context_by,
        templates_of(paraphrases) if paraphrases else (),
        config=config,
        split=split,
        limit=limit,
    )
    with stages() as say:
        say("loading the model" if endpoint is None else "asking the server")
        made = _engine(model, engine, endpoint, max_new_tokens, chat, concurrent, batch_size)
        made.check([row["prompt"] for row in rows])
    with counted("prompts") as progress:
        found = sample_to(
            out,
            made,
            rows,
            samples=samples,
            seed=seed,
            max_new_tokens=max_new_tokens,
            chat=chat,
            progress=progress,
        )
    content = _content(made, rows, found, samples, seed, max_new_tokens)
    shown = console(stderr=json_file == "-")
    shown.print(_table(content))
    for note in content["notes"]:
        shown.print(visible(f"note: {note}"), markup=False, highlight=False)
    show_written([out, *([] if numbers is None else [numbers])], shown)
    if json_file is not None:
        write_json(numbers or "-", content)
    if json_file != "-":
        show_next(shown, *after_sampling(out, _mostly_cut(found)))


def check_temperature(temperature: float) -> None:
    """Refuse every one but 1."""
    if temperature != 1:
        raise DagameError(
            f"--temperature is {temperature:g}, but samples are drawn at 1: the game, `evaluate`, `certify` "
            "and the training are about the model's own distribution, and at another temperature it is "
            "another model's; leave the option out."
        )


def _engine(
    model: str,
    engine: str,
    endpoint: str | None,
    max_new_tokens: int,
    chat: bool,
    concurrent: int,
    batch_size: int,
) -> Engine:
    if engine not in ENGINES:
        raise DagameError(
            f"--engine is {engine!r}; choose {' or '.join(ENGINES)}, or --endpoint URL."
        )
    if endpoint is not None:
        if engine != ENGINES[0]:
            raise DagameError(
                "--endpoint asks a server, which has its own engine; leave --engine out."
            )
        from ..lm.engines.server import EndpointEngine

        return EndpointEngine(model, endpoint, max_new_tokens, chat, concurrent)
    if engine == "vllm":
        from ..lm.engines.vllm_engine import VLLMEngine

        return VLLMEngine(model, max_new_tokens, chat)
    from ..lm.engines.in_process import TransformersEngine
    from ..lm.models.loading import fit_threads

    made = TransformersEngine(model, max_new_tokens, chat, batch_size)
    fit_threads(made.network)
    return made


def _mostly_cut(found: Sampled) -> bool:
    return 2 * found.reasons.get("length", 0) > found.completions


def _content(
    made: Engine,
    rows: list[dict[str, Any]],
    found: Sampled,
    samples: int,
    seed: int,
    max_new_tokens: int,
) -> dict[str, Any]:
    from ..provenance import provenance

    notes, cut = list(made.notes), found.reasons.get("length", 0)
    if found.alike:
        notes.append(
            "all completions of each prompt are one and the same: what drew them may take the likeliest "
            "token each time; samples of such a model say nothing about its distribution"
        )
    if cut > 0.05 * found.completions:
        notes.append(
            f"{cut / found.completions:.0%} of the completions were cut at {max_new_tokens} tokens: raise "
            "--max-new-tokens, or have `solve` read them with --truncated read"
        )
    if found.empty:
        notes.append(f"completions without any text, which have no answer: {found.empty:,}")
    return {
        "model": made.model,
        "revision": made.revision,
        **made.facts,
        "questions": len({repr(row["class"]) for row in rows}),
        "prompts": found.prompts,
        "samples": samples,
        "seed": seed,
        "max_new_tokens": max_new_tokens,
        "completions": found.completions,
        "finish_reasons": found.reasons,
        "tokens": found.tokens,
        "notes": notes,
        "provenance": provenance(),
    }


def _table(content: dict[str, Any]) -> Any:
    table = table_of(
        f"{content['samples']} samples of each prompt, seed {content['seed']}", "", "number"
    )
    for name in ("questions", "prompts", "completions", "tokens"):
        table.add_row(name, "not known" if content[name] is None else f"{content[name]:,}")
    for reason, count in content["finish_reasons"].items():
        table.add_row(visible(f"finished: {reason}", 60), f"{count / content['completions']:.1%}")
    table.add_row("revision", visible(str(content["revision"] or "not known"))[:19])
    return table
