"""Every path through a script, local functions included, as a walk over its statements.

On each path it is known whether something was written, which keys were touched, which were created without a TTL, and
whether the time was asked for. A loop's body is walked twice, because its second run comes after its first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from coord.script import Header
from coord.testing.lint.commands import CREATING, EXPIRING, FALLIBLE, REMOVING, WRITING, any_type, keys_of
from coord.testing.lint.sources import limited, sources
from coord.testing.lint.tree import Fault, Tree, arguments, called, expressions, literal, text

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["paths"]

_DEEPEST = 8
"""Local functions that call each other are followed so far."""

_TTL_WORDS = {"PX", "EX", "PXAT", "EXAT", "KEEPTTL"}


@dataclass(frozen=True)
class _State:
    """The facts that hold at one point of one path."""

    written: str = ""
    touched: frozenset[str] = frozenset()
    """Keys whose type is known, since a command that depends on it has run."""
    read: frozenset[str] = frozenset()
    lasting: frozenset[tuple[str, int, bool]] = frozenset()
    """Keys that were written and have no TTL yet: the id of the command's node, and whether the script had looked."""
    asked_time: bool = False


States = frozenset[_State]
"""The facts at one point, for each path that leads to it; empty when none does."""

_MOST_STATES = 64


@dataclass
class _Frame:
    """A function call that is being walked: the values of its parameters, and the states at its ends."""

    depth: int = 0
    keys: dict[str, str] = field(default_factory=dict[str, str])
    words: dict[str, str] = field(default_factory=dict[str, str])
    ends: States = frozenset()


def paths(tree: Tree, header: Header | None) -> Iterator[Fault]:
    """Yield what is wrong with the order of a script's commands."""
    walk = _Walk(tree, header)
    walk.script()
    yield from walk.faults.values()


def _key_word(tree: Tree, node: Node, header: Header | None) -> str | None:
    """Return the word of an expression's key, such as ``claim`` for ``KEYS[1]``; None if it is not a key."""
    if node.type == "bracket_index_expression" and text(node.named_children[0]) == "KEYS":
        place = text(node.named_children[1])
        if place.isdigit() and header and 0 < int(place) <= len(header.keys):
            return header.keys[int(place) - 1].word
        return f"KEYS[{place}]"
    binding = tree.binding(node) if node.type == "identifier" else None
    if binding and binding.kind == "loop" and binding.loop and "KEYS" in text(binding.loop):
        return "KEYS"
    if binding and binding.kind == "local" and len(binding.values) == 1 and (value := binding.values[0]):
        return _key_word(tree, value, header)
    return None


class _Walk:
    def __init__(self, tree: Tree, header: Header | None) -> None:
        self.tree = tree
        self.header = header
        self.faults: dict[tuple[int, str], Fault] = {}
        self._expiring = {key.word for key in header.keys if key.expiring} if header else set[str]()
        self._frame = _Frame()
        self._breaks: list[States] = []
        self._commands: dict[int, Node] = {}
        self._ends: States = frozenset()
        self._decided: set[str] = set()
        """Keys that get a TTL somewhere in the script."""
        self._limited = limited(tree, header) if header else set[str]()

    def script(self) -> None:
        """Walk the whole script."""
        self._leave(self._block(self.tree.root, frozenset({_State()})))
        self._check_ttls()

    def _say(self, node: Node, what: str) -> None:
        self.faults.setdefault((node.id, what), (node, what))

    # --- statements ------------------------------------------------------------------------------

    def _block(self, block: Node | None, states: States) -> States:
        for statement in block.named_children if block else ():
            states = self._statement(statement, states)
        return states if len(states) <= _MOST_STATES else frozenset(sorted(states, key=repr)[:_MOST_STATES])

    def _statement(self, node: Node, states: States) -> States:
        match node.type:
            case "function_declaration":
                return states
            case "return_statement":
                for each in expressions(node):
                    states = self._evaluate(each, states)
                self._leave(states)
                return frozenset()
            case "break_statement":
                self._breaks[-1] |= states
                return frozenset()
            case "if_statement":
                return self._if(node, states)
            case "for_statement" | "while_statement" | "repeat_statement":
                return self._loop(node, states)
            case "do_statement" | "block":
                return self._block(node, states)
            case _:
                return self._evaluate(node, states)

    def _if(self, node: Node, states: States) -> States:
        states = self._evaluate(node.child_by_field_name("condition"), states)
        after = self._block(node.child_by_field_name("consequence"), states)
        for branch in node.children_by_field_name("alternative"):
            if branch.type == "else_statement":
                return after | self._block(branch.child_by_field_name("body"), states)
            states = self._evaluate(branch.child_by_field_name("condition"), states)
            after |= self._block(branch.child_by_field_name("consequence"), states)
        return after | states

    def _loop(self, node: Node, states: States) -> States:
        self._breaks.append(frozenset())
        body, condition = node.child_by_field_name("body"), node.child_by_field_name("condition")
        if node.type == "for_statement":
            states = self._evaluate(node.named_children[0], states)
        for _ in range(2):
            if node.type == "repeat_statement":
                states = self._evaluate(condition, self._block(body, states))
            else:
                states |= self._block(body, self._evaluate(condition, states))
        return states | self._breaks.pop()

    def _leave(self, states: States) -> None:
        """Paths end here: those of the script, or of the function that is being walked."""
        if self._frame.depth:
            self._frame.ends |= states
            return
        self._ends |= states

    def _check_ttls(self) -> None:
        """Say which keys may be left without a TTL; where the script looked at the key first, it may have one."""
        lasting = {each for state in self._ends for each in state.lasting}
        lasting = {each for each in lasting if not each[2] or each[0] not in self._decided}
        for key in {key for key, _, _ in lasting}:
            first = min((self._commands[id] for each, id, _ in lasting if each == key), key=_place)
            self._say(
                first,
                f"leaves {key!r}, declared expiring, without a TTL on one path: PEXPIRE it after this write",
            )

    # --- expressions -----------------------------------------------------------------------------

    def _evaluate(self, node: Node | None, states: States) -> States:
        if node is None or node.type == "function_definition":
            return states
        if node.type == "binary_expression" and node.children[1].type in ("and", "or"):
            states = self._evaluate(node.named_children[0], states)
            return states | self._evaluate(node.named_children[-1], states)
        for child in node.named_children:
            states = self._evaluate(child, states)
        return self._call(node, states) if node.type == "function_call" else states

    def _call(self, node: Node, states: States) -> States:
        name = called(node)
        if name in ("redis.call", "redis.pcall"):
            return frozenset(self._command(node, state) for state in states)
        for state in states:
            if state.written and name in ("redis.error_reply", "error", "assert"):
                self._say(
                    node, f"returns an error after {state.written}, and that write stays: validate first, write last"
                )
        return self._inside(node, states)

    def _inside(self, node: Node, states: States) -> States:
        """Walk a local function that is called here."""
        function, outer = self.tree.function(node), self._frame
        if function is None or outer.depth >= _DEEPEST:
            return states
        inner = _Frame(outer.depth + 1)
        for param, given in zip(function.params, arguments(node), strict=False):
            if key := self._key(given):
                inner.keys[param.name] = key
            if word := self._word(given):
                inner.words[param.name] = word
        self._frame = inner
        self._leave(self._block(function.body, states))
        self._frame = outer
        return inner.ends

    def _key(self, node: Node) -> str | None:
        if node.type == "identifier" and text(node) in self._frame.keys:
            return self._frame.keys[text(node)]
        return _key_word(self.tree, node, self.header)

    def _word(self, node: Node) -> str | None:
        return literal(node) or (self._frame.words.get(text(node)) if node.type == "identifier" else None)

    # --- commands --------------------------------------------------------------------------------

    def _command(self, node: Node, state: _State) -> _State:
        args = arguments(node)
        command = (self._word(args[0]) or "").upper() if args else ""
        words = [self._word(each) for each in args[1:]]
        keys = [key for place in keys_of(command, len(words)) if (key := self._key(args[1 + place]))]
        if command == "TIME":
            if state.asked_time:
                self._say(node, "calls TIME again, which advances inside a script on 6.2 and 7.0: call it once")
            return replace(state, asked_time=True)
        if state.written:
            self._check_late(node, command, words, keys, state)
        if command in WRITING:
            state = replace(state, written=state.written or f"{command} in line {node.start_point.row + 1}")
            state = self._lifetimes(node, command, words, keys, state)
        else:
            state = replace(state, read=state.read | set(keys))
        if any_type(command, words) and command not in CREATING | REMOVING:
            return state
        return replace(state, touched=state.touched | set(keys))

    def _check_late(self, node: Node, command: str, words: list[str | None], keys: list[str], state: _State) -> None:
        """Report commands that may fail after a write."""
        fresh = [key for key in keys if key not in state.touched]
        if fresh and not any_type(command, words):
            self._say(
                node,
                f"uses {fresh[0]!r} for the first time after {state.written}: if it holds another type, "
                "that write stays; read it first",
            )
        elif command in FALLIBLE and command not in ("INCR", "DECR") and not self._is_small(arguments(node)[-1]):
            self._say(node, f"may overflow after {state.written}, and that write stays: make this the first write")

    def _lifetimes(self, node: Node, command: str, words: list[str | None], keys: list[str], state: _State) -> _State:
        self._commands[node.id] = node
        decided = command in EXPIRING or command in REMOVING or bool(_TTL_WORDS & {word for word in words if word})
        if command in ("RENAME", "RENAMENX", "COPY"):
            keys = keys[1:]
        lasting = state.lasting
        if decided:
            self._decided |= set(keys)
            lasting = frozenset(each for each in lasting if each[0] not in keys)
        elif command in CREATING:
            looked = command not in ("SET", "GETSET", "MSET")
            lasting |= {(key, node.id, looked and key in state.read) for key in keys[:1] if key in self._expiring}
        return replace(state, lasting=lasting)

    def _is_small(self, node: Node) -> bool:
        """Whether a number is written out, or comes from arguments that the script has limited."""
        if node.type == "number":
            return len(text(node)) <= 6
        found = sources(self.tree, self.header, node) if self.header else set[str]()
        return bool(found) and found <= self._limited


def _place(node: Node) -> int:
    return node.start_byte
