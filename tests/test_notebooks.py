"""The notebooks run, and what is committed of them is what their sources say."""

import ast
import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
_spec = importlib.util.spec_from_file_location("notebooks_make", FOLDER / "make.py")
make = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make)

SOURCES = [pytest.param(path, id=path.stem) for path in make.SOURCES]
MACHINE = re.compile(
    r"Traceback|\x1b\[|site-packages|/(?:home|root|tmp|work|usr|var|Users)/|0x[0-9a-f]{6,}"
)


def committed(source):
    return nbformat.read(make.target(source), as_version=4)


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs_of(notebook):
    return [output for cell in code_of(notebook) for output in cell.outputs]


def shown_text(output):
    """Everything textual of an output, pictures left out."""
    data = output.get("data", {})
    texts = [data[kind] for kind in data if not kind.startswith("image/")]
    return "\n".join([str(output.get("text", "")), *map(str, texts)])


def pictures(notebook):
    return sum("image/png" in output.get("data", {}) for output in outputs_of(notebook))


def test_there_is_a_notebook_for_every_source_and_no_other():
    assert {path.name for path in FOLDER.glob("*.ipynb")} == {
        make.target(path).name for path in make.SOURCES
    }
    assert [path.stem[:2] for path in make.SOURCES] == [f"{k:02}" for k in range(9)]


@pytest.mark.parametrize("source", SOURCES)
def test_committed_cells_are_those_of_the_source(source):
    cells = [(cell.cell_type, cell.source) for cell in committed(source).cells]
    assert cells == [(cell.cell_type, cell.source) for cell in make.built(source).cells]


@pytest.mark.parametrize("source", SOURCES)
def test_no_cell_is_longer_than_twenty_lines(source):
    assert max(cell.source.count("\n") + 1 for cell in committed(source).cells) <= 20


@pytest.mark.parametrize("source", SOURCES)
def test_committed_outputs_are_complete_and_clean(source):
    notebook = committed(source)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in code_of(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    assert pictures(notebook) >= 1
    for cell in code_of(notebook):
        assert cell.outputs or not isinstance(ast.parse(cell.source).body[-1], ast.Expr)
    for output in outputs_of(notebook):
        assert output.output_type != "error"
        assert output.get("name") != "stderr"
        assert not MACHINE.search(shown_text(output))
    assert make.target(source).stat().st_size < 600_000


@pytest.mark.parametrize("source", SOURCES)
def test_links_between_notebooks_lead_somewhere(source):
    cells = [cell for cell in committed(source).cells if cell.cell_type == "markdown"]
    text = "\n".join(cell.source for cell in cells)
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (FOLDER / link).is_file(), link


@pytest.mark.parametrize("source", SOURCES)
def test_notebook_runs_at_small_size(source):
    notebook = make.shortened(make.built(source))
    make.run(notebook, timeout=120)
    assert pictures(notebook) == pictures(committed(source))
    assert not [o for o in outputs_of(notebook) if o.get("name") == "stderr"]


def test_a_failing_cell_fails_the_run(tmp_path):
    source = tmp_path / "broken.py"
    source.write_text("# %%\nx = 1\n\n# %%\nx / 0\n")
    with pytest.raises(Exception, match="ZeroDivisionError"):
        make.run(make.built(source), timeout=60)


def test_every_shorter_number_belongs_to_one_lesson():
    texts = [path.read_text(encoding="utf-8") for path in make.SOURCES]
    assert all(sum(text.count(long) for text in texts) == 1 for long in make.SMALL)
    assert not any("DAGAME_SMALL" in text or "fmt: skip" in text for text in texts)


def test_the_sliders_draw_at_both_ends():
    notebook = make.built(next(path for path in make.SOURCES if path.stem.startswith("01")))
    code = (
        "kinds = dg.Coherence(), dg.Coherence(1.0, 'geometric'), dg.ShannonDiversity(), dg.GiniDiversity()\n"
        "for kind in kinds:\n"
        "    view = dg.explore(game.with_objective(kind))\n"
        "    beta, strength = view.sliders['beta'], view.sliders['strength']\n"
        "    for ends in ((beta.min, strength.max), (beta.max, strength.min)):\n"
        "        beta.value, strength.value = (10.0**end for end in ends)\n"
        "        print('gap', float(view.solution.gap))\n"
        "        display(view)"
    )
    notebook.cells.append(nbformat.v4.new_code_cell(code))
    make.run(notebook, timeout=60)
    outputs = notebook.cells[-1].outputs
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 8
    gaps = re.findall(r"gap (\S+)", "".join(output.get("text", "") for output in outputs))
    assert len(gaps) == 8
    assert all(float(gap) < 1e-8 for gap in gaps)
