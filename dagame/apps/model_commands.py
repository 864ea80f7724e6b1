"""`dagame evaluate` and `dagame certify`: a run or a model measured on questions, and its gap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..objectives.names import NAMES
from ..text import visible
from .command import console, numbers_file, require_lm
from .model_inputs import Asked, read_inputs
from .next_command import show_next
from .terminal import certificate_table, comparison_table, show_written, stages

if TYPE_CHECKING:
    from ..lm.finetune.inputs import Inputs

Name = Annotated[
    str,
    typer.Argument(
        metavar="RUN|MODEL",
        help="Folder of dagame finetune, a Hugging Face model or its name, a GGUF file.",
    ),
]
Questions = Annotated[
    str | None,
    typer.Argument(
        help="JSON, JSONL, CSV, TSV or Parquet; of a RUN its own questions if left out."
    ),
]
Reference = Annotated[
    str | None, typer.Option(help="Model to compare with; of a RUN the one it began from.")
]
Prompt = Annotated[str | None, typer.Option("--prompt", help="Column of the prompts; else prompt.")]
Class = Annotated[
    str | None,
    typer.Option(
        "--class", "--question", help="Column that names a question; else each row is one."
    ),
]
Context = Annotated[
    str | None,
    typer.Option("--context", "--phrasing", help="Column that names a paraphrase; else numbered."),
]
Gold = Annotated[str | None, typer.Option("--gold", help="Column of right answers; list: aliases.")]
Limit = Annotated[int | None, typer.Option(min=1, help="The first so many questions.")]
Chat = Annotated[bool, typer.Option("--chat", help="Prompts are a user's messages.")]
Length = Annotated[
    int | None, typer.Option("--max-new-tokens", min=1, help="Where completions are cut.")
]
Extract = Annotated[
    str | None,
    typer.Option(help="Pattern or boxed | gsm8k | last-number | choice | answer | math."),
]
Canonical = Annotated[
    str | None, typer.Option(help="auto | exact | nospace | casefold | number | math.")
]
Truncated = Annotated[
    str | None, typer.Option(help="What a completion that was cut off has: no-answer | read.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the samples and of the bootstrap.")]
Batch = Annotated[int, typer.Option("--batch-size", min=1, help="Completions side by side.")]
Json = Annotated[str | None, typer.Option("--json", help='Write the numbers; "-" for stdout.')]
Report = Annotated[Path | None, typer.Option(help="Write a page, such as report.html.")]


def register(app: typer.Typer) -> None:
    """Add both commands to an application."""
    app.command()(evaluate)
    app.command()(certify)


def evaluate(
    name: Name,
    questions: Questions = None,
    reference: Reference = None,
    prompt: Prompt = None,
    class_by: Class = None,
    context_by: Context = None,
    gold: Gold = None,
    limit: Limit = None,
    chat: Chat = False,
    samples: Annotated[int, typer.Option(min=1, help="Samples of each prompt.")] = 16,
    max_new_tokens: Length = None,
    extract: Extract = None,
    canonical: Canonical = None,
    truncated: Truncated = None,
    seed: Seed = 0,
    batch_size: Batch = 256,
    json_file: Json = None,
    report: Report = None,
    card: Annotated[
        bool, typer.Option("--card", help="Put the verdict on the model card of a RUN.")
    ] = False,
) -> None:
    """Accuracy, agreement, length and KL of a run or a model, beside its reference, with intervals."""
    asked = Asked(
        name, questions, reference, prompt, class_by, context_by, gold, limit, chat,
        extract, canonical, truncated, max_new_tokens,
    )  # fmt: skip
    from ..errors import DagameError
    from ..files.output import write_json
    from .model_pages import evaluation_page

    numbers, page = _targets(asked, json_file, report)
    require_lm()
    from ..lm.finetune.judged import in_markdown, judge, put_verdict

    with stages() as say:
        say("reading the questions")
        inputs = read_inputs(asked)
        if card and not inputs.is_run:
            raise DagameError(
                "--card puts the verdict on the card of a run of dagame finetune; name its folder, or leave "
                "--card out."
            )
        found = judge(inputs, samples, seed, batch_size, say)
        content = found.as_dict()
        cards = put_verdict(Path(name).expanduser(), in_markdown(content)) if card else []
        content = _finish(content, evaluation_page(content) if page else None, numbers, page)
    shown = console(stderr=json_file == "-")
    shown.print(visible(content["verdict"], 400), markup=False, highlight=False)
    shown.print(comparison_table(found.compared, content["settings"]))
    _end(shown, content["notes"], [numbers, page, *cards])
    if json_file == "-":
        write_json("-", content)
    elif inputs.reference is not None:
        show_next(shown, _command("certify", asked))


def certify(
    name: Name,
    questions: Questions = None,
    reference: Reference = None,
    objective: Annotated[str | None, typer.Option(help=" | ".join(NAMES) + ".")] = None,
    strength: Annotated[
        float | None, typer.Option(help="Strength (lambda); else the run's, or 1.")
    ] = None,
    beta: Annotated[
        float | None, typer.Option(help="Strength of the KL; else the run's, or 1.")
    ] = None,
    prompt: Prompt = None,
    class_by: Class = None,
    context_by: Context = None,
    gold: Gold = None,
    limit: Limit = None,
    chat: Chat = False,
    samples: Annotated[int, typer.Option(min=4, help="Samples of each prompt, per model.")] = 64,
    max_new_tokens: Length = None,
    extract: Extract = None,
    canonical: Canonical = None,
    truncated: Truncated = None,
    confidence: Annotated[float, typer.Option(help="Of either end of the interval.")] = 0.95,
    seed: Seed = 0,
    batch_size: Batch = 256,
    json_file: Json = None,
    report: Report = None,
) -> None:
    """How much any policy could still gain over a run or a model: the gap's estimate and interval."""
    asked = Asked(
        name, questions, reference, prompt, class_by, context_by, gold, limit, chat,
        extract, canonical, truncated, max_new_tokens, objective, strength, beta,
    )  # fmt: skip
    from ..errors import DagameError
    from ..files.output import write_json
    from .model_pages import certificate_page

    numbers, page = _targets(asked, json_file, report)
    require_lm()
    with stages() as say:
        say("reading the questions")
        inputs = read_inputs(asked)
        if inputs.reference is None:
            raise DagameError(
                "a certificate needs the model that the KL is measured to; name it by --reference."
            )
        from ..lm.certificates.estimate import certificate

        model, pi0, tokenizer, rows = inputs.load(say)
        found = certificate(
            model,
            pi0,
            rows,
            inputs.objective.make(),
            inputs.beta,
            samples,
            tokenizer=tokenizer,
            extract=inputs.answers.extract,
            canonical=inputs.answers.canonical,
            truncated=inputs.answers.truncated,
            max_new_tokens=inputs.max_new_tokens,
            confidence=confidence,
            seed=seed,
            batch_size=batch_size,
            progress=say,
        )
        content = {
            "settings": inputs.settings(samples, seed) | _game(inputs),
            "certificate": found.as_dict(),
            "conditions": _conditions(inputs, found),
        }
        content = _finish(content, certificate_page(content) if page else None, numbers, page)
    shown = console(stderr=json_file == "-")
    shown.print(certificate_table(content))
    _end(shown, content["conditions"], [numbers, page], "stands on")
    if json_file == "-":
        write_json("-", content)
        return
    more: list[Sequence[str]] = []
    if found.samples_needed:
        least = max(samples + 1, -(-found.samples_needed // len(rows)))
        more = [_command("certify", asked, "--samples", str(least))]
    show_next(shown, *more, _command("evaluate", asked))


def _targets(
    asked: Asked, json_file: str | None, report: Path | None
) -> tuple[Path | None, Path | None]:
    """Where numbers and page go, checked before the work; neither overwrites what is read."""
    from ..files.output import check_file

    folder = Path(asked.name)
    read = [folder / "run.json", folder / "model"] if (folder / "run.json").exists() else [folder]
    taken = [*read, *(name for name in (asked.questions, asked.reference) if name is not None)]
    numbers = numbers_file(json_file, taken)
    beside = taken if numbers is None else [*taken, str(numbers)]
    return numbers, None if report is None else check_file(report, beside)


def _finish(
    content: dict[str, Any], html: str | None, numbers: Path | None, page: Path | None
) -> dict[str, Any]:
    """Write the numbers and the page together."""
    from ..files.output import put_text, replacing_all
    from ..files.strict_json import json_text

    files = [path for path in (numbers, page) if path is not None]
    with replacing_all(files) as drafts:
        if numbers is not None:
            put_text(drafts[numbers], json_text(content))
        if page is not None and html is not None:
            put_text(drafts[page], html)
    return content


def _end(
    shown: Any, notes: Sequence[str], files: Sequence[Path | None], word: str = "note"
) -> None:
    for note in notes:
        shown.print(visible(f"{word}: {note}"), markup=False, highlight=False)
    show_written([path for path in files if path is not None], shown)


def _game(inputs: Inputs) -> dict[str, Any]:
    own = {"objective": inputs.objective.name, "strength": inputs.objective.strength}
    return own | {"beta": inputs.beta}


def _conditions(inputs: Inputs, found: Any) -> list[str]:
    """What the numbers of a certificate stand on."""
    said = [
        f"samples, not a proof: each end of the interval holds with probability {found.confidence:g}, "
        "for policies whose answers are among those seen",
        f"the policy at temperature 1, cut at {inputs.max_new_tokens} tokens; what has no answer is "
        "an answer of its own",
        "sampler, scorer and tokenizer were checked against a plain recount (self-check: passed)",
        *found.notes,
    ]
    contexts = Counter(row["class_id"] for row in inputs.rows).values()
    if inputs.drawn is not None and max(contexts) > inputs.drawn:
        said.append(
            f"the game of all contexts of a question ({_range(contexts)}), which the run did not play: it "
            f"drew {inputs.drawn} of them at a time (data.contexts)"
        )
    if inputs.own_data:
        said.append("the questions are those that the run was trained on, not new ones")
    return said


def _range(counts: Collection[int]) -> str:
    """Such as "8", or "2 to 8"."""
    ends = sorted({min(counts), max(counts)})
    return " to ".join(map(str, ends))


def _command(verb: str, asked: Asked, *more: str) -> list[str]:
    """Another command about the same model, questions and columns."""
    words = ["dagame", verb, asked.name, *([asked.questions] if asked.questions else [])]
    named = {
        "--reference": asked.reference,
        "--prompt": asked.prompt,
        "--class": asked.class_by,
        "--context": asked.context_by,
        "--gold": asked.gold,
        "--limit": asked.limit,
        "--max-new-tokens": asked.max_new_tokens,
        "--extract": asked.extract,
        "--canonical": asked.canonical,
        "--truncated": asked.truncated,
    }
    if verb == "certify":
        named |= {
            "--objective": asked.objective,
            "--strength": asked.strength,
            "--beta": asked.beta,
        }
    for option, value in named.items():
        words += [] if value is None else [option, str(value)]
    return [*words, *(["--chat"] if asked.chat else []), *more]
