"""Text of a file stays text on every page, picture and card, and pages run and load nothing."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import unicodedata
import warnings
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import matplotlib.image
import numpy as np
import polars as pl
import pytest
from budget import settings
from hostile_texts import ALL, LONG, MARKDOWN, MARKER, SCRIPTS, SHORT, STYLES, UNSEEN, WORLD, texts
from hypothesis import given
from hypothesis import strategies as st

import dagame as dg
from dagame.apps.report import picture, render, samples_report
from dagame.provenance import provenance
from dagame.samples import Samples
from dagame.samples.disagreements import Contested, Split
from dagame.samples.excerpts import Excerpt
from dagame.samples.how_read import Caution
from dagame.samples.spellings import Merged
from dagame.show import plots
from dagame.show.tables import Column, Shown, facts_html, table_html
from dagame.text import markdown, visible

TAGS = {"html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "div", "b", "em"}
TAGS |= {"h3", "ol", "li", "pre"}
TAGS |= {
    "span",
    "figure",
    "img",
    "figcaption",
    "table",
    "tr",
    "th",
    "td",
    "bdi",
    "code",
    "a",
    "mark",
}
ATTRIBUTES = {"lang", "charset", "name", "content", "http-equiv", "class", "src", "alt", "title"}
ATTRIBUTES |= {"colspan", "href"}
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
browsed = pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine")


class Reader(HTMLParser):
    """Collects what a page holds, the way a browser sees it: tags, attributes, text."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.comments, self.words = set(), [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.words.append(data)

    def handle_comment(self, data):
        self.comments.append(data)

    @property
    def text(self):
        return "".join(self.words)


def unseen(text):
    """Characters of `text` by their Unicode category that no page may hold (an own definition)."""
    kept = "\n\t\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2"
    kept += "\U000110bd\U000110cd"
    kept += "".join(map(chr, range(0x13430, 0x13440)))  # they arrange hieroglyphs
    bad, blank = ("Cc", "Cf", "Cs", "Zl", "Zp"), "\u034f\u17b4\u17b5\u2800\ufff0\ufff8"
    return [c for c in text if c in blank or (unicodedata.category(c) in bad and c not in kept)]


def require_plain(page):
    """Only the package's own tags and attributes, nothing to run or to load, nothing unseen."""
    found = Reader(page)
    assert found.tags <= TAGS
    assert not found.comments
    for name, value in found.attributes:
        assert name in ATTRIBUTES
        if name == "src":
            assert value.startswith("data:image/svg+xml;base64,")
        if name == "href":
            assert value == "game.html"
        assert not unseen(value or "")
    assert not unseen(found.text)
    return found


def solved(names, contexts, answers, objective=None):
    """Classes, contexts and answers of these names, solved."""
    rows = [
        {"q": q, "f": f, "answer": a, "ok": int(k == 0)}
        for q in names
        for f in contexts
        for k, a in enumerate(answers)
        for _ in range(1 + (f == contexts[0]) * (k + 1))
    ]
    found = Samples.from_answers(pl.DataFrame(rows), "q", "f", correct="ok")
    return found.solve(objective or dg.Coherence(2.0), beta=1.0)


def storable(text):
    """What a column of strings can hold: no halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode()


def hostile_page(payloads, title="t"):
    kept = [storable(text) for text in payloads]
    return samples_report(solved(kept, [kept[0] + "1", kept[-1] + "2"], [*kept[:2], "z"]), title)


# -- pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", range(0, len(SHORT), 32))
def test_pages_hold_hostile_names_as_text(start):
    names = list(dict.fromkeys(map(storable, SHORT[start : start + 32])))
    page = hostile_page(names, title=names[0])
    found = require_plain(page)
    flat = " ".join(found.text.split())
    for name in names:
        assert " ".join(visible(name).split()) in flat
    for image in re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page):
        assert ET.fromstring(base64.b64decode(image)).tag.endswith("svg")


@given(texts, texts, texts)
@settings(10)
def test_pages_hold_any_text(name, answer, context):
    """Without the pictures, which have their own test, so that many can be tried."""
    found = solved(
        [storable(name) or "q", "other"], [storable(context), "x"], [storable(answer), "z"]
    )
    row = found.classes.rows(named=True)[0] | {"name": storable(name)}
    told = replace(
        found.reading,
        extract=name,
        canonical=answer,
        examples=(
            Excerpt(0, name, answer, context, answer, None),
            Excerpt(1, "", "", "", name, name),
        ),
        endings=((name, 2), (answer, 1)),
        merged=(Merged(name, 9, ((answer, 2), (context, 1))),),
        split=(Split(context, (name, answer)),),
        contested=(Contested(answer, context, 1, 2),),
        no_answer_right=1,
        warnings=(Caution("any", f"{name} {answer}"),),
    )
    page = render(
        "report.html.j2",
        title=name,
        summary=found.summary | {"infeasible": [name, answer], "lost_classes": [context]},
        source=context,
        verdict=name,
        held=found.held_out,
        reading=told,
        provenance=found.provenance() | {"command": [name], "source": answer, "extract": context},
        pictures=[],
        gaps=None,
        classes=[row],
        hidden=0,
        worth={"name": name, "rows": [{"context": context, "answer": answer, "reward": 1.0, "weight": 1.0}]},
    )  # fmt: skip
    text = require_plain(page).text
    for given_text in (name, answer, context):
        assert visible(given_text) in text


def test_an_infeasible_class_and_a_lost_one_are_named_as_text():
    names = [storable(t) for t in ("[/]<script>", "\u202eevil", "$x^$")]
    rows = [{"q": n, "f": f, "answer": f} for n in names[:2] for f in "xy"]
    rows += [{"q": names[2], "f": "x", "answer": None}]
    found = Samples.from_answers(pl.DataFrame(rows), "q", "f", no_answer="drop")
    solution = found.solve(dg.HardCoherence(), beta=1.0)
    assert set(solution.summary["infeasible"]) == set(names[:2])
    assert solution.summary["lost_classes"] == [names[2]]
    text = require_plain(samples_report(solution)).text
    for name in names:
        assert visible(name) in text


def test_long_names_do_not_make_long_pages():
    page = hostile_page([LONG[0], LONG[2], "short"])
    assert len(page) < 1_000_000
    assert "1,000,000 characters" in page


def test_the_page_of_the_demo_is_plain_too():
    from dagame.apps.demo_report import demo_page
    from dagame.lm.evaluation import LMEvaluation

    names = [storable(t) for t in (*SCRIPTS[:6], *UNSEEN[:4])]
    count = len(names)
    half = [0.5] * count
    classes = pl.DataFrame({"class_id": range(count), "sampled_accuracy": half, "agreement": half})
    told = pl.DataFrame({"class_id": range(count), "answer": names})
    drawn = pl.DataFrame({"class_id": range(count), "answer": names})
    found = LMEvaluation(
        0.5, 0.5, 0.5, 0.5, 0.1, 0.0, 0.0, 0.1, 0.1, 1, 1.0, classes, classes, told, drawn
    )
    numbers = found.as_dict() | {"gap": 0.1, "gap_interval": [0.0, 0.2]}
    facts = dict.fromkeys(
        ("parameters", "steps", "completions", "problems", "tested", "contexts"), 1
    )
    facts |= {"objective": names[0], "beta": 0.1, "seed": 0, "seconds": 1.0, "confidence": 0.95}
    facts |= {"certificate_samples": 1, "certified": 1}
    exact = {"accuracy_equilibrium": 0.5, "agreement_equilibrium": 0.5}
    result = {"before": numbers, "after": numbers, "predicted": exact, "settings": facts}
    result["provenance"] = provenance() | {"command": ["dagame", "demo", *names]}
    rows = [{"class_id": k, "prompt": n, "answer": n} for k, n in enumerate(names)]
    page = demo_page(result, found, found, rows, [{"step": 1, "game/value": 0.1}])
    text = require_plain(page).text
    shown = [name for name in names if visible(name) in text]
    assert len(shown) >= 8  # so many are listed


# -- pictures, tables, cards ----------------------------------------------------------------------


def _pictures(text):
    wide, three = np.full((2, 4), 0.25), np.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])
    yield plots.distributions([(text, [text, text, "z"], three, three, np.array([1.0, 0, 0]))])
    yield plots.equilibrium(three, three, [text, "b", "c"], [text, "y"], title=text)
    yield plots.equilibrium(wide, wide, [text, "b", "c", "d"], [text, "y"], title=text)
    yield plots.before_after([(text, 0.1, 0.2)], text)
    yield plots.class_scatter([(text, np.array([0.1]), np.array([0.2]))], text)


def require_pictures(text):
    """Every plot with this text in every place is drawn without a warning, as well-formed XML."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for figure in _pictures(text):
            made = picture(figure, text)
            root = ET.fromstring(base64.b64decode(made.uri.partition(",")[2]))
            assert not [e for e in root.iter() if e.tag.endswith("script")]
            links = [v for e in root.iter() for k, v in e.attrib.items() if k.endswith("href")]
            assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)


@pytest.mark.parametrize("text", ["$x^$", "\ud800", "a\x00b", "_x", "你好", LONG[0]], ids=ascii)
def test_pictures_draw_any_text(text):
    require_pictures(text)


@given(texts)
@settings(3)
def test_pictures_draw_texts_strung_together(text):
    require_pictures(text)


def test_labels_that_look_like_mathematics_or_private_ones_are_shown_as_they_are():
    three = np.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])
    figure = plots.equilibrium(three, three, ["$x^2$", "b", "c"], ["_one", "two"])
    texts_shown = [t.get_text() for t in figure.axes[0].texts]
    assert r"\$x^2\$" in texts_shown
    legend = figure.axes[0].get_legend()
    assert [t.get_text().strip() for t in legend.get_texts()] == ["_one", "two"]


@given(texts)
@settings(40)
def test_tables_in_notebooks_hold_text(text):
    class Facts(Shown):
        def _rows(self):
            return [(text, text)]

    for page in (
        facts_html([(text, text)]),
        table_html([Column(text, True)], [[text]]),
        Facts()._repr_html_(),
    ):
        found = Reader(page)
        assert found.tags <= {"table", "tr", "th", "td"}
        assert {name for name, _ in found.attributes} <= {"style"}
        assert visible(text) in found.text
        assert not unseen(page)
    assert not unseen(str(Facts()))


@given(st.one_of(st.sampled_from(ALL), texts, st.text()))
@settings(200)
def test_visible_text_has_nothing_unseen_and_loses_nothing(text):
    shown = visible(text, longest=10**7)
    assert not unseen(shown)
    back = re.sub("⟨U\\+([0-9A-F]{4,6})⟩", lambda m: chr(int(m[1], 16)), shown)
    if "⟨U+" not in text:
        assert back == text.replace("\r\n", "\n")
    assert len(visible(text, longest=50)) <= 50 * len("⟨U+10FFFF⟩") + 40


BLANKS = "\u034f\u17b4\u17b5\u2800\ufff0\ufff8\U0001bca0\U0001bca3\U0001d173\U0001d17a"
"""A font shows none of them."""


@pytest.mark.parametrize("blank", BLANKS, ids=ascii)
def test_blanks_are_written_out_everywhere(blank):
    shown = f"⟨U+{ord(blank):04X}⟩"
    assert visible(f"a{blank}b 文{blank}") == f"a{shown}b 文{shown}"


@pytest.mark.parametrize("joiner", "\u200c\u200d\ufe00\ufe0e\ufe0f", ids=ascii)
def test_joiners_are_written_out_where_no_script_needs_them(joiner):
    shown = f"⟨U+{ord(joiner):04X}⟩"
    assert visible(f"pass{joiner}word") == f"pass{shown}word"
    assert visible(joiner) == shown
    assert visible(f"1{joiner}") == f"1{shown}"
    assert visible(f"文{joiner}{joiner}") == f"文{joiner}{shown}"


NEEDED = (
    "❤\ufe0f\u200d🔥",
    "❤\ufe0f love",
    "1\ufe0f\u20e3 #\ufe0f\u20e3",
    "می\u200cخواهم",
    "ന്\u200d, ക്\u200dഷ",
    "🏳\ufe0f\u200d🌈",
)


@pytest.mark.parametrize("text", NEEDED, ids=ascii)
def test_joiners_stay_where_scripts_and_emoji_need_them(text):
    assert visible(text) == text


ADDRESSES = (
    "see https://e.org/x",
    "HTTP://e.org",
    "www.e.org",
    "(WWW.e.org)",
    "ftp://e.org",
    "a@e.org",
)


@pytest.mark.parametrize("text", ADDRESSES)
def test_bare_addresses_are_no_links(text):
    """By the patterns by which GitHub's dialect knows an address."""
    from markdown_it import MarkdownIt

    made = markdown(text)
    assert not re.search(r"(?i)(https?|ftp)://|www\.|(?<!\\)@", made)
    assert Reader(MarkdownIt("commonmark").render(made)).text.strip() == text


@given(st.one_of(st.sampled_from([t for t in ALL if len(t) < 10_000]), texts))
@settings(60)
def test_markdown_shows_the_text_and_nothing_else(text):
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    flat = " ".join(visible(text).split())
    for source, allowed in (
        (
            f"| a | b |\n|---|---|\n| x | {markdown(text)} |\n",
            {"table", "thead", "tbody", "tr", "th", "td"},
        ),
        (f"# {markdown(text)}\n", {"h1"}),
    ):
        found = Reader(reader.render(source))
        assert found.tags <= allowed
        assert flat in " ".join(found.text.split())


# -- in a browser ---------------------------------------------------------------------------------


def chromium(folder, page, *options):
    """Runs headless Chromium on a page written to a file; its standard output."""
    path = folder / "page.html"
    path.write_text(page, encoding="utf-8", errors="replace")
    quiet = (
        "--disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
    )
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-component-update", *quiet.split()]
    command += [profile, "--hide-scrollbars", "--virtual-time-budget=2000", *options, path.as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.returncode == 0
    return done.stdout.decode()


def ran(folder, page):
    """Whether a script of the page ran: it leaves a mark on the root element."""
    dom = chromium(folder, page, "--dump-dom")
    assert "</html>" in dom
    return f"{MARKER}=" in dom.partition(">")[2].partition(">")[0]


def without_policy(page):
    bare, count = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>\n', "", page)
    assert count == 1
    return bare


@pytest.fixture(scope="module")
def page():
    return hostile_page(["<NAME>", "b"])


@browsed
def test_hostile_text_does_not_run_in_a_browser(tmp_path):
    page = hostile_page([*SCRIPTS, *STYLES], title=SCRIPTS[1])
    assert not ran(tmp_path, page)
    assert not ran(tmp_path, without_policy(page))  # escaped, so safe even without the policy


@browsed
def test_what_is_not_escaped_would_run_but_for_the_policy(tmp_path, page):
    """The control: the same texts do run where nothing is done, and the policy alone stops them."""
    assert "&lt;NAME&gt;" in page
    raw = page.replace("&lt;NAME&gt;", "".join(SCRIPTS))
    assert ran(tmp_path, without_policy(raw))
    assert not ran(tmp_path, raw)


def pixels(folder, page):
    """A picture of a page."""
    chromium(folder, page, f"--screenshot={folder / 'shot.png'}", "--window-size=1000,900")
    return np.asarray(matplotlib.image.imread(folder / "shot.png"), dtype=np.float64)


@browsed
def test_the_policy_leaves_the_page_its_style(tmp_path, page):
    """A browser on a busy machine may draw a figure too late for its shot, so there are three tries."""
    other = pixels(tmp_path, page.replace("sha256-", "sha256-A"))
    for _ in range(3):
        shown, free = pixels(tmp_path, page), pixels(tmp_path, without_policy(page))
        same, refused = (np.mean(np.abs(shown - shot)) for shot in (free, other))
        if same < refused / 20:
            break
    assert refused > 0.01
    assert same < refused / 20


def test_the_policy_names_the_style_sheet_and_nothing_else(page):
    style = re.search("<style>(.*?)</style>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = re.search('Content-Security-Policy" content="([^"]*)"', page)[1]
    wanted = {"default-src": ["'none'"], "img-src": ["data:"], "style-src": [f"'sha256-{digest}'"]}
    wanted |= {"base-uri": ["'none'"], "form-action": ["'none'"]}
    rules = [rule.split() for rule in policy.split(";")]
    assert {name: values for name, *values in rules} == wanted
    assert page.index("Content-Security-Policy") < page.index("<title>")


def test_text_of_every_script_is_shown_as_it_is():
    assert all(visible(text) == text for text in (*SCRIPTS, *STYLES, *MARKDOWN[:4], *WORLD))
