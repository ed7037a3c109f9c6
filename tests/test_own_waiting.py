"""A family of a user whose callers wait for their turn, written with public names alone."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from backends import covered
from live import SOON, Live, Thread, run, until, until_async, waiters

import coord
from coord.extend import Call, Family, Keyspace, M, Plan, Runs, Script, Seconds, in_turn, op, planned
from coord.testing.agreement import agree
from coord.testing.clock import VirtualClock
from coord.testing.lint import lint
from coord.testing.sim import Client, Sim, simulate
from coord.testing.trial import trial

pytest_plugins = ("live_fixtures", "waiting_fixtures")

KEY = "coord:hotel:{sea}"

CHECK_IN = Script(
    "check_in",
    """\
-- check_in: give a guest a bed, if one is free.
--
-- KEYS   hotel   set, expiring: the guests          coord:hotel:{name}
-- ARGV   guest   name    who asks; one that has a bed keeps it
--        beds    count   how many there are
--        ttl_ms  ms      how long the hotel is kept
-- REPLY  1 when the guest has a bed now, else 0
-- ERRORS WRONGTYPE
-- COST   O(1), two writes when given
-- REPEAT safe: a guest has one bed

local hotel = KEYS[1]
local guest, beds, ttl_ms = ARGV[1], ARGV[2], ARGV[3]

local has = redis.pcall("SISMEMBER", hotel, guest)
if type(has) == "table" then
  return has
end
if has == 0 and redis.call("SCARD", hotel) >= tonumber(beds) then
  return 0
end
redis.call("SADD", hotel, guest)
redis.call("PEXPIRE", hotel, ttl_ms)
return 1
""",
)
CHECK_OUT_LUA = """\
-- check_out: free a guest's bed, and wake one who waits.
--
-- KEYS   hotel   set, expiring: the guests          coord:hotel:{name}
-- ARGV   guest   name    who leaves
--        publish  PUBLISH|SPUBLISH   how this server wakes waiters
-- REPLY  1 when the guest had a bed, else 0
-- ERRORS WRONGTYPE
-- COST   O(1), one write and a notification when freed

local hotel = KEYS[1]
local guest, publish = ARGV[1], ARGV[2]

local left = redis.pcall("SREM", hotel, guest)
if left == 1 then
  redis.call(publish, hotel, "free")
end
return left
"""


def _check_out(space: Keyspace, hotel: str, guest: str, publish: str) -> int:
    left = space.srem(hotel, guest)
    if left:
        space.publish(hotel, "free")
    return left


CHECK_OUT = Script("check_out", CHECK_OUT_LUA, _check_out)


class Hotel(Family[M]):
    """A hotel with a few beds."""

    def __init__(self, c: Runs[M], name: str, beds: int = 1) -> None:
        super().__init__(c)
        self.name, self.beds = name, beds
        self._key = self.ops.key("hotel", name)

    @op
    def check_in(self, guest: str) -> Call[bool]:
        """Take a bed; return whether one was free."""
        return self.ops.call(CHECK_IN, (self._key,), (guest, self.beds, 3_600_000), bool)

    @op
    def check_out(self, guest: str) -> Call[bool]:
        """Free the bed of a guest; return whether there was one."""
        return self.ops.call(CHECK_OUT, (self._key,), (guest, self.ops.publish), bool)

    @planned
    def await_bed(self, guest: str, timeout: Seconds | None = None) -> Plan[bool]:
        """Take a bed as soon as one is free; raises ``WaitTimeout``."""
        hotel = Hotel(self.ops.calls, self.name, self.beds)
        leave = lambda: hotel.check_out(guest)  # noqa: E731  # a def is longer
        return in_turn(self.ops, self._key, lambda: hotel.check_in(guest), timeout, what="a bed", undo=leave)


def test_a_waiter_is_woken(live: Live, patient: None) -> None:
    with live.connect() as a, live.connect() as b:
        assert Hotel(a, "sea").await_bed("ann", timeout=SOON) is True
        waiter = Thread(lambda: Hotel(b, "sea").await_bed("bob", timeout=SOON))
        until(lambda: waiters(b, KEY), "the waiter")
        assert Hotel(a, "sea").check_out("ann")
        assert waiter.result() is True
        assert Hotel(a, "sea").check_out("bob")


def test_waiters_take_turns_and_a_cancelled_one_takes_nothing(live: Live, patient: None) -> None:
    async def main() -> None:
        async with live.connect_async() as c:
            hotel = Hotel(c, "sea")
            assert await hotel.check_in("first")
            order: list[str] = []

            async def stay(guest: str) -> None:
                await hotel.await_bed(guest)
                order.append(guest)
                await hotel.check_out(guest)

            staying: list[asyncio.Task[None]] = []
            for number in range(5):
                staying.append(asyncio.create_task(stay(f"guest-{number}")))
                await until_async(lambda: waiters(c, KEY) == len(staying))
            staying[1].cancel()
            await asyncio.gather(staying[1], return_exceptions=True)
            await hotel.check_out("first")
            await asyncio.gather(*staying, return_exceptions=True)
            assert order == ["guest-0", "guest-2", "guest-3", "guest-4"]
            assert waiters(c, KEY) == 0

    run(main())


def test_time_that_is_over_is_told_and_bad_input_refused(live: Live) -> None:
    with live.connect() as c:
        hotel = Hotel(c, "sea")
        assert hotel.check_in("ann")
        with pytest.raises(coord.WaitTimeout, match=r"^a bed was not free within 0 s$"):
            hotel.await_bed("bob", timeout=0)
        with pytest.raises(coord.WaitTimeout, match=r"^a bed was not free within 0\.05 s$"):
            hotel.await_bed("bob", timeout=0.05)
        assert hotel.await_bed("ann", timeout=0) is True
        for wrong in (-1, "1", True, float("nan")):
            with pytest.raises((TypeError, ValueError), match="timeout"):
                hotel.await_bed("bob", timeout=wrong)  # type: ignore[arg-type]  # as it should be
        hotel.check_out("ann")


def test_it_waits_in_virtual_time() -> None:
    """A free bed that no notification told of is seen by the next look, seconds later."""
    clock = VirtualClock()

    async def main() -> None:
        async with coord.connect_async("memory://hotel-in-virtual-time", clock=clock) as c:
            hotel = Hotel(c, "sea")
            assert await hotel.check_in("ann")
            waiting = asyncio.create_task(hotel.await_bed("bob", timeout=60))
            await clock.pass_time(59)
            assert not waiting.done()
            await clock.pass_time(2)
            with pytest.raises(coord.WaitTimeout):
                await waiting
            waiting = asyncio.create_task(hotel.await_bed("bob", timeout=7200))
            # The whole set expires an hour after the last guest came.
            await clock.pass_time(3600)
            assert await waiting

    asyncio.run(main())


async def never_two(sim: Sim) -> None:
    """Under all faults, nobody finds the only bed taken by another who is known to have it."""
    inside: set[str] = set()

    async def work(client: Client) -> None:
        hotel = Hotel(client.c, "sea")
        for number in range(3):
            guest = f"{client.name}-{number}"
            got = await client.attempt(hotel.await_bed, guest, timeout=5)
            if got.is_done:
                sim.check(not inside or sim.deaths or sim.topology.lost_writes, f"{guest} met {inside}")
                inside.add(guest)
                await client.sleep(0.1)
                inside.discard(guest)
            await client.attempt(hotel.check_out, guest)

    await sim.run(work, clients=3)


def test_never_two_in_one_bed_under_faults() -> None:
    report = simulate(never_two, seeds=20, scripts=[CHECK_IN, CHECK_OUT])
    assert report.scripts["check_in"] > 200


def test_scripts_with_and_without_a_twin_are_checked_together() -> None:
    """The twin finds what the Lua of the other wrote; both agree with the servers, notices included."""
    scripts = [CHECK_IN, CHECK_OUT]
    assert [finding for script in scripts for finding in lint(script)] == []
    assert trial(scripts, histories=30) == []
    for tally in agree(*scripts, on=covered().values(), histories=20, words={"beds": (1, 2)}, least=1).values():
        assert not tally.unreached()


def test_help_shows_the_method_as_it_is_called() -> None:
    shown = str(inspect.signature(Hotel.await_bed))
    assert shown == "(self, guest: 'str', timeout: 'Seconds | None' = None) -> 'bool'"
    assert (inspect.getdoc(Hotel.await_bed) or "").startswith("Take a bed as soon as one is free")
    with coord.connect("memory://hotel-help") as c:
        built: Any = Hotel(c.calls, "sea").check_in("ann")
    assert built.keys == (KEY,)
