"""A waiter that does not go on, because its event loop was closed or stands still, does not hold up the others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from live import SOON, Live, Thread, run, until, until_async, waiters

import coord
from coord.notifier import Notifier, Waiter

pytest_plugins = ("live_fixtures", "waiting_fixtures")

JOB = "coord:claim:{job}"


@contextmanager
def waiting_in_a_loop(live: Live, count: int = 1) -> Iterator[asyncio.AbstractEventLoop]:
    """So many tasks wait for a name in a loop that does not run any more; it can be closed, or run on."""
    loop = asyncio.new_event_loop()

    async def begin() -> None:
        c = await live.connect_async()
        tasks.extend(loop.create_task(_held(c)) for _ in range(count))
        await until_async(lambda: waiters(c, JOB) == count, "the waiters")
        connected.append(c)

    async def end() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await connected[0].aclose()

    tasks: list[asyncio.Task[None]] = []
    connected: list[coord.AsyncCoordinator] = []
    loop.run_until_complete(begin())
    # The tasks of a closed loop are destroyed while they are pending.
    loop.set_exception_handler(lambda _loop, _context: None)
    try:
        yield loop
    finally:
        if not loop.is_closed():
            loop.run_until_complete(end())
            loop.close()


async def _held(c: coord.AsyncCoordinator) -> None:
    async with c.hold("job"):
        pass


@pytest.mark.usefixtures("patient")
def test_a_waiter_whose_loop_was_closed_is_passed_over() -> None:
    """In memory, threads and loops of a process stand in one queue: the waiter behind the dead one is woken."""
    live = Live("memory", "memory://closed-loop")
    with live.connect() as c:
        lease = c.claim("job", ttl=60)
        assert lease is not None
        with waiting_in_a_loop(live, 3) as loop:
            behind = Thread(lambda: c.hold("job", wait=SOON).__enter__().release())
            until(lambda: waiters(c, JOB) == 4, "the waiter behind them")
            loop.close()
            lease.release()
            assert behind.result() is True
            assert waiters(c, JOB) == 0, "the dead ones are removed"


@pytest.mark.usefixtures("patient")
def test_a_task_behind_a_waiter_whose_loop_was_closed_is_woken() -> None:
    """The same for a task in another loop."""
    live = Live("memory", "memory://closed-loop-and-task")

    async def main() -> None:
        async with live.connect_async() as ac:
            behind = asyncio.create_task(_held(ac))
            await until_async(lambda: waiters(ac, JOB) == 2, "the waiter behind it")
            assert lease is not None
            lease.release()
            await asyncio.wait_for(behind, SOON)

    with live.connect() as c:
        lease = c.claim("job", ttl=60)
        with waiting_in_a_loop(live) as loop:
            loop.close()
            run(main())


@pytest.mark.parametrize("ends", ["released", "expired"])
def test_a_waiter_whose_loop_stands_still_is_passed_over(ends: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those behind it notice that it does not look, although it was woken or its time has come, and look instead."""
    monkeypatch.setattr("coord.waiting.LOOK_AGAIN", 0.1)
    monkeypatch.setattr("coord.notifier.STALLED_AFTER", 0.1)
    live = Live("memory", f"memory://stands-still-{ends}")

    async def main() -> None:
        async with live.connect_async() as ac:
            task = asyncio.create_task(_held(ac))
            await until_async(lambda: waiters(ac, JOB) == 5, "the waiters behind them")
            assert lease is not None
            if ends == "released":
                lease.release()
            await asyncio.wait_for(task, SOON)

    with live.connect() as c:
        lease = c.claim("job", ttl=60 if ends == "released" else 1)
        with waiting_in_a_loop(live, 3):
            behind = Thread(lambda: c.hold("job", wait=SOON).__enter__().release())
            run(main())
            assert behind.result() is True
            assert waiters(c, JOB) == 3, "they may run on, and keep their places"


def test_a_loop_that_runs_on_gets_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A waiter that was passed over holds the name once its loop runs again."""
    monkeypatch.setattr("coord.waiting.LOOK_AGAIN", 0.1)
    monkeypatch.setattr("coord.notifier.STALLED_AFTER", 0.1)
    live = Live("memory", "memory://runs-on")
    with live.connect() as c:
        lease = c.claim("job", ttl=60)
        assert lease is not None
        with waiting_in_a_loop(live) as loop:
            behind = Thread(lambda: c.hold("job", wait=SOON).__enter__().release())
            until(lambda: waiters(c, JOB) == 2, "the waiter behind it")
            lease.release()
            assert behind.result() is True
            loop.run_until_complete(until_async(lambda: waiters(c, JOB) == 0, "the end of the first waiter"))


@pytest.mark.usefixtures("patient")
def test_a_server_s_waiters_in_other_loops_do_not_hold_each_other_up(live_server: Live) -> None:
    """On a server each loop has waiters of its own: a closed one concerns none of the others."""
    with live_server.connect() as c:
        lease = c.claim("job", ttl=60)
        assert lease is not None
        with waiting_in_a_loop(live_server) as loop:
            behind = Thread(lambda: c.hold("job", wait=SOON).__enter__().release())
            until(lambda: waiters(c, JOB) == 1, "the waiter")
            lease.release()
            assert behind.result() is True
            assert not loop.is_closed()


# --- the notifier -----------------------------------------------------------------------------------


class Wakes:
    """Waiters by name, and who was woken; those in ``dead`` cannot be woken any more."""

    def __init__(self) -> None:
        self.notifier = Notifier()
        self.dead: set[str] = set()
        self.woken: list[str] = []

    def add(self, name: str, **how: Any) -> Waiter:
        """Add a waiter."""

        def wake() -> bool:
            self.woken.append(name)
            return name not in self.dead

        waiter = self.notifier.subscribe("x", wake, **how)
        self.woken.clear()
        return waiter


def test_a_wake_that_fails_passes_on_to_the_next_in_turn() -> None:
    """Ten thousand dead waiters in a row are removed at the first notice, and the one behind them is woken."""
    wakes = Wakes()
    for number in range(10_000):
        wakes.add(f"dead {number}", in_turn=True)
        wakes.dead.add(f"dead {number}")
    alive = wakes.add("alive", in_turn=True)
    wakes.notifier.notify("x")
    assert wakes.woken[-1] == "alive"
    assert alive.is_first
    wakes.woken.clear()
    wakes.notifier.notify("x")
    assert wakes.woken == ["alive"]


def test_a_waiter_that_leaves_wakes_the_next_that_can_be_woken() -> None:
    """The place passes over a dead waiter also when nobody publishes anything."""
    wakes = Wakes()
    first, _, third = [wakes.add(name, in_turn=True) for name in ("first", "second", "third")]
    wakes.dead.add("second")
    first.leave()
    assert wakes.woken == ["second", "third"]
    assert third.is_first


def test_a_dead_waiter_without_turns_is_removed() -> None:
    """It is woken in vain once."""
    wakes = Wakes()
    wakes.add("one")
    wakes.add("two")
    wakes.dead.add("one")
    wakes.notifier.notify("x")
    assert sorted(wakes.woken) == ["one", "two"]
    wakes.woken.clear()
    wakes.notifier.notify("x")
    assert wakes.woken == ["two"]


def test_the_last_dead_waiter_ends_its_channel() -> None:
    """Nobody listens on a channel that only dead waiters wait on."""
    wakes = Wakes()
    for name in ("one", "two"):
        wakes.add(name, in_turn=name == "one")
        wakes.dead.add(name)
    wakes.notifier.notify("x")
    assert "x" not in wakes.notifier


def test_a_stalled_waiter_is_moved_behind_the_others() -> None:
    """It keeps a place, is not the first again before it has gone on, and is woken when only stalled ones are left."""
    wakes = Wakes()
    stalled, first, second = [wakes.add(name, in_turn=True) for name in ("stalled", "first", "second")]
    for waiter in (stalled, first, second):
        waiter.go_on(due=5.0)
    assert not second.pass_stalled(now=5.5), "it may be late"
    assert second.first_stalls_in(now=5.5) == pytest.approx(0.5)
    first.go_on(due=50.0)
    assert not second.pass_stalled(now=6.5)
    assert (first.is_first, wakes.woken) == (True, ["first"])
    wakes.woken.clear()
    first.leave()
    second.leave()
    assert wakes.woken == ["second", "stalled"]
    stalled.go_on(due=60.0)
    assert stalled.is_first


def test_a_waiter_that_was_woken_and_does_not_go_on_has_stalled() -> None:
    """However late it meant to look by itself: a notice makes it due."""
    wakes = Wakes()
    first, second = [wakes.add(name, in_turn=True) for name in ("first", "second")]
    for waiter in (first, second):
        waiter.go_on(due=3600.0)
    wakes.notifier.notify("x")
    assert not second.pass_stalled(now=10.0)
    assert second.pass_stalled(now=11.5)


def test_a_stalled_waiter_does_not_get_its_turn_back_from_those_who_come_later() -> None:
    """Who comes when only a stalled one waits is the first at once."""
    wakes = Wakes()
    stalled, other = [wakes.add(name, in_turn=True) for name in ("stalled", "other")]
    stalled.go_on(due=1.0)
    assert other.pass_stalled(now=10.0)
    other.leave()
    assert wakes.add("late", in_turn=True).is_first
    assert not stalled.is_first


def test_groups_take_turns_by_themselves() -> None:
    """A notice wakes the first of each group; an answer goes to one group."""
    wakes = Wakes()
    old = [wakes.add(f"old {number}", in_turn=True, group="old") for number in range(3)]
    new = [wakes.add(f"new {number}", in_turn=True, group="new") for number in range(2)]
    wakes.notifier.notify("x")
    assert sorted(wakes.woken) == ["new 0", "old 0"]
    wakes.woken.clear()
    old[0].answer_group("over")
    assert wakes.woken == ["old 1", "old 2"]
    assert [waiter.answer for waiter in (*old, *new)] == ["over"] * 3 + [None] * 2
    wakes.woken.clear()
    for waiter in old:
        waiter.leave()
    new[1].wake_group()
    assert wakes.woken == ["new 0", "new 1"]
    new[0].leave()
    new[1].answer_group("over")
    assert "x" not in wakes.notifier
