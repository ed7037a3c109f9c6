"""Waiting for barriers, also for those that are opened again at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from backends import Backend
from live import SOON, Live, Thread, run, until, until_async, waiters, waiters_of_both

import coord
from coord import barriers

pytest_plugins = ("live_fixtures",)

KEY = "coord:barrier:{b}"


# --- waiting --------------------------------------------------------------------------------------


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
    monkeypatch.setattr("coord.waiting.LAST_LOOK", SOON)
    with live.connect() as c:
        c.barrier("b").open(parties=3)
        with pytest.raises(coord.WaitTimeout, match=r"'b' still lacked 3 after 0\.1 s"):
            c.barrier("b").wait(timeout=0.1)
        assert waiters(c, KEY) == 0


@pytest.mark.slow
@pytest.mark.parametrize("end", ["complete", "aborted", "expired"])
def test_all_who_wait_are_woken(live: Live, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever way it ends, every waiter in every mode is woken, without polling."""
    monkeypatch.setattr("coord.waiting.LOOK_AGAIN", 3600.0)

    async def main() -> None:
        async with live.connect_async() as ac:
            b = ac.barrier("b")
            await b.open(parties=1, deadline=3 if end == "expired" else None)
            with live.connect() as c:
                threads = [Thread(lambda: c.barrier("b").wait(SOON)) for _ in range(3)]
                tasks = [asyncio.create_task(b.wait(SOON)) for _ in range(3)]
                await until_async(lambda: waiters_of_both(c, ac, KEY) == 6, "six waiters")
                if end == "complete":
                    await b.arrive("anna")
                elif end == "aborted":
                    await b.abort()
                ends = await asyncio.gather(*tasks)
                ends += [await asyncio.to_thread(thread.result) for thread in threads]
        assert {status.state for status in ends} == {end}

    run(main())


def test_a_waiter_goes_on_with_a_new_attempt(live: Live) -> None:
    """A barrier that is opened again while one waits is waited for again."""
    with live.connect() as c:
        b = c.barrier("b")
        b.open(parties=1)
        waiter = Thread(lambda: b.wait(SOON))
        until(lambda: waiters(c, KEY) == 1, "the waiter")
        second = b.open(parties=1)
        b.arrive("anna")
        assert (waiter.result().state, waiter.result().attempt) == ("complete", second)


def test_a_waiter_learns_that_the_barrier_is_gone(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """A barrier that is lost is missing; the next look finds out."""
    monkeypatch.setattr("coord.waiting.LOOK_AGAIN", 0.1)
    with live.connect() as c:
        c.barrier("b").open(parties=1)
        waiter = Thread(lambda: c.barrier("b").wait(SOON))
        until(lambda: waiters(c, KEY) == 1, "the waiter")
        live.lose(KEY)
        with pytest.raises(coord.MissingBarrier):
            waiter.result()


# --- opened again at once -------------------------------------------------------------------------


def end(c: Any, how: str) -> None:
    """End the attempt that is open."""
    c.barrier("b").abort("enough") if how == "aborted" else c.barrier("b").fail("anna", "no disk")


@pytest.mark.parametrize("how", ["complete", "aborted"])
def test_a_waiter_gets_the_end_though_the_next_attempt_is_open(c: Any, how: str) -> None:
    """Between two looks an attempt may end and the next begin: the waiter gets the end, whole."""
    b = c.barrier("b")
    first = b.open(parties=1, metadata={"batch": 1})
    end(c, how)
    before = b.status()
    b.open(parties=5, metadata={"batch": 2})
    told = c.run(barriers.status_since(c.calls.barrier("b"), first))
    assert told == before
    assert (told.state, told.attempt, told.metadata) == (how, first, {"batch": 1})
    assert b.status().metadata == {"batch": 2}


def test_an_attempt_that_did_not_end_is_not_reported(c: Any) -> None:
    """Who waited for it goes on with the next one; what had ended before it is not news to him."""
    b = c.barrier("b")
    b.open(parties=1)
    b.arrive("anna")
    second = b.open(parties=1)
    third = b.open(parties=1)
    assert c.run(barriers.status_since(c.calls.barrier("b"), second)).attempt == third


def test_an_attempt_that_expired_is_reported(server: Backend) -> None:
    """Also when it was opened again after its deadline, and not by the last arrival."""
    c = server.connect()
    first = c.barrier("b").open(parties=2, deadline=30)
    server.later(31)
    c.barrier("b").open(parties=2)
    told = c.run(barriers.status_since(c.calls.barrier("b"), first))
    assert (told.state, told.attempt, told.remaining) == ("expired", first, 2)


def test_one_watcher_of_an_attempt_is_chosen_after_it(c: Any) -> None:
    """The next attempt is open; still one watcher of the last one is called, and once."""
    b, calls = c.barrier("b"), c.calls.barrier("b")
    first = b.open(parties=1)
    b.arrive("anna")
    second = b.open(parties=1)
    mine, theirs = barriers.fire(calls, first, "n1"), barriers.fire(calls, first, "n2")
    assert c.run(mine) is c.run(mine) is True
    assert c.run(theirs) is False
    assert c.run(barriers.fire(calls, second, "n2")) is True
    b.arrive("anna")
    b.open(parties=1)
    assert c.run(barriers.fire(calls, second, "n1")) is False
    assert c.run(mine) is False


def test_a_watch_is_not_passed_over_by_the_next_attempt(live: Live) -> None:
    """Opened again at once, twenty times: each watcher gets the end of its own attempt."""
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
    """The same for a waiting thread."""
    with live.connect() as c:
        b = c.barrier("b")
        first = b.open(parties=1)
        waiter = Thread(lambda: b.wait(SOON))
        until(lambda: waiters(c, KEY) == 1, "the waiter")
        b.arrive("anna")
        b.open(parties=1)
        assert (waiter.result().state, waiter.result().attempt) == ("complete", first)
