"""Waiters of one process on one barrier or request: one look serves all of them."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from live import SOON, Live, Thread, run, until, until_async, waiters

import coord
from coord.clock import SYSTEM
from coord.coordinator import runner_of
from coord.notifier import Notifier
from coord.plan import Event, Plan, Subscribe, Wait
from coord.script import Call, Script
from coord.waiting import Deadline, just_after, look_together, with_its_reply

pytest_plugins = ("live_fixtures", "waiting_fixtures")

BARRIER = "coord:barrier:{b}"
REQUEST = "coord:request:{r}"


def prepare(c: coord.Coordinator, what: str) -> str:
    """Begin what is waited for, and return its key."""
    if what == "barrier":
        c.barrier("b").open(parties=1, metadata={"batch": 1})
        return BARRIER
    c.request("r").register()
    c.request("r").add("s", "x")
    return REQUEST


def wait_for(c: Any, what: str, timeout: float | None = SOON) -> Any:
    """Wait for it, or return what is to be awaited."""
    return c.barrier("b").wait(timeout) if what == "barrier" else c.request("r").wait(timeout)


def finish(c: coord.Coordinator, what: str) -> None:
    """End the wait."""
    if what == "barrier":
        c.barrier("b").arrive("x")
    else:
        c.request("r").done("s", "x")


WHAT = pytest.mark.parametrize("what", ["barrier", "request"])


@WHAT
@pytest.mark.usefixtures("patient")
def test_hundreds_of_waiters_cost_one_look(live_server: Live, what: str) -> None:
    """The blocking ones of a process share a look, and so do those of a loop; all get the same answer."""

    async def main() -> None:
        async with live_server.connect_async() as ac:
            tasks = [asyncio.create_task(wait_for(ac, what)) for _ in range(300)]
            await until_async(lambda: waiters(ac, key) == 300, "the tasks")
            await until_async(lambda: runner_of(ac).notifier.is_subscribed(key), "notices in the loop")
            until(lambda: runner_of(c).notifier.is_subscribed(key), "notices for the threads")
            # The first of each has looked once more, now that it is heard.
            await ac.holder("x")
            c.holder("x")
            live_server.forget_calls()
            finish(c, what)
            told = await asyncio.gather(*tasks)
            told += [thread.result() for thread in threads]
            assert live_server.calls() <= 8
            assert told == [told[0]] * 320

    with live_server.connect() as c:
        key = prepare(c, what)
        threads = [Thread(lambda: wait_for(c, what)) for _ in range(20)]
        until(lambda: waiters(c, key) == 20, "the threads")
        run(main())


@WHAT
@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("how", ["cancelled", "out of time"])
def test_another_looks_when_the_one_that_looks_leaves(live: Live, what: str, how: str) -> None:
    """Cancelled or out of time, the first waiter leaves its place to the next."""

    async def main() -> None:
        async with live.connect_async() as ac:
            first = asyncio.create_task(wait_for(ac, what, 0.2 if how == "out of time" else SOON))
            await until_async(lambda: waiters(ac, key) == before + 1, "the first waiter")
            tasks = [asyncio.create_task(wait_for(ac, what)) for _ in range(3)]
            await until_async(lambda: waiters(ac, key) == before + 4 or first.done(), "the others")
            if how == "cancelled":
                first.cancel()
            with pytest.raises((asyncio.CancelledError, coord.WaitTimeout)):
                await first
            await asyncio.to_thread(finish, c, what)
            await asyncio.wait_for(asyncio.gather(*tasks), SOON)

    with live.connect() as c:
        key = prepare(c, what)
        before = waiters(c, key)
        run(main())
        assert waiters(c, key) == 0


@pytest.mark.usefixtures("patient")
def test_what_one_waiter_does_with_its_status_is_not_seen_by_another(live: Live) -> None:
    """They share a look, and no object that can be changed."""
    with live.connect() as c:
        prepare(c, "barrier")
        threads = [Thread(lambda: wait_for(c, "barrier")) for _ in range(3)]
        until(lambda: waiters(c, BARRIER) == 3, "the waiters")
        finish(c, "barrier")
        one, two, three = [thread.result() for thread in threads]
        one.metadata["batch"] = 2
        one.errors["x"] = "changed"
        assert two.metadata == three.metadata == {"batch": 1}
        assert two.errors == three.errors == {}


@pytest.mark.usefixtures("patient")
def test_waiters_of_two_attempts_do_not_share_a_look(live: Live) -> None:
    """A waiter of the first attempt gets its end; a later one waits for the second."""
    with live.connect() as c:
        b = c.barrier("b")
        first = b.open(parties=1)
        old = Thread(lambda: b.wait(SOON))
        until(lambda: waiters(c, BARRIER) == 1, "the first waiter")
        b.arrive("x")
        second = b.open(parties=1)
        new = Thread(lambda: b.wait(SOON))
        assert old.result().attempt == first
        until(lambda: waiters(c, BARRIER) == 1, "the second waiter")
        b.abort("enough")
        assert (new.result().attempt, new.result().state) == (second, "aborted")


class Waiting:
    """One waiter of ``look_together``, followed step by step."""

    def __init__(self, notifier: Notifier) -> None:
        look = with_its_reply(Call(Script("look", "return 1"), ("x",), (), int))
        self.plan: Plan[int] = look_together("x", None, look, 1, Deadline(SYSTEM, None), self.again)
        self.woken = 0
        step = next(self.plan)
        assert isinstance(step, Subscribe)
        event = Event()
        event.waiter = notifier.subscribe(step.channel, self.wake, in_turn=step.in_turn, group=step.group)
        self.woken = 0
        assert isinstance(self.plan.send(event), Wait)

    @staticmethod
    def again(reply: int) -> float | None:
        """0 ends the wait."""
        return 60.0 if reply else None

    def wake(self) -> None:
        """Count it."""
        self.woken += 1


def test_a_look_that_fails_is_the_failure_of_one_waiter() -> None:
    """Its patience may be short, its connection broken: the others look for themselves, each with its own."""
    notifier = Notifier()
    one, two, three = (Waiting(notifier) for _ in range(3))
    assert isinstance(one.plan.send(True), Call)
    with pytest.raises(coord.Unavailable):
        one.plan.throw(coord.Unavailable("away"))
    assert (two.woken, three.woken) >= (1, 1)
    assert isinstance(two.plan.send(True), Call)
    assert isinstance(three.plan.send(True), Call)
    with pytest.raises(StopIteration) as ended:
        three.plan.send(0)
    assert ended.value.value == 0
    assert isinstance(two.plan.send(1), Wait), "it had not been notified when it looked"
    with pytest.raises(StopIteration) as ended:
        two.plan.send(True)
    assert ended.value.value == 0


def test_looks_at_one_deadline_are_spread() -> None:
    """After the deadline, within 100 ms or a twentieth of the time, and at different times."""
    random.seed(8)
    for seconds, most in ((0.0, 0.0011), (1.0, 1.0511), (3600.0, 3600.102)):
        times = [just_after(seconds) for _ in range(100)]
        assert all(seconds < each <= most for each in times)
        assert len(set(times)) == (1 if seconds == 0 else 100)
