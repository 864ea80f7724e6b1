"""The game played from samples by a softmax policy on a table: what GRPO does, where the answer is known.

Every round draws K traces per context, counts their answers, pays them by
`dagame.estimators.count_rewards`, and takes a policy-gradient step on the logits. Replicas (seeds) run
side by side in one array.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InvalidGame, InvalidObjective
from ..games.answer_map import AnswerMap
from ..games.certificate import certify_log
from ..games.game import AlignmentGame
from ..games.play import DistributionalGame, play
from ..numerics.arrays import log_normalise, segment_sum, to_numpy
from ..objectives import HardConstraint
from .counts import CountRewards, count_rewards
from .kl import KL_KINDS, kl_weight, less_the_others

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Draw:
    """One round's samples: traces (R, m, T) and answers (R, m, n) as counts, and who drew them."""

    log_policy: np.ndarray
    traces: np.ndarray
    answers: np.ndarray


class SampledGame(DistributionalGame):
    """An `AlignmentGame` seen through K samples per context and round.

    Its gradient is derived in docs/theory/policy-gradient.md#the-gradient.

    Policies are log-probabilities (R, m, T), R replicas. The expected step is learning_rate * grad J on
    the logits, per context without its weight w_x, up to the bias of the estimator, wherever the
    baseline is exact or corrected and `kl` is "reward", "k2" or "k3_corrected". Its fixed point is then
    the equilibrium; a constant learning rate leaves a noise floor proportional to it, rates that fall
    like 1/sqrt(t) remove it. Traces of small probability move in proportion to it: the answer
    marginal arrives long before the traces given an answer.

    Args:
        game: one game (no batch), deterministic answer map, numpy.
        group_size: K samples per context.
        estimator, baseline: see `count_rewards`.
        kl: how the KL to the reference enters, see `kl_weight`; in the reward it is centred by the mean
            of the others, which is exact.
        multiplier_rate: step of the target's dual ascent, for objectives with a `HardConstraint`.
        seed: integer or `numpy.random.Generator`.
    """

    def __init__(
        self,
        game: AlignmentGame,
        group_size: int,
        *,
        estimator: str = "auto",
        baseline: str | None = "auto",
        kl: str = "reward",
        multiplier_rate: float = 0.05,
        seed: Any = 0,
    ) -> None:
        """See the class."""
        if game.batch_shape or not isinstance(game.log_reference, np.ndarray):
            raise InvalidGame("a sampled game plays one numpy game; take one of the batch.")
        if not game.answer_map.deterministic:
            raise InvalidGame("a sampled game needs a deterministic answer map, not a channel.")
        if not isinstance(group_size, int | np.integer) or group_size < 2:
            raise InvalidGame(f"group_size is {group_size!r}; give an integer >= 2.")
        if kl not in KL_KINDS:
            raise InvalidObjective(f"kl is {kl!r}; choose one of {', '.join(KL_KINDS)}.")
        self.game, self.group_size, self.kl = game, int(group_size), kl
        self.estimator, self.baseline = estimator, baseline
        self.multiplier_rate = multiplier_rate
        self.rng = np.random.default_rng(seed)
        hard = [o for _, o in game.objective.terms() if isinstance(o, HardConstraint)]
        self.hard = hard[0] if hard else None
        self.multipliers: np.ndarray | None = None
        self._answer_of = _answer_index(game.answer_map, game.contexts)

    def start(self, replicas: int = 1) -> np.ndarray:
        """The reference as log-policies (R, m, T), multipliers 0."""
        shape = (replicas, *self.game.log_reference.shape)
        if self.hard is not None:
            log_nu0, w = self.game.log_reference_answers, self.game.weights
            self.multipliers = np.zeros((replicas, *self.hard.slack(log_nu0, w).shape))
        return np.broadcast_to(self.game.log_reference, shape).copy()

    def marginals(self, policy: np.ndarray) -> Draw:
        """K fresh samples per context and replica."""
        p = np.exp(policy)
        traces = self.rng.multinomial(self.group_size, p / p.sum(-1, keepdims=True))
        answers = traces
        if self._answer_of is not None:
            answers = segment_sum(traces.astype(float), self._answer_of, self.game.n).astype(int)
        return Draw(policy, traces, answers)

    def target_reply(self, marginals: Draw) -> np.ndarray | None:
        """The multipliers (R, r) after a step of dual ascent at the samples; None without a hard set."""
        if self.hard is None or self.multipliers is None:
            return None
        nu = marginals.answers / self.group_size
        with np.errstate(divide="ignore"):
            slack = self.hard.slack(np.log(nu), self.game.weights)
        size = self.game.contexts, self.game.n
        self.multipliers = self.hard.ascent(self.multipliers, slack, *size, self.multiplier_rate)
        return self.multipliers

    def paid(self, marginals: Draw, target: np.ndarray | None) -> CountRewards:
        """Rewards and advantages of the answers drawn, without the KL."""
        return count_rewards(
            marginals.answers,
            self.game.objective,
            self.estimator,
            baseline=self.baseline,
            weights=self.game.weights,
            multipliers=target,
        )

    def rewards(self, marginals: Draw, target: np.ndarray | None) -> np.ndarray:
        """Advantages of the samples of each trace, summed and divided by K: (R, m, T)."""
        k = self.group_size
        worth = self.paid(marginals, target).advantages
        if self._answer_of is not None:
            index = np.broadcast_to(self._answer_of, marginals.traces.shape)
            worth = np.take_along_axis(worth, index, -1)
        cost = kl_weight(marginals.log_policy - self.game.log_reference, self.kl)
        if self.kl == "reward" and self.baseline is not None:
            cost = less_the_others(cost, (marginals.traces * cost).sum(-1, keepdims=True), k)
        return marginals.traces * (worth - self.game.beta * cost) / k

    def policy_step(self, policy: np.ndarray, rewards: np.ndarray, step: float) -> np.ndarray:
        """Logits + step * sum_y rewards_y (e_y - pi), normalised."""
        moved = rewards - np.exp(policy) * rewards.sum(-1, keepdims=True)
        return self.game.masked(log_normalise(policy + step * moved))


def _answer_index(answers: AnswerMap, contexts: int) -> np.ndarray | None:
    """The answer of each trace (T,) or (m, T); None where traces are answers."""
    if answers.kind == "identity":
        return None
    traces = np.eye(answers.traces)[:, None, :].repeat(contexts, 1)
    pushed = np.asarray(answers.push_forward(traces))
    return pushed.argmax(-1).T


@dataclass(frozen=True, eq=False)
class SampledRun:
    """A sampled training, evaluated exactly: rounds recorded by samples drawn so far.

    samples (S,), of all contexts of one replica; values, gaps, violations (S, R); log_policies
    (S, R, m, T); multipliers (R, r) at the end, or None. Gaps are those of the exact certificate.
    """

    game: AlignmentGame
    samples: np.ndarray
    values: np.ndarray
    gaps: np.ndarray
    violations: np.ndarray
    log_policies: np.ndarray
    multipliers: np.ndarray | None
    label: str = ""

    def samples_to(self, gap: float) -> np.ndarray:
        """Samples after which each replica's gap first stays below `gap` (R,); inf if never."""
        above = self.gaps > gap
        last = above.shape[0] - above[::-1].argmax(0)
        last = np.where(above.any(0), last, 0)
        padded = np.append(self.samples.astype(float), np.inf)
        return padded[last]

    def plot(self, ax: Any = None, *, title: str = "", legend: bool = True) -> Figure:
        """Median gap against samples, with the band of the middle 80% of the replicas, on `ax`."""
        from ..show.figure import entitle, explain, panels, root

        (axes,) = panels(ax, 1, (4.6, 3.6))
        low, middle, high = np.quantile(self.gaps, [0.1, 0.5, 0.9], axis=1)
        (line,) = axes.loglog(self.samples, middle, label=self.label)
        axes.fill_between(self.samples, low, high, color=line.get_color(), alpha=0.15, lw=0)
        axes.set_xlabel("samples drawn")
        axes.set_ylabel("exact gap")
        if legend:
            explain(axes)
        entitle(axes, title)
        return root(axes)


def train(
    sampled: SampledGame,
    steps: int,
    *,
    learning_rate: float = 0.5,
    decay: float | None = None,
    replicas: int = 1,
    records: int = 60,
    label: str = "",
    progress: Callable[[int], None] | None = None,
) -> SampledRun:
    """Train a softmax policy by sampled updates and certify it along the way.

    The step at round t is learning_rate / sqrt(1 + t / decay), constant without `decay`. Records are
    spaced geometrically, the reference among them.
    """
    game, policy = sampled.game, sampled.start(replicas)
    wanted = np.unique(np.r_[0, np.geomspace(1, steps, records).astype(int)])
    kept = [policy]

    def watch(t: int, policy: np.ndarray) -> None:
        if t in wanted:
            kept.append(policy)
        if progress is not None:
            progress(t)

    def rate(t: int) -> float:
        return learning_rate / (1.0 if decay is None else np.sqrt(1 + t / decay))

    play(sampled, policy, steps, rate, watch)
    samples = wanted * sampled.group_size * game.contexts
    values, gaps, violations = _certified(game, np.stack(kept))
    return SampledRun(
        game, samples, values, gaps, violations, np.stack(kept), sampled.multipliers, label
    )


def _certified(game: AlignmentGame, log_policies: np.ndarray) -> list[np.ndarray]:
    """J, gap and violation (records, R) of log-policies (records, R, m, traces)."""
    lead = log_policies.shape[:2]
    flat = log_policies.reshape(-1, *log_policies.shape[2:])
    many = game.replaced(log_reference=np.broadcast_to(game.log_reference, flat.shape))
    proof = certify_log(many, flat)
    violation = np.broadcast_to(to_numpy(proof.violation), flat.shape[:1])
    return [np.reshape(found, lead) for found in (proof.value, proof.gap, violation)]
