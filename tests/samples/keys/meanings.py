"""Texts with a known meaning, from seeds: numbers, quantities, sets, equations, expressions.

A meaning is worked out here, by exact fractions or by 60 digits of mpmath at fixed points, and never
by the package's reader. `pairs` gives texts side by side with whether they mean the same; `faults`
runs them through a reader and returns the merges (different meanings, one key) and the splits.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Hashable, Iterator
from fractions import Fraction
from typing import NamedTuple

import mpmath
from written import Text, a_fraction, money, near, number_texts, quantity

# -- expressions ----------------------------------------------------------------------------------

POINTS = tuple(
    {"x": mpmath.mpf(a) / 7, "y": mpmath.mpf(b) / 11, "n": mpmath.mpf(c) / 13}
    for a, b, c in ((5, 17, 9), (23, 4, 31), (-11, 29, 40))
)


class Tree(NamedTuple):
    """An expression: its LaTeX, its plain text where it has one, and its value at a point."""

    latex: str
    value: Callable[[dict[str, mpmath.mpf]], mpmath.mpc]
    atom: bool
    letters: bool


def _leaf(rng: random.Random) -> Tree:
    kind = rng.randrange(8)
    if kind < 3:
        n = rng.randrange(1, 10)
        return Tree(str(n), lambda at: mpmath.mpc(n), True, False)
    if kind < 5:
        name = rng.choice(("x", "x", "y"))
        return Tree(name, lambda at: mpmath.mpc(at[name]), True, True)
    if kind == 5:
        n = rng.choice((2, 3, 5, 6, 8, 12))
        return Tree(rf"\sqrt{{{n}}}", lambda at: mpmath.sqrt(n), True, False)
    if kind == 6:
        p, q = rng.randrange(1, 8), rng.randrange(2, 9)
        return Tree(rf"\frac{{{p}}}{{{q}}}", lambda at: mpmath.mpc(p) / q, True, False)
    name = rng.choice((r"\pi", "i", "e", r"\sqrt[3]{2}", r"\ln 2"))
    constant = {"\\pi": mpmath.pi, "i": mpmath.mpc(0, 1), "e": mpmath.e}.get(name)
    if constant is None:
        constant = mpmath.cbrt(2) if "sqrt" in name else mpmath.log(2)
    return Tree(name if "ln" not in name else r"\ln{(2)}", lambda at: +constant, True, False)


def tree(rng: random.Random, depth: int) -> Tree:
    if depth == 0 or rng.random() < 0.15:
        return _leaf(rng)
    a, b = tree(rng, depth - 1), tree(rng, depth - 1)
    return combined(rng.choice("+-*/^+*s"), a, b, rng)


def _within(t: Tree) -> str:
    return t.latex if t.atom else rf"\left({t.latex}\right)"


def combined(sign: str, a: Tree, b: Tree, rng: random.Random) -> Tree:
    """A tree of two, in one of the spellings of that operation."""
    letters = a.letters or b.letters
    if sign == "+":
        return Tree(
            f"{a.latex} + {_within(b)}", lambda at: a.value(at) + b.value(at), False, letters
        )
    if sign == "-":
        return Tree(
            f"{a.latex} - {_within(b)}", lambda at: a.value(at) - b.value(at), False, letters
        )
    if sign == "*":
        dot = rng.choice((r" \cdot ", r" \times ", " * "))
        text = f"{_within(a)}{dot}{_within(b)}"
        return Tree(text, lambda at: a.value(at) * b.value(at), False, letters)
    if sign == "/":
        return Tree(
            rf"\frac{{{a.latex}}}{{{b.latex}}}", lambda at: a.value(at) / b.value(at), True, letters
        )
    if sign == "s" and not letters:
        name = rng.choice(("sin", "cos", "ln"))
        of = {"sin": mpmath.sin, "cos": mpmath.cos, "ln": mpmath.log}[name]
        return Tree(rf"\{name}({a.latex})", lambda at: of(a.value(at)), True, letters)
    power = rng.randrange(2, 4)
    base = a.latex if len(a.latex) == 1 else f"({a.latex})"
    return Tree(
        f"{base}^{power}" if rng.random() < 0.5 else f"{base}^{{{power}}}",
        lambda at: a.value(at) ** power,
        False,
        letters,
    )


def changed(rng: random.Random, t: Tree, one: Tree) -> Tree:
    """The same value otherwise written, by an identity of algebra."""
    kind = rng.randrange(6)
    if kind == 0:
        return combined("-", combined("+", t, one, rng), one, rng)
    if kind == 1:
        return Tree(rf"\frac{{2\left({t.latex}\right)}}{{2}}", t.value, True, t.letters)
    if kind == 2:
        return Tree(rf"-\left(-\left({t.latex}\right)\right)", t.value, False, t.letters)
    if kind == 3:
        return Tree(
            rf"\left({one.latex}\right) + {_within(t)} - {_within(one)}",
            t.value,
            False,
            t.letters or one.letters,
        )
    if kind == 4:
        return Tree(
            rf"\frac{{\left({t.latex}\right)\sqrt{{7}}}}{{\sqrt{{7}}}}", t.value, True, t.letters
        )
    return Tree(rf"0 + \left({t.latex}\right) \cdot 1", t.value, False, t.letters)


def value_of(t: Tree) -> Hashable | None:
    """Its values at the points, to 40 digits; None where one is not finite."""
    with mpmath.workdps(70):
        try:
            values = [mpmath.mpc(t.value(at)) for at in POINTS[: 3 if t.letters else 1]]
        except (ZeroDivisionError, ValueError, OverflowError):
            return None
        if any(not mpmath.isfinite(v) or abs(v) > 1e30 or 0 < abs(v) < 1e-30 for v in values):
            return None
        parts = [x for v in values for x in (v.real, v.imag)]
        texts = [mpmath.nstr(x + 0, 40) if abs(x) > 1e-45 else "0" for x in parts]
        if len(texts) == 2 or len(set(zip(texts[::2], texts[1::2], strict=True))) == 1:
            texts = texts[:2]
    return ("value", *texts)


def expressions(rng: random.Random) -> list[Text]:
    first = tree(rng, rng.randrange(1, 4))
    found = [first]
    for _ in range(2):
        found.append(changed(rng, rng.choice(found), _leaf(rng)))
    found.append(combined("+", first, _leaf(rng), rng))
    found.append(tree(rng, 1))
    texts = []
    for t in found:
        meaning = value_of(t)
        if meaning is not None:
            texts.append(Text(t.latex, meaning, False))
    return texts


# -- forms of several numbers ---------------------------------------------------------------------


def _number(rng: random.Random, value: Fraction) -> str:
    texts = [
        t.text
        for t in number_texts(value)
        if "," not in t.text
        and "percent" not in t.text
        and "div" not in t.text
        and "+" not in t.text
    ]
    return rng.choice(texts)


def _few(rng: random.Random, count: int) -> tuple[Fraction, ...]:
    return tuple(Fraction(rng.randrange(-9, 10), rng.choice((1, 1, 1, 2, 3))) for _ in range(count))


def _mutated(rng: random.Random, values: tuple[Fraction, ...]) -> tuple[Fraction, ...]:
    k = rng.randrange(len(values))
    other = list(values)
    if rng.random() < 0.3:
        rng.shuffle(other)
    elif rng.random() < 0.3:
        other.append(other[k])
    else:
        other[k] = near(rng, other[k])
    return tuple(other)


def collections(rng: random.Random) -> list[Text]:
    """Tuples, lists and sets of the same numbers."""
    values = _few(rng, rng.randrange(3, 5))
    found = []
    for v in (values, _mutated(rng, values), values):
        items = [_number(rng, x) for x in v]
        comma = rng.choice((", ", " , "))
        found.append(Text(f"({comma.join(items)})", ("tuple", v), False))
        found.append(Text(rf"\left({comma.join(items)}\right)", ("tuple", v), False))
        found.append(Text(comma.join(items), ("list", v), False))
        found.append(Text(f"{comma.join(items[:-1])} and {items[-1]}", ("list", v), False))
        mixed = [*items, rng.choice(items)]
        rng.shuffle(mixed)
        found.append(Text(rf"\{{{comma.join(mixed)}\}}", ("set", frozenset(v)), False))
        found.append(Text(rf"\left\{{{comma.join(items)}\right\}}", ("set", frozenset(v)), False))
    return found


def intervals(rng: random.Random) -> list[Text]:
    a, b = sorted(_few(rng, 2))
    found = []
    for low, high in ((a, b + 1), (a, b + 1), _mutated(rng, (a, b + 1))[:2]):
        opening, closing = rng.choice("(["), rng.choice(")]")
        left, right = _number(rng, low), _number(rng, high)
        meaning = (opening, low, high, closing)
        found.append(Text(f"{opening}{left}, {right}{closing}", meaning, False))
        found.append(Text(rf"\left{opening}{left},\,{right}\right{closing}", meaning, False))
        infinite = rng.choice((r"\infty", "∞"))
        found.append(Text(rf"{opening}{left}, {infinite})", (opening, low, "oo", ")"), False))
        found.append(Text(rf"(-{infinite}, {right}{closing}", ("(", "-oo", high, closing), False))
        union = ("union", frozenset((meaning, ("(", Fraction(40), Fraction(50), ")"))))
        sign = rng.choice((r"\cup", "∪"))
        found.append(Text(f"{opening}{left}, {right}{closing} {sign} (40, 50)", union, False))
        found.append(Text(f"(40, 50) {sign} {opening}{left} ,{right}{closing}", union, False))
    return found


def equations(rng: random.Random) -> list[Text]:
    """Lines a x + b y = c and half-planes, in several arrangements, with their neighbours."""
    a, b, c = (rng.randrange(-6, 7) or 1 for _ in range(3))
    found = [Text(f"{c}", Fraction(c)), Text(f"z = {c}", ("line", (0, 0, 1), Fraction(c)))]
    for p, q, r in ((a, b, c), (a, b, c), (a, b, rng.randrange(-6, 7) or 2), (b, a, c), (-a, b, c)):
        k = rng.choice((1, 1, 2, -1, 3))
        first = math.gcd(p, q, r) * (1 if p > 0 else -1)
        line = ("line", Fraction(p, first), Fraction(q, first), Fraction(r, first))
        side = f"{_term(k * p, 'x', True)}{_term(k * q, 'y')}"
        found.append(Text(f"{side} = {k * r}", line))
        found.append(Text(f"{k * r}={side}", line))
        found.append(Text(f"{side}{_term(-k * r, '')} = 0", line))
        found.append(Text(f"{_term(p, 'x', True)} = {_term(r, '', True)}{_term(-q, 'y')}", line))
        if k > 0:
            half = (
                "half",
                Fraction(p, abs(first)),
                Fraction(q, abs(first)),
                Fraction(r, abs(first)),
            )
            found.append(Text(f"{side} < {k * r}", half))
            found.append(Text(f"{k * r} > {side}", half))
            found.append(Text(rf"{side} \le {k * r}", ("closed", *half[1:])))
            found.append(Text(rf"{k * r} \geq {side}", ("closed", *half[1:])))
    return found


def _term(c: int, name: str, first: bool = False) -> str:
    size = str(abs(c)) if abs(c) != 1 or not name else ""
    if first:
        return f"{'-' if c < 0 else ''}{size}{name}"
    return f" {'-' if c < 0 else '+'} {size}{name}"


def matrices(rng: random.Random) -> list[Text]:
    values = _few(rng, 4)
    found = []
    for v in (values, _mutated(rng, values)[:4], values):
        a, b, c, d = (_number(rng, x) for x in v)
        for name in ("pmatrix", "bmatrix"):
            body = rf"{a} & {b} \\ {c} & {d}"
            found.append(Text(rf"\begin{{{name}}} {body} \end{{{name}}}", ("matrix", v), False))
        column = rf"\begin{{pmatrix}} {a} \\ {b} \\ {c} \\ {d} \end{{pmatrix}}"
        found.append(Text(column, ("column", v), False))
    return found


NAMES = [
    r"x",
    r"X",
    r"x_1",
    r"x_2",
    r"x_{12}",
    r"x'",
    r"f",
    r"f'",
    r"f(2)",
    r"f(3)",
    r"g(2)",
    r"A",
    r"B",
    r"AB",
    r"BA",
    r"\alpha",
    r"\theta",
    r"no",
    r"on",
    r"Monday",
    r"Paris",
    r"x_n",
    r"e",
    r"E",
]


def names(rng: random.Random) -> list[Text]:
    """Names that differ in one sign, and words."""
    found = [Text(t, ("name", t), False) for t in rng.sample(NAMES, 6)]
    for word in ("Monday", "Paris", "both of them"):
        shown = rng.choice((word, rf"\text{{{word}}}", f"**{word}**", rf"\textbf{{{word}}}"))
        found.append(Text(shown, ("name", word), False))
    return found


def numbers(rng: random.Random) -> list[Text]:
    value = a_fraction(rng)
    found = []
    for v in (value, value, near(rng, value), near(rng, value)):
        texts = number_texts(v)
        found += rng.sample(texts, min(4, len(texts)))
    return found


FAMILIES = (
    *(numbers, numbers, quantity, quantity, money, expressions, expressions),
    *(collections, intervals, equations, matrices, names),
)

WRAPPED = ("{}", "${}$", r"\({}\)", "**{}**", " {} ", r"$\boxed{{{}}}$", "{}.", r"\[{}\]", "$${}$$")
SENTENCES = (
    "We add up and find ${}$.",
    "The answer is ${}$.",
    r"So it is \boxed{{{}}}.",
    "First 12, then:\n$${}$$",
    r"Thus \[{}\]",
    "**Answer:** ${}$",
    r"In 3 steps: \({}\)",
    "Final answer: ${}$",
    r"Therefore, the answer is $\boxed{{{}}}$. Done.",
)
PLAIN_SENTENCES = (
    "The answer is {}.",
    "Therefore it is {}.",
    "Final Answer: **{}**",
    "We get {}",
    "After 3 steps\n\nit is {}.",
)


def shown(rng: random.Random, text: Text, sentence: bool) -> str:
    """The text wrapped, or in a sentence that ends in it."""
    if not sentence:
        wrapped = [w for w in WRAPPED if w != text.text[:2] + "{}**"]
        return rng.choice(wrapped).format(text.text)
    if text.plain and rng.random() < 0.5:
        return rng.choice(PLAIN_SENTENCES).format(text.text)
    if "$" in text.text:
        return rng.choice(PLAIN_SENTENCES).format(text.text)
    return rng.choice(SENTENCES).format(text.text)


def pairs(seed: int, count: int, *, sentence: bool = False) -> Iterator[tuple[str, str, bool]]:
    """Two texts and whether they mean the same; about as many of either kind as there are."""
    rng = random.Random(seed)
    given = 0
    while given < count:
        texts = rng.choice(FAMILIES)(rng)
        both = list(itertools.combinations(texts, 2))
        rng.shuffle(both)
        same = [p for p in both if p[0].meaning == p[1].meaning]
        different = [p for p in both if p[0].meaning != p[1].meaning]
        for a, b in (*same[:6], *different[:6]):
            yield shown(rng, a, sentence), shown(rng, b, sentence), a.meaning == b.meaning
            given += 1
            if given == count:
                return


class Faults(NamedTuple):
    merges: list[tuple[str, str, str]]
    splits: list[tuple[str, str, str, str]]
    read: int


def faults(key: Callable[[str], str], seed: int, count: int, *, sentence: bool = False) -> Faults:
    """Different meanings with one key, and one meaning with two; `read` counts the pairs."""
    merges, splits = [], []
    known: dict[str, str] = {}

    def once(text: str) -> str:
        if text not in known:
            known[text] = key(text)
        return known[text]

    number = 0
    for a, b, same in pairs(seed, count, sentence=sentence):
        number += 1
        first, second = once(a), once(b)
        if same and first != second:
            splits.append((a, b, first, second))
        elif not same and first == second and first:
            merges.append((a, b, first))
    return Faults(merges, splits, number)
