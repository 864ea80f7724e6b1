"""Semantic keys: against answer sets enumerated by their definition, and against hostile programs."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dagame as dg
from dagame.domains import asp
from dagame.domains.asp import worker
from dagame.domains.asp.screening import ALLOWED, refusal
from dagame.errors import DagameError, ProgramError
from dagame.samples.keys.reader import AnswerReader

pytest.importorskip("clingo", reason="clingo is not installed (pip install -e '.[asp]')")

ATOMS = tuple("abcd")
SECONDS = 20.0  # a loaded machine is no reason for a missing key
GROUND = asp.SemanticKey(["fact.", "fact. d."], [f"{a}/0" for a in "abc"], seconds=SECONDS)
SHORT = asp.SemanticKey(["fact."], ["a/0"], seconds=1.0)


@pytest.fixture(scope="module", autouse=True)
def _no_process_is_left():
    yield
    worker.close()


# -- the definition -------------------------------------------------------------------------------

literals = st.lists(st.tuples(st.sampled_from(ATOMS), st.booleans()), max_size=3)
heads = st.lists(st.sampled_from(ATOMS), max_size=2, unique=True)
ground = st.lists(st.tuples(heads, literals, st.booleans()), max_size=5)
costs = st.lists(
    st.tuples(st.sampled_from(ATOMS), st.integers(-2, 3), st.integers(1, 2)),
    max_size=3,
    unique=True,
)


def text_of(rules, weak):
    out = []
    for head, body, choice in rules:
        told = ", ".join(("" if sign else "not ") + atom for atom, sign in body)
        left = "{ " + " ; ".join(head) + " }" if choice else " ; ".join(head)
        out.append(f"{left} :- {told}." if told else (f"{left}." if left else ":- #true."))
    return " ".join([*out, *(f":~ {a}. [{w}@{p},{a},{w}]" for a, w, p in weak)])


def holds(body, found):
    return all((atom in found) == sign for atom, sign in body)


def is_model(rules, found):
    return all(
        choice or not holds(body, found) or found & set(head) for head, body, choice in rules
    )


def reduct(rules, found):
    """Gelfond and Lifschitz: a choice offers its heads that are true, negative literals are decided."""
    for head, body, choice in rules:
        if all(sign or atom not in found for atom, sign in body):
            positive = [(atom, True) for atom, sign in body if sign]
            for some in [[a] for a in head if a in found] if choice else [head]:
                yield some, positive, False


def answer_sets(rules):
    every = [set(s) for n in range(5) for s in itertools.combinations(ATOMS, n)]
    for found in every:
        left = list(reduct(rules, found))
        smaller = [other for other in every if other < found]
        if is_model(rules, found) and not any(is_model(left, other) for other in smaller):
            yield found


def meaning(rules, weak, facts):
    """(shown atoms, cost) of the optimal answer sets, by enumeration of all sets of atoms."""
    found = []
    for answer in answer_sets([*rules, *(([a], [], False) for a in facts)]):
        cost = {p: sum(w for a, w, q in weak if q == p and a in answer) for p in (2, 1)}
        found.append((tuple(cost.values()), tuple(sorted(answer - {"d"})), cost))
    best = min((order for order, *_ in found), default=None)
    return {(a, tuple(sorted((p, c) for p, c in k.items() if c))) for o, a, k in found if o == best}


@given(ground, costs)
@settings(max_examples=40)
def test_answer_sets_are_those_of_the_definition(rules, weak):
    found = GROUND.answer_sets(text_of(rules, weak))
    for one, facts in zip(found, ((), ("d",)), strict=True):
        assert {(a.atoms, a.cost) for a in one} == meaning(rules, weak, facts)
        assert len(one) == len(set(one))


@given(ground, ground)
@settings(max_examples=25)
def test_keys_are_equal_iff_the_answer_sets_are(one, other):
    first, second = (text_of(rules, []) for rules in (one, other))
    same = GROUND.answer_sets(first) == GROUND.answer_sets(second)
    assert (GROUND(first) == GROUND(second)) == same
    share = GROUND.read(first).share_equal(GROUND.read(second))
    pairs = zip(GROUND.answer_sets(first), GROUND.answer_sets(second), strict=True)
    assert share == np.mean([a == b for a, b in pairs])


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("a. #show b/0.", "a.", True),
        ("a. help(1..9).", "a.", True),
        ("{ help }. a.", "a.", True),
        ("{ help(1..40) }. a.", "a.", True),  # projected, not enumerated
        (":- fact.", "a :- not a.", True),  # no answer set
        (":- fact.", "", False),
        ("{ a }.", "a ; na.", True),
        ("{ a }. :~ a. [0@7]", "{ a }.", True),
        ("a. :~ a. [1@2]", "a. :~ a. [1@1]", False),
        ("a. :~ fact. [1]", "a.", False),
        ("{ a }. :~ not a. [1]", "{ a }. :~ a. [-1]", False),
        ("{ a }. :~ not a. [1]", "a.", True),
        ("a :- X = a + 1.", "", True),  # undefined, as clingo takes it
        ("-a. a.", ":- fact.", True),
        ("-a.", "", True),  # not among the shown
    ],
)
def test_what_counts_and_what_does_not(one, other, equal):
    assert (GROUND(one) == GROUND(other)) == equal


def test_keys_of_other_instances_and_signatures_are_never_equal():
    keys = [
        asp.key("a.", facts, show, seconds=SECONDS)
        for facts in (["x."], ["y."], ["x.", "y."])
        for show in (["a/0"], ["b/0"], ["a/0", "b/0"])
    ]
    assert len({hash(k) for k in keys}) == 9
    assert asp.key("a.", [["x.", "z."]], ["a/0"]) == asp.key("{a}=1.", ["x.\nz."], ["a/0", "a/0"])


def test_negated_predicates_are_shown_where_asked():
    shown = asp.SemanticKey(["x(1..2)."], ["-a/1"], seconds=SECONDS)
    [[one]] = shown.answer_sets("-a(X) :- x(X). a(X+2) :- x(X).")
    assert one.atoms == ("-a(1)", "-a(2)")


# -- what has no key ------------------------------------------------------------------------------

NO_KEY = {
    "a :-": "syntax",
    "a. %* open": "syntax",
    'a("open': "syntax",
    "a :- \x01.": "syntax",
    "a(X).": "unsafe",
    "a :- not b(X).": "unsafe",
    '#include "/etc/passwd".': "refused",
    '%\n#include "/etc/passwd".': "refused",
    "#script (python) #end.": "refused",
    "#script (lua) #end.": "refused",
    'a("#include").': "refused",
    "#external a.": "refused",
    "#program step. a.": "refused",
    "#theory t { }.": "refused",
    "#edge (a,b).": "refused",
    "#heuristic a. [1,true]": "refused",
    "#project a.": "refused",
    "&sum { x } > 1.": "refused",
    "a(@f()).": "refused",
    "{ a(@f(X)) : b(X) }.": "refused",
    ":~ a. [@f(1)]": "refused",
    "a(\0).": "refused",
    "a. " * 7000: "refused",
}


@pytest.mark.parametrize("program", NO_KEY, ids=lambda p: repr(p[:24]))
def test_what_is_not_read_whole_has_no_key_and_says_why(program):
    found = GROUND.read(program)
    assert (found.outcome, found.key, found.digests) == (NO_KEY[program], None, ())
    assert found.why
    assert found.outcome in asp.OUTCOMES
    assert GROUND(program) is None
    assert found.share_equal(found) == 0
    with pytest.raises(ProgramError, match=NO_KEY[program]):
        GROUND.answer_sets(program)


def test_too_many_answer_sets_are_not_compared_in_part():
    few = asp.SemanticKey(["x."], ["a/1"], models=8, seconds=SECONDS)
    assert few.read("{ a(1..3) }.").outcome == "answered"
    assert few.read("{ a(1..4) }.").outcome == "too many"


def test_endless_grounding_is_ended_and_the_next_program_is_read():
    programs = ["b.", "a(X+1) :- a(X). a(1).", "a.", "a :-", "b.", "#include."]
    told = [found.outcome for found in SHORT.read_all(programs)]
    assert told == ["answered", "time", "answered", "syntax", "answered", "refused"]


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(worker, "TASK", "tests.domains.small_memory:load")
    one = worker.Solver(60.0)
    request = {"facts": ["x."], "show": ["a/0"], "models": 9}
    try:
        filling = "b(X,Y) :- X = 1..9999, Y = 1..9999."
        replies = one.ask([request | {"program": p} for p in ("b.", filling, "a.")])
        assert [r["outcome"] for r in replies] == ["answered", "memory", "answered"]
    finally:
        one.close()


def test_a_killed_process_is_replaced_and_the_program_read_again():
    one = worker.solver(GROUND.seconds)
    GROUND.read("a. b. % alive")
    assert one._worker is not None
    started = one.starts
    one._worker.process.kill()
    one._worker.process.wait()
    assert GROUND.read("a. b. % again").key == GROUND("a. b.")
    assert one.starts == started + 1


def test_many_programs_share_one_process():
    one = worker.solver(GROUND.seconds)
    GROUND.read("a. % warm")
    started = one.starts
    for k in range(20):
        GROUND.read(f"a. % number {k}")
    assert one.starts == started


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_a_fork_each_process_has_its_own_worker():
    GROUND.read("a. % before")
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(write_end, str(GROUND.read("a. % in the child").key).encode())
            worker.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read_end, 99).decode() == GROUND("a.")
    assert GROUND.read("a. % after").key == GROUND("a.")
    os.close(read_end)
    os.close(write_end)


@given(st.text(alphabet="ab{}():-.,#@&\"%*\\ X1\n'~[]|;/", max_size=40))
@settings(max_examples=60)
def test_any_text_has_a_named_outcome(text):
    found = GROUND.read(text)
    assert found.outcome in asp.OUTCOMES
    assert (found.key is None) == (found.outcome != "answered")


@given(
    st.sampled_from(sorted(ALLOWED)) | st.text("abcdeiknlpstu", min_size=1),
    st.sampled_from(["", " ", "\t", "\n"]),
)
@settings(max_examples=25)
def test_directives_are_allowed_by_name_alone(word, blank):
    told = refusal(f'a. %*\n"{"#"}{blank}{word} x')
    assert (told == "") == (word in ALLOWED)


# -- the confinement ------------------------------------------------------------------------------


def test_the_process_opens_no_file_and_starts_nothing():
    """In the worker's own process, after its start: neither Python nor the system lets it."""
    code = """
import os, sys
from dagame.samples.keys.confinement import confine, limit
from dagame.domains.asp import solving
answer = solving.load()
answer("1")
confine()
limit(5.0)
import clingo
told = []
for name, act in {
    "open": lambda: open("/etc/passwd"),
    "write": lambda: open("/tmp/x", "w"),
    "fork": os.fork,
    "system": lambda: os.system("true"),
    "include": lambda: clingo.ast.parse_string(
        '#include "/etc/passwd".', lambda _: None, logger=lambda _, m: told.append(m)
    ),
}.items():
    try:
        act()
        print(name, "was let through")
    except Exception as error:
        print(name, type(error).__name__)
print("unreadable" if any("could not be opened" in m for m in told) else told)
import json
request = {"program": "a.", "facts": ["b."], "show": ["a/0"], "models": 3}
print(json.loads(answer(json.dumps(request)))["outcome"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split("\n")[:-1] == [
        "open Refused",
        "write Refused",
        "fork Refused",
        "system Refused",
        "include RuntimeError",
        "unreadable",
        "answered",
    ], done.stderr


# -- use ------------------------------------------------------------------------------------------


def test_one_fenced_block_is_the_program():
    key = GROUND("a.")
    assert GROUND("Here:\n```asp\na.\n```\nDone.") == key
    assert GROUND("```\na.\n```") == key
    for text in (
        "```\na.",
        "```\na.\n```\n```\nb.\n```",
        "so a. ```\na.\n```\n```",
        "the program is a.",
    ):
        assert GROUND(text) is None


def test_it_is_an_extractor_of_samples():
    same = ["a ; b.", "1 { a ; b } 1.", "b :- not a. a :- not b.", "a(", "a."]
    reader = AnswerReader(GROUND)
    keys = reader(same)
    assert len(set(keys[:3])) == 1
    assert keys[3] is None
    assert keys[4] not in (None, keys[0])
    known = reader.known(GROUND("b ; a."))
    assert [known.judge(k)[1] for k in keys] == [1, 1, 1, 0, 0]
    import polars as pl

    frame = pl.DataFrame(
        {
            "q": [0] * 10,
            "p": [0] * 5 + [1] * 5,
            "answer": [GROUND(t) for t in same[:3] + same[:1] + same[4:]] * 2,
        }
    )
    solved = dg.Samples.from_answers(frame, "q", "p").solve(dg.Coherence(1.0), beta=1.0)
    assert solved.buckets[0].reference.shape[-1] == 2


@pytest.mark.parametrize(
    ("facts", "show", "limits", "said"),
    [
        ("a.", ["a/0"], {}, "no list of instances"),
        ([], ["a/0"], {}, "no list of instances"),
        (["a."], "a/0", {}, "no list of signatures"),
        (["a."], [], {}, "no list of signatures"),
        (["a."], ["a"], {}, "name and an arity"),
        (["a."], ["A/1"], {}, "name and an arity"),
        (["a."], ["a/0. b"], {}, "name and an arity"),
        (["a :- b."], ["a/0"], {}, "not facts alone: 'a :- b.' is no fact"),
        (["{ a }."], ["a/0"], {}, "not facts alone"),
        (["not a."], ["a/0"], {}, "not facts alone"),
        (["a"], ["a/0"], {}, "not facts alone"),
        (["a. %* "], ["a/0"], {}, "not facts alone"),
        (['#include "x".'], ["a/0"], {}, "instance 0 .* #include is not allowed"),
        (["a."], ["a/0"], {"seconds": 0}, "seconds is 0"),
        (["a."], ["a/0"], {"seconds": float("nan")}, "seconds is nan"),
        (["a."], ["a/0"], {"models": 0}, "models is 0"),
    ],
)
def test_wrong_instances_are_the_callers_fault(facts, show, limits, said):
    with pytest.raises(ProgramError, match=said):
        asp.key("a.", facts, show, **({"seconds": SECONDS} | limits))


def test_without_clingo_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(worker, "find_spec", lambda name: None)
    with pytest.raises(DagameError, match=r"pip install .*\[asp\]'"):
        worker.require_clingo()
    with pytest.raises(DagameError, match=r"pip install .*\[asp\]'"):
        asp.key("a.", ["b."], ["a/0"], seconds=17.5)
