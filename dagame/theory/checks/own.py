"""An objective of the user's own: found by name, tried at the sizes that it fits, on many games."""

from __future__ import annotations

import ast
import importlib
import operator
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np

from ...errors import DagameError, InvalidGame, InvalidObjective, one_line
from ...games.game import AlignmentGame
from ...games.random_games import random_reference
from ...objectives import Objective
from ...objectives.own.checked import forget
from ...objectives.parameters import axes_of

_SIZES = ((1, 2), (2, 4), (3, 9), (2, 3), (1, 6), (4, 12), (2, 24))


def made(objective: Any) -> Objective:
    """An objective from an instance, a class, or a function without arguments."""
    if isinstance(objective, Objective):
        return objective
    if not callable(objective):
        raise InvalidObjective(
            f"objective is a {type(objective).__name__}; give an Objective, its class, or a function "
            "that makes one."
        )
    name = getattr(objective, "__name__", type(objective).__name__)
    try:
        found = objective()
    except TypeError as error:
        raise InvalidObjective(f"{name} cannot be made without arguments ({error}).") from error
    if not isinstance(found, Objective):
        raise InvalidObjective(f"{name}() is a {type(found).__name__}, not a dagame Objective.")
    return found


def named_objective(text: str) -> Objective:
    """`package.module:Class`, `...:Class(2.0, k=3)` or `...:instance`; the current folder counts.

    Arguments are literals: numbers, strings, lists, dictionaries.
    """
    module, colon, expression = text.partition(":")
    if not colon or not module or not expression:
        raise InvalidObjective(
            f"objective {text!r} has no name; give package.module:Class, or package.module:Class(2.0)."
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        held = importlib.import_module(module)
    except DagameError:
        raise
    except Exception as error:
        raise InvalidObjective(
            f"{module} cannot be imported from here ({type(error).__name__}: {one_line(error)})."
        ) from error
    name, given, named = _parsed(text, expression)
    target = _held(held, name, module)
    return made(target) if given is None else made(lambda: target(*given, **named))


def _held(held: ModuleType, name: str, module: str) -> Any:
    """What a module has at a dotted name; `InvalidObjective` names its objectives where there is nothing."""
    try:
        return operator.attrgetter(name)(held)
    except AttributeError:
        kinds = {n: v for n, v in vars(held).items() if isinstance(v, type)}
        near = [n for n, v in kinds.items() if issubclass(v, Objective)]
        hint = f"; its objectives are {', '.join(near)}" if near else ""
        raise InvalidObjective(f"{module} has no {name!r}{hint}.") from None


def _parsed(text: str, expression: str) -> tuple[str, list[Any] | None, dict[str, Any]]:
    """The name, and literal arguments where there are brackets."""
    try:
        tree = ast.parse(expression, mode="eval").body
        if not isinstance(tree, ast.Call):
            return ast.unparse(tree), None, {}
        values = [ast.literal_eval(a) for a in tree.args]
        return (
            ast.unparse(tree.func),
            values,
            {k.arg or "": ast.literal_eval(k.value) for k in tree.keywords},
        )
    except (SyntaxError, ValueError):
        raise InvalidObjective(
            f"objective {text!r} cannot be read; arguments are literals, as in module:Class(2.0, k=3)."
        ) from None


def fitting_sizes(objective: Objective, most: int = 3) -> list[tuple[int, int]]:
    """Contexts and answers at which the objective can be asked, small ones first."""
    tables = [
        np.shape(getattr(part, name)) for _, part in objective.terms() for name, _ in axes_of(part)
    ]
    sizes = [_size(shape, m) for shape in tables for m in (1, 2, 3)]
    last: DagameError | None = None
    found: list[tuple[int, int]] = []
    for m, n in dict.fromkeys([*sizes, *_SIZES]):
        try:
            AlignmentGame(np.full((m, n), 1 / n), objective, beta=1.0)
            found.append((m, n))
        except InvalidGame:
            continue
        except InvalidObjective as error:
            if not isinstance(error.__cause__, IndexError | ValueError):
                raise
            last = error
        if len(found) == most:
            break
    if not found:
        sizes_tried = f"the sizes {list(_SIZES)} (contexts, answers)"
        raise last or InvalidObjective(f"{objective!r} fits none of {sizes_tried}.")
    return found


def _size(shape: tuple[int, ...], m: int) -> tuple[int, int]:
    """Contexts and answers of a table (n,), (m, n) or (*batch, m, n); m contexts where it has one row."""
    *_, rows, n = (1, *shape)
    return (rows if rows > 1 else m), n


def probe(objective: Objective, sizes: list[tuple[int, int]], games: int, seed: int) -> list[str]:
    """Try the objective on `games` games: batches, zeros, tiny masses, weights, single precision, torch.

    What was left out, and why. Raises `InvalidObjective` at the first that is wrong.
    """
    rng = np.random.default_rng(seed)
    for k in range(games):
        forget(objective)
        reference, weights = _reference(rng, *sizes[k % len(sizes)], kind=k % 6)
        try:
            AlignmentGame(reference, objective, beta=1.0, weights=weights)
        except InvalidGame:
            if reference.ndim == 2:
                raise
    return list(_torch(objective, *sizes[-1]))


def _reference(
    rng: np.random.Generator, m: int, n: int, kind: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Plain, with zeros, with masses of 1e-12, a batch, a batch with its weights, single precision."""
    batch = ((), (), (), (3,), (2, 2), ())[kind]
    zeros, floor = (0.3 if kind == 1 else 0.0), (1e-12 if kind == 2 else 0.0)
    p = random_reference(rng, (*batch, m, n), zeros=zeros, floor=floor)
    weights = rng.dirichlet(np.full(m, 3.0), batch if kind == 4 else ()) * 0.9 + 0.1 / m
    return (p.astype(np.float32) if kind == 5 else p), (None if kind == 0 else weights)


def _torch(objective: Objective, m: int, n: int) -> Iterator[str]:
    if find_spec("torch") is None:
        yield "torch is not installed"
        return
    import torch

    forget(objective)
    try:
        AlignmentGame(torch.full((m, n), 1 / n, dtype=torch.float64), objective, beta=1.0)
    except InvalidObjective as error:
        yield f"numpy arrays only: {error}"
    forget(objective)
