"""The sources of a number: the arguments in an expression, and whether the server's clock is in it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from coord.testing.lint.tree import Tree, arguments, called, literal, text, walk

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tree_sitter import Node

    from coord.script import Header

__all__ = ["COMPARISONS", "limited", "sources"]

COMPARISONS = ("==", "~=", "<", ">", "<=", ">=")


def sources(tree: Tree, header: Header, node: Node) -> set[str]:
    """Return the arguments that a number comes from, by their words, and "TIME" when the server's clock is in it."""
    return _search(tree, header).of(node)


@lru_cache(maxsize=1)
def _search(tree: Tree, header: Header) -> _Search:
    return _Search(tree, header)


class _Search:
    """The sources of the expressions of one script: each is searched once, however many lead to it."""

    def __init__(self, tree: Tree, header: Header) -> None:
        self._tree = tree
        self._header = header
        self._durations = {argument.word for argument in header.argv if argument.is_time}
        self._known: dict[int, set[str]] = {}
        self._open: set[int] = set()
        self._met: set[int] = set()

    def of(self, node: Node) -> set[str]:
        if node.id in self._known:
            return self._known[node.id]
        if node.id in self._open:
            self._met.add(node.id)
            return set()
        outside, self._met = self._met, set()
        self._open.add(node.id)
        found = self._found(node)
        self._open.remove(node.id)
        self._met.discard(node.id)
        # Inside a circle, what has been found is a part: the expression that began the circle finds the rest.
        if not self._met:
            self._known[node.id] = found
        self._met |= outside
        return found

    def _found(self, node: Node) -> set[str]:
        match node.type:
            case "bracket_index_expression" if text(node.named_children[0]) == "ARGV":
                return self._of_argument(text(node.named_children[1]))
            case "identifier":
                return self._of_variable(node)
            case "function_call":
                return self._of_call(node)
            case "table_constructor" | "function_definition" | "string":
                return set()
            case "unary_expression" if node.children[0].type == "#":
                return set()
            case "binary_expression":
                return self._of_operation(node)
            case "bracket_index_expression" | "dot_index_expression":
                return self.of(node.named_children[0])
            case _:
                return self._of_all(node.named_children)

    def _of_all(self, nodes: Iterable[Node]) -> set[str]:
        return {word for each in nodes for word in self.of(each)}

    def _of_argument(self, place: str) -> set[str]:
        """Return the word of ARGV's entry at a place; of one that a loop computes, those that repeat."""
        if place.isdigit():
            return {argument.word for argument in self._header.fixed[int(place) - 1 : int(place)]}
        return {argument.word for argument in self._header.argv if argument.repeats}

    def _of_operation(self, node: Node) -> set[str]:
        operator = node.children[1].type
        left, right = self.of(node.named_children[0]), self.of(node.named_children[-1])
        durations = self._durations
        if operator in COMPARISONS:
            return set()
        if operator == "-" and "TIME" in left and not (right and right <= durations) and not _is_number(node):
            # Between two moments lies a duration.
            return (left | right) - {"TIME"}
        if operator == "/" and right & durations:
            return left - durations
        return left | right

    def _of_variable(self, node: Node) -> set[str]:
        binding = self._tree.binding(node)
        if binding is None:
            return set()
        values = binding.values
        if binding.kind == "parameter":
            values = [
                arguments(call)[function.params.index(binding)]
                for call in self._tree.calls
                if (function := self._tree.function(call))
                and binding in function.params
                and len(arguments(call)) > function.params.index(binding)
            ]
        return self._of_all(value for value in values if value)

    def _of_call(self, node: Node) -> set[str]:
        args = arguments(node)
        if called(node) in ("redis.call", "redis.pcall"):
            return {"TIME"} if args and (literal(args[0]) or "").upper() == "TIME" else set()
        function = self._tree.function(node)
        return self._of_all(function.returns() if function else args)


def _is_number(node: Node) -> bool:
    return node.named_children[-1].type == "number"


_WHOLE = ("whole", "all_whole")
"""Functions of coord's Lua library that are true only of numbers that a Lua number holds exactly."""


def limited(tree: Tree, header: Header) -> set[str]:
    """Return the arguments that the script compares with a number, or checks with ``whole``: those have a limit."""
    found: set[str] = set()
    for call in tree.calls:
        if called(call) in _WHOLE:
            found |= {word for side in arguments(call) for word in sources(tree, header, side)}
    for node in walk(tree.root):
        if node.type == "binary_expression" and node.children[1].type in COMPARISONS:
            sides = node.named_children[0], node.named_children[-1]
            if "number" in (sides[0].type, sides[1].type):
                found |= {word for side in sides for word in sources(tree, header, side)}
    return found
