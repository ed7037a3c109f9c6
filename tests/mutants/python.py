"""Faults in Python: what each rule makes of a node of the syntax tree."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import CodeType
from typing import Any

__all__ = ["Place", "changed", "code_named", "places"]

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_COUNTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
}
_TTL = re.compile(r"\b(p?expire\w*|persist|refresh|outlive)\(|\b(px|ex)=")
_NOTICE = re.compile(r"\b(s?publish|notify)\(|_publish")
_CLOCK = re.compile(r"\b(now\w*|clock|monotonic\w*|time_ns)\(")
_RETRY = re.compile(r"safe|repeat|retr|again|unknown|resend|sent\b", re.IGNORECASE)
# A text for people, a log line and a type decide nothing.
_SAID = re.compile(r"^(_?log\w*\.|warnings\.|super\(\)|cast\(|\w*repr)")


@dataclass(frozen=True)
class Place:
    """Where a fault goes: the number of a node in its file, and which of the rule's variants."""

    file: str
    function: str
    line: int
    column: int
    node: int
    variant: int
    rule: str

    @property
    def name(self) -> str:
        """How a report names it."""
        return f"{Path(self.file).name}:{self.line}:{self.column} {self.rule} {self.variant}"


@cache
def _text(file: str) -> str:
    return Path(file).read_text(encoding="utf-8")


def _replaced(node: Any, **fields: Any) -> Any:
    """Return a copy of a node with some of its parts replaced."""
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def _variants(node: ast.AST, within: ast.AST | None) -> Iterator[tuple[str, ast.AST]]:  # noqa: C901  # one case a kind
    match node:
        case ast.Compare(ops=ops):
            for number, op in enumerate(ops):
                yield "comparison", _replaced(node, ops=[*ops[:number], _COMPARED[type(op)](), *ops[number + 1 :]])
        case ast.Constant(value=bool(value)):
            yield "constant", _replaced(node, value=not value)
        case ast.Constant(value=int(value)):
            rule = "index" if isinstance(within, ast.Subscript | ast.Slice) else "constant"
            yield rule, _replaced(node, value=value + 1)
            if value > 1:
                yield rule, _replaced(node, value=value - 1)
        case ast.Constant(value=float(value)):
            yield "constant", _replaced(node, value=value * 2)
        case ast.Constant(value=str(value)) if not isinstance(
            within, ast.JoinedStr | ast.FormattedValue
        ) and not _is_notice(within):
            yield "constant", _replaced(node, value="" if value else "x")
        case ast.Expr(value=ast.Call() | ast.Await() | ast.Yield() | ast.YieldFrom()):
            words = ast.unparse(node)
            if not _SAID.match(words):
                yield _dropping(words), ast.Pass()
        case ast.AugAssign() | ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield "dropped statement", ast.Pass()
        case ast.If() | ast.IfExp() | ast.While():
            retry = "blind retry" if _RETRY.search(ast.unparse(node.test)) else ""
            yield retry or "swapped branch", _replaced(node, test=ast.UnaryOp(ast.Not(), node.test))
            yield retry or "condition", _replaced(node, test=ast.Constant(value=False))
            if not isinstance(node, ast.While):
                yield retry or "condition", _replaced(node, test=ast.Constant(value=True))
        case ast.BoolOp(op=op, values=values):
            yield "and, or", _replaced(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
            for number in range(len(values)):
                rest = values[:number] + values[number + 1 :]
                yield "dropped condition", rest[0] if len(rest) == 1 else _replaced(node, values=rest)
        case ast.BinOp(op=op, left=left) if type(op) in _COUNTED and not _is_text(left):
            yield "arithmetic", _replaced(node, op=_COUNTED[type(op)]())
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield "dropped sign", operand
        case ast.Call(keywords=keywords, func=func):
            for number, keyword in enumerate(keywords):
                if keyword.arg in ("px", "ex"):
                    yield "missing TTL", _replaced(node, keywords=keywords[:number] + keywords[number + 1 :])
            if isinstance(func, ast.Name) and func.id in ("min", "max"):
                yield "swapped bound", _replaced(node, func=ast.Name("max" if func.id == "min" else "min", ast.Load()))
        case ast.Raise() if within is not None and not isinstance(within, ast.ExceptHandler):
            yield "dropped error", ast.Pass()
        case ast.ExceptHandler(body=body) if not isinstance(body[0], ast.Raise):
            yield "error passed on", _replaced(node, body=[ast.Raise()])
        case ast.Try(finalbody=[_, *_]):
            yield "dropped finally", _replaced(node, finalbody=[ast.Pass()])
        case _:
            pass
    inner = getattr(node, "body", None)
    if isinstance(inner, list):
        for number, (one, two) in enumerate(pairwise(inner)):
            if isinstance(one, ast.Assign) and _CLOCK.search(ast.unparse(one.value)) and _waits(two):
                swapped = [*inner[:number], two, one, *inner[number + 2 :]]
                yield "deadline from the reply", _replaced(node, body=swapped)


def _dropping(words: str) -> str:
    if _NOTICE.search(words):
        return "missing notice"
    return "missing TTL" if _TTL.search(words) else "dropped statement"


def _is_notice(node: ast.AST | None) -> bool:
    """Return whether a call notifies waiters, none of which reads the text of the notice."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "publish"


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _waits(node: ast.AST) -> bool:
    return any(isinstance(each, ast.Yield | ast.YieldFrom | ast.Await | ast.Call) for each in ast.walk(node))


class _Nodes(ast.NodeVisitor):
    """The nodes of a file in which a fault may go, in the order of the text, each with its function."""

    def __init__(self) -> None:
        self.found: list[tuple[ast.AST, ast.AST | None, str]] = []
        self._names: list[str] = []
        self._depth = 0
        self._first = 0
        self._within: list[ast.AST] = []

    def visit(self, node: ast.AST) -> None:
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if self._depth or is_function:
            names = [*self._names, node.name] if is_function and not self._depth else self._names
            self.found.append((node, self._within[-1] if self._within else None, ".".join(names[: self._outer(names)])))
        self._within.append(node)
        super().visit(node)
        self._within.pop()

    def _outer(self, names: list[str]) -> int:
        """How many of the names lead to the outermost function: its code holds that of the inner ones."""
        return self._first or len(names)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        # Defaults and annotations belong to the enclosing code; a docstring says nothing to the interpreter.
        self._names.append(node.name)
        self._depth += 1
        if self._depth == 1:
            self._first = len(self._names)
        body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
        for statement in body if node.name != "__repr__" else ():
            self.visit(statement)
        self._depth -= 1
        if not self._depth:
            self._first = 0
        self._names.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._names.append(node.name)
        self.generic_visit(node)
        self._names.pop()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        """The words of an error are for people."""

    def visit_Assert(self, node: ast.Assert) -> None:
        """It narrows a type."""

    def visit_Call(self, node: ast.Call) -> None:
        if not _SAID.match(ast.unparse(node)):
            self.generic_visit(node)


def _nodes(tree: ast.Module) -> list[tuple[ast.AST, ast.AST | None, str]]:
    nodes = _Nodes()
    nodes.visit(tree)
    return nodes.found


@cache
def places(file: str) -> tuple[Place, ...]:
    """Return every fault that the rules know for a file, but those outside functions."""
    return tuple(
        Place(file, function, _line(node), getattr(node, "col_offset", 0), number, variant, rule)
        for number, (node, within, function) in enumerate(_nodes(ast.parse(_text(file))))
        for variant, (rule, _) in enumerate(_variants(node, within))
    )


def _line(node: ast.AST) -> int:
    line = getattr(node, "lineno", 0)
    return int(line or next((each.lineno for each in ast.walk(node) if hasattr(each, "lineno")), 0))


class _Put(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> Any:
        if node is self._old:
            return self._new
        return self.generic_visit(node)


def changed(place: Place) -> ast.Module:
    """Return the tree of the file with the fault in it."""
    tree = ast.parse(_text(place.file))
    node, within, _ = _nodes(tree)[place.node]
    _, new = list(_variants(node, within))[place.variant]
    if hasattr(node, "lineno"):
        ast.copy_location(new, node)
    return ast.fix_missing_locations(_Put(node, new).visit(tree))


def code_named(code: CodeType, name: str) -> CodeType | None:
    """Return the code of a function of a module by its qualified name, such as ``Pool._take``."""
    found = code
    for part in name.split("."):
        inner = [each for each in found.co_consts if isinstance(each, CodeType) and each.co_name == part]
        if len(inner) != 1:
            return None
        found = inner[0]
    return found
