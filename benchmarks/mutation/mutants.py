"""Mutants of a module: one small change each, by the operators of cosmic-ray.

Left out by rule, as no test of behaviour can see them: type hints, the text of errors and warnings
(`raise` statements, `warnings.warn`, f-strings), `__repr__`, `__str__`, HTML and pictures, and
`strict=` of zip, an assertion. Of the replacements of one operator those are taken that keep the types
(+ and -, * and /, the neighbour and the opposite of a comparison): the rest fail at once and would
only flatter the score.
"""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BINARY = ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "Pow_Mul", "FloorDiv_Div", "Mod_FloorDiv")
LOGICAL = ("BitAnd_BitOr", "BitOr_BitAnd")
COMPARISON = ("Eq_NotEq", "NotEq_Eq", "Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE")
COMPARISON += ("GtE_Gt", "GtE_Lt", "Is_IsNot", "IsNot_Is")
UNARY = ("Delete_USub", "Delete_Not", "Delete_Invert")
OPERATORS = (
    *(f"ReplaceBinaryOperator_{name}" for name in BINARY + LOGICAL),
    *(f"ReplaceComparisonOperator_{name}" for name in COMPARISON),
    *(f"ReplaceUnaryOperator_{name}" for name in UNARY),
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "AddNot",
    "NumberReplacer",
    "RemoveDecorator",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "ZeroIterationForLoop",
    "ExceptionReplacer",
)
SHOWN = ("__repr__", "__str__", "_repr_html_", "_rows", "plot")


@dataclass(frozen=True)
class Mutant:
    """One change of one module: where, what, and the statement and function (lines) it is in."""

    module: str
    operator: str
    occurrence: int
    function: str
    before: str
    statement: tuple[int, int]
    body: tuple[int, int]

    @property
    def place(self) -> str:
        """Module, function and line as it was; it outlives changes elsewhere in the file."""
        return f"{self.module} {self.function}: {self.before} -> "

    def key(self, root: Path) -> str:
        """Its name: the place and the line as it became."""
        source = (root / self.module).read_text().splitlines()
        after = self.mutated(root).splitlines()
        if len(after) < len(source):
            return self.place
        changed = (new for old, new in zip(source, after, strict=True) if old != new)
        return self.place + next(changed, "").strip()

    def mutated(self, root: Path) -> str:
        """The module's source with the change."""
        from cosmic_ray.mutating import mutate_code

        source = (root / self.module).read_text()
        return mutate_code(source, _operator(self.operator), self.occurrence)


@functools.cache
def _operator(name: str) -> Any:
    try:
        from cosmic_ray.plugins import get_operator
    except ImportError as error:
        raise SystemExit(
            "cosmic-ray is missing; pip install -r benchmarks/mutation/requirements.txt"
        ) from error
    return get_operator(f"core/{name}")()


def mutants(root: Path, module: str) -> list[Mutant]:
    """All mutants of a module."""
    from cosmic_ray.ast import ast_nodes, get_ast

    source = (root / module).read_text()
    lines, outline, found = source.splitlines(), _Outline(ast.parse(source)), []
    nodes = list(ast_nodes(get_ast(source)))
    for name in OPERATORS:
        places = [place for node in nodes for place in _operator(name).mutation_positions(node)]
        for occurrence, (start, _) in enumerate(places):
            if outline.left_out(start):
                continue
            names, statement, body = outline.around(start)
            before = lines[start[0] - 1].strip()
            found.append(Mutant(module, name, occurrence, names, before, statement, body))
    return found


class _Outline:
    """Where a module's functions and statements are, and what is left out."""

    def __init__(self, tree: ast.Module) -> None:
        self.scopes: list[tuple[str, ast.AST]] = []
        self.statements = [s for s in ast.walk(tree) if isinstance(s, ast.stmt)]
        self.skipped = [_span(s) for s in ast.walk(tree) if _is_text(s)]
        for node in ast.walk(tree):
            hints = [getattr(node, "annotation", None), getattr(node, "returns", None)]
            self.skipped += [_span(hint) for hint in hints if hint is not None]
        self._scopes(tree, "")

    def _scopes(self, node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            name = prefix
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                name = f"{prefix}.{child.name}".lstrip(".")
                self.scopes.append((name, child))
            self._scopes(child, name)

    def left_out(self, start: tuple[int, int]) -> bool:
        return any(low <= start < high for low, high in self.skipped)

    def around(self, start: tuple[int, int]) -> tuple[str, tuple[int, int], tuple[int, int]]:
        """The name of the innermost function or class, the lines of the statement, and its lines."""
        inside = [s for s in self.scopes if _first_line(s[1]) <= start[0] <= s[1].end_lineno]
        name, scope = max(inside, key=lambda s: s[1].lineno, default=("", None))
        body = (1, 10**9) if scope is None else (_first_line(scope), scope.end_lineno)
        holding = [s for s in self.statements if _first_line(s) <= start[0] <= s.end_lineno]
        innermost = max(holding, key=lambda s: s.lineno)
        return name, (_first_line(innermost), _last_line(innermost)), body


def _is_text(node: ast.AST) -> bool:
    if isinstance(node, ast.FunctionDef):
        return node.name in SHOWN
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr == "warn"
    if isinstance(node, ast.keyword):
        return node.arg == "strict"
    return isinstance(node, ast.Raise | ast.JoinedStr)


def _span(node: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    return (_first_line(node), node.col_offset), (node.end_lineno, node.end_col_offset)


def _first_line(node: Any) -> int:
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])


def _last_line(node: Any) -> int:
    body = getattr(node, "body", None)
    return node.end_lineno if not body else max(_first_line(node), body[0].lineno - 1)
