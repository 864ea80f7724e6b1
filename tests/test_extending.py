"""What a new part touches, counted: an objective, a solver, an estimator, a trainer in a copy of the project.

The copy has the Python files of the package and what builds its pages. Each part is a file of its own, a row
where its kind is listed and the import that the row needs; the whole of `extending/child.py` then finds it.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import measures
import pytest

from dagame.objectives.catalogue import CATALOGUE

pytest.importorskip("trl")
pytest.importorskip("mkdocs")

ROOT = Path(__file__).parents[1]
PARTS = Path(__file__).parent / "extending"
ROW = """    Kind(
        "kaniadakis",
        "KaniadakisDiversity",
        KaniadakisDiversity,
        command="kaniadakis",
        definition=definition,
    ),
"""
THEORY = (
    "| [`KaniadakisDiversity`][dagame.KaniadakisDiversity] | "
    r"$\lambda \sum w \sum (\nu_x^{1-k} - \nu_x^{1+k})/(2k)$ | its derivative | none | "
    r"$\lambda \sqrt{1-k^2}$ |"
    "\n"
)
CHANGES = {
    "kaniadakis": {
        "dagame/objectives/catalogue.py": [
            ("from .matching import", "from .kaniadakis import KaniadakisDiversity, definition\n"),
            ('    "LogSuccess",\n', '    "KaniadakisDiversity",\n'),
            ('    Kind("tsallis-half"', ROW),
        ],
        "docs/theory/objectives.md": [("| [`RenyiDiversity`]", THEORY)],
    },
    "halfway": {
        "dagame/solvers/registry.py": [
            ("from .loop import", "from .halfway import Halfway\n"),
            ('    "Mirror",\n', '    "Halfway",\n'),
            (
                "    _played(BestResponse()",
                '    _played(Halfway(), "any gradient", "", "large L"),\n',
            ),
        ],
    },
    "quarter": {
        "dagame/estimators/registry.py": [
            ("\nBY_NAME", "from .quarter import QUARTER\n"),
            ("        LAPLACE,\n", "        QUARTER,\n"),
        ],
    },
    "resampled": {
        "dagame/lm/finetune/methods.py": [
            ("from .weighted import", "from .resampled import RESAMPLED\n"),
            ("GRPO, SFT, DPO)}", "RESAMPLED, "),
        ],
    },
}
"""By part, what its other files than its own get, put before the first place that has the given text."""

HOMES = {
    "kaniadakis": "dagame/objectives",
    "halfway": "dagame/solvers",
    "quarter": "dagame/estimators",
    "resampled": "dagame/lm/finetune",
}
LISTED = {
    "tests/kinds.py": "orders, sums and sets that no row of the catalogue has, for all tests",
    "benchmarks/textbook.py": "the definitions, stated apart from the package",
}
"""The files outside the package that may name five objectives or more in one list, and why."""

TOUCHED = {"kaniadakis": 3, "halfway": 2, "quarter": 2, "resampled": 2}
"""Files that a part touches; an objective's third is its row of the theory."""


def copied(folder: Path) -> Path:
    """The Python files of the package and of what tells of it, and the pages."""
    for source in [
        *ROOT.glob("dagame/**/*.py"),
        *ROOT.glob("docs/**/*"),
        *ROOT.glob("benchmarks/*.py"),
    ]:
        if source.suffix in (".py", ".md"):
            place = folder / source.relative_to(ROOT)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def add(folder: Path, part: str) -> set[str]:
    """Put a part in; the files that are others than before."""
    before = contents(folder)
    shutil.copy(PARTS / f"{part}.py", folder / HOMES[part] / f"{part}.py")
    for name, places in CHANGES[part].items():
        text = (folder / name).read_text(encoding="utf-8")
        for before_what, new in places:
            assert before_what in text, f"{name} has no {before_what!r}"
            text = text.replace(before_what, new + before_what, 1)
        (folder / name).write_text(text, encoding="utf-8")
    after = contents(folder)
    return {name for name in after if before.get(name) != after[name]}


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """(the files that each part touched, what the child found)."""
    folder = copied(tmp_path_factory.mktemp("extended"))
    touched = {part: add(folder, part) for part in CHANGES}
    done = subprocess.run(
        [sys.executable, PARTS / "child.py"],
        env=os.environ | {"PYTHONPATH": str(folder), "DAGAME_CACHE_DIR": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return touched, json.loads(done.stdout.splitlines()[-1])


def test_objectives_are_listed_in_the_catalogue_alone():
    """Other lists go by what objectives state, so that a new one is in them."""
    names = measures.objective_names(measures.Tree(ROOT))
    assert names == {kind.public for kind in CATALOGUE.values()}
    files = [p for room in ("tests", "benchmarks") for p in (ROOT / room).rglob("*.py")]
    texts = {str(p.relative_to(ROOT)): p.read_text("utf-8") for p in files}
    found = {
        file
        for file, text in texts.items()
        if sum(name in text for name in names) >= 5  # or else no list of it has five
        and measures.objective_lists([ast.parse(text)], names)
    }
    assert found == set(LISTED)


@pytest.mark.parametrize("part", CHANGES)
def test_a_new_part_touches_this_many_files(extended, part):
    touched = extended[0][part]
    assert f"{HOMES[part]}/{part}.py" in touched
    assert len(touched) == TOUCHED[part], touched


def test_a_new_objective_is_public_solved_judged_named_and_documented(extended):
    found, pages = extended[1]["objective"], extended[1]["pages"]
    assert max(found["gaps"].values()) < 1e-10
    off, true_gap, gap = found["referee"]
    assert abs(off) < 1e-12
    assert -1e-25 < true_gap <= gap * (1 + 1e-6) + 1e-13
    assert found["drawn"] < 1e-10
    assert (found["command"], found["random"]) == ("KaniadakisDiversity", True)
    assert (found["table"], found["public"]) == (True, True)
    page = pages["reference/objectives.md"]
    assert (
        "| kaniadakis | [`KaniadakisDiversity`][dagame.KaniadakisDiversity] | `kaniadakis` |"
        in page
    )
    assert "::: dagame.KaniadakisDiversity\n" in page
    assert "kaniadakis" in pages["command line"]


def test_a_new_solver_solves_plays_and_is_documented(extended):
    found, pages = extended[1]["solver"], extended[1]["pages"]
    assert found["off"] < 1e-5
    assert found["gap"] < 1e-10
    assert found["run"][-1] < 1e-2 * found["run"][0]
    assert found["class"] == "Halfway"
    assert "::: dagame.solvers.Halfway\n" in pages["reference/solvers.md"]
    assert "| `halfway` | any gradient |" in pages["choose.md"]
    assert "halfway" in pages["command line"]


def test_a_new_estimator_pays_by_name(extended):
    import numpy as np

    found = extended[1]["estimator"]
    n = np.arange(8)
    np.testing.assert_allclose(found["table"], -np.log((n + 0.25) / 7.5), atol=1e-15)
    assert found["counts"]
    assert (found["setting"], found["bench"]) == ("quarter", True)


def test_a_new_trainer_is_a_method_of_finetune(extended):
    found = extended[1]["trainer"]
    assert sorted(found["completions"]) == ["1", "1", "3", "3", "5", "5", "7", "7"]
    assert "8 rows" in found["told"]
