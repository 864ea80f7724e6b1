"""A model judged on questions: measures beside those of its reference, the verdict, what was not checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from ...errors import DagameError
from ...files.output import write_text
from ...show.progress import Progress, named
from ...text import markdown
from ..comparison import Compared, compare, verdict
from ..evaluation import LMEvaluation, evaluate
from .cautions import UNREAD
from .data import Row
from .inputs import Inputs, cut_of, inputs_of_run
from .sections import FinetuneConfig

BEGIN, END = "<!-- verdict -->", "<!-- end of the verdict -->"
"""Round the verdict in a model card, so that a later one takes its place."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Evaluations of the reference (None without one) and of the model, by one seed, side by side."""

    inputs: Inputs
    before: LMEvaluation | None
    after: LMEvaluation
    compared: list[Compared]
    samples: int
    seed: int

    @property
    def verdict(self) -> str:
        """What changed, in one sentence."""
        return verdict(self.compared, self._questions())

    def _questions(self) -> str:
        inputs, count = self.inputs, len(self.after.classes)
        which = "question" if count == 1 else "questions"
        if inputs.own_data:
            return f"On {count:,} {which} that it was trained on"
        return f"On {count:,} {which}{' held out of the training' if inputs.seen == 0 else ''}"

    @property
    def notes(self) -> list[str]:
        """What the reader has to know."""
        parts = (self._on_questions(), self._on_intervals(), self._on_labels(), self._on_answers())
        return list(chain(*parts))

    def _on_questions(self) -> Iterator[str]:
        """Whether the model knew them."""
        inputs = self.inputs
        if inputs.own_data:
            yield "these are the questions that the run was trained on, not new ones"
        elif inputs.seen:
            yield (
                f"{inputs.seen:,} of the {len(inputs.rows):,} prompts were trained on: new ones alone tell "
                "what the model learnt"
            )
        elif inputs.is_run and inputs.seen is None:
            yield (
                "whether the run was trained on these questions is not known, as its own were not read"
            )

    def _on_intervals(self) -> Iterator[str]:
        questions = len(self.after.classes)
        if questions < 2:
            yield "one question has no bootstrap interval; give more"
        elif questions < 20:
            yield f"of {questions} questions a bootstrap interval is too narrow; give 20 or more"
        ends = [pair for row in self.compared for pair in row.intervals]
        if any(pair is not None and pair[0] == pair[1] for pair in ends):
            yield "an interval of width 0 says that all questions gave one number, not more"

    def _on_labels(self) -> Iterator[str]:
        known = [row.get("answer") is not None for row in self.inputs.rows]
        if not any(known):
            yield (
                "no right answers were given, so there is no accuracy; name them by --gold "
                "(data.answer_column of a run)"
            )
        elif not all(known):
            yield (
                f"{len(known) - sum(known)} of {len(known)} prompts have no right answer and count in no "
                "accuracy"
            )

    def _on_answers(self) -> Iterator[str]:
        after = self.after
        if after.no_answer >= UNREAD:
            yield (
                f"{after.no_answer:.0%} of the completions have no answer, in which contexts agree too: look "
                "at how answers are read and where completions are cut"
            )
        if after.truncated > 0.05:
            yield (
                f"{after.truncated:.0%} of the completions were cut at {self.inputs.max_new_tokens} tokens; "
                "raise --max-new-tokens (evaluation.max_new_tokens of a run)"
            )

    def as_dict(self) -> dict[str, Any]:
        """All numbers, for JSON."""
        return {
            "verdict": self.verdict,
            "settings": self.inputs.settings(self.samples, self.seed),
            "notes": self.notes,
            "measures": [row.as_dict() for row in self.compared],
            "classes": {
                "before": None if self.before is None else self.before.classes.to_dicts(),
                "after": self.after.classes.to_dicts(),
            },
        }


def judge(inputs: Inputs, samples: int, seed: int, batch_size: int, say: Progress) -> Judged:
    """Evaluate the model of `inputs` and its reference on their rows, by the same seed.

    Raises:
        DagameError: a model that cannot be loaded, or see `dagame.lm.evaluate`.
    """
    model, pi0, tokenizer, rows = inputs.load(say)

    def evaluated(who: str, what: Any, reference: Any) -> LMEvaluation:
        drawing = inputs.drawing(samples, seed, batch_size)
        told = {"reference": reference, "progress": named(who, say)}
        return evaluate(what, tokenizer, rows, **drawing, **told)

    before = None if pi0 is None else evaluated("reference", pi0, None)
    after = evaluated("model", model, pi0)
    return Judged(inputs, before, after, compare(before, after, seed), samples, seed)


def judge_run(
    config: FinetuneConfig,
    folder: Path,
    rows: list[Row],
    trained: Sequence[Row],
    longest: int | None,
    say: Progress,
) -> dict[str, Any]:
    """Judge the model of a run on the rows held out of it, and put the verdict on its card.

    longest: tokens at which completions are cut where the run does not say it. What cannot be judged
    is said, as the model is there: `error` in place of the numbers.
    """
    cut = cut_of(config) or longest or 0
    inputs = inputs_of_run(config, folder, rows, cut, trained)
    say("judging the model on the questions held out")
    try:
        found = judge(inputs, config.evaluation.samples, config.seed, 256, say).as_dict()
    except DagameError as error:
        put_verdict(folder, [f"Not judged: {markdown(str(error))}"])
        return {"error": str(error)}
    put_verdict(folder, in_markdown(found))
    return found | {"questions": config.evaluation.path}


def in_markdown(found: dict[str, Any]) -> list[str]:
    """The verdict of a model card: the sentence, every measure with its interval, what was not checked."""
    facts, alone = found["settings"], found["settings"]["reference"] is None
    optimum = "; how far the model is from the optimum of its game (`dagame certify`)"
    return [
        f"**{markdown(found['verdict'])}**",
        "",
        *_table(found["measures"], alone),
        "",
        f"{facts['prompts']:,} prompts, {facts['samples']} samples each at temperature 1, cut at "
        f"{facts['max_new_tokens']} tokens. In brackets {facts['confidence']:.0%} bootstrap intervals over "
        f"questions ({facts['resamples']:,} resamples, seed {facts['seed']}), of a difference paired.",
        "",
        *(f"Note: {markdown(note)}.\n" for note in found["notes"]),
        "Not checked: other questions than these; other temperatures than 1"
        f"{'' if alone else optimum}.",
    ]


def _table(measures: Sequence[dict[str, Any]], alone: bool) -> Iterator[str]:
    names = {"before": "reference", "after": "model", "difference": "difference"}
    names = {"after": "model"} if alone else names
    yield f"| measure | {' | '.join(names.values())} |"
    yield f"|---|{'---|' * len(names)}"
    for row in measures:
        if row["after"] is not None:
            cells = [_cell(row[name], row[f"{name}_interval"]) for name in names]
            yield f"| {row['title']} | {' | '.join(cells)} |"


def _cell(value: float | None, ends: Sequence[float] | None) -> str:
    if value is None:
        return ""
    return f"{value:z.3f}" + ("" if ends is None else f" ({ends[0]:z.3f} to {ends[1]:z.3f})")


def placed(lines: Sequence[str]) -> list[str]:
    """The section of a model card that has the verdict."""
    return ["## Verdict", "", BEGIN, *lines, END, ""]


def put_verdict(folder: Path, lines: Sequence[str]) -> list[Path]:
    """Put a verdict into both copies of a run's card, in place of what stood there.

    Raises:
        OutputError: a card has no place for one, or cannot be written.
    """
    cards = [folder / "README.md", folder / "model" / "README.md"]
    for path in cards:
        text = path.read_text(encoding="utf-8")
        before, begin, rest = text.partition(BEGIN)
        _, end, after = rest.partition(END)
        if not begin or not end:  # a card of an earlier version
            before, after = f"{text.rstrip()}\n\n## Verdict\n\n", "\n"
        write_text(path, "\n".join([f"{before}{BEGIN}", *lines, f"{END}{after}"]))
    return cards
