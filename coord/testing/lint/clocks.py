"""Clocks: scripts use the server's only, because the clocks of callers differ."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from coord.script import Header
from coord.testing.lint.sources import sources
from coord.testing.lint.tree import Fault, Tree, arguments, called, literal, walk

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["clock_arguments", "clocks"]

_NAME = re.compile(r"(^|_)(now|timestamp|ts|clock|date|epoch|unixtime|today|at)(_|$)")
_MEANING = re.compile(
    r"\b(clock|timestamp|epoch|unix time|since 1970|current time|time of day)\b|what time", re.IGNORECASE
)
_MOMENTS = ("EXPIREAT", "PEXPIREAT")
_MOMENT_WORDS = ("PXAT", "EXAT")


def clock_arguments(header: Header) -> Iterator[tuple[int, str, str]]:
    """Yield line, word and fault of each argument whose name or meaning in the header is a time of its caller."""
    for argument in header.argv:
        if _NAME.search(argument.word) or (not argument.is_time and _MEANING.search(argument.meaning)):
            what = f"takes {argument.word!r} from its caller: use the server's clock (TIME) or a TTL"
            yield argument.line, argument.word, what


def clocks(tree: Tree, header: Header | None) -> Iterator[Fault]:
    """Yield where an argument of any name is used as a point in time."""
    if header is None:
        return
    for node in walk(tree.root):
        if node.type == "binary_expression" and (word := _as_moment(tree, header, node)):
            yield node, f"uses {word!r}, sent by the caller, as a point in time: use the server's clock (TIME)"
    for call in tree.calls:
        if called(call) in ("redis.call", "redis.pcall"):
            for moment in _moments(arguments(call)):
                found = sources(tree, header, moment)
                if "TIME" not in found and (words := sorted(found)):
                    yield (
                        moment,
                        f"expires a key at {words[0]!r}, a time by the caller's clock: use PEXPIRE",
                    )


def _as_moment(tree: Tree, header: Header, node: Node) -> str | None:
    """Return the argument that is set against the server's clock here, or moved by a duration."""
    operator = node.children[1].type
    if operator not in ("+", "-", "<", ">", "<=", ">="):
        return None
    durations = {argument.word for argument in header.argv if argument.is_time}
    left, right = (sources(tree, header, side) for side in (node.named_children[0], node.named_children[-1]))
    for mine, other in ((left, right), (right, left)):
        words = sorted(mine - {"TIME"} - durations)
        is_set_against = "TIME" in other or (operator in ("+", "-") and bool(other) and other <= durations)
        if words and is_set_against and "TIME" not in mine and not mine & durations:
            return words[0]
    return None


def _moments(args: list[Node]) -> Iterator[Node]:
    """Yield the arguments of a command that are points in time."""
    words = [(literal(arg) or "").upper() for arg in args]
    if words[:1] and words[0] in _MOMENTS and len(args) > 2:
        yield args[2]
    for word, arg in zip(words, args[1:], strict=False):
        if word in _MOMENT_WORDS:
            yield arg
