"""Numbers, quantities and money in their notations, with exact fractions as their meaning."""

from __future__ import annotations

import math
import random
from collections.abc import Hashable
from fractions import Fraction
from typing import NamedTuple

_HIGH = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


class Text(NamedTuple):
    text: str
    meaning: Hashable
    plain: bool = True
    """Whether it can stand in a sentence without dollars."""


# -- numbers --------------------------------------------------------------------------------------


def decimal_text(value: Fraction) -> str | None:
    """The finite decimal of a fraction."""
    for places in range(9):
        scaled = value * 10**places
        if scaled.denominator == 1:
            digits = str(abs(scaled.numerator)).rjust(places + 1, "0")
            text = digits[: len(digits) - places] + ("." + digits[-places:] if places else "")
            return ("-" if value < 0 else "") + text
    return None


def a_fraction(rng: random.Random) -> Fraction:
    kind = rng.randrange(5)
    if kind == 0:
        return Fraction(rng.randrange(-12, 13))
    if kind == 1:
        return Fraction(rng.randrange(-30, 31), rng.randrange(1, 13))
    if kind == 2:
        return Fraction(rng.randrange(1, 2000), 10 ** rng.randrange(4))
    if kind == 3:
        return Fraction(rng.choice((1, 2, 3, 15, 125)) * 10 ** rng.randrange(3, 9))
    return Fraction(rng.randrange(10**3, 10**7))


def near(rng: random.Random, value: Fraction) -> Fraction:
    """A number whose text is easily taken for that of `value`."""
    return rng.choice(
        (
            -value,
            value + 1,
            value * 10,
            value / 10,
            value * 100,
            value / 100,
            value * 1000,
            1 / value if value else value + 2,
            Fraction(value.numerator),
            Fraction(value.numerator, value.denominator + 1),
            Fraction(math.floor(value)),
            value + Fraction(1, 10),
        )
    )


def _grouped(digits: str, sign: str) -> str:
    whole, point, part = digits.partition(".")
    groups = []
    while len(whole) > 3:
        groups.insert(0, whole[-3:])
        whole = whole[:-3]
    return sign.join([whole, *groups]) + point + part


def number_texts(value: Fraction) -> list[Text]:
    """Notations of one number; all of them are that number and nothing else."""
    below_zero, size = value < 0, abs(value)
    found: list[Text] = []

    def put(text: str, plain: bool = True) -> None:
        for minus in ("-", "−") if below_zero else ("",):
            found.append(Text(minus + text, value, plain))

    digits = decimal_text(size)
    p, q = size.numerator, size.denominator
    if digits is not None:
        put(digits)
        put(digits + ("0" if "." in digits else ".0"))
        if size >= 1000:
            for sign in (",", "{,}", r"\,", "\u202f"):
                put(_grouped(digits, sign), sign == ",")
        if digits.startswith("0."):
            put(digits[1:])
        if size:
            power = len(digits.split(".")[0]) - 1
            lead = decimal_text(size / Fraction(10) ** power)
            if lead and power:
                put(f"{lead}e{power}")
                put(rf"{lead} \times 10^{{{power}}}")
                put(f"{lead} × 10{str(power).translate(_HIGH)}")
                put(rf"{lead}\cdot10^{{{power}}}")
        percent = decimal_text(size * 100)
        if percent is not None and size < 10:
            put(percent + r"\%")
            put(percent + "%")
            put(percent + " percent")
            put(percent + r"\,\%", False)
    if q > 1:
        put(rf"\frac{{{p}}}{{{q}}}")
        put(rf"\dfrac{{{p}}}{{{q}}}")
        put(f"{p}/{q}")
        put(rf"\frac{{{3 * p}}}{{{3 * q}}}")
        put(rf"{p} \div {q}", False)
        if p < 10 and q < 10:
            put(rf"\frac{p}{q}")
        if p > q:
            put(rf"{p // q}\frac{{{p % q}}}{{{q}}}")
        for sign, part in (("½", Fraction(1, 2)), ("¾", Fraction(3, 4)), ("⅓", Fraction(1, 3))):
            if size == part:
                put(sign)
            elif size > 1 and size - math.floor(size) == part:
                put(f"{math.floor(size)}{sign}")
        if q in (3, 9, 11, 99) and size < 1:
            again = str(p * (99 // q)).rjust(2, "0") if q in (11, 99) else str(p * (9 // q))
            put(rf"0.\overline{{{again}}}")
    else:
        put(rf"\frac{{{2 * p}}}{{2}}")
        root = math.isqrt(p)
        if root * root == p and p:
            put(rf"\sqrt{{{p * p}}}", False)
        if p > 1:
            put(rf"2 \cdot {p // 2}" if p % 2 == 0 else rf"{p - 1}+1" if not below_zero else str(p))
    return found


# -- units and nouns ------------------------------------------------------------------------------

UNITS: dict[str, tuple[str, ...]] = {
    "centimetre": (r"\text{ cm}", " cm", r"\,\mathrm{cm}", " centimetres", r"\text{ centimeters}"),
    "metre": (r"\text{ m}", r"\,\mathrm{m}", " metres", " meters", r"~\text{m}"),
    "millimetre": (r"\text{ mm}", " mm", " millimetres"),
    "kilometre": (r"\text{ km}", " km", " kilometers"),
    "square centimetre": (r"\text{ cm}^2", " cm^2", " cm²", " square centimetres", r"\text{ cm}^{2}"),
    "cubic centimetre": (r"\text{ cm}^3", " cm^3", " cm³", " cubic centimeters", r"\text{ cm}^{3}"),
    "square metre": (r"\text{ m}^2", " m²", " square meters", r"\ \mathrm{m}^2"),
    "metre per second": (r"\text{ m/s}", " m/s", r"\,\mathrm{m\,s^{-1}}", r"\text{ m}/\text{s}"),
    "metre per second squared": (r"\text{ m/s}^2", " m/s^2", " m/s²", r"\frac{\text{m}}{\text{s}^2}"),
    "kilometre per hour": (r"\text{ km/h}", " km/h", " kilometers per hour"),
    "hour": (r"\text{ hours}", " hours", " h", r"\text{ hour}", " hrs"),
    "minute": (r"\text{ minutes}", " minutes", " min", r"\,\text{min}"),
    "second": (r"\text{ seconds}", " seconds", r"\text{ s}"),
    "day": (" days", r"\text{ days}"),
    "kilogram": (r"\text{ kg}", " kg", " kilograms", r"\,\mathrm{kg}"),
    "gram": (r"\text{ g}", " grams", r"\text{ grams}"),
    "litre": (r"\text{ L}", " litres", " liters"),
    "millilitre": (r"\text{ mL}", " mL", " ml", " milliliters"),
    "newton metre": (r"\text{ N m}", " N m", r"\,\mathrm{N\cdot m}"),
    "millinewton": (r"\text{ mN}", " mN"),
    "joule": (r"\text{ J}", " joules"),
    "degree": (r"^\circ", r"^{\circ}", "°", " degrees", r"\text{ degrees}"),
    "celsius": (r"^\circ\text{C}", "°C", " °C", r"^{\circ}C"),
    "euro": (" euros", " EUR", " €", r"\text{ euros}"),
    "cent": (" cents", r"\text{ cents}"),
    "foot": (" feet", " ft", r"\text{ feet}"),
    "inch": (" inches", r"\text{ inches}", r"\text{ in}"),
    "mile": (" miles", r"\text{ miles}"),
    "apple": (" apples", r"\text{ apples}"),
    "pear": (" pears", r"\text{ pears}"),
    "red apple": (" red apples", r"\text{ red apples}"),
}  # fmt: skip
NOUNS = ("apple", "pear", "red apple")


def quantity(rng: random.Random) -> list[Text]:
    value, unit = a_fraction(rng), rng.choice(list(UNITS))
    if rng.random() < 0.5:
        other_value, other_unit = value, rng.choice(list(UNITS))
    else:
        other_value, other_unit = near(rng, value), unit
    found = []
    for v, u in ((value, unit), (other_value, other_unit)):
        digits = [t for t in number_texts(v) if "%" not in t.text and "percent" not in t.text]
        simple = [
            t
            for t in digits
            if not any(x in t.text for x in ("cdot", "times", "×", "div", "+", "\\sqrt"))
        ]
        for _ in range(3):
            number = rng.choice(simple)
            noun = u in NOUNS
            found.append(
                Text(
                    number.text + rng.choice(UNITS[u]),
                    ("quantity", v, u),
                    number.plain and not noun,
                )
            )
    found.append(rng.choice(number_texts(value)))
    return found


def money(rng: random.Random) -> list[Text]:
    value = Fraction(rng.randrange(1, 5000), rng.choice((1, 1, 100)))
    other = near(rng, value)
    found = []
    for v in (value, abs(other)):
        digits = decimal_text(v)
        if digits is None:
            continue
        found += [Text(rf"\${digits}", v), Text(f"{digits} dollars", v), Text(digits, v)]
        found += [
            Text(f"€{digits}", ("quantity", v, "euro")),
            Text(f"{digits} euros", ("quantity", v, "euro")),
        ]
        found += [
            Text(f"£{digits}", ("quantity", v, "sterling")),
            Text(f"{digits} GBP", ("quantity", v, "sterling")),
        ]
        if v >= 1000:
            found.append(Text(rf"\${_grouped(digits, ',')}", v))
    return found
