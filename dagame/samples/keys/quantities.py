r"""The exact value of a written quantity: sign, currency dollar, number, magnitude word, per cent.

"-\$1.5 million", "minus 3", "50 %", "$10^{6}$" are read to their end or have no value. A per cent is
a hundredth, so that "50%" is "1/2" and not "50".
"""

from __future__ import annotations

import re
from fractions import Fraction

from .numbers import MINUS, plain, rational

MAGNITUDES = {
    "hundred": 100,
    "thousand": 1000,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    "dozen": 12,
    "lakh": 10**5,
    "crore": 10**7,
    "\u767e": 100,
    "\u5343": 1000,
    "\u4e07": 10**4,
    "\u842c": 10**4,
    "\u4ebf": 10**8,
    "\u5104": 10**8,
}
"""Words behind a number that multiply it."""

_SIGN_WORD = re.compile(r"(?i)(minus|negative|plus)\s+(?=[\d.$\\])")
_SHARE = re.compile(r"\s*(?:(%|\u066a|(?i:per ?cents?|pct))|\u2030)$")
_WORDS = "|".join(word for word in MAGNITUDES if word.isascii())
_SIGNS = "".join(word for word in MAGNITUDES if not word.isascii())
_MAGNITUDE = re.compile(rf"\s*({_WORDS})s?$|\s*([{_SIGNS}])$", re.IGNORECASE)
_DOLLAR = re.compile(r"^([-+]?)\s*\$\s*([-+]?)|(?<=\S)\s*\$$")
_FRACTION = re.compile(r"\\[dtc]?frac\s*\{([^{}\\]*)\}\s*\{([^{}\\]*)\}|\\[dtc]?frac([0-9])([0-9])")
_WORD = re.compile(r"\\(?:text|mathrm|mbox)\s*\{\s*([A-Za-z][A-Za-z ]*)\}")
_SPACE = re.compile(r"\\[,;: ]|\\q?quad\b|~")


def value(text: str) -> Fraction | None:
    """The value of the whole text, None where it has none or could have two."""
    text = plain(text).strip()
    text = _from_latex(_SIGN_WORD.sub(lambda m: "" if m[1].lower() == "plus" else "-", text))
    text = _DOLLAR.sub(
        lambda m: m[0] if m[1] and m[2] else (m[1] or "") + (m[2] or ""), text.strip(), count=1
    )
    factor = Fraction(1)
    share = _SHARE.search(text)
    if share is not None:
        factor, text = Fraction(1, 100 if share[1] else 1000), text[: share.start()]
    while (magnitude := _MAGNITUDE.search(text)) is not None:
        factor *= MAGNITUDES[(magnitude[1] or magnitude[2]).lower()]
        text = text[: magnitude.start()]
        if factor > 10**18:
            return None
    number = rational(text)
    return None if number is None else number * factor


def _from_latex(text: str) -> str:
    """Simple LaTeX of one number in plain spelling."""
    if "\\" not in text and "{" not in text:
        return text
    text = text.replace("\\$", "$").replace("\\%", "%").replace("\\!", "").replace("{,}", ",")
    text = (
        _SPACE.sub(" ", _WORD.sub(r" \1", text))
        .replace("\\times", "\u00d7")
        .replace("\\cdot", "\u00b7")
    )
    text = re.sub(r"\^\{([-+]?[0-9]+)\}", r"^\1", text)
    whole = _FRACTION.fullmatch(text.strip().lstrip("+" + MINUS))
    if whole is None:
        return text
    above, below = (whole[1], whole[2]) if whole[1] is not None else (whole[3], whole[4])
    return f"{text[: text.index(chr(92))]}{above}/{below}" if "/" not in above + below else text
