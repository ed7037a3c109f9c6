"""Operation ids that a connection gives take up as much room as it has calls in flight, and no more.

Each connection has slots; a call on a slot replaces the answered one before it. See ``coord/redis/slots.py``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest
from backends import Backend
from hypothesis import given
from hypothesis import strategies as st
from machines import QUICK, client_of

import coord
from coord.ids import with_id
from coord.kv import INCR
from coord.redis.slots import Slots
from coord.testing.proxy import LossyProxy
from coord.testing.servers import Server

KEYS, ARGV = ("coord:kv:{x}", "coord:kv:{x}:op:"), (1, 60_000, 0, 1, 30_000, 0)


@given(st.lists(st.booleans(), max_size=300))
def test_no_two_calls_in_flight_share_a_slot(sends: list[bool]) -> None:
    """Whatever is sent, and answered in order: slots are few, and each is free when it is taken."""
    slots, in_flight, most, seen = Slots(), deque[str](), 0, set[str]()
    for sent in sends:
        if sent:
            (_, slot), _ = slots.assign(INCR, KEYS, ARGV, len(in_flight))
            assert slot not in in_flight
            in_flight.append(slot)
            seen.add(slot)
            most = max(most, len(in_flight))
        elif in_flight:
            in_flight.popleft()
    assert len(seen) <= max(1, 4 * most)


def test_two_connections_have_no_slot_in_common() -> None:
    assert Slots().assign(INCR, KEYS, ARGV)[0] != Slots().assign(INCR, KEYS, ARGV)[0]


@pytest.mark.parametrize(
    ("keys", "argv"),
    [
        pytest.param((KEYS[0], f"{KEYS[1]}mine"), ARGV, id="it has an id"),
        pytest.param(KEYS, (1, 60_000, 0, 1, 0, 0), id="it wants none"),
    ],
)
def test_a_call_that_wants_no_id_is_given_none(keys: tuple[str, ...], argv: tuple[int, ...]) -> None:
    assert Slots().assign(INCR, keys, argv) == (keys, argv)
    assert with_id(INCR, keys, argv) == keys


def test_a_thousand_counts_leave_two_answers_behind(any_server: Server) -> None:
    """One caller, one call in flight, one slot; the first call had to bring the script, under an id of its own."""
    with coord.connect(any_server.url) as c, client_of(any_server) as look:
        for number in range(1, 1_001):
            assert c.kv.incr("x") == number
        assert look.dbsize() <= 1 + 2


def test_the_answers_kept_are_as_many_as_calls_in_flight(any_server: Server) -> None:
    """Of 5,000 counts by fifty tasks at most two hundred answers are kept."""

    async def count(c: coord.AsyncCoordinator) -> None:
        for _ in range(100):
            await c.kv.incr("x")

    async def all_of_them() -> int | None:
        async with coord.connect_async(any_server.url) as c:
            await asyncio.gather(*(count(c) for _ in range(50)))
            return await c.kv.get_int("x")

    assert asyncio.run(all_of_them()) == 5_000
    with client_of(any_server) as look:
        assert look.dbsize() <= 1 + 4 * 50


def test_a_lost_answer_keeps_its_slot(mode: Backend, line: LossyProxy, look: Any) -> None:
    """The call is repeated under the id that it had, on a connection whose own slots are others."""
    c = mode.dial(line.url, **QUICK)
    for number in range(1, 20):
        line.arm("reset_reply")
        assert c.kv.incr("x") == number
    assert look.get("coord:kv:{x}") == "19"
