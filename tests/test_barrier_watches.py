"""Watching barriers: the callback runs once, wherever it was registered."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import threading
from typing import Any

import pytest
from holding import first_failure
from live import SOON, Live, run, until, until_async, waiters

import coord
from coord import barriers
from coord.loops import BACKGROUND
from coord.testing.servers import Engine, Server
from coord.testing.topologies import client

pytest_plugins = ("live_fixtures",)

KEY = "coord:barrier:{b}"


# --- watching -------------------------------------------------------------------------------------


def test_of_all_who_watch_one_is_called(live: Live) -> None:
    """Three coordinators watch twice each; when the barrier is complete, one callback runs, with its status."""
    called: list[coord.BarrierStatus] = []
    with live.connect() as one, live.connect() as two, live.connect() as three:
        one.barrier("b").open(parties=2, metadata={"id": 42})
        watches = [each.barrier("b").watch(called.append) for each in (one, two, three) for _ in range(2)]
        one.barrier("b").arrive("anna")
        two.barrier("b").arrive("bert")
        until(lambda: called, "the callback")
        _until_ended(watches)
    assert [(status.state, status.metadata) for status in called] == [("complete", {"id": 42})]


def _until_ended(watches: list[Any]) -> None:
    for watch in watches:
        until(watch.done, "the end of a watch")


def test_a_callback_runs_on_the_watcher_thread(live: Live) -> None:
    """Blocking: all callbacks of a coordinator run on its one watcher thread, which ends when nothing is watched."""
    names: list[str] = []
    with live.connect() as c:
        for name in ("a", "b", "c"):
            c.barrier(name).open(parties=1)
            c.barrier(name).watch(lambda _: names.append(threading.current_thread().name))
        for name in ("a", "b", "c"):
            c.barrier(name).arrive("x")
        until(lambda: len(names) == 3, "three callbacks")
        until(lambda: "coord-watcher" not in [each.name for each in threading.enumerate()], "the end of the watcher")
    assert names == ["coord-watcher"] * 3


def test_a_callback_runs_on_the_loop_that_registered_it(live: Live) -> None:
    """Awaited: in a task of that loop, and what the callback returns is awaited."""

    async def main() -> None:
        called: asyncio.Queue[Any] = asyncio.Queue()

        async def callback(status: coord.BarrierStatus) -> None:
            await asyncio.sleep(0)
            called.put_nowait((status.state, asyncio.get_running_loop()))

        async with live.connect_async() as c:
            b = c.barrier("b")
            await b.open(parties=1)
            watches = [await b.watch(callback), await b.watch(called.put_nowait)]
            await b.arrive("anna")
            first = await asyncio.wait_for(called.get(), SOON)
            await until_async(lambda: all(watch.done() for watch in watches), "the end of both watches")
            assert called.empty()
            assert first == ("complete", asyncio.get_running_loop()) or first.state == "complete"

    run(main())


@pytest.mark.slow
def test_a_callback_runs_for_the_deadline_of_the_server(live: Live) -> None:
    """``on_timeout``, once, and not ``on_complete``."""
    called: list[str] = []
    with live.connect() as one, live.connect() as two:
        one.barrier("b").open(parties=2, deadline=3)
        watches = [
            each.barrier("b").watch(
                lambda _: called.append("complete"), lambda status: called.append(f"{status.state} {status.remaining}")
            )
            for each in (one, two)
        ]
        one.barrier("b").arrive("anna")
        until(lambda: called, "the callback")
        _until_ended(watches)
    assert called == ["expired 1"]


def test_who_watches_for_one_end_only_leaves_the_other_to_others(live: Live) -> None:
    """A watcher without a callback for this end does not take it from one that has it."""
    called: list[str] = []
    with live.connect() as one, live.connect() as two:
        one.barrier("b").open(parties=1)
        watches = [
            one.barrier("b").watch(on_timeout=lambda _: called.append("timeout")),
            two.barrier("b").watch(on_complete=lambda _: called.append("complete")),
        ]
        one.barrier("b").arrive("anna")
        _until_ended(watches)
    assert called == ["complete"]


def test_an_aborted_barrier_calls_nobody(live: Live) -> None:
    """Its watchers end."""
    called: list[Any] = []
    with live.connect() as c:
        c.barrier("b").open(parties=1)
        watch = c.barrier("b").watch(called.append, called.append)
        c.barrier("b").abort()
        _until_ended([watch])
    assert called == []


def test_watching_what_has_ended_calls_at_once_and_once(live: Live) -> None:
    """A later watcher finds the barrier complete, and its callback runs if no other has."""
    called: list[Any] = []
    with live.connect() as c:
        c.barrier("b").open(parties=1)
        c.barrier("b").arrive("anna")
        _until_ended([c.barrier("b").watch(called.append)])
        _until_ended([c.barrier("b").watch(called.append)])
        assert len(called) == 1
        c.barrier("b").open(parties=1)
        c.barrier("b").arrive("anna")
        _until_ended([c.barrier("b").watch(called.append)])
    assert len(called) == 2


ANYTHING = [ZeroDivisionError, SystemExit, asyncio.CancelledError]
"""What a callback may raise."""


@pytest.mark.parametrize("error", [*ANYTHING, KeyboardInterrupt, GeneratorExit])
def test_a_callback_that_fails_is_logged_and_stops_no_other(
    live: Live, caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    """The log names the barrier; the next callback runs, on the same thread, whatever this one raised."""
    called: list[Any] = []

    def fail(_: object) -> None:
        raise error("by a callback")

    with live.connect() as c, caplog.at_level(logging.ERROR, "coord"):
        for name, callback in (("bad", fail), ("good", called.append)):
            c.barrier(name).open(parties=1)
            c.barrier(name).watch(callback)
        c.barrier("bad").arrive("anna")
        until(lambda: caplog.records, "the log line")
        c.barrier("good").arrive("anna")
        until(lambda: called, "the other callback")
    (record,) = caplog.records
    assert "'bad'" in record.getMessage()
    assert "by a callback" in caplog.text


@pytest.mark.parametrize("error", ANYTHING)
def test_an_awaited_callback_that_fails_is_logged(
    live: Live, caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    """The same, awaited; it does not end the loop either."""

    async def main() -> None:
        async def fail(_: object) -> None:
            raise error

        async with live.connect_async() as c:
            await c.barrier("bad").open(parties=1)
            await c.barrier("bad").watch(fail)
            await c.barrier("bad").arrive("anna")
            await until_async(lambda: caplog.records, "the log line")

    with caplog.at_level(logging.ERROR, "coord"):
        run(main())
    assert "'bad'" in caplog.records[0].getMessage()


@pytest.mark.slow
def test_ctrl_c_in_an_awaited_callback_is_not_the_callback_s(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """It came to the loop while the callback ran, and ends the program, as it does anywhere else."""

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    async def main() -> None:
        async with live.connect_async() as c:
            await c.barrier("b").open(parties=1)
            await c.barrier("b").watch(interrupted)
            await c.barrier("b").arrive("anna")
            await asyncio.Event().wait()

    with caplog.at_level(logging.ERROR, "coord"), pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    # asyncio says something of the task; that is its own affair.
    gc.collect()
    assert not [record for record in caplog.records if record.name == "coord"]


def test_a_watch_that_is_cancelled_inside_its_callback_ends(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """Cancelling reaches into the callback, and is not logged as an error."""

    async def main() -> None:
        begun = asyncio.Event()

        async def callback(_: object) -> None:
            begun.set()
            await asyncio.Event().wait()

        async with live.connect_async() as c:
            await c.barrier("b").open(parties=1)
            watch = await c.barrier("b").watch(callback)
            await c.barrier("b").arrive("anna")
            await begun.wait()
            watch.cancel()
            await until_async(watch.done, "the end of the watch")

    with caplog.at_level(logging.ERROR, "coord"):
        run(main())
    assert not caplog.records


def test_a_callback_may_close_the_coordinator(live: Live) -> None:
    """Closing from inside a callback is closing: the callback goes on after it, and nothing else does."""

    def watched(c: Any, closed: threading.Event) -> Any:
        return lambda _: (c.close(), closed.set())

    closed, c = threading.Event(), live.connect()
    c.barrier("b").open(parties=1)
    c.barrier("b").watch(watched(c, closed))
    c.barrier("b").arrive("anna")
    assert closed.wait(SOON)
    c.close()


def test_an_awaited_callback_may_close_the_coordinator(live: Live) -> None:
    """The same, awaited: it does not cancel itself, but the other watches, and may be closed from two sides."""

    async def main() -> None:
        closed = asyncio.Event()
        c = await live.connect_async()

        async def close(_: object) -> None:
            await c.aclose()
            closed.set()

        await c.barrier("b").open(parties=1)
        await c.barrier("other").open(parties=1)
        other = await c.barrier("other").watch(print)
        await c.barrier("b").watch(close)
        await c.barrier("b").arrive("anna")
        await asyncio.wait_for(closed.wait(), SOON)
        assert other.cancelled()
        await c.aclose()

    run(main())


def test_a_callback_may_use_the_coordinator(live: Live) -> None:
    """It may open the barrier again, watch it, and hold names."""
    rounds: list[str] = []

    def again(status: coord.BarrierStatus) -> None:
        rounds.append(status.attempt)
        if len(rounds) < 5:
            with c.hold("job"):
                c.barrier("b").open(parties=1)
            c.barrier("b").watch(again)
            c.barrier("b").arrive("anna")

    with live.connect() as c:
        c.barrier("b").open(parties=1)
        c.barrier("b").watch(again)
        c.barrier("b").arrive("anna")
        until(lambda: len(rounds) == 5, "five rounds")
    assert len(set(rounds)) == 5


def test_a_cancel_takes_no_callback_with_it() -> None:
    """A watch that begins late, cancelled before the end, finds the end first: it leaves the callback to the other."""
    called: list[str] = []
    loop = BACKGROUND.enter()
    before, begun, after = threading.Event(), threading.Event(), threading.Event()
    try:
        with coord.connect("memory://watched") as c:
            barrier = c.barrier("b")
            barrier.open(parties=1)
            # The loop stands still until the first watch was asked for, and again before its first step.
            BACKGROUND.call(loop, before.wait)
            first = barrier.watch(lambda _: called.append("cancelled"))
            BACKGROUND.call(loop, begun.set)
            BACKGROUND.call(loop, after.wait)
            before.set()
            assert begun.wait(SOON)
            first.cancel()
            barrier.watch(lambda _: called.append("other"))
            barrier.arrive("anna")
            after.set()
            until(lambda: called, "the callback")
        assert called == ["other"]
    finally:
        before.set()
        after.set()
        BACKGROUND.leave(loop)


def test_a_watch_that_is_cancelled_calls_nobody(live: Live) -> None:
    """Another one is called instead."""
    called: list[str] = []
    with live.connect() as c:
        c.barrier("b").open(parties=1)
        c.barrier("b").watch(lambda _: called.append("cancelled")).cancel()
        c.barrier("b").watch(lambda _: called.append("other"))
        c.barrier("b").arrive("anna")
        until(lambda: called, "the callback")
    assert called == ["other"]


@pytest.mark.slow
def test_a_watch_outlives_a_server_that_goes_away(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the server cannot be reached the watch goes on; it learns of a deadline that has passed meanwhile."""
    monkeypatch.setattr("coord.waiting.LOOK_AGAIN", 0.1)
    called: list[str] = []
    with Server(engine) as server, coord.connect(server.url, timeout=0.5, patience=0.3) as c:
        c.barrier("b").open(parties=1, deadline=1)
        looked = first_failure(c)
        c.barrier("b").watch(on_timeout=lambda status: called.append(status.state))
        server.signal(signal.SIGSTOP)
        assert looked.wait(SOON)
        server.signal(signal.SIGCONT)
        until(lambda: called, "the callback")
    assert called == ["expired"]


@pytest.mark.parametrize("awaited", [False, True], ids=["blocking", "awaited"])
def test_a_watch_outlives_a_password_that_is_rotated(
    engine: Engine, awaited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a while the server has the new password and the client the old one: a ``ConfigError`` that passes."""
    monkeypatch.setattr("coord.waiting.LOOK_AGAIN", 0.1)
    called: list[str] = []

    def rotate(look: Any, password: str) -> None:
        look.execute_command("ACL", "SETUSER", "anna", "resetpass", f">{password}")
        for kind in ("normal", "pubsub"):
            look.client_kill_filter(_type=kind, skipme=True)

    def arrive() -> None:
        with coord.connect(server.url) as other:
            other.barrier("b").arrive("x")

    async def watching(url: str, look: Any) -> None:
        async with coord.connect_async(url, patience=0.3) as c:
            looked = first_failure(c)
            await c.barrier("b").watch(lambda status: called.append(status.state))
            rotate(look, "new")
            await until_async(looked.is_set, "a look that failed")
            rotate(look, "old")
            look.close()
            arrive()
            await until_async(lambda: called, "the callback")

    with Server(engine) as server:
        look = client(server)
        look.execute_command("ACL", "SETUSER", "anna", "on", ">old", "~*", "&*", "+@all")
        url = server.url.replace("redis://", "redis://anna:old@")
        with coord.connect(server.url) as c:
            c.barrier("b").open(parties=1)
        if awaited:
            asyncio.run(watching(url, look))
        else:
            with coord.connect(url, patience=0.3) as c:
                looked = first_failure(c)
                c.barrier("b").watch(lambda status: called.append(status.state))
                rotate(look, "new")
                assert looked.wait(SOON)
                rotate(look, "old")
                look.close()
                arrive()
                until(lambda: called, "the callback")
    assert called == ["complete"]


def test_a_watched_barrier_that_is_gone_is_logged(
    live: Live, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch ends, and a line says which barrier was missing."""
    monkeypatch.setattr("coord.waiting.LOOK_AGAIN", 0.1)
    with live.connect() as c, caplog.at_level(logging.WARNING, "coord"):
        c.barrier("b").open(parties=1)
        watch = c.barrier("b").watch(print)
        until(lambda: waiters(c, KEY) == 1, "the watch")
        live.lose(KEY)
        _until_ended([watch])
    assert "'b'" in caplog.text


# --- several processes ----------------------------------------------------------------------------


def _watch(url: str, ready: Any, called: Any) -> None:
    with coord.connect(url) as c:
        done = threading.Event()

        def callback(_: object) -> None:
            called.put(os.getpid())
            done.set()

        watch = c.barrier("b").watch(callback)
        ready.release()
        until(watch.done, "the end of the watch")


@pytest.mark.slow
def test_of_all_processes_one_is_called(live_server: Live) -> None:
    """Four processes watch; the callback runs in one of them."""
    context = multiprocessing.get_context("spawn")
    ready, called = context.Semaphore(0), context.SimpleQueue()
    with live_server.connect() as c:
        c.barrier("b").open(parties=1)
        crew = [context.Process(target=_watch, args=(live_server.url, ready, called)) for _ in range(4)]
        for each in crew:
            each.start()
        for _ in crew:
            assert ready.acquire(timeout=SOON)
        c.barrier("b").arrive("anna")
        for each in crew:
            each.join(SOON)
            assert each.exitcode == 0
        assert called.get() in [each.pid for each in crew]
        assert called.empty()
    called.close()


def _open_and_die(url: str) -> None:
    c = coord.connect(url)
    c.barrier("b").open(parties=1, metadata={"from": "the dead"})
    c.barrier("b").watch(print)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_an_opener_that_dies_is_succeeded(live_server: Live) -> None:
    """Its callback is lost with it, but not the barrier: another instance watches it, and is called."""
    opener = multiprocessing.get_context("spawn").Process(target=_open_and_die, args=(live_server.url,))
    opener.start()
    opener.join(SOON)
    assert opener.exitcode == -signal.SIGKILL
    called: list[Any] = []
    with live_server.connect() as c:
        c.barrier("b").watch(called.append)
        c.barrier("b").arrive("anna")
        until(lambda: called, "the callback")
    assert called[0].metadata == {"from": "the dead"}


def test_a_watcher_is_chosen_once_however_often_it_asks(c: Any) -> None:
    """The repetition of a lost reply is answered as at first; another watcher, and an older attempt, are refused."""
    attempt = c.barrier("b").open(parties=1)
    calls = c.calls.barrier("b")
    mine, theirs = barriers.fire(calls, attempt, "n1"), barriers.fire(calls, attempt, "n2")
    assert c.run(mine) is c.run(mine) is True
    assert c.run(theirs) is False
    c.barrier("b").open(parties=1)
    assert c.run(theirs) is False
