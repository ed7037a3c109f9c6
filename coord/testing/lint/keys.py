"""Keys: every one comes from KEYS, and is declared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from coord.script import Header
from coord.testing.lint.commands import keys_of
from coord.testing.lint.tree import Binding, Fault, Tree, arguments, called, literal, text, walk

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["keys"]


def keys(tree: Tree, header: Header | None) -> Iterator[Fault]:
    """Yield where a command's key is not one of the declared keys."""
    yield from _undeclared(tree, header)
    keyed: set[Binding] = set()
    """Parameters of local functions that are used as keys: their arguments are checked at each call."""
    todo = list(_key_arguments(tree))
    while todo:
        node = todo.pop(0)
        binding = tree.binding(node) if node.type == "identifier" else None
        if binding and binding.kind == "parameter":
            if binding not in keyed:
                keyed.add(binding)
                todo += _given(tree, binding)
        elif why := _not_a_key(tree, node, set()):
            yield node, why


def _undeclared(tree: Tree, header: Header | None) -> Iterator[Fault]:
    declared = len(header.keys) if header else 0
    for node in walk(tree.root):
        if node.type == "bracket_index_expression" and text(node.named_children[0]) == "KEYS":
            place = text(node.named_children[1])
            if header and place.isdigit() and not 0 < int(place) <= declared:
                yield node, f"uses KEYS[{place}], and the header declares {declared}"


def _key_arguments(tree: Tree) -> Iterator[Node]:
    for call in tree.calls:
        args = arguments(call)
        if called(call) in ("redis.call", "redis.pcall") and args:
            places = keys_of((literal(args[0]) or "").upper(), len(args) - 1)
            yield from (args[1 + place] for place in places)


def _given(tree: Tree, param: Binding) -> Iterator[Node]:
    """Yield the arguments for a parameter, from every call of its function."""
    for call in tree.calls:
        function = tree.function(call)
        if function and param in function.params:
            yield from arguments(call)[function.params.index(param) :][:1]


def _not_a_key(tree: Tree, node: Node, seen: set[int]) -> str | None:
    """Say why an expression is not one of KEYS; None when it is."""
    said = " ".join(text(node).split())
    match node.type:
        case "parenthesized_expression":
            return _not_a_key(tree, node.named_children[0], seen)
        case "bracket_index_expression" if text(node.named_children[0]) == "KEYS":
            return None
        case "binary_expression" if node.children[1].type in ("and", "or"):
            sides = node.named_children[-1:] if node.children[1].type == "and" else node.named_children
            return next((why for side in sides if (why := _not_a_key(tree, side, seen))), None)
        case "identifier":
            return _not_a_key_variable(tree, node, seen)
        case "string" | "binary_expression":
            return f"builds a key: {said}; every key must come from KEYS"
        case "function_call" if called(node).startswith(("string.", "table.concat")):
            return f"builds a key: {said}; every key must come from KEYS"
        case _:
            return f"uses {said} as a key; every key must come from KEYS"


def _not_a_key_variable(tree: Tree, node: Node, seen: set[int]) -> str | None:
    binding = tree.binding(node)
    if binding and binding.kind == "loop" and binding.loop and "KEYS" in text(binding.loop):
        return None
    if binding and binding.kind == "local" and binding.values and id(binding) not in seen:
        seen.add(id(binding))
        if None in binding.values:
            return f"uses {binding.name!r} as a key; every key must come from KEYS"
        return next((why for each in binding.values if each and (why := _not_a_key(tree, each, seen))), None)
    return None if binding and id(binding) in seen else f"uses {text(node)!r} as a key; every key must come from KEYS"
