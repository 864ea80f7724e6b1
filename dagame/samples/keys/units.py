r"""Units of measurement in all their spellings -> one canonical text; nothing is converted.

`unit_key(r"\text{ centimetres}^2") == unit_key("cm²") == "cm^2"`, and `unit_key("apples")` is None.
Minutes and hours, cents and dollars stay different units, as do pounds of mass ("lb"), of money
("GBP") and the word "pound", which may be either. A plain dollar is no unit but the sign of a bare
amount (the answers of school mathematics write $5 and 5 alike); every other currency is one.
"""

from __future__ import annotations

import re
from functools import lru_cache

_PREFIXES = {
    "T": "tera", "G": "giga", "M": "mega", "k": "kilo", "h": "hecto", "d": "deci", "c": "centi",
    "m": "milli", "µ": "micro", "n": "nano", "p": "pico",
}  # fmt: skip
_WITH_PREFIXES = {  # symbol: names, usual prefixes
    "m": ("metre meter", "kdcmµn"),
    "g": ("gram gramme", "kmµ"),
    "L": ("litre liter", "hdcmµ"),
    "s": ("second sec", "mµn"),
    "A": ("ampere amp", "kmµ"),
    "K": ("kelvin", "m"),
    "mol": ("mole", "kmµ"),
    "Hz": ("hertz", "kMG"),
    "N": ("newton", "kMm"),
    "Pa": ("pascal", "hkMG"),
    "J": ("joule", "kMGm"),
    "W": ("watt", "kMGTm"),
    "Wh": ("watthour", "kMGT"),
    "V": ("volt", "kMmµ"),
    "C": ("coulomb", "mµn"),
    "F": ("farad", "mµnp"),
    "Ω": ("ohm", "kM"),
    "T": ("tesla", "m"),
    "eV": ("electronvolt", "kMG"),
    "cal": ("calorie", "k"),
    "B": ("byte", "kMGT"),
    "bit": ("", "kMGT"),
    "bar": ("", "m"),
}
_ALONE = {
    "cd": "candela", "lm": "lumen", "lx": "lux", "Wb": "weber", "H": "henry", "Bq": "becquerel",
    "Sv": "sievert", "dB": "decibel", "rad": "radian", "sr": "steradian",
    "min": "minute", "h": "hour hr", "d": "day", "week": "wk", "fortnight": "", "month": "",
    "year": "yr", "decade": "", "century": "centuries",
    "inch": "inches", "ft": "foot feet", "yd": "yard", "mile": "mi", "acre": "", "ha": "hectare",
    "oz": "ounce", "lb": "", "pound": "", "ton": "", "t": "tonne",
    "gal": "gallon", "qt": "quart", "pt": "pint", "cup": "", "tbsp": "tablespoon",
    "tsp": "teaspoon", "floz": "", "°F": "fahrenheit", "°C": "celsius", "°": "deg degree",
    "knot": "", "rpm": "", "ppm": "", "dozen": "", "px": "pixel", "atm": "atmosphere",
    "EUR": "€ euro", "GBP": "£ quid", "JPY": "yen", "CNY": "yuan rmb renminbi", "¥": "",
    "INR": "₹", "rupee": "", "KRW": "₩", "CHF": "", "RUB": "₽ ruble rouble", "ILS": "₪",
    "USD": "US$", "CAD": "C$", "AUD": "A$", "BRL": "R$", "MXN": "", "peso": "", "SEK": "",
    "NOK": "", "DKK": "", "PLN": "", "BTC": "₿", "$": "dollar", "cent": "¢", "pence": "penny pennies",
}  # fmt: skip
_PRODUCTS = {
    "mph": {"mile": 1, "h": -1}, "kph": {"km": 1, "h": -1}, "kmph": {"km": 1, "h": -1},
    "Nm": {"N": 1, "m": 1}, "cc": {"cm": 3}, "sqft": {"ft": 2}, "kgs": {"kg": 1}, "lbs": {"lb": 1},
    "hrs": {"h": 1}, "mins": {"min": 1}, "secs": {"s": 1}, "cms": {"cm": 1}, "kms": {"km": 1},
    "fps": {"ft": 1, "s": -1},
}  # fmt: skip
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_WRAPPER = re.compile(
    r"\\(?:text(?:rm|bf|it|sf)?|math(?:rm|bf|it|sf)|mbox|operatorname)\s*"
    r"\{((?:[^{}\\$]|\\[ ,;:!]|\\cdot|\^\s*\{[^{}]*\})*)\}"
)
_BLANK = re.compile(r"(?:\\[ ,;:!]|~|\\q?quad\b|[\s\u00a0\u2009\u202f])+")
_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_PART = re.compile(
    r"(?P<unit>°\s?[CF](?![a-zA-Z])|(?:US|[ACR])\$|[A-Za-zµΩ]+|[°€£¥₹₩₽₪₿¢$])"
    r"(?:\s?(?:\^\s*\{?\s*(?P<power>-?[0-9])\s*\}?|(?P<super>[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)))?"
    r"|(?P<sign>/|·|\*|\(|\))"
    r"|(?P<blank>\s+)"
)
_OTHER_SIGNS = {
    "l": "L", "ml": "mL", "dl": "dL", "cl": "cL", "kB": "kB", "KB": "kB", "Kg": "kg", "in": "inch",
    "um": "µm", "ug": "µg", "us": "µs", "\u03bcm": "µm",
}  # fmt: skip
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_POWERS_BEHIND = {"squared": 2, "cubed": 3}


@lru_cache(1)
def _units() -> dict[str, str]:
    """Every spelling of a single unit -> its canonical symbol; names also capitalised."""
    signs, names = {symbol: symbol for symbol in _ALONE}, list[tuple[str, str]]()
    for symbol, (words, prefixes) in _WITH_PREFIXES.items():
        for prefix in ("", *prefixes):
            signs[prefix + symbol] = prefix + symbol
            names += [(_PREFIXES.get(prefix, "") + word, prefix + symbol) for word in words.split()]
    for symbol, words in _ALONE.items():
        for word in (*words.split(), *([symbol] if symbol.isalpha() and len(symbol) > 3 else [])):
            if word.isalpha() and word.islower():
                names.append((word, symbol))
            else:
                signs[word] = symbol
    found: dict[str, str] = {}
    for word, symbol in (*names, *((symbol, symbol) for symbol in ("bit", "cup", "ton"))):
        found = dict.fromkeys(_spellings(word), symbol) | found  # the first of a name counts
    return found | signs | _OTHER_SIGNS


def _spellings(name: str) -> tuple[str, ...]:
    """Singular and plural, also capitalised."""
    plural = name if name.endswith("s") else name + ("es" if name.endswith(("ch", "x")) else "s")
    return name, name.capitalize(), plural, plural.capitalize()


def unit_key(text: str) -> str | None:
    r"""The canonical text of a unit or a product of units; None if the whole text is none.

    Powers as cm^2, cm², cm^{2}, "square cm", "cm squared"; products by blanks, · or \cdot; quotients
    by /, "per", \frac or negative powers. Factors are sorted: "m/s" = "m s^{-1}", "N m" = "m N".
    """
    if len(text) > 80:
        return None
    parts = _plain(text)
    if not parts:
        return None
    exponents = _exponents(parts)
    if not exponents:
        return None
    above = [_with_power(u, e) for u, e in sorted(exponents.items()) if e > 0]
    below = [_with_power(u, -e) for u, e in sorted(exponents.items()) if e < 0]
    if not below:
        return "*".join(above)
    return "/".join(["*".join(above) or "1", *below])


def _plain(text: str) -> str:
    r"""Without LaTeX: \text{ cm}^2 as cm^2."""
    text = text.replace(r"\$", "$")
    text = _FRACTION.sub(r"\1/(\2)", _WRAPPER.sub(r" \1 ", text)) if "\\" in text else text
    text = _WRAPPER.sub(r" \1 ", text) if "\\" in text else text
    text = re.sub(r"\\(?:cdot|times)(?![A-Za-z])|[⋅×]", "·", text)
    text = re.sub(r"\^\s*\{?\s*\\circ\s*\}?|\\degree\b|\\circ\b", "°", text)
    text = text.replace(r"\Omega", "Ω").replace(r"\mu", "µ").replace("μ", "µ").replace("Ω", "Ω")
    text = _BLANK.sub(" ", text.replace("−", "-"))
    text = re.sub(r"\s+(?=[\^/)])|(?<=[/(^])\s+|(?<=µ) ", "", text)
    text = re.sub(r"\b(?:fluid|fl\.?) ?(?:ounces?|oz)\b", "floz", text)
    return (
        re.sub(r"\b(?:degrees?|°) ?(?=[Cc]elsius|[Ff]ahrenheit|C\b|F\b)", "", text)
        .strip()
        .rstrip(".")
    )


def _exponents(text: str) -> dict[str, int] | None:
    """Symbols and their exponents, by one walk over the parts."""
    found, position = _Factors(), 0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None:
            return None
        position = match.end()
        sign = "/" if match["unit"] == "per" else match["sign"]
        fits = match["blank"] or (found.add_sign(sign) if sign else found.add_word(match))
        if not fits:
            return None
    return found.exponents()


class _Factors:
    """Units so far: `expects` one to come, `below` a fraction's line, there `inside` brackets.

    waiting: the power that a word ("square") gives the unit to come; last: the unit that one behind it
    ("squared") raises.
    """

    def __init__(self) -> None:
        self.total: dict[str, int] = {}
        self.expects, self.below, self.inside = True, False, False
        self.waiting, self.last = 1, None

    def add_sign(self, sign: str) -> bool:
        """A bracket, a product or a quotient, if it may stand here."""
        if sign == "(" and self.expects and self.below and not self.inside:
            self.inside = True
        elif sign == ")" and self.inside and not self.expects:
            self.below = self.inside = False
        elif sign in ("·", "*") and not self.expects and (self.inside or not self.below):
            self.expects = True
        elif sign == "/" and not self.inside and (not self.expects or not self.total):
            self.below = self.expects = True
        else:
            return False
        return True

    def add_word(self, match: re.Match[str]) -> bool:
        """A power in words, or a unit, if it is one and may stand here."""
        word = match["unit"].replace("° ", "°")
        if word in _POWERS and self.expects and self.waiting == 1:
            self.waiting = _POWERS[word]
            return True
        if word in _POWERS_BEHIND and self.last:
            self.total[self.last] *= _POWERS_BEHIND[word]
            self.last = None
            return True
        product = _PRODUCTS.get(word) or ({word: 1} if word in _units() else None)
        if product is None or (self.below and not self.expects and not self.inside):
            return False
        power = int(match["power"] or (match["super"] or "1").translate(_SUPERSCRIPTS))
        return self._add(product, power * self.waiting)

    def _add(self, product: dict[str, int], power: int) -> bool:
        if power == 0 or (power != 1 and len(product) > 1):
            return False
        for unit, e in product.items():
            symbol = _units().get(unit, unit)
            self.total[symbol] = self.total.get(symbol, 0) + (
                -e * power if self.below else e * power
            )
            self.last = symbol if len(product) == 1 and power == 1 else None
        self.expects, self.waiting = False, 1
        return True

    def exponents(self) -> dict[str, int] | None:
        """Of every unit, None if the text ends too early."""
        if self.expects or self.waiting != 1 or self.inside or not any(self.total.values()):
            return None
        return {u: e for u, e in self.total.items() if e}


def _with_power(unit: str, exponent: int) -> str:
    return unit if exponent == 1 else f"{unit}^{exponent}"
