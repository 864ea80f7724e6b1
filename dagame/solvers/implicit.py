"""Gradients through an equilibrium by the implicit function theorem: no unrolling, one linear solve."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from ..games.game import AlignmentGame
from ..games.solution import Solution
from ..numerics.arrays import LOG_ZERO
from ..objectives import Objective
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


def detached(game: AlignmentGame) -> AlignmentGame:
    """The game out of its autograd graph; deterministic answer maps only."""
    game.answer_map.require_deterministic("differentiating an equilibrium")
    return game.detached(detached_objective(game.objective))


def with_gradient(game: AlignmentGame, fixed: AlignmentGame, solution: Solution) -> Solution:
    """The solution of `fixed`, the detached game, with policy and marginals in the graph of `game`."""
    on_answers, log_nu0 = fixed.on_answers(), game.log_reference_answers
    log_policy = moved = attached(
        on_answers, solution.log_marginals, log_nu0, game.objective, 1.0, game.beta
    )
    if game.answer_map.kind != "identity":
        ratio = torch.where(on_answers.support, moved - log_nu0, 0.0)
        log_policy = game.answer_map.lift(game.log_reference, ratio)
    return dataclasses.replace(solution, game=game, log_policy=log_policy)


def detached_objective(objective: Objective) -> Objective:
    """The objective with its tables out of the graph."""
    parts = [
        f * o.map_tables(lambda t, axes: t.detach() if isinstance(t, torch.Tensor) else t)
        for f, o in objective.terms()
    ]
    return sum(parts[1:], start=parts[0])
