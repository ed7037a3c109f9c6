"""Waiting is woken, not polled: no wake-up is missed, and a release wakes one waiter."""

from __future__ import annotations

import asyncio
import threading
from time import monotonic
from typing import Any

import pytest
from backends import found
from live import SOON, Live, Thread, run, servers, until, until_async, waiters

import coord
from coord.coordinator import runner_of
from coord.memory import keyspace
from coord.notifier import Notifier
from coord.testing.servers import Server

pytest_plugins = ("live_fixtures", "waiting_fixtures")

JOB = "coord:claim:{job}"


# --- no missed wake-up ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
def test_no_wake_up_is_missed_between_threads(live: Live) -> None:
    """A release may come between the refusal and the subscription: the waiter looks again once it is subscribed."""
    counted = []

    def work(c: coord.Coordinator, name: str) -> None:
        for _ in range(60):
            with c.hold(name, ttl=3600, wait=SOON):
                counted.append(name)

    with live.connect() as one, live.connect() as two:
        threads = [Thread(lambda c=c, name=name: work(c, name)) for c in (one, two) for name in ("a", "a", "b")]
        for thread in threads:
            thread.result()
    assert (counted.count("a"), counted.count("b")) == (240, 120)


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
def test_no_wake_up_is_missed_between_tasks(live: Live) -> None:
    """The same, awaited: two coordinators hand a few names to and fro, thousands of times."""

    async def main() -> None:
        async def work(c: coord.AsyncCoordinator, name: str) -> None:
            for _ in range(100):
                async with c.hold(name, ttl=3600, wait=SOON):
                    pass

        async with live.connect_async() as one, live.connect_async() as two:
            await asyncio.gather(*(work(c, f"job-{n}") for c in (one, two) for n in range(5) for _ in range(2)))

    run(main())


@pytest.mark.usefixtures("patient")
def test_threads_and_tasks_wake_each_other(live: Live) -> None:
    """A blocking coordinator and an awaited one of the same process stand in one line."""

    def work(c: coord.Coordinator) -> None:
        for _ in range(100):
            with c.hold("job", ttl=3600, wait=SOON):
                pass

    async def main() -> None:
        async with live.connect_async() as ac:
            for _ in range(100):
                async with ac.hold("job", ttl=3600, wait=SOON):
                    pass

    with live.connect() as c:
        thread = Thread(lambda: work(c))
        run(main())
        thread.result()


@pytest.mark.usefixtures("patient")
def test_event_loops_wake_each_other() -> None:
    """``memory://`` in two event loops, each in a thread of its own."""

    async def main() -> None:
        async with coord.connect_async("memory://loops") as c:
            for _ in range(200):
                async with c.hold("job", ttl=3600, wait=SOON):
                    pass

    threads = [Thread(lambda: asyncio.run(main())) for _ in range(3)]
    for thread in threads:
        thread.result()


@pytest.mark.usefixtures("patient")
def test_a_release_before_the_subscription_is_not_missed(live: Live) -> None:
    """The name becomes free exactly when its waiter has been refused and does not listen yet."""
    with live.connect() as c, live.connect() as other:
        lease = other.claim("job", ttl=3600)
        notifier = runner_of(c).notifier
        subscribe = notifier.subscribe

        def late(channel: str, wake: Any, **how: Any) -> Any:
            if how.get("in_turn") is True and lease is not None:
                lease.release()
            return subscribe(channel, wake, **how)

        notifier.subscribe = late  # type: ignore[method-assign]
        try:
            with c.hold("job", wait=SOON):
                pass
        finally:
            del notifier.subscribe


@pytest.mark.usefixtures("patient")
def test_the_first_waiter_is_woken_when_notifications_begin_to_arrive() -> None:
    """A waiter is rung once its channel is heard: what happened before that it has to look for."""
    notifier, woken = Notifier(subscribed_at_once=False), []
    waiter = notifier.subscribe("x", lambda: woken.append("now"))
    assert not woken
    assert not waiter.is_subscribed
    notifier.mark_subscribed("x")
    assert woken == ["now"]
    assert waiter.is_subscribed
    waiter.leave()
    assert "x" not in notifier


def test_a_notice_wakes_the_first_of_those_who_take_turns_and_all_of_the_others() -> None:
    """One waiter of a claim, every waiter of a barrier; who leaves wakes the next."""
    notifier, woken = Notifier(), []
    waiters = [notifier.subscribe("x", lambda n=n: woken.append(n), in_turn=True) for n in range(3)]
    notifier.subscribe("x", lambda: woken.append("all"))
    woken.clear()
    notifier.notify("x")
    assert sorted(woken, key=str) == [0, "all"]
    woken.clear()
    waiters[1].leave()
    assert woken == []
    waiters[0].leave()
    assert woken == [2]


# --- no storm -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
def test_a_release_wakes_one_of_a_thousand_waiters(live_server: Live) -> None:
    """With 1,000 waiters on one name, a release causes a handful of commands, not 1,000."""

    async def main() -> None:
        async with live_server.connect_async() as c:
            got, let_go = asyncio.Event(), asyncio.Event()

            async def wait_for_it() -> None:
                async with c.hold("job", ttl=60):
                    got.set()
                    await let_go.wait()

            lease = await c.claim("job", ttl=60)
            tasks = [asyncio.create_task(wait_for_it()) for _ in range(1_000)]
            await until_async(lambda: waiters(c, JOB) == 1_000, "a thousand waiters")
            await until_async(lambda: live_server.subscriptions() == 1, "the subscription")
            # The first has looked once more, now that it is heard.
            await until_async(lambda: runner_of(c).notifier.is_subscribed(JOB), "notices")
            await c.holder("job")
            live_server.forget_calls()
            await lease.release()
            await asyncio.wait_for(got.wait(), SOON)
            await c.holder("job")
            assert live_server.calls() <= 6
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    run(main())


@pytest.mark.slow
def test_waiting_sends_nothing(live_server: Live) -> None:
    """Who waits for a name, a barrier or a request is silent between its looks, seconds apart."""
    with live_server.connect() as c:
        c.barrier("b").open(parties=1)
        c.request("r").register()
        c.request("r").add("s", "x")
        lease = c.claim("job", ttl=60)
        assert lease is not None
        ends = [
            Thread(lambda: c.hold("job", wait=SOON).__enter__().release()),
            Thread(lambda: c.barrier("b").wait(SOON)),
            Thread(lambda: c.request("r").wait(SOON)),
        ]
        for channel in (JOB, "coord:barrier:{b}", "coord:request:{r}"):
            until(lambda channel=channel: runner_of(c).notifier.is_subscribed(channel), "notices")
        # Each looks once more when it is heard; then there is silence.
        silent = _silence(live_server)
        assert silent == 0
        c.barrier("b").arrive("x")
        c.request("r").done("s", "x")
        lease.release()
        for end in ends:
            end.result()


def _silence(live: Live) -> int:
    """How many scripts run in half a second, once no more do at all."""
    quiet = threading.Event()
    end = monotonic() + SOON
    while monotonic() < end:
        live.forget_calls()
        quiet.wait(0.5)
        if not live.calls():
            return 0
    return live.calls()


@pytest.mark.slow
@pytest.mark.parametrize("name", servers()[:1])
def test_ten_thousand_waiters_in_one_process(name: str) -> None:
    """10,000 tasks wait for 10,000 names, and are woken one after another, over one subscription connection."""
    count, engine = 10_000, found()[name]

    async def main() -> None:
        async with coord.connect_async(server.url) as holder, coord.connect_async(server.url) as c:
            held = await asyncio.gather(*(holder.claim(f"job-{n}", ttl=300) for n in range(count)))
            got: asyncio.Queue[int] = asyncio.Queue()

            async def wait_for_it(number: int) -> None:
                async with c.hold(f"job-{number}", ttl=300, renew=False):
                    got.put_nowait(number)

            tasks = [asyncio.create_task(wait_for_it(number)) for number in range(count)]
            subscriber = runner_of(c).notifier
            # Not too often: each look takes the time of the thread that is to hear.
            channels = [f"coord:claim:{{job-{n}}}" for n in range(count)]
            await until_async(
                lambda: all(map(subscriber.is_subscribed, channels)), "all notices", within=3 * SOON, every=0.2
            )
            assert live.subscriptions() == 1
            for number in range(count):
                await held[number].release()
                assert await asyncio.wait_for(got.get(), SOON) == number
            await asyncio.gather(*tasks)
            assert live.subscriptions() <= 1
            live.client.close()

    with Server(engine) as server:
        live = Live(engine.name, server.url, server)
        run(main(), within=8 * SOON)


# --- memory: a thousand threads at once -----------------------------------------------------------


@pytest.mark.slow
def test_notices_of_many_threads_at_once() -> None:
    """Threads that release and arrive at the same time deliver each other's notices, and none is delivered twice."""
    space = keyspace("many-threads")
    with coord.connect("memory://many-threads") as c:
        woken = []
        waiters = [space.notifier.subscribe(f"coord:claim:{{job-{n}}}", lambda: woken.append(1)) for n in range(8)]
        woken.clear()

        def work(number: int) -> None:
            for _ in range(300):
                lease = c.claim(f"job-{number}")
                assert lease is not None
                assert lease.release()

        threads = [Thread(lambda number=number: work(number)) for number in range(8)]
        for thread in threads:
            thread.result()
        assert len(woken) == 8 * 300
        for waiter in waiters:
            waiter.leave()


def test_an_async_coordinator_waits_without_a_thread(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Subscriptions, renewals, watches and compensation are tasks of its own loop."""

    def refuse(thread: threading.Thread) -> None:
        raise AssertionError(f"the thread {thread.name} was started")

    async def main() -> None:
        async with live.connect_async() as c, live.connect_async() as other:
            lease = await other.claim("job", ttl=60)
            waiter = asyncio.create_task(_entered(c, "job"))
            cancelled = asyncio.create_task(_entered(c, "job"))
            await until_async(lambda: waiters(c, JOB) == 2, "both waiters")
            cancelled.cancel()
            await c.barrier("b").open(parties=1)
            called = asyncio.Event()
            await c.barrier("b").watch(lambda _: called.set())
            await other.barrier("b").arrive("anna")
            await lease.release()
            await called.wait()
            assert await waiter

    monkeypatch.setattr(threading.Thread, "start", refuse)
    run(main())


async def _entered(c: Any, name: str) -> bool:
    async with c.hold(name, ttl=0.5) as lease:
        return not lease.lost.is_set()
