"""Draw every figure, and list them with their captions in README.md.

    python paper_figs/make_all.py [--data] [NAME ...]

Takes the data beside each script, or computes them anew with --data. NAME picks figures by a part of
their folder's name. A caption is the text of a script's docstring.
"""

from __future__ import annotations

import ast
import re
import runpy
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
SCRIPTS = sorted(FOLDER.glob("fig*/make.py"))
HEAD = """# Figures

Written by `python paper_figs/make_all.py`; do not edit.

`make figures` draws every figure from the `data.json` beside its script, as PDF and PNG;
`python paper_figs/make_all.py --data` computes the numbers anew first. `style.mplstyle` is their
style: columns of 3.3 and 6.9 inches, 8 pt, fonts embedded as outlines (type 42), colours for the colour
blind whose lines and marks differ too, for grey prints.
"""


def caption(script: Path) -> str:
    """Title, command and text of a script's docstring as Markdown, below its picture."""
    title, command, text = (ast.get_docstring(ast.parse(script.read_text())) or "").split("\n\n")
    name = script.parent.name
    shown = re.sub(r"([*_<>|\[\]])", r"\\\1", f"**{title.strip()}** {' '.join(text.split())}")
    shown = shown.replace(r"\*\*", "**")
    return f"![{title.strip()}]({name}/{name}.png)\n\n{shown}\n\n`{command.strip()}`\n"


def main() -> None:
    """Run the scripts in this process."""
    given = sys.argv[1:]
    names = [a for a in given if not a.startswith("-")]
    options = [a for a in given if a.startswith("-")]
    for script in SCRIPTS:
        if not names or any(name in script.parent.name for name in names):
            print(script.parent.name, flush=True)
            sys.argv = [str(script), *options]
            runpy.run_path(str(script), run_name="__main__")
    (FOLDER / "README.md").write_text("\n".join([HEAD, *map(caption, SCRIPTS)]))


if __name__ == "__main__":
    main()
