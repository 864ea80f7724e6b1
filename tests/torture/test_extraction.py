"""Hostile completions and dying workers: no code runs, no row is lost or shifted, nothing hangs."""

from __future__ import annotations

import itertools
import random
import re
import time
from fractions import Fraction
from functools import cache
from pathlib import Path

import polars as pl
import pytest
from budget import FACTOR, scale
from corpora import expression, hostile_rows, latex_soup
from interpreter import python

from dagame.errors import ExtractionError
from dagame.samples.keys.canonical import make_canonicaliser
from dagame.samples.keys.extract import LONGEST_PATTERN, NAMES, check_pattern, make_extractor
from dagame.samples.keys.numbers import rational

SEED = 8 if FACTOR == 1 else random.SystemRandom().randrange(2**32)


def keys(name, rows, **options):
    return make_canonicaliser(name, **options)(pl.Series(rows, dtype=pl.String)).to_list()


# -- nothing runs ---------------------------------------------------------------------------------


def test_hostile_rows_run_nothing_and_cost_only_themselves(tmp_path, monkeypatch):
    canary = tmp_path / "pwned"
    for name in ("sympy", "json", "math_verify"):  # of a folder with hostile modules
        (tmp_path / f"{name}.py").write_text(f"open({str(canary)!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    rows = []
    for k, row in enumerate(hostile_rows(str(canary))[:: 1 if FACTOR > 1 else 3]):
        rows += [row, rf"so $\boxed{{{k}}}$"]
    for spec in NAMES:
        done = make_extractor(spec, row_seconds=3)(pl.Series(rows))
        if spec in ("boxed", "math"):
            assert done.answers.to_list()[1::2] == [str(k) for k in range(len(rows) // 2)]
    plain = [row if k % 2 == 0 else str(k) for k, row in enumerate(rows)]
    for name in ("number", "math", "casefold", "nospace", "exact"):
        found = keys(name, plain, row_seconds=3)
        assert found[1::2] == [str(k) for k in range(1, len(rows), 2)]
    assert not canary.exists()


WATCH = """
import json, random, sys
from dagame.samples.keys.mathematics import exact_key, find_mathematics
sys.path.append(sys.argv[3])
from corpora import hostile_rows, latex_soup, expression
exact_key(r"\\\\frac{x+1}{2}")
rows = [r for r in hostile_rows("/nowhere") if len(r) < 200 and "9" not in r and "sqrt" not in r]
rng = random.Random(int(sys.argv[1]))
rows += [latex_soup(rng) for _ in range(int(sys.argv[2]))]
rows += [expression(rng, 3)[0] for _ in range(int(sys.argv[2]))]
ran = []
def watch(event, args):
    name = sys._getframe(1).f_code.co_filename if event in ("compile", "exec") else ""
    if name and not name.startswith("<frozen importlib") and not name.endswith(
        ("/dataclasses.py", "/collections/__init__.py", "/polys/monomials.py")):
        ran.append([event, name, row])
    if event.startswith(("os.system", "subprocess", "socket", "os.exec")):
        ran.append([event, "", row])
sys.addaudithook(watch)
values = 0
for row in rows:
    for read in (exact_key, find_mathematics):
        try:
            values += bool(read(row))
        except Exception:
            pass
print(json.dumps([ran, values]))
"""


def test_no_text_reaches_an_evaluator_even_without_the_confinement():
    ran, values = python(
        WATCH, str(SEED), str(scale(30)), str(Path(__file__).parent), timeout=60 * FACTOR
    )
    assert ran == []
    assert values > 30


CONFINED = """
import json, os, socket, subprocess, sys, tempfile, ctypes
from dagame.samples.keys.confinement import Refused, confine, limit
limit(5)
code = compile("1", "x.py", "eval")
confine()
tries = {
    "eval": lambda: eval("1+1"), "exec": lambda: exec("1"), "code": lambda: eval(code),
    "compile": lambda: compile("1", "<frozen importlib>", "eval"),
    "write": lambda: open(sys.argv[1], "w"), "read": lambda: open("/etc/hostname"),
    "os.open": lambda: os.open(sys.argv[1], os.O_CREAT), "remove": lambda: os.remove(sys.argv[1]),
    "system": lambda: os.system("true"), "popen": lambda: subprocess.Popen(["true"]),
    "fork": os.fork, "exec*": lambda: os.execv("/bin/true", ["true"]), "mkdir": lambda: os.mkdir("x"),
    "socket": socket.socket, "ctypes": lambda: ctypes.CDLL(None), "kill": lambda: os.kill(1, 0),
    "temporary": tempfile.mkstemp,
}
refused = []
for name, attempt in tries.items():
    try:
        attempt()
    except Refused:
        refused.append(name)
import colorsys
try:
    bytearray(2 << 30)
except MemoryError:
    refused.append("memory")
print(json.dumps([refused, [*tries, "memory"]]))
"""


def test_the_confinement_refuses_what_reading_does_not_need(tmp_path):
    refused, tries = python(CONFINED, str(tmp_path / "file"))
    assert refused == tries
    assert list(tmp_path.iterdir()) == []


# -- values ---------------------------------------------------------------------------------------


def test_values_of_random_expressions_by_exact_fractions():
    rng = random.Random(SEED)
    cases = dict(expression(rng, rng.randrange(4)) for _ in range(scale(40)))
    rows = list(cases)
    found = keys("math", rows)
    wrong = [
        (r, k)
        for r, k in zip(rows, found, strict=True)
        if k != str(cases[r]) and rational(k) is not None
    ]
    assert wrong == []
    read = sum(k == str(cases[r]) for r, k in zip(rows, found, strict=True))
    assert read > 0.8 * len(rows)
    rng.shuffle(rows)
    again = dict(zip(rows, keys("math", rows), strict=True))
    assert [again[r] for r in cases] == found


def test_numbers_by_exact_fractions():
    rng = random.Random(SEED)
    rows = [
        "".join(rng.choice("0123456789.,/e-+ ") for _ in range(rng.randrange(1, 9)))
        for _ in range(scale(3000))
    ]
    for row, key in zip(rows, keys("number", rows), strict=True):
        value = Fraction(key) if re.fullmatch("-?[0-9]+(/[1-9][0-9]*)?", key or "") else None
        if re.search(r"e[-+]?[0-9]{4}|/.*/", row):  # beyond the bound on exponents; no fraction
            assert value is None, (row, key)
            continue
        above, slash, below = row.replace(" ", "").rstrip(".").partition("/")
        try:
            plain = Fraction(above) / (Fraction(below) if slash else 1)
        except (ValueError, ZeroDivisionError):
            continue
        assert value is None or value == plain or " " in row, (row, key)
        if " " not in row and "_" not in row:
            assert value == plain, (row, key)


DIFFERENT = [
    ("number", ["1,5", "15", "1.5", "3 1/2", "31/2", "7/2", "1 2", "12", "1/0", "0"]),
    ("number", ["9" * 5000, "9" * 5001, "1e999", "1e998", "1e1000"]),
    ("math", ["0.333333333333333", "1/3", "0.33333333333333333333"]),
    ("math", ["12 34", "46", "408", "2 3", "5", "6", "23"]),
    ("math", ["A1", "A", "a", "A2", "x2", "x", "2x"]),
    ("math", ["10_2", "10", "0x10", "0", "1_000", "1", "1 000 1"]),
    ("math", [r"0.\overline{3}", "0", "0.3", r"0.\overline{03}"]),
    ("math", ["1/2 x", r"\frac{x}{2}", r"\frac{1}{2x}"]),
    ("math", ["no", "on", "yes", "f'", "f", "1/0", r"\frac{0}{0}", r"\infty"]),
    ("math", ["5 cm", "5 m", "5", "90^\\circ", "90"]),
    ("math", [r"\Gamma", r"\gamma", r"\Pi", r"\pi", "e", "E"]),
    ("math", ["1, 2, \\ldots", "1, 2", "(1,2)", "(2,1)", "[1,2]", "1.2"]),
    (
        "number",
        [
            "3 1/2 cups",
            "31/2 cups",
            "3 .5 cups",
            "3.5 cups",
            "3. 5 cups",
            "3\x005 cups",
            "3 5 cups",
        ],
    ),
    ("math", ["3 1/2 cups", "31/2 cups", "2, 2, 3", "2, 3", "3,2", r"\{2,3\}", "(2,3)", "23"]),
    (
        "math",
        ["1/2, 3", "3, 1/2", "(1,2), (3,4)", "(3,4), (1,2)", "x=1,2", "x=2,1", r"\pm 1, 1"],
    ),
    ("math", ["5 mN", "5 Nm", "6am", "6ma", r"5\ mN m", r"5\ Nm m", "(5)mg", "(5)gm"]),
    (
        "math",
        [r"5\text{mN}", r"5\text{Nm}", r"\frac12 ab", r"\frac12 ba", r"2\pi mN", r"2\pi Nm"],
    ),
    ("math", ["12:30", "0.4", "(1,234)", "1234", "(1,000)", "(1,0)"]),
]
EQUAL = [
    ["2(3)", "6", r"2\cdot 3", "6.0", "$6$", "12/2"],
    [r"1{,}000", "1,000", "1000", r"1\,000", "1e3", "10^3", r"\$1,000"],
    [r"\frac{1}{\sqrt{2}+1}", r"\sqrt{2}-1"],
    [r"2\frac12", "5/2", "2.5", r"\frac{10}{4}"],
    ["−3", "-3"],
    ["50%", "0.5", r"50\%"],
    [r"\$5", "$5$", "5"],
    ["0.5, 2(3)", r"\frac{1}{2},6", "1/2 ,  6.0"],
    [r"\{3,2,2\}", r"\{2, 3\}"],
    ["3  cups", "3 cups", " 3cups"],
]


@cache
def keys_of_all(name):
    """The key of every text of both tables: workers start once a canonicaliser."""
    texts = [t for kind, row in DIFFERENT if kind == name for t in row]
    texts += [t for row in EQUAL for t in row if name == "math"]
    return dict(zip(texts, keys(name, texts), strict=True))


@pytest.mark.parametrize(("name", "texts"), DIFFERENT)
def test_different_values_keep_different_keys(name, texts):
    found = [keys_of_all(name)[text] for text in texts]
    assert len(set(found)) == len(texts), dict(zip(texts, found, strict=True))


@pytest.mark.parametrize("texts", EQUAL)
def test_equal_values_have_one_key(texts):
    assert len({keys_of_all("math")[text] for text in texts}) == 1


def test_soup_is_read_in_any_order_alike():
    rng = random.Random(SEED)
    rows = [latex_soup(rng) for _ in range(scale(40))]
    first = dict(zip(rows, keys("math", rows), strict=True))
    rng.shuffle(rows)
    assert dict(zip(rows, keys("math", rows), strict=True)) == first
    assert all(k is None or k for k in first.values())


# -- patterns -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern",
    [
        "((a+)+)$",
        "((a|a)*)b",
        "(((a*)*)*)b",
        "(a?){50}(a){50}$",
        "(.*)(.*)(.*)(.*)x",
        r"(\b)*",
        "()",
        "(^)",
    ],
    ids=itertools.count(),
)
def test_catastrophic_patterns_are_linear(pattern):
    text = "a" * 1_000_000 + "!"
    started = time.process_time()
    found = make_extractor(pattern)(pl.Series([text, "b"])).answers.to_list()
    assert len(found) == 2
    assert time.process_time() - started < 60


@pytest.mark.parametrize(
    "pattern",
    [
        "(a{1,1000}){1,1000}",
        r"(\w{1,1000})",
        "(x{0,4294967295})",
        "(" * 300 + "a" + ")" * 300,
        "(a)" * 200,
        "(a)" * 5000,
        "(" + "a" * LONGEST_PATTERN + ")",
        "(\ud800)",
        "(?P<n>a)(?P<n>b)",
        "(?P<$1>a)",
        "(",
        "[",
    ],
    ids=itertools.count(),
)
def test_bombs_of_patterns_are_one_short_error(pattern):
    for check in (make_extractor, lambda p: check_pattern(p, "abstain pattern")):
        with pytest.raises(ExtractionError) as caught:
            check(pattern)
        assert len(str(caught.value)) < 400


def test_text_that_is_no_unicode_from_a_function_is_one_error():
    with pytest.raises(ExtractionError, match="Unicode"):
        make_extractor(lambda c: "\ud800")(pl.Series(["x"]))
