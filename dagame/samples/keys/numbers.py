"""Exact values of written numbers, in bounded time: no digit is rounded and none is guessed.

A text is read to its end or has no value. What can be read in two ways has none: "3,5" (a decimal
comma or a list), "3 1/2" (a mixed number or two numbers), "1/2/3".
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

MINUS = "-\u2212\u2013\ufe63\uff0d\u2010\u2011\u2012"
"""Characters that spell a minus sign before a number: hyphens, the minus sign, the en dash."""
BLANK = " \u00a0\u2007\u2009\u202f"
"""Blanks that may stand between groups of digits."""
_SMALL = r"[0-9]{0,60}"
_FIRST = "[1-9][0-9]{0,2}"
_ENGLISH = rf"{_FIRST}(?:,[0-9]{{3}})+"
_INDIAN = r"[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}"
_SWISS = rf"{_FIRST}(?:['\u2019\u066c][0-9]{{3}})+"
_SPACED = rf"{_FIRST}(?:[{BLANK}][0-9]{{3}})+"
_POINTED = rf"{_FIRST}(?:\.[0-9]{{3}})+"
_DECIMAL = re.compile(
    rf"(?P<sign>[-+]?) *(?:"
    rf"(?P<whole>{_ENGLISH}|{_INDIAN}|{_SWISS}|{_SPACED}|{_SMALL})(?:[.\u066b](?P<part>{_SMALL}))?"
    rf"|(?P<whole_2>{_POINTED}|{_SPACED}|{_SWISS}),(?P<part_2>{_SMALL})"  # 1.234,56
    rf"|(?P<whole_3>{_FIRST}(?:\.[0-9]{{3}}){{2,}})"  # 1.234.567
    r")(?:[eE](?P<exponent>[-+]?[0-9]{1,3}))?"
)
_POWER = re.compile(
    r"(?P<sign>[-+]?) *(?P<base>[0-9.,]{1,20}) ?(?:\^|\*\*) ?(?P<exponent>\(?[-+]?[0-9]{1,3}\)?)"
)
_TIMES = re.compile(r"(.+?) ?(?:[*\u00b7\u22c5\u2219\u00d7xX]) ?((?:10) ?(?:\^|\*\*).+)")
_VULGAR = re.compile(r"([-+]?) ?([0-9]{0,60}) ?([\u00bc-\u00be\u2150-\u215f\u2189])")
_SUPERSCRIPTS = str.maketrans(
    "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207a\u207b", "0123456789+-"
)
_RAISED = re.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u2079\u207a\u207b]+")
_LARGEST = 400
"""Digits that a power may have."""


def plain(text: str) -> str:
    """The text with digits, signs, points and powers of every script in their ASCII spelling."""
    if text.isascii():
        return text
    text = _RAISED.sub(lambda m: "^" + m[0].translate(_SUPERSCRIPTS), text)
    out = []
    for sign in text:
        if sign in MINUS:
            out.append("-")
        elif sign.isdecimal():
            out.append(str(unicodedata.decimal(sign)))
        elif "\uff01" <= sign <= "\uff5e":  # fullwidth forms
            out.append(chr(ord(sign) - 0xFEE0))
        else:
            out.append(sign)
    return "".join(out)


def decimal(text: str) -> Fraction | None:
    """The value of a decimal of at most 60 + 60 digits and an exponent below 1000 in size.

    Digits may be of any script; a minus sign may be spelt as a hyphen, an en dash or U+2212.
    Thousands are separated by commas, blanks or apostrophes in threes, or in the Indian way;
    "1.234,56" and "1.234.567" are unambiguous. "1,5" is no number.
    """
    match = _DECIMAL.fullmatch(plain(text))
    if match is None:
        return None
    g = match.groupdict()
    whole = g["whole"] or g["whole_2"] or g["whole_3"] or ""
    part = g["part"] or g["part_2"] or ""
    digits = re.sub(r"[^0-9]", "", whole) + part
    if not digits or len(digits) > 120:
        return None
    value = Fraction(int(digits), 10 ** len(part)) * Fraction(10) ** int(g["exponent"] or 0)
    return -value if g["sign"] == "-" else value


def rational(text: str) -> Fraction | None:
    """The value of a decimal, a fraction of two, a vulgar fraction ("3½"), a power of a number
    ("10^6", "10⁶") or a decimal times such a power of ten; None for anything else, zero divisors too.
    """
    text = plain(text).strip()
    for read in (decimal, _vulgar, _ratio, _power, _scientific):
        value = read(text)
        if value is not None:
            return value
    return None


def _ratio(text: str) -> Fraction | None:
    above, slash, below = text.replace("\u2044", "/").partition("/")
    if not slash:
        return None
    value, divisor = decimal(above.strip()), decimal(below.strip())
    return value / divisor if value is not None and divisor else None


def _vulgar(text: str) -> Fraction | None:
    match = _VULGAR.fullmatch(text)
    if match is None:
        return None
    above, _, below = unicodedata.normalize("NFKC", match[3]).partition("\u2044")
    if not below:
        return None
    value = int(match[2] or 0) + Fraction(int(above), int(below))
    return -value if match[1] == "-" else value


def _power(text: str) -> Fraction | None:
    match = _POWER.fullmatch(text)
    if match is None:
        return None
    base, exponent = decimal(match["base"]), match["exponent"]
    if base is None or exponent.startswith("(") != exponent.endswith(")"):
        return None
    power = int(exponent.strip("()"))
    size = max(len(str(base.numerator)), len(str(base.denominator)))
    if size * abs(power) > _LARGEST or (base == 0 and power <= 0):
        return None
    value = base**power
    return -value if match["sign"] == "-" else value


def _scientific(text: str) -> Fraction | None:
    match = _TIMES.fullmatch(text)
    if match is None:
        return None
    factor, power = decimal(match[1].strip()), _power(match[2].strip())
    return factor * power if factor is not None and power is not None else None
