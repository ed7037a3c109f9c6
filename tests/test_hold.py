"""``hold``: a block that claims a name, waits for it in turn, and releases it."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import pytest
from backends import Backend
from holding import JOB, LATE, TTL, count_renewals
from live import SOON, Live, Thread, run, until, until_async, waiters

import coord
from coord import waiting

pytest_plugins = ("live_fixtures", "hold_fixtures")


@pytest.fixture
def last_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last look of a wait may take long: that it is answered is what the test is about."""
    monkeypatch.setattr("coord.waiting.LAST_LOOK", LATE)


# --- getting and leaving --------------------------------------------------------------------------


def test_a_block_holds_a_name(c: Any) -> None:
    """Inside the block the name is held; after it the name is free."""
    with c.hold("job", ttl=30) as lease:
        assert c.holder("job").fence == lease.fence
        assert c.claim("job") is None
    assert c.holder("job") is None


def test_a_block_that_fails_releases(c: Any) -> None:
    """An exception leaves the block as it is, and the name is free."""
    with pytest.raises(ZeroDivisionError), c.hold("job"):
        raise ZeroDivisionError
    assert c.holder("job") is None


def test_fences_grow_from_block_to_block(c: Any) -> None:
    """Each block has a fence above the one before."""
    fences = []
    for _ in range(5):
        with c.hold("job") as lease:
            fences.append(lease.fence)
    assert fences == sorted(set(fences))


def test_a_hold_can_be_used_again(c: Any) -> None:
    """What ``hold`` returns may be entered once more, and holds anew."""
    hold = c.hold("job")
    with hold as first:
        pass
    with hold as second:
        assert c.holder("job").fence == second.fence > first.fence
    assert c.holder("job") is None


def test_a_hold_is_entered_by_one_block_at_a_time(backend: Backend, c: Any) -> None:
    """Two leases in one ``hold`` would be released for one another: the second block is refused before it claims."""
    hold = c.hold("job")
    with hold as lease:
        with backend.untouched(), pytest.raises(coord.CoordError, match="this hold of 'job' is entered already"):
            hold.__enter__()
        assert c.holder("job").fence == lease.fence
    assert c.holder("job") is None
    with hold:
        assert c.holder("job") is not None


def test_a_hold_that_was_not_got_can_be_tried_again(c: Any) -> None:
    """Who waited in vain is not inside."""
    hold = c.hold("job", wait=0.05)
    with c.hold("job"), pytest.raises(coord.WaitTimeout):
        hold.__enter__()
    with hold as lease:
        assert c.holder("job").fence == lease.fence


def test_a_lease_released_inside_its_block_is_not_lost(c: Any) -> None:
    """A block that released early raises no loss when it ends."""
    with c.hold("job") as lease:
        assert lease.release() is True
        assert c.holder("job") is None
    assert not lease.lost.is_set()


@pytest.mark.parametrize(
    "wrong", [{"ttl": 0}, {"ttl": -1}, {"wait": -1}, {"wait": False}, {"ttl": True}, {"wait": float("nan")}]
)
def test_times_that_make_no_sense_are_refused(c: Any, wrong: dict[str, Any]) -> None:
    """A TTL or a wait of nothing is an error before anything is sent."""
    with pytest.raises(ValueError, match=r"ttl|wait"), c.hold("job", **wrong):
        pass
    assert c.holder("job") is None


@pytest.mark.usefixtures("last_look")
def test_a_wait_that_is_over_says_so(live: Live) -> None:
    """``wait`` seconds, and then ``WaitTimeout``, which is a ``TimeoutError`` too; nothing stays behind."""
    with live.connect() as c, c.hold("job"):
        started = monotonic()
        with (
            pytest.raises(coord.WaitTimeout, match=r"'job' was not free within 0\.1 s") as raised,
            c.hold("job", wait=0.1),
        ):
            pass
        assert monotonic() - started >= 0.1
        assert isinstance(raised.value, TimeoutError)
        assert waiters(c, JOB) == 0


def test_a_wait_that_is_over_says_so_to_a_task(live: Live) -> None:
    """The same, awaited."""

    async def main() -> None:
        async with live.connect_async() as c, c.hold("job"):
            with pytest.raises(coord.WaitTimeout):
                async with c.hold("job", wait=0.1):
                    pass
            assert waiters(c, JOB) == 0

    run(main())


# --- taking turns ---------------------------------------------------------------------------------


def test_threads_get_a_name_in_the_order_in_which_they_came(live: Live) -> None:
    """Of the waiters of one process, the one that has waited longest is next."""
    order: list[int] = []

    def work(number: int) -> None:
        with c.hold("job", ttl=30):
            order.append(number)

    with live.connect() as c:
        with c.hold("job"):
            threads = []
            for number in range(12):
                threads.append(Thread(lambda number=number: work(number)))
                until(lambda number=number: waiters(c, JOB) == number + 1, "a waiter")
        for thread in threads:
            thread.result()
    assert order == list(range(12))


def test_tasks_get_a_name_in_the_order_in_which_they_came(live: Live) -> None:
    """The same, awaited."""

    async def main() -> None:
        order: list[int] = []

        async def work(number: int) -> None:
            async with c.hold("job", ttl=30):
                order.append(number)

        async with live.connect_async() as c:
            async with c.hold("job"):
                tasks = []
                for number in range(12):
                    tasks.append(asyncio.create_task(work(number)))
                    await until_async(lambda number=number: waiters(c, JOB) == number + 1, "a waiter")
            await asyncio.gather(*tasks)
        assert order == list(range(12))

    run(main())


def test_who_comes_back_for_more_waits_behind_those_who_wait(live: Live) -> None:
    """A loop that holds a name again and again does not starve a waiter of the same process."""
    rounds, got = [], threading.Event()

    def wait_for_it() -> None:
        with c.hold("job"):
            got.set()

    with live.connect() as c:
        with c.hold("job"):
            waiter = Thread(wait_for_it)
            until(lambda: waiters(c, JOB) == 1, "the waiter")
        while not got.is_set():
            with c.hold("job"):
                rounds.append(1)
        waiter.result()
    assert len(rounds) <= 2


@pytest.mark.slow
def test_who_gives_up_waiting_is_passed_over(live: Live) -> None:
    """The first in the line leaves; the second is next."""
    with live.connect() as c:
        with c.hold("job"):
            first = Thread(lambda: c.hold("job", wait=3).__enter__())
            until(lambda: waiters(c, JOB) == 1, "the first waiter")
            second = Thread(lambda: c.hold("job").__enter__().release())
            until(lambda: waiters(c, JOB) == 2, "the second waiter")
            with pytest.raises(coord.WaitTimeout):
                first.result()
        assert second.result() is True


def test_a_waiter_takes_over_when_the_holder_dies(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that ends by itself publishes nothing; its waiters know when it ends."""
    monkeypatch.setattr(waiting, "LOOK_AGAIN", 3600.0)
    monkeypatch.setattr(waiting, "LOOK_AGAIN_UNHEARD", 3600.0)
    with live.connect() as c:
        dead = c.claim("job", ttl=0.4)
        started = monotonic()
        with c.hold("job", wait=SOON) as lease:
            assert lease.fence > dead.fence
            assert monotonic() - started < SOON / 2, "not only at the end of its wait"


# --- no thread can be started ---------------------------------------------------------------------


@contextmanager
def no_thread(name: str) -> Generator[None]:
    """The system has no thread left for what is inside."""
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name == name:
            raise RuntimeError("can't start new thread")
        start(thread)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        yield


@pytest.mark.usefixtures("brisk")
def test_a_keeper_that_cannot_be_started_leaves_nothing_behind(live: Live) -> None:
    """The hold is refused, and its claim taken back at once; the next hold is renewed as ever."""
    with live.connect() as c:
        with no_thread("coord-background"), pytest.raises(RuntimeError, match="can't start new thread"):
            c.hold("job", ttl=3600).__enter__()
        assert c.holder("job") is None
        with c.hold("job", ttl=TTL) as lease:
            assert count_renewals(lease, 3).wait(SOON)


@pytest.mark.slow
def test_a_coordinator_without_a_keeper_can_be_closed(live: Live) -> None:
    """Nothing waits for a thread that never was."""
    with live.connect() as c, no_thread("coord-background"):
        lease = c.claim("job", ttl=1.5)
        assert lease is not None
        # It is not watched; so it looks when it is asked.
        assert not lease.lost.is_set()
        until(lease.lost.is_set, "the loss")


def test_subscriptions_that_cannot_be_started_are_started_by_the_next(live_server: Live) -> None:
    """A waiter that cannot subscribe gets the reason; a later one subscribes, and is woken."""
    with live_server.connect() as c:
        lease = c.claim("job", ttl=60)
        # Nothing is renewed, so that the thread in which all subscriptions live does not run yet.
        with no_thread("coord-background"), pytest.raises(RuntimeError, match="can't start new thread"):
            c.hold("job", wait=SOON).__enter__()
        assert waiters(c, JOB) == 0
        waiter = Thread(lambda: c.hold("job").__enter__().release())
        until(lambda: live_server.subscriptions() == 1, "the subscription")
        lease.release()
        assert waiter.result() is True


def test_a_wait_of_nothing_is_one_try(c: Any) -> None:
    with (
        c.hold("job", wait=0),
        pytest.raises(coord.WaitTimeout, match="'job' was not free within 0 s"),
        c.hold("job", wait=0),
    ):
        pass
    with c.hold("job", wait=0):
        assert c.holder("job") is not None


def test_a_hold_has_the_owner_that_is_given(c: Any) -> None:
    with c.hold("job", owner="anna") as lease:
        assert lease.owner == c.holder("job").owner == "anna"


@pytest.mark.parametrize("wrong", [{"ttl": 0}, {"wait": -1}, {"wait": "soon"}, {"owner": ""}, {"owner": 5}])
def test_bad_input_of_a_hold_raises_where_it_is_given(c: Any, wrong: dict[str, Any]) -> None:
    """Not on entering: a hold may be made long before."""
    with pytest.raises((ValueError, TypeError)):
        c.hold("job", **wrong)


def test_a_lease_is_a_block(c: Any) -> None:
    """A claimed lease is released when its block ends."""
    with c.claim("job", ttl=60) as lease:
        assert c.holder("job").fence == lease.fence
    assert c.holder("job") is None


def test_a_default_owner_says_host_and_process(c: Any) -> None:
    with c.hold("job"):
        assert c.holder("job").owner.startswith(f"{socket.gethostname()[:32]}-{os.getpid()}-")
