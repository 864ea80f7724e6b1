"""Build the notebooks from notebooks/src/*.py and run them.

    python notebooks/make.py          # all of them
    python notebooks/make.py 03 05    # those whose name begins so

The sources are Python files with cells after `# %%` and text after `# %% [markdown]`; change them, not
the notebooks. With DAGAME_SMALL set, the long notebooks use fewer samples and steps.
"""

from __future__ import annotations

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
_ENVIRONMENT = {"PYTHONWARNINGS": "ignore::FutureWarning", "OMP_NUM_THREADS": "1"}
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
            code = body.replace("  # fmt: skip", "").strip()
            cells.append(new_code_cell(code, id=f"cell-{k}"))
    return new_notebook(cells=cells, metadata=_METADATA)


def run(notebook: nbformat.NotebookNode, small: bool = False, timeout: int = 600) -> None:
    """Execute a notebook in place in a fresh kernel, in an empty folder and without a profile."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        environment = {**os.environ, **_ENVIRONMENT, "IPYTHONDIR": folder}
        environment |= {"DAGAME_SMALL": "1"} if small else {}
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
                output["data"] = {"text/plain": "Sliders: run this cell to move them."}


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
