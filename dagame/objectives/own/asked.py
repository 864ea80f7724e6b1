"""An objective from outside the package, asked for values and rewards, its answers checked as they come."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np

from ...errors import DagameError, InvalidObjective
from ...numerics.arrays import LOG_ZERO, Array, is_array, log, namespace, to_numpy
from ..objective import Objective
from ..parameters import flattened, of_games

_PIECE = 3 << 12
"""Numbers in one call: memory for arrays of less than 128 kB is already mapped, and so faster."""
_MOST = 1 << 21
_BATCH = 1e-6
_AXES = "(*batch, contexts, answers)"


class Asked:
    """One game's objective: values and rewards at numpy marginals (K, m, n), in double precision.

    Of a batch the first game is asked. Every call is checked: shape, errors raised inside, arguments
    written into.
    """

    def __init__(self, objective: Objective, log_nu0: Array, weights: Array) -> None:
        """See the class; log_nu0 (*batch, m, n)."""
        self.name = type(objective).__name__
        self.objective, self.like = objective, log_nu0
        self.flat = flattened(objective, tuple(log_nu0.shape[:-2]))
        self.given_weights = weights
        self.weights = to_numpy(weights).astype(np.float64).reshape(-1, weights.shape[-1])[0]
        self.weights = self.weights / self.weights.sum()
        self.m, self.n = log_nu0.shape[-2:]
        self._compared: set[str] = set()

    # -- calls ------------------------------------------------------------------------------------

    def values(self, nu: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Phi (K,) at marginals (K, m, n) of the first game."""
        size = max(1, _PIECE // (self.m * self.n))
        parts = [self._values(nu[k : k + size], weights) for k in range(0, len(nu), size)]
        return np.concatenate(parts)

    def reward(self, p: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Grad Phi (m, n) at one point, which must be finite wherever p > 0."""
        return self.rewards(p[None], weights)[0]

    def rewards(self, nu: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Grad Phi (K, m, n)."""
        got = self._called("reward", nu, weights)
        u = to_numpy(self._shaped("reward", got, nu.shape, nu.shape)).astype(np.float64)
        wrong = ~np.isfinite(u) & (nu > 0)
        if wrong.any():
            k, x, z = np.argwhere(wrong)[0]
            raise InvalidObjective(
                f"{self.name}.reward is {u[k, x, z]:g} at context {x}, answer {z}, whose probability is "
                f"{nu[k, x, z]:.3g}; a reward must be finite wherever the probability is positive."
            )
        return u

    def _values(self, nu: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        got = self._called("value", nu, weights)
        value = to_numpy(self._shaped("value", got, nu.shape[:1], nu.shape)).astype(np.float64)
        return np.where(value < LOG_ZERO / 2e10, -np.inf, value)

    def _called(self, name: str, nu: np.ndarray, weights: np.ndarray | None) -> Any:
        """`value_log` or `reward_log` of K copies of the first game at nu (K, m, n)."""
        copies = self.copies(len(nu))
        w = self.weights if weights is None else weights
        if self.given_weights.ndim > 1:
            w = np.broadcast_to(w, (len(nu), self.m))
        function = getattr(copies, f"{name}_log")
        return self.call(name, function, log(self.array(nu)), self.array(w))

    def copies(self, count: int) -> Objective:
        """The objective of a batch of so many games that are all the first."""
        first = namespace(self.like).asarray(np.zeros(count, np.int64), device=self.like.device)
        return of_games(self.flat, first)

    def array(self, values: np.ndarray) -> Array:
        """Numbers as an array of the game's library and device, in double precision."""
        xp = namespace(self.like)
        return xp.asarray(np.array(values), dtype=xp.float64, device=self.like.device)

    def call(self, name: str, function: Callable[..., Any], nu: Array, w: Array) -> Any:
        """Call function(nu, w); its errors become one sentence, and it may not change its arguments."""
        first = function.__name__ not in self._compared
        before = [to_numpy(a).copy() for a in (nu, w)] if first else []
        try:
            got = function(nu, w)
        except (DagameError, MemoryError):
            raise
        except Exception as error:
            kind = (
                "numpy arrays" if isinstance(nu, np.ndarray) else f"{type(nu).__module__} tensors"
            )
            raise InvalidObjective(
                f"{self.name}.{name} raised {type(error).__name__} on {kind}, marginals of shape "
                f"{tuple(nu.shape)} {_AXES} and weights of shape {tuple(w.shape)}: {error}"
            ) from error
        self._compared.add(function.__name__)
        for what, was, now in zip(("marginals", "weights"), before, (nu, w), strict=False):
            if not np.array_equal(was, to_numpy(now), equal_nan=True):
                raise InvalidObjective(
                    f"{self.name}.{name} writes into the {what} that it is given; work on a copy."
                )
        return got

    def _shaped(self, name: str, got: Any, want: tuple[int, ...], shape: tuple[int, ...]) -> Any:
        """`got` if it is numbers of shape `want`, for marginals of `shape`."""
        known = is_array(got) or isinstance(got, np.generic | float | int)
        have = tuple(getattr(got, "shape", ()))
        if known and have == want:
            return got
        what = f"shape {have}" if known else f"a {type(got).__name__}"
        of = "one number per game" if name == "value" else "the reward of each answer"
        bare = " (a bare .sum() adds all games up: sum over axis (-2, -1))"
        hint = bare if name == "value" and known and have == () else ""
        raise InvalidObjective(
            f"{self.name}.{name} returns {what} for marginals of shape {shape} {_AXES}; want {want}, "
            f"{of}{hint}."
        )

    # -- what a batch, a second call, tensors must give --------------------------------------------

    def check_tensors(self) -> None:
        """Numpy functions on torch tensors are refused by an autograd graph, and by CUDA."""
        if not array_api_compat.is_torch_array(self.like):
            return
        nu = self.array(np.full((1, self.m, self.n), 1 / self.n)).requires_grad_(True)
        w = self.array(self.weights)
        if self.given_weights.ndim > 1:
            w = w[None]
        one = self.copies(1)
        for name in ("value", "reward"):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    getattr(one, name)(nu, w)
            except DagameError:
                raise
            except Exception as error:
                raise InvalidObjective(
                    f"{self.name}.{name} cannot compute on the game's torch tensors ({error}); write it "
                    "with methods of the array or xp = dagame.numerics.arrays.namespace(marginals), or give "
                    "the game numpy arrays."
                ) from error

    def check_shapes(self, lead: tuple[int, ...]) -> None:
        """`value` and `reward` as the user wrote them, on the game's own batch shape and on a batch of 3."""
        for batch, objective, w in self._batches(lead):
            nu = np.full((*batch, self.m, self.n), 1 / self.n)
            value = self.call("value", objective.value, self.array(nu), w)
            self._shaped("value", value, batch, nu.shape)
            u = self.call("reward", objective.reward, self.array(nu), w)
            self._shaped("reward", u, nu.shape, nu.shape)

    def _batches(self, lead: tuple[int, ...]) -> list[tuple[tuple[int, ...], Objective, Array]]:
        three = self.copies(3)
        w = self.array(to_numpy(self.given_weights))
        w3 = w if w.ndim == 1 else self.array(np.broadcast_to(self.weights, (3, self.m)))
        own = [(lead, self.objective, w)] if math.prod(lead) * self.m * self.n <= _MOST else []
        return [*own, ((3,), three, w3)]

    def check_batch(self, nu: np.ndarray) -> None:
        """A batch is the loop of single games, and the same question has the same answer."""
        for name, ask in (("value", self.values), ("reward", self.rewards)):
            whole, single, again = ask(nu), ask(nu[-1:]), ask(nu)
            size = np.abs(whole[np.isfinite(whole)]).max(initial=0.0)
            for one, other, what in (
                (
                    whole,
                    again,
                    "answers differently when it is asked again: it keeps or draws something",
                ),
                (
                    whole[-1:],
                    single,
                    "of a game in a batch is not that of the game alone: it mixes games, or keeps "
                    "what an earlier call computed",
                ),
            ):
                off = np.where(one == other, 0.0, np.abs(one - other))
                if off.max(initial=0.0, where=~np.isnan(off)) > _BATCH * size + 1e-13:
                    raise InvalidObjective(
                        f"{self.name}.{name} {what} (largest difference {np.nanmax(off):.3g}); sum over the "
                        "last two axes only."
                    )

    def other_weights(self, rng: np.random.Generator) -> np.ndarray | None:
        """Random uneven context weights; None where there is one context."""
        if self.m == 1:
            return None
        w = rng.uniform(0.5, 1.5, self.m) * self.weights
        return w / w.sum()
