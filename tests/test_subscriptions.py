"""The subscription connection: one a server, made again when it breaks, and waiters of other processes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import signal
import socket
import threading
import weakref
from time import monotonic
from typing import Any

import pytest
from live import SOON, Live, Thread, run, until, waiters

import coord
from coord import waiting
from coord.coordinator import runner_of
from coord.loops import BACKGROUND, BackgroundLoop
from coord.notifier import Notifier
from coord.options import Options
from coord.redis import subscriber as subscribers
from coord.redis.dialing import from_url
from coord.redis.subscriber import Subscriber
from coord.redis.wire import pack
from coord.testing.servers import Engine, Server, free_port

pytest_plugins = ("live_fixtures", "waiting_fixtures")

JOB = "coord:claim:{job}"


# --- the subscription connection ------------------------------------------------------------------


@pytest.mark.slow
def test_one_subscription_connection_for_all_waiters(live_server: Live) -> None:
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
        until(lambda: "coord-background" not in _threads(), "the end of the thread")
        assert live_server.subscriptions() == 0


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_a_waiter_that_comes_after_closing_subscribes_to_nothing(live_server: Live) -> None:
    """Nothing would release its subscription."""
    before = set(subscribers.subscribers)
    with live_server.connect() as c:
        runner = runner_of(c)
    assert not runner.notifier.is_subscribed(JOB)

    async def main() -> None:
        async with live_server.connect_async() as ac:
            awaited = runner_of(ac)
        assert not awaited.notifier.is_subscribed(JOB)
        assert set(subscribers.subscribers) == before

    run(main())


def test_what_a_view_subscribed_to_is_released_with_its_coordinator(live_server: Live) -> None:
    """A view shares the subscription of its coordinator, whichever of the two waits first."""
    before = set(subscribers.subscribers)
    with live_server.connect() as c:
        view = c.with_options(timeout=2)
        assert runner_of(view).notifier is runner_of(c).notifier
    assert set(subscribers.subscribers) == before

    async def main() -> None:
        async with live_server.connect_async() as ac:
            view = ac.with_options(timeout=2)
            assert runner_of(view).notifier is runner_of(ac).notifier
        assert set(subscribers.subscribers) == before

    run(main())


def test_threads_that_begin_to_wait_at_once_share_one_hub(live_server: Live) -> None:
    """Each taking is matched by one giving back, so the connection ends with its last user."""
    both, before = threading.Barrier(2), set(subscribers.subscribers)
    with live_server.connect() as c:
        subscribe = runner_of(c).router.subscribe

        def slowly() -> Notifier:
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(0.3)
            return subscribe()

        runner_of(c).router.subscribe = slowly
        threads = [Thread(lambda: runner_of(c).notifier) for _ in range(2)]
        assert threads[0].result() is threads[1].result()
    assert set(subscribers.subscribers) == before


@pytest.mark.usefixtures("patient")
def test_a_dropped_connection_is_made_again(live_server: Live) -> None:
    """After CLIENT KILL the process subscribes anew and looks again: what happened meanwhile is not missed."""
    with live_server.connect() as c, live_server.connect() as other:
        for _ in range(5):
            lease = other.claim("job", ttl=3600)
            assert lease is not None
            waiter = Thread(lambda: c.hold("job", wait=SOON).__enter__().release())
            until(lambda: runner_of(c).notifier.is_subscribed(JOB), "notices")
            with live_server.client.pipeline(transaction=True) as together:
                # In one breath: the notice of the release goes to nobody.
                together.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                together.execute()
            lease.release()
            assert waiter.result() is True


@pytest.mark.usefixtures("patient")
def test_a_server_that_restarts_is_subscribed_to_anew(engine: Engine) -> None:
    """It comes back without keys, so the name is free; waiters look as soon as they are subscribed again."""
    with Server(engine) as server, coord.connect(server.url) as c:
        assert c.claim("job", ttl=3600) is not None
        c.barrier("b").open(parties=1)
        waiter = Thread(lambda: c.hold("job", wait=SOON).__enter__().release())
        waits = Thread(lambda: c.barrier("b").wait(SOON))
        for channel in (JOB, "coord:barrier:{b}"):
            until(lambda channel=channel: runner_of(c).notifier.is_subscribed(channel), "notices")
        server.kill()
        until(lambda: not runner_of(c).notifier.is_subscribed(JOB), "the end of the connection")
        server.start()
        assert waiter.result() is True
        with pytest.raises(coord.MissingBarrier):
            waits.result()


def test_notices_that_are_lost_are_made_up_for(live_server: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any notice a waiter still comes to its name, its barrier and its request: it looks by itself."""
    monkeypatch.setattr(waiting, "LOOK_AGAIN", 0.2)
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


def test_a_user_who_may_not_subscribe_looks_more_often(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """Where SUBSCRIBE is refused, waiting still works, and one log line says so; SUBSCRIBE is sent again and again."""
    with Server(engine) as server:
        live = Live(engine.name, server.url, server)
        live.client.execute_command("ACL", "SETUSER", "anna", "on", ">secret", "~*", "&*", "+@all", "-subscribe")
        url = server.url.replace("redis://", "redis://anna:secret@")
        with coord.connect(server.url) as other, coord.connect(url) as c:
            lease = other.claim("job", ttl=3600)
            assert lease is not None
            waiter = Thread(lambda: c.hold("job", wait=SOON, ttl=0.5, renew=False).__enter__().fence)
            until(lambda: waiters(c, JOB) == 1, "the waiter")
            lease.release()
            assert waiter.result() > lease.fence
            until(lambda: "refused a subscription, so waiters look more often" in caplog.text, "the log line")
            again = c.barrier("b")
            again.open(parties=1)
            waits = Thread(lambda: again.wait(SOON).state)
            live.client.execute_command("ACL", "SETUSER", "anna", "+subscribe")
            until(lambda: runner_of(c).notifier.is_subscribed("coord:barrier:{b}"), "notices")
            again.arrive("x")
            assert waits.result() == "complete"
        live.client.close()


@pytest.mark.usefixtures("patient")
def test_a_connection_that_lost_its_subscriptions_subscribes_again(
    live_server: Live, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection lives, but no message comes any more: the plain PONG of the next ping shows it."""
    forgotten: list[str] = []

    def pack_and_forget(words: tuple[Any, ...]) -> bytes:
        """Have the server forget the subscriptions before it is pinged, as a proxy does that moves a client."""
        if words[0] == "PING" and not forgotten:
            forgotten.append(JOB)
            return pack(("UNSUBSCRIBE",)) + pack(words)
        return pack(words)

    monkeypatch.setattr(subscribers, "pack", pack_and_forget)
    monkeypatch.setattr(subscribers, "PING_SECONDS", 0.2)
    with live_server.connect() as c:
        lease = c.claim("job", ttl=3600)
        assert lease is not None
        waiter = Thread(lambda: c.hold("job", wait=SOON).__enter__().release())
        until(lambda: "has lost 1 subscriptions; subscribing again" in caplog.text, "the log line")
        until(lambda: live_server.channels() == 1 and runner_of(c).notifier.is_subscribed(JOB), "notices")
        lease.release()
        assert waiter.result() is True


class Channel(str):
    """A name whose end can be seen."""

    __slots__ = ("__weakref__",)


@pytest.mark.slow
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
    dialer = from_url(f"redis://127.0.0.1:{listener.getsockname()[1]}", Options(), asynchronous=True)
    subscriber = Subscriber(dialer, BACKGROUND)
    waiters = [subscriber.subscribe(f"channel-{number}", lambda: None) for number in range(50)]
    until(lambda: len(tries) >= 5, "some tries")
    assert tries[4] - tries[0] > 0.05
    passing: weakref.WeakSet[Channel] = weakref.WeakSet()
    for channel in (Channel(f"passing-{number}") for number in range(1_000)):
        passing.add(channel)
        subscriber.subscribe(channel, lambda: None).leave()
    del channel
    gc.collect()
    assert not passing, "channels without waiters are kept while there is no connection"
    for waiter in waiters:
        waiter.leave()
    subscriber.close()
    subscriber.join()
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
    until(lambda: live_server.subscriptions() == 0, "the end of the subscription")
    with pytest.raises(coord.Unavailable, match="closed"):
        waiter.result()


def test_a_waiter_outlives_a_paused_server(engine: Engine) -> None:
    """A server that stands still for a moment wakes its waiters when it goes on."""
    with Server(engine) as server, coord.connect(server.url) as c:
        lease = c.claim("job", ttl=60)
        assert lease is not None
        waiter = Thread(lambda: c.hold("job", wait=SOON).__enter__().release())
        until(lambda: runner_of(c).notifier.is_subscribed(JOB), "notices")
        server.signal(signal.SIGSTOP)
        release = Thread(lease.release)
        server.signal(signal.SIGCONT)
        assert release.result() is True
        assert waiter.result() is True


# --- other processes ------------------------------------------------------------------------------


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


@pytest.mark.slow
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


def test_the_background_loop_does_not_come_from_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy may make loops that only the main thread can run."""

    def refuse() -> None:
        raise AssertionError("a loop was asked of the policy")

    monkeypatch.setattr(asyncio.get_event_loop_policy(), "new_event_loop", refuse, raising=False)
    background, called = BackgroundLoop(), threading.Event()
    loop = background.enter()
    background.call(loop, called.set)
    assert called.wait(SOON)
    background.leave(loop)
