"""Objectives of users, right and wrong: (name, what makes it[, a piece of the sentence that refuses it])."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import dagame as dg

SAFE = 1e-300


class Own(dg.Objective):
    """value and reward from two functions of (nu, w); facts by keyword."""

    def __init__(self, value, reward, **facts):
        self._value, self._reward, self._facts = value, reward, facts

    @property
    def concave(self):
        return self._facts.get("concave")

    @property
    def smoothness(self):
        return self._facts.get("smoothness")

    @property
    def curvature(self):
        return self._facts.get("curvature", 0.0)

    def value(self, marginals, weights=None):
        return self._value(marginals, weights)

    def reward(self, marginals, weights=None):
        return self._reward(marginals, weights)


def mean(per_context, w):
    return (per_context * w).sum(-1)


def log(p):
    return np.log(np.where(p > 0, p, 1.0))


def one_answer(u, nu):
    out = np.zeros_like(nu)
    out[..., 0] = u
    return out


def consensus(nu, w):
    return (nu * w[..., None]).sum(-2, keepdims=True)


def fixed(nu, seed=3):
    return np.random.default_rng(seed).normal(size=nu.shape[-2:])


def jensen(nu, w):
    q = consensus(nu, w)
    return -mean((nu * (log(nu) - log(q))).sum(-1), w)


def jensen_reward(nu, w):
    return log(consensus(nu, w)) - log(nu)


def first_log(nu, w):
    return mean(np.log1p(nu[..., 0]), w)


def first_log_reward(nu, w):
    return one_answer(1 / (1 + nu[..., 0]), nu)


def entropy(nu, w):
    return -mean((nu * log(nu)).sum(-1), w)


def gini(nu, w):
    return mean(1 - (nu**2).sum(-1), w)


def linear(nu, w, seed=3):
    return mean((fixed(nu, seed) * nu).sum(-1), w)


def smallest(nu, w):
    return mean(nu.min(-1), w)


def smallest_reward(nu, w):
    return (np.arange(nu.shape[-1]) == nu.argmin(-1)[..., None]) * 1.0


def largest_reward(nu, w):
    return (np.arange(nu.shape[-1]) == nu.argmax(-1)[..., None]) * 1.0


def even(nu):
    return 1 / nu.shape[-1]


def l1(nu, w):
    return -mean(np.abs(nu - even(nu)).sum(-1), w)


def l1_reward(nu, w):
    return -np.sign(nu - even(nu))


def pairs(nu, w):
    total = consensus(nu, w)[..., 0, :]
    return (total**2).sum(-1) - ((nu**2).sum(-1) * w**2).sum(-1)


def pairs_reward(nu, w):
    return 2 * (consensus(nu, w) - nu * w[..., None])


def scaled(c, value, reward, offset=0.0):
    return lambda: Own(lambda nu, w: c * value(nu, w) + offset, lambda nu, w: c * reward(nu, w))


class LogDomain(dg.Objective):
    """log(nu_0 - 0.01): -infinity where answer 0 is rarer than a hundredth."""

    concave = True

    def value(self, marginals, weights=None):
        room = marginals[..., 0] - 0.01
        return mean(np.where(room > 0, np.log(np.where(room > 0, room, 1)), -np.inf), weights)

    def reward(self, marginals, weights=None):
        room = marginals[..., 0] - 0.01
        return one_answer(1 / np.where(room > 0, room, np.inf), marginals)


class Least(dg.Objective):
    """0 where answer 0 has a tenth at least, -infinity elsewhere."""

    concave = True

    def value(self, marginals, weights=None):
        return np.where((marginals[..., 0] >= 0.1).all(-1), 0.0, -np.inf)

    def reward(self, marginals, weights=None):
        return np.zeros_like(marginals)


@dataclass(frozen=True, eq=False)
class Table(dg.Objective):
    """A linear objective of a table, which follows batches."""

    r: np.ndarray
    tables = ("r",)
    concave = True

    def value(self, marginals, weights=None):
        return mean((self.r * marginals).sum(-1), weights)

    def reward(self, marginals, weights=None):
        return self.r + 0 * marginals


@dataclass
class Mutable(dg.Objective):
    """Compared by value, hence not hashable."""

    strength: float = 2.0

    def value(self, marginals, weights=None):
        return self.strength * gini(marginals, weights)

    def reward(self, marginals, weights=None):
        return -2 * self.strength * marginals


class InLogs(dg.Objective):
    """Written on log-probabilities, as those of the package are."""

    concave, smoothness, curvature = True, 1.0, 1.0

    def value_log(self, log_nu, weights):
        return -mean((np.exp(log_nu) * log_nu).sum(-1), weights)

    def reward_log(self, log_nu, weights):
        return -log_nu


class Uneven(dg.Objective):
    """Sums over contexts without weights, and says so in its reward."""

    def value(self, marginals, weights=None):
        return np.log1p(marginals[..., 0]).sum(-1)

    def reward(self, marginals, weights=None):
        u = one_answer(1 / (1 + marginals[..., 0]), marginals)
        return u / np.broadcast_to(weights, marginals.shape[:-1])[..., None]


class Single(dg.Objective):
    """Single precision inside."""

    def value(self, marginals, weights=None):
        return mean(np.log1p(marginals[..., 0].astype(np.float32)), weights.astype(np.float32))

    def reward(self, marginals, weights=None):
        return one_answer(1 / (1 + marginals[..., 0]), marginals).astype(np.float32)


class Optional(dg.Objective):
    """Reads weights as None at will."""

    def value(self, marginals, weights=None):
        w = 1 / marginals.shape[-2] if weights is None else weights
        return (np.log1p(marginals[..., 0]) * w).sum(-1)

    def reward(self, marginals, weights=None):
        return one_answer(1 / (1 + marginals[..., 0]), marginals)


def hinge(nu, w):
    return mean(np.minimum(nu[..., 0], 0.3), w)


def hinge_reward(nu, w):
    return one_answer(1.0 * (nu[..., 0] < 0.3), nu)


def power(t):
    return (
        lambda nu, w: mean((np.maximum(nu, SAFE) ** (1 - t)).sum(-1) / (1 - t), w),
        lambda nu, w: np.maximum(nu, SAFE) ** -t,
    )


def log_sum(nu, w):
    return mean(log(nu).sum(-1), w)


def geometric(nu, w):
    q = np.exp((log(nu) * w[..., None]).sum(-2))
    return np.log(q.sum(-1))


def geometric_reward(nu, w):
    q = np.exp((log(nu) * w[..., None]).sum(-2, keepdims=True))
    return q / q.sum(-1, keepdims=True) / np.maximum(nu, SAFE)


def hellinger(nu, w):
    return -mean(2 - 2 * np.sqrt(nu * even(nu)).sum(-1), w)


def hellinger_reward(nu, w):
    return np.sqrt(even(nu) / np.maximum(nu, SAFE))


def success(nu, k=3):
    return nu[..., :2].sum(-1)


def pass_at(nu, w):
    return mean(1 - (1 - success(nu)) ** 3, w)


def pass_at_reward(nu, w):
    u = np.zeros_like(nu)
    u[..., :2] = (3 * (1 - success(nu)) ** 2)[..., None]
    return u


def forward(nu, w):
    return mean((even(nu) * (log(nu) - np.log(even(nu)))).sum(-1), w)


def graders(nu, w):
    g = np.einsum("kn,...n->...k", np.random.default_rng(5).normal(size=(3, nu.shape[-1])), nu)
    return g, np.random.default_rng(5).normal(size=(3, nu.shape[-1]))


def worst(nu, w):
    return mean(graders(nu, w)[0].min(-1), w)


def worst_reward(nu, w):
    g, table = graders(nu, w)
    return table[g.argmin(-1)]


def barrier(nu, w):
    return mean(np.log(1 - 0.9 * nu[..., 0]), w)


def root(nu, w):
    return mean(np.sqrt(success(nu)), w)


def root_reward(nu, w):
    u = np.zeros_like(nu)
    u[..., :2] = (0.5 / np.sqrt(np.maximum(success(nu), SAFE)))[..., None]
    return u


RIGHT = {
    "linear": lambda: Own(linear, lambda nu, w: fixed(nu) + 0 * nu, concave=True, smoothness=0.0),
    "log(1 + p)": lambda: Own(first_log, first_log_reward, concave=True),
    "entropy": lambda: Own(
        entropy, lambda nu, w: -log(nu), concave=True, smoothness=1.0, curvature=1.0
    ),
    "entropy, a constant left in": lambda: Own(entropy, lambda nu, w: -log(nu) - 1),
    "a constant per context": lambda: Own(
        entropy, lambda nu, w: -log(nu) + 1e3 * np.arange(nu.shape[-2])[:, None]
    ),
    "Gini": lambda: Own(gini, lambda nu, w: -2 * nu, concave=True, smoothness=1.0),
    "Tsallis 3": lambda: Own(
        lambda nu, w: mean((1 - (nu**3).sum(-1)) / 2, w), lambda nu, w: -1.5 * nu**2, concave=True
    ),
    "1/sqrt(p)": lambda: Own(*power(0.5), concave=True),
    "1/p^0.9": lambda: Own(*power(0.9), concave=True),
    "1/p": lambda: Own(log_sum, lambda nu, w: 1 / np.maximum(nu, SAFE), concave=True),
    "1/p^2": lambda: Own(*power(2.0), concave=True),
    "log success": lambda: Own(
        lambda nu, w: mean(np.log(success(nu)), w),
        lambda nu, w: (np.arange(nu.shape[-1]) < 2) / success(nu)[..., None],
        concave=True,
    ),
    "pass@3": lambda: Own(pass_at, pass_at_reward, concave=True),
    "root of success": lambda: Own(root, root_reward, concave=True),
    "forward KL": lambda: Own(forward, lambda nu, w: even(nu) / np.maximum(nu, SAFE), concave=True),
    "reverse KL": lambda: Own(
        lambda nu, w: -mean((nu * (log(nu) - np.log(even(nu)))).sum(-1), w),
        lambda nu, w: -log(nu),
        concave=True,
        curvature=1.0,
    ),
    "Hellinger": lambda: Own(hellinger, hellinger_reward, concave=True),
    "coherence": lambda: Own(jensen, jensen_reward, concave=True, smoothness=1.0),
    "geometric coherence": lambda: Own(geometric, geometric_reward, concave=True),
    "variance of contexts": lambda: Own(
        lambda nu, w: -mean(((nu - consensus(nu, w)) ** 2).sum(-1), w),
        lambda nu, w: -2 * (nu - consensus(nu, w)),
        concave=True,
    ),
    "agreement of pairs": lambda: Own(pairs, pairs_reward, concave=False, curvature=-np.inf),
    "min": lambda: Own(smallest, smallest_reward, concave=True),
    "max": lambda: Own(lambda nu, w: mean(nu.max(-1), w), largest_reward, concave=False),
    "l1": lambda: Own(l1, l1_reward, concave=True),
    "hinge": lambda: Own(hinge, hinge_reward, concave=True),
    "worst of graders": lambda: Own(worst, worst_reward, concave=True),
    "l2 norm": lambda: Own(
        lambda nu, w: -mean(np.sqrt((nu**2).sum(-1)), w),
        lambda nu, w: -nu / np.sqrt((nu**2).sum(-1, keepdims=True)),
        concave=True,
    ),
    "log barrier inside": lambda: Own(
        barrier, lambda nu, w: one_answer(-0.9 / (1 - 0.9 * nu[..., 0]), nu), concave=True
    ),
    "-inf below a hundredth": LogDomain,
    "-inf outside a set": Least,
    "a constant": lambda: Own(
        lambda nu, w: 3.0 + 0 * nu[..., 0, 0], lambda nu, w: 0 * nu, concave=True, smoothness=0.0
    ),
    "times 1e-8": scaled(1e-8, entropy, lambda nu, w: -log(nu)),
    "times 1e8": scaled(1e8, entropy, lambda nu, w: -log(nu)),
    "coherence times 1e8": scaled(1e8, jensen, jensen_reward),
    "1/p times 1e-8": scaled(1e-8, log_sum, lambda nu, w: 1 / np.maximum(nu, SAFE)),
    "min times 1e-8": scaled(1e-8, smallest, smallest_reward),
    "plus 1e6": scaled(1.0, first_log, first_log_reward, 1e6),
    "sharp sigmoid": lambda: Own(
        lambda nu, w: mean(np.tanh(30 * (nu[..., 0] - 0.3)), w),
        lambda nu, w: one_answer(30 / np.cosh(30 * (nu[..., 0] - 0.3)) ** 2, nu),
        concave=False,
        curvature=-np.inf,
    ),
    "sharpening": lambda: Own(
        lambda nu, w: -0.5 * entropy(nu, w),
        lambda nu, w: 0.5 * log(nu),
        concave=False,
        smoothness=0.0,
        curvature=-0.5,
    ),
    "half of the squares, unstated": lambda: Own(
        lambda nu, w: -0.5 * gini(nu, w), lambda nu, w: 1.0 * nu
    ),
    "a table": lambda: Table(np.array([1.0, -2.0, 0.5, 0.0])),
    "not hashable": Mutable,
    "in logarithms": InLogs,
    "no weights in the sum, in reward": Uneven,
    "single precision inside": Single,
    "weights may be None": Optional,
    "curvature unknown by None": lambda: Own(
        lambda nu, w: -gini(nu, w), lambda nu, w: 2 * nu, concave=False, curvature=None
    ),
    "own generator of Bregman coherence": lambda: dg.BregmanCoherence(
        dg.objectives.Generator(lambda p: p**2 / 2, lambda p: p, lambda p: 1 + 0 * p, "half square")
    ),
    "a sum of own ones": lambda: (
        2.0 * Own(entropy, lambda nu, w: -log(nu)) - 0.1 * Own(gini, lambda nu, w: -2 * nu)
    ),
}


# -- wrong ones -------------------------------------------------------------------------------------


class Stale(dg.Objective):
    """Keeps the mean of the first marginals that it sees."""

    def value(self, marginals, weights=None):
        if not hasattr(self, "_seen"):
            self._seen = np.log1p(marginals[..., 0]).reshape(-1)[0]
        return mean(self._seen * marginals[..., 0], weights)

    def reward(self, marginals, weights=None):
        return one_answer(np.log1p(marginals[..., 0]), marginals)


class StaleBatch(dg.Objective):
    """Keeps what it computed for a batch shape."""

    def __init__(self):
        self._cache = {}

    def value(self, marginals, weights=None):
        if marginals.shape not in self._cache:
            self._cache[marginals.shape] = gini(marginals, weights)
        return self._cache[marginals.shape]

    def reward(self, marginals, weights=None):
        return -2 * marginals


class Random(dg.Objective):
    def value(self, marginals, weights=None):
        return gini(marginals, weights)

    def reward(self, marginals, weights=None):
        return -2 * marginals + 0.1 * np.random.default_rng().normal(size=marginals.shape)


class Counting(dg.Objective):
    """Its strength grows from call to call."""

    calls = 0

    def value(self, marginals, weights=None):
        Counting.calls += 1
        return (1 + 0.1 * Counting.calls) * gini(marginals, weights)

    def reward(self, marginals, weights=None):
        return -2 * marginals


class InPlace(dg.Objective):
    def value(self, marginals, weights=None):
        marginals *= 2
        return gini(marginals, weights)

    def reward(self, marginals, weights=None):
        return -8 * marginals


class InPlaceWeights(dg.Objective):
    def value(self, marginals, weights=None):
        weights /= weights.sum() + 1
        return gini(marginals, weights)

    def reward(self, marginals, weights=None):
        return -2 * marginals


class NoWeights(dg.Objective):
    def value(self, marginals):
        return gini(marginals, np.full(marginals.shape[-2], 1 / marginals.shape[-2]))

    def reward(self, marginals):
        return -2 * marginals


class Missing(dg.Objective):
    def value(self, marginals, weights=None):
        return gini(marginals, weights)


class Lambda(dg.Objective):
    """The strength is in the value only."""

    def __init__(self):
        self.lam = 2.5

    def value(self, marginals, weights=None):
        return self.lam * gini(marginals, weights)

    def reward(self, marginals, weights=None):
        return -2 * marginals


class LambdaTwice(Lambda):
    def reward(self, marginals, weights=None):
        return -2 * self.lam**2 * marginals


class OneTable(dg.Objective):
    """A table of the first batch, which does not follow the solver's."""

    def __init__(self):
        self.r = np.random.default_rng(0).normal(size=(2, 3, 4))

    def value(self, marginals, weights=None):
        return mean((self.r * marginals).sum(-1), weights)

    def reward(self, marginals, weights=None):
        return self.r + 0 * marginals


class LogsWrong(InLogs):
    def reward_log(self, log_nu, weights):
        return -2 * log_nu


def whole(nu, w):
    u = np.zeros(nu.shape, dtype=int)
    u[..., 0] = 1.7 / (1 + nu[..., 0])
    return u


GRADIENT = "not the gradient"
WRONG = {
    "weights twice": (
        lambda: Own(gini, lambda nu, w: -2 * nu * np.broadcast_to(w, nu.shape[:-1])[..., None]),
        "context weights belong to value only",
    ),
    "divided by the weights": (
        lambda: Own(gini, lambda nu, w: -2 * nu / np.broadcast_to(w, nu.shape[:-1])[..., None]),
        "divides by the context weights",
    ),
    "divided by the contexts": (
        lambda: Own(gini, lambda nu, w: -2 * nu / nu.shape[-2]),
        "belong to value only",
    ),
    "value ignores the weights": (
        lambda: Own(lambda nu, w: (1 - (nu**2).sum(-1)).sum(-1), lambda nu, w: -2 * nu),
        "does not weigh its contexts",
    ),
    "mean instead of the weighted sum": (
        lambda: Own(lambda nu, w: (1 - (nu**2).sum(-1)).mean(-1), lambda nu, w: -2 * nu),
        "plain mean over contexts",
    ),
    "half": (lambda: Own(gini, lambda nu, w: -1 * nu), "2 times"),
    "double": (lambda: Own(gini, lambda nu, w: -4 * nu), "0.5 times"),
    "sign": (lambda: Own(gini, lambda nu, w: 2 * nu), "sign is reversed"),
    "sign of a logarithm": (lambda: Own(entropy, lambda nu, w: log(nu)), "sign is reversed"),
    "dropped denominator": (
        lambda: Own(first_log, lambda nu, w: one_answer(1.0, nu)),
        GRADIENT,
    ),
    "dropped term": (
        lambda: Own(lambda nu, w: gini(nu, w) + entropy(nu, w), lambda nu, w: -2 * nu),
        "log nu",
    ),
    "dropped answer": (
        lambda: Own(gini, lambda nu, w: -2 * nu * (np.arange(nu.shape[-1]) > 0)),
        "answer 0",
    ),
    "dropped consensus": (lambda: Own(jensen, lambda nu, w: -log(nu)), GRADIENT),
    "dropped context": (
        lambda: Own(gini, lambda nu, w: -2 * nu * (np.arange(nu.shape[-2]) > 0)[:, None]),
        "contexts",
    ),
    "missing lambda": (Lambda, "`lam` is missing from reward"),
    "lambda twice": (LambdaTwice, "in reward twice"),
    "log base 2": (lambda: Own(entropy, lambda nu, w: -log(nu) / np.log(2)), "base 2"),
    "log base 10": (lambda: Own(entropy, lambda nu, w: -log(nu) / np.log(10)), "base 10"),
    "power off by one": (
        lambda: Own(lambda nu, w: mean((nu**3).sum(-1), w), lambda nu, w: 3 * nu**3),
        "power is off by one",
    ),
    "power off by one below": (
        lambda: Own(lambda nu, w: mean((nu**3).sum(-1), w), lambda nu, w: 3.0 * nu),
        "power is off by one",
    ),
    "reward of another objective": (lambda: Own(gini, lambda nu, w: -log(nu)), GRADIENT),
    "value of another objective": (lambda: Own(forward, lambda nu, w: -log(nu)), GRADIENT),
    "value instead of the gradient": (
        lambda: Own(entropy, lambda nu, w: -nu * log(nu)),
        GRADIENT,
    ),
    "reversed answers": (
        lambda: Own(linear, lambda nu, w: fixed(nu)[:, ::-1] + 0 * nu),
        "reversed order",
    ),
    "contexts in another order": (
        lambda: Own(linear, lambda nu, w: fixed(nu)[::-1] + 0 * nu),
        "reversed order",
    ),
    "shifted answers": (
        lambda: Own(linear, lambda nu, w: np.roll(fixed(nu), 1, -1) + 0 * nu),
        "shifted by",
    ),
    "normalised over the wrong axis": (
        lambda: Own(
            lambda nu, w: -mean(np.sqrt((nu**2).sum(-1)), w),
            lambda nu, w: -nu / np.sqrt((nu**2).sum(-2, keepdims=True)),
        ),
        GRADIENT,
    ),
    "zero reward": (lambda: Own(gini, lambda nu, w: 0 * nu), "the same for every answer"),
    "whole numbers": (
        lambda: Own(lambda nu, w: 1.7 * first_log(nu, w), whole),
        "whole numbers",
    ),
    "weights of another game": (
        lambda: Own(lambda nu, w: mean(1 - (nu**2).sum(-1), w[..., ::-1]), lambda nu, w: -2 * nu),
        GRADIENT,
    ),
    "scalar for a batch": (
        lambda: Own(lambda nu, w: gini(nu, w).sum(), lambda nu, w: -2 * nu),
        r"value returns shape \(\)",
    ),
    "a value per context": (
        lambda: Own(lambda nu, w: (1 - (nu**2).sum(-1)) * w, lambda nu, w: -2 * nu),
        "value returns shape",
    ),
    "a reward for all games": (
        lambda: Own(linear, lambda nu, w: fixed(nu)),
        "reward returns shape",
    ),
    "a reward per answer": (
        lambda: Own(gini, lambda nu, w: -2 * nu.sum(-2)),
        "reward returns shape",
    ),
    "a list": (lambda: Own(lambda nu, w: [1.0], lambda nu, w: nu), "returns a list"),
    "nothing": (lambda: Own(gini, lambda nu, w: None), "returns a NoneType"),
    "means over the batch": (
        lambda: Own(
            lambda nu, w: gini(nu - nu.mean(tuple(range(nu.ndim - 2)), keepdims=True), w),
            lambda nu, w: -2 * (nu - nu.mean(tuple(range(nu.ndim - 2)), keepdims=True)),
        ),
        "mixes games",
    ),
    "stale batch": (StaleBatch, "keeps"),
    "stale state": (Stale, "keeps|gradient"),
    "random reward": (Random, "asked again"),
    "state that changes": (Counting, "asked again"),
    "writes into the marginals": (InPlace, "writes into the marginals"),
    "writes into the weights": (InPlaceWeights, "writes into the weights"),
    "no weights argument": (NoWeights, "takes no context weights"),
    "no reward": (Missing, "defines no `reward`"),
    "a table that follows no batch": (OneTable, "raised ValueError|shape"),
    "an error inside": (
        lambda: Own(lambda nu, w: mean(nu[..., 99], w), lambda nu, w: nu),
        "raised IndexError",
    ),
    "NaN at zeros": (
        lambda: Own(lambda nu, w: -mean((nu * np.log(nu)).sum(-1), w), lambda nu, w: -log(nu)),
        "0 log 0",
    ),
    "NaN": (lambda: Own(lambda nu, w: np.nan * gini(nu, w), lambda nu, w: nu), "value is NaN"),
    "infinite reward": (
        lambda: Own(gini, lambda nu, w: np.inf * nu),
        "finite wherever the probability is positive",
    ),
    "concave declared of a convex one": (
        lambda: Own(lambda nu, w: -gini(nu, w), lambda nu, w: 2 * nu, concave=True),
        "declared concave",
    ),
    "concave declared of a max": (
        lambda: Own(lambda nu, w: mean(nu.max(-1), w), largest_reward, concave=True),
        "declared concave",
    ),
    "concave declared of an S": (
        lambda: Own(
            lambda nu, w: mean(nu[..., 0] ** 2 * (3 - 2 * nu[..., 0]), w),
            lambda nu, w: one_answer(6 * nu[..., 0] * (1 - nu[..., 0]), nu),
            concave=True,
        ),
        "declared concave",
    ),
    "L too small": (
        lambda: Own(entropy, lambda nu, w: -log(nu), concave=True, smoothness=0.8),
        "smoothness L = 0.8",
    ),
    "L for no smooth one": (
        lambda: Own(log_sum, lambda nu, w: 1 / np.maximum(nu, SAFE), smoothness=1.0),
        "smoothness L = 1",
    ),
    "mu too large": (
        lambda: Own(entropy, lambda nu, w: -log(nu), concave=True, curvature=1.2),
        "curvature mu = 1.2",
    ),
    "mu for a convex one": (
        lambda: Own(
            lambda nu, w: -entropy(nu, w), lambda nu, w: log(nu), concave=False, curvature=-0.5
        ),
        "curvature mu = -0.5",
    ),
    "in logarithms": (LogsWrong, GRADIENT),
    "a wrong derivative of a generator": (
        lambda: dg.BregmanCoherence(
            dg.objectives.Generator(
                lambda p: p**2 / 2, lambda p: 2 * p, lambda p: 1 + 0 * p, "wrong"
            )
        ),
        GRADIENT,
    ),
    "wrong at 1e-8": (scaled(1e-8, gini, lambda nu, w: -nu), "2 times"),
    "wrong at 1e8": (scaled(1e8, gini, lambda nu, w: -nu), "2 times"),
    "wrong beside a constant of 1e6": (
        scaled(1.0, first_log, lambda nu, w: -first_log_reward(nu, w), 1e6),
        "sign",
    ),
    "a wrong one in a sum": (
        lambda: dg.ShannonDiversity() + 0.3 * Own(gini, lambda nu, w: 2 * nu),
        "sign is reversed",
    ),
}
