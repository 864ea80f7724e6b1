"""A path is its solves one by one, whatever order they are asked in, and moves as the theory says."""

import numpy as np
import pytest
from games import SEEDS
from hypothesis import given, settings
from hypothesis import strategies as st

import dagame as dg
from dagame.errors import InvalidGame, NotConcave
from dagame.numerics import fast
from tests.kinds import made, support, those

CONCAVE = those(lambda phi: phi.concave is True)
STRENGTHS = [3.0, 0.1, 30.0, 1.0]


def reference(seed, batch=(), zeros=True):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(4, 0.7), (*batch, 3))
    if zeros:
        p[..., 0, 3] = 0.0  # an exact zero; the first answers stay common
    return p / p.sum(-1, keepdims=True)


@pytest.mark.parametrize("kind", CONCAVE)
@pytest.mark.parametrize("batch", [(), (2,)])
def test_every_point_is_the_solve_at_its_strength(kind, batch):
    objective, zeros = made(kind, 1.0, 3, 4), support(kind) == "any"
    game = dg.AlignmentGame(reference(5, batch, zeros), objective, beta=0.8)
    found = dg.path(game, STRENGTHS)
    assert list(found.strengths) == STRENGTHS
    for strength, solution in zip(STRENGTHS, found, strict=True):
        alone = dg.solve(game.with_objective(strength * objective))
        assert solution.game.objective.terms()[0][0] == strength
        assert np.max(solution.gap) <= 1e-8 * max(1, np.max(np.abs(solution.value)))
        np.testing.assert_allclose(solution.value, alone.value, atol=1e-8)
        np.testing.assert_allclose(solution.marginals, alone.marginals, atol=1e-4)
        certificate = dg.certify(alone.game, solution.policy, solution.target)
        np.testing.assert_allclose(certificate.value, alone.value, atol=1e-8)


@settings(max_examples=40)
@given(SEEDS, st.sampled_from([k for k in CONCAVE if not made(k, 1.0, 3, 4).hard]), st.booleans())
def test_objective_and_kl_never_fall_and_the_value_is_convex(seed, kind, zeros):
    """J* is a maximum of functions that are affine in the strength, with slope Phi(nu*)."""
    zeros = zeros and support(kind) == "any"
    game = dg.AlignmentGame(reference(seed, zeros=zeros), made(kind, 1.0, 3, 4, seed), beta=1.0)
    found = dg.path(game, [0.0, 0.5, 1.0, 2.0, 8.0])
    assert (np.diff(found.objectives) >= -1e-7).all()
    assert (np.diff(found.kl) >= -1e-7).all()
    assert (np.diff(np.diff(found.values) / np.diff(found.strengths)) >= -1e-7).all()
    np.testing.assert_allclose(
        found.strengths * found.objectives - game.beta * found.kl, found.values, atol=1e-9
    )
    np.testing.assert_allclose(found[0].policy, game.reference, atol=1e-12)


def test_dividing_beta_is_multiplying_the_objective():
    p = reference(1)
    found = dg.path(dg.AlignmentGame(p, dg.Coherence(), beta=1.0), [4.0])
    other = dg.solve(dg.AlignmentGame(p, dg.Coherence(), beta=0.25))
    np.testing.assert_allclose(found[0].marginals, other.marginals, atol=1e-7)


def test_rounds_start_at_the_neighbour(monkeypatch):
    monkeypatch.setattr(fast, "LOADING", np.inf)  # compiled rounds start anew, and are as few
    p = np.random.default_rng(2).dirichlet(np.full(6, 0.4), 4)
    game = dg.AlignmentGame(p, dg.Coherence(consensus="euclidean"), beta=1.0)
    strengths = np.geomspace(1, 100, 7)
    warm = sum(int(s.steps) for s in dg.path(game, strengths))
    cold = sum(int(dg.solve(game.with_objective(s * game.objective)).steps) for s in strengths)
    assert warm < cold / 2


def test_traces_and_torch_are_followed_too():
    p = reference(3).repeat(2, axis=-1) / 2
    answers = np.repeat(np.arange(4), 2)
    objective = dg.Coherence(consensus="euclidean")
    game = dg.AlignmentGame(p, objective, beta=1.0, answers=answers)
    found = dg.path(game, [1.0, 5.0])
    alone = dg.solve(game.with_objective(5.0 * objective))
    np.testing.assert_allclose(found[1].policy, alone.policy, atol=1e-5)
    channel = np.full((4, 2), 0.5) + 0.4 * np.array([[1, -1], [-1, 1]] * 2)
    noisy = dg.AlignmentGame(reference(3), objective, beta=1.0, answers=channel)
    assert np.max(dg.path(noisy, [1.0, 5.0]).gaps) < 1e-8
    torch = pytest.importorskip("torch")
    tensors = dg.path(dg.AlignmentGame(torch.tensor(reference(3)), objective, beta=1.0), [1.0, 5.0])
    assert isinstance(tensors[1].marginals, torch.Tensor)
    np.testing.assert_allclose(tensors.marginals[1], found[1].marginals, atol=1e-5)


def test_what_is_no_strength_is_refused_and_a_failing_one_is_named():
    game = dg.AlignmentGame(reference(0), dg.Agreement(1.0), beta=1.0)
    for wrong in ([], [-1.0], [np.nan], [np.inf]):
        with pytest.raises(InvalidGame, match="finite numbers >= 0"):
            dg.path(game, wrong)
    with pytest.raises(NotConcave, match="at strength 50: "):
        dg.path(game, [0.1, 50.0])


def test_it_shows_itself():
    game = dg.AlignmentGame(reference(0, (2,)), dg.Coherence(), beta=1.0)
    found = dg.path(game, [10.0, 0.1, 1.0])
    assert len(str(found).splitlines()) <= 6
    assert "3, 0.1 to 10 times the objective" in str(found)
    frame = found.to_polars()
    assert frame.columns[:4] == ["strength", "game", "context", "answer"]
    assert len(frame) == 3 * 2 * 3 * 4
    one = frame.row(3 * 4 + 5, named=True)  # strength 10, game 1, context 1, answer 1
    assert (one["strength"], one["game"], one["context"], one["answer"]) == (10.0, 1, 1, 1)
    assert one["equilibrium"] == found.marginals[0, 1, 1, 1]
    assert one["reference"] == pytest.approx(reference(0, (2,))[1, 1, 1])
    assert one["value"] == found.values[0, 1]
    axes = found.plot(answers="abcd", game=1).axes[0]
    assert axes.get_xscale() == "log"
    for line in axes.get_lines():
        assert list(line.get_xdata()) == [0.1, 1.0, 10.0]
    labels = [line.get_label().strip() for line in axes.get_lines()]
    place = "abcd".index(labels[0])
    want = found.marginals[[1, 2, 0], 1, :, place].mean(-1)
    np.testing.assert_allclose(axes.get_lines()[0].get_ydata(), want)
    assert labels[-1] == "agreement of contexts"
    from matplotlib.figure import Figure

    mine = Figure().subplots()
    assert found.plot(ax=mine) is mine.figure
    assert len(mine.get_lines()) == 5
    with pytest.raises(InvalidGame, match="3 names for 4 answers"):
        found.plot(answers="abc")
    with pytest.raises(InvalidGame, match="game 2"):
        found.plot(game=2)
