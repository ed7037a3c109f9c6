"""Checks of a script's Lua that need no run: each finding has its file, line and column.

    assert lint(MY_SCRIPT) == []

Lua 5.1 compiles the script (lupa), and a parser (tree-sitter) reads it. The checks: every key comes from KEYS and is
declared; only the server's clock is used; no error is returned after a write; a key that is declared ``expiring`` gets
a TTL on every path; no digit is lost; no table that may be long is unpacked; the reply is what the header says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Literal

from coord.script import Header, Script
from coord.testing.lint.clocks import clock_arguments, clocks
from coord.testing.lint.flow import paths
from coord.testing.lint.keys import keys
from coord.testing.lint.names import commands, globals_
from coord.testing.lint.tree import Fault, Tree, arguments, called, literal
from coord.testing.lint.values import arrays, numbers, replies, unpacked

__all__ = ["Finding", "lint"]

_WIDEST = 88
_NEAR = re.compile(r"^:(\d+): (.*?)(?: near '(.+)')?$")
_CHECKS: tuple[Callable[[Tree, Header | None], Iterator[Fault]], ...] = (
    *(globals_, keys, commands, clocks, paths),
    *(numbers, arrays, replies, unpacked),
)


@dataclass(frozen=True, order=True, slots=True)
class Finding:
    """Something wrong with a script: where, and what. A warning is about style alone."""

    file: str
    line: int
    column: int
    what: str
    kind: Literal["error", "warning"] = "error"
    code: str = ""

    def __str__(self) -> str:
        warning = "warning: " if self.kind == "warning" else ""
        return f"{self.file}:{self.line}:{self.column}: {warning}{self.what}"

    def shown(self) -> str:
        """Return the finding, and below it the line with a caret."""
        return f"{self}\n    {self.code}\n    {' ' * (self.column - 1)}^" if self.code else str(self)


def lint(script: Script, *, style: bool = False) -> list[Finding]:
    """Return what is wrong with a script's Lua, by line; ``style``: also long lines and the like, as warnings."""
    if why := _not_lua(script):
        return [why]
    tree = Tree(script.source)
    found = {_at(script, *fault) for check in _CHECKS for fault in check(tree, script.header)}
    for line, word, what in clock_arguments(script.header) if script.header else ():
        found.add(_finding(script, line, script.line(line).find(word) + 1, what))
    if style:
        found |= set(_style(script, tree))
    return sorted(found)


def _at(script: Script, node: Any, what: str) -> Finding:
    point = node.start_point
    before = script.line(point.row + 1).encode()[: point.column]
    return _finding(script, point.row + 1, len(before.decode(errors="replace")) + 1, what)


def _finding(script: Script, line: int, column: int, what: str, kind: Literal["error", "warning"] = "error") -> Finding:
    written = script.text.split("\n")[line - 1 : line]
    if written and written[0] != script.line(line):
        # An include line: the source has the library's text there.
        return Finding(script.file, line, 1, what, kind, written[0])
    return Finding(script.file, line, column, what, kind, "".join(written))


# --- Lua 5.1 -------------------------------------------------------------------------------------


@cache
def _compiler() -> Callable[[bytes], bytes | None]:
    lua: Any = import_module("lupa.lua51").LuaRuntime(encoding=None, register_eval=False)
    compiler: Callable[[bytes], bytes | None] = lua.eval(
        b'function(text) local made, why = loadstring(text, "=") return why end'
    )
    return compiler


def _not_lua(script: Script) -> Finding | None:
    """Return Lua's own sentence about a script that it does not compile."""
    why = _compiler()(script.source.encode())
    if why is None:
        return None
    said = why.decode(errors="replace")
    parts = _NEAR.match(said)
    if not parts:
        return _finding(script, 1, 1, said.lstrip(":"))
    line = int(parts[1])
    column = max(script.line(line).rfind(parts[3] or "\n"), 0) + 1
    return _finding(script, line, column, said.removeprefix(f":{line}: "))


# --- style ---------------------------------------------------------------------------------------


def _style(script: Script, tree: Tree) -> Iterator[Finding]:
    for number, line in enumerate(script.text.split("\n"), 1):
        if len(line) > _WIDEST:
            what = f"is {len(line)} columns wide; {_WIDEST} are enough"
            yield _finding(script, number, _WIDEST + 1, what, "warning")
    for call in tree.calls:
        command = literal(arguments(call)[0]) if called(call).startswith("redis.") and arguments(call) else None
        if command and called(call) in ("redis.call", "redis.pcall") and command != command.upper():
            found = _at(script, arguments(call)[0], f"says {command!r}; write commands in capitals")
            yield Finding(found.file, found.line, found.column, found.what, "warning", found.code)
