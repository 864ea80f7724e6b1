"""The card of a fine-tuned model says what was in the file, as text, in its table and its front matter."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from budget import settings
from hostile_texts import MARKDOWN, SCRIPTS, SHORT, texts
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("trl")

from markdown_it import MarkdownIt
from test_pages import Reader, unseen

from dagame.lm.finetune.card import card
from dagame.lm.finetune.sections import DataSection, FinetuneConfig
from dagame.provenance import provenance
from dagame.text import visible

TAGS = {"h1", "h2", "strong", "p", "table", "thead", "tbody", "tr", "th", "td", "code", "hr"}


def require_text(folder, model, data):
    (folder / "run.json").write_text(json.dumps({"versions": {"dagame": "1"}}))
    config = FinetuneConfig(model, "out", DataSection(path=data))
    made = card(
        folder, config, [], {"steps": 1, "processes": 1, "provenance": provenance(), "warnings": []}
    )
    empty, front, body = re.split("^---$", made, maxsplit=2, flags=re.MULTILINE)
    assert empty == ""
    assert set(yaml.safe_load(front)) == {"base_model", "library_name", "tags"}
    assert yaml.safe_load(front)["base_model"] == model
    found = Reader(MarkdownIt("commonmark", {"html": True}).enable("table").render(body))
    assert found.tags <= TAGS
    assert not found.attributes
    assert not unseen(found.text)
    flat = " ".join(found.text.split())
    for text in (model, data):
        assert " ".join(visible(text).split()) in flat


@pytest.mark.parametrize("text", [*MARKDOWN, *SCRIPTS[:6]], ids=ascii)
def test_hostile_names_stay_text_on_the_card(tmp_path, text):
    require_text(tmp_path, text, text)


@given(st.one_of(st.sampled_from(SHORT), texts), texts)
@settings(30)
def test_any_names_stay_text_on_the_card(tmp_path_factory, model, data):
    model, data = (t.encode("utf-8", "replace").decode() for t in (model, data))
    require_text(tmp_path_factory.getbasetemp(), model, data)
