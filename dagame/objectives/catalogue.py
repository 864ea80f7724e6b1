"""Every kind of objective by name, one row each: how it is made, what it needs, what is known of it.

The public classes, the names of the command line, random games, tests, benchmarks and the table of
docs/reference/objectives.md are made from these rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .bregman import BregmanCoherence, TraceCoherence
from .coherence import Coherence
from .constraints import HardConstraint
from .diversity import GiniDiversity, RenyiDiversity, ShannonDiversity, TsallisDiversity
from .hard_coherence import HardCoherence
from .matching import TargetMatching
from .nonconcave import Agreement, MajorityVote, SelfConsistency, Sharpening
from .objective import Objective
from .pairwise import PairwiseCoherence
from .reward import Reward
from .sets import Cap, Moment, Parity
from .soft import SoftConstraint
from .success import LogSuccess, PassAtK
from .transport import PushPull
from .worst_case import WorstCase

__all__ = [
    "Agreement",
    "BregmanCoherence",
    "Coherence",
    "GiniDiversity",
    "HardCoherence",
    "HardConstraint",
    "LogSuccess",
    "MajorityVote",
    "PairwiseCoherence",
    "PassAtK",
    "PushPull",
    "RenyiDiversity",
    "Reward",
    "SelfConsistency",
    "ShannonDiversity",
    "Sharpening",
    "SoftConstraint",
    "TargetMatching",
    "TraceCoherence",
    "TsallisDiversity",
    "WorstCase",
]
"""The classes of the rows: what `dagame` exports."""

Definition = Callable[[Any, list[Any], Callable[[Any], Any], Any], tuple[Any, list[Any]]]
Draw = Callable[[np.random.Generator, int, int], tuple[Any, ...]]


@dataclass(frozen=True)
class Kind:
    """A kind of objective: `build(strength, *parameters)` makes one, with `parameters(rng, m, n)` at random.

    name: of random games and tests.
    public: its name in `dagame`, which several kinds may share.
    command: its name on the command line, which gives no parameter but labels; "" if it has none.
    labels: whether its first parameter is the correctness of each answer.
    support: "full" if Phi is -infinity unless the policy gives every answer, "common" if answers that some
        context lacks are avoided by all, else "any".
    concave: whether -Phi is convex at every strength > 0.
    strengths: the range of strengths at which random games of beta 1 are certified (T4, T6); None: it has
        no strength.
    multipliers: whether the target moves multipliers (kinks, hard sets).
    on_traces: whether it acts on traces, in games without an answer map.
    kinked: whether Phi has kinks and no multipliers for them, so that its optimum is explicit or unknown.
    definition: (objective, numbers p of one context, log, infinity) -> F and dF/dp, where Phi is strength
        sum_x w_x F(nu_x), in plain arithmetic: what a referee of any precision evaluates; None: the
        referees of benchmarks/ state it themselves.
    """

    name: str
    public: str
    build: Callable[..., Objective]
    parameters: Draw = lambda rng, m, n: ()
    command: str = ""
    labels: bool = False
    support: str = "any"
    concave: bool = True
    strengths: tuple[float, float] | None = (0.1, 10.0)
    multipliers: bool = False
    on_traces: bool = False
    kinked: bool = False
    definition: Definition | None = None

    def make(self, strength: float, rng: np.random.Generator, m: int, n: int) -> Objective:
        """One of this strength with random parameters, for m contexts and n answers."""
        return self.build(strength, *self.parameters(rng, m, n))

    def random(self, rng: np.random.Generator, m: int, n: int) -> Objective:
        """One with random parameters and strength that fits games of beta 1."""
        parameters = self.parameters(rng, m, n)
        strength = 1.0 if self.strengths is None else log_uniform(rng, *self.strengths)
        return self.build(strength, *parameters)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A random number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _success(rng: np.random.Generator, _m: int, n: int) -> tuple[Any, ...]:
    c = rng.random(n) * (rng.random(n) < 0.5)
    c[0] = rng.uniform(0.1, 1)
    return (c,)


def _success_and_k(rng: np.random.Generator, m: int, n: int) -> tuple[Any, ...]:
    return (*_success(rng, m, n), int(rng.integers(1, 9)))


def _distribution(rng: np.random.Generator, _m: int, n: int) -> tuple[Any, ...]:
    return (rng.dirichlet(np.ones(n)),)


def _rare_last(rng: np.random.Generator, _m: int, n: int) -> tuple[Any, ...]:
    return (Cap([n - 1], rng.uniform(0.05, 0.4)),)


def _moment(rng: np.random.Generator, _m: int, n: int) -> tuple[Any, ...]:
    return (Moment(np.arange(n), float(rng.uniform(0.2, n / 2)), across=True),)


def _parity(rng: np.random.Generator, _m: int, _n: int) -> tuple[Any, ...]:
    return (Parity(float(rng.uniform(0.01, 0.3)), answers=[0]),)


def _renyi(o: Any, p: list[Any], log: Any, infinity: Any) -> tuple[Any, list[Any]]:
    t, total = o.order, sum(v**o.order for v in p)
    return log(total) / (1 - t), [t / (1 - t) * v ** (t - 1) / total if v else infinity for v in p]


def _costs(rng: np.random.Generator, n: int, k: int) -> np.ndarray:
    """Costs (n, k) in [0, 1] of the largest diameter: two answers are each at one point and far from one."""
    costs = rng.random((n, k))
    costs[0, :2], costs[-1, :2] = (0.0, 1.0), (1.0, 0.0)
    return costs


def _safe(rng: np.random.Generator, _m: int, n: int) -> tuple[Any, ...]:
    return (_costs(rng, n, 3),)


def _safe_and_harm(rng: np.random.Generator, _m: int, n: int) -> tuple[Any, ...]:
    return _costs(rng, n, 3), _costs(rng, n, 2)


def _pairwise(divergence: str, **facts: Any) -> Kind:
    name = "pairwise-" + divergence.replace("_", "-")
    return Kind(name, "PairwiseCoherence", lambda s: PairwiseCoherence(s, divergence), **facts)


_ROWS = (
    Kind(
        "reward",
        "Reward",
        lambda s, r: s * Reward(r),
        lambda rng, m, n: (rng.normal(size=(m, n)),),
        command="reward",
        labels=True,
        strengths=None,
    ),
    Kind(
        "log-success",
        "LogSuccess",
        lambda s, c: LogSuccess(c, s),
        _success,
        command="log-success",
        labels=True,
    ),
    Kind(
        "pass-at-k",
        "PassAtK",
        lambda s, c, k=4: PassAtK(c, k, s),
        _success_and_k,
        command="pass-at-4",
        labels=True,
    ),
    Kind("shannon", "ShannonDiversity", ShannonDiversity, command="shannon"),
    Kind("gini", "GiniDiversity", GiniDiversity, command="gini"),
    Kind("tsallis-half", "TsallisDiversity", lambda s: TsallisDiversity(s, 0.5)),
    Kind("tsallis-3", "TsallisDiversity", lambda s: TsallisDiversity(s, 3.0)),
    Kind("renyi-half", "RenyiDiversity", lambda s: RenyiDiversity(s, 0.5), definition=_renyi),
    Kind("target", "TargetMatching", lambda s, rho: TargetMatching(rho, s), _distribution),
    Kind(
        "target-forward",
        "TargetMatching",
        lambda s, rho: TargetMatching(rho, s, "forward"),
        _distribution,
        support="full",
    ),
    Kind("coherence", "Coherence", Coherence, command="coherence"),
    Kind(
        "geometric",
        "Coherence",
        lambda s: Coherence(s, "geometric"),
        command="geometric-coherence",
    ),
    Kind(
        "euclidean",
        "Coherence",
        lambda s: Coherence(s, "euclidean"),
        command="euclidean-coherence",
    ),
    _pairwise("kl", support="common"),
    _pairwise("jeffreys", support="common"),
    _pairwise("hellinger"),
    _pairwise("jensen_shannon", command="pairwise-coherence"),
    _pairwise("euclidean"),
    Kind(
        "bregman",
        "BregmanCoherence",
        lambda s, order: BregmanCoherence(order, s),
        lambda rng, m, n: (float(rng.uniform(1.05, 1.95)),),
    ),
    Kind("soft-cap", "SoftConstraint", lambda s, c: SoftConstraint(c, s), _rare_last),
    Kind(
        "pull",
        "PushPull",
        lambda s, safe: PushPull(safe, epsilon=0.5, strength=s),
        _safe,
    ),
    Kind(
        "push-pull",
        "PushPull",
        lambda s, safe, harm: PushPull(safe, harm, epsilon=0.5, strength=s),
        _safe_and_harm,
        concave=False,
        strengths=(0.1, 0.9),
    ),
    Kind(
        "sharpening",
        "Sharpening",
        Sharpening,
        command="sharpening",
        concave=False,
        strengths=(0.1, 0.9),
    ),
    Kind(
        "self-consistency",
        "SelfConsistency",
        SelfConsistency,
        command="self-consistency",
        concave=False,
        strengths=(0.1, 0.9),
    ),
    Kind(
        "agreement",
        "Agreement",
        Agreement,
        command="agreement",
        concave=False,
        strengths=(0.1, 0.9),
    ),
    Kind(
        "majority-vote",
        "MajorityVote",
        MajorityVote,
        command="majority-vote",
        concave=False,
        kinked=True,
    ),
    Kind(
        "worst-case",
        "WorstCase",
        lambda s, r: WorstCase(r, s),
        lambda rng, m, n: (rng.normal(size=(3, n)),),
        multipliers=True,
    ),
    Kind(
        "hard-coherence",
        "HardCoherence",
        lambda s: HardCoherence(),
        command="hard-coherence",
        strengths=None,
        multipliers=True,
    ),
    *(
        Kind(
            name,
            "HardConstraint",
            lambda s, c: HardConstraint(c),
            draw,
            strengths=None,
            multipliers=True,
        )
        for name, draw in (
            ("hard-cap", _rare_last),
            ("hard-moment", _moment),
            ("hard-parity", _parity),
        )
    ),
    Kind("trace-coherence", "TraceCoherence", TraceCoherence, on_traces=True),
)

CATALOGUE: dict[str, Kind] = {kind.name: kind for kind in _ROWS}
"""The rows by name."""
