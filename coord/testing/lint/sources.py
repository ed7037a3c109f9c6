"""Where a number comes from: which arguments, and whether the server's clock, are in an expression."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coord.testing.lint.tree import Tree, arguments, called, literal, text, walk

if TYPE_CHECKING:
    from tree_sitter import Node

    from coord.script import Header

__all__ = ["COMPARISONS", "limited", "sources"]

COMPARISONS = ("==", "~=", "<", ">", "<=", ">=")


def sources(tree: Tree, header: Header, node: Node, seen: frozenset[int] = frozenset()) -> set[str]:
    """Return the arguments that a number comes from, by their words, and "TIME" when the server's clock is in it."""
    if node.id in seen:
        return set()
    seen |= {node.id}
    match node.type:
        case "bracket_index_expression" if text(node.named_children[0]) == "ARGV":
            return _of_argument(header, text(node.named_children[1]))
        case "identifier":
            return _of_variable(tree, header, node, seen)
        case "function_call":
            return _of_call(tree, header, node, seen)
        case "table_constructor" | "function_definition" | "string":
            return set()
        case "unary_expression" if node.children[0].type == "#":
            return set()
        case "binary_expression":
            return _of_operation(tree, header, node, seen)
        case "bracket_index_expression" | "dot_index_expression":
            return sources(tree, header, node.named_children[0], seen)
        case _:
            return {word for child in node.named_children for word in sources(tree, header, child, seen)}


def _of_argument(header: Header, place: str) -> set[str]:
    """Return the word of ARGV's entry at a place; of one that a loop computes, those that repeat."""
    if place.isdigit():
        return {argument.word for argument in header.fixed[int(place) - 1 : int(place)]}
    return {argument.word for argument in header.argv if argument.repeats}


def _of_operation(tree: Tree, header: Header, node: Node, seen: frozenset[int]) -> set[str]:
    operator = node.children[1].type
    left, right = (sources(tree, header, side, seen) for side in (node.named_children[0], node.named_children[-1]))
    durations = {argument.word for argument in header.argv if argument.is_time}
    if operator in COMPARISONS:
        return set()
    if operator == "-" and "TIME" in left and not (right and right <= durations) and not _is_number(node):
        # Between two moments lies a duration.
        return (left | right) - {"TIME"}
    if operator == "/" and right & durations:
        return left - durations
    return left | right


def _is_number(node: Node) -> bool:
    return node.named_children[-1].type == "number"


def _of_variable(tree: Tree, header: Header, node: Node, seen: frozenset[int]) -> set[str]:
    binding = tree.binding(node)
    if binding is None:
        return set()
    values = binding.values
    if binding.kind == "parameter":
        values = [
            arguments(call)[function.params.index(binding)]
            for call in tree.calls
            if (function := tree.function(call))
            and binding in function.params
            and len(arguments(call)) > function.params.index(binding)
        ]
    return {word for value in values if value for word in sources(tree, header, value, seen)}


def _of_call(tree: Tree, header: Header, node: Node, seen: frozenset[int]) -> set[str]:
    args = arguments(node)
    if called(node) in ("redis.call", "redis.pcall"):
        return {"TIME"} if args and (literal(args[0]) or "").upper() == "TIME" else set()
    if function := tree.function(node):
        return {word for each in function.returns() for word in sources(tree, header, each, seen)}
    return {word for each in args for word in sources(tree, header, each, seen)}


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
