"""A coordinator in virtual time: its keys, leases and waits live by the clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from live import Thread, run, until

import coord
from coord.testing.clock import VirtualClock

HOUR = 3600.0


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    return f"memory://{request.node.name}"


def test_a_lease_ends_when_the_clock_is_moved(clock: VirtualClock, url: str) -> None:
    """Key and holder agree on the time."""
    with coord.connect(url, clock=clock) as c:
        lease = c.claim("job", ttl=HOUR)
        assert lease is not None
        assert not lease.lost.is_set()
        assert 0.98 * HOUR < lease.expires_in < HOUR
        clock.advance(seconds=HOUR + 1)
        assert lease.lost.is_set()
        assert c.holder("job") is None
        assert not lease.renew()


def test_a_task_that_blocks_its_loop_sees_the_loss(clock: VirtualClock, url: str) -> None:
    """The event reads the clock: the watch of the loss has had no turn."""

    async def blocked() -> None:
        async with coord.connect_async(url, clock=clock) as c:
            lease = await c.claim("job", ttl=HOUR)
            assert lease is not None
            lost = lease.lost
            assert not lost.is_set()
            clock.advance(seconds=HOUR + 1)
            assert lost.is_set()

    run(blocked())


def test_time_stands_still_until_it_is_moved(clock: VirtualClock, url: str) -> None:
    """However long the test takes, nothing ends by itself."""
    with coord.connect(url, clock=clock) as c, c.hold("job", ttl=0.05) as lease:
        left = lease.expires_in
        threads_and_all = Thread(lambda: sum(range(10**6)))
        threads_and_all.result()
        assert lease.expires_in == left
        assert not lease.lost.is_set()


def test_a_waiter_for_a_loss_is_woken_by_the_clock(clock: VirtualClock, url: str) -> None:
    """The watch of the background sleeps by the same clock."""
    with coord.connect(url, clock=clock) as c:
        lease = c.claim("job", ttl=HOUR)
        assert lease is not None
        waiter = Thread(lease.lost.wait)
        clock.wait_for_sleepers(1)
        clock.advance(seconds=HOUR)
        assert waiter.result() is True


def test_a_held_lease_is_renewed_as_time_passes(clock: VirtualClock, url: str) -> None:
    """Moved in steps shorter than the TTL, the clock leaves the background time to renew."""
    with coord.connect(url, clock=clock) as c, c.hold("job", ttl=30) as lease:
        for _ in range(10):
            clock.wait_for_sleepers(1)
            clock.advance(seconds=10)
            until(lambda: lease.expires_in > 20, "the renewal")
        assert not lease.lost.is_set()
        assert c.holder("job") is not None


def test_a_wait_ends_when_the_clock_is_moved(clock: VirtualClock, url: str) -> None:
    """An hour's timeout takes no time."""
    with coord.connect(url, clock=clock) as c, c.hold("job", ttl=2 * HOUR, renew=False):
        waiter = Thread(lambda: c.hold("job", wait=HOUR).__enter__())
        clock.wait_for_sleepers(1)
        clock.advance(seconds=HOUR)
        with pytest.raises(coord.WaitTimeout):
            waiter.result()


def test_a_waiter_takes_over_when_a_lease_has_ended(clock: VirtualClock, url: str) -> None:
    """The next in line knows when the lease ends, and asks then."""
    with coord.connect(url, clock=clock) as c:
        first = c.claim("job", ttl=4)
        assert first is not None
        waiter = Thread(lambda: c.hold("job", ttl=4).__enter__().fence)
        clock.wait_for_sleepers(1)
        clock.advance(seconds=4.1)
        assert waiter.result() > first.fence


# --- awaited --------------------------------------------------------------------------------------


def awaited(test: Callable[[VirtualClock, coord.AsyncCoordinator], Coroutine[Any, Any, None]], url: str) -> None:
    async def main() -> None:
        clock = VirtualClock()
        async with coord.connect_async(url, clock=clock) as c:
            await test(clock, c)

    run(main())


@pytest.mark.slow
def test_a_task_holds_a_lease_for_a_day(url: str) -> None:
    """``pass_time`` lets time pass from one sleeper to the next, so renewals run in between."""

    async def test(clock: VirtualClock, c: coord.AsyncCoordinator) -> None:
        async with c.hold("job", ttl=30) as lease:
            await clock.pass_time(24 * HOUR)
            assert not lease.lost.is_set()
            assert lease.expires_in > 15

    awaited(test, url)


def test_a_task_that_is_paused_loses_its_lease(url: str) -> None:
    """``advance`` is a pause of the whole process: nothing runs in between."""

    async def test(clock: VirtualClock, c: coord.AsyncCoordinator) -> None:
        lease = await c.claim("job", ttl=30, renew=True)
        assert lease is not None
        clock.advance(seconds=HOUR)
        assert lease.lost.is_set()

    awaited(test, url)


@pytest.mark.parametrize("wait", ["hold", "barrier", "request"])
def test_waits_of_tasks_end_in_virtual_time(url: str, wait: str) -> None:
    """Leases, barriers and requests wait by one clock."""

    async def test(clock: VirtualClock, c: coord.AsyncCoordinator) -> None:
        await c.claim("job", ttl=2 * HOUR)
        await c.barrier("b").open(parties=1)
        await c.request("r").register()
        await c.request("r").add("stage", "root")
        waits: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
            "hold": lambda: c.hold("job", wait=60).__aenter__(),
            "barrier": lambda: c.barrier("b").wait(timeout=60),
            "request": lambda: c.request("r").wait(timeout=60),
        }
        waiter = asyncio.create_task(waits[wait]())
        await clock.pass_time(59)
        assert not waiter.done()
        await clock.pass_time(2)
        with pytest.raises(coord.WaitTimeout):
            await waiter

    awaited(test, url)


def test_the_clock_can_go_back_and_monotonic_does_not(clock: VirtualClock) -> None:
    before = clock.monotonic()
    clock.set(clock.now_us - 1_000_000)
    assert clock.monotonic() == before
    clock.advance(seconds=1.5)
    assert clock.monotonic() == before + 1.5


def test_sleeping_by_the_clock_wakes_in_order(clock: VirtualClock) -> None:
    woken: list[tuple[int, float]] = []

    async def sleep(seconds: int) -> None:
        await clock.sleep_async(seconds)
        woken.append((seconds, clock.monotonic()))

    async def main() -> None:
        tasks = [asyncio.create_task(sleep(seconds)) for seconds in (3, 1, 2)]
        await clock.pass_time(3)
        await asyncio.gather(*tasks)

    run(main())
    assert woken == [(1, 1.0), (2, 2.0), (3, 3.0)]
