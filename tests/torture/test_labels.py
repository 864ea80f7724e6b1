"""Labels that look alike, are huge or very many: none merged, none lost."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from budget import FACTOR

import dagame as dg
from dagame.samples import Samples
from dagame.samples.partition import Partition


@pytest.mark.parametrize(
    "labels",
    [
        ["é", "e\u0301", "é "],
        ["a", "a\0", "a\0\0", "A", "a\u200b", "\u202ea"],
        ["x" * 10_000_000, "x" * 9_999_999 + "y"],
        ["", " ", "null", "None", "nan"],
        ["\ufdd0", "\ufdd1", "\ufdd0\ufdd1"],
    ],
)
def test_labels_that_look_alike_stay_apart(labels):
    frame = pl.DataFrame({"q": labels * 2, "f": [*labels, *labels[::-1]], "answer": labels * 2})
    samples = Samples.from_answers(frame, "q", "f")
    assert [name for (name,) in samples.partition.class_names] == sorted(
        labels, key=lambda t: t.encode()
    )
    found = samples.solve(dg.Coherence(), beta=1.0)
    assert found.summary["max_gap"] < 1e-10
    assert found.answer_column().to_list() == labels * 2
    one = Samples.from_answers(frame.with_columns(q=pl.lit("q")), "q")
    assert one.partition.answer_keys(0) == sorted(labels, key=lambda t: t.encode())


def test_very_many_classes_and_one_row():
    count = 1_000_000 if FACTOR > 1 else 100_000
    number = pl.Series(np.random.default_rng(8).permutation(count))
    classes = pl.DataFrame({"q": number})
    partition = Partition.build(classes, None, number.cast(pl.String))
    assert len(partition) == count
    assert np.array_equal(partition.row_class, number.to_numpy())
    (bucket,) = partition.buckets()
    assert bucket.counts.sum() == count
    assert set(partition.answers_per_class) == {1}
    one = Samples.from_answers(pl.DataFrame({"q": ["a"], "answer": ["b"]}), "q")
    found = one.solve(dg.Coherence(), beta=1.0)
    assert found.rows["weight"].to_list() == [1.0]
    assert found.summary["max_gap"] == pytest.approx(0, abs=1e-12)


def test_all_answers_distinct_in_many_contexts():
    n = 2000
    frame = pl.DataFrame(
        {"q": ["q"] * n, "f": [k % 4 for k in range(n)], "answer": [str(k) for k in range(n)]}
    )
    found = Samples.from_answers(frame, "q", "f").solve(dg.Coherence(), beta=1.0)
    assert found.summary["max_gap"] < 1e-9
    assert np.isfinite(found.rows["weight"].to_numpy()).all()
