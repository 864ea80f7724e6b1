"""What every benchmark shares: the machine in words, progress, results as JSON and tables, timing."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..apps.command import console
from ..provenance import provenance
from ..show.progress import Progress, silent
from .tables import Row, Section, told

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from rich import progress as rich_progress

T = TypeVar("T")


def environment() -> Row:
    """Processor, cores, threads and system, beside what every result rests on (`provenance`), flat."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    found = provenance()
    versions = found.pop("versions")
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "threads": int(threads) if threads.isdigit() else os.cpu_count(),
        "system": platform.system(),
        **found,
        **versions,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


@dataclass(frozen=True)
class Result:
    """What a benchmark found: settings, sections (tables) and other facts; `passed` False exits 1."""

    benchmark: str
    quick: bool
    seed: int
    settings: Row
    sections: Sequence[Section]
    facts: Row = field(default_factory=dict)
    seconds: float = 0.0
    passed: bool = True

    def __post_init__(self) -> None:
        """A small version says so in each title, which is what is copied from a terminal."""
        if self.quick:
            said = [replace(s, title=f"--quick, a small version: {s.title}") for s in self.sections]
            object.__setattr__(self, "sections", said)

    def __getitem__(self, key: str) -> Sequence[Row]:
        """The rows of a section."""
        return next(s.rows for s in self.sections if s.key == key)

    def as_dict(self) -> Row:
        """The JSON of `--json`."""
        return {
            "benchmark": self.benchmark,
            "quick": self.quick,
            "seed": self.seed,
            "seconds": round(self.seconds, 2),
            "passed": self.passed,
            "environment": environment(),
            "provenance": provenance(),
            "settings": self.settings,
            **self.facts,
            **{s.key: list(s.rows) for s in self.sections},
            "legend": told(self.sections),
        }

    def footer(self) -> list[str]:
        """How it was run, and on what machine."""
        on, how = environment(), "--quick, a small version" if self.quick else "in full"
        return [
            f"{self.benchmark}, {how}, seed {self.seed}, {self.seconds:.1f} s",
            f"{on['cpu']}, {on['cores']} cores, {on['threads']} thread{'s' * (on['threads'] > 1)}",
        ]

    @classmethod
    def stored(cls, content: Mapping[str, Any]) -> Result:
        """The result of a file of `--json`, to be drawn again."""
        told = content["legend"]
        sections = [
            Section(key, told[key]["title"], content[key], told[key]["columns"]) for key in told
        ]
        head = content["benchmark"], False, content["seed"], content["settings"]
        return cls(*head, sections, facts=dict(content))


def timed(run: Callable[..., Result]) -> Callable[..., Result]:
    """A benchmark with its seconds, and a silent watch where none is given."""

    @wraps(run)
    def measured(quick: bool = False, *, watch: Watch | None = None, **options: Any) -> Result:
        started = time.perf_counter()
        found = run(quick, watch=watch or Watch(), **options)
        return replace(found, seconds=time.perf_counter() - started)

    return measured


class Watch:
    """Progress on stderr, silent without a terminal: `for game in watch.over(games, "games")`."""

    def __init__(self, bar: rich_progress.Progress | None = None) -> None:
        """Silent unless given a bar; see `watching`."""
        self._bar = bar

    def over(self, items: Sequence[T], what: str | Callable[[T], str]) -> Iterator[T]:
        """The items one by one, with progress; `what` names all of them, or each."""
        name = what if isinstance(what, str) else ""
        if self._bar is None:
            yield from items
            return
        task = self._bar.add_task(name, total=len(items))
        for item in items:
            if not isinstance(what, str):
                self._bar.update(task, description=what(item), refresh=True)
            yield item
            self._bar.advance(task)
        self._bar.remove_task(task)

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        """A line of unknown length, and the function that says what is being done in it."""
        if self._bar is None:
            yield silent
            return
        bar, task = self._bar, self._bar.add_task(name, total=None)
        yield lambda text: bar.update(task, description=f"{name}: {text}", refresh=True)
        bar.remove_task(task)


@contextmanager
def watching() -> Iterator[Watch]:
    """A `Watch` with bars on stderr if that is a terminal."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    shown = console(stderr=True)
    if not shown.is_terminal:
        yield Watch()
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=shown, transient=True) as bar:
        yield Watch(bar)


def median_seconds(function: Callable[[], Any], repeats: int, warm: int = 1) -> float:
    """The median wall time of `repeats` calls after `warm` more."""
    for _ in range(warm):
        function()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def slope(x: Sequence[float], y: Sequence[float | None]) -> float | None:
    """The least-squares slope of log y on log x, where y is known and > 0; None below two points."""
    known = [(a, b) for a, b in zip(x, y, strict=True) if b is not None and b > 0]
    if len({a for a, _ in known}) < 2:
        return None
    log_x, log_y = np.log(np.array(known, float)).T
    return float(np.polyfit(log_x, log_y, 1)[0])


def panels(columns: int, rows: int = 1, width: float = 4.4, height: float = 3.7) -> Any:
    """A figure and its axes, flat, without upper and right spines."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(width * columns, height * rows), layout="constrained", facecolor="white")
    axes = np.ravel(made.subplots(rows, columns))
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return made, axes


def explain_below(figure: Figure, axes: Axes, columns: int, place: str = "lower") -> None:
    """One legend for all panels, that of `axes`, outside of them."""
    handles, texts = axes.get_legend_handles_labels()
    style: Any = {"fontsize": 8, "frameon": False, "loc": f"outside {place} center"}
    figure.legend(handles, texts, ncols=columns, **style)


def label(axes: Axes, x: str, y: str, title: str = "") -> None:
    """Names of both axes and a title, at one size."""
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.set_title(title, fontsize=10)
    axes.tick_params(labelsize=8)


def plain_ticks(axis: Axis) -> None:
    """A few numbers in plain digits along a logarithmic axis that spans less than two decades."""
    from matplotlib.ticker import AutoLocator, FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    if high > 100 * low:
        return
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high > 4 * low else AutoLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def save_plot(figure: Figure, path: Path, suffix: str) -> None:
    """Write the figure in the format `suffix`, png, pdf or svg, at any path."""
    figure.savefig(path, dpi=130, format=suffix)


def group(rows: Sequence[Mapping[str, Any]], by: str) -> dict[Any, list[Mapping[str, Any]]]:
    """Rows by the value of a column, in order of appearance."""
    found: dict[Any, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row[by], []).append(row)
    return found
