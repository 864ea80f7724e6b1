"""Hostile texts and files, and random ones with a known meaning, all from seeds."""

from __future__ import annotations

import json
import random
from fractions import Fraction

PAYLOADS = (
    "__import__('os').system('touch {canary}')",
    "open('{canary}','w').write('x')",
    "().__class__.__base__.__subclasses__()",
    "(lambda: open('{canary}','w'))()",
    "exec(\"open('{canary}','w')\")",
    "eval(compile(\"open('{canary}','w')\",'x','exec'))",
    "[c for c in ().__class__.__base__.__subclasses__() if c.__name__=='Popen'][0]('touch {canary}')",
    "1+__import__('pathlib').Path('{canary}').touch()",
    'S(\'open("{canary}","w")\')',
    "{canary}",
    r"\operatorname{{__import__('os').system('touch {canary}')}}(1)",
    r"\input{{{canary}}} \write18{{touch {canary}}}",
)
WRAPPED = (
    "{}",
    "${}$",
    r"\boxed{{{}}}",
    "answer: {}",
    "1+{}",
    "#### {}",
    r"\text{{{}}}",
    "2^{{{}}}",
)

BOMBS = (
    "9**9**9**9",
    "9^{9^{9^{9}}}",
    "1000000!",
    "5!!!!!!!!",
    r"\binom{1000000000}{500000000}",
    "(x+y+z+1)^{1000}",
    r"\frac{1}{" * 300 + "1" + "}" * 300,
    r"\sqrt{" * 300 + "2" + "}" * 300,
    "(" * 400 + "1" + ")" * 400,
    "1" * 1_000_000,
    "1e999999999",
    "1e999/1e-999",
    "٣" * 10_000,
    r"\sum_{n=1}^{1000000000} n!",
    r"\begin{pmatrix}" + r"\\".join(["1&" * 30 + "1"] * 31) + r"\end{pmatrix}",
    r"\exp(\exp(\exp(\exp(100))))",
    "[0,1] \\cup " * 60 + "[0,1]",
    "1,2,3;" * 2000,
    "\x00\x01\ufeff\u202e1",
    "\\" * 1000,
    "{" * 1000,
    "$" * 10_000,
)


def hostile_rows(canary: str) -> list[str]:
    """Every payload in every wrapping, and the bombs plain, as mathematics and boxed."""
    attacks = [w.format(p.format(canary=canary)) for p in PAYLOADS for w in WRAPPED]
    bombs = [w.format(b) for b in BOMBS for w in ("{}", "${}$", r"\boxed{{{}}}")]
    return attacks + bombs


def expression(rng: random.Random, depth: int) -> tuple[str, Fraction]:
    """LaTeX or plain arithmetic and its value by Python's exact fractions."""
    if depth == 0 or rng.random() < 0.2:
        return _number(rng)
    left, x = expression(rng, depth - 1)
    right, y = expression(rng, depth - 1)
    kind = rng.randrange(7)
    if kind == 0:
        return f"({left})+({right})", x + y
    if kind == 1:
        return f"({left})-({right})", x - y
    if kind == 2:
        return rf"({left})\cdot({right})", x * y
    if kind == 3:
        return f"({left})({right})", x * y
    if kind == 4 and y:
        return rf"\frac{{{left}}}{{{right}}}", x / y
    if kind == 5 and y:
        return f"({left})/({right})", x / y
    power = rng.randrange(3)
    return f"({left})^{{{power}}}", x**power


def _number(rng: random.Random) -> tuple[str, Fraction]:
    whole = rng.choice((0, 1, 2, 3, 7, 10, 12, 100, rng.randrange(10**6)))
    kind = rng.randrange(5)
    if kind == 0:
        digits = f"{rng.randrange(10**6):06d}"[: rng.randrange(1, 7)]
        return f"{whole}.{digits}", Fraction(f"{whole}.{digits}")
    if kind == 1:
        below = rng.randrange(1, 30)
        return rf"\frac{{{whole}}}{{{below}}}", Fraction(whole, below)
    if kind == 2:
        below = rng.randrange(2, 9)
        above = rng.randrange(1, below)
        return rf"{whole}\frac{{{above}}}{{{below}}}", whole + Fraction(above, below)
    return str(whole), Fraction(whole)


def latex_soup(rng: random.Random) -> str:
    """Random pieces of LaTeX and Python side by side, seldom well formed."""
    spaced = (
        r"\frac{1}{2} \sqrt{x} ^ _ { } ( ) [ ] | \left( \right) \sum \int \lim \operatorname{f}"
        r" + - * / = < > , ; : ! ' % & \\ \pi e i x y 0 1 12 3.5 007 1,000 \text{a} \boxed{ } $ $$"
        r" \begin{matrix} \end{matrix} __import__ eval( lambda '0' \cdot \pm \infty \det ٣ −"
    )
    pieces = [*spaced.split(), " ", "\n"]
    return "".join(rng.choice(pieces) for _ in range(rng.randrange(1, 12)))


def rows_and_lines(rng: random.Random, count: int) -> list[tuple[dict | None, bytes]]:
    """Lines of a JSON file with what they say; None where the line is malformed."""
    return [_line(rng) for _ in range(count)]


def _line(rng: random.Random) -> tuple[dict | None, bytes]:
    row = {"q": f"q{rng.randrange(3)}", "f": rng.randrange(3), "completion": _text(rng)}
    if rng.random() < 0.5:
        row["ok"] = rng.choice((0, 1, 0.5, None))
    if rng.random() < 0.2:
        row["extra"] = rng.choice(([1, 2], {"a": "b"}, [], None))
    text = json.dumps(row, ensure_ascii=rng.random() < 0.5).encode()
    if rng.random() < 0.75:
        return row, text
    return None, rng.choice(_CORRUPTIONS)(rng, text)


def _text(rng: random.Random) -> str:
    alphabet = 'ab1 #\\"{}[]\n\r\t\x00\u2028é😀٣\u202e,'
    body = "".join(rng.choice(alphabet) for _ in range(rng.randrange(8)))
    return f"{body}#### {rng.randrange(4)}" if rng.random() < 0.8 else body


_CORRUPTIONS = (
    lambda rng, text: text[: rng.randrange(1, len(text))],
    lambda rng, text: text + rng.choice((b",", b"{}", b" x", b"}", text)),
    lambda rng, text: text[:-1] + b', "x": NaN}',
    lambda rng, text: text[:-1] + b', "x": 1e999}',
    lambda rng, text: text[:-1] + b', "x": "\\ud800"}',
    lambda rng, text: text[:-1] + b', "x": "\xff"}',
    lambda rng, text: text[:-1] + b', "x": ' + b"[" * 300 + b"]" * 300 + b"}",
    lambda rng, text: text[:-1] + b', "x": ' + b"9" * 400 + b"}",
    lambda rng, text: b"[" + text + b"]",
    lambda rng, text: rng.choice((b"null", b"3", b'"x"', b" \xef\xbb\xbf{}", b"{", b"\x00")),
)
