"""An autoregressive policy small enough to know exactly: V tokens, T steps, |Y| = V^T traces.

Token t is drawn given token t - 1 by a table of its own per context and step (a Markov chain), the
answer of a trace is its last two tokens: n = V^2 answers, whatever T. Sampling costs T look-ups, and
answer marginals, KL and the certificate follow from the chain in O(T V^2), so that a training by
samples is judged exactly where |Y| is far beyond enumeration. Tables of log-probabilities have shape
(..., m, T, V, V), [t, previous, next]; the first token is drawn from row 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..estimators.counts import count_rewards
from ..estimators.kl import less_the_others
from ..games.certificate import certify_log
from ..games.game import AlignmentGame
from ..games.play import DistributionalGame, play
from ..numerics.arrays import log_normalise
from ..objectives import Objective


def random_chain(rng: np.random.Generator, m: int, tokens: int, length: int) -> np.ndarray:
    """log-probabilities (m, T, V, V): Dirichlet(1/2) rows of each context, the same at every step."""
    rows = 0.95 * rng.dirichlet(np.full(tokens, 0.5), (m, 1, tokens)) + 0.05 / tokens
    return np.log(np.repeat(rows, length, axis=1))


def trace_table(log_p: np.ndarray) -> np.ndarray:
    """log pi(y) of all traces (m, V^T), the last token varying fastest."""
    m, length, tokens, _ = log_p.shape
    table = log_p[:, 0, 0]
    for t in range(1, length):
        grouped = table.reshape(m, -1, tokens, 1)
        table = (grouped + log_p[:, t, None]).reshape(m, -1)
    return table


def answers_of(length: int, tokens: int) -> np.ndarray:
    """The answer of every trace (V^T,): its last two tokens, as a number below V^2."""
    return np.tile(np.arange(tokens**2), tokens ** (length - 2))


def forward(log_p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """P(previous token) at each step (..., m, T, V), and the answer marginals nu (..., m, V^2)."""
    p = np.exp(log_p)
    at = np.zeros(log_p.shape[:-1])
    at[..., 0, 0] = 1
    for t in range(1, log_p.shape[-3]):
        at[..., t, :] = (at[..., t - 1, :, None] * p[..., t - 1, :, :]).sum(-2)
    pairs = at[..., -1, :, None] * p[..., -1, :, :]
    return at, pairs.reshape(*pairs.shape[:-2], -1)


def kl(log_p: np.ndarray, log_p0: np.ndarray) -> np.ndarray:
    """KL(pi_x || pi0_x) of whole traces (..., m), by the chain rule."""
    at, _ = forward(log_p)
    rows = (np.exp(log_p) * (log_p - log_p0)).sum(-1)
    return (at * rows).sum((-1, -2))


@dataclass(frozen=True, eq=False)
class Draw:
    """Tokens of K traces per context and replica (R, m, K, T), and their answers (R, m, K)."""

    log_p: np.ndarray
    tokens: np.ndarray
    answers: np.ndarray


class ChainGame(DistributionalGame):
    """Coherence-GRPO on the chain: K sampled traces a context and round, rewards from their counts.

    What a language model's training does, with the KL in the reward: pay each trace by
    `dagame.estimators.count_rewards`, less beta (log pi - log pi0) of the trace centred by the others',
    and step along advantage x grad log pi on the logits. Nothing in it depends on |Y|.
    """

    def __init__(
        self, log_p0: np.ndarray, objective: Objective, beta: float, group_size: int, seed: Any
    ) -> None:
        """Policies are tables (R, m, T, V, V)."""
        self.log_p0, self.group_size = log_p0, group_size
        self.tokens = log_p0.shape[-1]
        self.rng = np.random.default_rng(seed)
        self.on_answers = AlignmentGame(forward(log_p0)[1], objective, beta=beta)

    def marginals(self, policy: np.ndarray) -> Draw:
        """K fresh traces per context and replica, token by token."""
        cumulative = np.exp(policy).cumsum(-1)
        replicas, m, length = policy.shape[:3]
        at = np.arange(replicas)[:, None, None], np.arange(m)[None, :, None]
        shape = (replicas, m, self.group_size)
        drawn, last = np.zeros((*shape, length), dtype=int), np.zeros(shape, dtype=int)
        for t in range(length):
            rows = cumulative[at[0], at[1], t, last]
            u = self.rng.random(shape)[..., None] * rows[..., -1:]
            last = (u >= rows).sum(-1)
            drawn[..., t] = last
        return Draw(policy, drawn, drawn[..., -2] * self.tokens + drawn[..., -1])

    def target_reply(self, marginals: Draw) -> None:
        """The target is where the counts are (T1)."""

    def rewards(self, marginals: Draw, target: None) -> np.ndarray:
        """Advantages of the samples that took each step of the chain, over K: (R, m, T, V, V)."""
        game, k = self.on_answers, self.group_size
        counts = (marginals.answers[..., None] == np.arange(game.n)).sum(-2)
        paid = count_rewards(counts, game.objective, weights=game.weights)
        worth = np.take_along_axis(paid.advantages, marginals.answers, -1)
        where = self._where(marginals.tokens)
        ratio = (marginals.log_p - self.log_p0).reshape(-1)[where].sum(-1)
        cost = less_the_others(ratio, ratio.sum(-1, keepdims=True), k)
        paid = np.broadcast_to((worth - game.beta * cost)[..., None] / k, where.shape)
        log_p = marginals.log_p
        return np.bincount(where.ravel(), paid.ravel(), log_p.size).reshape(log_p.shape)

    def _where(self, tokens: np.ndarray) -> np.ndarray:
        """Flat index into the policy's tables of every sampled token (R, m, K, T)."""
        replicas, m, _, length = tokens.shape
        before = np.concatenate([np.zeros_like(tokens[..., :1]), tokens[..., :-1]], -1)
        first = np.arange(replicas * m).reshape(replicas, m, 1, 1) * length + np.arange(length)
        return (first * self.tokens + before) * self.tokens + tokens

    def policy_step(self, policy: np.ndarray, rewards: np.ndarray, step: float) -> np.ndarray:
        """Logits + step * mean over samples of advantage x grad log pi, normalised."""
        moved = rewards - np.exp(policy) * rewards.sum(-1, keepdims=True)
        return log_normalise(policy + step * moved)

    def gap(self, policy: np.ndarray) -> np.ndarray:
        """The exact duality gap on traces (R,): that on answers + beta (KL on traces - KL on answers)."""
        game = self.on_answers
        log_nu = np.log(np.maximum(forward(policy)[1], 1e-300))
        many = game.replaced(log_reference=np.broadcast_to(game.log_reference, log_nu.shape))
        on_answers = np.asarray(certify_log(many, log_nu).gap)
        answers = (np.exp(log_nu) * (log_nu - game.log_reference)).sum(-1)
        apart = ((kl(policy, self.log_p0) - answers) * game.weights).sum(-1)
        return on_answers + game.beta * apart


@dataclass(frozen=True, eq=False)
class ChainRun:
    """Traces drawn (all contexts, one replica) until the gap of each replica first was `target` (R,).

    inf where it never was; `samples` and `gaps` (S,), (S, R) are the record.
    """

    drawn: np.ndarray
    samples: np.ndarray
    gaps: np.ndarray


def train(
    game: ChainGame,
    target: float,
    *,
    steps: int,
    learning_rate: float,
    replicas: int,
    every: int = 4,
) -> ChainRun:
    """Play rounds until every replica's exact gap has been <= target, at most `steps`."""
    policy = np.repeat(game.log_p0[None], replicas, axis=0)
    drawn, samples, gaps = np.full(replicas, np.inf), [0], [game.gap(policy)]

    def watch(t: int, policy: np.ndarray) -> bool:
        if t % every == 0:
            samples.append(t * game.group_size * len(game.log_p0))
            gaps.append(game.gap(policy))
            drawn[np.isinf(drawn) & (gaps[-1] <= target)] = samples[-1]
        return bool(np.isfinite(drawn).all())

    play(game, policy, steps, learning_rate, watch)
    return ChainRun(drawn, np.array(samples), np.array(gaps))
