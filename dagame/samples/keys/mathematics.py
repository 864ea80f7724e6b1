r"""Mathematical text -> exact values, with none of it evaluated as code; for worker processes.

math-verify finds mathematics in a completion, and its grammar of LaTeX reads it. Its own number and
expression readers pass text to Python's `eval`, and its grammar drops or guesses where it does not
understand ("2(3)" as 2 + 3, "A1" as A, "10_2" as 10), which would make different answers one. So
the numbers here are read as rationals, a text must be read to its end, and what could be taken two
ways has no value and stays text.
"""

from __future__ import annotations

import re
import sys
from fractions import Fraction
from itertools import accumulate, groupby
from typing import Any

import sympy
import sympy.physics.units  # evaluates names of its own when it is first imported, by simplify
from antlr4 import Token
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, NormalizationConfig, _Latex2Sympy
from latex2sympy2_extended.math_normalization import normalize_latex
from math_verify import ExprExtractionConfig, LatexExtractionConfig
from math_verify.grader import should_treat_as_complex
from math_verify.parser import get_extraction_regexes

from .numbers import decimal, rational

# simplify would guess a denominator from its digits, and evaluate the text of the guess
sys.modules["sympy.simplify.simplify"].nsimplify = sympy.sympify  # type: ignore[attr-defined]

_COMMANDS = re.compile(
    r"[dtc]?frac|[dt]?binom|sqrt|pi|cdot|times|div|left|right|pm|infty|text|math(?:rm|bf|bb)|boxed"
    r"|alpha|beta|delta|epsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|rho|sigma|tau|phi|chi|psi|omega"
    r"|(?:arc)?(?:sin|cos|tan)|csc|sec|cot|sinh|cosh|tanh|log|ln|exp|max|min|gcd|lcm|det"
    r"|leq?|geq?|neq?|lt|gt|in|cup|cap|setminus|emptyset|[lr](?:floor|ceil|vert)"
    r"|begin|end|[pb]?matrix"
)
_AMBIGUOUS = re.compile(
    r"[^\n -~]"  # signs beyond ASCII
    r"|['\"`@#&~?:;]|\.\.|\*\*|//"
    r"|[0-9]\s*_"  # a base, which the grammar drops
    r"|(?<![0-9.])0[0-9]"  # 007, or a group of thousands
    r"|[0-9],[0-9]{3}(?![0-9])"  # thousands or a list
    r"|\\frac\s*[0-9]\s*[0-9]{2}"
    r"|\.(?![0-9])|\\\s*$"
)
_NORMAL = NormalizationConfig(
    basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="last"
)
_EXACT_CASE = ConversionConfig(lowercase_symbols=False)
_LARGEST_POWER = 1000
_LARGEST_POWER_OF_SUM = 12
_LONGEST, _DEEPEST = 1000, 8
_SHOWN = (LatexExtractionConfig(), ExprExtractionConfig())


# -- a completion's mathematics -------------------------------------------------------------------


def find_mathematics(completion: str) -> str:
    """The text of the answer where math-verify looks for it; "" if it finds none."""
    patterns = [
        (priority, pattern, isinstance(kind, LatexExtractionConfig))
        for regexes, kind in get_extraction_regexes(_SHOWN)
        for pattern, priority in regexes
    ]
    patterns.sort(key=lambda p: p[0])
    for _, group in groupby(patterns, key=lambda p: p[0]):
        found = [(m, latex) for _, p, latex in group for m in p.finditer(completion)]
        found.sort(key=lambda f: (f[0].end(), -f[0].start()), reverse=True)
        for match, latex in found:
            text = _latex_text(match) if latex else _number_text(match)
            if text:
                return text
    return ""


def _latex_text(match: re.Match[str]) -> str:
    """Normalised LaTeX of a match, several formulas joined by "and"."""
    config: Any = LatexExtractionConfig().normalization_config
    texts = []
    for name, text in match.groupdict().items():
        if text and "_latex" in name:
            boxed = "last" if name.endswith("latexBoxed") else config.boxed
            texts.append(
                normalize_latex(text, NormalizationConfig(**{**vars(config), "boxed": boxed}))
            )
    return " and ".join(texts)


def _number_text(match: re.Match[str]) -> str:
    groups = match.groupdict()
    whole = next((v for k, v in groups.items() if k.startswith("integer") and v), "")
    part = next((v for k, v in groups.items() if k.startswith("decimal") and v), "")
    if not whole and not part:
        return groups.get("expr") or ""
    sign = "-" if whole.startswith("-") else ""
    digits = re.sub(r"[-, ]", "", whole).lstrip("0") or "0"
    return f"{sign}{digits}{part.replace(',', '.')}"


# -- an answer's exact value ----------------------------------------------------------------------


def exact_key(answer: str) -> str:
    r"""The value as "p/q" or as sympy's normal form; "" for text without one certain value.

    Values are exact, units and case are kept, a percentage is a hundredth, a leading \$ is dropped,
    juxtaposition multiplies except in mixed numbers such as 2\frac12. A list keeps its order and
    what it repeats, a set in braces does not.
    """
    text = (
        answer.strip().strip("$").replace("{,}", ",").replace(r"\,", " ").replace(r"\!", "").strip()
    )
    number = rational(text.removeprefix("\\$"))
    if number is not None:
        return str(number)
    if not _readable(text):
        return ""
    parts = _listed(text)
    if len(parts) > 1:
        keys = [exact_key(part) for part in parts]
        return f"List({', '.join(keys)})" if all(keys) else ""
    latex = normalize_latex(text, _NORMAL)
    reader = _Reader(is_real=not should_treat_as_complex(latex), config=_EXACT_CASE)
    return _normal_form(reader.parse(latex))


def _readable(text: str) -> bool:
    """Only signs and commands that the grammar reads whole and in one way."""
    if len(text) > _LONGEST or _depth(text) > _DEEPEST:
        return False
    commands = re.findall(r"\\([A-Za-z]+)", text)
    plain = re.sub(r"\\(?:begin|end)\{\w+\}|\\[A-Za-z]+", " ", text)
    words = re.search(r"[A-Za-z]{3,}", plain) or re.fullmatch(r"\W*[A-Za-z]{2}\W*", text)
    unit = re.search(r"[0-9][\s{}()\\]*[A-Za-z]{2}", plain)
    return (
        not words
        and not unit
        and all(map(_COMMANDS.fullmatch, commands))
        and not _AMBIGUOUS.search(text)
    )


def _depth(text: str) -> int:
    """The deepest nesting of brackets; the grammar's time may double with each level."""
    return max(_depths(text), default=0)


def _depths(text: str) -> list[int]:
    return list(accumulate((sign in "([{") - (sign in ")]}") for sign in text))


def _listed(text: str) -> list[str]:
    """The parts between the commas outside all brackets."""
    depths = _depths(text)
    cuts = [k for k, sign in enumerate(text) if sign == "," and not depths[k]]
    return [text[a:b] for a, b in zip([0, *(k + 1 for k in cuts)], [*cuts, len(text)], strict=True)]


class _Reader(_Latex2Sympy):
    """The grammar's tree as an expression, exact and strict."""

    def create_parser(self, latex_str: str) -> Any:
        parser: Any = super().create_parser(latex_str)
        read = parser.math

        def to_the_end() -> Any:
            tree = read()
            if parser.getCurrentToken().type != Token.EOF:
                raise ValueError("the text goes on behind what was read")
            return tree

        parser.math = to_the_end
        return parser

    def parse_number(self, text: str) -> sympy.Rational:
        value = decimal(text)
        if value is None:
            raise ValueError("no number of bounded size")
        found: Any = sympy.Rational(value.numerator, value.denominator)
        return found

    def convert_binom(self, binom: Any) -> Any:
        top, bottom = self.convert_expr(binom.upper), self.convert_expr(binom.lower)
        return sympy.binomial(top, bottom, evaluate=False)

    def convert_mp(self, mp: Any) -> Any:
        if (mp.DIV() or mp.CMD_DIV()) and _is_product(mp.children[-1].children[0]):
            raise ValueError("1/2x could be read two ways")
        return super().convert_mp(mp)

    def convert_postfix_list(self, arr: list[Any], i: int = 0) -> Any:
        first = self.convert_postfix(arr[i])
        if i == len(arr) - 1:
            return first
        here, after = arr[i].getText(), arr[i + 1].getText()
        if after[0] in "0123456789." or not isinstance(first, sympy.Expr | sympy.MatrixBase):
            raise ValueError("juxtaposition that could be read two ways")
        rest = self.convert_postfix_list(arr, i + 1)
        if re.fullmatch(r"[0-9]+", here) and re.fullmatch(r"\\frac\{?[0-9]+\}?\{?[0-9]+\}?", after):
            part = sympy.Rational(1) * sympy.simplify(rest)
            if i + 2 < len(arr) or not 0 < part < 1:
                raise ValueError("a mixed number or a product")
            return first + part
        matrices = any(getattr(x, "is_Matrix", False) for x in (first, rest))
        return self.mat_mul_flat(first, rest) if matrices else self.mul_flat(first, rest)


def _is_product(unary: Any) -> bool:
    """Whether an operand of the grammar is several factors side by side, behind its signs."""
    if unary.ADD() or unary.SUB():
        return _is_product(unary.children[-1])
    return len(unary.children) > 1


def _normal_form(value: Any) -> str:
    if isinstance(value, sympy.Tuple | sympy.FiniteSet):
        parts = [_normal_form(a) for a in value.args]
        if not all(parts):
            return ""
        name = "Tuple" if isinstance(value, sympy.Tuple) else "FiniteSet"
        ordered = parts if name == "Tuple" else sorted(set(parts))
        return f"{name}({', '.join(ordered)})"
    if not isinstance(value, sympy.Expr | sympy.MatrixBase | sympy.Set | sympy.core.relational.Rel):
        return ""
    _refuse_towers(value)
    if isinstance(value, sympy.Expr):
        value = sympy.simplify(value)
    if value.has(sympy.Float, sympy.nan, sympy.zoo):
        return ""
    if isinstance(value, sympy.Rational):
        return str(Fraction(int(value.p), int(value.q)))
    return sympy.srepr(value)


def _refuse_towers(value: Any) -> None:
    """No powers and factorials that would take more than memory or time to write out."""
    for node in sympy.preorder_traversal(value):
        grows: Any = node.exp if isinstance(node, sympy.Pow) else None
        if isinstance(node, sympy.factorial | sympy.binomial):
            grows = node.args[0]
        if grows is None or not grows.is_number:
            continue
        sums = (
            isinstance(node, sympy.Pow) and node.base.has(sympy.Symbol) and node.base.has(sympy.Add)
        )
        most = _LARGEST_POWER_OF_SUM if sums else _LARGEST_POWER
        if grows.has(sympy.Pow, sympy.factorial) or abs(grows) > most:
            raise ValueError("too large a power")
