"""Arithmetic coherence as one fused Triton kernel: one game per program, read once and written once.

Newton in the space of the consensus (docs/theory/dynamics.md#consensus) with the moves and tests of
dagame/solvers/consensus.py. Triton and not torch.compile, which would end a kernel at every reduction over
answers and at the loop whose length depends on the game, and send each round through the device's memory.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl

ROUNDS = 30
"""Newton takes 0 to 6 moves in double precision."""

_AIM = 1e-4
"""Share of the tolerance to come to, as in dagame/solvers/consensus.py."""


class Found(NamedTuple):
    """Log-policies (B, m, n), relative gaps (B,) by the bound of the theory page, moves (B,)."""

    log_policy: torch.Tensor
    relative_gap: torch.Tensor
    steps: torch.Tensor


def solve_games(
    log_reference: torch.Tensor,
    weights: torch.Tensor,
    beta: float,
    strength: float,
    tol: float,
    found: Found | None = None,
) -> Found:
    """Equilibria of games (B, m, n) with the weights (m,); zeros of the reference are -1e30.

    `found` is written over, if given. Parameters are read in the precision of the table.
    """
    games, m, n = log_reference.shape
    if found is None:
        found = Found(
            torch.empty_like(log_reference),
            log_reference.new_empty(games),
            log_reference.new_empty(games, dtype=torch.int32),
        )
    eps = torch.finfo(log_reference.dtype).eps
    numbers = log_reference.new_tensor([beta, strength, tol, _AIM, eps])
    solve_game[(games,)](
        log_reference.contiguous(),
        weights.to(log_reference).contiguous(),
        numbers,
        *found,
        m,
        n,
        ROUNDS=ROUNDS,
        M=triton.next_power_of_2(m),
        N=triton.next_power_of_2(n),
        num_warps=max(1, min(8, triton.next_power_of_2(m * n) // 256)),
    )
    return found


@triton.jit
def _excess(t):
    """e^t - 1 - t, in a series where it would cancel."""
    series = t * t / 2 * (1 + t / 3 * (1 + t / 4 * (1 + t / 5 * (1 + t / 6 * (1 + t / 7)))))
    return tl.where(tl.abs(t) < 0.03, series, tl.exp(t) - 1 - t)


@triton.jit
def _log1p(c):
    """log(1 + c), in a series where 1 + c would lose digits."""
    tail = c * (1.0 / 5 - c * (1.0 / 6 - c * (1.0 / 7 - c / 8)))
    series = c * (1 - c * (0.5 - c * (1.0 / 3 - c * (0.25 - tail))))
    return tl.where(tl.abs(c) < 0.01, series, tl.log(1 + c))


@triton.jit
def _solved_system(matrix, right, rows, M: tl.constexpr):
    """matrix^-1 right (M,) by Gauss and Jordan without pivots, as the matrix is positive definite."""
    for k in tl.static_range(M):
        row = tl.sum(tl.where(rows[:, None] == k, matrix, 0.0), axis=0)
        column = tl.sum(tl.where(rows[None, :] == k, matrix, 0.0), axis=1)
        pivot = tl.sum(tl.where(rows == k, row, 0.0), axis=0)
        factors = tl.where(rows == k, 0.0, column / pivot)
        right = right - factors * tl.sum(tl.where(rows == k, right, 0.0), axis=0)
        matrix = matrix - factors[:, None] * row[None, :]
    return right / tl.sum(tl.where(rows[:, None] == rows[None, :], matrix, 0.0), axis=1)


@triton.jit
def solve_game(
    table,
    weights,
    numbers,
    log_policies,
    gaps,
    moves,
    m,
    n,
    ROUNDS: tl.constexpr,
    M: tl.constexpr,
    N: tl.constexpr,
):
    game = tl.program_id(0).to(tl.int64)
    beta, strength, tol = tl.load(numbers), tl.load(numbers + 1), tl.load(numbers + 2)
    aim, eps = tl.load(numbers + 3), tl.load(numbers + 4)
    total = beta + strength
    power = total / beta
    rows, columns = tl.arange(0, M), tl.arange(0, N)
    real = rows < m
    inside = real[:, None] & (columns < n)[None, :]
    at = game * m * n + rows[:, None] * n + columns[None, :]
    log_nu0 = tl.load(table + at, mask=inside, other=-1e30)
    given = log_nu0 > -5e29
    w = tl.load(weights + rows, mask=real, other=1.0)
    counted = tl.where(real, w, 0.0)  # rows that fill up to a power of two count for nothing
    a = tl.where(given, tl.exp(beta / total * log_nu0), 0.0)
    live = tl.max(given.to(tl.int32), axis=0) > 0

    theta = tl.log(tl.where(real, tl.sum(a, axis=1), 1.0))
    kept, move, safe = theta, theta * 0, theta * 0
    lowest, length = total * 0 + 1e30, total * 0 + 1
    relative_gap, log_q, log_sums = total * 0 + 1e30, tl.sum(a, axis=0) * 0, theta * 0
    step, taken, done = 0, 0, 0
    while done == 0:
        y = counted * tl.exp(-theta)
        mass = tl.where(live, tl.sum(y[:, None] * a, axis=0), 1.0)
        log_q = tl.where(live, power * tl.log(mass), -1e30)
        top = tl.max(log_q, axis=0)
        q = tl.exp(log_q - top)
        sum_q = tl.sum(q, axis=0)
        q = q / sum_q
        log_q = log_q - top - tl.log(sum_q)
        norm = (top + tl.log(sum_q)) / power
        b = y[:, None] * a / mass[None, :]
        product = tl.sum((q[None, :] * b)[:, None, :] * b[None, :, :], axis=2)
        shares = tl.where(real, tl.maximum(tl.sum(product, axis=1), 1e-37), 1.0)
        off = tl.where(real, tl.log(w / shares), 0.0)
        log_sums = theta - off + norm
        value = total * tl.sum(counted * log_sums, axis=0)
        dual = norm + tl.sum(counted * theta, axis=0)
        apart = tl.sum(counted * _excess(-off), axis=0)
        size = tl.maximum(tl.abs(value), beta)

        change = tl.sum(tl.where(real, w / shares - 1, 0.0)[:, None] * b, axis=0)
        t = strength / beta * _log1p(change)
        relative_gap = beta * tl.sum(q * (1 + change) * _excess(t), axis=0) / size
        spread = 1 + tl.sum(tl.where(live, q * log_q * log_q, 0.0), axis=0)
        rounding = total * total * eps * eps / 4 / beta * spread / size
        taken = step
        near = relative_gap <= tl.maximum(aim * tol, rounding)
        done = tl.where(near | (step == ROUNDS), 1, 0)

        fell = (dual <= lowest + 8 * eps * (1 + tl.abs(norm) + tl.max(tl.abs(theta), axis=0))) | (
            length == 0
        )
        hessian = (power - 1) * product - power * tl.where(real, shares, 0.0)[:, None] * tl.where(
            real, shares, 0.0
        )[None, :]
        hessian += counted[:, None] * counted[None, :]
        hessian += tl.where(rows[:, None] == rows[None, :], shares[:, None], 0.0)
        newton = _solved_system(hessian, tl.where(real, shares - w, 0.0), rows, M)
        kept = tl.where(fell, theta, kept)
        move = tl.where(fell, newton, move)
        safe = tl.where(fell, -off / power, safe)
        lowest = tl.where(fell, dual, lowest)
        first = tl.where(apart > 5.0, 0.0, 1.0).to(length.dtype)
        shorter = tl.where(length > 0.05, length / 4, 0.0).to(length.dtype)
        length = tl.where(fell, first, shorter)
        theta = kept + tl.where(length > 0, length * move, safe)
        step += 1

    log_nu = beta / total * log_nu0 + strength / total * log_q[None, :] - log_sums[:, None]
    tl.store(log_policies + at, tl.where(given, log_nu, -1e30), mask=inside)
    tl.store(gaps + game, relative_gap)
    tl.store(moves + game, taken)
