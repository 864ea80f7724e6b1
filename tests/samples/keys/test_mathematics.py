"""The math preset: whole answers are found, one meaning has one key, different ones never share it."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from meanings import faults

from dagame.samples.keys.mathematics import exact_key, find_mathematics
from dagame.samples.keys.units import unit_key
from dagame.samples.keys.workers import map_in_workers

WORDS = [
    *(
        "the",
        "answer",
        "is",
        "x",
        "=",
        "y",
        ":",
        "Final",
        "Answer",
        "Therefore",
        ",",
        "so",
        "m",
        "$",
    ),
    *(r"\(", r"\)", "7", "12", "and", "or", "we", "get", "value", "equals", "==", "->", "**", "1"),
    *(r"\frac{1}{2}", r"\text{cm}", ";", "f(x)", "(", ")", "."),
]


@settings(max_examples=400)
@given(st.lists(st.sampled_from(WORDS), max_size=9))
def test_no_words_raise(words):
    assert isinstance(find_mathematics(" ".join(words)), str)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("It is 5. Total =", ""),
        ("\\frac{1}{2}, so the sum =", ""),
        ("The answer is 7. Total =", "7"),
        ("Total = 7", "7"),
    ],
)
def test_a_sentence_that_ends_in_a_sign_says_nothing(said, found):
    assert find_mathematics(said) == found


# -- generated meanings ---------------------------------------------------------------------------


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_one_key_for_one_meaning_and_never_for_two(seed, sentence):
    def key(text):
        return exact_key(find_mathematics(text) if sentence else text)

    found = faults(key, seed, 150, sentence=sentence)
    assert found.read == 150
    assert found.merges == []
    assert found.splits == []


def test_the_generated_pairs_catch_a_reader_that_cuts():
    cut = faults(lambda text: (re.findall(r"[0-9]+", text) or [text])[-1], 1, 300)
    assert cut.merges
    assert cut.splits


# -- finding --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        # boxes
        (r"so \boxed{12} no, \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\fbox{3}", "3"),
        (r"\boxed{1} and \boxed{2}", "1, 2"),
        (r"$\boxed{1}$, $\boxed{2}$ and $\boxed{3}$", "1, 2, 3"),
        (r"\boxed{x=1} or \boxed{x=2}", "x=1 or x=2"),
        (r"first \boxed{1}, which is wrong; then \boxed{2}", "2"),
        (r"\boxed{5}\text{ cm}", r"5 \text{ cm}"),
        (r"$\boxed{5}$ cm.", "5 cm"),
        (r"\boxed{5} in the box", "5"),
        (r"\boxed{50}\%", r"50 \%"),
        (r"-\boxed{5}", "-(5)"),
        (r"- \boxed{5}", "5"),
        (r"$2\boxed{5}$", "2(5)"),
        (r"$x = \boxed{5}$", "5"),
        (r"\boxed{5", ""),
        (r"\boxed{4} but \boxed{5", ""),
        (r"\boxed{}", ""),
        # statements
        (r"The answer is 1 - \sqrt{2}", r"1 - \sqrt{2}"),
        ("Final Answer: **73**", "73"),
        ("The answer is $x=3$ or $x=4$.", "x=3 or x=4"),
        ("The answer is 5 because 2+3=5.", "5"),
        ("The answer is $5$ cm.", "5 cm"),
        ("The answer is Paris.", "Paris"),
        ("The answer is not 5.", "not 5"),
        (r"The answer is $\frac{1}{2", ""),
        # the last formula
        ("The line is y = 2x + 1", "y = 2x + 1"),
        (r"It is 3\pi", r"3\pi"),
        ("It is 2^{10}", "2^{10}"),
        ("3x + 4y + 14=0", "3x + 4y + 14=0"),
        ("The length is 5 cm.", "5 cm"),
        ("There are 72 clips.", "72"),
        ("... is $138. So it is $138.", "$138"),
        ("It is (1, 2).", "(1, 2)"),
        ("It is [0, 1).", "[0, 1)"),
        ("The roots are 2 and 3.", "2 and 3"),
        ("I ate a 5 cm rod", "5 cm"),
        ("The ratio is 3:4.", "3:4"),
        ("x2 = 5", "x2 = 5"),
        ("So \\[\n x = 5\n\\]\n", "x = 5"),
        ("It takes 10-15 days.", "10–15 days"),
        (r"so $x = \frac{1}{2", ""),
        (r"thus \(x=5", ""),
        ("no mathematics here", ""),
        ("", ""),
    ],
)
def test_the_whole_answer_is_found_or_none(completion, answer):
    assert find_mathematics(completion) == answer


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=r"ab1 5.,$\{}()[]=+-%*:cm" + "\n", max_size=60))
def test_any_text_is_searched_and_read(text):
    found = find_mathematics(text)
    assert isinstance(found, str)
    assert isinstance(exact_key(found), str)
    assert bool(exact_key(text)) <= bool(text.strip())


@pytest.mark.parametrize(
    "piece",
    [
        "\\[ a ",
        "\\( a ",
        "$ a ",
        "$5 and ",
        "\\begin{a} ",
        "\\boxed{",
        "\\boxed{} ",
        "{ab}",
        "{ab}{ab}é",
        "answer is ",
        "1 ",
        "1, ",
        "(1 ",
        "5 cm ",
        "a = ",
        "**",
        "\\text{",
        "= 1\n",
        "| ",
        "\\frac{1}{",
        "\\frac{\\text{m",
        "-",
        "x_{",
    ],
)
def test_the_time_grows_with_the_length_only(piece):
    def seconds(length):
        text = piece * (length // len(piece))
        started = time.process_time()
        find_mathematics(text)
        exact_key(text)
        exact_key(text[:900])
        return time.process_time() - started

    assert seconds(60_000) < 6  # linear: well below a second; quadratic: minutes


# -- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "texts",
    [
        [r"90^\circ", r"90^{\circ}", "90°", "90 degrees"],
        [r"0.\overline{3}", "0.(3)", r"\frac13"],
        [r"\log_2 8", "3", r"\frac{\log 8}{\log 2}", r"\frac{\ln 8}{\ln 2}"],
        [r"\sqrt{8}", r"2\sqrt2", "√8", "2√2", "sqrt(8)", r"8^{1/2}", r"\frac{4}{\sqrt2}"],
        [r"\sqrt{3+2\sqrt2}", r"1+\sqrt2"],
        [r"\frac{1}{1+\sqrt[3]{2}}", r"\frac{1-\sqrt[3]{2}+\sqrt[3]{4}}{3}"],
        [r"\frac{x^2-1}{x-1}", "x+1"],
        [r"\frac1x+\frac1y", r"\frac{x+y}{xy}"],
        [r"\frac{1}{\frac1x+\frac1y}", r"\frac{xy}{x+y}"],
        [r"\sin^2 x+\cos^2 x", "1"],
        [r"\sin 2x", r"2\sin x\cos x"],
        [r"\tan 15^\circ", r"2-\sqrt3", r"\tan\frac{\pi}{12}"],
        [r"e^{i\pi}", "-1"],
        [r"e^{x+1}", r"e\cdot e^x"],
        [r"|1-\sqrt2|", r"\sqrt2-1", r"\lvert 1-\sqrt2\rvert"],
        [r"|3+4i|", "5"],
        ["x = 5", "5 = x", "2x = 10", "x-5=0"],
        ["1 < x < 5", "5 > x > 1"],
        ["x = 1, y = 2", "y = 2, x = 1", r"x=1 \text{ and } y=2"],
        ["3 + 4 = 7", "7"],
        [r"\pm 2", "2 or -2"],
        [r"(0,1)\cup[2,3)", r"[2, 3) ∪ (0, 1)"],
        [r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}"],
        ["5 apples", r"5\text{ apples}"],
        [r"\$1.5 million", "1500000", "1.5 million dollars"],
        [r"\text{Monday}", "Monday", r"\textbf{Monday}"],
        [r"\text{(B)}", "B", "(B)"],
        [r"\text{Yes}", "yes", "Yes."],
        [r"\text{No solution}", "no solution"],
        [r"\infty", "infinity", "Infinity", r"\text{Infinity}", "∞"],
        [r"\mathrm{e}^2", "e^2", r"\exp(2)"],
        [r"x^{\frac12}", r"\sqrt x", r"\sqrt{x}"],
        ["f(x) = x^2", "x^2 = f(x)"],
        [r"\binom{5}{2}", "10", r"\frac{5!}{2!3!}"],
    ],
)
def test_spellings_of_one_meaning(texts):
    assert len({exact_key(text) for text in texts}) == 1


@pytest.mark.parametrize(
    "texts",
    [
        ["x = 5", "y = 5", "5", "x", r"x \ne 5", "x < 5", r"x \le 5", r"x \in (5)", r"x \approx 5"],
        ["(0, 1)", "[0, 1]", "[0, 1)", "(0, 1]", r"\{0, 1\}", "0, 1", "0 or 1"],
        ["60 min", "1 h", "60", "3600 s"],
        ["5 cm", "5 m", "5m", "5 cm^2", "5 cm^3", "50 mm", "5 apples", "5 pears"],
        ["1.2 \\pm 0.1", "1.1 or 1.3", "1.2", "1.3"],
        [r"\log 3", r"\ln 3", r"\log_2 3", r"\log_3 2"],
        [r"\sqrt2+10^{-100}", r"\sqrt2", r"\sqrt2+10^{-101}"],
        [r"x^{10}", "x^1", "x^{11}", "10x"],
        ["x_1", "x_2", "x", "x_{12}", "x'"],
        ["f(2)", "g(2)", "f(3)", "2f"],
        ["AB", "BA", "A", "ab", "Ab"],
        ["No", "NO", "yes"],
        ["3:4", "3/4", "3", "4:3"],
        ["2-3", "2–3"],
        ["1/2/3", "1/6", "3/2"],
        ["10/11/2023", "2023-10-11"],
        ["€5", "£5", "$5", "5 cents"],
        [r"\mathbb{R}", "R"],
        ["1,234", "1.234", "(1, 234)", "1, 234", "(1,234)"],
        [r"\infty", r"-\infty"],
        ["5°", "5", "5°C", "5°F", "-5°C"],
        [r"\sqrt{x^2}", "x"],
        [r"\sin x", r"\sin^{-1} x", r"\frac{1}{\sin x}"],
    ],
)
def test_different_meanings(texts):
    found = [exact_key(text) for text in texts]
    assert len(set(found)) == len(texts), dict(zip(texts, found, strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "1/2x",
        "x2",
        "2 3",
        "A1",
        "10_2",
        "2x/3y",
        r"\sqrt12",
        r"\frac123",
        "x^2^3",
        "5!!",
        "1/0",
        "0^0",
    ],
)
def test_what_could_be_read_two_ways_is_text(text):
    assert exact_key(text) == text


def test_a_key_is_read_as_itself_where_it_is_mathematics():
    for text in ("x^2+2x+1", r"\frac{\sqrt3}{2}", "(1, 2)", "5 cm", r"\frac{1}{x+1}", "3/4"):
        assert exact_key(exact_key(text)) == exact_key(text)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(-9, 9), min_size=2, max_size=4),
    st.lists(st.integers(-9, 9), min_size=2, max_size=3),
)
def test_quotients_of_polynomials_agree_with_sympy(above, below):
    if not any(below):
        return
    x = sympy.Symbol("x")
    top, bottom = (sum(c * x**k for k, c in enumerate(cs)) for cs in (above, below))
    other = sympy.cancel(top / bottom)
    text = rf"\frac{{{sympy.latex(top)}}}{{{sympy.latex(bottom)}}}"
    assert exact_key(text) == exact_key(sympy.latex(other))


def test_the_confined_worker_cancels_factors():
    found, given_up = map_in_workers(
        "canonical_math",
        [r"\frac{x^2-1}{x-1}", "x+1", r"\frac{xy+y}{zy+y}", r"\frac{x+1}{z+1}"],
        30.0,
        1,
    )
    assert found[0] == found[1]
    assert found[2] == found[3]
    assert not any(given_up)


# -- units ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spellings", "key"),
    [
        (["cm", r"\text{ cm}", r"\mathrm{cm}", "centimetres", "centimeter", "Centimeters"], "cm"),
        (["cm^2", "cm²", r"\text{ cm}^2", r"\text{cm}^{2}", "square cm", "cm squared"], "cm^2"),
        (["m/s", r"m s^{-1}", "metres per second", r"\frac{\text{m}}{\text{s}}", "m·s⁻¹"], "m/s"),
        (["km/h", "kilometers per hour", "kph", r"\text{km}/\text{h}"], "km/h"),
        (["N m", "m N", r"\mathrm{N\cdot m}", "Nm", "newton metres"], "N*m"),
        (["mN"], "mN"),
        (["J/(mol K)", "J/mol/K", r"J mol^{-1} K^{-1}"], "J/K/mol"),
        (["°C", r"^\circ\text{C}", "degrees Celsius", r"^{\circ}C"], "°C"),
        (["hours", "h", "hrs", "hour"], "h"),
        (["€", "EUR", "euros", "Euro"], "EUR"),
    ],
)
def test_units(spellings, key):
    assert {text: unit_key(text) for text in spellings} == dict.fromkeys(spellings, key)


@pytest.mark.parametrize(
    "text", ["apples", "", "cm cm^", "x", "metre apples", "m//s", "m/s m", "per"]
)
def test_no_units(text):
    assert unit_key(text) is None


def test_reading_plain_numbers_and_units_needs_no_sympy():
    code = (
        "import sys; from dagame.samples.keys.mathematics import exact_key as k, find_mathematics as f;"
        r"k('1/2'); k(f('It is 5 cm.')); k('\\frac{\\sqrt{3}}{2}'); print('sympy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
