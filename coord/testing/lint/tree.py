"""A script's syntax tree, with every name resolved to its declaration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import tree_sitter_lua
from tree_sitter import Language, Node, Parser

__all__ = ["Binding", "Fault", "Function", "Tree", "arguments", "called", "expressions", "literal", "text", "walk"]

_parser = Parser(Language(tree_sitter_lua.language()))
Fault = tuple[Node, str]
"""A finding: its position, and what is wrong."""

_FUNCTIONS = ("function_declaration", "function_definition")


@dataclass(eq=False)
class Binding:
    """A local name: a "parameter", a "loop" variable, or a "local" one with every expression it is given.

    A value is None where the variable takes a later result of a call.
    """

    name: str
    kind: str
    values: list[Node | None] = field(default_factory=list["Node | None"])
    loop: Node | None = None


@dataclass(eq=False)
class Function:
    """A local function that is called by its name."""

    params: list[Binding]
    body: Node | None

    def returns(self) -> Iterator[Node]:
        """Yield the expressions that it returns."""
        for node in walk(self.body, into_functions=False) if self.body else ():
            if node.type == "return_statement":
                yield from expressions(node)


class Tree:
    """A parsed script: its calls, its local functions, and the globals that it reads and writes."""

    def __init__(self, source: str) -> None:
        self.root = _parser.parse(source.encode()).root_node
        self.calls: list[Node] = []
        self.reads: list[Node] = []
        self.writes: list[Node] = []
        self._bindings: dict[int, Binding] = {}
        self._functions: dict[Binding, Function] = {}
        self._block(self.root, {})

    def binding(self, node: Node) -> Binding | None:
        """Return what an identifier names; None for a global."""
        return self._bindings.get(node.id)

    def values(self, node: Node) -> list[Node | None]:
        """Return the expressions that a local variable was given; of any other expression, itself."""
        binding = self.binding(node) if node.type == "identifier" else None
        return binding.values if binding and binding.kind == "local" else [node]

    def function(self, call: Node) -> Function | None:
        """Return the local function that a call runs."""
        name = call.child_by_field_name("name")
        binding = self.binding(name) if name else None
        return self._functions.get(binding) if binding else None

    def _block(self, block: Node, outer: dict[str, Binding]) -> dict[str, Binding]:
        scope = dict(outer)
        for statement in block.named_children:
            self._visit(statement, scope)
        return scope

    def _visit(self, node: Node, scope: dict[str, Binding]) -> None:  # noqa: C901  # one case for each kind of statement
        match node.type:
            case "variable_declaration":
                self._local(node.named_children[0], scope)
            case "assignment_statement":
                self._assign(node, scope)
            case "function_declaration" | "function_definition":
                self._function(node, scope)
            case "for_statement":
                self._for(node, scope)
            case "repeat_statement":
                # The condition sees what the body declares.
                *body, condition = node.named_children
                self._visit(condition, self._block(body[0], scope) if body else scope)
            case "block":
                self._block(node, scope)
            case "identifier":
                self._use(node, scope, self.reads)
            case "dot_index_expression" | "method_index_expression":
                self._visit(node.named_children[0], scope)
            case "field" if node.children[0].type == "identifier" and len(node.named_children) == 2:
                self._visit(node.named_children[1], scope)
            case kind:
                if kind == "function_call":
                    self.calls.append(node)
                for child in node.named_children:
                    self._visit(child, scope)

    def _local(self, node: Node, scope: dict[str, Binding]) -> None:
        """``local a, b`` or ``local a, b = x, y``."""
        values = expressions(node)
        for value in values:
            self._visit(value, scope)
        names = node if node.type == "variable_list" else node.named_children[0]
        for place, name in enumerate(names.named_children):
            if name.type == "identifier":
                binding = self._declare(name, "local", scope)
                if values:
                    self._give(binding, values, place)

    def _assign(self, node: Node, scope: dict[str, Binding]) -> None:
        values = expressions(node)
        for value in values:
            self._visit(value, scope)
        for place, target in enumerate(node.named_children[0].named_children):
            if target.type != "identifier":
                self._visit(target, scope)
            elif binding := self._use(target, scope, self.writes):
                self._give(binding, values, place)

    def _give(self, binding: Binding, values: list[Node], place: int) -> None:
        value = values[place] if place < len(values) else None
        binding.values.append(value)
        if value and value.type == "function_definition":
            names = self._params(value)
            self._functions[binding] = Function([self._bindings[name.id] for name in names], _body(value))

    def _function(self, node: Node, scope: dict[str, Binding]) -> None:
        name = node.child_by_field_name("name")
        binding = None
        if name and name.type == "identifier":
            if node.children[0].type == "local":
                binding = self._declare(name, "local", scope)
            else:
                binding = self._use(name, scope, self.writes)
        inner = dict(scope)
        params = [self._declare(each, "parameter", inner) for each in self._params(node)]
        body = _body(node)
        if binding:
            binding.values.append(None)
            self._functions[binding] = Function(params, body)
        if body:
            self._block(body, inner)

    def _params(self, node: Node) -> list[Node]:
        params = node.child_by_field_name("parameters")
        return [each for each in params.named_children if each.type == "identifier"] if params else []

    def _for(self, node: Node, scope: dict[str, Binding]) -> None:
        clause = node.named_children[0]
        inner = dict(scope)
        if clause.type == "for_numeric_clause":
            names, parts = clause.named_children[:1], clause.named_children[1:]
        else:
            names, parts = clause.named_children[0].named_children, clause.named_children[1:]
        for part in parts:
            self._visit(part, scope)
        for name in names:
            self._declare(name, "loop", inner).loop = clause
        if body := _body(node):
            self._block(body, inner)

    def _declare(self, name: Node, kind: str, scope: dict[str, Binding]) -> Binding:
        binding = scope[text(name)] = self._bindings[name.id] = Binding(text(name), kind)
        return binding

    def _use(self, name: Node, scope: dict[str, Binding], otherwise: list[Node]) -> Binding | None:
        binding = scope.get(text(name))
        if binding is None:
            otherwise.append(name)
        else:
            self._bindings[name.id] = binding
        return binding


def _body(node: Node) -> Node | None:
    return node.child_by_field_name("body")


def text(node: Node | None) -> str:
    """Return the text of a node; "" for none."""
    return (node.text or b"").decode() if node else ""


def literal(node: Node) -> str | None:
    """Return the text of a string in quotes; None for any other expression."""
    return text(node.child_by_field_name("content")) if node.type == "string" else None


def called(call: Node) -> str:
    """Return the name by which a function is called, such as ``redis.call``."""
    return text(call.child_by_field_name("name"))


def arguments(call: Node) -> list[Node]:
    """Return the arguments of a call."""
    found = call.child_by_field_name("arguments")
    return [each for each in found.named_children if each.type != "comment"] if found else []


def expressions(node: Node) -> list[Node]:
    """Return the expressions to the right of an assignment, or of a return."""
    for child in node.named_children:
        if child.type == "expression_list":
            return [each for each in child.named_children if each.type != "comment"]
    return []


def walk(node: Node, *, into_functions: bool = True) -> Iterator[Node]:
    """Yield a node and all below it, in the order of the text."""
    yield node
    for child in node.named_children:
        if into_functions or child.type not in _FUNCTIONS:
            yield from walk(child, into_functions=into_functions)
