"""Parts of the benchmarks on their own: slopes, counts of calls, peers, profiles."""

import io
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import dagame as dg
from dagame.bench import lm
from dagame.bench.common import Watch, environment, panels, plain_ticks, slope
from dagame.bench.context_costs import FORMS, calls, kl_pair_by_pair, levels
from dagame.bench.equivalence import _on_traces
from dagame.bench.peers import NotStated, OutOfTime, _cost, cvxpy, peers, scipy_minimiser
from dagame.bench.scaling import CountedGame
from dagame.bench.solvers import profiles
from dagame.bench.tables import Section
from dagame.games.library import random_game


def test_slope_is_that_of_a_power_law():
    x = [10, 100, 1000, 10_000]
    assert slope(x, [3 * v**1.7 for v in x]) == pytest.approx(1.7)
    assert slope(x, [3 * v**1.7 for v in x[:3]] + [None]) == pytest.approx(1.7)
    assert slope(x, [None, None, None, 4.0]) is None


def test_environment_names_the_machine():
    found = environment()
    assert {"cpu", "cores", "threads", "python", "numpy", "commit"} <= set(found)
    assert found["numpy"] == np.__version__


def test_a_table_shows_what_is_no_list():
    rows = [{"way": "a", "x": 0.12345, "n": 1234, "none": None, "all": [1, 2]}]
    out = io.StringIO()
    Section("rows", "Title", rows, {"x": "a number"}).print(Console(file=out, width=100))
    text = out.getvalue()
    assert "0.123" in text
    assert "1,234" in text
    assert "–" in text
    assert "[1, 2]" not in text
    assert "x: a number" in text


def test_watch_yields_everything_in_silence(capfd):
    assert list(Watch().over([1, 2, 3], str)) == [1, 2, 3]
    with Watch().stage("work") as say:
        say("something")
    assert capfd.readouterr() == ("", "")


def test_pair_by_pair_is_the_pairwise_objective(rng):
    p, w = rng.dirichlet(np.ones(5), 4), rng.dirichlet(np.ones(4))
    value, reward = kl_pair_by_pair(np.log(p), w)
    phi = dg.PairwiseCoherence(1.0, "kl")
    assert value == pytest.approx(float(phi.value(p, w)))
    np.testing.assert_allclose(reward, phi.reward(p, w), rtol=1e-10)
    for _, evaluate in FORMS.values():
        assert evaluate(np.log(p), w)[1].shape == p.shape


def test_calls_grow_as_their_definitions_say():
    m, k = 5, 3
    found = {r["reward"]: r for r in calls(m, k)}
    assert found["all-pairs agreement"]["scorer calls"] == m * (m - 1) // 2 * k * k
    assert found["re-scoring under each paraphrase"]["further forward passes"] == m * m * k
    assert found["semantic clusters"]["scorer calls"] == m * k * (k - 1)
    ours = found["coherence, majority vote, diversity"]
    assert (ours["calls in all"], ours["exponent in m"]) == (m * k, 1)


def test_trace_coherence_pays_more_kl():
    rows, slopes = levels((4,), 3, 2, 0, 4.0, Watch())
    (row,) = rows
    assert row["KL, traces"] > row["KL, answers"]
    assert row["agreement, answers"] > row["agreement before"]
    assert slopes == {"coherence of traces": None, "coherence of answers": None}


def test_evaluated_traces_are_counted(rng):
    game = CountedGame(rng.dirichlet(np.ones(12), 2), dg.Coherence(), beta=1.0)
    flat = game.flat()
    for _ in range(3):
        flat.evaluate(flat.log_reference)
    assert game.evaluated == [3 * 2 * 12]


def test_the_referee_sees_the_same_game_on_traces(rng):
    game = random_game(rng, contexts=2, answers=3, traces=7)
    stated = _on_traces(game)
    assert stated.answer_map.kind == "channel"
    policy = game.reference
    np.testing.assert_allclose(stated.value(policy), game.value(policy))


def game_of(objective, seed=0):
    rng = np.random.default_rng(seed)
    return dg.AlignmentGame(rng.dirichlet(np.ones(5), 2), objective, beta=1.0, weights=[0.3, 0.7])


def test_gradient_for_scipy_is_that_of_its_cost(rng):
    game = game_of(dg.Coherence(2.0))
    cost, x = _cost(game), rng.dirichlet(np.ones(5), 2).ravel()
    value, gradient = cost(x)
    assert value == pytest.approx(-float(game.value(x.reshape(2, 5))))
    for i, h in enumerate(1e-6 * np.eye(10)):
        assert (cost(x + h)[0] - cost(x - h)[0]) / 2e-6 == pytest.approx(gradient[i], rel=1e-5)


@pytest.mark.filterwarnings("ignore:delta_grad == 0.0:UserWarning")  # trust-constr at its optimum
@pytest.mark.parametrize("name", [n for n, p in peers(5.0).items() if not isinstance(p, str)])
@pytest.mark.parametrize("objective", [dg.Coherence(2.0), dg.ShannonDiversity(0.5)])
def test_every_peer_solves_a_small_game(name, objective):
    peer, game = peers(5.0)[name], game_of(objective)
    assert dg.certify(game, peer(game)).gap < 1e-4


def test_a_missing_peer_says_so():
    if find_spec("jaxopt") is None:
        assert "not installed" in peers(1.0)["jaxopt MirrorDescent"]


def test_peers_refuse_and_give_up():
    with pytest.raises(NotStated):
        cvxpy("CLARABEL")(game_of(dg.BregmanCoherence(1.5)))
    with pytest.raises(OutOfTime):
        scipy_minimiser("SLSQP", 0.0)(game_of(dg.Coherence(2.0)))


def test_profiles_keep_failures_and_leave_out_the_unstated():
    def row(solver, seconds, gap, status="done"):
        return {"solver": solver, "seconds": seconds, "gap": gap, "status": status}

    rows = [
        *(row("a", s, g) for s, g in ((1.0, 1e-9), (1.0, 1e-9), (4.0, 1e-9), (1.0, 1e-2))),
        row("b", 2.0, 1e-9),
        row("b", None, None, "failed: x"),
        row("b", 1.0, 1e-9),
        row("b", None, None, "not stated"),
    ]
    found = profiles(rows, 1e-6, [1, 2, 4])
    assert found["a"] == pytest.approx([2 / 4, 2 / 4, 3 / 4])
    assert found["b"] == pytest.approx([1 / 3, 2 / 3, 2 / 3])


def test_a_prediction_leaves_out_classes_without_a_common_answer():
    """Geometric coherence: class 1's contexts share no answer, so that it is infeasible, not a crash."""
    from types import SimpleNamespace

    import polars as pl

    rows = {
        "class_id": [0] * 8 + [1] * 8,
        "member_id": [0] * 4 + [1] * 4 + [0] * 4 + [1] * 4,
        "answer": list("aabbabbb") + list("ccccdddd"),
        "correct": [True, True, False, False, True, False, False, False] + [False] * 8,
    }
    found = SimpleNamespace(completions=pl.DataFrame(rows))
    out = lm.predict(found, dg.Coherence(1.0, "geometric"), 0.5)
    alone = SimpleNamespace(completions=pl.DataFrame(rows).filter(pl.col("class_id") == 0))
    assert out["infeasible"] == 1
    assert out["accuracy"] == lm.predict(alone, dg.Coherence(1.0, "geometric"), 0.5)["accuracy"]
    assert np.isfinite(out["value"])


def test_results_name_no_path_of_one_machine():
    folder = Path(__file__).parents[2] / "benchmarks" / "results"
    machine = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|Users|mnt)/")
    files = sorted(folder.rglob("*.json"))
    assert len(files) > 20
    assert [file.name for file in files if machine.search(file.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("high", [1.5, 6.0, 50.0])
def test_a_logarithmic_axis_of_a_short_span_has_several_plain_numbers(high):
    """Matplotlib labels powers of ten alone, of which such a span may hold one or none."""
    figure, (axes,) = panels(1)
    axes.loglog([7.0, 7.0 * high], [1.0, 2.0])
    plain_ticks(axes.xaxis)
    low, top = axes.get_xlim()
    figure.draw_without_rendering()
    texts = [
        tick.label1.get_text()
        for tick in axes.xaxis.get_major_ticks()
        if low <= tick.get_loc() <= top
    ]
    assert len([text for text in texts if float(text)]) >= 2
    assert not any(tick.label1.get_text() for tick in axes.xaxis.get_minor_ticks())
