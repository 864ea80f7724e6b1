"""`dagame sample`: questions -> the file of completions that `dagame solve` reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..errors import DagameError
from ..files.output import write_json
from ..text import visible
from .command import (
    Chat,
    ClassBy,
    ContextBy,
    Json,
    Limit,
    argument,
    console,
    numbers_file,
    option,
    require_lm,
)
from .next_command import after_sampling, show_next
from .terminal import counted, show_written, stages, table_of

if TYPE_CHECKING:
    from ..lm.engines.base import Engine
    from ..lm.engines.sampling_run import Sampled

ENGINES = ("transformers", "vllm")


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """As on the command line."""

    model: str = argument(
        "Folder, .gguf file or name of a model; of the server's, its name.", default=...
    )
    questions: str = argument(
        "JSON, JSONL, CSV, TSV or Parquet, or a data set of Hugging Face.", default=...
    )
    out: Path = option("File to write, .jsonl or .parquet.", default=...)
    prompt: str | None = option("Column of the prompts.")
    paraphrases: Path | None = option(
        "In place of --prompt: templates with {COLUMN} in them, one a line."
    )
    class_by: ClassBy = None
    context_by: ContextBy = None
    samples: int = option("Completions of each prompt.", default=16, min=1)
    max_new_tokens: int = option(
        "Where completions are cut.", "--max-new-tokens", default=256, min=1
    )
    seed: int = option("Seed of the samples.", default=0, min=0, max=2**63 - 1)
    temperature: float = option(
        "1 alone: the game is about the model's own distribution.", default=1.0
    )
    limit: Limit = None
    chat: Chat = False
    config: str | None = option("Configuration of the data set.")
    split: str = option("Split of the data set.", default="train")
    engine: str = option(" | ".join(ENGINES) + ".", default="transformers")
    endpoint: str | None = option("URL of an OpenAI-compatible server; its key in OPENAI_API_KEY.")
    concurrent: int = option("Requests to the server side by side.", default=8, min=1, max=256)
    batch_size: int = option(
        "Completions side by side, in process.", "--batch-size", default=256, min=1
    )
    json_file: Json = None

    def prompts(self) -> list[dict[str, Any]]:
        """The questions, by their templates if there are any."""
        from ..lm.engines.questions import prompts_of, templates_of

        templates = templates_of(self.paraphrases) if self.paraphrases else ()
        columns = (self.prompt, self.class_by, self.context_by)
        whole = {"config": self.config, "split": self.split, "limit": self.limit}
        return prompts_of(self.questions, *columns, templates, **whole)

    def drawing(self) -> dict[str, int]:
        """How many completions, how long, and from what seed."""
        return {k: getattr(self, k) for k in ("samples", "seed", "max_new_tokens")}


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command()(sample)


def sample(asked: SampleOptions) -> None:
    """Sample completions of questions for `dagame solve`; after a kill the same command goes on."""
    from ..lm.engines.sampling_run import check_out, sample_to

    check_temperature(asked.temperature)
    read = [asked.model, asked.questions, *([asked.paraphrases] if asked.paraphrases else [])]
    check_out(asked.out, read)
    numbers = numbers_file(asked.json_file, [*read, asked.out])
    if asked.endpoint is None:
        require_lm()
    rows = asked.prompts()
    with stages() as say:
        say("loading the model" if asked.endpoint is None else "asking the server")
        made = _engine(asked)
        made.check([row["prompt"] for row in rows])
    with counted("prompts") as progress:
        more = {"chat": asked.chat, "progress": progress}
        found = sample_to(asked.out, made, rows, **asked.drawing(), **more)
    _tell(_content(made, rows, found, asked), found, asked, numbers)


def check_temperature(temperature: float) -> None:
    """Refuse every one but 1."""
    if temperature != 1:
        raise DagameError(
            f"--temperature is {temperature:g}, but samples are drawn at 1: the game, `evaluate`, `certify` "
            "and the training are about the model's own distribution, and at another temperature it is "
            "another model's; leave the option out."
        )


def _engine(asked: SampleOptions) -> Engine:
    same = (asked.max_new_tokens, asked.chat)
    if asked.engine not in ENGINES:
        known = " or ".join(ENGINES)
        raise DagameError(f"--engine is {asked.engine!r}; choose {known}, or --endpoint URL.")
    if asked.endpoint is not None:
        if asked.engine != ENGINES[0]:
            raise DagameError(
                "--endpoint asks a server, which has its own engine; leave --engine out."
            )
        from ..lm.engines.server import EndpointEngine

        return EndpointEngine(asked.model, asked.endpoint, *same, asked.concurrent)
    if asked.engine == "vllm":
        from ..lm.engines.vllm_engine import VLLMEngine

        return VLLMEngine(asked.model, *same)
    return _in_process(asked.model, *same, asked.batch_size)


def _in_process(model: str, max_new_tokens: int, chat: bool, batch_size: int) -> Engine:
    from ..lm.engines.in_process import TransformersEngine
    from ..lm.models.loading import fit_threads

    made = TransformersEngine(model, max_new_tokens, chat, batch_size)
    fit_threads(made.network)
    return made


def _tell(
    content: dict[str, Any], found: Sampled, asked: SampleOptions, numbers: Path | None
) -> None:
    shown = console(stderr=asked.json_file == "-")
    shown.print(_table(content))
    for note in content["notes"]:
        shown.print(visible(f"note: {note}"), markup=False, highlight=False)
    show_written([asked.out, *([] if numbers is None else [numbers])], shown)
    if asked.json_file is not None:
        write_json(numbers or "-", content)
    if asked.json_file != "-":
        show_next(shown, *after_sampling(asked.out, cut=2 * found.cut > found.completions))


def _content(
    made: Engine, rows: list[dict[str, Any]], found: Sampled, asked: SampleOptions
) -> dict[str, Any]:
    from ..provenance import provenance

    return {
        "model": made.model,
        "revision": made.revision,
        **made.facts,
        "questions": len({repr(row["class"]) for row in rows}),
        "prompts": found.prompts,
        **asked.drawing(),
        "completions": found.completions,
        "finish_reasons": found.reasons,
        "tokens": found.tokens,
        "notes": [*made.notes, *_notes(found, asked.max_new_tokens)],
        "provenance": provenance(),
    }


def _notes(found: Sampled, max_new_tokens: int) -> Iterator[str]:
    if found.alike:
        yield (
            "all completions of each prompt are one and the same: what drew them may take the likeliest "
            "token each time; samples of such a model say nothing about its distribution"
        )
    if found.cut > 0.05 * found.completions:
        yield (
            f"{found.cut / found.completions:.0%} of the completions were cut at {max_new_tokens} tokens: "
            "raise --max-new-tokens, or have `solve` read them with --truncated read"
        )
    if found.empty:
        yield f"completions without any text, which have no answer: {found.empty:,}"


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
