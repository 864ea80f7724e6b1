"""Gradients through an equilibrium by the implicit function theorem: no unrolling, one linear solve."""

from __future__ import annotations

from typing import Any

import torch

from ..answer_map import AnswerMap
from ..arrays import LOG_ZERO, log, log_normalise
from ..game import AlignmentGame
from ..objectives import Objective
from ..solvers import solve
from ..solvers.newton import kkt_solve


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
    log_nu0 = amap.log_push_forward(log_normalise(log(table)))
    log_nu0 = torch.where(log_nu0 > LOG_ZERO / 2, log_nu0, LOG_ZERO)
    scale, kl = float(torch.as_tensor(strength).detach()), float(torch.as_tensor(beta).detach())
    with torch.no_grad():
        fixed = torch.exp(log_nu0.detach())
        game = AlignmentGame(
            fixed / fixed.sum(-1, keepdim=True),
            scale * _detached(objective),
            beta=kl,
            weights=weights,
        )
        log_nu = solve(game, tol=tol).log_marginals
        flat = game.flat()
    w = game.weights[..., None]
    live = log_nu > LOG_ZERO / 2
    reward = objective.bind(table).reward_log(log_nu, game.weights)
    pull = torch.where(live, log_nu - log_nu0, 0.0)
    residual = torch.where(live, w * (strength * reward - beta * pull), 0.0)
    shape = log_nu.shape
    flat_residual = residual.reshape(-1, *shape[-2:])
    out = _Stationary.apply(flat_residual, log_nu.reshape(-1, *shape[-2:]), flat)
    return torch.exp(out).reshape(shape)  # type: ignore[union-attr]


def _detached(objective: Objective) -> Objective:
    """The objective with its tables out of the graph."""
    parts = [
        f * o._map_tables(lambda t: t.detach() if isinstance(t, torch.Tensor) else t)
        for f, o in objective.terms()
    ]
    return sum(parts[1:], start=parts[0])
