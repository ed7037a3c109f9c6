"""Waiting: woken and not polled, without a missed wake-up, without a storm, over one subscription connection."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import signal
import socket
import threading
from time import monotonic
from typing import Any

import pytest
from backends import found
from live import SOON, Live, Thread, run, servers, until, until_async, waiters

import coord
from coord import leases
from coord.memory import keyspace
from coord.notifier import Notifier
from coord.options import Options
from coord.redis import subscriber as subscribers
from coord.redis.dialing import from_url
from coord.redis.subscriber import Subscriber
from coord.testing.servers import Engine, Server, free_port

pytest_plugins = ("live_fixtures",)

JOB = "coord:claim:{job}"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks by himself: who is not woken waits for ever."""
    monkeypatch.setattr(leases, "_LOOK_AGAIN", 3600.0)
    monkeypatch.setattr(leases, "_LOOK_AGAIN_UNHEARD", 3600.0)


# --- no missed wake-up ---------------------------------------------------------------------------


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
        notifier = c._runner.notifier
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
def test_who_listens_first_is_told_when_notices_begin_to_arrive() -> None:
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


# --- no storm ------------------------------------------------------------------------------------


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
            await until_async(lambda: c._runner.notifier.is_subscribed(JOB), "notices")
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
            until(lambda channel=channel: c._runner.notifier.is_subscribed(channel), "notices")
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
            subscriber = c._runner.notifier
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


# --- the subscription connection -----------------------------------------------------------------


@pytest.mark.slow
def test_one_subscription_connection_whoever_waits(live_server: Live) -> None:
    """Threads and tasks, claims, barriers and requests of a process share it, and it ends with the last of them."""
    with live_server.connect() as c, live_server.connect() as other:
        c.barrier("b").open(parties=1)
        c.request("r").register()
        c.request("r").add("s", "x")
        lease = c.claim("job", ttl=60)
        assert lease is not None
        ends = [
            Thread(lambda: other.hold("job").__enter__().release()),
            Thread(lambda: c.barrier("b").wait()),
            Thread(lambda: other.request("r").wait()),
        ]
        until(lambda: live_server.channels() == 3, "three channels")
        assert live_server.subscriptions() == 1
        c.barrier("b").arrive("x")
        c.request("r").done("s", "x")
        lease.release()
        for end in ends:
            end.result()
        until(lambda: live_server.channels() == 0, "the end of the subscriptions")
        until(lambda: "coord-subscriptions" not in _threads(), "the end of the thread")
        assert live_server.subscriptions() == 0


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_threads_that_begin_to_wait_at_once_share_one_hub(live_server: Live) -> None:
    """Each taking is matched by one giving back, so the connection ends with its last user."""
    both = threading.Barrier(2)
    with live_server.connect() as c:
        subscribe = c._runner._router.subscribe

        def slowly() -> Notifier:
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(0.3)
            return subscribe()

        c._runner._router.subscribe = slowly
        threads = [Thread(lambda: c._runner.notifier) for _ in range(2)]
        assert threads[0].result() is threads[1].result()
    assert not subscribers._subscribers


@pytest.mark.usefixtures("patient")
def test_a_dropped_connection_is_made_again(live_server: Live) -> None:
    """After CLIENT KILL the process subscribes anew and looks again: what happened meanwhile is not missed."""
    with live_server.connect() as c, live_server.connect() as other:
        for _ in range(5):
            lease = other.claim("job", ttl=3600)
            assert lease is not None
            waiter = Thread(lambda: c.hold("job", wait=SOON).__enter__().release())
            until(lambda: c._runner.notifier.is_subscribed(JOB), "notices")
            with live_server.client.pipeline(transaction=True) as together:
                # In one breath: the notice of the release goes to nobody.
                together.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                together.execute()
            lease.release()
            assert waiter.result() is True


@pytest.mark.usefixtures("patient")
def test_a_server_that_restarts_is_subscribed_to_anew(engine: Engine) -> None:
    """It comes back without keys, so the name is free; whoever waits looks as soon as it is heard again."""
    with Server(engine) as server, coord.connect(server.url) as c:
        assert c.claim("job", ttl=3600) is not None
        c.barrier("b").open(parties=1)
        waiter = Thread(lambda: c.hold("job", wait=SOON).__enter__().release())
        waits = Thread(lambda: c.barrier("b").wait(SOON))
        for channel in (JOB, "coord:barrier:{b}"):
            until(lambda channel=channel: c._runner.notifier.is_subscribed(channel), "notices")
        server.kill()
        until(lambda: not c._runner.notifier.is_subscribed(JOB), "the end of the connection")
        server.start()
        assert waiter.result() is True
        with pytest.raises(coord.MissingBarrier):
            waits.result()


def test_notices_that_are_lost_are_made_up_for(live_server: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any notice a waiter still comes to its name, its barrier and its request: it looks by itself."""
    monkeypatch.setattr(leases, "_LOOK_AGAIN", 0.2)
    monkeypatch.setattr(Subscriber, "notify", lambda self, channel: None)
    with live_server.connect() as c:
        lease = c.claim("job", ttl=3600)
        assert lease is not None
        c.barrier("b").open(parties=1)
        c.request("r").register()
        c.request("r").add("s", "x")
        ends = [
            Thread(lambda: c.hold("job", wait=SOON).__enter__().release()),
            Thread(lambda: c.barrier("b").wait(SOON).state),
            Thread(lambda: c.request("r").wait(SOON)["s"].processed),
        ]
        until(lambda: live_server.channels() == 3, "three channels")
        lease.release()
        c.barrier("b").arrive("x")
        c.request("r").done("s", "x")
        assert [end.result() for end in ends] == [True, "complete", 1]


def test_a_user_who_may_not_subscribe_looks_more_often(engine: Engine) -> None:
    """Where the rules of the server forbid SUBSCRIBE, waiting still works, and a log line says what is missing."""
    with Server(engine) as server:
        live = Live(engine.name, server.url, server)
        live.client.execute_command("ACL", "SETUSER", "anna", "on", ">secret", "~*", "&*", "+@all", "-subscribe")
        live.client.close()
        url = server.url.replace("redis://", "redis://anna:secret@")
        with coord.connect(server.url) as other, coord.connect(url) as c:
            lease = other.claim("job", ttl=3600)
            assert lease is not None
            waiter = Thread(lambda: c.hold("job", wait=SOON, ttl=0.5, renew=False).__enter__().fence)
            until(lambda: waiters(c, JOB) == 1, "the waiter")
            lease.release()
            assert waiter.result() > lease.fence


def test_a_server_that_is_away_is_not_hammered() -> None:
    """While nobody answers, the connection is tried again after pauses that grow, however many come to wait."""
    listener = socket.create_server(("127.0.0.1", free_port()))
    tries: list[float] = []

    def refuse() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            tries.append(monotonic())
            client.close()

    door = Thread(refuse)
    subscriber = Subscriber(from_url(f"redis://127.0.0.1:{listener.getsockname()[1]}", Options(), asynchronous=False))
    waiters = [subscriber.subscribe(f"channel-{number}", lambda: None) for number in range(50)]
    until(lambda: len(tries) >= 5, "some tries")
    assert tries[4] - tries[0] > 0.05
    for waiter in waiters:
        waiter.leave()
    ending = subscriber.close()
    if ending is not None:
        ending.join(SOON)
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    door.result()


def test_closing_ends_the_connection_and_its_thread(live_server: Live) -> None:
    """With the last coordinator of a server the subscriptions end, even while somebody waits."""
    c = live_server.connect()
    held = c.claim("job", ttl=60)
    assert held is not None
    waiter = Thread(lambda: c.hold("job").__enter__())
    until(lambda: live_server.subscriptions() == 1, "the subscription")
    c.close()
    assert "coord-subscriptions" not in _threads()
    with pytest.raises(coord.Unavailable, match="closed"):
        waiter.result()


def test_a_waiter_outlives_a_paused_server(engine: Engine) -> None:
    """A server that stands still for a moment wakes its waiters when it goes on."""
    with Server(engine) as server, coord.connect(server.url) as c:
        lease = c.claim("job", ttl=60)
        assert lease is not None
        waiter = Thread(lambda: c.hold("job", wait=SOON).__enter__().release())
        until(lambda: c._runner.notifier.is_subscribed(JOB), "notices")
        server.signal(signal.SIGSTOP)
        release = Thread(lease.release)
        server.signal(signal.SIGCONT)
        assert release.result() is True
        assert waiter.result() is True


# --- other processes -----------------------------------------------------------------------------


def _work(url: str, rounds: int, counted: Any) -> None:
    with coord.connect(url) as c:
        for _ in range(rounds):
            with c.hold("job", ttl=60, wait=SOON) as lease:
                counted.put(lease.fence)


@pytest.mark.slow
def test_processes_wake_each_other(live_server: Live) -> None:
    """A release in one process wakes the waiter of another: 4 processes hand a name round 200 times in a moment."""
    context = multiprocessing.get_context("spawn")
    counted = context.SimpleQueue()
    crew = [context.Process(target=_work, args=(live_server.url, 50, counted)) for _ in range(4)]
    for each in crew:
        each.start()
    fences = [counted.get() for _ in range(200)]
    for each in crew:
        each.join(SOON)
        assert each.exitcode == 0
    assert fences == sorted(set(fences))
    counted.close()


def _wait(url: str, went_in: Any, came_out: Any) -> None:
    with coord.connect(url) as c:
        went_in.set()
        with c.hold("job", ttl=60, wait=SOON):
            came_out.set()


@pytest.mark.usefixtures("patient")
def test_a_release_wakes_a_waiter_in_another_process(live_server: Live) -> None:
    """The waiter has no other way to learn of it: nothing here looks by itself."""
    context = multiprocessing.get_context("spawn")
    went_in, came_out = context.Event(), context.Event()
    other = context.Process(target=_wait, args=(live_server.url, went_in, came_out))
    with live_server.connect() as c, c.hold("job", ttl=60):
        other.start()
        assert went_in.wait(SOON)
        until(lambda: live_server.subscriptions() == 1, "the other's subscription")
        assert not came_out.is_set()
    assert came_out.wait(SOON)
    other.join(SOON)
    assert other.exitcode == 0


# --- memory: a thousand threads at once ----------------------------------------------------------


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
