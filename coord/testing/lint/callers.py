"""Python code that builds calls: none of the arguments may come from the caller's clock."""

from __future__ import annotations

import ast
from collections.abc import Iterator

__all__ = ["clocks_in_calls"]

_CLOCKS = (
    "time.time time.time_ns time.monotonic time.monotonic_ns time.perf_counter datetime.now datetime.utcnow "
    "datetime.datetime.now datetime.datetime.utcnow time monotonic time_ns"
)
_WHAT = "sends the caller's clock to a script: use TIME in the script, or a TTL"


def clocks_in_calls(source: str) -> Iterator[tuple[int, int, str]]:
    """Yield line, column and fault wherever an argument of a ``Call`` comes from a clock."""
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            clocks = {name.id for each in ast.walk(function) for name in _named_after_clock(each)}
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("Call", "call"):
                    for given in (*node.args, *(each.value for each in node.keywords)):
                        if found := next(_clocks(given, clocks), None):
                            yield found.lineno, found.col_offset + 1, _WHAT


def _named_after_clock(node: ast.AST) -> Iterator[ast.Name]:
    """Yield the variables that are given a clock's time."""
    if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value and next(_clocks(node.value, set()), None):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (name for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))


def _clocks(node: ast.AST, named: set[str]) -> Iterator[ast.expr]:
    for each in ast.walk(node):
        if (isinstance(each, ast.Call) and ast.unparse(each.func) in _CLOCKS) or (
            isinstance(each, ast.Name) and each.id in named
        ):
            yield each
