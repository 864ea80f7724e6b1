"""Torch: autograd through values and equilibria, deterministic sums, devices; CUDA where there is one."""

import shutil

import numpy as np
import pytest

import dagame as dg
from dagame.games.library import (
    KINKED,
    OBJECTIVES,
    named,
    random_game,
    random_game_of,
    reference_games,
)
from dagame.numerics.arrays import to_numpy
from dagame.objectives.parameters import bound_to

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from dagame.scale import SegmentSum, equilibrium, resolve_device, to_device  # noqa: E402

SMOOTH = sorted(OBJECTIVES.keys() - {"soft-cap"})


@pytest.mark.parametrize("name", sorted(reference_games()))
def test_numpy_and_torch_agree_on_the_library(name):
    known = named(name)
    game, table = known.game, known.game.answer_map.table
    other = dg.AlignmentGame(
        torch.as_tensor(game.reference),
        game.objective,
        beta=game.beta,
        weights=torch.as_tensor(game.weights),
        answers=None if table is None else torch.as_tensor(table),
    )
    one, two = dg.solve(game, throw=False), dg.solve(other, throw=False)
    for a, b in ((one.value, two.value), (one.marginals, two.marginals), (one.policy, two.policy)):
        np.testing.assert_allclose(to_numpy(b), a, rtol=1e-10, atol=1e-10)
    seen = game.answer_support & np.isfinite(one.rewards)
    np.testing.assert_allclose(to_numpy(two.rewards)[seen], one.rewards[seen], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", sorted(OBJECTIVES))
def test_autograd_of_the_value_is_the_reward(kind, rng):
    phi = OBJECTIVES[kind](rng, 3, 5)
    w = torch.as_tensor(rng.dirichlet(np.ones(3)))
    nu = torch.tensor(0.1 + rng.dirichlet(np.ones(5), 3), requires_grad=True)
    phi = bound_to(phi, nu)
    total = phi.value(nu / nu.sum(-1, keepdim=True), w)
    (slope,) = torch.autograd.grad(total, nu)
    p = (nu / nu.sum(-1, keepdim=True)).detach()
    u = phi.reward(p, w) * w[:, None]
    expected = (u - (u * p).sum(-1, keepdim=True)) / nu.detach().sum(-1, keepdim=True)
    np.testing.assert_allclose(slope.numpy(), expected.detach().numpy(), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", SMOOTH)
def test_gradients_through_the_equilibrium_against_finite_differences(kind, rng):
    phi = OBJECTIVES[kind](rng, 2, 4)
    reference = torch.tensor(0.05 + rng.dirichlet(np.ones(4), (2, 2)), requires_grad=True)
    beta = torch.tensor(1.1, dtype=torch.float64, requires_grad=True)
    strength = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    probe = torch.as_tensor(rng.normal(size=(2, 2, 4)))

    def loss(reference, beta, strength):
        p = reference / reference.sum(-1, keepdim=True)
        return (probe * equilibrium(p, phi, beta=beta, strength=strength, tol=1e-13)).sum()

    inputs = (reference, beta, strength)
    exact = torch.autograd.grad(loss(*inputs), inputs)
    h = 1e-4
    for k, slope in enumerate(exact):
        direction = torch.as_tensor(rng.normal(size=tuple(inputs[k].shape)))
        ends = []
        for sign in (1, -1):
            moved = [v.detach().clone() for v in inputs]
            moved[k] = moved[k] + sign * h * direction
            ends.append(float(loss(*moved)))
        numeric = (ends[0] - ends[1]) / (2 * h)
        np.testing.assert_allclose(float((slope * direction).sum()), numeric, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("answers", [None, [0, 0, 1, 2]])
def test_solve_itself_is_differentiable(rng, answers):
    probe = torch.as_tensor(rng.normal(size=(2, 4)))
    base = torch.tensor(0.1 + rng.dirichlet(np.ones(4), 2), requires_grad=True)

    def loss(base):
        p = base / base.sum(-1, keepdim=True)
        game = dg.AlignmentGame(p, dg.Coherence(2.0), beta=1.0, answers=answers)
        return (probe * dg.solve(game, tol=1e-13).policy).sum()

    (slope,) = torch.autograd.grad(loss(base), base)
    direction = torch.as_tensor(rng.normal(size=(2, 4)))
    h = 1e-4
    ends = [float(loss(base.detach() + s * h * direction)) for s in (1, -1)]
    np.testing.assert_allclose(
        float((slope * direction).sum()), (ends[0] - ends[1]) / (2 * h), rtol=1e-4, atol=1e-7
    )


def test_gradients_reach_the_objectives_tables(rng):
    r = torch.tensor(rng.normal(size=(2, 4)), requires_grad=True)
    reference = torch.as_tensor(rng.dirichlet(np.ones(4), 2))

    def loss(r):
        phi = dg.Reward(r) + dg.ShannonDiversity(0.5)
        return (equilibrium(reference, phi, beta=1.0) ** 2).sum()

    (slope,) = torch.autograd.grad(loss(r), r)
    direction = torch.as_tensor(rng.normal(size=(2, 4)))
    h = 1e-5
    numeric = (loss(r.detach() + h * direction) - loss(r.detach() - h * direction)) / (2 * h)
    np.testing.assert_allclose(float((slope * direction).sum()), float(numeric), rtol=1e-6)


def test_gradients_with_traces_and_zeros():
    reference = torch.tensor([[0.3, 0.2, 0.5, 0.0]], dtype=torch.float64, requires_grad=True)
    nu = equilibrium(reference, dg.ShannonDiversity(1.0), beta=1.0, answers=[0, 0, 1, 2])
    np.testing.assert_allclose(nu.detach().numpy(), [[0.5, 0.5, 0.0]])
    nu[0, 0].backward()
    slope = reference.grad.numpy()
    assert slope[0, 0] == pytest.approx(slope[0, 1])
    assert np.isfinite(slope).all()


def test_a_channel_or_no_hessian_is_refused(rng):
    reference = torch.as_tensor(rng.dirichlet(np.ones(3), 2))
    with pytest.raises(dg.DagameError, match="deterministic"):
        equilibrium(
            reference, dg.Coherence(), beta=1.0, answers=torch.eye(3).double() * 0.5 + 1 / 6
        )
    reference.requires_grad_()
    soft = dg.SoftConstraint(dg.Cap([0], 0.1), 1.0)
    with pytest.raises(dg.DagameError, match="no Hessian"):
        equilibrium(reference, soft, beta=1.0).sum().backward()


def test_segment_sum_is_the_scatter_and_repeats_itself(rng):
    answers = torch.as_tensor(rng.integers(0, 7, 1000))
    values = torch.as_tensor(rng.random((3, 2, 1000)))
    summed = SegmentSum(answers, 9)(values)
    dense = torch.zeros(3, 2, 9, dtype=torch.float64).index_add_(-1, answers, values)
    np.testing.assert_allclose(summed.numpy(), dense.numpy(), rtol=1e-12)
    assert torch.equal(summed, SegmentSum(answers, 9)(values))
    for bad in (torch.zeros(2, 2, dtype=torch.int64), torch.tensor([10])):
        with pytest.raises(dg.DagameError):
            SegmentSum(bad, 9)


def test_devices():
    assert resolve_device("cpu").type == "cpu"
    assert resolve_device("auto").type in ("cpu", "cuda")
    for name in ("gpu", "mps"):
        with pytest.raises(dg.DagameError, match="choose auto"):
            resolve_device(name)
    if not torch.cuda.is_available():
        with pytest.raises(dg.DagameError, match="no CUDA device"):
            resolve_device("cuda")


@pytest.mark.parametrize("kind", sorted(OBJECTIVES | KINKED))
def test_pieces_give_what_the_whole_gives(kind, rng):
    game = random_game_of(kind, rng, 3, 6, batch=(2, 9), zeros=0.0)
    whole = dg.solve(game, tol=1e-12, throw=False)
    pieces = dg.solve(game, tol=1e-12, throw=False, max_bytes=60_000)
    np.testing.assert_allclose(pieces.value, whole.value, rtol=1e-11, atol=1e-11)
    np.testing.assert_array_equal(pieces.statuses, whole.statuses)
    assert pieces.marginals.shape == whole.marginals.shape
    assert pieces.history.gaps.shape[1:] == (2, 9) or not len(pieces.history)


def test_pieces_renumber_their_notes():
    reference = np.tile([[[0.2, 0.3, 0.5]]], (6, 1, 1))
    reference[4] = [[0.5, 0.5, 0.0]]
    game = dg.AlignmentGame(reference, dg.HardConstraint(dg.Floor([2], 0.1)), beta=1.0)
    solution = dg.solve(game, max_bytes=1)
    assert solution.notes == ("game 4: clash of floor 0.1 in context 0",)


def test_convergence_may_be_tested_less_often(rng):
    game = random_game(rng, batch=(5,), objective=dg.Coherence(3.0))
    often, seldom = dg.solve(game), dg.solve(game, check_every=4)
    np.testing.assert_allclose(often.value, seldom.value, atol=1e-9)
    assert seldom.solved.all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("kind", sorted(OBJECTIVES))
def test_cuda_agrees_with_numpy(kind, rng):
    base = random_game_of(kind, rng, 2, 5, batch=(4,))
    device = resolve_device("cuda")
    game = dg.AlignmentGame(
        to_device(base.reference, device),
        base.objective,
        beta=base.beta,
        weights=to_device(base.weights, device),
    )
    one, other = dg.solve(base, tol=1e-12, throw=False), dg.solve(game, tol=1e-12, throw=False)
    assert other.policy.device.type == "cuda"
    np.testing.assert_allclose(to_numpy(other.value), one.value, rtol=1e-10, atol=1e-10)


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_evaluation_solves_the_same(rng):
    if shutil.which("g++") is None and not torch.cuda.is_available():
        pytest.skip("torch.compile needs a C++ compiler on the CPU, and there is none")
    table = torch.as_tensor(rng.dirichlet(np.ones(6), (4, 2)))
    game = dg.AlignmentGame(table, dg.Coherence(2.0), beta=1.0)
    plain, fast = dg.solve(game, "anderson"), dg.solve(game, "anderson", compile=True)
    np.testing.assert_allclose(to_numpy(fast.value), to_numpy(plain.value), atol=1e-10)
    assert fast.solved.all()
    with pytest.raises(dg.DagameError, match="needs torch tensors"):
        dg.solve(random_game(rng), compile=True)
