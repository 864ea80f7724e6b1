"""A game solved, restricted, rescaled and certified in any order keeps its answer."""

from __future__ import annotations

import numpy as np
import pytest
from budget import FACTOR, settings
from hostile_games import TOLERANCE, references
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import dagame as dg
from dagame.errors import DagameError, InvalidGame
from dagame.solvers import METHODS
from tests.kinds import HOSTILE

GENTLE = (0.0, 1e-300, 1e-100, 1e-12)


class GameMachine(RuleBasedStateMachine):
    """A batch of games with traces, changed by public methods, its solution checked after each."""

    def __init__(self) -> None:
        super().__init__()
        self.game: dg.AlignmentGame | None = None
        self.solution: dg.Solution | None = None

    @initialize(
        data=st.data(), kind=st.sampled_from(sorted(HOSTILE)), seed=st.integers(0, 2**32 - 1)
    )
    def build(self, data, kind, seed):
        rng = np.random.default_rng(seed)
        m, n, size = int(rng.integers(1, 4)), int(rng.integers(1, 5)), int(rng.integers(1, 4))
        traces = n + int(rng.integers(0, 3))
        answers = np.r_[np.arange(n), rng.integers(0, n, traces - n)]
        reference = np.stack([data.draw(references(m, traces, GENTLE)) for _ in range(size)])
        self.objective = HOSTILE[kind](float(10 ** rng.uniform(-3, 3)), rng, m, n)
        self.kept = reference.copy()
        self.reference = reference
        self.game = dg.AlignmentGame(reference, self.objective, beta=1.0, answers=answers)

    @rule(method=st.sampled_from(["auto", *sorted(set(METHODS) - {"convex"})]))
    def solve(self, method):
        try:
            self.solution = dg.solve(self.game, method, throw=False, max_steps=60)
        except DagameError:
            self.solution = None

    @rule(power=st.floats(-3, 3))
    def change_beta(self, power):
        if self.game.objective.magnitude <= 1e9 * 10**power:
            self.game = self.game.with_objective(self.game.objective, beta=10**power)
            self.solution = None

    @rule(power=st.floats(-2, 2))
    def scale_objective(self, power):
        objective, beta = 10**power * self.game.objective, self.game.beta
        if objective.magnitude > 1e9 * beta:
            with pytest.raises(InvalidGame, match="must be at most"):
                self.game.with_objective(objective)
            return
        self.game, self.solution = self.game.with_objective(objective), None

    @rule(data=st.data())
    def take_rows(self, data):
        size = self.game.batch_shape[0]
        rows = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=4))
        self.game = self.game.rows(np.asarray(rows))
        self.solution = None

    @rule()
    def push_to_answers(self):
        self.game = self.game.on_answers()
        self.solution = None

    @precondition(lambda self: self.solution is not None)
    @rule()
    def rows_alone_have_the_answers_of_the_batch(self):
        game, together = self.game, self.solution
        try:
            alone = dg.solve(game.rows(np.asarray([0])), throw=False, max_steps=60)
        except DagameError:
            return
        both = alone.statuses[0], together.statuses[0]
        if both == (dg.Status.SOLVED, dg.Status.SOLVED):
            size = max(1.0, abs(float(alone.value[0])))
            assert abs(alone.value[0] - together.value[0]) <= 3 * TOLERANCE * size + 1e-12 * (
                game.beta + game.objective.magnitude
            )

    @precondition(lambda self: self.solution is not None)
    @rule(seed=st.integers(0, 2**32 - 1))
    def certify_another_policy(self, seed):
        game, best = self.game, self.solution.certificate
        p = np.random.default_rng(seed).dirichlet(
            np.ones(game.traces), (*game.batch_shape, game.contexts)
        )
        p = np.where(game.support, p + 1e-12, 0)
        try:
            proof = dg.certify(game, p / p.sum(-1, keepdims=True))
        except DagameError:
            return
        size = 1 + np.abs(best.value) + game.beta + game.objective.magnitude
        assert not np.isnan(proof.gap).any()
        assert np.all(proof.upper_bound >= best.value - 1e-11 * size)

    @invariant()
    def every_field_is_a_number_and_solved_means_solved(self):
        if self.game is None:
            return
        np.testing.assert_array_equal(self.reference, self.kept)
        if self.solution is None:
            return
        solution, proof = self.solution, self.solution.certificate
        for name in ("value", "upper_bound", "gap", "distance_bound", "tv_bound"):
            assert not np.isnan(getattr(proof, name)).any(), name
        assert np.abs(solution.policy.sum(-1) - 1).max() < 1e-9
        assert not np.any((solution.policy > 0) & ~self.game.support)
        solved = solution.solved
        assert np.all(np.abs(proof.relative_gap[solved]) <= TOLERANCE * (1 + 1e-6))


TestGameMachine = GameMachine.TestCase
TestGameMachine.settings = settings(20, stateful_step_count=8 if FACTOR == 1 else 15)
