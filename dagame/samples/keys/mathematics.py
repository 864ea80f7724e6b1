r"""Mathematical text -> one key for one meaning; none of it is evaluated as code.

The reader is our own (`formulas`, `units`) because math-verify's finder cuts
formulas to a part of them and its parser evaluates text.
"""

from __future__ import annotations

import itertools
import re
from fractions import Fraction

from .finder import find_mathematics
from .formulas import arithmetic, values
from .formulas.forms import Form, Item, key_of, noun_of
from .formulas.reader import read
from .formulas.values import NoValue, Value
from .markup import with_ellipses
from .numbers import rational
from .quantities import MAGNITUDES
from .units import unit_key

__all__ = ["exact_key", "find_mathematics"]

_LONGEST = 2000
_AMOUNT = re.compile(
    r"(?P<sign>[-+−]?)\s*(?P<before>\\?\$|(?:US|[ACR])\\?\$|[€£¥₹₩₽₪₿]|[A-Z]{3}\s)?\s*"
    r"(?P<number>[-+−]?[0-9.](?:[0-9.,/'  \u00a0\u2009\u202f]*[0-9])?(?:[eE][-+]?[0-9]+)?)"
    r"(?P<behind>[^0-9.,/'\s].*|\s.*|/\s*[A-Za-z\\µΩ].*)?",
    re.DOTALL,
)
_DIMENSIONLESS = {"%": 100, r"\%": 100, "percent": 100, "per cent": 100, "‰": 1000}
_WRAPPINGS = (
    (r"\(", r"\)"), (r"\[", r"\]"), ("$$", "$$"), ("$", "$"), ("**", "**"), ("`", "`"),
    (r"\boxed{", "}"), (r"\fbox{", "}"), (r"\displaystyle", ""), ("“", "”"), ('"', '"'),
)  # fmt: skip
_SYSTEM = re.compile(
    r"(?:\\left\s*\\\{)?\s*\\begin\{(?:cases|aligned|align\*?|gather\*?|array)\}(?:\{[lcr]*\})?"
    r"(.*)\\end\{[a-z]+\*?\}\s*(?:\\right\s*\.)?",
    re.DOTALL,
)
_RELATION = re.compile(r"[=<>]|\\[lgn]eq?(?![A-Za-z])")
_SENTENCE_CASE = re.compile(r"(?:No|[A-Z][a-z]{2,})(?: +[a-z]+)*")
_WORDS = re.compile(r"\\(?:text(?:rm|bf|it|sf|normal)?|math(?:rm|bf|it|sf)|mbox)\s*\{([^{}]*)\}")


def exact_key(answer: str) -> str:
    r"""The key of an answer: "" only for blank text; otherwise two texts share it if they mean the same.

    A rational is "p/q"; any other value, equation, interval, tuple, set, list, matrix or quantity is
    its normal form; text that has no certain meaning is itself, without white space and wrappers.

    Values are exact. Case is kept but for the capital that begins plain words: "No solution" is "no
    solution". A percentage is a hundredth and \$ is dropped (so is "dollars");
    other units stay and are never converted: 60 min and 1 h are two keys. "x = 5" is an equation,
    equal to "5 = x" and "2x = 10" but not to "5". An equation between equal numbers, "3 + 4 = 7", is
    the number. A list keeps its order and what it repeats, a set in braces and a system of equations
    do not. Juxtaposition multiplies, except in mixed numbers such as 2\frac12.
    """
    if len(answer) > _LONGEST:
        return text_key(answer)
    text = _unwrapped(with_ellipses(answer))
    plain = _plain_key(text)
    if plain:
        return plain
    try:
        return _combined([(join, _related(sides, signs)) for join, sides, signs in read(text)])
    except (ValueError, RecursionError, ArithmeticError):
        return text_key(text)


def amount_key(answer: str) -> str:
    """The key of a plain number with a currency or a unit, as `exact_key` has it; "" for the rest."""
    return _plain_key(_unwrapped(_WORDS.sub(r" \1 ", answer)))


def text_key(text: str) -> str:
    """Text that has no value: only white space, wrappers and names of one size less."""
    for _ in range(3):
        text = _WORDS.sub(r" \1 ", text)
    text = re.sub(r"\\(?:left|right)(?![A-Za-z])|\\[,;:! ]|\\q?quad(?![A-Za-z])|~", " ", text)
    text = re.sub(r"\\[dt]frac(?![A-Za-z])", r"\\frac", text).strip()
    if _SENTENCE_CASE.fullmatch(text):
        text = text.lower()
    return re.sub(r"(?<=[\d.])(\s+)(?=[\d.])|\s+", lambda m: " " if m[1] else "", text)


def _unwrapped(text: str) -> str:
    """Without white space, dollars, stars and boxes round the whole, and a full stop behind it."""
    for _ in range(10):
        before, text = text, _less_wrapped(text)
        if text == before:
            break
    system = _SYSTEM.fullmatch(text)
    return _rows(system[1] if system else text)


def _less_wrapped(text: str) -> str:
    """Without one layer of each kind."""
    text = text.strip()
    if text[:1] == "=" and text[1:2] not in ("", "="):
        text = text[1:].strip()
    if text.endswith((".", ",", ";")) and not text.endswith(("..", r"\,", r"\;", r"\right.")):
        text = text[:-1]
    for opening, closing in _WRAPPINGS:
        inside = text[len(opening) : len(text) - len(closing)]
        if len(text) <= len(opening) + len(closing):
            continue
        if text.startswith(opening) and text.endswith(closing) and _is_one(inside, closing):
            text = inside
    return text


def _rows(text: str) -> str:
    r"""The equations of a system with commas between them: a &= 1 \\ b &= 2."""
    rows = [row.strip() for row in text.split(r"\\")]
    if r"\begin" in text or len(rows) < 2:
        return text
    rows = rows[:-1] if not rows[-1] else rows
    if not all(_RELATION.search(row) and row.count("&") <= 1 for row in rows):
        return text
    if any("&" in row and not re.search(r"& *(?:[=<>]|\\[lgn]eq?)", row) for row in rows):
        return text
    return ", ".join(row.replace("&", "").strip(" ,.;") for row in rows)


def _is_one(inside: str, closing: str) -> bool:
    """Whether the closing sign at the end belongs to the opening one at the start."""
    if closing == "}":
        depth = 0
        for sign in re.findall(r"\\.|[{}]", inside):
            depth += (sign == "{") - (sign == "}")
            if depth < 0:
                return False
        return depth == 0
    if not inside:
        return False
    return not closing or closing not in re.sub(r"\\.", "", inside)


# -- numbers, amounts and quantities --------------------------------------------------------------


def _plain_key(text: str) -> str:
    """Of a plain number, with a currency before it or a unit behind it; "" for anything else."""
    number = rational(text)
    if number is not None:
        return str(number)
    match = _AMOUNT.fullmatch(text) if text and text[0] in _AMOUNT_STARTS else None
    if match is None:
        return ""
    sign, before, digits, behind = match.group("sign", "before", "number", "behind")
    number = rational(digits)
    if number is None or (sign and digits[0] in "-+−"):
        return ""
    number = -number if sign in ("-", "−") else number
    return _amount_key(number, before or "", behind or "")


_AMOUNT_STARTS = frozenset("-+−0123456789.$\\€£¥₹₩₽₪₿UACRGEJKBINMSDP")


def _amount_key(number: Fraction, before: str, behind: str) -> str:
    spaced, rest = behind[:1].isspace(), behind.strip()
    word, _, others = rest.partition(" ")
    if spaced and word in MAGNITUDES:
        number, rest = number * MAGNITUDES[word], others.strip()
    if not before and rest in _DIMENSIONLESS:
        return str(number / _DIMENSIONLESS[rest])
    if not before and len(rest) == 1 and rest.isascii() and not spaced:
        return ""  # 5m is a product
    unit = unit_key(before.replace("\\", "").strip() + rest) if before or rest else "$"
    if unit is None:
        noun = "" if before or (len(rest) > 2 and not spaced and rest.isalpha()) else noun_of(rest)
        return f"{number} {noun}" if noun else ""
    if unit == "°":
        return values.text_of(
            arithmetic.multiply(values.number(number), values.of_atom(values.DEGREE))
        )
    return str(number) if unit == "$" else f"{number} {unit}"


# -- relations and lists --------------------------------------------------------------------------


def _related(sides: list[Item], relations: list[str]) -> Item:
    """One side, or the normal form of a chain of equations and inequalities."""
    if not relations:
        return sides[0]
    if set(relations) == {"="}:
        return _equation(sides)
    keys = sorted(
        {_inequality(a, sign, b) for a, sign, b in zip(sides, relations, sides[1:], strict=False)}
    )
    return Form("relation", " and ".join(keys))


def _equation(sides: list[Item]) -> Item:
    """Sides in any order; equal numbers are the number, two values are over their content."""
    keyed = {key_of(side): side for side in sides}
    distinct = [keyed[key] for key in sorted(keyed)]
    numbers = [s for s in distinct if isinstance(s, Value) and s.constant() is not None]
    if len(distinct) == 1:
        if not numbers:
            raise NoValue("the same on both sides")
        return distinct[0]
    if len(numbers) > 1:
        raise NoValue("different numbers called equal")
    keys = sorted(_equal(a, b) for a, b in itertools.pairwise(distinct))
    return Form("relation", " and ".join(keys))


def _equal(a: Item, b: Item) -> str:
    if isinstance(a, Value) and isinstance(b, Value):
        return _difference(a, "=", b)
    if isinstance(a, Form) and isinstance(b, Form) and a.kind == b.kind:
        raise NoValue("different forms called equal")
    return f"{key_of(a)} = {key_of(b)}"


def _inequality(a: Item, sign: str, b: Item) -> str:
    if sign in (">", ">="):
        a, sign, b = b, {">": "<", ">=": "<="}[sign], a
    if sign == "in":
        return f"{key_of(a)} in {key_of(b)}"
    if isinstance(a, Value) and isinstance(b, Value) and sign != "~":
        return _difference(a, sign, b)
    if sign in ("!=", "=", "~"):
        a, b = sorted((a, b), key=key_of)
    return f"{key_of(a)} {sign} {key_of(b)}"


def _difference(a: Value, sign: str, b: Value) -> str:
    """a - b compared with zero, over its positive rational content."""
    value = arithmetic.subtract(a, b)
    if value.constant() is not None or values.approximation(value) is not None:
        raise NoValue("numbers compared")
    value, turned = values.primitive(value)
    flipped = {"<": ">", "<=": ">="}.get(sign, sign) if turned else sign
    return f"{values.text_of(value)} {flipped} 0"


def _combined(parts: list[tuple[str, Item]]) -> str:
    """One item, a list in its order, or relations and alternatives in any."""
    items = [item for _, item in parts]
    joins = {join for join, _ in parts[1:]}
    if len(items) == 1:
        return _alone(items[0])
    keys = [key_of(item) for item in items]
    related = [isinstance(item, Form) and item.kind == "relation" for item in items]
    if "or" in joins:
        if "and" in joins:
            raise NoValue("and beside or")
        return f"({') or ('.join(sorted(set(keys)))})"
    if all(related):
        return " and ".join(sorted({k for key in keys for k in key.split(" and ")}))
    return f"List({', '.join(keys)})"


def _alone(item: Item) -> str:
    if isinstance(item, Form) and item.kind == "both":
        return f"({') or ('.join(sorted({key_of(i) for i in item.items}))})"
    return key_of(item)
