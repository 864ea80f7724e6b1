"""Gradients through an equilibrium by the implicit function theorem: no unrolling, one linear solve."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from ..answer_map import AnswerMap
from ..arrays import LOG_ZERO, log, log_normalise
from ..game import AlignmentGame
from ..objectives import Objective
from ..solution import Solution
from ._solve import solve
from .newton import kkt_solve


class _Stationary(torch.autograd.Function):
    """log nu* as a function of the stationarity residual F(nu*, theta) = 0.

    d nu* = K^-1 dF with K = -J'' on the simplices, so the gradient by F is K^-1 (dL/d nu).
    """

    @staticmethod
    def forward(ctx: Any, residual: torch.Tensor, log_nu: torch.Tensor, game: Any) -> torch.Tensor:
        ctx.game = game
        ctx.save_for_backward(log_nu)
        return log_nu.clone()

    @staticmethod
    def backward(ctx: Any, *outputs: Any) -> tuple[torch.Tensor, None, None]:
        (log_nu,) = ctx.saved_tensors
        live = log_nu > LOG_ZERO / 2
        nu = torch.exp(log_nu)
        slope = torch.where(live, outputs[0] / torch.where(live, nu, 1.0), 0.0)
        return nu * kkt_solve(ctx.game, log_nu, slope), None, None


def equilibrium(
    reference: torch.Tensor,
    objective: Objective,
    *,
    beta: float | torch.Tensor,
    strength: float | torch.Tensor = 1.0,
    weights: torch.Tensor | None = None,
    answers: Any = None,
    tol: float = 1e-12,
) -> torch.Tensor:
    """nu* (*batch, m, n), differentiable by reference, beta, strength and the objective's tables.

    The objective is `strength * objective`, so a tensor strength has a gradient. Solved without a graph;
    backward is one Newton system (theory, section 4) at the solution, exact up to the solution's own
    error. Needs an objective with a Hessian and a deterministic answer map. At masses that the
    equilibrium sends to 0 exactly (zeros of the reference) the gradient is 0.

    Raises:
        InvalidObjective: the objective states no Hessian.
        NotConverged: the game was not solved to `tol`.
    """
    table = torch.as_tensor(reference)
    amap = AnswerMap.of(answers, table.shape[-1]).bind(table)
    amap.require_deterministic("differentiating an equilibrium")
    scale, kl = float(torch.as_tensor(strength).detach()), float(torch.as_tensor(beta).detach())
    with torch.no_grad():
        game = AlignmentGame(
            table.detach(), scale * _detached(objective), beta=kl, weights=weights, answers=amap
        ).on_answers()
        log_nu = solve(game, tol=tol).log_marginals
    log_nu0 = amap.log_push_forward(log_normalise(log(table)))
    return torch.exp(attached(game, log_nu, log_nu0, objective.bind(table), strength, beta))


def attached(
    game: AlignmentGame,
    log_nu: torch.Tensor,
    log_nu0: torch.Tensor,
    objective: Objective,
    strength: Any,
    beta: Any,
) -> torch.Tensor:
    """The solved log nu* of a detached game on answers, with the gradient by what the rest depends on."""
    live = log_nu > LOG_ZERO / 2
    reward = objective.reward_log(log_nu, game.weights)
    pull = torch.where(live, log_nu - log_nu0, 0.0)
    residual = game.weights[..., None] * (strength * reward - beta * pull)
    residual = torch.where(live, residual, 0.0)
    flat = (-1, *log_nu.shape[-2:])
    out: Any = _Stationary.apply(residual.reshape(flat), log_nu.reshape(flat), game.flat())
    return out.reshape(log_nu.shape)


def solve_with_gradient(game: AlignmentGame, **options: Any) -> Solution:
    """`solve` for a game whose reference is in an autograd graph; policy and marginals carry gradients."""
    game.answer_map.require_deterministic("differentiating an equilibrium")
    with torch.no_grad():
        fixed = game.detached(_detached(game.objective))
        solution = solve(fixed, **options)
        on_answers = fixed.on_answers()
        log_nu = solution.log_marginals
    log_nu0 = game.log_reference_answers
    moved = attached(on_answers, log_nu, log_nu0, game.objective, 1.0, game.beta)
    ratio = torch.where(on_answers.support, moved - log_nu0, 0.0)
    log_policy = moved
    if game.answer_map.kind != "identity":
        log_policy = game.answer_map.lift(game.log_reference, ratio)
    return dataclasses.replace(solution, game=game, log_policy=log_policy)


def _detached(objective: Objective) -> Objective:
    """The objective with its tables out of the graph."""
    parts = [
        f * o._map_tables(lambda t: t.detach() if isinstance(t, torch.Tensor) else t)
        for f, o in objective.terms()
    ]
    return sum(parts[1:], start=parts[0])
