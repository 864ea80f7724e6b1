"""Anderson acceleration of the mirror map in log coordinates, guarded by the value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..arrays import Array, log_normalise, namespace, solve
from ..game import AlignmentGame, Evaluation
from .base import column, pick


@dataclass(frozen=True)
class Anderson:
    """Extrapolates r(nu) = log best response - log nu to zero from the last `depth` iterates.

    nu_{t+1} = nu_t + s r_t - (dX + s dR) g with g = argmin ||r_t - dR g|| in the norm weighted by
    w_x nu_x(z), s = beta/(L + beta) the mirror share (theory, section 4). A proposal is kept only
    if J does not fall; or the gap halves and J falls by no more than 1e-10 of max(beta, |J|), where
    rounding error hides a rise. Else the plain mirror step from the kept iterate is taken, which with a
    known L never lowers J: at least every second round is kept. Typically superlinear:
    gap 1e-12 in 6 to 10 steps on arithmetic coherence for L/beta from 1 to 1000. Where L is unknown
    s is backtracked on J. Stalls, or falls back to mirror's pace, where the reward is singular
    (geometric consensus, forward KL, log success at small reference masses): use Newton there.
    """

    depth: int = 5
    name: ClassVar[str] = "anderson"

    def _share(self, game: AlignmentGame) -> float | None:
        smoothness = game.smoothness
        if smoothness is None or smoothness + game.beta <= 0:
            return None
        return min(1.0, game.free_beta / (smoothness + game.beta))

    def init(self, game: AlignmentGame, start: Evaluation) -> tuple[Array, ...]:
        """The kept iterate (x, r, J, gap), the share, whether the last proposal was extrapolated."""
        share = self._share(game)
        shares = 0 * start.value + (0.5 if share is None else share)
        residual = start.log_best - start.log_policy
        never = start.value < start.value - 1
        return (start.log_policy, residual, start.value, start.gap, shares, never)

    def step(
        self, game: AlignmentGame, now: Evaluation, state: tuple[Array, ...]
    ) -> tuple[Array, tuple[Array, ...]]:
        """Keep or reject the proposal, then extrapolate from the kept iterate."""
        xp = namespace(now.value)
        x, r, value, gap, share, extrapolated, *history = state
        eps, size = xp.finfo(now.value.dtype).eps, game.beta + xp.abs(now.value)
        level = now.value >= value - eps**0.625 * size
        kept = (now.value >= value - 64 * eps * size) | (level & (now.gap < gap / 2))
        residual = now.log_best - now.log_policy
        if history or now.log_policy is not x:
            history = self._remember(history, now.log_policy - x, residual - r, kept)
        if self._share(game) is None:
            share = xp.where(
                kept,
                xp.minimum(1.5 * share, 0 * share + 1),
                xp.where(extrapolated, share, share / 2),
            )
        x, r = pick(kept, now.log_policy, x), pick(kept, residual, r)
        value, gap = xp.where(kept, now.value, value), xp.where(kept, now.gap, gap)
        plain = x + column(share) * r
        proposal = plain
        if history:
            proposal = plain - self._correction(game, x, r, share, history)
            proposal = pick(kept, proposal, plain)
        log_new = game._masked(log_normalise(proposal))
        return log_new, (x, r, value, gap, share, kept, *history)

    def _remember(self, history: list[Array], dx: Array, dr: Array, kept: Array) -> list[Array]:
        """Append the differences; a rejected proposal clears its game's columns."""
        xp = namespace(dx)
        keep = xp.astype(kept, dx.dtype)
        if not bool(xp.all(kept)):
            history = [h * column(keep) for h in history]
            dx, dr = dx * column(keep), dr * column(keep)
        return [*history, dx, dr][-2 * self.depth :]

    def _correction(
        self, game: AlignmentGame, x: Array, r: Array, share: Array, history: list[Array]
    ) -> Array:
        """(dX + s dR) g, g the weighted least-squares fit of r by the columns dR."""
        xp = namespace(x)
        size = x.shape[0]
        norm = xp.reshape(xp.exp(x) * game.weights[..., None], (size, 1, -1))
        steps, residuals = history[0::2], history[1::2]
        dr = xp.reshape(xp.stack(residuals, axis=1), (size, len(residuals), -1))
        scaled = dr * norm
        gram = scaled @ xp.matrix_transpose(dr)
        right = scaled @ xp.reshape(r, (size, -1, 1))
        diagonal = xp.linalg.diagonal(gram)
        scale = 1 / xp.sqrt(xp.where(diagonal > 0, diagonal, 1.0))
        ridge = 1e-14 if x.dtype == xp.float64 else 1e-6
        eye = xp.eye(gram.shape[-1], dtype=x.dtype, device=x.device)
        unit = gram * scale[:, :, None] * scale[:, None, :] + ridge * eye
        unit = unit + eye * xp.astype(diagonal <= 0, x.dtype)[:, :, None]
        g = solve(unit, right * scale[..., None]) * scale[..., None]
        moved = 0 * x
        for k, (dx_k, dr_k) in enumerate(zip(steps, residuals, strict=True)):
            moved = moved + column(g[:, k, 0]) * (dx_k + column(share) * dr_k)
        return moved
