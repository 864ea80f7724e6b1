"""Group rewards of hostile batches: finite and symmetric, or refused in a sentence."""

import math
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from budget import settings
from hypothesis import given
from hypothesis import strategies as st

import dagame as dg
from dagame.lm import GroupReward, group_rewards
from dagame.objectives.catalogue import CATALOGUE
from tests.kinds import ROWS, everywhere, made, of_any_size, those

KEYS = [
    None,
    "",
    "0",
    "a",
    "A",
    "é",
    "e\u0301",
    "\x00",
    "-1",
    "None",
    "nan",
    "a" * 500,
    "𝟙",
    "\u202eb",
]


def paid_for_truth(bucket):
    return dg.Reward(np.nan_to_num(bucket.correct)[:, None, :])


OBJECTIVES = {
    **{name: made(name, 3.0, 2, 3) for name in those(everywhere, ROWS) if of_any_size(name)},
    "sum": made("coherence, shannon", 1.0, 2, 3),
    "truth": paid_for_truth,
}


@st.composite
def batches(draw):
    """Columns of a batch: classes, contexts, keys, correctness, an objective and the options."""
    size = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    chosen = rng.choice(len(KEYS), draw(st.integers(1, len(KEYS))), replace=False)
    keys = [KEYS[k] for k in rng.choice(chosen, size)]
    correct = rng.choice([0.0, 0.3, 1.0, math.nan], size)
    classes = rng.integers(0, draw(st.integers(1, 4)), size)
    contexts = rng.integers(0, draw(st.integers(1, 4)), size)
    name = draw(st.sampled_from(sorted(OBJECTIVES)))
    options = {
        "no_answer": draw(st.sampled_from(["lowest", "keep", "drop"])),
        "baseline": draw(st.sampled_from(["auto", None, "leave_one_out", "group_mean"])),
        "estimator": draw(st.sampled_from(["auto", "krichevsky_trofimov", "laplace"])),
    }
    return classes, contexts, keys, correct, name, options


def pay(classes, contexts, keys, correct, name, options):
    """Rewards and advantages; correctness only where the objective reads it."""
    options = options | {"correct": correct if name == "truth" else None}
    out = group_rewards(classes, contexts, keys, OBJECTIVES[name], **options)
    assert len(out.rewards) == len(out.advantages) == len(keys)
    return out


@settings(150)
@given(batches())
def test_rewards_are_finite_or_unscorable_and_centred(batch):
    classes, contexts, keys, _, _, options = batch
    out = pay(*batch)
    dropped = np.array([k is None and options["no_answer"] == "drop" for k in keys])
    np.testing.assert_array_equal(np.isnan(out.rewards), dropped)
    assert np.isfinite(out.rewards[~dropped]).all()
    assert np.isfinite(out.advantages).all()
    assert (out.advantages[dropped] == 0).all()
    same = {}
    for row in zip(classes, contexts, keys, out.rewards, out.advantages, strict=True):
        assert same.setdefault(row[:3], row[3:]) == row[3:] or row[2] is None
    if options["baseline"] in ("leave_one_out", "group_mean"):
        groups = np.unique(np.stack([classes, contexts], 1), axis=0)
        for c, x in groups:
            group = (classes == c) & (contexts == x)
            size = 1 + np.abs(out.advantages[group]).max()
            assert abs(out.advantages[group].sum()) < 1e-10 * size * group.sum()


@settings(90)
@given(batches(), st.integers(0, 2**32 - 1))
def test_permuted_rows_are_paid_the_same_bits(batch, seed):
    *columns, name, options = batch
    order = np.random.default_rng(seed).permutation(len(columns[2]))
    keys = [columns[2][i] for i in order]
    moved = pay(columns[0][order], columns[1][order], keys, columns[3][order], name, options)
    before = pay(*batch)
    if name == "truth":
        np.testing.assert_allclose(moved.rewards, before.rewards[order], rtol=1e-14, atol=1e-15)
        return
    np.testing.assert_array_equal(moved.rewards, before.rewards[order])
    np.testing.assert_array_equal(moved.advantages, before.advantages[order])


@settings(90)
@given(batches(), st.integers(0, 2**32 - 1))
def test_names_do_not_matter(batch, seed):
    classes, contexts, keys, correct, name, options = batch
    if name in CATALOGUE and CATALOGUE[name].kinked:
        return  # ties go to the answer that sorts first
    rng = np.random.default_rng(seed)
    texts = [f"t{k}" for k in rng.permutation(len(KEYS))]
    renamed = [None if k is None else texts[KEYS.index(k)] for k in keys]
    numbers = np.array([-1 if k is None else KEYS.index(k) for k in keys])
    new_classes = np.array([f"q{i}" for i in rng.permutation(4)])[classes]
    new_contexts = rng.permutation(4)[contexts]
    before = pay(*batch)
    size = 1 + np.nan_to_num(np.abs(before.rewards)).max()
    for answers in (renamed, numbers):
        moved = pay(new_classes, new_contexts, answers, correct, name, options)
        for one, other in ((moved.rewards, before.rewards), (moved.advantages, before.advantages)):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-12 * size)


@settings(60)
@given(batches())
def test_classes_are_paid_alone_as_together_to_the_bit(batch):
    classes, contexts, keys, correct, name, options = batch
    together = pay(*batch)
    for c in np.unique(classes):
        rows = np.flatnonzero(classes == c)
        alone = pay(
            classes[rows], contexts[rows], [keys[i] for i in rows], correct[rows], name, options
        )
        np.testing.assert_array_equal(alone.rewards, together.rewards[rows])
        np.testing.assert_array_equal(alone.advantages, together.advantages[rows])


def test_a_hundred_thousand_rows_in_groups_of_every_size():
    rng = np.random.default_rng(0)
    size = 100_000
    classes, contexts = rng.integers(0, 300, size), rng.integers(0, 3, size)
    classes[: size // 5] = 0  # one group of thousands, beyond the limit of the cone program
    keys = rng.integers(-1, 1000, size)
    for objective in (dg.Coherence(), dg.ShannonDiversity(), dg.GiniDiversity()):
        out = group_rewards(classes, contexts, keys, objective, baseline="group_mean")
        assert np.isfinite(out.rewards).all()
        assert np.isfinite(out.advantages).all()


A = ([0, 0, 0, 0], [0, 0, 1, 1], list("abab"))
COHERENCE = dg.Coherence()

HOSTILE_BATCHES = {
    **{f"keys {name}": ((*A[:2], keys), {}) for name, keys in {
        "bytes": [b"a"] * 4, "lists": [["a"]] * 4, "dicts": [{"a": 1}] * 4, "floats": [1.0] * 4,
        "mixed": ["a", 1, None, 2.0], "surrogates": ["\ud800"] * 4, "one text": "abab",
        "one bytes": b"abab", "two axes": np.zeros((4, 2), int), "None": None, "number": 3,
        "beyond integers": [2**200, 1, 2, 3], "short": ["a"], "empty": [],
    }.items()},
    **{f"{column} {name}": ((*A[:k], values, *A[k + 1:]), {})
       for k, column in enumerate(["classes", "contexts"])
       for name, values in {
        "missing": [0, None, 0, 0], "nan": [0.0, math.nan, 0, 0], "floats": [0.5] * 4,
        "mixed": ["x", 1, 2, 3], "lists": [[1]] * 4, "bytes": [b"x"] * 4, "number": 3, "None": None,
        "short": [0, 0], "empty": [], "text": "abcd",
    }.items()},
    **{f"correct {name}": (A, {"correct": values}) for name, values in {
        "inf": [math.inf] * 4, "two": [2.0] * 4, "negative": [-0.1] * 4, "text": list("abcd"),
        "short": [1.0], "lists": [[1.0]] * 4, "number": 1.0,
    }.items()},
    **{f"weights {w!r}": (A, {"weights": w})
       for w in ([math.nan, 1], [0, 1], [1], ["a", "b"], 1, [-1, 1], [math.inf, 1], [[1, 1]])},
    **{f"vocabulary {v!r}": (A, {"vocabulary": v})
       for v in (["a"], ["a", "b", "a"], [], "ab", [["a"], ["b"]], [1, 2])},
    **{f"option {o}": (A, o) for o in (
        {"no_answer": "skip"}, {"no_answer": ["drop"]}, {"estimator": None}, {"estimator": ["x"]},
        {"baseline": "mean"}, {"baseline": ["mean"]}, {"multipliers": [1.0]})
       if o != {"multipliers": [1.0]}},
    "no rows": (([], [], []), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_BATCHES)
def test_hostile_batches_end_in_one_sentence(name):
    columns, options = HOSTILE_BATCHES[name]
    with pytest.raises(dg.DagameError) as caught:
        group_rewards(*columns, COHERENCE, **options)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_columns_of_any_library_are_paid_alike():
    classes, contexts, keys = (
        [0, 0, 0, 0, 1, 1],
        [0, 0, 1, 1, 0, 1],
        ["a", "b", "a", None, "a", "b"],
    )
    paid = group_rewards(classes, contexts, keys, COHERENCE).rewards
    objects, numbers = np.array(keys, dtype=object), [0, 1, 0, -1, 0, 1]
    alike = [
        (pd.Series(classes), pd.Series(contexts), pd.Series(keys)),
        (pd.Index(classes), pd.array(contexts), pd.Series(objects, dtype=object)),
        (pd.Series(classes, dtype="category").astype(str), pd.Series(contexts, dtype="Int64"),
         pd.Series(keys, dtype="category")),
        (pl.Series(classes), np.array(contexts), pl.Series(keys)),
        (torch.tensor(classes), torch.tensor(contexts), torch.tensor(numbers)),
        (iter(classes), dict(enumerate(contexts)).values(), np.array(numbers)),
        (tuple(classes), range(6), objects),
    ]  # fmt: skip
    for columns in alike[:-1]:
        np.testing.assert_array_equal(group_rewards(*columns, COHERENCE).rewards, paid)
    apart = group_rewards(classes, list(range(6)), keys, COHERENCE).rewards
    np.testing.assert_array_equal(group_rewards(*alike[-1], COHERENCE).rewards, apart)


@pytest.mark.parametrize("objective", [None, 3, "coherence", lambda bucket: None])
def test_what_is_no_objective_pays_nothing(objective):
    with pytest.raises(dg.DagameError, match="Objective"):
        group_rewards(*A, objective)


# -- the trainer's reward function ----------------------------------------------------------------


def reward(**options):
    return GroupReward(COHERENCE, **({"beta": 0.1, "group_size": 3, "extract": r"(\w)"} | options))


def call(function, completions, **columns):
    n = len(completions)
    member = [i // (n // 2) for i in range(n)]
    given = {"class_id": [0] * n, "member_id": member, "class_size": [2] * n} | columns
    return function(["p"] * n, completions, **given)


TEXTS = ["a", "b", "a", "a", "c", "a"]

COMPLETIONS = {
    "none": [None] * 6, "empty": [""] * 6, "numbers": [1, 2.5, True, None, 3, 4],
    "surrogates": ["a\ud800"] * 6, "null": ["\x00a"] * 6, "long": ["a" * 10**6] * 6,
    "bytes": [b"a"] * 6, "mappings": [{}] * 6, "nested": [[["a"]]] * 6,
    "chats": [[{"content": "a"}], [{"content": None}], [], [{"content": [{"text": "b"}]}], {}, "a"],
}  # fmt: skip


@pytest.mark.parametrize("name", COMPLETIONS)
@pytest.mark.parametrize("extract", [r"(\w)", "boxed", "gsm8k", "choice"])
def test_no_completion_breaks_the_reward_function(name, extract):
    paid = call(reward(extract=extract), COMPLETIONS[name])
    assert len(paid) == 6
    assert all(isinstance(r, float) and math.isfinite(r) for r in paid)


@pytest.mark.parametrize("found", [1, [1], None, "\ud800", b"a", math.nan, ZeroDivisionError])
def test_no_extract_function_breaks_the_reward_function(found):
    def extract(text):
        if isinstance(found, type):
            raise found("strange")
        return found

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        paid = call(reward(extract=extract), TEXTS)
    assert all(math.isfinite(r) for r in paid)
    assert len(said) == (found is ZeroDivisionError)


COLUMNS = {
    "short": {"class_id": [0] * 5}, "none": {"member_id": None}, "nan": {"class_id": [math.nan] * 6},
    "texts": {"class_id": ["a"] * 6}, "sizes": {"class_size": [1] * 6}, "torn": {"member_id": [0] * 6},
    "text sizes": {"class_size": ["2"] * 6}, "answers": {"answer": ["a"]},
    "aliases": {"answer": ["a"] * 6, "aliases": [["a"]]},
}  # fmt: skip


@pytest.mark.parametrize("name", COLUMNS)
def test_hostile_columns_end_in_one_sentence(name):
    with pytest.raises(dg.DagameError):
        call(reward(), TEXTS, **COLUMNS[name])


@pytest.mark.parametrize(
    "options",
    [
        {"group_size": 1}, {"group_size": 2.5}, {"group_size": "a"}, {"no_answer": "skip"},
        {"estimator": "x"}, {"multiplier_rate": math.nan}, {"multiplier_rate": -1},
        {"gap_every": 0}, {"gap_every": "a"}, {"beta": math.nan}, {"kl": "k3"}, {"extract": "("},
        {"canonical": "x"}, {"vocabulary": ["a", "a"]}, {"vocabulary": ["a", None]},
    ],
)  # fmt: skip
def test_hostile_settings_are_refused_before_training(options):
    with pytest.raises(dg.DagameError):
        reward(**options)
