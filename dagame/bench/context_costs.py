"""What agreement of m contexts costs: pair by pair or by a consensus; on traces or answers; in calls.

Calls of a class of m paraphrases with K responses each, from the definition of each reward:

* coherence, majority vote, answer diversity: the mK responses are generated and their answers
  compared by key. Nothing else is run.
* a judge for each response: one scorer call per response, mK.
* semantic clusters (entropy over meanings): within a prompt, both directions of entailment of every
  pair of responses, m K (K - 1) calls of the scorer if no cluster is found early.
* all-pairs agreement: every response against every response of every other paraphrase,
  m (m - 1) / 2 pairs of paraphrases x K^2 scorer calls.
* re-scoring (consistency of likelihoods): log pi of each response under each paraphrase, the mK
  responses x m prompts = m^2 K forward passes.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, permutations
from typing import Any

import numpy as np

from ..games.game import AlignmentGame
from ..numerics.arrays import log_normalise
from ..numerics.simplex import log_kl
from ..objectives import Coherence, Objective, PairwiseCoherence, TraceCoherence
from ..samples.metrics import agreement
from ..solvers import solve
from .chain import answers_of, random_chain, trace_table
from .common import Watch, median_seconds, slope
from .tables import Row

ANSWERS = 64
ORDERS = {
    "order of operations": "additions and exponentials, by the number m of contexts",
    "ms at m = 8": "milliseconds of one value and reward of 8 contexts",
    "ms at m = 256": "milliseconds of the same of 256 contexts",
    "ms at m = 128": "milliseconds of the same of 128 contexts",
    "slope of seconds in m": "log-log, over the three largest m: above the order where tables of pairs "
    "outgrow the cache, below it where a call costs more than its numbers",
}
LEVELS = {
    "|Y|": "number of traces of a context; 16 answers",
    "agreement before": "mean over pairs of contexts of ⟨ν_x, ν_x'⟩ of the answers, at the reference",
    "agreement, traces": "the same at the equilibrium of coherence of traces",
    "KL, traces": "nats paid for it on traces, mean over contexts",
    "seconds, traces": "to solve that game",
    "gap, traces": "its certified gap",
    "agreement, answers": "agreement at the equilibrium of coherence of answers",
    "KL, answers": "nats paid for it on traces",
    "seconds, answers": "to solve that game",
    "gap, answers": "its certified gap",
}
CALLS = {
    "responses": "responses generated",
    "further forward passes": "passes of the model beside the generation",
    "scorer calls": "calls of a judge or of an entailment model",
    "calls in all": "the sum of the three",
    "exponent in m": "of that sum, from m to 2m paraphrases",
}
Evaluate = Callable[[np.ndarray, np.ndarray], tuple[Any, Any]]


def kl_pair_by_pair(log_nu: np.ndarray, weights: np.ndarray) -> tuple[Any, Any]:
    """Value and reward of -sum_{x,x'} w_x w_x' KL(nu_x || nu_x'), every pair on its own: O(m^2 n)."""
    one, other = log_nu[:, None, :], log_nu[None, :, :]
    value = -(weights[:, None] * weights * log_kl(one, other)).sum()
    paid = one - other - np.exp(other - one)
    return value, -(weights[:, None] * paid).sum(axis=1)


def _both(objective: Objective) -> Evaluate:
    return objective.value_and_reward_log


FORMS: dict[str, tuple[str, Evaluate]] = {
    "pairwise KL, pair by pair": ("m^2", kl_pair_by_pair),
    "pairwise Jensen-Shannon": ("m^2", _both(PairwiseCoherence(1.0, "jensen_shannon"))),
    "pairwise KL, mean of logs": ("m", _both(PairwiseCoherence(1.0, "kl"))),
    "pairwise Hellinger, mean of roots": ("m", _both(PairwiseCoherence(1.0, "hellinger"))),
    "consensus, arithmetic": ("m", _both(Coherence(1.0))),
    "consensus, geometric": ("m", _both(Coherence(1.0, "geometric"))),
}
"""Value and reward of m marginals at log-probabilities, and the order of their cost in m."""


def contexts(sizes: tuple[int, ...], seed: int, watch: Watch) -> list[Row]:
    """Seconds of one value and reward by m, and the slope over the three largest m, of each form."""
    rng = np.random.default_rng(seed)
    tables = {m: log_normalise(rng.normal(size=(m, ANSWERS))) for m in sizes}
    rows: list[Row] = []
    for name in watch.over(list(FORMS), str):
        order, evaluate = FORMS[name]
        seconds = {m: _seconds(evaluate, table) for m, table in tables.items()}
        rows.append(
            {
                "form": name,
                "order of operations": order,
                **{f"ms at m = {m}": 1e3 * seconds[m] for m in (sizes[0], sizes[-1])},
                "slope of seconds in m": slope(sizes[-3:], [seconds[m] for m in sizes[-3:]]),
                "seconds": {str(m): s for m, s in seconds.items()},
            }
        )
    return rows


def _seconds(evaluate: Evaluate, table: np.ndarray) -> float:
    m = len(table)
    weights = np.full(m, 1 / m)
    return median_seconds(lambda: evaluate(table, weights), 3 if m > 100 else 9)


def levels(
    lengths: tuple[int, ...], tokens: int, m: int, seed: int, strength: float, watch: Watch
) -> tuple[list[Row], dict[str, Any]]:
    """Coherence of traces against coherence of answers on the same references, beta = 1.

    `agreement`: mean over pairs of contexts of <nu_x, nu_x'> of the answers at each equilibrium;
    `KL`: mean over contexts of KL(pi_x || pi0_x) on traces, what was paid for it.
    """
    rows = []
    for length in watch.over(lengths, lambda t: f"traces or answers, {tokens}^{t}"):
        chain = random_chain(np.random.default_rng(seed), m, tokens, length)
        reference, answers = np.exp(trace_table(chain)), answers_of(length, tokens)
        on_traces = AlignmentGame(reference, TraceCoherence(strength), beta=1.0)
        on_answers = AlignmentGame(reference, Coherence(strength), beta=1.0, answers=answers)
        before = _agreement(on_answers, on_answers.reference)
        row: Row = {"|Y|": tokens**length, "agreement before": before}
        for name, game in (("traces", on_traces), ("answers", on_answers)):
            found = _level(game, on_answers)
            row |= {f"{what}, {name}": value for what, value in found.items()}
        rows.append(row)
    sizes = [r["|Y|"] for r in rows]
    slopes = {
        f"coherence of {name}s": slope(sizes, [r[f"seconds, {name}s"] for r in rows])
        for name in ("trace", "answer")
    }
    return rows, slopes


def _level(game: AlignmentGame, on_answers: AlignmentGame) -> Row:
    """What the equilibrium of a game is like, on the answers, and what it costs."""
    solution = solve(game, throw=False)
    return {
        "agreement": _agreement(on_answers, np.asarray(solution.policy)),
        "KL": float(game.cost(solution.log_policy)),
        "seconds": median_seconds(lambda: solve(game, throw=False), 3, 0),
        "gap": float(solution.gap),
    }


def _agreement(game: AlignmentGame, policy: Any) -> float:
    return float(agreement(np.asarray(game.marginals(policy))[None])[0])


def _count(m: int, k: int) -> dict[str, tuple[int, int, int]]:
    """Per method: responses generated, further forward passes, scorer calls, counted one by one."""
    responses = [(x, i) for x in range(m) for i in range(k)]
    generated = len(responses)
    within = sum(x == y for (x, _), (y, _) in permutations(responses, 2))
    between = sum(x != y for (x, _), (y, _) in combinations(responses, 2))
    rescored = sum(1 for _ in responses for _ in range(m))
    return {
        "coherence, majority vote, diversity": (generated, 0, 0),
        "a judge for each response": (generated, 0, generated),
        "semantic clusters": (generated, 0, within),
        "all-pairs agreement": (generated, 0, between),
        "re-scoring under each paraphrase": (generated, rescored, 0),
    }


def calls(m: int, k: int) -> list[Row]:
    """Forward passes and scorer calls of a class, and the exponent of their sum in m (m to 2m)."""
    here, twice = _count(m, k), _count(2 * m, k)
    return [
        {
            "reward": name,
            "responses": here[name][0],
            "further forward passes": here[name][1],
            "scorer calls": here[name][2],
            "calls in all": sum(here[name]),
            "exponent in m": float(np.log2(sum(twice[name]) / sum(here[name]))),
        }
        for name in here
    ]
