"""A family of a user whose callers wait for their turn, written with public names alone."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from backends import covered
from hotel import CHECK_IN, CHECK_OUT, Hotel
from live import SOON, Live, Thread, run, until, until_async, waiters

import coord
from coord.testing.agreement import agree
from coord.testing.clock import VirtualClock
from coord.testing.lint import lint
from coord.testing.sim import Client, Sim, simulate
from coord.testing.trial import trial

pytest_plugins = ("live_fixtures", "waiting_fixtures")

KEY = "coord:hotel:{sea}"


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


def test_time_that_is_over_is_reported_and_bad_input_refused(live: Live) -> None:
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


@pytest.mark.slow
def test_never_two_in_one_bed_under_faults() -> None:
    report = simulate(never_two, seeds=20, scripts=[CHECK_IN, CHECK_OUT])
    assert report.scripts["check_in"] > 200


@pytest.mark.slow
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
