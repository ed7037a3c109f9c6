"""Values: no digit is lost, no reply is cut short, and each is of the type that the header says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from coord.script import Header
from coord.testing.lint.sources import COMPARISONS, limited, sources
from coord.testing.lint.tree import Binding, Fault, Tree, arguments, called, expressions, literal, text, walk

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["arrays", "numbers", "replies", "unpacked"]

_EXACT = 2**53
_SUMS = ("INCRBY", "DECRBY", "HINCRBY")


# --- numbers -------------------------------------------------------------------------------------


def numbers(tree: Tree, header: Header | None) -> Iterator[Fault]:
    """Yield where a number loses digits: floats, numbers above 2^53, and numbers that are made into text."""
    for node in walk(tree.root):
        if node.type == "number":
            yield from _number(node)
        elif node.type == "binary_expression":
            yield from _operation(node)
    for call in tree.calls:
        if called(call) == "tostring":
            yield call, 'uses tostring, which rounds at 14 digits: use string.format("%.0f", number)'
        elif called(call) in ("redis.call", "redis.pcall"):
            command = literal(arguments(call)[0]) if arguments(call) else None
            if command and command.upper().endswith("BYFLOAT"):
                yield call, f"{command} makes a float, which servers print differently"
    if header:
        yield from _long_arguments(tree, header)


def _operation(node: Node) -> Iterator[Fault]:
    operator = node.children[1].type
    if operator == "/" and not _is_floored(node):
        yield node, "divides: the result is a float, and servers cut off the fraction"
    for side in node.named_children if operator == ".." else ():
        if side.type == "number":
            yield side, "joins a number with ..; write it as text"
        elif side.type == "function_call" and called(side) == "tonumber":
            yield side, 'joins a number with .., which rounds at 14 digits: use string.format("%.0f", number)'


def _number(node: Node) -> Iterator[Fault]:
    said = text(node).lower()
    value = int(said, 0) if said.startswith("0x") or said.isdigit() else float(said)
    if value != int(value) and not _is_floored(node):
        yield node, f"{text(node)} is a float: only integers and text cross the wire"
    elif value > _EXACT:
        yield node, f"{text(node)} is above 2^53, where a Lua number loses digits: keep it as text"


def _is_floored(node: Node) -> bool:
    """Whether math.floor or math.ceil makes a whole number of what is computed here."""
    above = node.parent
    while above and above.type in ("binary_expression", "parenthesized_expression", "unary_expression", "arguments"):
        above = above.parent
    return above is not None and above.type == "function_call" and called(above) in ("math.floor", "math.ceil")


def _long_arguments(tree: Tree, header: Header) -> Iterator[Fault]:
    """Yield sums of an argument that may have 19 digits, unless the script compares it with a limit."""
    long = {argument.word for argument in header.fixed if argument.type in ("int", "count")}
    long -= limited(tree, header)
    for node in walk(tree.root):
        if node.type == "binary_expression" and node.children[1].type in ("+", "-", "*"):
            for word in sorted(long & sources(tree, header, node)):
                yield node, f"computes with {word!r}, which may exceed 2^53: reject what is too large first"
    for node in _answers(tree):
        value = tree.values(node)[-1:] if not _is_refused(node) else []
        args = arguments(value[0]) if value and value[0] and value[0].type == "function_call" else []
        if args and literal(args[0]) in _SUMS and long & sources(tree, header, args[-1]):
            yield node, f"returns the sum of {literal(args[0])}, rounded above 2^53: return what GET reads"


def _is_refused(node: Node) -> bool:
    """Whether this is returned only where a command was answered by an error."""
    above = node.parent
    while above and above.type != "if_statement":
        above = above.parent
    condition = text(above.child_by_field_name("condition")) if above else ""
    return '"table"' in condition or ".err" in condition


# --- arrays --------------------------------------------------------------------------------------


def arrays(tree: Tree, _header: Header | None) -> Iterator[Fault]:
    """Yield values that end a returned array early, or arrive in it as nil."""
    for node in _answers(tree, inside=False):
        for table in tree.values(node):
            if table and table.type == "table_constructor":
                items = [each.named_children[-1] for each in table.named_children if each.type == "field"]
                for place, item in enumerate(items, 1):
                    if why := _ends_an_array(tree, item, is_last=place == len(items)):
                        yield item, why


def _ends_an_array(tree: Tree, item: Node, *, is_last: bool) -> str | None:
    operator = item.children[1].type if item.type == "binary_expression" else ""
    if item.type == "nil" or (operator == "or" and item.named_children[-1].type == "nil" and not is_last):
        return "nil ends an array: later values are lost"
    if item.type in ("true", "false") or operator in COMPARISONS or text(item).startswith("not "):
        return "a boolean arrives as 1 or nil: return 1 or 0"
    binding = tree.binding(item) if item.type == "identifier" else None
    if binding and binding.kind == "local" and not binding.values:
        return f"{binding.name!r} is nil here and ends the array: later values are lost"
    if item.type == "function_call" and called(item) in ("tonumber", "string.match", "string.find"):
        given = arguments(item)
        if called(item) != "tonumber" or (given and given[0].type == "function_call"):
            return f"{called(item)} may return nil, which ends the array: add 'or 0'"
    return None


# --- replies -------------------------------------------------------------------------------------


def replies(tree: Tree, header: Header | None) -> Iterator[Fault]:
    """Yield returned values that cannot be what the header's REPLY says."""
    sizes = header.reply_sizes if header else None
    said = header.reply.partition("\n")[0] if header else ""
    for node in _answers(tree, inside=False):
        if node.type in ("true", "false"):
            yield node, "returns a boolean, which arrives as 1 or nil: return 1 or 0"
        elif header is None:
            continue
        elif node.type == "table_constructor" and not _is_error(node):
            items = [each for each in node.named_children if each.type == "field"]
            last = items[-1].named_children[-1].type if items else ""
            if sizes is None:
                yield node, f"returns an array; REPLY says {said!r}"
            elif None not in sizes and len(items) not in sizes and last not in ("function_call", "vararg_expression"):
                yield node, f"returns {len(items)} values; REPLY says {said!r}"
        elif sizes is not None and node.type in ("number", "string", "nil"):
            yield node, f"returns {text(node)}; REPLY says {said!r}"


def _is_error(table: Node) -> bool:
    names = {text(each.named_children[0]) for each in table.named_children if len(each.named_children) == 2}
    return bool(names & {"err", "ok"})


def _answers(tree: Tree, *, inside: bool = True) -> Iterator[Node]:
    """Yield the expressions that the script returns; ``inside``: and those in arrays that it returns."""
    for node in walk(tree.root, into_functions=False):
        if node.type == "return_statement":
            for each in expressions(node):
                yield each
                if inside and each.type == "table_constructor":
                    yield from (item.named_children[-1] for item in each.named_children if item.type == "field")


# --- unpack --------------------------------------------------------------------------------------


def unpacked(tree: Tree, _header: Header | None) -> Iterator[Fault]:
    """Yield where unpack is handed more than it may bear: it fails near 8,000 values."""
    for call in tree.calls:
        args = arguments(call)
        if called(call) in ("unpack", "table.unpack") and len(args) < 3 and args and not _is_short(tree, args[0]):
            yield (
                call,
                (
                    f"unpacks all of {text(args[0])}, which may be long: unpack fails near 8,000 values; "
                    "unpack a thousand at a time"
                ),
            )


def _is_short(tree: Tree, node: Node, seen: frozenset[Binding] = frozenset()) -> bool:
    """Whether a table has a bounded length: it is written out, and grows in bounded loops only."""
    binding = tree.binding(node) if node.type == "identifier" else None
    if binding is None or binding.kind != "local" or binding in seen:
        return False
    if not all(value and value.type in ("table_constructor", "function_call") for value in binding.values):
        return False
    for value in binding.values:
        if value and value.type == "function_call" and not _answers_a_few(value):
            return False
    return all(_is_bounded(tree, loop, seen | {binding}) for loop in _loops_that_grow(tree, node))


def _answers_a_few(call: Node) -> bool:
    """Whether a command answers as many values as its text names."""
    args = arguments(call)
    if called(call) not in ("redis.call", "redis.pcall") or not args:
        return False
    return literal(args[0]) in ("HMGET", "MGET", "TIME", "SMISMEMBER", "ZMSCORE") and not any(
        text(arg).startswith("unpack") for arg in args
    )


def _loops_that_grow(tree: Tree, table: Node) -> Iterator[Node]:
    """Yield the loops in which something is put into a table."""
    binding = tree.binding(table)
    for node in walk(tree.root):
        target = None
        if node.type == "bracket_index_expression" and node.parent and node.parent.type == "variable_list":
            target = node.named_children[0]
        elif node.type == "function_call" and called(node) == "table.insert" and arguments(node):
            target = arguments(node)[0]
        if target is not None and tree.binding(target) is binding:
            above = node.parent
            while above:
                if above.type in ("for_statement", "while_statement", "repeat_statement"):
                    yield above
                above = above.parent


def _is_bounded(tree: Tree, loop: Node, seen: frozenset[Binding]) -> bool:
    """Whether a loop runs a number of times that does not depend on its input."""
    clause = loop.named_children[0]
    if clause.type != "for_numeric_clause":
        return False
    end = clause.named_children[2]
    if end.type == "number" or (end.type == "function_call" and called(end) == "math.min"):
        return True
    return end.type == "unary_expression" and text(end).startswith("#") and _is_short(tree, end.named_children[0], seen)
