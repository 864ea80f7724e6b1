"""`dagame evaluate` and `dagame certify`: a run or a model measured on questions, and its gap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..errors import DagameError
from ..text import visible
from .command import console, numbers_file, require_lm
from .model_inputs import Asked, AskedMeasures, read_inputs
from .next_command import show_next
from .terminal import certificate_table, comparison_table, show_written, stages

if TYPE_CHECKING:
    from rich.console import Console

    from ..lm.certificates.from_samples import GapEstimate
    from ..lm.finetune.inputs import Inputs
    from ..show.progress import Progress


def register(app: typer.Typer) -> None:
    """Add both commands to an application."""
    app.command()(evaluate)
    app.command()(certify)


def evaluate(asked: AskedMeasures) -> None:
    """Accuracy, agreement, length and KL of a run or a model, beside its reference, with intervals."""
    from .model_pages import evaluation_page

    files = Files.of(asked)
    require_lm()
    from ..lm.finetune.judged import in_markdown, judge, put_verdict

    with stages() as say:
        inputs = read_inputs(asked, say)
        if asked.card and not inputs.is_run:
            raise DagameError(
                "--card puts the verdict on the card of a run of dagame finetune; name its folder, or leave "
                "--card out."
            )
        found = judge(inputs, asked.samples, asked.seed, asked.batch_size, say)
        content, folder = found.as_dict(), Path(asked.name).expanduser()
        cards = put_verdict(folder, in_markdown(content)) if asked.card else []
        files.write(content, evaluation_page)
    shown = console(stderr=files.to_stdout)
    shown.print(visible(content["verdict"], 400), markup=False, highlight=False)
    shown.print(comparison_table(found.compared, content["settings"]))
    then = [] if inputs.reference is None else [_command("certify", asked)]
    files.show(shown, content, [f"note: {note}" for note in content["notes"]], then, cards)


def certify(asked: Asked) -> None:
    """How much any policy could still gain over a run or a model: the gap's estimate and interval."""
    from .model_pages import certificate_page

    files = Files.of(asked)
    require_lm()
    with stages() as say:
        inputs = read_inputs(asked, say)
        found = _certified(inputs, asked, say)
        settings = inputs.settings(asked.samples, asked.seed) | _game(inputs)
        said = _conditions(inputs, found)
        content = {"settings": settings, "certificate": found.as_dict(), "conditions": said}
        files.write(content, certificate_page)
    shown = console(stderr=files.to_stdout)
    shown.print(certificate_table(content))
    then = [_command("evaluate", asked)]
    if found.samples_needed:
        least = max(asked.samples + 1, -(-found.samples_needed // len(inputs.rows)))
        then.insert(0, _command("certify", asked, "--samples", str(least)))
    files.show(shown, content, [f"stands on: {one}" for one in said], then)


def _certified(inputs: Inputs, asked: Asked, say: Progress) -> GapEstimate:
    if inputs.reference is None:
        raise DagameError(
            "a certificate needs the model that the KL is measured to; name it by --reference."
        )
    from ..lm.certificates.estimate import certificate

    model, pi0, tokenizer, rows = inputs.load(say)
    return certificate(
        *(model, pi0, rows, inputs.objective.make(), inputs.beta),
        tokenizer=tokenizer,
        confidence=asked.confidence,
        progress=say,
        **inputs.drawing(asked.samples, asked.seed, asked.batch_size),
    )


@dataclass(frozen=True)
class Files:
    """Where numbers and page go, None: nowhere; `to_stdout`: the numbers go there."""

    numbers: Path | None
    page: Path | None
    to_stdout: bool

    @classmethod
    def of(cls, asked: Asked) -> Files:
        """As asked, checked before the work; neither overwrites what is read."""
        from ..files.output import check_file

        folder = Path(asked.name)
        is_run = (folder / "run.json").exists()
        read = [folder / "run.json", folder / "model"] if is_run else [folder]
        taken = [*read, *(name for name in (asked.questions, asked.reference) if name is not None)]
        numbers = numbers_file(asked.json_file, taken)
        beside = taken if numbers is None else [*taken, str(numbers)]
        page = None if asked.report is None else check_file(asked.report, beside)
        return cls(numbers, page, asked.json_file == "-")

    def write(self, content: dict[str, Any], page: Callable[[dict[str, Any]], str]) -> None:
        """Write the numbers and the page together."""
        from ..files.output import put_text, replacing_all
        from ..files.strict_json import json_text

        html = page(content) if self.page else ""
        with replacing_all([path for path in (self.numbers, self.page) if path]) as drafts:
            if self.numbers is not None:
                put_text(drafts[self.numbers], json_text(content))
            if self.page is not None:
                put_text(drafts[self.page], html)

    def show(
        self,
        shown: Console,
        content: dict[str, Any],
        notes: Sequence[str],
        then: Sequence[Sequence[str]],
        others: Sequence[Path] = (),
    ) -> None:
        """Notes, what was written, and the numbers on standard output or else the next commands."""
        from ..files.output import write_json

        for note in notes:
            shown.print(visible(note), markup=False, highlight=False)
        show_written([path for path in (self.numbers, self.page, *others) if path], shown)
        if self.to_stdout:
            write_json("-", content)
        else:
            show_next(shown, *then)


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
    for name in (*_ABOUT, *(_GAME if verb == "certify" else ())):
        value = getattr(asked, name)
        option = f"--{name.removesuffix('_by').replace('_', '-')}"
        words += [] if value is None else [option, str(value)]
    return [*words, *(["--chat"] if asked.chat else []), *more]


_GAME = ("objective", "strength", "beta")
_ABOUT = ("reference", "prompt", "class_by", "context_by", "gold", "limit", "max_new_tokens")
_ABOUT += ("extract", "canonical", "truncated")
"""Options that name a model's questions, and how they are read."""
