"""The notebooks as pages of the site, with the outputs that are stored in them; nothing is run."""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

FOLDER = Path(__file__).parents[1] / "notebooks"
PLACE = "notebooks"
INDEX = """# Notebooks

Short lessons, one question each, shown here with their outputs. To run and change them:

```sh
pip install -e '.[notebooks,lm]'   # without lm for those that train no model
jupyter lab notebooks
```

| | lesson | question |
|---|---|---|
"""


def on_config(config: MkDocsConfig, **_: Any) -> MkDocsConfig:
    """Every notebook under Notebooks in the navigation, in the order of their names."""
    for entry in config.nav or ():
        if isinstance(entry, dict) and entry.get("Notebooks") == []:
            entry["Notebooks"] += [f"{PLACE}/index.md"]
            entry["Notebooks"] += [f"{PLACE}/{path.stem}.md" for path in notebooks()]
    return config


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add a page for each notebook, its pictures, and the list of all."""
    for path in notebooks():
        text, pictures = page(path)
        files.append(File.generated(config, f"{PLACE}/{path.stem}.md", content=text))
        for name, content in pictures.items():
            files.append(File.generated(config, f"{PLACE}/{name}", content=content))
    files.append(File.generated(config, f"{PLACE}/index.md", content=index()))
    return files


def notebooks() -> list[Path]:
    """All of them."""
    return sorted(FOLDER.glob("*.ipynb"))


def cells(path: Path) -> list[dict[str, Any]]:
    """The cells of a notebook."""
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def index() -> str:
    """A table of the lessons: title and question, from the first cell of each."""
    rows = []
    for path in notebooks():
        text = _joined(cells(path)[0]["source"])
        title = re.search(r"^# (.+)$", text, re.MULTILINE)
        question = re.search(r"\*\*Question\.\*\* (.+?)(?:\n\n|\Z)", text, re.DOTALL)
        if title is None or question is None:
            raise ValueError(f"{path}: the first cell has no title, or no **Question.**")
        asked = " ".join(question[1].split())
        rows.append(f"| {path.stem[:2]} | [{title[1]}]({path.stem}.md) | {asked} |")
    return INDEX + "\n".join(rows) + "\n"


def page(path: Path) -> tuple[str, dict[str, bytes]]:
    """The Markdown of a notebook, and its pictures by name."""
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for k, cell in enumerate(cells(path)):
        source = _joined(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(re.sub(r"\]\(([\w-]+)\.ipynb\)", r"](\1.md)", source))
            continue
        parts.append(f"```python\n{source}\n```")
        for j, output in enumerate(cell["outputs"]):
            parts.append(_output(output, f"{path.stem}_{k}_{j}.png", pictures))
    parts.append(f"*Stored in `notebooks/{path.name}`; [all lessons](index.md).*")
    return "\n\n".join(part for part in parts if part) + "\n", pictures


def _output(output: dict[str, Any], name: str, pictures: dict[str, bytes]) -> str:
    """A picture, else a table, else text, the richest of what the cell gave."""
    data = output.get("data", {})
    if "image/png" in data:
        pictures[name] = base64.b64decode(_joined(data["image/png"]))
        return f"![Picture that the code above draws]({name})"
    if "text/html" in data:
        return f'<div class="output">{_joined(data["text/html"])}</div>'
    text = _joined(output.get("text", data.get("text/plain", ""))).rstrip()
    return f'<pre class="output">{html.escape(text)}</pre>' if text else ""


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)
