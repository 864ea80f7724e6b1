"""Names of answers and contexts: given or taken from a frame, kept by what is made of a game, shown."""

import pickle

import numpy as np
import polars as pl
import pytest

import dagame as dg

pd = pytest.importorskip("pandas")

TABLE = np.array([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1]])
ANSWERS, CONTEXTS = ("yes", "no", "no answer"), ("plain", "polite")
NAMED = {"answer_names": ANSWERS, "context_names": CONTEXTS}


def game(reference=TABLE, objective=None, **options):
    return dg.AlignmentGame(reference, objective or dg.Coherence(2.0), beta=1.0, **options)


def named_games():
    by_text = pl.DataFrame({"phrasing": list(CONTEXTS), **dict(zip(ANSWERS, TABLE.T, strict=True))})
    yield game(**NAMED)
    yield game(pd.DataFrame(TABLE, list(CONTEXTS), list(ANSWERS)))
    yield game(by_text)
    yield game(pd.DataFrame(by_text.to_dict(as_series=False)))
    yield game(answers=list(ANSWERS), context_names=CONTEXTS)
    yield game(answers=pd.Series(ANSWERS), context_names=iter(CONTEXTS))


GAMES = list(named_games())


@pytest.mark.parametrize("made", GAMES)
def test_names_come_with_the_game_and_stay(made):
    plain = game()
    np.testing.assert_array_equal(made.reference, plain.reference)
    flat = made.flat()
    kept = (made, flat, flat.rows(np.array([0])), made.with_objective(dg.HardCoherence()))
    for one in (*kept, made.in_float64(), made.on_answers(), made.unit, dg.solve(made).game):
        assert (one.answer_names, one.context_names) == (ANSWERS, CONTEXTS)
    history = dg.run(made, "mirror", 3)
    assert (history.answer_names, history.context_names) == (ANSWERS, CONTEXTS)


@pytest.mark.parametrize("made", GAMES)
def test_names_are_shown(made):
    solution, history = dg.solve(made), dg.run(made, "mirror", 3)
    for page in (solution._repr_html_(), made._repr_html_()):
        assert all(f">{name}<" in page for name in (*ANSWERS, *CONTEXTS))
        assert "answer 0" not in page
    for frame in (solution.to_polars(), history.to_polars(), history.to_pandas()):
        assert set(frame["answer"]) == set(ANSWERS)
        assert set(frame["context"]) == set(CONTEXTS)
    for figure in (solution.plot(), history.plot()):
        axes = figure.axes[-1]
        assert {t.get_text() for t in axes.texts} >= set(ANSWERS)
        assert [t.get_text() for t in axes.get_legend().get_texts()] == list(CONTEXTS)
    other = solution.plot(list("abc"))
    assert {t.get_text() for t in other.axes[0].texts} >= set("abc")


def test_frames_hold_each_number_beside_its_names():
    history = dg.run(game(**NAMED), "mirror", 4)
    frame = history.to_pandas().set_index(["round", "context", "answer"])["probability"]
    for (t, x, z), p in np.ndenumerate(history.marginals):
        assert frame[t, CONTEXTS[x], ANSWERS[z]] == p


def test_a_batch_shares_its_names():
    rng = np.random.default_rng(0)
    batch = dg.solve(game(rng.dirichlet(np.ones(3), (4, 2)), **NAMED))
    assert batch.game.rows(np.array([1, 3])).answer_names == ANSWERS
    frame = batch.to_polars()
    assert frame.columns[:3] == ["game", "context", "answer"]
    assert frame["answer"].to_list() == [*ANSWERS] * 8
    assert {t.get_text() for t in batch.plot(game=2).axes[0].texts} >= set(ANSWERS)


@pytest.mark.parametrize("frame", [pd.DataFrame(TABLE), pl.DataFrame(TABLE), TABLE, TABLE.tolist()])
def test_numbers_are_no_names(frame):
    made = game(frame)
    assert (made.answer_names, made.context_names) == (None, None)
    assert dg.solve(made).to_polars()["answer"].to_list() == [0, 1, 2] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"answer_names": ["a"]}, "1 name for 3 answers"),
        ({"context_names": "abc"}, "3 names for 2 contexts"),
        ({"answer_names": "aba"}, "two answers are named 'a'"),
        ({"answers": ["yes", "no", "maybe"], "answer_names": ["yes", "no"]}, "holds 'maybe'"),
        ({"answers": ["yes", "no"]}, "2 traces, the reference has 3"),
        ({"answers": ["yes", 1, None]}, "answers must be|real numbers"),
    ],
)
def test_names_that_do_not_fit(options, message):
    with pytest.raises(dg.DagameError, match=message):
        game(**options)


def test_texts_as_an_answer_map_are_that_map():
    texts = [["b", "a", "b"], ["a", "a", "c"]]
    made = game(answers=texts)
    assert made.answer_names == ("b", "a", "c")
    codes = game(answers=np.array([[0, 1, 0], [1, 1, 2]]))
    np.testing.assert_array_equal(made.marginals(TABLE), codes.marginals(TABLE))
    more = game(answers=texts, answer_names=["a", "b", "c", "never"])
    assert more.n == 4
    np.testing.assert_array_equal(
        more.marginals(TABLE)[..., :2], made.marginals(TABLE)[..., [1, 0]]
    )


def test_columns_of_traces_are_no_answers():
    frame = pd.DataFrame(TABLE, list(CONTEXTS), ["first", "second", "third"])
    made = game(frame, answers=[0, 1, 1])
    assert (made.answer_names, made.context_names) == (None, CONTEXTS)
    assert game(frame, answers=["u", "v", "v"]).answer_names == ("u", "v")


def test_a_solution_is_kept_in_a_file_with_its_names():
    solution = dg.solve(game(**NAMED))
    kept = pickle.loads(pickle.dumps(solution))
    np.testing.assert_array_equal(kept.marginals, solution.marginals)
    assert kept.game.answer_names == ANSWERS
    assert float(kept.gap) == float(solution.gap)
    assert kept.to_polars().equals(solution.to_polars())


def test_a_path_has_the_names_of_its_game():
    path = dg.path(game(**NAMED), [0.5, 2.0])
    frame = path.to_polars()
    assert frame["answer"].to_list() == [*ANSWERS] * 4
    assert frame["context"].unique(maintain_order=True).to_list() == list(CONTEXTS)
    texts = [t.get_text() for t in path.plot(title="A title").axes[0].get_legend().get_texts()]
    assert texts[:3] == sorted(ANSWERS, key=texts.index)
    assert not path.plot(legend=False).axes[0].get_legend()


def test_one_question_of_a_file_is_drawn_with_its_names():
    rows = {
        "question": [*"aaaa", *"bbbb", *"bb"],
        "phrasing": [*"xxyy", *"xxyy", *"zz"],
        "answer": ["4", "5", "4", "4", "7", "8", None, "7", "7", "9"],
    }
    samples = dg.Samples.from_answers(pl.DataFrame(rows), "question", "phrasing")
    found = samples.solve(dg.Coherence(2.0), beta=1.0)
    axes = found.plot("b").axes[0]
    shown = axes.get_images()[0].get_array()
    labels = [t.get_text() for t in axes.get_xticklabels()]
    assert sorted(labels) == ["7", "8", "9", "no answer"]
    assert [t.get_text() for t in axes.get_yticklabels()] == list("xyz")
    np.testing.assert_allclose(shown[:, labels.index("7")], [0.5, 0.5, 0.5])
    np.testing.assert_allclose(shown.sum(-1), 1)
    assert found.plot(0).axes[0].get_title() in ("a\nreference", "b\nreference")
    assert found.plot().axes
    with pytest.raises(dg.DagameError, match="class 'c' is not in the file"):
        found.plot("c")
    with pytest.raises(dg.DagameError, match="class 2 is not among the 2"):
        found.plot(2)
