"""The generator: every rewrite keeps the key, every near miss changes it; the published metric beside it."""

import re
from collections import Counter

import numpy as np
import pytest

from dagame.domains.asp import rewrites, vocabulary, worker
from dagame.domains.asp.families import COMPOSITIONS, FAMILIES
from dagame.domains.asp.phrasings import PHRASINGS, TEST, TRAIN
from dagame.domains.asp.problems import SPLITS, problems, rows, semantic_key
from dagame.domains.asp.published import published
from dagame.errors import ProgramError

pytest.importorskip("clingo", reason="clingo is not installed (pip install -e '.[asp]')")

KEY = semantic_key(seconds=20.0)


@pytest.fixture(scope="module", autouse=True)
def _no_process_is_left():
    yield
    worker.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_rewrites_keep_the_key_and_near_misses_change_it(family):
    for p in problems("test", family)[:2]:
        right = KEY.read(p.right)
        assert right.outcome == "answered"
        for name, text in p.rewrites(seed=1).items():
            assert KEY.read(text).key == right.key, (name, text)
        for name, text in p.misses().items():
            found = KEY.read(text)
            assert found.outcome == "answered", (name, text, found.why)
            assert found.key != right.key, (name, text)
            assert 0 <= right.share_equal(found) < 1


def test_problems_are_distinct_and_splits_disjoint():
    assert (len(FAMILIES), len(COMPOSITIONS)) == (12, 3)
    every = [p for split in SPLITS for p in problems(split)]
    assert (
        len({p.class_id for p in every}) == len({(p.family, p.words) for p in every}) == len(every)
    )
    counts = Counter(p.family for p in every)
    assert set(counts) == set(FAMILIES)
    assert min(counts.values()) >= 30
    assert len({p.right for p in every}) == len(every) - twice(every)
    for p in every:
        assert p.show in vocabulary.SHOW
        assert "$" not in p.right


def twice(every):
    """Of filtering and negative filtering a second value tells only the near misses apart."""
    pairs = Counter((p.family, p.right) for p in every)
    assert {f for (f, _), n in pairs.items() if n > 1} <= {"filtering", "negative filtering"}
    return sum(n - 1 for n in pairs.values())


def test_phrasings_of_the_two_sets_are_disjoint_and_name_every_word():
    for family in FAMILIES:
        sets = [PHRASINGS[split][family] for split in (TRAIN, TEST)]
        assert [len(set(texts)) for texts in sets] == [8, 8]
        assert not set(sets[0]) & set(sets[1])
        needed = set(FAMILIES[family].slots.split()) - {"w"}
        for text in (*sets[0], *sets[1]):
            named = set(re.findall(r"\$(\w+)", text))
            assert {"c" if n == "said" else n for n in named} == needed, text
    assert not words(TEST) - words(TRAIN)


def words(split):
    """Words of all phrasings of a set; those of the problems themselves are left out."""
    texts = (t for of in PHRASINGS[split].values() for t in of)
    return {w for t in texts for w in re.findall(r"(?<!\$)\b[a-z]+", t.lower())}


def test_rows_are_what_trainers_take():
    some = problems("finetune", "join")[:2]
    made = rows(some, TRAIN, KEY)
    assert [(r["class_id"], r["member_id"]) for r in made] == [
        (p.class_id, t) for p in some for t in range(8)
    ]
    assert {r["answer"] for r in made[:8]} == {KEY(some[0].right)}
    assert "answer" not in rows(some)[0]
    with pytest.raises(ProgramError, match="did you mean 'test'"):
        some[0].phrasings("tests")
    with pytest.raises(ProgramError, match="did you mean 'finetune'"):
        problems("fine")
    with pytest.raises(ProgramError, match="did you mean 'join'"):
        problems("test", "joins")


@pytest.mark.parametrize("seed", [0, 1])
def test_instances_hold_what_tells_programs_apart(seed):
    texts = vocabulary.instances(seed)
    assert texts == vocabulary.instances(seed)
    assert len(set(texts)) == 4
    facts = [re.findall(r"(\w+)\(([^)]*)\)", text) for text in texts]
    by = [{name: {a for n, a in f if n == name} for name, _ in f} for f in facts]
    for kind in vocabulary.KINDS:
        assert {len(one[kind]) for one in by} <= {2, 3}
        for relation in vocabulary.RELATIONS:
            inside = {
                (x, y)
                for one in by
                for x, y in (pair.split(",") for pair in one[relation])
                if {x, y} <= one[kind]
            }
            assert any(x < y for x, y in inside)
            assert any(x > y for x, y in inside)
    for one in by:
        for relation in vocabulary.RELATIONS:
            assert all(len(set(pair.split(","))) == 2 for pair in one[relation])


def test_too_few_instances_are_refused():
    with pytest.raises(ProgramError, match="at least 4"):
        vocabulary.instances(0, 3)


def test_rewrites_change_the_text():
    rng = np.random.default_rng(0)
    p = problems("test", "closure")[0]
    assert len(rewrites.rules(p.right)) == 2
    for name, rewrite in rewrites.REWRITES.items():
        assert any(rewrite(p.right, rng) != p.right for _ in range(9)), name


# -- the published metric -------------------------------------------------------------------------


def test_published_metric_is_fooled_where_the_key_is_not():
    """An empty program passes where no rule fires; one with a helper fails."""
    facts = vocabulary.scattered(0)[0]
    join = problems("test", "join")[0]
    assert published("", join.right, facts, threads=1).equal
    assert KEY("") != KEY(join.right)
    helper = join.rewrites()["auxiliary"]
    told = vocabulary.instances(0)[0]
    assert published(join.right, join.right, told, threads=1) == published(
        join.right, join.right, told
    )
    found = published(helper, join.right, told, threads=1)
    assert (found.grounds, found.equal) == (True, False)
    assert KEY(helper) == KEY(join.right)
    assert not published("a(", join.right, told).grounds
    with pytest.raises(ProgramError, match="right program does not ground"):
        published("", "a(", told)


def test_the_answer_set_that_is_met_first_is_one_of_many():
    """Programs of one meaning and the same predicates, one thread: whether they pass is an accident."""
    told = vocabulary.instances(0)[0]
    passed = []
    for family in ("assignment", "constraint"):
        for p in problems("test", family)[:4]:
            same = {**p.rewrites(), "itself": p.right}
            for name in ("itself", "disjunction", "bound", "choice and count", "count"):
                if name in same:
                    assert KEY(same[name]) == KEY(p.right)
                    passed.append(published(same[name], p.right, told, threads=1).equal)
    assert set(passed) == {True, False}
