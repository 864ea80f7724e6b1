"""`dagame doctor`: what is installed, what of it was tested, and whether the parts work here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import one_line
from ..provenance import install, installed, provenance, requirements
from ..show.progress import Progress, silent

if TYPE_CHECKING:
    from rich.table import Table

SEED = 20260427
REFUSED = ("missing", "outside the bound")
LM = ("torch", "transformers", "tokenizers")


@dataclass(frozen=True)
class Package:
    """A direct dependency: installed version (None: not there), bound, tested versions, verdict.

    `oldest` and `newest` are those of `constraints-oldest.txt` and `constraints.txt`, by which CI runs
    the tests; `extra` is "" where the package is always needed.
    """

    name: str
    installed: str | None
    bound: str
    oldest: str | None
    newest: str | None
    extra: str
    verdict: str


@dataclass(frozen=True)
class Check:
    """One self-check: whether it passed (None: not run here) and what it found, in a sentence."""

    name: str
    ok: bool | None
    detail: str


@dataclass(frozen=True)
class Diagnosis:
    """Packages, checks and what they ran on."""

    packages: tuple[Package, ...]
    checks: tuple[Check, ...]
    provenance: dict[str, Any]

    @property
    def passed(self) -> bool:
        """Whether no needed package is missing or outside its bound, and no check failed."""
        sound = all(p.verdict not in REFUSED for p in self.packages)
        return sound and all(c.ok is not False for c in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "passed": self.passed,
            "packages": [asdict(p) for p in self.packages],
            "checks": [asdict(c) for c in self.checks],
            "provenance": self.provenance,
        }


def diagnose(progress: Progress | None = None) -> Diagnosis:
    """Look at every direct dependency and run the self-checks; about ten seconds."""
    say = progress or silent
    say("looking at packages")
    found = packages()
    checks = []
    for name, check in CHECKS.items():
        say(name)
        checks.append(_checked(name, check))
    return Diagnosis(tuple(found), tuple(checks), provenance())


# -- packages -------------------------------------------------------------------------------------


def versions_in(name: str) -> dict[str, str]:
    """Version by package of a file of constraints that ships with dagame."""
    text = (files("dagame") / name).read_text(encoding="utf-8")
    pairs = re.findall(r"^([\w.-]+)==([^\s#;]+)", text, re.MULTILINE)
    return {_plain(package): number for package, number in pairs}


def packages() -> Iterator[Package]:
    """Every direct dependency, those of extras included, with its verdict."""
    oldest, newest = versions_in("constraints-oldest.txt"), versions_in("constraints.txt")
    for name, (bound, extra) in sorted(requirements().items()):
        here, low, high = installed(name), oldest.get(_plain(name)), newest.get(_plain(name))
        yield Package(name, here, bound, low, high, extra, verdict(here, bound, low, high, extra))


def verdict(
    here: str | None, bound: str, oldest: str | None, newest: str | None, extra: str
) -> str:
    """What there is to say of an installed version: "tested", or in which way it was not."""
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    if here is None:
        return f"not installed ({extra})" if extra else "missing"
    version = Version(here)
    if not SpecifierSet(bound).contains(version, prereleases=True):
        return "outside the bound"
    if newest is None:
        return "never tested"
    low, high = Version(oldest or newest), Version(newest)
    if Version(version.public) in (low, high):
        return "tested"
    if version > high:
        return "newer than tested"
    return "older than tested" if version < low else "between tested"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# -- checks ---------------------------------------------------------------------------------------


def _checked(name: str, check: Callable[[], tuple[bool | None, str]]) -> Check:
    """The result of a check; any exception that it raises is a failure."""
    try:
        return Check(name, *check())
    except Exception as error:
        return Check(name, False, f"{type(error).__name__}: {one_line(error)}")


def _reference_games() -> tuple[bool, str]:
    from ..games.certificate import certify
    from ..games.library import reference_games
    from ..numerics.simplex import total_variation
    from ..solvers import solve

    worst, where, games = 0.0, "", reference_games()
    for name, known in games.items():
        policy = solve(known.game, tol=1e-12, throw=False).policy
        found = certify(known.game, policy)
        marginals = known.game.answer_map.push_forward(policy)
        off = abs(float(found.value) - known.value) / max(1, abs(known.value))
        away = float(np.max(total_variation(marginals, known.marginals)) ** 2)
        top = max(off, away, float(found.gap))
        if not top <= worst:
            worst, where = top, f" ({name})"
    return worst <= 1e-10, f"{len(games)} known equilibria, furthest {worst:.0e}{where}."


def _answers() -> tuple[bool, str]:
    from ..samples.keys.reader import AnswerReader

    groups = ((r"\frac{1}{2}", "0.5", r"\frac{2}{4}"), ("x+1", "1+x"), ("12", "12.0"), ("21",))
    texts = [rf"So it is $\boxed{{{answer}}}$." for group in groups for answer in group]
    keys = iter(AnswerReader("boxed", "math")(texts))
    read = [{next(keys) for _ in group} for group in groups]
    whole = all(len(one) == 1 and None not in one for one in read)
    apart = len(set().union(*read)) == len(groups)
    return whole and apart, f"{len(texts)} answers read as {len(set().union(*read))} values."


def _files() -> tuple[bool, str]:
    from ..files.output import replacing
    from ..objectives import Coherence
    from ..samples import Samples
    from .sample_file import sample_file

    with TemporaryDirectory() as folder:
        path, out = sample_file(Path(folder) / "samples.jsonl"), Path(folder) / "rows.parquet"
        columns = ("question", "format", None, r"Answer: (\S+)")
        found = Samples.read(path, *columns).solve(Coherence(), beta=1.0)
        with replacing(out) as draft, draft.open("wb") as stream:
            found.rows.write_parquet(stream)
        again = Samples.read(out, *columns).solve(Coherence(), beta=1.0)
    alike = again.summary["mean_value"] == found.summary["mean_value"]
    good = alike and not found.summary["unsolved"]
    return good, f"{found.summary['samples']:,} samples read, solved, written and read again."


def _referee() -> tuple[bool, str]:
    from ..games.library import random_game_of
    from ..solvers import solve

    rng, worst, kinds = np.random.default_rng(SEED), 0.0, ("coherence", "shannon", "reward")
    for kind in kinds:
        game = random_game_of(kind, rng, 3, 6)
        ours, theirs = (float(solve(game, method=m, throw=False).value) for m in ("auto", "convex"))
        worst = max(worst, abs(ours - theirs) / max(1, abs(ours)))
    return worst <= 1e-6, f"{len(kinds)} random games, values differ by at most {worst:.0e}."


def _sampler() -> tuple[bool | None, str]:
    if absent := [name for name in LM if find_spec(name) is None]:
        return None, f"{absent[0]} is not installed: {install('lm')}"
    from ..lm import tiny
    from ..lm.models.selfcheck import self_check

    model, tokenizer = tiny.load()
    found = self_check(model, tokenizer, [row["prompt"] for row in tiny.rows("test", 2)[:4]])
    failed = [f"{c.name}: {c.detail}" for c in found if not c.ok]
    return not failed, " ".join(failed) or f"{len(found)} checks of the embedded model hold."


def _trainer() -> tuple[bool | None, str]:
    if absent := [name for name in (*LM, "trl") if find_spec(name) is None]:
        return None, f"{absent[0]} is not installed: {install('lm')}"
    from ..lm.trainers.trl.settings import grpo_config
    from ..objectives import Coherence

    with TemporaryDirectory() as folder:
        made = grpo_config(
            Coherence(), beta=0.1, contexts=2, output_dir=folder, use_cpu=True, bf16=False
        )
    return True, f"{type(made).__name__} takes every setting of the game."


def _gpu() -> tuple[bool | None, str]:
    if find_spec("torch") is None:
        return None, "torch is not installed, so no GPU can be used."
    import torch

    if not torch.cuda.is_available():
        return None, "torch sees no CUDA device; everything runs on the CPU."
    names = ", ".join(torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count()))
    return True, f"torch sees {names}."


CHECKS: dict[str, Callable[[], tuple[bool | None, str]]] = {
    "reference games": _reference_games,
    "answers": _answers,
    "files": _files,
    "convex referee": _referee,
    "sampler and scorer": _sampler,
    "trainer": _trainer,
    "GPU": _gpu,
}


# -- tables ---------------------------------------------------------------------------------------


def tables(found: Diagnosis) -> list[Table]:
    """Packages and checks, for a terminal of 80 columns."""
    from rich.markup import escape

    versions = _empty("package", "installed", "needs", "tested", "")
    for p in found.packages:
        numbers = list(dict.fromkeys(v for v in (p.oldest, p.newest) if v))
        colour = "red" if p.verdict in REFUSED else "green" if p.verdict == "tested" else "yellow"
        said = f"[{colour}]{escape(p.verdict)}[/]"
        versions.add_row(p.name, p.installed or "–", p.bound, " to ".join(numbers) or "–", said)
    checks = _empty("check", "", "found")
    marks = {True: "[green]ok[/]", False: "[red]FAILED[/]", None: "–"}
    for check in found.checks:
        checks.add_row(check.name, marks[check.ok], escape(check.detail))
    return [versions, checks]


def _empty(*columns: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(*columns, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), width=80)
    for column in table.columns:
        column.overflow = "fold"
    return table
