"""Write the rooms into CONTRIBUTING.md and draw docs/rooms.svg, from tests/rooms.py and the imports.

python docs/make_rooms.py
"""

from __future__ import annotations

import ast
import collections
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.rooms import ROOMS, imports_of  # noqa: E402

PACKAGE = ROOT / "dagame"
WIDTH = 110
BEGIN, END = "<!-- rooms: python docs/make_rooms.py -->", "<!-- end of rooms -->"


def first_line(path: Path) -> str:
    """The first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.split("\n\n")[0].replace("\n", " ").strip()


def tree(room: str = "", depth: int = 0) -> list[str]:
    """What a room is for and its files in order, then the same of each room inside it."""
    pad = "  " * depth
    folder = PACKAGE.joinpath(*filter(None, room.split(".")))
    lines = textwrap.wrap(
        f"{folder.name}/  {first_line(folder / '__init__.py')}",
        WIDTH,
        initial_indent=pad,
        subsequent_indent=pad + "    ",
    )
    inside = pad + "    "
    lines += textwrap.wrap(
        " · ".join(ROOMS[room]), WIDTH, initial_indent=inside, subsequent_indent=inside
    )
    for name in ROOMS[room]:
        inner = f"{room}.{name}".lstrip(".")
        if inner in ROOMS:
            lines += tree(inner, depth + 1)
    return lines


def arrows() -> collections.Counter[tuple[str, str]]:
    """Imports between the rooms of the top: (importer, imported) -> number of files that do it."""
    found: collections.Counter[tuple[str, str]] = collections.Counter()
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] not in ROOMS[""]:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        targets = set()
        for node in imports_of(tree):
            base = parts[: len(parts) - node.level]
            inner = (*base, *(node.module or "").split("."))
            names = [inner[0]] if inner[0] else [a.name for a in node.names]
            targets.update(n for n in names if n in ROOMS[""] and n != parts[0])
        found.update((parts[0], target) for target in targets)
    return found


def draw(path: Path) -> None:
    """A row for each room, a column for each that it may import: how many of its files do."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams |= {"svg.hashsalt": "rooms", "svg.fonttype": "path", "font.size": 10}
    small = {"text", "errors", "known_errors", "provenance", "_moved", "testing"}
    rooms = [room for room in ROOMS[""] if room not in small]
    place = {room: k for k, room in enumerate(rooms)}
    size = collections.Counter(p.relative_to(PACKAGE).parts[0] for p in PACKAGE.rglob("*.py"))
    figure = Figure(figsize=(7.2, 6.2), layout="constrained")
    axes = figure.add_subplot()
    for (here, there), files in arrows().items():
        if here in place and there in place:
            spot = (place[there], place[here])
            axes.scatter(*spot, s=60 + 18 * files, color="#9db7dd")
            axes.text(*spot, str(files), ha="center", va="center", fontsize=8)
    ticks = range(len(rooms))
    axes.plot([-0.5, len(rooms) - 0.5], [-0.5, len(rooms) - 0.5], color="0.7", linewidth=0.8)
    axes.set_xticks(ticks, rooms, rotation=45, ha="left")
    axes.set_yticks(ticks, [f"{room} ({size[room]} files)" for room in rooms])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.set_title(
        "Files of a room (row) that import from another (column): nothing above the line"
    )
    axes.spines[:].set_visible(False)
    figure.savefig(path, metadata={"Date": None, "Creator": None})


def main() -> None:
    """Fill the text between the marks and draw."""
    page = ROOT / "CONTRIBUTING.md"
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    text = f"{before}{BEGIN}\n```text\n{chr(10).join(tree())}\n```\n{END}{rest.split(END)[1]}"
    page.write_text(text, encoding="utf-8")
    draw(ROOT / "docs" / "rooms.svg")


if __name__ == "__main__":
    main()
