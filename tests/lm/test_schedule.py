"""Every generation batch holds whole classes, whatever the numbers of classes, contexts and steps."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("datasets")

from dagame.errors import ScheduleError
from dagame.lm.schedules import class_order, schedule


def rows(sizes, **extra):
    return [
        {"class": f"q{c}", "prompt": f"q{c} phrased {k}", **extra}
        for c, size in enumerate(sizes)
        for k in range(size)
    ]


def chunks(data, width):
    ids = list(zip(data["class_id"], data["member_id"], strict=True))
    assert len(ids) % width == 0
    return [ids[i : i + width] for i in range(0, len(ids), width)]


@given(st.integers(1, 12), st.data())
def test_steps_hold_distinct_classes_and_visits_differ_by_at_most_one(classes, data):
    per_step = data.draw(st.integers(1, classes))
    steps, seed = data.draw(st.integers(1, 30)), data.draw(st.integers(0, 9))
    order = class_order(classes, per_step, steps, np.random.default_rng(seed))
    assert order.shape == (steps, per_step)
    for t in range(1, steps + 1):
        assert len(set(order[t - 1])) == per_step
        counts = np.bincount(order[:t].ravel(), minlength=classes)
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize(("classes", "per_step", "epochs"), [(5, 2, 3), (4, 4, 2), (7, 3, 1)])
def test_chunks_are_whole_classes_side_by_side(classes, per_step, epochs):
    data = schedule(rows([3] * classes), classes_per_step=per_step, epochs=epochs, seed=1)
    for chunk in chunks(data, 3 * per_step):
        for k in range(0, len(chunk), 3):
            assert [m for _, m in chunk[k : k + 3]] == [0, 1, 2]
            assert len({c for c, _ in chunk[k : k + 3]}) == 1
    visits = Counter(c for c, m in zip(data["class_id"], data["member_id"], strict=True) if m == 0)
    assert min(visits.values()) >= epochs
    assert set(data["class_size"]) == {3}


def test_ids_name_the_rows_they_came_from():
    data = schedule(rows([2] * 6), classes_per_step=2, epochs=4, seed=3)
    for row in data:
        assert row["prompt"] == f"q{row['class_id']} phrased {row['member_id']}"
        assert row["class"] == f"q{row['class_id']}"


def test_epochs_have_orders_of_their_own_and_the_seed_decides_them():
    one, again, other = (
        schedule(rows([1] * 8), classes_per_step=4, epochs=2, seed=s) for s in (0, 0, 1)
    )
    assert one["class_id"][:] == again["class_id"][:]
    assert one["class_id"][:] != other["class_id"][:]
    assert one["class_id"][:8] != one["class_id"][8:]
    assert sorted(one["class_id"][:8]) == list(range(8))


def test_larger_classes_give_every_context_its_turn():
    data = schedule(rows([2, 5]), classes_per_step=1, contexts=2, steps=200, seed=0)
    seen = Counter(m for c, m in zip(data["class_id"], data["member_id"], strict=True) if c == 1)
    assert set(seen) == {0, 1, 2, 3, 4}
    assert max(seen.values()) < 2 * min(seen.values())
    for chunk in chunks(data, 2):
        assert len(set(chunk)) == 2


def test_steps_replace_epochs_and_columns_may_have_other_names():
    given_rows = [{"q": i // 2, "text": [{"role": "user", "content": str(i)}]} for i in range(8)]
    data = schedule(given_rows, classes_per_step=3, steps=5, class_column="q", prompt_column="text")
    assert len(data) == 5 * 3 * 2
    assert data[0]["prompt"][0]["role"] == "user"


def test_numbered_classes_may_be_called_class_id():
    data = schedule(
        [{"class_id": c, "prompt": f"{c}"} for c in (7, 9)],
        classes_per_step=2,
        class_column="class_id",
    )
    assert sorted(data["class_id"]) == [0, 1]


@pytest.mark.parametrize(
    ("sizes", "options", "words"),
    [
        ([2, 3], {"classes_per_step": 1}, ["contexts=2", "afresh"]),
        ([2, 3], {"classes_per_step": 1, "contexts": 3}, ["'q0' has 2", "lower contexts"]),
        ([2, 2], {"classes_per_step": 3}, ["from 1 to 2"]),
        ([2, 2], {"classes_per_step": 0}, ["from 1 to 2"]),
        ([2, 2], {"classes_per_step": 1, "steps": 0}, ["steps >= 1"]),
        ([], {"classes_per_step": 1}, ["no prompts"]),
        ([2], {"classes_per_step": 1, "prompt_column": "promt"}, ["did you mean 'prompt'"]),
    ],
)
def test_what_cannot_be_arranged_is_refused_with_the_fix(sizes, options, words):
    with pytest.raises(ScheduleError) as caught:
        schedule(rows(sizes), **options)
    assert all(word in str(caught.value) for word in words)
