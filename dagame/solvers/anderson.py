"""Anderson acceleration of the mirror map in log coordinates, guarded by the value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ..games.game import AlignmentGame, Evaluation
from ..numerics.arrays import Array, log_normalise, namespace, solve
from .base import Solver, accepted, column, pick


class Kept(NamedTuple):
    """The kept iterate with r = log best response - log nu, J and gap; the share; how it came about.

    `extrapolated`: whether the proposal under test is one. `moves` and `changes` are dX and dR of the last
    rounds, columns of 0 where a proposal was rejected; None before the first proposal.
    """

    log_policy: Array
    residual: Array
    value: Array
    gap: Array
    share: Array
    extrapolated: Array
    moves: tuple[Array, ...] | None
    changes: tuple[Array, ...] | None


@dataclass(frozen=True)
class Anderson(Solver):
    """Extrapolates r(nu) = log best response - log nu to zero from the last `depth` iterates.

    nu_{t+1} = nu_t + s r_t - (dX + s dR) g with g = argmin ||r_t - dR g|| in the norm weighted by
    w_x nu_x(z), s = beta/(L + beta) the mirror share (docs/theory/dynamics.md#faster). A proposal is
    kept only if J does not fall; or the gap halves and J falls by no more than 1e-10 of max(beta, |J|), where
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

    def init(self, game: AlignmentGame, start: Evaluation) -> Kept:
        """The start is kept and nothing is proposed."""
        share = self._share(game)
        shares = 0 * start.value + (0.5 if share is None else share)
        residual, never = start.log_best - start.log_policy, shares < 0
        return Kept(start.log_policy, residual, start.value, start.gap, shares, never, None, None)

    def step(self, game: AlignmentGame, now: Evaluation, state: Kept) -> tuple[Array, Kept]:
        """Keep or reject the proposal, then extrapolate from the kept iterate."""
        xp, old, share = namespace(now.value), state, state.share
        eps, size = xp.finfo(now.value.dtype).eps, game.beta + xp.abs(now.value)
        level = (now.value >= old.value - eps**0.625 * size) & (now.gap < old.gap / 2)
        kept = accepted(game, now, old.value) | level
        residual = now.log_best - now.log_policy
        if old.moves is None or old.changes is None:
            moves = changes = ()
        else:
            moves = self._remember(old.moves, now.log_policy - old.log_policy, kept)
            changes = self._remember(old.changes, residual - old.residual, kept)
        if self._share(game) is None:
            more = xp.minimum(1.5 * share, 0 * share + 1)
            share = xp.where(kept, more, xp.where(old.extrapolated, share, share / 2))
        new = Kept(
            log_policy=pick(kept, now.log_policy, old.log_policy),
            residual=pick(kept, residual, old.residual),
            value=xp.where(kept, now.value, old.value),
            gap=xp.where(kept, now.gap, old.gap),
            share=share,
            extrapolated=kept,
            moves=moves,
            changes=changes,
        )
        proposal = plain = new.log_policy + column(share) * new.residual
        if moves:
            proposal = pick(kept, plain - self._correction(game, new, moves, changes), plain)
        return game.masked(log_normalise(proposal)), new

    def _remember(self, columns: tuple[Array, ...], last: Array, kept: Array) -> tuple[Array, ...]:
        """Append a difference; a rejected proposal clears its game's columns."""
        xp = namespace(last)
        columns = (*columns, last)[-self.depth :]
        if bool(xp.all(kept)):
            return columns
        keep = column(xp.astype(kept, last.dtype))
        return tuple(c * keep for c in columns)

    def _correction(
        self, game: AlignmentGame, at: Kept, moves: tuple[Array, ...], changes: tuple[Array, ...]
    ) -> Array:
        """(dX + s dR) g, g the weighted least-squares fit of r by the columns dR."""
        x, xp = at.log_policy, namespace(at.log_policy)
        size = x.shape[0]
        norm = xp.reshape(xp.exp(x) * game.weights[..., None], (size, 1, -1))
        dr = xp.reshape(xp.stack(changes, axis=1), (size, len(changes), -1))
        scaled = dr * norm
        gram = scaled @ xp.matrix_transpose(dr)
        right = scaled @ xp.reshape(at.residual, (size, -1, 1))
        diagonal = xp.linalg.diagonal(gram)
        scale = 1 / xp.sqrt(xp.where(diagonal > 0, diagonal, 1.0))
        ridge = 1e-14 if x.dtype == xp.float64 else 1e-6
        eye = xp.eye(gram.shape[-1], dtype=x.dtype, device=x.device)
        unit = gram * scale[:, :, None] * scale[:, None, :] + ridge * eye
        unit = unit + eye * xp.astype(diagonal <= 0, x.dtype)[:, :, None]
        g = solve(unit, right * scale[..., None]) * scale[..., None]
        moved = 0 * x
        for k, (dx_k, dr_k) in enumerate(zip(moves, changes, strict=True)):
            moved = moved + column(g[:, k, 0]) * (dx_k + column(at.share) * dr_k)
        return moved
