"""A user's package written with the kit, as type checkers see it: never run."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, assert_type

import coord
from coord.extend import (
    Build,
    Call,
    CoordError,
    Family,
    Keyspace,
    M,
    Plan,
    ReplyError,
    Runs,
    Scripts,
    Seconds,
    in_turn,
    op,
    planned,
    reads,
)
from coord.testing.agreement import agree


class Empty(CoordError):
    """Nothing is left."""


@dataclass(frozen=True)
class Taken:
    """What a taker was answered."""

    taken: bool
    left: int


def _twin(space: Keyspace, tokens: str, n: int, publish: str) -> list[int | str]:
    left = int(space.get(tokens) or 0) - n
    if left < 0:
        raise ReplyError("SHOP_EMPTY nothing is left")
    space.set(tokens, str(left), px=1000)
    space.publish(tokens, publish)
    return [1, str(left)]


TAKE = Scripts("shop").load("take", _twin, errors={"SHOP_EMPTY": Empty})


@reads
def _read(reply: list[Any]) -> Taken:
    return Taken(reply[0] == 1, int(reply[1]))


class Tokens(Family[M], kind="tokens", reader="look"):
    """The tokens of one name."""

    def __init__(self, c: Runs[M], name: str) -> None:
        super().__init__(c)
        self.name = name
        self._key = self.ops.key("tokens", name)

    def _call(self, n: int) -> Call[Taken]:
        return self.ops.call(TAKE, (self._key,), (n, self.ops.publish), _read)

    @op
    def take(self, n: int = 1) -> Call[Taken]:
        """Take tokens."""
        return self._call(n)

    @op
    def look(self) -> Call[Taken]:
        """Return what is left."""
        return self._call(0)

    @planned
    def take_in_turn(self, n: int = 1, timeout: Seconds | None = None) -> Plan[Taken]:
        """Take tokens as soon as there are enough."""
        tokens = Tokens(self.ops.calls, self.name)
        return in_turn(self.ops, self._key, lambda: tokens.take(n), timeout, done=lambda found: found.taken)


def blocking(c: coord.Coordinator) -> None:
    """A blocking coordinator returns results."""
    tokens = Tokens(c, "api")
    assert_type(tokens.take(2), Taken)
    assert_type(tokens.take_in_turn(2, timeout=1.5), Taken)
    tokens.take("2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tokens.give()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


async def awaited(ac: coord.AsyncCoordinator) -> None:
    """An async coordinator returns awaitables."""
    tokens = Tokens(ac, "api")
    asked = tokens.take(2)
    _: Coroutine[Any, Any, Taken] = asked
    assert_type(await asked, Taken)
    assert_type(await tokens.take_in_turn(), Taken)


def values(c: coord.Coordinator) -> None:
    """Calls are values."""
    tokens = Tokens(c.calls, "api")
    assert_type(tokens, Tokens[Build])
    assert_type(tokens.take(2), Call[Taken])
    assert_type(c.run(tokens.take()), Taken)


def test_they_agree() -> None:
    """Three lines of a test."""
    for tally in agree(TAKE).values():
        assert not tally.unreached()
