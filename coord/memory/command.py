"""The table of commands: which method runs a command that is given in words, and which of its words are keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

__all__ = ["ALL", "COMMANDS", "EVEN", "FIRST", "NONE", "OK", "RANDOM", "TWO", "Command", "Status", "command"]

F = TypeVar("F", bound=Callable[..., Any])

Keys = slice
"""Which of the words behind a command's name are keys."""

NONE, FIRST, TWO, ALL, EVEN = slice(0), slice(1), slice(2), slice(None), slice(None, None, 2)


class Status(str):
    """A status reply, such as OK; Lua tells it from a text."""

    __slots__ = ()


OK = Status("OK")


class Command(NamedTuple):
    """A command: its method, how many words it has (its name included; negative: at least), and its keys."""

    name: str
    run: Callable[..., Any]
    arity: int
    keys: Keys
    status: bool

    def takes(self, words: Sequence[object]) -> bool:
        """Return whether so many words may follow the name."""
        size = len(words) + 1
        return size == self.arity if self.arity > 0 else size >= -self.arity


COMMANDS: dict[str, Command] = {}
"""Every command of the Keyspace, by its name in capitals."""

RANDOM = frozenset({"HRANDFIELD", "RANDOMKEY", "SPOP", "SRANDMEMBER", "ZRANDMEMBER"})
"""Commands with a random result, on which two backends could never agree."""


def command(arity: int, keys: Keys = FIRST, *, name: str = "", status: bool = False) -> Callable[[F], F]:
    """Enter a method in the table, under its own name if none is given, and return it unchanged.

    ``status``: what the method returns is a status reply; None is OK.
    """

    def enter(method: F) -> F:
        known_as = name or method.__name__.strip("_").upper()
        COMMANDS[known_as] = Command(known_as, method, arity, keys, status)
        return method

    return enter
