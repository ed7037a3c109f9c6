"""Barriers: fire once when everything has arrived, however often a queue delivers, and whoever dies."""

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
from backends import Backend
from live import SOON, Live, Thread, run, until, until_async, waiters

import coord
from coord import barriers
from coord.testing.servers import Engine, Server

pytest_plugins = ("live_fixtures",)

KEY = "coord:barrier:{b}"


# --- arriving ------------------------------------------------------------------------------------


def test_the_last_one_to_arrive_completes_the_barrier(c: Any) -> None:
    """Each arrival says how many are missing; exactly one is told that it was the last."""
    b = c.barrier("b")
    b.open(parties=3)
    assert b.arrive("anna") == coord.Arrival(remaining=2, completed=False, counted=True)
    assert b.arrive("bert") == (1, False, True)
    assert b.status().state == "open"
    assert b.arrive("cleo") == (0, True, True)
    assert b.status().state == "complete"


def test_one_of_many_racers_completes_it(backend: Backend) -> None:
    """Of all who arrive at the same time, one is told that it was the last."""
    b, name = backend.connect().barrier("b"), iter(range(1_000))
    b.open(parties=50 if backend.line.awaited else 8)
    arrivals = backend.race(lambda at: at.barrier("b").arrive(f"member-{next(name)}"))
    assert sum(arrival.completed for arrival in arrivals) == 1
    assert sorted(arrival.remaining for arrival in arrivals) == list(range(len(arrivals)))


def test_the_same_member_counts_once(c: Any) -> None:
    """A queue that redelivers changes nothing: the barrier does not fire early."""
    b = c.barrier("b")
    b.open(parties=2)
    b.arrive("anna")
    assert b.arrive("anna") == (1, False, False)
    assert b.fail("anna", "too late") == (1, False, False)
    assert b.status().error_count == 0
    assert b.arrive("bert").completed is True
    assert b.arrive("bert") == (0, False, False)


def test_a_complete_barrier_does_not_fire_again(c: Any) -> None:
    """Who comes late is not counted, and completes nothing."""
    b = c.barrier("b")
    b.open(parties=1)
    b.arrive("anna")
    assert b.arrive("bert") == (0, False, False)
    assert b.status().arrived == 1


def test_a_barrier_that_nobody_opened_does_not_fire(c: Any) -> None:
    """Arriving at nothing is an error, not a completion; asking about nothing is not."""
    b = c.barrier("b")
    for arrive in (lambda: b.arrive("anna"), lambda: b.fail("anna", "oh"), b.wait, lambda: b.watch(print)):
        with pytest.raises(coord.MissingBarrier, match="the barrier 'b'"):
            arrive()
    assert b.status() is None
    assert b.abort() is False


def test_a_failure_counts_as_arrived_and_its_message_is_kept(c: Any) -> None:
    """The barrier fires when some have failed, and says who and why."""
    b = c.barrier("b")
    b.open(parties=2)
    assert b.fail("anna:1", "no disk\nleft") == (1, False, True)
    assert b.arrive("bert").completed is True
    assert b.status().errors == {"anna:1": "no disk\nleft"}
    assert b.status().error_count == 1


def test_a_failure_may_be_the_last(c: Any) -> None:
    """A barrier whose last member fails fires like any other."""
    b = c.barrier("b")
    b.open(parties=1)
    assert b.fail("anna", "oh").completed is True


def test_errors_are_bounded_and_their_count_is_exact(c: Any) -> None:
    """A hundred messages are kept, of 1,024 characters each; the count has all."""
    b = c.barrier("b")
    b.open(parties=150)
    c.run_many([c.calls.barrier("b").fail(f"m-{number}", f"{number} " + "é" * 5_000) for number in range(130)])
    status = b.status()
    assert status.error_count == 130
    assert list(status.errors) == [f"m-{number}" for number in range(100)]
    assert all(len(message) == 1_024 for message in status.errors.values())


def test_a_message_may_hold_anything(c: Any) -> None:
    """What UTF-8 cannot say is replaced; nothing else is lost."""
    b = c.barrier("b")
    b.open(parties=3)
    b.fail("anna", "a\0b\n\n|€ \ud800")
    b.fail("bert", "")
    assert b.status().errors == {"anna": "a\0b\n\n|€ ?", "bert": ""}


@pytest.mark.parametrize("member", ["a:b", "{x}", "%3A", "\n", "€ ", "m|1", "x" * 1_024])
def test_a_member_may_be_called_anything(c: Any, member: str) -> None:
    """Its name comes back as it was given."""
    b = c.barrier(member)
    b.open(parties=2)
    b.fail(member, "oh")
    assert b.arrive(member).counted is False
    assert b.status().errors == {member: "oh"}


def test_metadata_comes_back_as_it_was(c: Any) -> None:
    """Whatever JSON can say; every instance that looks finds it."""
    metadata = {"id": "42", "nested": [1, 2.5, None, True, {"ü": "\n"}], "big": 2**60, "": {}}
    b = c.barrier("b")
    b.open(parties=1, metadata=metadata)
    assert b.status().metadata == metadata
    b.arrive("anna")
    assert b.status().metadata == metadata
    b.open(parties=1)
    assert b.status().metadata is None


def test_a_status_tells_everything(c: Any) -> None:
    """Parties, who has arrived, what is missing, the attempt, and how long it stays open."""
    b = c.barrier("b")
    attempt = b.open(parties=3, deadline=30)
    b.arrive("anna")
    status = b.status()
    assert (status.parties, status.arrived, status.remaining, status.state) == (3, 1, 2, "open")
    assert (status.attempt, status.errors, status.error_count, status.reason) == (attempt, {}, 0, "")
    assert 29 < status.expires_in <= 30


def test_the_same_call_again_is_given_the_first_answer(c: Any) -> None:
    """A repetition after a lost reply arrives no second time, and the completion is not lost with its reply."""
    calls = c.calls.barrier("b")
    opened = calls.open(parties=2)
    attempt = c.run(opened)
    first, last, abort = calls.arrive("anna"), calls.arrive("bert"), calls.abort("late")
    assert c.run(first) == c.run(first) == (1, False, True)
    assert c.run(last) == c.run(last) == (0, True, True)
    assert c.run(first) == (1, False, True)
    assert c.run(abort) is False
    assert c.barrier("b").status().attempt == attempt


def test_opening_is_not_repeated(server: Backend) -> None:
    """An open whose reply was lost is sent again, and does not forget who has arrived since."""
    c = server.connect()
    opened = c.calls.barrier("b").open(parties=2)
    attempt = c.run(opened)
    c.barrier("b").arrive("anna")
    assert c.run(opened) == attempt
    assert c.barrier("b").status().arrived == 1


def test_aborting_is_answered_again_as_at_first(c: Any) -> None:
    """The one that aborted it learns so, also by the repetition of its call."""
    c.barrier("b").open(parties=2)
    abort = c.calls.barrier("b").abort("no more")
    assert c.run(abort) is c.run(abort) is True
    assert c.barrier("b").abort() is False


# --- attempts ------------------------------------------------------------------------------------


def test_opening_again_starts_a_new_attempt(c: Any) -> None:
    """What had arrived is forgotten, errors and all."""
    b = c.barrier("b")
    first = b.open(parties=2, metadata={"n": 1})
    b.fail("anna", "oh")
    second = b.open(parties=3)
    assert first != second
    status = b.status()
    assert (status.attempt, status.parties, status.arrived, status.errors) == (second, 3, 0, {})
    assert b.arrive("anna").counted is True


def test_an_arrival_of_an_older_attempt_is_not_counted(c: Any) -> None:
    """A message that was delivered late belongs to work that has been begun anew."""
    b = c.barrier("b")
    first = b.open(parties=1)
    second = b.open(parties=1)
    assert b.arrive("anna", attempt=first) == (1, False, False)
    assert b.fail("anna", "oh", attempt=first) == (1, False, False)
    assert b.arrive("anna", attempt=second) == (0, True, True)


# --- ends ----------------------------------------------------------------------------------------


def test_an_aborted_barrier_takes_nobody_in(c: Any) -> None:
    """It says why it was aborted; who arrives is not counted."""
    b = c.barrier("b")
    b.open(parties=2)
    assert b.abort("the disk is full") is True
    assert (b.status().state, b.status().reason) == ("aborted", "the disk is full")
    assert b.arrive("anna") == (2, False, False)
    b.open(parties=1)
    assert b.arrive("anna").completed is True


def test_a_barrier_expires_at_its_deadline(backend: Backend, c: Any) -> None:
    """By the clock of the server; after it nobody is counted, though the state is kept for who asks."""
    b = c.barrier("b")
    b.open(parties=2, deadline=30)
    backend.later(29)
    assert b.arrive("anna").counted is True
    backend.later(2)
    assert (b.status().state, b.status().expires_in) == ("expired", 0.0)
    assert b.arrive("bert") == (1, False, False)
    assert b.abort() is False


def test_a_barrier_outlives_its_deadline(backend: Backend, c: Any) -> None:
    """Its TTL is at least twice the deadline, so that those who wait see that it has expired."""
    c.barrier("b").open(parties=1, ttl=10, deadline=60)
    assert backend.left(KEY) == pytest.approx(120, abs=0.2)


def test_every_change_keeps_it_for_its_whole_ttl(backend: Backend, c: Any) -> None:
    """The TTL begins anew with each arrival, and the barrier is gone when nothing happens for so long."""
    b = c.barrier("b")
    b.open(parties=3, ttl=60)
    backend.later(50)
    b.arrive("anna")
    assert backend.left(KEY) == pytest.approx(60, abs=0.2)
    backend.later(61)
    assert b.status() is None


@pytest.mark.permanent
def test_a_barrier_may_be_kept_for_good(backend: Backend) -> None:
    """Where the coordinator has no TTL."""
    c = backend.connect(ttl=None)
    c.barrier("b").open(parties=1, deadline=5)
    assert backend.stored[KEY][2] == -1


def test_it_is_one_key(backend: Backend, c: Any) -> None:
    """An entity is one key with one TTL, beside what is remembered of the operation."""
    c.barrier("b").open(parties=1, metadata={"a": 1})
    c.barrier("b").fail("anna", "oh")
    assert [key for key in backend.stored if ":op:" not in key] == [KEY]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"parties": 0}, ValueError),
        ({"parties": -1}, ValueError),
        ({"parties": 10**9 + 1}, ValueError),
        ({"parties": True}, ValueError),
        ({"parties": 1.0}, TypeError),
        ({"parties": 1, "ttl": 0}, ValueError),
        ({"parties": 1, "deadline": 0}, ValueError),
        ({"parties": 1, "metadata": {"x": object()}}, TypeError),
        ({"parties": 1, "metadata": {"x": float("nan")}}, ValueError),
        ({"parties": 1, "metadata": {"x": "y" * 70_000}}, ValueError),
    ],
)
def test_what_makes_no_sense_is_refused(
    backend: Backend, c: Any, wrong: dict[str, Any], error: type[Exception]
) -> None:
    """Before anything is sent, and with a sentence that names what is wrong."""
    with backend.untouched(), pytest.raises(error, match=r"parties|ttl|deadline|metadata"):
        c.barrier("b").open(**wrong)


# --- waiting -------------------------------------------------------------------------------------


def test_waiting_for_what_has_ended_returns_at_once(c: Any) -> None:
    """Complete or aborted: ``wait`` tells how it ended."""
    b = c.barrier("b")
    b.open(parties=1)
    b.arrive("anna")
    assert b.wait(timeout=SOON).state == "complete"
    b.open(parties=1)
    b.abort("enough")
    assert b.wait().reason == "enough"


def test_a_wait_that_is_over_says_so(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """``WaitTimeout`` names the barrier and how many are missing; nobody waits on."""
    monkeypatch.setattr("coord.plan._LAST_LOOK", SOON)
    with live.connect() as c:
        c.barrier("b").open(parties=3)
        with pytest.raises(coord.WaitTimeout, match=r"'b' lacks 3 after 0\.1 s"):
            c.barrier("b").wait(timeout=0.1)
        assert waiters(c, KEY) == 0


@pytest.mark.slow
@pytest.mark.parametrize("end", ["complete", "aborted", "expired"])
def test_all_who_wait_are_woken(live: Live, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever way it ends, every waiter in every world is told, without looking in between."""
    monkeypatch.setattr("coord.leases._LOOK_AGAIN", 3600.0)

    async def main() -> None:
        async with live.connect_async() as ac:
            b = ac.barrier("b")
            await b.open(parties=1, deadline=3 if end == "expired" else None)
            with live.connect() as c:
                threads = [Thread(lambda: c.barrier("b").wait(SOON)) for _ in range(3)]
                tasks = [asyncio.create_task(b.wait(SOON)) for _ in range(3)]
                await until_async(lambda: waiters(ac, KEY) == 6, "six waiters")
                if end == "complete":
                    await b.arrive("anna")
                elif end == "aborted":
                    await b.abort()
                ends = await asyncio.gather(*tasks)
                ends += [await asyncio.to_thread(thread.result) for thread in threads]
        assert {status.state for status in ends} == {end}

    run(main())


def test_who_waits_goes_on_with_a_new_attempt(live: Live) -> None:
    """A barrier that is opened again while one waits is waited for again."""
    with live.connect() as c:
        b = c.barrier("b")
        b.open(parties=1)
        waiter = Thread(lambda: b.wait(SOON))
        until(lambda: waiters(c, KEY) == 1, "the waiter")
        second = b.open(parties=1)
        b.arrive("anna")
        assert (waiter.result().state, waiter.result().attempt) == ("complete", second)


def test_who_waits_is_told_that_the_barrier_is_gone(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """A barrier that is lost is missing; the next look finds out."""
    monkeypatch.setattr("coord.leases._LOOK_AGAIN", 0.1)
    with live.connect() as c:
        c.barrier("b").open(parties=1)
        waiter = Thread(lambda: c.barrier("b").wait(SOON))
        until(lambda: waiters(c, KEY) == 1, "the waiter")
        live.lose(KEY)
        with pytest.raises(coord.MissingBarrier):
            waiter.result()


# --- watching ------------------------------------------------------------------------------------


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
        until(lambda watch=watch: watch not in watch.worker._jobs, "the end of a watch")


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
            await b.watch(callback)
            await b.watch(called.put_nowait)
            await b.arrive("anna")
            first = await asyncio.wait_for(called.get(), SOON)
            await until_async(lambda: not c._kept, "the end of both watches")
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
    """Whoever comes later finds the barrier complete, and its callback runs if no other has."""
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
    """Cancelling reaches into the callback, and is no error."""

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
            await until_async(lambda: not c._kept, "the end of the watch")

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
    """While it cannot be reached the watch goes on; it is told of a deadline that has passed meanwhile."""
    monkeypatch.setattr("coord.worker._LONGEST", 0.3)
    called: list[str] = []
    with Server(engine) as server, coord.connect(server.url, patience=0.3) as c:
        c.barrier("b").open(parties=1, deadline=3)
        looked = _first_failure(c)
        c.barrier("b").watch(on_timeout=lambda status: called.append(status.state))
        server.signal(signal.SIGSTOP)
        assert looked.wait(SOON)
        server.signal(signal.SIGCONT)
        until(lambda: called, "the callback")
    assert called == ["expired"]


def _first_failure(c: coord.Coordinator) -> threading.Event:
    failed, run_many = threading.Event(), c._runner.run_many

    def watched(calls: Any, within: float | None = None) -> list[Any]:
        answers = run_many(calls, within)
        if any(isinstance(answer, Exception) for answer in answers):
            failed.set()
        return answers

    c._runner.run_many = watched  # type: ignore[method-assign]  # a look at what goes by
    return failed


def test_a_watched_barrier_that_is_gone_is_logged(
    live: Live, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch ends, and a line says which barrier was missing."""
    monkeypatch.setattr("coord.leases._LOOK_AGAIN", 0.1)
    with live.connect() as c, caplog.at_level(logging.WARNING, "coord"):
        c.barrier("b").open(parties=1)
        watch = c.barrier("b").watch(print)
        until(lambda: waiters(c, KEY) == 1, "the watch")
        live.lose(KEY)
        _until_ended([watch])
    assert "'b'" in caplog.text


# --- several processes ---------------------------------------------------------------------------


def _watch(url: str, ready: Any, called: Any) -> None:
    with coord.connect(url) as c:
        done = threading.Event()

        def callback(_: object) -> None:
            called.put(os.getpid())
            done.set()

        watch = c.barrier("b").watch(callback)
        ready.release()
        until(lambda: watch not in watch.worker._jobs, "the end of the watch")


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
    mine, theirs = barriers._fire(calls, attempt, "n1"), barriers._fire(calls, attempt, "n2")
    assert c.run(mine) is c.run(mine) is True
    assert c.run(theirs) is False
    c.barrier("b").open(parties=1)
    assert c.run(theirs) is False


# --- opened again at once ------------------------------------------------------------------------


def end(c: Any, how: str) -> None:
    """End the attempt that is open."""
    c.barrier("b").abort("enough") if how == "aborted" else c.barrier("b").fail("anna", "no disk")


@pytest.mark.parametrize("how", ["complete", "aborted"])
def test_who_waits_is_told_of_the_end_though_the_next_attempt_is_open(c: Any, how: str) -> None:
    """Between two looks an attempt may end and the next begin: the end is told, with all that belonged to it."""
    b = c.barrier("b")
    first = b.open(parties=1, metadata={"batch": 1})
    end(c, how)
    before = b.status()
    b.open(parties=5, metadata={"batch": 2})
    told = c.run(barriers._status_since(c.calls.barrier("b"), first))
    assert told == before
    assert (told.state, told.attempt, told.metadata) == (how, first, {"batch": 1})
    assert b.status().metadata == {"batch": 2}


def test_an_attempt_that_did_not_end_is_not_told(c: Any) -> None:
    """Who waited for it goes on with the next one; what had ended before it is not news to him."""
    b = c.barrier("b")
    b.open(parties=1)
    b.arrive("anna")
    second = b.open(parties=1)
    third = b.open(parties=1)
    assert c.run(barriers._status_since(c.calls.barrier("b"), second)).attempt == third


def test_an_attempt_that_expired_is_told(server: Backend) -> None:
    """Also when it was opened again after its deadline, and not by the last arrival."""
    c = server.connect()
    first = c.barrier("b").open(parties=2, deadline=30)
    server.later(31)
    c.barrier("b").open(parties=2)
    told = c.run(barriers._status_since(c.calls.barrier("b"), first))
    assert (told.state, told.attempt, told.remaining) == ("expired", first, 2)


def test_one_watcher_of_an_attempt_is_chosen_after_it(c: Any) -> None:
    """The next attempt is open; still one watcher of the last one is called, and once."""
    b, calls = c.barrier("b"), c.calls.barrier("b")
    first = b.open(parties=1)
    b.arrive("anna")
    second = b.open(parties=1)
    mine, theirs = barriers._fire(calls, first, "n1"), barriers._fire(calls, first, "n2")
    assert c.run(mine) is c.run(mine) is True
    assert c.run(theirs) is False
    assert c.run(barriers._fire(calls, second, "n2")) is True
    b.arrive("anna")
    b.open(parties=1)
    assert c.run(barriers._fire(calls, second, "n1")) is False
    assert c.run(mine) is False


def test_a_watch_is_not_passed_over_by_the_next_attempt(live: Live) -> None:
    """Opened again at once, twenty times: each watcher is told of its own attempt."""
    called: list[str] = []
    with live.connect() as c:
        attempts = []
        for number in range(20):
            b = c.barrier(f"b-{number}")
            attempts.append(b.open(parties=1))
            b.watch(lambda status: called.append(status.attempt))
            b.arrive("anna")
            b.open(parties=1)
        until(lambda: len(called) == 20, "twenty callbacks")
    assert sorted(called) == sorted(attempts)


def test_a_waiter_is_not_passed_over_by_the_next_attempt(live: Live) -> None:
    """The same for who waits in a thread."""
    with live.connect() as c:
        b = c.barrier("b")
        first = b.open(parties=1)
        waiter = Thread(lambda: b.wait(SOON))
        until(lambda: waiters(c, KEY) == 1, "the waiter")
        b.arrive("anna")
        b.open(parties=1)
        assert (waiter.result().state, waiter.result().attempt) == ("complete", first)
