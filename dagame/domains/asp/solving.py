"""Inside the confined child: one program and several fact instances -> digests of answer sets.

A request is JSON: program, facts (texts), show (signatures), models (a limit), whole (send the answer
sets themselves too), threads (0: all answer sets; k > 0: only the one that k threads meet first,
or hold for best, which is what the published metric compares). The reply is JSON: outcome, why, and one
entry per instance.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import clingo
from clingo import ast

_SHOWS = frozenset((ast.ASTType.ShowSignature, ast.ASTType.ShowTerm))
_STATEMENTS = frozenset(
    (
        *(ast.ASTType.Rule, ast.ASTType.Minimize, ast.ASTType.Definition, ast.ASTType.Defined),
        *_SHOWS,
        *(getattr(ast.ASTType, name) for name in ("Comment",) if hasattr(ast.ASTType, name)),
    )
)

Found = tuple[list[str], list[list[int]]]
"""Shown atoms, sorted, and [level, cost] of every level whose cost is not 0."""


class _Outcome(Exception):
    """A named end without a key."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(why)
        self.name, self.why = name, why


class _Inside(ast.Transformer):
    """Refuses what calls Python or a theory."""

    def visit_Function(self, node: Any) -> Any:
        if node.external:
            raise _Outcome("refused", f"@{node.name} would call a function outside the program")
        return node.update(**self.visit_children(node))

    def visit_TheoryAtom(self, node: Any) -> Any:
        raise _Outcome("refused", f"theory atom {node}")


def load() -> Callable[[str], str]:
    """The worker's task; its first call (on "1") warms up and closes the process to new files."""
    return _answer


def _answer(row: str) -> str:
    request = json.loads(row)
    if not isinstance(request, dict) and request != 1:
        return "ready"
    if request == 1:
        for program in ("{a;b}. #minimize{1,a:a; 2,b:b}.", "p(", "p(X).", "p(@f(1))."):
            _reply({"program": program, "facts": ["q(1)."], "show": ["a/0"], "models": 9})
        _close_files()
        return "ready"
    return json.dumps(_reply(request))


def _close_files() -> None:
    """No new file, no byte written to one, no dump: the pipes that are open stay open."""
    try:
        import resource
    except ImportError:
        return
    for name in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        resource.setrlimit(name, (0, 0))


def _reply(request: dict[str, Any]) -> dict[str, Any]:
    try:
        for text in request["facts"]:
            _check_facts(text)
        statements = _parsed(request["program"])
        found = [_instance(statements, facts, request) for facts in request["facts"]]
    except _Outcome as end:
        return {"outcome": end.name, "why": end.why}
    except RecursionError:
        return {"outcome": "refused", "why": "it is nested too deeply"}
    sets = {"sets": found} if request.get("whole") else {}
    return {"outcome": "answered", "why": "", "digests": [_digest(one) for one in found]} | sets


def _digest(answer_sets: list[Found]) -> str:
    return hashlib.sha256(json.dumps(answer_sets).encode()).hexdigest()


@cache
def _check_facts(text: str) -> None:
    """That the statements of an instance are all facts."""
    try:
        found = _parsed(text)
    except _Outcome as end:
        raise _Outcome("facts", end.why) from None
    for node in found:
        if node.ast_type != ast.ASTType.Rule or node.body or _is_no_atom(node.head):
            raise _Outcome("facts", f"{str(node)[:80]!r} is no fact")


def _is_no_atom(head: Any) -> bool:
    return (
        head.ast_type != ast.ASTType.Literal
        or head.sign != ast.Sign.NoSign
        or head.atom.ast_type != ast.ASTType.SymbolicAtom
    )


def _parsed(text: str) -> tuple[ast.AST, ...]:
    nodes: list[ast.AST] = []
    said: list[str] = []
    try:
        ast.parse_string(text, nodes.append, logger=lambda _, message: said.append(message))
    except RuntimeError as error:
        raise _Outcome("syntax", _sentence(said, error)) from None
    statements = nodes[1:]  # the first says that the base part begins
    inside = _Inside()
    for node in statements:
        if node.ast_type not in _STATEMENTS:
            raise _Outcome("refused", f"{str(node)[:80]!r} is not allowed")
        inside.visit(node)
    return tuple(statements)


def _instance(statements: tuple[ast.AST, ...], facts: str, request: dict[str, Any]) -> list[Found]:
    """The answer sets of one instance, all optimal ones where the program optimises."""
    threads, show = request.get("threads", 0), _shown(tuple(request["show"]))
    said: list[str] = []
    search = [f"-t{threads}"] if threads else ["--opt-mode=optN", "-n0", "--project=show"]
    control = clingo.Control(search, logger=lambda _, text: said.append(text), message_limit=20)
    try:
        control.add("base", [], facts)
        with ast.ProgramBuilder(control) as builder:
            for node in (*(s for s in statements if s.ast_type not in _SHOWS), *show):
                builder.add(node)
        said.clear()
        control.ground([("base", [])])
    except RuntimeError as error:
        raise _Outcome("unsafe", _sentence(said, error)) from None
    collected = _Collected(request["models"], first=threads > 0)
    result = control.solve(on_model=collected)
    if collected.too_many:
        raise _Outcome("too many", f"it has more than {request['models']:,} answer sets")
    if not (result.exhausted or threads):
        raise _Outcome("died", "the search ended before all answer sets were found")
    return collected.answer_sets()


class _Collected:
    """Projected answer sets and their costs, as the solver meets them."""

    def __init__(self, limit: int, first: bool) -> None:
        self.limit, self.first = limit, first
        self.found: set[tuple[tuple[str, ...], tuple[tuple[int, int], ...]]] = set()
        self.too_many = False

    def __call__(self, model: clingo.Model) -> bool:
        """Whether to go on; models that a better one follows are not counted."""
        if model.cost and not model.optimality_proven and not self.first:
            return True
        atoms = tuple(sorted(map(str, model.symbols(shown=True))))
        costs = zip(model.priority, model.cost, strict=True)
        self.found = set() if self.first else self.found
        self.found.add((atoms, tuple(sorted((p, c) for p, c in costs if c))))
        self.too_many = len(self.found) > self.limit
        return bool(model.cost) if self.first else not self.too_many

    def answer_sets(self) -> list[Found]:
        return [(list(atoms), [list(c) for c in cost]) for atoms, cost in sorted(self.found)]


@cache
def _shown(signatures: tuple[str, ...]) -> tuple[ast.AST, ...]:
    """Statements that show the signatures alone; every atom where there are none."""
    return _parsed("".join(f"#show {one}. " for one in signatures))


def _sentence(said: list[str], error: Exception) -> str:
    text = " ".join(" ".join(said).split()) or str(error)
    return text.replace("<string>:", "line ")[:300]
