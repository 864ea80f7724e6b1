"""`dagame sample`: questions -> the file of completions that `dagame solve` reads."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import GenerationError
from .command import console, require_lm
from .terminal import show, stages, table_of


def sample(
    model: Annotated[str, typer.Argument(help="Folder or name of the model.")],
    questions: Annotated[str, typer.Argument(help="JSONL, JSON, CSV or Parquet.")],
    out: Annotated[Path, typer.Option(help="File to write: .jsonl or .parquet.")],
    samples: Annotated[int, typer.Option(min=1, help="Completions of each prompt.")] = 16,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Where one is cut.")] = 64,
    prompt: Annotated[str | None, typer.Option(help="Column of the prompts.")] = None,
    class_by: Annotated[
        str | None, typer.Option("--class", help="Column that names a question. [default: row]")
    ] = None,
    context_by: Annotated[
        str | None, typer.Option("--context", help="Column that names a paraphrase.")
    ] = None,
    paraphrases: Annotated[
        Path | None, typer.Option(help="Templates, one a line, with {COLUMN} in them.")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="Of the softmax.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the samples.")] = 0,
    engine: Annotated[str, typer.Option(help="transformers | vllm.")] = "transformers",
    endpoint: Annotated[
        str | None, typer.Option(help="URL of an OpenAI-compatible server, http://host/v1.")
    ] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Ask the server in chats.")] = False,
    json_file: Annotated[
        str | None, typer.Option("--json", help='Write a summary; "-" for stdout.')
    ] = None,
) -> None:
    """Sample completions of questions; after a kill the same command goes on."""
    from ..files.output import check_file, write_json
    from ..lm.engines.questions import prompts_of, templates_of

    check_file(out, [questions, *([paraphrases] if paraphrases else [])])
    if json_file not in (None, "-"):
        check_file(json_file, [out, questions])
    templates = templates_of(paraphrases) if paraphrases else []
    rows = prompts_of(questions, prompt, class_by, context_by, templates)
    if chat and endpoint is None:
        raise GenerationError("--chat asks a server; give its --endpoint too.")
    settings = {"max_new_tokens": max_new_tokens, "temperature": temperature}
    with stages() as say:
        say("loading the model")
        found = _engine(model, engine, endpoint, chat, settings)
        from ..lm.engines.sampling_run import sample_to

        drawn = sample_to(
            out, found, rows, samples=samples, seed=seed, settings=settings, progress=say
        )
    cut = sum(row["finish_reason"] == "length" for row in drawn) / len(drawn)
    command = f"dagame solve {shlex.quote(str(out))} --class class --context context"
    summary = {"prompts": len(rows), "completions": len(drawn), "truncated": cut, "next": command}
    table = table_of("Samples", "", "value")
    table.add_row("prompts", f"{len(rows):,}")
    table.add_row("completions", f"{len(drawn):,}")
    table.add_row("cut off", f"{cut:.1%}")
    show(table, [out], stderr=json_file == "-")
    shown = console(stderr=json_file == "-")
    shown.print(f"next: {command}", markup=False, highlight=False, soft_wrap=True)
    if json_file is not None:
        write_json(json_file, summary)


def _engine(
    model: str, engine: str, endpoint: str | None, chat: bool, settings: dict[str, Any]
) -> Any:
    if endpoint is not None:
        from ..lm.engines.endpoint import EndpointEngine

        return EndpointEngine(model, endpoint, chat=chat, **settings)
    if engine == "vllm":
        from ..lm.engines.vllm import VLLMEngine

        return VLLMEngine(model, **settings)
    if engine != "transformers":
        raise GenerationError(f"--engine is {engine!r}; choose transformers or vllm.")
    require_lm()
    from ..lm.engines.transformers import TransformersEngine

    return TransformersEngine(model, **settings)
