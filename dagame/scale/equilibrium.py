"""An equilibrium as a differentiable function of reference, beta, strength and tables."""

from __future__ import annotations

from typing import Any

import torch

from ..games.answer_map import AnswerMap
from ..games.game import AlignmentGame
from ..numerics.arrays import log, log_normalise
from ..objectives import Objective
from ..objectives.parameters import bound_to
from ..solvers import solve
from ..solvers.implicit import attached, detached_objective


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
    backward is one Newton system (docs/theory/dynamics.md#faster) at the solution, exact up to the
    solution's own error. Needs an objective with a Hessian and a deterministic answer map. At masses that the
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
            table.detach(),
            scale * detached_objective(objective),
            beta=kl,
            weights=weights,
            answers=amap,
        ).on_answers()
        log_nu = solve(game, tol=tol).log_marginals
    log_nu0 = amap.log_push_forward(log_normalise(log(table)))
    return torch.exp(attached(game, log_nu, log_nu0, bound_to(objective, table), strength, beta))
