"""The report and the pictures hold what they say, and hostile text stays text."""

import base64
import html
import re
import xml.etree.ElementTree as ET

import numpy as np
import polars as pl
import pytest

import dagame as dg
from dagame.apps.report import samples_report
from dagame.files.output import replacing, write_json
from dagame.samples import Samples
from dagame.show import plots

EVIL = '<script>alert(1)</script> $x_1$ & "quoted"'


def solved(objective, answers=("1", "2", EVIL)):
    rows = [
        {"q": EVIL, "f": f, "answer": answers[k % 3 if f == "x" else 0], "ok": k % 2}
        for f in ("x", "y")
        for k in range(6)
    ]
    frame = pl.DataFrame(rows)
    return Samples.from_answers(frame, "q", "f", correct="ok").solve(objective, beta=1.0)


@pytest.mark.parametrize(
    "objective", [dg.Coherence(2.0), dg.HardCoherence(), dg.ShannonDiversity()]
)
def test_the_page_is_self_contained_and_escaped(objective):
    page = samples_report(solved(objective))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    images = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert len(images) >= 3  # the gaps are a line of text, the means a row of cards
    for image in images:
        assert ET.fromstring(base64.b64decode(image)).tag.endswith("svg")
    assert page == samples_report(solved(objective)) or "solved in" in page


def test_an_all_infeasible_file_still_has_a_report():
    frame = pl.DataFrame({"q": ["a", "a"], "f": ["x", "y"], "answer": ["1", "2"]})
    found = Samples.from_answers(frame, "q", "f").solve(dg.HardCoherence(), beta=1.0)
    page = samples_report(found)
    assert "Infeasible, 1 of 1" in page


def test_a_class_without_answers_or_contexts_still_draws():
    frame = pl.DataFrame({"q": ["a", "a", "b"], "answer": ["1", None, "2"]})
    page = samples_report(Samples.from_answers(frame, "q").solve(dg.ShannonDiversity(), beta=1.0))
    assert "(no answer)" in page or "b" in page


def test_the_right_answer_is_green_with_a_tick(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        plots, "distributions", lambda c, f=plots.distributions: drawn.append(f(c)) or drawn[-1]
    )
    rows = [{"q": "a", "f": f, "answer": a, "ok": a == "2"} for f in "xy" for a in ("1", "2", f)]
    samples = Samples.from_answers(pl.DataFrame(rows), "q", "f", correct="ok")
    assert "green with a tick" in samples_report(samples.solve(dg.Coherence(2.0), beta=1.0))
    for figure in drawn:
        for label in figure.axes[0].get_yticklabels():
            right = label.get_text().endswith("✓")
            assert (label.get_color() == plots.RIGHT) == right
        assert any(label.get_text().endswith("✓") for label in figure.axes[0].get_yticklabels())
    assert drawn


def test_the_page_says_how_answers_were_read(tmp_path):
    texts = [r"so \boxed{1}", r"so \boxed{ 1}", r"\boxed{2}", "I am <b>lost</b>, really"] * 3
    frame = pl.DataFrame(
        {
            "q": ["a"] * 12,
            "f": ["x", "y"] * 6,
            "completion": texts,
            "ok": [1, 1, 0, 1] * 2 + [0] * 4,
        }
    )
    frame.write_ndjson(tmp_path / "s.jsonl")
    samples = Samples.read(tmp_path / "s.jsonl", "q", "f", extract="boxed", correct="ok")
    found = samples.solve(dg.Coherence(2.0), beta=1.0)
    page = samples_report(found)
    assert found.verdict.replace("'", "&#39;") in page
    section = page.split("How answers were read")[1].split("<h2>")[0]
    assert section.count("<mark>1</mark>") + section.count("<mark>2</mark>") >= 5
    assert "I am &lt;b&gt;lost&lt;/b&gt;, really" in section
    assert "9 of 12 (75.0%) by <bdi>" in section or "9 of 12 (75.0%)" in section
    assert "labelled right in 2 of 3 completions" in section
    for caution in found.reading.warnings:
        assert html.escape(caution.sentence, quote=True).replace("&#x27;", "&#39;") in page
    assert {c.kind for c in found.reading.warnings} == {"unread", "contested", "no answer right"}
    for fact in ("dagame 0.", "numpy 2", str(tmp_path / "s.jsonl"), "compared as math"):
        assert fact in page.split("Where this comes from")[1]


def test_the_page_begins_with_the_verdict_and_ends_with_what_to_do_next(tmp_path, monkeypatch):
    command = ["dagame", "solve", "a file.jsonl", "--class", "q", "--strength=2", "--out", "old"]
    monkeypatch.setattr("sys.argv", command)
    answers = {"x": "1122", "y": "1113"}
    rows = [{"q": "a", "f": f, "answer": a, "ok": a == "1"} for f in "xy" for a in answers[f]]
    samples = Samples.from_answers(pl.DataFrame(rows), "q", "f", correct="ok")
    found = samples.solve(dg.Coherence(2.0), beta=1.0)
    page = html.unescape(samples_report(found, rows=tmp_path / "samples.parquet"))
    order = [
        found.verdict,
        "How answers were read",
        "Before and after",
        "Worst and best questions",
        "What to do next",
        "Where this comes from",
    ]
    places = [page.index(text) for text in order]
    assert places == sorted(places)
    steps = page[places[4] : places[5]]
    assert "dagame solve 'a file.jsonl' --class q --strength 20 --out strength-20" in steps
    assert f'data: {{samples: "{tmp_path / "samples.parquet"}", class_column: "q"}}' in steps
    assert "objective: {name: coherence, strength: 2}" in steps
    assert "lacks the columns prompt and completion" in steps
    assert '<span class="right">✓</span>' in page
    assert "no policy can gain more than" in page


def test_history_plot_has_a_line_per_run(rng):
    game = dg.AlignmentGame(rng.dirichlet(np.ones(4), 2), dg.Coherence(), beta=1.0)
    figure = plots.history([dg.run(game, d, 5) for d in ("mirror", "best_response")])
    lines = figure.axes[0].get_lines()
    assert [len(line.get_xdata()) for line in lines] == [6, 6]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": float("nan"), "b": np.float64(1.5)})
    assert path.read_text() == '{\n  "a": null,\n  "b": 1.5\n}\n'

    def failing():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert path.read_text().startswith("{")
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
