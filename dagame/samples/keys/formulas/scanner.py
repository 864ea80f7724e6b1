r"""LaTeX and plain mathematics -> tokens: every spelling of a sign is one sign from here on."""

from __future__ import annotations

import re
from typing import NamedTuple

from .values import NoValue

_SIGNS = {
    "−": "-", "‐": "-", "‑": "-", "﹣": "-", "➖": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ",
    "∙": r"\cdot ", "÷": r"\div ", "∕": "/", "⁄": "/", "≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ",
    "⩾": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "±": r"\pm ", "∓": r"\mp ", "∞": r"\infty ", "√": r"\root ",
    "∛": r"\root[3]", "∜": r"\root[4]", "∪": r"\cup ", "∩": r"\cap ", "∖": r"\setminus ", "∈": r"\in ",
    "∅": r"\emptyset ", "′": "'", "’": "'", "″": "''", "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ",
    "⌉": r"\rceil ", "⟨": r"\langle ", "⟩": r"\rangle ", "∣": "|", "∗": "*", "º": "°", "ℝ": r"\mathbb{R}",
    "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}", "π": r"\pi ",
    "½": r"\frac{1}{2}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}",
    "⅕": r"\frac{1}{5}", "⅖": r"\frac{2}{5}", "⅗": r"\frac{3}{5}", "⅘": r"\frac{4}{5}", "⅙": r"\frac{1}{6}",
    "⅚": r"\frac{5}{6}", "⅐": r"\frac{1}{7}", "⅛": r"\frac{1}{8}", "⅜": r"\frac{3}{8}", "⅝": r"\frac{5}{8}",
    "⅞": r"\frac{7}{8}", "⅑": r"\frac{1}{9}", "⅒": r"\frac{1}{10}", "\u2061": "", "\u2062": r"\cdot ",
}  # fmt: skip
_GREEK_NAMES = """alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi rho
sigma tau upsilon varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega epsilon phi
vartheta"""
_GREEK = dict(zip("αβγδεζηθικλμνξρστυφχψωΓΔΘΛΞΣΦΨΩϵϕϑ", _GREEK_NAMES.split(), strict=True))
_FULL_WIDTH = {chr(0xFEE0 + k): chr(k) for k in range(0x21, 0x7F)}
_ONE_SIGN = str.maketrans(
    _SIGNS | {sign: f"\\{name} " for sign, name in _GREEK.items()} | _FULL_WIDTH | {"\u3000": " "}
)
_HIGH = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱˣʸ", "0123456789+-()nixy")
_LOW = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋ₙₓᵢⱼₖ", "0123456789+-nxijk")
_HIGHS = re.compile(f"[{''.join(map(chr, _HIGH))}]+")
_LOWS = re.compile(f"[{''.join(map(chr, _LOW))}]+")
_BETWEEN_DIGITS = r"(?:\{,\}|,\\!|\\[,!]|[\u2009\u202f\u00a0])"
_GROUPED = re.compile(
    rf"(?<![0-9.,!])[0-9]{{1,3}}(?:{_BETWEEN_DIGITS}[0-9]{{3}})+(?![0-9]|{_BETWEEN_DIGITS}[0-9])"
)

_FUNCTION_NAMES = """sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp sqrt
max min gcd lcm"""
FUNCTIONS = frozenset(_FUNCTION_NAMES.split())
GREEK = frozenset(_GREEK.values())
_SPELLINGS = {
    "cosec": "csc", "arcsen": "arcsin", "asin": "arcsin", "acos": "arccos", "atan": "arctan", "leq": "le",
    "leqslant": "le", "geq": "ge", "geqslant": "ge", "neq": "ne", "lt": "<", "gt": ">", "dfrac": "frac",
    "tfrac": "frac", "cfrac": "frac", "dbinom": "binom", "tbinom": "binom", "lbrace": "{", "rbrace": "}",
    "vert": "|", "lvert": "|(", "rvert": ")|", "lbrack": "[", "rbrack": "]", "varnothing": "emptyset",
    "land": "and", "lor": "or", "ast": "*", "colon": ":", "degree": "deg", "prime": "'", "tg": "tan",
    "smallsetminus": "setminus", "backslash": "setminus", "simeq": "approx", "thickapprox": "approx",
    "lparen": "(", "rparen": ")", "centerdot": "cdot",
}  # fmt: skip
_TOKEN = re.compile(
    r"(?P<space>(?:\s|~|\\[ ,;:!>\n]|\\(?:q?quad|displaystyle|textstyle|limits|nolimits|left|right"
    r"|middle|[bB]igg?[lrm]?)(?![A-Za-z]))+)"
    r"|(?P<repeating>[0-9]*\.[0-9]*\\(?:overline|bar|dot|overbar)\s*\{[0-9]+\}|[0-9]*\.\([0-9]+\))"
    r"|(?P<number>(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)"
    r"|(?P<deg>\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))|°|\\degree(?![A-Za-z]))"
    r"|\\(?P<text>text(?:rm|bf|it|sf|normal|tt)?|math(?:rm|bf|it|sf|tt)|boldsymbol|bm|mbox|operatorname\*?)"
    r"\s*\{(?P<inside>(?:[^{}\\$]|\\[ ,;:!]|\\cdot|\^\s*\{[^{}]*\})*)\}"
    r"|\\(?P<decorated>mathbb|mathcal|mathfrak|mathscr|vec|hat|widehat|bar|tilde|overline|overrightarrow"
    r"|dot|ddot|underline)\s*(?:\{\s*(?P<bare>[A-Za-z]{1,4})\s*\}|(?P<one>[A-Za-z]))"
    r"|\\(?P<environment>begin|end)\s*\{(?P<name>[a-zA-Z]+\*?)\}(?:\{[lcr|]*\})?"
    r"|(?P<row>\\\\)"
    r"|\\(?P<command>[A-Za-z]+|[{}%$#&|])"
    r"|(?P<run>[A-Za-zµ]+)"
    r"|(?P<currency>[€£¥₹₩₽₪₿¢])"
    r"|(?P<sign>\*\*|<=|>=|!=|==|[-+*/^_=<>(){}\[\],;!%|'&$])"
)


class Token(NamedTuple):
    r"""kind: number, letter, symbol, function, command, words, deg, sign, begin, end_of, row, end."""

    kind: str
    text: str
    start: int
    spaced: bool = False


def prepared(text: str) -> str:
    """With ASCII and LaTeX for every other sign, and separators of thousands left out."""
    if not text.isascii():
        if re.search(r"[0-9]\s?[–—]|[–—]\s?[–—]|—", text):
            raise NoValue("a range, or a dash")
        text = re.sub(r"[μµ](?=[a-zA-Z])", "µ", text).replace("–", "-")
        text = _HIGHS.sub(lambda m: f"^{{{m[0].translate(_HIGH)}}}", text)
        text = _LOWS.sub(lambda m: f"_{{{m[0].translate(_LOW)}}}", text)
        text = text.translate(_ONE_SIGN)
    return _GROUPED.sub(lambda m: re.sub(r"[^0-9]", "", m[0]), text)


def tokens(text: str) -> list[Token]:
    """All of a prepared text; `NoValue` at a sign that is not known."""
    found: list[Token] = []
    position, spaced = 0, False
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise NoValue("a sign that is not known")
        if match.lastgroup == "space":
            spaced = True
        else:
            found += _tokens_of(match, position, spaced, found)
            spaced = False
        position = match.end()
    found.append(Token("end", "", len(text), spaced))
    return found


def _tokens_of(match: re.Match[str], start: int, spaced: bool, before: list[Token]) -> list[Token]:
    last = match.lastgroup or ""
    kind = _BEGUN.get(last, last)
    text = match[kind]
    if kind == "number" and text[0] == "0" and text[1:2].isdigit():
        raise NoValue("a number that begins with zero")
    if kind == "run":
        return _of_run(text, start, spaced, before)
    if kind == "text":
        return _of_text(text, match["inside"], start, spaced, before)
    if kind == "command":
        return [_of_command(text, start, spaced)]
    if kind == "decorated":
        kind, text = "symbol", f"\\{text}{{{match['bare'] or match['one']}}}"
    elif kind == "environment":
        kind, text = "begin" if text == "begin" else "end_of", match["name"]
    return [Token("words" if kind == "currency" else kind, text, start, spaced)]


_BEGUN = {"inside": "text", "bare": "decorated", "one": "decorated", "name": "environment"}
"""Groups of `_TOKEN` that are the last of a token, and the one that says its kind."""
_INFINITY = ("infty", "infinity", "Infinity", "oo")


def _of_command(name: str, start: int, spaced: bool) -> Token:
    name = _SPELLINGS.get(name, name)
    if name in FUNCTIONS and name != "sqrt":
        return Token("function", name, start, spaced)
    if name == "{" or name == "}":
        return Token("sign", "\\" + name, start, spaced)
    if not name.isalpha():
        return Token("sign", name, start, spaced)
    if name in GREEK:
        return Token("letter", "\\" + name, start, spaced)
    return Token("command", name, start, spaced)


def _of_run(run: str, start: int, spaced: bool, before: list[Token]) -> list[Token]:
    """Letters side by side: a word, a function's name, a name of capitals, or a product."""
    name = _SPELLINGS.get(run, run)
    if name in FUNCTIONS and not (name == "min" and _is_number_before(before)):
        return [Token("command" if name == "sqrt" else "function", name, start, spaced)]
    if run == "pi" or run in _INFINITY:
        return [Token("command", "pi" if run == "pi" else "infty", start, spaced)]
    if len(run) == 1 and run != "µ":
        return [Token("letter", run, start, spaced)]
    if set(run) <= set("xyz"):
        return [Token("letter", x, start + k, spaced and not k) for k, x in enumerate(run)]
    free = "µ" not in run and not _is_value_before(before)
    if free and run.isupper() and len(run) <= 4:
        return [Token("symbol", run, start, spaced)]
    if free and len(run) == 2 and run.islower() and before:
        return [Token("letter", x, start + k, spaced and not k) for k, x in enumerate(run)]
    return [Token("words", run, start, spaced)]


def _is_value_before(before: list[Token]) -> bool:
    return bool(before) and (
        before[-1].kind not in ("sign", "function", "begin", "row")
        or before[-1].text in (")", "]", "}", "\\}", "|", "!", "%", "$")
    )


def _is_number_before(before: list[Token]) -> bool:
    return bool(before) and (
        before[-1].kind in ("number", "repeating") or before[-1].text in ("}", ")")
    )


def _of_text(
    wrapper: str, inside: str, start: int, spaced: bool, before: list[Token]
) -> list[Token]:
    r"""\text{73} and \mathrm{e} are what they hold; \text{ cm} is words."""
    plain = inside.strip()
    behind = _is_number_before(before)
    if (
        re.fullmatch(r"[-+0-9.,/%*^()= ]*", plain)
        or (plain in FUNCTIONS and not behind)
        or plain in _INFINITY
        or re.fullmatch(r"\([A-Za-z]\)", plain)
    ):
        return [t._replace(start=start, spaced=True) for t in tokens(plain)[:-1]]
    if len(plain) == 1 and plain.isalpha():
        units = not wrapper.startswith(("mathbf", "mathit", "bold", "bm"))
        if not (behind and units and plain in "mgsLhNJWVAKCFTlTdt"):
            return [Token("letter", plain, start, spaced)]
    return [Token("words", plain, start, True)]
