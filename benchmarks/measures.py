"""The shape of the code at given commits, from its syntax trees: rooms, circles, lists, function lengths.

    python benchmarks/measures.py --commit 08458a9 --commit HEAD

A fact is a candidate for a mechanism that stands in two places; what each number counts is said where it
is made. Nothing is imported or run, so that any commit can be read.
"""

from __future__ import annotations

import argparse
import ast
import io
import subprocess
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import keep

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
LITERALS = (ast.List, ast.Tuple, ast.Set, ast.Dict)


FEATURES = {
    "answer-set programs": "domains/ theory/checks/answer_sets.py",
    "conformal sets and weights": "conformal/",
    "samples larger than memory": "samples/stream/ apps/in_parts.py",
    "own objectives checked": "objectives/own/ objectives/arguments.py theory/checks/own.py testing.py "
    "theory/checks/coverage.py",
    "rewards classified by proof": "theory/reward_",
    "transport, push-pull": "objectives/transport.py numerics/transport.py lm/row_weights.py "
    "theory/checks/transport.py",
    "gradients through an equilibrium": "scale/equilibrium.py",
    "direct solvers": "solvers/consensus.py solvers/per_answer.py solvers/normalisers.py solvers/groups.py "
    "solvers/soft.py solvers/folded.py solvers/concave_convex.py solvers/causes.py "
    "objectives/couplings.py objectives/difference.py",
    "compiled kernels": "solvers/consensus_kernel.py solvers/normalisers_kernel.py "
    "solvers/per_answer_kernel.py solvers/newton_kernel.py solvers/smooth.py objectives/dual_kernel.py "
    "objectives/smooth_kernel.py numerics/transport_kernel.py numerics/compiled_functions.py "
    "numerics/fast.py numerics/plain.py numerics/roots",
    "sets without an interior": "objectives/path.py objectives/program.py objectives/set_rows.py",
    "paths of strengths, sliders": "solvers/path.py show/path.py solvers/knobs.py solvers/explore",
    "mathematics read exactly": "samples/keys/formulas/ samples/keys/quantities.py samples/keys/units.py "
    "numerics/exact.py",
    "answers found in prose": "samples/keys/choices.py samples/keys/finder.py samples/keys/markup.py "
    "samples/keys/number_answers.py samples/keys/presets.py samples/keys/prose.py "
    "samples/keys/statements.py samples/keys/thinking.py samples/keys/distinct.py",
    "files of any layout": "samples/files/containers.py samples/files/formats.py "
    "samples/files/joining.py samples/files/json_rows.py samples/files/layouts.py "
    "samples/files/nested.py samples/files/packed.py samples/files/paths.py samples/files/roles.py "
    "samples/files/survey.py samples/chats.py samples/columns.py",
    "verdict, held-out labels, calibration": "samples/bootstrap.py samples/calibration.py "
    "samples/disagreements.py samples/excerpts.py samples/facts.py samples/held_out.py "
    "samples/how_read.py samples/labels.py samples/spellings.py samples/verdict.py",
    "engines that draw completions": "lm/engines/ lm/models/sample.py apps/sample_command.py",
    "commands of models": "apps/model_ apps/next_command.py apps/doctor.py apps/terminal.py lm/comparison.py",
    "models: GGUF, embeddings, scored answers, self-check": "lm/models/gguf.py lm/models/embedding.py "
    "lm/models/answers.py lm/models/prefix.py lm/models/selfcheck lm/models/smollm2.py",
    "four more trainers": "lm/trainers/slime.py lm/trainers/tinker/ lm/trainers/nemo_rl/ "
    "lm/trainers/prime_rl/ lm/trainers/whole_classes.py",
    "weighted fine-tuning": "lm/trainers/weighted/ lm/preferences.py lm/finetune/weighted.py "
    "lm/finetune/method lm/finetune/played.py lm/finetune/cautions.py",
    "certificates of tails and pools": "lm/certificates/tail.py lm/certificates/pooling.py "
    "games/attainable.py",
    "names in results, pictures": "games/named.py show/figure.py show/names.py show/summaries.py "
    "show/triangle.py",
    "versions and provenance": "provenance.py known_errors.py _moved.py",
    "bench of the roof": "bench/roof.py",
}
"""What the package could not do at 08458a9: beginnings of the paths of files that do nothing else.

A feature within an older file counts with the rest, so that the rest is an upper bound of the same features.
"""


class Tree:
    """The parsed files of a package, by dotted name; a package has the name of its folder."""

    def __init__(self, root: Path, package: str = "dagame") -> None:
        """Read every Python file under root / package."""
        self.root, self.package = root, package
        self.text = {path: path.read_text() for path in sorted((root / package).rglob("*.py"))}
        self.parsed = {path: ast.parse(text) for path, text in self.text.items()}
        self.paths = {self.name(path): path for path in self.parsed}

    def name(self, path: Path) -> str:
        """Dotted name of a file."""
        parts = path.relative_to(self.root).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def functions(self) -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
        """All of them, methods and inner ones too."""
        for path, tree in self.parsed.items():
            yield from ((path, node) for node in ast.walk(tree) if isinstance(node, FUNCTIONS))

    def classes(self, name: str) -> list[ast.ClassDef]:
        """The class of that name, which the package has once, and its bases in the package."""
        for tree in self.parsed.values():
            for node in tree.body:
                if isinstance(node, ast.ClassDef) and node.name == name:
                    names = [base.id for base in node.bases if isinstance(base, ast.Name)]
                    return [node, *(c for base in names for c in self.classes(base))]
        return []

    def methods(self, name: str) -> list[ast.FunctionDef]:
        """Functions in the body of the class of that name."""
        body = self.classes(name)[:1]
        return [m for node in body for m in node.body if isinstance(m, ast.FunctionDef)]


def rooms(tree: Tree) -> dict[str, dict[str, int]]:
    """Files and lines of each folder of the package."""
    files, lines = Counter(), Counter()
    for path, text in tree.text.items():
        room = str(path.parent.relative_to(tree.root / tree.package))
        files[room] += 1
        lines[room] += text.count("\n")
    return {room: {"files": files[room], "lines": lines[room]} for room in sorted(files)}


def body_lines(tree: Tree) -> np.ndarray:
    """Lines of the body of every function, its docstring left out."""
    found = []
    for _, node in tree.functions():
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        found.append((body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0)
    return np.array(found)


def public_names(tree: Tree, name: str) -> tuple[list[str], list[str]]:
    """What `dir` of a class lists without an underscore in front, of its bases too: methods, and facts.

    Facts are data: class attributes and properties.
    """
    methods, facts = set(), set()
    for node in (statement for kind in tree.classes(name) for statement in kind.body):
        if isinstance(node, ast.FunctionDef):
            marks = {getattr(d, "id", getattr(d, "attr", "")) for d in node.decorator_list}
            (facts if marks & {"property", "setter"} else methods).add(node.name)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            facts |= {target.id for target in targets if isinstance(target, ast.Name)}
    return tuple(sorted(n for n in s if not n.startswith("_")) for s in (methods, facts))  # type: ignore[return-value]


def feature_lines(tree: Tree) -> dict[str, int]:
    """Lines of the files of each of `FEATURES`."""
    found = dict.fromkeys(FEATURES, 0)
    for path, text in tree.text.items():
        place = str(path.relative_to(tree.root / tree.package))
        for feature, begins in FEATURES.items():
            if place.startswith(tuple(begins.split())):
                found[feature] += text.count("\n")
    return found


def forwarders(tree: Tree, name: str) -> list[str]:
    """Methods of a class that ask something else (not self, not super()) for what has their own name."""

    def asks(method: ast.FunctionDef) -> bool:
        return any(
            isinstance(node, ast.Attribute)
            and node.attr == method.name
            and getattr(node.value, "id", "") not in ("self", "Objective")
            and not isinstance(node.value, ast.Call)
            for node in ast.walk(method)
        )

    return sorted(m.name for m in tree.methods(name) if not m.name.startswith("_") and asks(m))


# -- imports --------------------------------------------------------------------------------------


def edges(tree: Tree) -> dict[str, set[tuple[str, str]]]:
    """Imports (from, to) among the package's files: at the head, inside functions, for types only."""
    out: dict[str, set[tuple[str, str]]] = {"module level": set(), "lazy": set(), "types": set()}
    for path, parsed in tree.parsed.items():
        here = tree.name(path)
        for kind, node in _imports(parsed, "module level"):
            for name in _targets(tree, path, node):
                if name != here:
                    out[kind].add((here, name))
    return out


def _imports(node: ast.AST, kind: str) -> Iterator[tuple[str, ast.ImportFrom]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ImportFrom):
            yield kind, child
        elif isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
            yield from ((("types"), found) for _, found in _imports(child, kind))
        else:
            yield from _imports(child, "lazy" if isinstance(child, FUNCTIONS) else kind)


def _targets(tree: Tree, path: Path, node: ast.ImportFrom) -> Iterator[str]:
    if not node.level:
        return
    folder = tree.name(path.parent / "__init__.py").split(".")
    base = ".".join([*folder[: len(folder) - node.level + 1], *filter(None, [node.module])])
    for alias in node.names:
        yield from _defined(tree, base, alias.name)


def _defined(tree: Tree, module: str, name: str) -> Iterator[str]:
    """The file that a name of a module comes from, through the package's own re-exports."""
    if f"{module}.{name}" in tree.paths:
        yield f"{module}.{name}"
    elif (path := tree.paths.get(module)) is not None:
        for node in tree.parsed[path].body if path.name == "__init__.py" else ():
            named = [a for a in getattr(node, "names", []) if (a.asname or a.name) == name]
            if isinstance(node, ast.ImportFrom) and named:
                yield from _targets(tree, path, ast.ImportFrom(node.module, named, node.level))
                return
        yield module


def circles(arrows: set[tuple[str, str]]) -> list[list[str]]:
    """Groups of files that reach each other: the strongly connected parts of more than one file."""
    after: dict[str, set[str]] = {}
    for a, b in arrows:
        after.setdefault(a, set()).add(b)
    reached = {a: _reached(after, a) for a in after}
    found = {
        tuple(sorted({a} | {b for b in reached[a] if a in reached.get(b, ())}))
        for a in after
        if a in reached[a]
    }
    return sorted(map(list, found))


def _reached(after: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    new = {start}
    while new:
        new = {b for a in new for b in after.get(a, ())} - found
        found |= new
    return found


# -- lists and pipelines --------------------------------------------------------------------------


def objective_names(tree: Tree) -> set[str]:
    """Classes of the objectives that the package exports, and the functions that make them; no sets.

    They are what the catalogue imports, or the room itself where it has no catalogue.
    """
    room = f"{tree.package}.objectives"
    init = tree.parsed[tree.paths.get(f"{room}.catalogue", tree.paths[room])]
    apart = ("base", "objective", "sets", "combination", "forms")
    return {
        alias.name
        for node in init.body
        if isinstance(node, ast.ImportFrom) and node.level and node.module not in apart
        for alias in node.names
        if alias.name[0].isupper() and alias.name != "Generator"
    }


def objective_lists(trees: Iterable[ast.AST], names: set[str], least: int = 5) -> int:
    """How many files have a list, tuple, set or dictionary that names five or more objectives."""
    return sum(any(len(_named(n) & names) >= least for n in _literals(t)) for t in trees)


def _literals(tree: ast.AST) -> Iterator[ast.AST]:
    return (node for node in ast.walk(tree) if isinstance(node, LITERALS))


def _named(node: ast.AST) -> set[str]:
    parts = list(ast.walk(node))
    found = {n.id for n in parts if isinstance(n, ast.Name)}
    found |= {n.attr for n in parts if isinstance(n, ast.Attribute)}
    return found | {n.value for n in parts if isinstance(n, ast.Constant) and type(n.value) is str}


def pipelines(tree: Tree) -> list[str]:
    """Functions that read answers out of completions and make keys of them, each in its own way."""
    out = []
    for path, node in tree.functions():
        called = {
            getattr(n.func, "id", getattr(n.func, "attr", "")).lower()
            for n in ast.walk(node)
            if isinstance(n, ast.Call)
        }
        if all(any(word in name for name in called) for word in ("extract", "canonicalis")):
            out.append(f"{tree.name(path)}:{node.name}")
    return sorted(out)


# -- the whole ------------------------------------------------------------------------------------


def measured(root: Path) -> dict[str, Any]:
    """Every measure of the package under root."""
    tree = Tree(root)
    lines, arrows, names = body_lines(tree), edges(tree), objective_names(tree)
    far = [
        ast.parse(p.read_text()) for d in ("tests", "benchmarks") for p in (root / d).rglob("*.py")
    ]
    head, lazy = arrows["module level"], arrows["module level"] | arrows["lazy"]
    found = {"module level": head, "with lazy": lazy, "with types": lazy | arrows["types"]}
    rounds = {kind: circles(a) for kind, a in found.items()}
    forwarded = forwarders(tree, "Combination")
    methods, facts = public_names(tree, "Objective")
    total, since = sum(text.count("\n") for text in tree.text.values()), feature_lines(tree)
    return {
        "files": len(tree.text),
        "lines": total,
        "lines of features since 08458a9": sum(since.values()),
        "lines of all else": total - sum(since.values()),
        "entries of the top room": sum(1 for p in (root / "dagame").iterdir() if _entry(p)),
        "longest file": max(text.count("\n") for text in tree.text.values()),
        "functions": len(lines),
        "body, median": int(np.percentile(lines, 50)),
        "body, 90 %": int(np.percentile(lines, 90)),
        "body, 99 %": int(np.percentile(lines, 99)),
        "body, longest": int(lines.max()),
        "methods of Objective, own and inherited": len(methods),
        "facts of Objective, own and inherited": len(facts),
        "forwarders of Combination": len(forwarded)
        if tree.methods("Combination")
        else "no such class",
        **{f"circles, {kind}": len(parts) for kind, parts in rounds.items()},
        "files in circles": sum(map(len, rounds["with types"])),
        "lists of objectives, dagame": objective_lists(list(tree.parsed.values()), names),
        "lists of objectives, tests and benchmarks": objective_lists(far, names),
        "pipelines completion to key": len(pipelines(tree)),
        "details": {
            "rooms": rooms(tree),
            "circles": rounds,
            "forwarders": forwarded,
            "features": since,
            "methods of Objective": methods,
            "facts of Objective": facts,
            "pipelines": pipelines(tree),
        },
    }


def _entry(path: Path) -> bool:
    return path.suffix == ".py" or (path / "__init__.py").exists()


def at(commit: str) -> dict[str, Any]:
    """The measures of a commit, whose files are unpacked for it."""
    archive = subprocess.run(
        ["git", "archive", commit, "dagame", "tests", "benchmarks"], check=True, capture_output=True
    ).stdout
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(archive)) as held:
        held.extractall(folder, filter="data")
        return measured(Path(folder))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--commit", action="append", required=True, help="one or more, in order")
    commits = parser.parse_args().commit
    found = {commit: at(commit) for commit in commits}
    details = {commit: found[commit].pop("details") for commit in commits}
    rows = [
        {"measure": name, **{commit: found[commit][name] for commit in commits}}
        for name in found[commits[0]]
    ]
    keep("measures", rows, details=details)
