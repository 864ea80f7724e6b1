"""Importing is light, and modules import only what stands above them."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import dagame
from tests.rooms import ROOMS, imports_of

ROOT = Path(dagame.__file__).parent
HEAVY = ("torch", "cvxpy", "matplotlib", "polars", "transformers", "scipy", "sympy", "trl")
HEAVY += ("rich", "clingo", "numba")


def test_import_loads_no_heavy_package():
    code = f"import sys, dagame; print([m for m in {HEAVY!r} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_import_loads_only_the_rooms_of_a_game():
    code = "import sys, dagame; print(*{m.split('.')[1] for m in sys.modules if m.startswith('dagame.')})"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {*shown.stdout.split()} & {
        "samples",
        "theory",
        "lm",
        "conformal",
        "domains",
        "apps",
        "bench",
    }


def test_public_names_exist():
    assert all(hasattr(dagame, name) for name in dagame.__all__)


def test_names_that_are_loaded_later_are_those_that_types_are_checked_with():
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    told = {(a.name, n.module) for n in block.body for a in n.names if n.module}
    assert told == {*dagame._LATER.items()}


def _module(path: Path) -> tuple[str, ...]:
    """The dotted name below the package; that of a room for its `__init__`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def _imports(path: Path):
    """Modules imported at module level or inside functions, type-checking blocks left out."""
    room = path.relative_to(ROOT).parts[:-1]
    for node in imports_of(ast.parse(path.read_text(encoding="utf-8"))):
        base = room[: len(room) - (node.level - 1)]
        base += tuple(node.module.split(".")) if node.module else ()
        for name in node.names:
            sub = (*base, name.name)
            here = ROOT.joinpath(*sub)
            yield sub if here.with_suffix(".py").exists() or here.is_dir() else base


FILES = [p for p in ROOT.rglob("*.py") if p.name != "__main__.py" and p != ROOT / "__init__.py"]


def test_every_file_has_its_place_in_a_room():
    for path in FILES:
        module = _module(path)
        for k, part in enumerate(module):
            assert part in ROOMS[".".join(module[:k])], f"{path} has no place in tests/rooms.py"
    listed = {
        (*filter(None, room.split(".")), name) for room, names in ROOMS.items() for name in names
    }
    assert len(listed) == sum(map(len, ROOMS.values())), "a name stands twice in its room"
    assert listed == {_module(p)[:k] for p in FILES for k in range(1, len(_module(p)) + 1)}


def test_imports_go_up_the_rooms_only():
    """Of importer and imported, the first parts that differ stand in this order in their room."""
    for path in FILES:
        here = _module(path)
        for there in _imports(path):
            k = next((k for k, (a, b) in enumerate(zip(here, there, strict=False)) if a != b), None)
            if k is None:  # a room's own file, or the room itself
                continue
            order = ROOMS[".".join(here[:k])]
            assert order.index(there[k]) < order.index(here[k]), f"{path} imports {'.'.join(there)}"


def test_old_paths_warn_and_give_the_module_where_it_lives_now():
    code = (
        "import importlib, sys, warnings, dagame\n"
        "from dagame._moved import MOVED\n"
        "for old, new in MOVED.items():\n"
        "    if new.endswith('verl.plugin'): continue  # imports verl\n"
        "    with warnings.catch_warnings(record=True) as caught:\n"
        "        warnings.simplefilter('always')\n"
        "        found = importlib.import_module('dagame.' + old)\n"
        "    assert found is importlib.import_module('dagame.' + new), old\n"
        "    assert any(f'is dagame.{new} now' in str(w.message) for w in caught), old\n"
        "from dagame.gpu import equilibrium\n"
        "print('ok')"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    assert done.stdout.strip().endswith("ok"), done.stderr


def test_files_stay_small():
    long = {p.name: n for p in ROOT.rglob("*.py") if (n := len(p.read_text().splitlines())) > 450}
    assert not long


def _hops(page: str):
    """(file, name) of every hop of docs/architecture.md."""
    return re.findall(r"`([\w/]+\.py):(\w+)`", page)


def test_every_hop_of_the_walks_exists():
    page = (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    hops = _hops(page)
    assert len(hops) > 40
    for file, name in hops:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        defined = {getattr(node, "name", None) for node in ast.walk(tree)}
        assert name in defined, f"{file} has no {name}"


def test_contributing_prints_the_rooms():
    code = "import sys; sys.path.insert(0, 'docs'); import make_rooms; print('\\n'.join(make_rooms.tree()))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent
    )
    assert done.stdout.strip() in (ROOT.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
