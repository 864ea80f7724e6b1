"""What commands show on a terminal: progress, tables and lines, without a result's own numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..show.progress import Progress
from ..text import visible
from .command import console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import ProgressColumn
    from rich.table import Table

    from ..lm.comparison import Compared
    from ..samples.equilibria import SampleEquilibria
    from ..samples.stream.solving import StreamedEquilibria
    from ..samples.verdict import Found
    from ..theory.checks import VerificationReport


def show_lines(rows: Sequence[tuple[str, str]], shown: Console) -> None:
    """Names and texts, each on a line that is cut to the console's width."""
    from rich.text import Text

    for name, text in rows:
        line = " ".join(visible(f"{name:<11} {text}", 400).splitlines())
        shown.print(Text(line), no_wrap=True, overflow="ellipsis")


def show(table: Table, written: Sequence[Path], stderr: bool) -> None:
    """The table, and what was written; on stderr where stdout is for JSON."""
    shown = console(stderr)
    shown.print(table)
    show_written(written, shown)


def show_written(written: Sequence[Path], shown: Console) -> None:
    """The files that were written."""
    for path in written:
        if path.exists():
            shown.print(
                f"wrote {visible(str(path))}", markup=False, highlight=False, soft_wrap=True
            )


@contextmanager
def stages() -> Iterator[Progress]:
    """A spinner on stderr that names the stage in work and its time; silent off a terminal."""
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    text = TextColumn("{task.description}", markup=False)
    with _bar(SpinnerColumn(), text, TimeElapsedColumn()) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda stage: bar.update(task, description=stage, refresh=True)


def _bar(*columns: ProgressColumn) -> Bar:
    """Of these columns, on stderr; silent off a terminal."""
    from rich.progress import Progress

    shown = console(stderr=True)
    return Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal)


@contextmanager
def counted(what: str) -> Iterator[Callable[[int, int], object]]:
    """A bar on stderr with the time left, told how many of how many are done; silent off a terminal.

    What is done at the first call, of a run that goes on, counts for the bar and not for the pace.
    """
    from rich import progress as rich

    done = (rich.TextColumn(what), rich.BarColumn(), rich.MofNCompleteColumn())
    times = (rich.TimeElapsedColumn(), rich.TextColumn("left"), rich.TimeRemainingColumn())
    with _bar(*done, *times) as bar:

        def told(done: int, total: int) -> None:
            if not bar.tasks:
                bar.add_task(what, total=total, completed=done)
            bar.update(bar.tasks[0].id, completed=done, refresh=True)

        yield told


def table_of(title: str, *columns: str) -> Table:
    """An empty table whose first column is words, which are never cut; other columns wrap."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left")
    for k, name in enumerate(columns):
        left = k == 0 or name == "statement"
        table.add_column(name, justify="left" if left else "right", no_wrap=k == 0, overflow="fold")
    return table


def verification_table(report: VerificationReport) -> Table:
    """A row per check, then in full what is violated, and what was skipped, and why."""
    from rich.markup import escape

    title = f"{report.objective or 'Theorems'} on random games, seed {report.seed}"
    table = table_of(title, "theorem", "statement", "cases", "worst", "allowed", "theory/")
    for row in report.checks:
        mark = "[green]holds[/]" if row.passed else "[red]VIOLATED[/]"
        numbers = f"{row.worst:.1e}", f"{row.tolerance:.0e}"
        shown = ("", "") if row.theorem == "objective" else numbers
        named = f"{row.theorem} {mark}", escape(row.statement)
        table.add_row(*named, f"{row.cases:,}", *shown, row.page.removeprefix("theory/"))
    table.caption, table.caption_justify, table.caption_style = _below(report), "left", ""
    return table


def _below(report: VerificationReport) -> str:
    """What is violated, what was skipped, and what the rest stands on."""
    from rich.markup import escape

    from ..theory.checks import VIOLATION

    lines = [f"worst {VIOLATION}; theory/... are pages of the documentation"]
    violated = [row for row in report.checks if not row.passed]
    lines += [f"[red]{row.theorem}[/]: {escape(visible(row.where))}" for row in violated]
    lines += [f"skipped {escape(name)}: {escape(visible(why))}" for name, why in report.skipped]
    lines += [f"stands on {escape(visible(condition))}" for condition in report.conditions]
    return "\n".join(lines)


def summary_table(found: Found) -> Table:
    """Means in the samples, at their equilibrium, and on samples left out of the fit."""
    s, held = found.summary, found.held_out
    title = f"{s['objective']}, beta {s['beta']:g}"
    judged = [] if held.reason else ["left out", "95% interval"]
    table = table_of(title, "", "reference", "equilibrium", *judged)
    for label, before, after, name in _MEANS:
        cells = ["" if k is None else _cell(s[k]) for k in (before, after)]
        if any(cells):
            measure = getattr(held, name) if name else None
            ends = "" if measure is None else "{:.2f} to {:.2f}".format(*measure.interval)
            out = [_cell(None if measure is None else measure.after), ends]
            table.add_row(label, *cells, *out[: len(judged)])
    table.caption, table.caption_justify, table.caption_style = held.how, "left", ""
    return table


def show_solution(found: SampleEquilibria | StreamedEquilibria, shown: Console) -> None:
    """Of solved samples: the verdict, the means, how they were read, and what to mind."""
    shown.print(found.verdict, markup=False, highlight=False)
    shown.print(summary_table(found))
    for note in found.samples.notes:
        shown.print(visible(note), markup=False, highlight=False, soft_wrap=True)
    sure = () if found.calibration is None else found.calibration.told()
    show_lines([*facts(found.summary), *sure, *found.reading.told()], shown)
    show_warnings([caution.sentence for caution in found.reading.warnings], shown)


_MEANS = (
    ("accuracy", "accuracy_reference", "accuracy_equilibrium", "accuracy"),
    ("accuracy, majority vote", "majority_accuracy", None, ""),
    ("agreement of contexts", "agreement_reference", "agreement_equilibrium", "agreement"),
    ("share without an answer", "no_answer", "no_answer_equilibrium", "no_answer"),
    ("mean value J", None, "mean_value", ""),
)
"""Title, keys of the summary before and after, and the measure on samples left out."""


def facts(s: dict[str, Any]) -> list[tuple[str, str]]:
    """What was solved, and what was left out."""
    gap = "" if s["max_gap"] is None else f", largest gap {s['max_gap']:.1e}"
    facts = [
        ("classes", f"{s['classes']:,}, {s['solved']:,} solved{gap}"),
        ("samples", f"{s['samples']:,} in {s['contexts']:,} contexts"),
    ]
    for label, names, note in (
        ("infeasible", s["infeasible"], "not in the means: "),
        ("left out", s["lost_classes"], "no answer at all: "),
    ):
        if names:
            listed = ", ".join(visible(name, 60) for name in names[:8])
            facts.append((label, f"{len(names):,}, {note}{listed}{' …' * (len(names) > 8)}"))
    for label, count in (("skipped", s["skipped_lines"]), ("unsolved", s["unsolved"])):
        if count:
            facts.append((label, f"{count:,} {'lines' if label == 'skipped' else 'classes'}"))
    return facts


def demo_table(result: dict[str, Any]) -> Table:
    """The numbers of the demo."""
    facts, columns = result["settings"], ["before", "after"]
    columns += ["labelled"] if "labelled" in result else []
    title = f"Embedded model, {facts['objective']}, beta {facts['beta']:g}, seed {facts['seed']}"
    table = table_of(title, "", *columns)
    for label, name in _OF_DEMO:
        table.add_row(label, *(_cell(result[c][name]) for c in columns))
    ends = [" to ".join(f"{v:z.3f}" for v in result[c]["gap_interval"]) for c in columns]
    table.add_row("its 95% interval", *ends)
    p = result["predicted"]
    table.caption = (
        f"The exact game on the reference's samples predicts accuracy {p['accuracy_equilibrium']:.3f} "
        f"and agreement {p['agreement_equilibrium']:.3f}."
    )
    return table


_OF_DEMO = (
    ("accuracy, sampled", "sampled_accuracy"),
    ("accuracy, greedy", "greedy_accuracy"),
    ("accuracy, majority answer", "majority_accuracy"),
    ("agreement of contexts", "agreement"),
    ("answer entropy, nats", "entropy"),
    ("share without an answer", "no_answer"),
    ("KL to the reference", "kl"),
    ("gap, estimate", "gap"),
)


def comparison_table(rows: Sequence[Compared], settings: dict[str, Any]) -> Table:
    """Every measure of the reference and of the model, and the difference, their intervals below."""
    alone = settings["reference"] is None
    title = f"{settings['questions']:,} questions, {settings['prompts']:,} prompts"
    columns = ("model",) if alone else ("reference", "model", "difference")
    table = table_of(f"{title}, {settings['samples']} samples each", "", *columns)
    for row in rows:
        pairs = [*zip((row.before, row.after, row.difference), row.intervals, strict=True)]
        cells = [_with_ends(*pair) for pair in (pairs[1:2] if alone else pairs)]
        if any(cells):
            table.add_row(row.title, *cells)
    table.caption = (
        f"{settings['confidence']:.0%} bootstrap intervals over questions "
        f"({settings['resamples']:,} resamples, seed {settings['seed']})."
    )
    table.caption_justify = "left"
    return table


def certificate_table(content: dict[str, Any]) -> Table:
    """The estimate of a gap, its interval, and what it says."""
    facts, found = content["settings"], content["certificate"]
    table = table_of(f"{found['objective']}, beta {found['beta']:g}", "", "estimate")
    (low, high), error = found["interval"], found["standard_error"]
    for name, text in (
        ("gap, what any policy could gain", f"{found['gap']:z.4f} ± {error:z.4f}"),
        (f"its {found['confidence']:.0%} interval", f"{low:z.4f} to {_finite(high)}"),
        ("value J of the model", f"{found['value']:z.4f}"),
        ("upper bound of every J", f"{found['upper_bound']:z.4f}"),
        ("KL to the reference, nats", f"{found['kl']:z.4f}"),
        ("KL to the optimum, at most", _finite(found["distance_bound"])),
        ("questions, prompts", f"{facts['questions']:,}, {facts['prompts']:,}"),
        ("samples of each prompt", f"{facts['samples']:,} per model"),
    ):
        table.add_row(name, text)
    return table


def _finite(value: float) -> str:
    return f"{value:z.4f}" if value < float("inf") else "no upper end"


def _with_ends(value: float | None, ends: tuple[float, float] | None) -> str:
    if value is None:
        return ""
    return f"{value:z.3f}" if ends is None else f"{value:z.3f}\n{ends[0]:z.3f} to {ends[1]:z.3f}"


def metrics_table(result: dict[str, Any]) -> Table:
    """The first and the last metrics of a training run, by the titles of its card."""
    from ..lm.finetune.card import RARE, names_of

    first, last = result.get("first", {}), result.get("last", {})
    steps = [f"step {row['step']}" if "step" in row else "" for row in (first, last)]
    table = table_of(f"{result['steps']} steps, {result['seconds']:.0f} s", "", *steps)
    for name, title in names_of([last]):
        if name in last:
            table.add_row(title, _cell(first.get(name)), _cell(last[name]))
    for name, title in RARE:
        if first.get(name) or last.get(name):
            table.add_row(title, _cell(first.get(name)), _cell(last.get(name)))
    return table


def show_run(result: dict[str, Any], shown: Console) -> None:
    """What a training run came to: its metrics, the verdict on questions held out, and its files."""
    shown.print(metrics_table(result))
    judged = result.get("evaluation")
    if judged is None:
        said = [
            "Whether it is better was not checked: no questions were held out (evaluation.path)."
        ]
    elif "error" in judged:
        said = [f"Whether it is better was not checked: {judged['error']}"]
    else:
        said = [judged["verdict"], *(f"note: {note}" for note in judged["notes"])]
    for line in said:
        shown.print(visible(line, 1000), markup=False, highlight=False)
    names = ("README.md", "metrics.jsonl", "curves.png", "model")
    show_written([Path(result["output"]) / name for name in names], shown)


def show_warnings(sentences: Sequence[str], shown: Console) -> None:
    """Each in yellow, on lines of its own."""
    for sentence in sentences:
        text = visible(f"warning: {sentence}")
        shown.print(text, style="yellow", markup=False, highlight=False)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:z.4f}"
