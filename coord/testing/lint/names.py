"""Globals, and commands by their names: what is not there on every server, or answers differently."""

from __future__ import annotations

from collections.abc import Iterator

from coord.script import Header
from coord.testing.lint.commands import RANDOM, UNORDERED, words
from coord.testing.lint.tree import Fault, Tree, arguments, called, expressions, literal, text, walk

__all__ = ["GLOBALS", "commands", "globals_"]

GLOBALS = words(
    "KEYS ARGV redis math string table cjson cmsgpack struct bit assert error ipairs next pairs pcall select tonumber "
    "tostring type unpack"
)
"""Names that a script may use: every server has them, with the same meaning."""

_REDIS = words("call pcall error_reply status_reply sha1hex log LOG_DEBUG LOG_VERBOSE LOG_NOTICE LOG_WARNING")


def globals_(tree: Tree, _header: Header | None) -> Iterator[Fault]:
    """Yield the globals that a script writes, and those that it cannot rely on."""
    for name in tree.writes:
        yield name, f"assigns the global {text(name)!r}, which servers refuse: add 'local'"
    written = set(map(text, tree.writes))
    for name in tree.reads:
        if text(name) not in GLOBALS | written:
            yield name, f"reads the global {text(name)!r}, which not every server has"
    for node in walk(tree.root):
        if node.type == "dot_index_expression":
            table, member = (text(each) for each in node.named_children)
            if table == "redis" and member not in _REDIS:
                yield node, f"uses redis.{member}, which not every server has, or not the same"
            if table == "math" and member.startswith("random"):
                yield node, f"uses math.{member}, whose numbers differ between servers and from the twin"


def commands(tree: Tree, header: Header | None) -> Iterator[Fault]:
    """Yield the commands whose replies no two backends share."""
    sorted_ = {text(arguments(call)[0]) for call in tree.calls if called(call) == "table.sort" and arguments(call)}
    answered = set(_answered(tree))
    in_pairs = header is not None and "..." in header.reply
    for call in tree.calls:
        if called(call) not in ("redis.call", "redis.pcall"):
            continue
        command = (literal(arguments(call)[0]) or "").upper() if arguments(call) else ""
        if command in RANDOM:
            yield call, f"{command} is random: its reply differs between servers and from the twin"
        is_open = command in UNORDERED and not (command == "HGETALL" and in_pairs)
        if is_open and call.id in answered - _assigned(tree, sorted_):
            yield call, f"returns {command}, whose order differs between servers: table.sort it first"


def _answered(tree: Tree) -> Iterator[int]:
    """Yield the ids of the expressions that the script returns, also by way of a variable."""
    for node in walk(tree.root, into_functions=False):
        if node.type == "return_statement":
            for each in expressions(node):
                yield from (value.id for value in tree.values(each) if value)


def _assigned(tree: Tree, names: set[str]) -> set[int]:
    """Return the ids of the expressions that variables of these names are given."""
    found: set[int] = set()
    for node in walk(tree.root):
        if node.type == "identifier" and text(node) in names:
            found |= {value.id for value in tree.values(node) if value}
    return found
