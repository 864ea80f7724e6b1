"""Docstrings as Markdown: names that load lazily are found, formulas keep their signs, tables stay tables."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).parent))
from typography import RULE, typeset, typeset_lines

_THEORY = re.compile(r"\bdocs/theory/([\w-]+)\.md(?:#([\w-]+))?")


class Docstrings(griffe.Extension):
    """Lazy exports become aliases of what they load; text is escaped for Markdown."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Give `dagame.lm` the names that its `__getattr__` finds."""
        if pkg.name != "dagame":
            return
        from dagame.lm import _WHERE

        lm = pkg["lm"]
        for name, module in _WHERE.items():
            if name not in lm.members:
                lm.set_member(name, griffe.Alias(name, target=f"dagame.lm.{module}.{name}"))

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Escape what Markdown would take for markup; "See the class" is said by the page itself."""
        if obj.docstring is None:
            return
        text = re.sub(r"^See the class[.;]?\s*", "", obj.docstring.value)
        if text.strip():
            obj.docstring.value = as_markdown(text)
        else:
            obj.docstring = None


def as_markdown(text: str) -> str:
    """Signs of formulas escaped outside code, simple tables as pipe tables, citations as links."""
    return "\n".join(_tables(typeset_lines(text.split("\n"))))


def _tables(lines: list[str]) -> list[str]:
    """Lines with every table between rules of = as a pipe table, the other lines escaped."""
    out, k = [], 0
    while k < len(lines):
        if not RULE.match(lines[k]):
            out.append(_escaped(lines[k]))
            k += 1
            continue
        ends = [j for j in range(k + 1, len(lines)) if RULE.match(lines[j])][:2]
        out += ["", *_table(lines[k], lines[k + 1 : ends[0]], lines[ends[0] + 1 : ends[1]]), ""]
        k = ends[1] + 1
    return out


def _table(rule: str, head: list[str], body: list[str]) -> list[str]:
    spans = [m.span() for m in re.finditer("=+", rule)]
    starts = [a for a, _ in spans]
    ends = [*starts[1:], None]

    def cells(line: str) -> list[str]:
        return [line[a:b].strip() for a, b in zip(starts, ends, strict=True)]

    rows = [cells(" ".join(head))]
    for line in body:
        new = cells(line)
        if new[0]:
            rows.append(new)
        else:
            rows[-1] = [f"{old} {more}".strip() for old, more in zip(rows[-1], new, strict=True)]
    pipes = [
        "| " + " | ".join(_escaped(typeset(c)).replace("||", r"\|\|") for c in row) + " |"
        for row in rows
    ]
    return [pipes[0], "|---" * len(starts) + "|", *pipes[1:]]


def _escaped(line: str) -> str:
    """`*`, `<` and `_` of formulas; code in backticks and indented blocks stay as they are."""
    parts = re.split(r"(`[^`]*`)", line)
    for k in range(0, len(parts), 2):
        plain = re.sub(r"(?<=[\w)}])\*(?!\*)|(?<=[( ])\*(?=[\w ])|(?<= )\*(?= )", r"\*", parts[k])
        parts[k] = _THEORY.sub(_link, re.sub(r"<(?!/?su[bp]>)(?=[A-Za-z/])", "&lt;", plain))
    return "".join(parts)


def _link(cited: re.Match[str]) -> str:
    """The page and heading that a docstring cites, as a link from a page of the reference."""
    page, heading = cited.groups()
    at = f"{page}.md" + (f"#{heading}" if heading else "")
    name = f"{page}, {heading}" if heading else page
    return f"[theory: {name.replace('-', ' ')}](../theory/{at})"
