"""What the tests of agreement share: pools for words that headers leave open, and fakeredis as a side."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from redis.exceptions import ResponseError

from coord.errors import ReplyError
from coord.script import Script, all_scripts
from coord.testing.agreement import ServerSide
from coord.testing.clock import Clock, VirtualClock, VirtualServer
from coord.testing.servers import Engine

HISTORIES = int(os.environ.get("COORD_HISTORIES", "1000"))
"""How many histories each backend is given."""
SEED: str | int | None = os.environ.get("COORD_SEED", "fixed")
"""The same histories for the same seed; "random" draws a new one, which a failure prints."""
if SEED == "random":
    SEED = None
ONLY = os.environ.get("COORD_ONLY", "").split()
"""The names of the scripts whose histories are run; none: of all."""

WORDS: dict[str, tuple[str | int, ...]] = {
    # Stages and roots travel encoded, without control characters.
    "stage": ("x", "ö%3A"),
    "root": ("1", "1", "|"),
    # A semaphore with few places is full now and then.
    "limit": (1, 2, 3, 3, 3, 3, 10**9 + 1),
    "weight": (1, 1, 1, 1, 1, 2, 0),
    # Calls of a limiter meet at the same rates, and their costs mostly fit.
    "rate": (*("3/1000",) * 6, "7/1000000", "x"),
    "parts": (3, 3, 7, 2**50),
    "cost_us": (*(1, 333, 1_000_000, 5_000_000) * 4, 2**50, 2**50 + 1),
    "cost_part": (0, 1, 2),
    "burst_us": (334, 1_000_000, 2_000_000, 5_000_000),
    "burst_part": (0, 1, 2),
    "wait_ms": (1, 1_000, 30_000, 10**9),
    "amount": (1, 2, 3, 3, 5, 10, 0),
    "per": (*(1_000, 60_000) * 6, 0),
    "most": (*(10, 30) * 4, 3, 10**15, 10**15 + 1),
    "actual": (-1, 0, 3, 20, 10**15, 10**15 + 1),
    "fingerprint": ("", "", "=x"),
    "lease_ms": (1_000, 30_000, 3_600_000),
}

UNREACHABLE = ("permitted:", "request_done: ERR", "quota_")
"""Outcomes that depend on the rights of a user, which histories do not change; and of a count that only a foreign
writer brings to its limit, and of the ids of reservations, which short runs reach by luck."""

RARE = ("request_done)", "barrier_arrive)", "limiter_", "quota_", "permitted)", "group_leave)")
"""Scripts of whose twins some lines take a longer history; tests of their family run them."""


def script(name: str) -> Script:
    """Return the shipped script of this name."""
    return next(each for each in all_scripts() if each.name == name)


def kinds() -> dict[str, list[str]]:
    """Return the names of all scripts, by the kind of entity that they work on: ``claim``, ``barrier``, ..."""
    found: dict[str, list[str]] = {}
    for each in all_scripts():
        assert each.header is not None
        found.setdefault(each.header.keys[0].shape.split(":")[1], []).append(each.name)
    return found


def excused(line: str) -> bool:
    """Return whether histories may miss this outcome, or this line of a twin."""
    return line.startswith(UNREACHABLE) or line.partition(" (")[2].startswith(RARE)


@contextmanager
def living_together(engines: Iterable[Engine]) -> Iterator[tuple[list[ServerSide], Clock]]:
    """Start servers that live in one clock, so that each history is drawn once for all of them."""
    with ExitStack() as stack:
        clock = stack.enter_context(closing(VirtualClock()))
        servers = [stack.enter_context(VirtualServer(engine, clock)) for engine in engines]
        yield [stack.enter_context(closing(ServerSide(server))) for server in servers], clock


class _Fake:
    """A connection of fakeredis. It cannot observe notices: a subscriber needs a connection of its own there."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def send(self, *commands: Sequence[Any]) -> None:
        self._connection.send_packed_command(self._connection.pack_commands(commands), check_health=False)

    def read(self) -> Any:
        try:
            return self._connection.read_response()
        except ResponseError as error:
            raise ReplyError(str(error)) from None

    def notices(self) -> None:
        return None

    def close(self) -> None:
        self._connection.disconnect()


@contextmanager
def faking() -> Iterator[tuple[ServerSide, Clock]]:
    """fakeredis, with a clock put in the place of its own."""
    import fakeredis._helpers
    import fakeredis._socket._base
    import fakeredis.commands_mixins.server_mixin

    clock = Clock()
    hand = SimpleNamespace(**{**vars(time), "time": lambda: clock.now_us / 1e6})
    client = fakeredis.FakeRedis(decode_responses=True, protocol=2)
    with pytest.MonkeyPatch.context() as patch:
        for module in (
            fakeredis._helpers,
            fakeredis._socket._base,
            fakeredis.commands_mixins.server_mixin,
        ):
            patch.setattr(module, "time", hand)
        side = ServerSide(name="fakeredis", connection=_Fake(client.connection_pool.get_connection()))
        # It keeps deadlines as floats, in seconds: equal moments need not be equal there.
        side.unit_us = 1_000
        side.exact_below_ms = 2**52
        yield side, clock
        side.close()
        client.close()
