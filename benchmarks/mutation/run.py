"""Mutation testing of the mathematics and of the reading of answers, by groups of modules.

    pip install -r benchmarks/mutation/requirements.txt
    python benchmarks/mutation/run.py --sample 100 --seed 0 --json benchmarks/results/mutation.json

A uniform random sample of each group's mutants (`mutants.py` says which there are) is tested, each in
a fork, by the tests that run the changed statement or its function, fastest first, as many as take
--patience seconds of CPU; with --quick, which needs no run under coverage first, by all tests of its
group, up to 60 s. A mutant that none of these notices survives. Those of `equivalent.json` compute the
same as the original, for the reason given there, and are taken out of the score; time-outs (five times
the CPU time of the tests, and 20 s) count as killed. Intervals are Wilson's, 95%; a group tested whole
has none. Runs are kept by --label.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import server
from mutants import OPERATORS, Mutant, mutants
from tests_of_lines import TestsOfLines, collected, measure

ROOT = Path(__file__).resolve().parents[2]


class Group(NamedTuple):
    """Modules that are changed, and the test files that are to notice, quick ones first: patterns."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


def _tests(room: str, *names: str) -> tuple[str, ...]:
    return tuple(f"tests/{room}/test_{name}.py" for name in names)


ESTIMATORS = _tests("estimators", "counts", "tables", "sampled")
GROUPS = {
    "certificate": Group(
        ("dagame/games/certificate.py", "dagame/games/attainable.py"),
        (
            *_tests("games", "certificate_fields", "play", "answer_map"),
            *_tests("theory", "theorems"),
            *_tests("games", "certificates_that_cannot_be_false"),
        ),
    ),
    "objectives": Group(
        ("dagame/objectives/*.py",),
        (
            *_tests("objectives", "facts", "rows", "identities", "catalogue", "worst_case"),
            *_tests("theory", "sympy"),
            *_tests("objectives", "constraints", "objectives"),
        ),
    ),
    "estimators": Group(("dagame/estimators/*.py",), ESTIMATORS),
    "group rewards": Group(
        ("dagame/lm/rewards.py", "dagame/lm/rows.py"), _tests("lm", "rewards", "game")
    ),
    "sampled game": Group(("dagame/estimators/sampled.py",), ESTIMATORS),
    "consensus": Group(
        ("dagame/solvers/consensus.py", "dagame/solvers/per_answer.py"),
        _tests("solvers", "consensus", "normalisers"),
    ),
    "normalisers": Group(
        ("dagame/solvers/normalisers.py", "dagame/objectives/couplings.py"),
        _tests("solvers", "normalisers"),
    ),
    "keys": Group(
        ("dagame/samples/keys/*.py", "dagame/samples/keys/formulas/*.py"),
        _tests("samples/keys", "number_meanings", "presets", "reader", "mathematics", "extract"),
    ),
}


def main() -> None:
    options = _options()
    server.preload()
    chosen = options.groups or list(GROUPS)
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copy, scratch = Path(folder) / "copy", Path(folder)
        left_out = shutil.ignore_patterns("__pycache__", "results")
        for part in ("dagame", "tests", "benchmarks"):  # tests use referees of the benchmarks
            shutil.copytree(ROOT / part, copy / part, ignore=left_out)
        shutil.copy(ROOT / "pyproject.toml", copy)
        groups = {g: _files(copy, GROUPS[g].modules) for g in chosen}
        population = {
            g: [m for f in files for m in mutants(copy, f)] for g, files in groups.items()
        }
        picked = {g: _pick(population[g], copy, options) for g in chosen}
        if options.quick:
            covered = collected(copy, {m: GROUPS[g].tests for g in groups for m in groups[g]})
        else:
            tests = sorted({t for g in chosen for t in _files(copy, GROUPS[g].tests)})
            modules = sorted({m for files in groups.values() for m in files})
            covered = measure(copy, ROOT / ".bench/mutation", modules, tests, options.jobs)
        _say(f"{len(covered.seconds)} tests, {sum(covered.seconds.values()):.0f} s of CPU")
        outcomes = _test(picked, covered, copy, scratch, options.jobs, options.patience)
        names = {m: m.key(copy) for m, o in outcomes.items() if o.status == "survived"}
    results = {g: _summary(len(population[g]), picked[g], outcomes, names) for g in chosen}
    if options.survivors:
        first = _groups(options)
        results = {g: _with_what_was_killed_before(first[g], r) for g, r in results.items()}
    _print(results)
    if options.json:
        _keep(options, results, len(covered.seconds))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=100, help="mutants of each group; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--groups", nargs="*", choices=GROUPS, help="default: all")
    parser.add_argument("--match", default="", help="only mutants whose name holds this text")
    parser.add_argument("--survivors", help="only the survivors of the run of this label in --json")
    parser.add_argument("--patience", type=float, default=20, help="seconds of tests per mutant")
    parser.add_argument(
        "--quick", action="store_true", help="no coverage first: all tests of a group, file by file"
    )
    parser.add_argument("--jobs", type=int, default=1, help="forks at once")
    parser.add_argument("--json", type=Path, help="file in which the run is kept")
    parser.add_argument("--label", default="run", help="its name there")
    return parser.parse_args()


def _groups(options: argparse.Namespace) -> dict[str, Any]:
    """The results of the run whose survivors are tested again."""
    return json.loads(options.json.read_text())["runs"][options.survivors]["groups"]


def _files(root: Path, patterns: tuple[str, ...]) -> list[str]:
    return sorted(str(p.relative_to(root)) for pattern in patterns for p in root.glob(pattern))


def _pick(population: list[Mutant], root: Path, options: argparse.Namespace) -> list[Mutant]:
    found = [m for m in population if options.match in m.place]
    if options.survivors:
        wanted = {s["mutant"] for g in _groups(options).values() for s in g["survivors"]}
        places = {key.split(" -> ")[0] + " -> " for key in wanted}
        return [m for m in found if m.place in places and m.key(root) in wanted]
    if not 0 < options.sample < len(found):
        return found
    return random.Random(options.seed).sample(found, options.sample)


def _test(
    picked: dict[str, list[Mutant]],
    covered: TestsOfLines,
    root: Path,
    scratch: Path,
    at_once: int,
    patience: float,
) -> dict[Mutant, server.Outcome]:
    jobs, by_name, outcomes = [], {}, {}
    for m in [m for found in picked.values() for m in found]:
        tests = covered.of(m.module, m.statement, m.body, patience)
        limit = 20 + 5 * sum(covered.seconds[t] for t in tests)
        source = m.mutated(root)
        name = f"{m.module} {m.operator} {m.occurrence}"
        by_name[name] = m
        if tests:
            jobs.append(server.Job(name, m.module, source, tests, limit))
        else:
            outcomes[m] = server.Outcome("survived", "", 0.0)
    for done, (job, outcome) in enumerate(server.run_all(jobs, root, scratch, at_once), 1):
        outcomes[by_name[job.name]] = outcome
        if outcome.status != "killed" or done % 20 == 0:
            seconds = f"{outcome.seconds:.1f} s"
            _say(f"{done}/{len(jobs)} {outcome.status} {seconds} {by_name[job.name].place}")
    return outcomes


def _summary(
    population: int,
    picked: list[Mutant],
    outcomes: dict[Mutant, server.Outcome],
    names: dict[Mutant, str],
) -> dict[str, Any]:
    known = json.loads(Path(__file__).with_name("equivalent.json").read_text())
    count = {
        s: sum(outcomes[m].status == s for m in picked) for s in ("killed", "timeout", "survived")
    }
    alive = [m for m in picked if outcomes[m].status == "survived"]
    same = [m for m in alive if names[m] in known]
    tested, dead = len(picked) - len(same), count["killed"] + count["timeout"]
    interval = None if len(picked) == population else _wilson(dead, tested)
    survivors = [
        {
            "mutant": names[m],
            "line": m.statement[0],
            "operator": m.operator,
            **({"equivalent": known[names[m]]} if names[m] in known else {}),
        }
        for m in alive
    ]
    score = dead / tested if tested else None
    facts = {"population": population, "sample": len(picked), **count}
    facts |= {"equivalent": len(same), "score": score, "interval": interval}
    return {**facts, "survivors": survivors}


def _with_what_was_killed_before(first: dict[str, Any], again: dict[str, Any]) -> dict[str, Any]:
    """The score of the first run's sample, its survivors having been tested again."""
    dead = sum(r[status] for r in (first, again) for status in ("killed", "timeout"))
    tested = first["sample"] - again["equivalent"]
    whole = first["sample"] == first["population"]
    return {
        **again,
        "sample": first["sample"],
        "tested again": again["sample"],
        "killed": first["killed"] + again["killed"],
        "timeout": first["timeout"] + again["timeout"],
        "score": dead / tested,
        "interval": None if whole else _wilson(dead, tested),
    }


def _wilson(hits: int, trials: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share."""
    if trials == 0:
        return 0.0, 1.0
    z, p = 1.959964, hits / trials
    middle = (p + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * (p * (1 - p) / trials + z * z / (4 * trials**2)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def _print(results: dict[str, dict[str, Any]]) -> None:
    columns = ("population", "sample", "killed", "timeout", "survived", "equivalent")
    print("| group | " + " | ".join(columns) + " | score | 95% |")
    print("|---" * (len(columns) + 3) + "|")
    for group, r in results.items():
        low = "all tested" if r["interval"] is None else "{:.0%} to {:.0%}".format(*r["interval"])
        score = "-" if r["score"] is None else f"{r['score']:.1%}"
        print(f"| {group} | " + " | ".join(str(r[c]) for c in columns) + f" | {score} | {low} |")
    for r in results.values():
        for s in r["survivors"]:
            print(f"{'equivalent' if 'equivalent' in s else 'survived'}: {s['mutant']}")


def _keep(options: argparse.Namespace, results: dict[str, Any], tests: int) -> None:
    content = json.loads(options.json.read_text()) if options.json.exists() else {"runs": {}}
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    content["operators"] = list(OPERATORS)
    run = content["runs"].setdefault(options.label, {"groups": {}})
    command = "python benchmarks/mutation/run.py " + " ".join(sys.argv[1:])
    for group, result in results.items():
        facts = {"command": command, "commit": commit, "seed": options.seed, "tests": tests}
        run["groups"][group] = {**facts, **result}
    options.json.write_text(json.dumps(content, indent=1) + "\n")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
