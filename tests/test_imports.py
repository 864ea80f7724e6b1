"""Importing is light, and modules import only what stands above them."""

import ast
import subprocess
import sys
from pathlib import Path

import dagame

ROOT = Path(dagame.__file__).parent
HEAVY = ("torch", "cvxpy", "matplotlib", "polars", "transformers", "scipy", "sympy", "trl", "rich")

LAYERS = [
    "text",
    "progress",
    "errors",
    "known_errors",
    "provenance",
    "_display",
    "plots",
    "arrays",
    "scalar",
    "barrier",
    "simplex",
    "answer_map",
    "objectives",
    "play",
    "game_forms",
    "game",
    "attainable",
    "certificate",
    "solution",
    "solvers",
    "random_games",
    "output",
    "estimators",
    "sampled",
    "library",
    "_reward_probe",
    "_reward_proofs",
    "_reward_formula",
    "_classify",
    "_methods",
    "checks",
    "_verify",
    "testing",
    "sample_file",
    "gpu",
    "streaming",
    "samples",
    "lm",
    "report",
    "demo_report",
    "solution_files",
    "demo",
    "doctor",
    "command",
    "terminal",
    "cli",
    "bench",
]


def test_import_loads_no_heavy_package():
    code = f"import sys, dagame; print([m for m in {HEAVY!r} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_public_names_exist():
    assert all(hasattr(dagame, name) for name in dagame.__all__)


def _layer(path: Path) -> str:
    part = path.relative_to(ROOT).parts[0]
    return part.removesuffix(".py")


def _imports(path: Path):
    """Layers imported at module level or inside functions, type-checking blocks left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    depth = len(path.relative_to(ROOT).parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == depth and id(node) not in skipped:
            names = [node.module.split(".")[0]] if node.module else [a.name for a in node.names]
            yield from (n for n in names if not n.startswith("__"))


def test_imports_go_up_the_list_only():
    for path in ROOT.rglob("*.py"):
        layer = _layer(path)
        if layer in ("__init__", "__main__"):
            continue
        assert layer in LAYERS, f"{path} has no place in the order of layers"
        for name in _imports(path):
            if name == layer or name not in LAYERS:
                continue
            assert LAYERS.index(name) < LAYERS.index(layer), f"{path} imports {name}"


def test_files_stay_small():
    long = {p.name: n for p in ROOT.rglob("*.py") if (n := len(p.read_text().splitlines())) > 450}
    assert not long
