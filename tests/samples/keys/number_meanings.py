"""Random numbers in every notation with their exact values, and what changes a number's meaning.

`spellings(value)` are texts that mean `value` alone; `other_meanings(text)` are texts in which the
number is only a part. Nothing here reads a text: values are known before they are written.
"""

from __future__ import annotations

import random
from fractions import Fraction

ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
FULLWIDTH = str.maketrans("0123456789", "０１２３４５６７８９")
SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def a_value(rng: random.Random) -> Fraction:
    """A whole number, decimal or simple fraction, of either sign."""
    kind = rng.randrange(4)
    if kind == 0:
        size = Fraction(rng.randrange(1, 1000))
    elif kind == 1:
        size = Fraction(rng.randrange(1000, 10**9))
    elif kind == 2:
        size = Fraction(rng.randrange(1, 10**6), 10 ** rng.randrange(1, 4))
    else:
        size = Fraction(rng.randrange(1, 100), rng.randrange(2, 30))
    return size if rng.random() < 0.7 else -size


def spellings(value: Fraction, rng: random.Random) -> list[str]:
    """Texts that mean the value and nothing else."""
    sign = "-" if value < 0 else ""
    size = abs(value)
    out = []
    digits = _decimal(size)
    if digits is None:
        out += [f"{size.numerator}/{size.denominator}", f"{size.numerator} / {size.denominator}"]
        out += [rf"\frac{{{size.numerator}}}{{{size.denominator}}}"]
    else:
        whole, _, part = digits.partition(".")
        out += [digits, digits.translate(ARABIC), digits.translate(FULLWIDTH)]
        point = f".{part}" if part else ""
        if len(whole) > 3:
            grouped = f"{int(whole):,}"
            out += [f"{grouped}{point}", grouped.replace(",", " ") + point]
            out += [grouped.replace(",", "\u202f") + point, grouped.replace(",", "'") + point]
            out += [grouped.replace(",", "{,}") + point, _indian(whole) + point]
            if part:
                out += [f"{grouped.replace(',', '.')},{part}"]
        if not part:
            out += [f"{digits}.0", f"{digits}.00"]
            if size > 1:
                shift = rng.randrange(1, 5)
                mantissa = _decimal(size / 10**shift)
                out += [f"{mantissa}e{shift}", f"{mantissa}E+{shift}"]
                out += [f"{mantissa} × 10^{shift}", rf"{mantissa} \times 10^{{{shift}}}"]
                out += [f"{mantissa}×10{str(shift).translate(SUPERSCRIPT)}"]
        if size % 1000 == 0:
            out += [f"{size / 1000} thousand"]
        percent = _decimal(size * 100)
        out += [f"{percent}%", f"{percent} %", f"{percent} percent", rf"{percent}\%"]
    signs = [sign] if sign == "" else ["-", "−", "–", "minus ", "negative "]
    texts = [rng.choice(signs) + text for text in out]
    return texts + [f"${t}" for t in texts if t[0].isdigit() and t.isascii() and "/" not in t]


def surroundings(text: str) -> list[str]:
    """Sentences whose last number is the text's, and its neighbours are not its own."""
    return [
        text,
        f"It is {text}",
        f"It is {text}.",
        f"First 3 of them, so it is {text}, I think.",
        f"The answer is **{text}**.",
        f"**Answer:** {text}",
        f"x = {text}",
        f"12 + 5 = {text}",
        f"so (in all) ({text})" if "," not in text else f"so ({text} in all)",
        f'He said "{text}"!',
        f"<answer>{text}</answer>",
        f"- Step 2: it must be {text}\nThat is all.",
        f"{text} apples",
        rf"\boxed{{{text}}}",
        f"the total -> {text}",
    ]


def other_meanings(text: str) -> list[str]:
    """Texts of which the number is only a part: no two numbers and no two of these mean the same."""
    return [
        f"{text}^2",
        f"10^{text}",
        f"{text}x + 1",
        f"x > {text}",
        f"{text}:30",
        f"{text}–99999999999",
        f"(7, {text})",
        f"[0, {text})",
        f"{text}cm",
        f"{text}m",
        f"±{text}",
        f"√{text}",
        f"{text}th",
        f"A{text}",
        f"7 and {text}",
        f"{text}/7/9",
        f"{text} × 7 + 1",
        f"f({text})",
        f"{text}π",
        f"0x{text}",
        f"{text}…{text}",
        rf"\sqrt{{{text}}}",
        f"{text},5,7",
        f"€{text}",
    ]


def _decimal(value: Fraction) -> str | None:
    """The value's finite decimal of at most twelve places, if it has one."""
    for places in range(13):
        if (value * 10**places).denominator == 1:
            text = f"{int(value * 10**places):0{places + 1}d}"
            return f"{text[:-places]}.{text[-places:]}" if places else text
    return None


def _indian(whole: str) -> str:
    head, tail = whole[:-3], whole[-3:]
    pairs = []
    while head:
        pairs.append(head[-2:])
        head = head[:-2]
    return ",".join([*reversed(pairs), tail])
