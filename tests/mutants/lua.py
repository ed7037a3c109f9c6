"""Faults in Lua: what each rule puts in the place of some bytes of a script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from coord.testing.lint.tree import Tree, arguments, called, literal, text, walk

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["LuaPlace", "lua_places"]

_OPERATORS = {
    "==": ("comparison", "~="),
    "~=": ("comparison", "=="),
    "<": ("comparison", "<="),
    "<=": ("comparison", "<"),
    ">": ("comparison", ">="),
    ">=": ("comparison", ">"),
    "+": ("arithmetic", "-"),
    "-": ("arithmetic", "+"),
    "*": ("arithmetic", "/"),
    "/": ("arithmetic", "*"),
    "%": ("arithmetic", "/"),
    "and": ("and, or", "or"),
    "or": ("and, or", "and"),
}
_TTL = re.compile(r'"P?EXPIRE|"PERSIST|^refresh\(|^outlive\(')
_NOTICE = re.compile(r"^redis\.call\(publish|PUBLISH|^publish")
_LIBRARY = re.compile(r"local function (\w+)\(")


@dataclass(frozen=True)
class LuaPlace:
    """Where a fault goes in the text of a script with its libraries, and what it says there instead."""

    script: str
    library: str
    line: int
    start: int
    end: int
    new: str
    rule: str
    offset: int
    """From the start of the library, or of the script: the same in every script that includes the library."""

    @property
    def name(self) -> str:
        """How a report names it."""
        return f"{self.library or self.script}.lua:{self.line}:{self.offset} {self.rule} {self.new[:20]!r}"


def lua_places(script: str, source: str) -> list[LuaPlace]:
    """Return every fault that the rules know for a script."""
    data = source.encode()
    places: list[LuaPlace] = []
    lines = data.split(b"\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    for node in walk(Tree(source).root):
        row = node.start_point[0]
        # An included function stands on one line, in the place of its comment.
        found = _LIBRARY.match(lines[row].decode()) if len(lines[row]) > 0 else None
        library = found[1] if found and b" end" in lines[row] else ""
        for rule, start, end, new in _variants(node):
            offset = start - starts[row] if library else start
            places.append(LuaPlace(script, library, 1 if library else row + 1, start, end, new, rule, offset))
    return places


def _variants(node: Node) -> Iterator[tuple[str, int, int, str]]:
    start, end = node.start_byte, node.end_byte
    match node.type:
        case "binary_expression":
            yield from _operation(node)
        case "number":
            yield from _number(node)
        case "string" if not _decides_nothing(node):
            yield "constant", start, end, '"x"' if not literal(node) else '""'
        case "unary_expression" if node.children[0].type in ("not", "-"):
            yield "dropped sign", start, end, f"({text(node.named_children[0])})"
        case "true" | "false":
            yield "constant", start, end, "false" if node.type == "true" else "true"
        case "if_statement" | "elseif_statement" | "while_statement":
            condition = next(each for each in node.named_children if each.type != "comment")
            words = text(condition)
            yield "swapped branch", condition.start_byte, condition.end_byte, f"not ({words})"
            yield "condition", condition.start_byte, condition.end_byte, "false"
            if node.type != "while_statement":
                yield "condition", condition.start_byte, condition.end_byte, "true"
        case "function_call":
            yield from _call(node)
        case "assignment_statement" if node.parent and node.parent.type != "variable_declaration":
            yield "dropped statement", start, end, "do end"
        case _:
            pass


def _operation(node: Node) -> Iterator[tuple[str, int, int, str]]:
    operator = node.children[1]
    if operator.type in _OPERATORS:
        rule, new = _OPERATORS[operator.type]
        yield rule, operator.start_byte, operator.end_byte, new
    if operator.type in ("and", "or"):
        for side in (node.named_children[0], node.named_children[-1]):
            yield "dropped condition", node.start_byte, node.end_byte, f"({text(side)})"


def _number(node: Node) -> Iterator[tuple[str, int, int, str]]:
    words = text(node)
    if not words.isdigit():
        return
    rule = "index" if node.parent and node.parent.type == "bracket_index_expression" else "constant"
    yield rule, node.start_byte, node.end_byte, str(int(words) + 1)
    if int(words) > 1:
        yield rule, node.start_byte, node.end_byte, str(int(words) - 1)


def _call(node: Node) -> Iterator[tuple[str, int, int, str]]:
    words = text(node)
    if node.parent and node.parent.type in ("block", "chunk"):
        rule = "missing notice" if _NOTICE.search(words) else "missing TTL" if _TTL.search(words) else ""
        yield rule or "dropped statement", node.start_byte, node.end_byte, "do end"
    args = arguments(node)
    for one, two in pairwise(args):
        if literal(one) in ("PX", "EX"):
            before = args[args.index(one) - 1]
            yield "missing TTL", before.end_byte, two.end_byte, ""
    if called(node) in ("math.max", "math.min"):
        name = node.named_children[0]
        yield "swapped bound", name.start_byte, name.end_byte, "math.min" if text(name) == "math.max" else "math.max"


def _decides_nothing(node: Node) -> bool:
    """Return whether a text is a command's name, the words of an error, or what a notice says: no waiter reads it."""
    call = node.parent.parent if node.parent and node.parent.type == "arguments" else None
    if call is None or call.type != "function_call":
        return False
    name, args = called(call), arguments(call)
    if name in ("redis.call", "redis.pcall"):
        return args[0] == node or (bool(_NOTICE.search(text(call))) and args[-1] == node)
    return name == "redis.error_reply"
