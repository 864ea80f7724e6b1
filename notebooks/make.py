"""Build the notebooks from notebooks/src/*.py and run them.

    python notebooks/make.py          # all of them
    python notebooks/make.py 03 05    # those whose name begins so

The sources are Python files with cells after `# %%` and text after `# %% [markdown]`; change them, not
the notebooks. The tests run them with the numbers of `SMALL`: fewer samples and steps.
"""

from __future__ import annotations

import copy
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from traitlets.config import Config

HERE = Path(__file__).parent
SOURCES = sorted((HERE / "src").glob("*.py"))
WIDGET = "application/vnd.jupyter.widget-view+json"
_ENVIRONMENT = {"OMP_NUM_THREADS": "1"}
SMALL = {
    "seed=0, games=100": "games=6, objective=dg.Coherence(2.0)",
    "steps, replicas = 6000, 24": "steps, replicas = 300, 4",
    "steps, problems, samples = 60, 40, 16": "steps, problems, samples = 2, 4, 4",
    "classes_per_step=4": "classes_per_step=2",
    'tiny.rows("test", 40)': 'tiny.rows("test", 4)',
}
"""What a lesson says and what a short run of it says instead."""

_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def built(source: Path) -> nbformat.NotebookNode:
    """The notebook of a source, without outputs."""
    parts = re.split(r"^# %%", source.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    cells = []
    for k, part in enumerate(parts):
        kind, body = part.split("\n", 1)
        if kind.strip() == "[markdown]":
            text = "\n".join(line.removeprefix("#").removeprefix(" ") for line in body.split("\n"))
            cells.append(new_markdown_cell(text.strip(), id=f"cell-{k}"))
        else:
            cells.append(new_code_cell(body.strip(), id=f"cell-{k}"))
    return new_notebook(cells=cells, metadata=_METADATA)


def shortened(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with the numbers of a short run."""
    short = copy.deepcopy(notebook)
    for cell in short.cells:
        if cell.cell_type == "code":
            for long, small in SMALL.items():
                cell.source = cell.source.replace(long, small)
    return short


def run(notebook: nbformat.NotebookNode, timeout: int = 600) -> None:
    """Execute a notebook in place in a fresh kernel, in an empty folder and without a profile."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        environment = {**os.environ, **_ENVIRONMENT, "IPYTHONDIR": folder}
        sockets = {"transport": "ipc", "connection_file": f"{folder}/kernel.json"}
        client = NotebookClient(
            notebook,
            config=Config({"KernelManager": sockets}),
            kernel_name="python3",
            timeout=timeout,
            record_timing=False,
            resources={"metadata": {"path": folder}},
        )
        client.execute(env=environment)
    _strip(notebook)


def _strip(notebook: nbformat.NotebookNode) -> None:
    """Leave what a reader sees: no versions, and words where a live widget cannot be shown."""
    notebook.metadata = nbformat.from_dict(_METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
        for output in cell.get("outputs", []):
            output.pop("transient", None)
            if WIDGET in output.get("data", {}):
                shown = {k: v for k, v in output["data"].items() if k == "image/png"}
                output["data"] = {"text/plain": "Sliders: run this cell to move them.", **shown}


def target(source: Path) -> Path:
    """Where the notebook of a source lies."""
    return HERE / f"{source.stem}.ipynb"


def main(wanted: list[str]) -> None:
    """Build, run and write."""
    for source in SOURCES:
        if wanted and not any(source.stem.startswith(w) for w in wanted):
            continue
        notebook = built(source)
        run(notebook)
        nbformat.write(notebook, target(source))
        print(f"{target(source).name}: {target(source).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
