"""Formulas of docstrings in print: Greek letters, indices and powers for their ASCII, outside code."""

from __future__ import annotations

import re

GREEK = {
    "nu": "ν", "pi": "π", "mu": "μ", "beta": "β", "Phi": "Φ", "lambda": "λ", "rho": "ρ", "sigma": "σ",
    "eps": "ε", "Delta": "Δ", "sum": "Σ", "max": "max", "min": "min", "sup": "sup",
}  # fmt: skip
_WITH_INDEX = ("sum", "max", "min", "sup")
RULE = re.compile(r"^ *=+(?: +=+)+ *$")
_CODE = re.compile(r"(`[^`]*`|https?://\S+|\$[^$]*\$)")
_NAME = rf"(?:{'|'.join(GREEK)}|[A-Za-z])"
_LETTER = re.compile(
    rf"(?<![\w.'’])(?<!\w-)({_NAME})(0|\*)?(?:_(?:([a-z0-9]{{1,2}}'?)(?!\w)|\{{([^{{}}]+)\}}))?(?![\w'’=-]|\.\w)"
)
_POWER = re.compile(r"(?<=[\wΑ-ω)>])\^(?:\{([^{}]+)\}|\(([^()]+)\)|(-?[A-Za-z0-9]+)(?!\w))")
_SIGNS = {"<=": "≤", ">=": "≥", "->": "→", "!=": "≠"}
_SIGN = re.compile(r"(?<!\S)(<=|>=|->|!=)(?!\S)")
_ARGUMENT = re.compile(r"^\s*[\w, *]+:(?: |$)")


def typeset_lines(lines: list[str]) -> list[str]:
    """The lines of a docstring; examples and indented code stay as they are."""
    out: list[str] = []
    section = code = example = False
    rules = 0  # three a table, whose columns are places in the line
    for k, line in enumerate(lines):
        rules += bool(RULE.match(line))
        blank = not line.strip()
        before = not out or not lines[k - 1].strip()
        if re.match(r"[A-Z]\w+:$", line):
            section = True
        elif line and not line.startswith(" "):
            section = False
        indent = len(line) - len(line.lstrip())
        if not blank:
            code = indent >= (8 if section else 4) and (before or code)
        example = not blank and (line.lstrip().startswith(">>>") or example)
        kept = blank or code or example or rules % 3
        out.append(line if kept else typeset(line))
    return out


def typeset(text: str) -> str:
    """A line with its formulas in print; names of arguments before a colon stay as they are."""
    head = _ARGUMENT.match(text)
    start = head.end() if head else 0
    parts = _CODE.split(text[start:])
    parts[::2] = map(_plain, parts[::2])
    return text[:start] + "".join(parts)


def _plain(text: str) -> str:
    text = _SIGN.sub(lambda m: _SIGNS[m[1]], text)
    text = _LETTER.sub(_letter, text)
    return _POWER.sub(lambda m: f"<sup>{_plain(m[1] or m[2] or m[3])}</sup>", text)


def _letter(found: re.Match[str]) -> str:
    """A name with its mark and its index; a plain Latin letter alone is left."""
    name, mark, index = found[1], found[2], found[3] or found[4]
    if index is None and (name not in GREEK or name in _WITH_INDEX):
        return found[0]
    low = "" if index is None else f"<sub>{index}</sub>"
    return GREEK.get(name, name) + _raised(mark) + low


def _raised(mark: str | None) -> str:
    return "" if mark is None else f"<sup>{'⁎' if mark == '*' else mark}</sup>"
