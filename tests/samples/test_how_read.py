"""How answers were read: every count against a loop in Python, and the sign of each kind of misreading."""

import math
from collections import Counter, defaultdict

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagame.files.strict_json import json_text
from dagame.samples import Partition, Samples
from dagame.samples.disagreements import LISTED
from dagame.samples.how_read import EXAMPLES, excerpt, how_read, share

KEYS = ["1", "2", "one half", "-3", "é"]

rows = st.lists(
    st.tuples(
        st.sampled_from("abc"),  # class
        st.sampled_from("xy"),  # context
        st.sampled_from([*KEYS, None]),  # key
        st.sampled_from(["{}", " {} ", "{}.", "${}$", ""]),  # the answer's spelling
        st.sampled_from([0.0, 1.0, 0.5, 0.25, 0.75, None]),  # label
        st.sampled_from(["", "so 12 ", "no idea"]),  # what precedes it
    ),
    min_size=1,
    max_size=60,
)


def built(table, no_answer="keep", labelled=True):
    keys = pl.Series([r[2] for r in table], dtype=pl.String)
    spelled = [
        None if k is None and f != "" else ("" if k is None else (f or "{}").format(k))
        for _, _, k, f, _, _ in table
    ]
    texts = [f"{r[5]}{a or ''}" for r, a in zip(table, spelled, strict=True)]
    labels = pl.Series([r[4] for r in table], dtype=pl.Float64)
    partition = Partition.build(
        pl.DataFrame({"q": [r[0] for r in table]}),
        pl.DataFrame({"f": [r[1] for r in table]}),
        keys,
        labels if labelled else None,
        no_answer=no_answer,
    )
    answers = pl.Series(spelled, dtype=pl.String)
    found = how_read(
        pl.Series(texts), answers, keys, partition, extract="a pattern", canonical="number"
    )
    return found, texts, spelled


@given(rows, st.sampled_from(["keep", "drop"]))
@settings(max_examples=150, deadline=None)
def test_every_count_is_that_of_a_loop(table, no_answer):
    found, _, spelled = built(table, no_answer)
    assert found.rows == len(table)
    assert found.read == sum(r[2] is not None for r in table)
    assert found.unread == sum(
        r[2] is None and not (a or "").strip() for r, a in zip(table, spelled, strict=True)
    )
    assert found.rows == found.read + found.unread + found.abstained

    spellings = defaultdict(Counter)
    for row, answer in zip(table, spelled, strict=True):
        if row[2] is not None and answer.strip():
            spellings[row[2]][answer.strip()] += 1
    several = {key: counts for key, counts in spellings.items() if len(counts) > 1}
    assert found.merged_keys == len(several)
    assert {m.key: (m.count, dict(m.spellings)) for m in found.merged} == {
        key: (len(counts), dict(counts)) for key, counts in several.items()
    }

    right, wrong = Counter(), Counter()
    for q, _, key, _, label, _ in table:
        if key is not None and label is not None:
            right[q, key] += label > 0.5
            wrong[q, key] += label < 0.5
    contested = {c: (right[c], wrong[c]) for c in right if right[c] and wrong[c]}
    assert found.contested_answers == len(contested)
    shown = {(c.name, c.key): (c.right, c.wrong) for c in found.contested}
    assert len(shown) == min(LISTED, len(contested))
    assert shown.items() <= contested.items()

    good = defaultdict(set)
    for q, key in right:
        if right[q, key] > wrong[q, key]:
            good[q].add(key)
    split = {q: keys for q, keys in good.items() if len(keys) > 1}
    assert found.split_classes == len(split)
    assert {s.name: set(s.keys) for s in found.split} == split

    lost = [r[4] for r in table if r[2] is None and r[4] is not None]
    assert found.no_answer_right == sum(label > 0.5 for label in lost)
    assert found.no_answer_labelled == len(lost)


@given(rows)
@settings(max_examples=60, deadline=None)
def test_each_sign_has_its_warning_and_no_other_is_given(table):
    found, _, _ = built(table)
    kinds = [caution.kind for caution in found.warnings]
    assert kinds == [
        kind
        for kind, holds in (
            ("unread", found.unread > 0.2 * found.rows),
            ("split", found.split_classes),
            ("contested", found.contested_answers),
            ("no answer right", found.no_answer_right),
        )
        if holds
    ]
    for caution in found.warnings:
        assert caution.sentence.endswith(".")
        assert "\n" not in caution.sentence
    assert json_text(found.as_dict())


@given(rows)
@settings(max_examples=60, deadline=None)
def test_without_labels_nothing_is_said_of_them(table):
    found, _, _ = built(table, labelled=False)
    told = (found.split, found.contested, found.no_answer_right, found.no_answer_labelled)
    assert told == ((), (), 0, 0)


@given(rows)
@settings(max_examples=80, deadline=None)
def test_examples_are_pieces_of_their_completions(table):
    found, texts, spelled = built(table)
    assert len({e.row for e in found.examples}) == min(EXAMPLES, len(table))
    for one in found.examples:
        shown = f"{one.before}{one.match}{one.after}".strip("…")
        assert shown in texts[one.row]
        assert one.key == table[one.row][2]
        assert one.match in (spelled[one.row] or "").strip() or not one.match
    again, _, _ = built(table)
    assert again.examples == found.examples


@given(st.text("01a. ", max_size=200), st.text("01a. ", min_size=1, max_size=5))
@settings(max_examples=200, deadline=None)
def test_the_mark_is_on_the_answer_wherever_it_stands(text, answer):
    one = excerpt(0, text, answer, answer)
    stands = answer.strip() and answer.strip() in text
    assert bool(one.match) == bool(stands)
    if stands:
        assert one.match == answer.strip()
        whole = one.before.removeprefix("…") + one.match + one.after.removesuffix("…")
        assert whole in text or text.startswith("…") or text.endswith("…")


def test_a_word_is_marked_before_a_part_of_one():
    one = excerpt(0, "The Answer is A. Are you sure? Always.", "A", "A")
    assert (one.before, one.match, one.after) == ("The Answer is ", "A", ". Are you sure? Always.")
    one = excerpt(0, "5 and 15", "5", "5")
    assert (one.before, one.after) == ("", " and 15")


def test_an_answer_that_does_not_stand_in_the_completion_is_not_marked():
    one = excerpt(3, "print(6 * 7)", "42", "42")
    assert one == (3, "print(6 * 7)", "", "", "42", "42")


def texts_read(texts, **more):
    frame = pl.DataFrame({"q": ["a"] * len(texts), "completion": texts})
    path = more.pop("folder") / "s.jsonl"
    frame.write_ndjson(path)
    return Samples.read(path, "q", **more).reading


def test_what_was_not_read_is_told_with_its_ends_and_the_preset_that_reads_it(tmp_path):
    texts = [r"so \boxed{1}"] * 4 + [f"I get {k} apples, that is #### {k}" for k in (10, 20, 30)]
    found = texts_read(texts, extract="boxed", folder=tmp_path)
    (caution,) = found.warnings
    assert caution.kind == "unread"
    assert "3 of 7 (42.9%)" in caution.sentence
    assert "I get 10 apples" in caution.sentence
    assert (
        "'gsm8k' reads 100%" in caution.sentence or "'last-number' reads 100%" in caution.sentence
    )
    assert found.endings == (("I get 0 apples, that is #### 0", 3),)


def test_no_preset_is_praised_that_reads_little(tmp_path):
    texts = [r"so \boxed{1}"] + ["I cannot tell."] * 9
    (caution,) = texts_read(texts, extract="boxed", folder=tmp_path).warnings
    assert "no preset reads most of them" in caution.sentence


def test_long_and_broken_names_make_no_long_or_broken_sentences():
    long = "x\n" * 5000
    rows = [(long, "x", key + long, "{}", label, "") for key in "ab" for label in (1.0, 1.0, 0.0)]
    found, _, _ = built(rows)
    assert [c.kind for c in found.warnings] == ["split", "contested"]
    for caution in found.warnings:
        assert len(caution.sentence) < 700
        assert "\n" not in caution.sentence


def test_an_abstention_is_read(tmp_path):
    found = texts_read(
        [r"\boxed{1}"] + [r"\boxed{none}"] * 9, abstain="none", extract="boxed", folder=tmp_path
    )
    assert (found.read, found.abstained, found.unread, found.warnings) == (1, 9, 0, ())


def test_what_was_given_up_is_told_as_such():
    keys = pl.Series(["1", None, None], dtype=pl.String)
    partition = Partition.build(pl.DataFrame({"q": ["a"] * 3}), None, keys)
    found = how_read(
        pl.Series(["1", "and then", "and"]), keys, keys, partition,
        extract="boxed", canonical="exact", truncated=2,
    )  # fmt: skip
    (caution,) = found.warnings
    assert "2 as they were cut off" in caution.sentence
    assert "2 cut off" in str(found)


def test_long_files_are_looked_at_in_part(monkeypatch):
    monkeypatch.setattr("dagame.samples.how_read._MERGED_OF", 50)
    monkeypatch.setattr("dagame.samples.how_read._ENDINGS_OF", 20)
    found, _, _ = built([("a", "x", None, "{}", None, "no idea")] * 100)
    assert (found.merged_of, found.endings_of, found.endings) == (50, 20, (("no idea", 20),))


@pytest.mark.parametrize("whole", [1, 3, 1000, 10**7])
def test_a_share_is_never_rounded_to_all_or_nothing(whole):
    for part in {0, 1, whole - 1, whole}:
        said = float(share(part, whole).rstrip("%")) / 100
        assert (said == 0) == (part == 0)
        assert (said == 1) == (part == whole)
        assert math.isclose(said, part / whole, abs_tol=1e-3)


def test_samples_show_themselves_in_five_lines(tmp_path):
    lines = str(Samples.example()).splitlines()
    assert len(lines) == 5
    assert max(map(len, lines)) <= 100
    assert len(Samples.example()._repr_html_()) < 2000
