"""A partition against sets and sorted lists of Python's."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dagame as dg
from dagame.numerics import fast
from dagame.samples import Partition, numbering
from dagame.samples.keys.distinct import each_once, once_if_repeated

NAMES = st.sampled_from(["", "a", "b", "ab", "é", "\U0001f600"])
NUMBERS = st.sampled_from([-3, 0, 2, 10**12])
ROWS = st.lists(
    st.tuples(NAMES, NUMBERS, NAMES, st.sampled_from([0.5, -0.0, 0.0, -7.25]), st.none() | NAMES),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25)
@given(rows=ROWS, keep=st.booleans(), sparse=st.sampled_from([0, 64]))
def test_places_against_sorted_lists(rows, keep, sparse):
    table = pl.DataFrame(rows, schema=["c", "d", "x", "y", "key"], orient="row")
    table = table.with_columns(pl.col("key").cast(pl.String))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(numbering, "_SPARSE", sparse)
        found = Partition.build(
            table.select("c", "d"),
            table.select("x", "y"),
            table["key"],
            no_answer="keep" if keep else "drop",
        )
    every = [((c, d), (x, y), key) for c, d, x, y, key in rows]
    live = [row for row in every if keep or row[2] is not None]
    classes = sorted({row[0] for row in live})
    assert found.class_names == classes
    for k, name in enumerate(classes):
        contexts = sorted({x for c, x, _ in live if c == name})
        answers = {key for c, _, key in live if c == name}
        answers = sorted(answers - {None}) + [None] * (None in answers)
        assert found.context_names(k) == contexts
        assert found.answer_keys(k) == answers
        for i, (c, x, key) in enumerate(every):
            if c == name:
                assert found.row_class[i] == k
                assert found.row_context[i] == (contexts.index(x) if x in contexts else -1)
                assert found.row_answer[i] == (answers.index(key) if key in answers else -1)
    lost = {row[0] for row in every} - set(classes)
    assert set(found.lost_classes) == lost
    for i, (c, _, _) in enumerate(every):
        assert c not in lost or found.row_class[i] == found.row_answer[i] == -1


@pytest.mark.parametrize("once", [each_once, once_if_repeated])
@settings(max_examples=15)
@given(texts=st.lists(st.none() | NAMES, max_size=12))
def test_a_function_of_texts_is_called_with_each_once(once, texts):
    asked = []

    def doubled(column):
        asked.extend(column.to_list())
        return column + column

    found = once(pl.Series("t", texts, dtype=pl.String), doubled)
    assert found.to_list() == [None if t is None else t + t for t in texts]
    if once is each_once:
        assert sorted(asked) == sorted({t for t in texts if t is not None})


@pytest.mark.parametrize("consensus", ["arithmetic", "geometric"])
def test_the_bits_do_not_depend_on_what_the_process_solved_before(consensus):
    """Compiled kernels, equal to the plain path to rounding only, are loaded once much was solved."""
    rng = np.random.default_rng(0)
    size = 600
    frame = pl.DataFrame(
        {
            "class": rng.integers(0, 20, size),
            "context": rng.integers(0, 3, size),
            "answer": [f"a{a}" for a in rng.integers(0, 6, size)],
        }
    )
    samples = dg.Samples.from_answers(frame, "class", "context")
    objective = dg.Coherence(7.0, consensus)
    before = samples.solve(objective, beta=0.7)
    with fast.kernels_from_the_first_game():
        after = samples.solve(objective, beta=0.7)
    assert after.rows.equals(before.rows)
    assert after.classes.equals(before.classes)
    assert after.verdict == before.verdict
