"""Requests: wait until all the work that a request caused is done, wherever it ran, however often it was delivered."""

from __future__ import annotations

import asyncio
import multiprocessing
from typing import Any

import pytest
from backends import Backend
from live import SOON, Live, Thread, run, until, until_async, waiters, waiters_of_both

import coord
from coord import StageStatus

pytest_plugins = ("live_fixtures",)

KEY = "coord:request:{r}"


@pytest.fixture
def r(c: Any) -> Any:
    """A request that is registered."""
    request = c.request("r")
    request.register()
    return request


# --- the work of a request -----------------------------------------------------------------------


def test_a_request_is_complete_when_all_its_work_is_done(r: Any) -> None:
    """Each piece is added before it is handed on, and done once; then nothing is pending."""
    assert r.add("semantic", "doc-1") is True
    assert r.add("semantic", "doc-2") is True
    assert r.is_complete() is False
    assert r.done("semantic", "doc-1") is True
    assert r.is_complete() is False
    assert r.done("semantic", "doc-2", processed=10) is True
    assert r.is_complete() is True
    assert r.status() == {"semantic": StageStatus(processed=11, requeue_count=0, error_count=0, errors={}, pending=0)}


def test_stages_are_counted_apart(r: Any) -> None:
    """Two kinds of work on the same roots: the request is complete when both are done."""
    for stage in ("semantic", "embedding"):
        for root in ("doc-1", "doc-2"):
            r.add(stage, root)
    r.done("semantic", "doc-1", processed=3)
    r.done("embedding", "doc-2", processed=5)
    assert r.status() == {
        "semantic": StageStatus(processed=3, requeue_count=0, error_count=0, errors={}, pending=1),
        "embedding": StageStatus(processed=5, requeue_count=0, error_count=0, errors={}, pending=1),
    }
    r.done("semantic", "doc-2", processed=4)
    assert r.is_complete() is False
    r.fail("embedding", "doc-1", "no vector")
    assert r.is_complete() is True
    assert r.status()["embedding"] == StageStatus(
        processed=5, requeue_count=0, error_count=1, errors={"doc-1": "no vector"}, pending=0
    )


def test_work_may_cause_more_work(r: Any) -> None:
    """A stage that hands on to the next adds first and is done then, so the request is never complete in between."""
    r.add("semantic", "doc-1")
    r.add("embedding", "doc-1")
    r.done("semantic", "doc-1")
    assert r.is_complete() is False
    r.done("embedding", "doc-1")
    assert r.is_complete() is True


def test_the_same_root_added_twice_is_one_piece(r: Any) -> None:
    """A queue that redelivers the message that added it changes nothing."""
    assert r.add("s", "x") is r.add("s", "x") is True
    assert r.status()["s"].pending == 1
    assert r.done("s", "x") is True
    assert r.is_complete() is True


def test_the_same_root_done_twice_counts_once(r: Any) -> None:
    """A redelivered piece of work does not take another one's place: the counter never goes down twice."""
    r.add("s", "x")
    r.add("s", "y")
    assert r.done("s", "x", processed=2) is True
    assert r.done("s", "x", processed=2) is False
    assert r.fail("s", "x", "again") is False
    assert r.status() == {"s": StageStatus(processed=2, requeue_count=0, error_count=0, errors={}, pending=1)}


def test_a_failed_root_is_done_with(r: Any) -> None:
    """It is not pending any more, and not processed; doing it afterwards counts nothing."""
    r.add("s", "x")
    assert r.fail("s", "x", "oh") is True
    assert r.done("s", "x") is False
    assert r.status() == {"s": StageStatus(processed=0, requeue_count=0, error_count=1, errors={"x": "oh"}, pending=0)}


def test_what_was_done_stays_done(r: Any) -> None:
    """A queue that delivers the adding again, late, does not bring finished work back."""
    r.add("s", "x")
    r.done("s", "x", processed=2)
    assert r.add("s", "x") is True
    assert r.is_complete() is True
    assert r.done("s", "x", processed=2) is False
    assert r.status()["s"].processed == 2


def test_what_was_never_added_is_not_done(r: Any) -> None:
    """Work of another request, or of a request that is gone, changes nothing."""
    r.add("s", "x")
    assert r.done("s", "y") is False
    assert r.done("t", "x") is False
    assert r.fail("t", "x", "oh") is False
    assert r.status() == {"s": StageStatus(processed=0, requeue_count=0, error_count=0, errors={}, pending=1)}


def test_requeues_are_counted(r: Any) -> None:
    """Also of a stage that has no work yet."""
    r.add("s", "x")
    assert r.requeue("s") is True
    assert r.requeue("s", n=4) is True
    assert r.requeue("later", n=2) is True
    assert r.status() == {
        "s": StageStatus(processed=0, requeue_count=5, error_count=0, errors={}, pending=1),
        "later": StageStatus(processed=0, requeue_count=2, error_count=0, errors={}, pending=0),
    }


def test_counts_are_exact_up_to_64_bits(r: Any) -> None:
    """And one more is an error that changes nothing."""
    most = 2**63 - 1
    for root in ("x", "y", "z"):
        r.add("s", root)
    r.done("s", "x", processed=most)
    assert r.status()["s"].processed == most
    with pytest.raises(coord.CountOverflow):
        r.done("s", "y", processed=1)
    assert r.status()["s"] == StageStatus(processed=most, requeue_count=0, error_count=0, errors={}, pending=2)
    r.requeue("s", n=most)
    with pytest.raises(coord.CountOverflow):
        r.requeue("s")
    assert r.status()["s"].requeue_count == most
    assert r.done("s", "y", processed=0) is True


def test_errors_are_bounded_and_their_count_is_exact(c: Any, r: Any) -> None:
    """A hundred messages a stage, of 1,024 characters each."""
    of = c.calls.request("r")
    c.run_many([of.add("s", f"x-{number}") for number in range(130)])
    c.run_many([of.fail("s", f"x-{number}", "é" * 5_000) for number in range(130)])
    status = r.status()["s"]
    assert (status.error_count, status.pending) == (130, 0)
    assert list(status.errors) == [f"x-{number}" for number in range(100)]
    assert {len(message) for message in status.errors.values()} == {1_024}


@pytest.mark.parametrize("name", ["a:b", "{x}", "%3A", "a\nb", "€ ", "|", "1", "x" * 1_024])
def test_stages_and_roots_may_be_called_anything(c: Any, name: str) -> None:
    """Names come back as they were given, and no two meet."""
    request = c.request(name)
    request.register()
    request.add(name, name)
    request.add("s", f"{name[:1_000]}:s")
    request.fail(name, name, "oh\n")
    assert request.status() == {
        name: StageStatus(processed=0, requeue_count=0, error_count=1, errors={name: "oh\n"}, pending=0),
        "s": StageStatus(processed=0, requeue_count=0, error_count=0, errors={}, pending=1),
    }


def test_racers_are_all_counted(backend: Backend) -> None:
    """Workers everywhere finish at the same time: every piece counts once, and one more or less would be seen."""
    c = backend.connect()
    r, names, more = c.request("r"), [f"x-{number}" for number in range(50)], iter(range(1_000))
    r.register()
    c.run_many([c.calls.request("r").add("s", name) for name in names])
    done = backend.race(lambda at: at.request("r").done("s", names[next(more) % len(names)]))
    assert sum(done) == r.status()["s"].processed == 50 - r.status()["s"].pending


# --- repetitions ---------------------------------------------------------------------------------


def test_the_same_call_again_is_given_the_first_answer(c: Any, r: Any) -> None:
    """A repetition after a lost reply adds and does nothing a second time."""
    of = c.calls.request("r")
    add, done = of.add("s", "x"), of.done("s", "x", processed=7)
    assert c.run(add) is c.run(add) is True
    assert c.run(done) is c.run(done) is True
    # Late, when it is done already: it is not added again.
    assert c.run(add) is True
    assert r.status() == {"s": StageStatus(processed=7, requeue_count=0, error_count=0, errors={}, pending=0)}
    r.add("t", "y")
    fail = of.fail("t", "y", "oh")
    assert c.run(fail) is c.run(fail) is True
    assert r.status()["t"] == StageStatus(processed=0, requeue_count=0, error_count=1, errors={"y": "oh"}, pending=0)


def test_requeue_and_cleanup_are_remembered(server: Backend) -> None:
    """On servers, where a reply may be lost, they travel with an operation id."""
    c = server.connect()
    r, of = c.request("r"), c.calls.request("r")
    r.register()
    requeue = of.requeue("s", n=3)
    assert c.run(requeue) is c.run(requeue) is True
    assert r.status()["s"].requeue_count == 3
    cleanup = of.cleanup()
    assert c.run(cleanup) is True
    r.register()
    assert c.run(cleanup) is True
    assert c.request("r").add("s", "x") is True


def test_registering_again_keeps_what_is_known(r: Any) -> None:
    """The first to get the message registers; the others change nothing."""
    r.add("s", "x")
    r.register()
    assert r.status() == {"s": StageStatus(processed=0, requeue_count=0, error_count=0, errors={}, pending=1)}


# --- unknown and gone ----------------------------------------------------------------------------


def test_a_request_that_is_unknown_is_complete(c: Any) -> None:
    """A request that was never registered is not waited for; nothing is created for it."""
    r = c.request("r")
    assert r.is_complete() is True
    assert r.status() == {}
    with pytest.raises(coord.MissingRequest):
        r.wait(timeout=SOON)
    assert r.wait(timeout=SOON, missing_ok=True) == {}
    assert r.add("s", "x") is False
    assert r.done("s", "x") is False
    assert r.requeue("s") is False
    assert r.cleanup() is False
    assert r.status() == {}


def test_cleanup_forgets_everything(backend: Backend, r: Any) -> None:
    """One call, and no key of the request is left but what is remembered of that call."""
    r.add("s", "x")
    assert r.cleanup() is True
    assert r.cleanup() is False
    assert [key for key in backend.stored if ":op:" not in key and not key.endswith(":ended")] == []
    assert r.add("s", "x") is False


def test_every_change_keeps_it_for_its_whole_ttl(backend: Backend, c: Any) -> None:
    """Work that goes on keeps the request; when nothing happens for so long, it is gone."""
    r = c.request("r")
    r.register(ttl=60)
    changes = (
        lambda: r.add("s", "x"),
        lambda: r.add("s", "y"),
        lambda: r.requeue("s"),
        lambda: r.done("s", "x"),
        lambda: r.fail("s", "y", "oh"),
        lambda: r.register(ttl=60),
    )
    for change in changes:
        backend.later(50)
        change()
        assert backend.left(KEY) == pytest.approx(60, abs=0.2)
    backend.later(61)
    assert r.status() == {}


@pytest.mark.permanent
def test_a_request_may_be_kept_for_good(backend: Backend) -> None:
    """Where the coordinator has no TTL."""
    c = backend.connect(ttl=None)
    c.request("r").register()
    c.request("r").add("s", "x")
    assert backend.stored[KEY][2] == -1


def test_it_is_one_key(backend: Backend, r: Any) -> None:
    """However many stages and roots: one key with one TTL, so that it never half expires."""
    for stage in ("s", "t"):
        for root in ("x", "y"):
            r.add(stage, root)
    r.fail("s", "x", "oh")
    r.requeue("u")
    assert [key for key in backend.stored if ":op:" not in key] == [KEY]


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda r: r.add("", "x"), ValueError),
        (lambda r: r.add("s", ""), ValueError),
        (lambda r: r.add("s", 5), TypeError),
        (lambda r: r.done("s", "x", processed=-1), ValueError),
        (lambda r: r.done("s", "x", processed=1.5), TypeError),
        (lambda r: r.done("s", "x", processed=2**63), ValueError),
        (lambda r: r.fail("s", "x", None), TypeError),
        (lambda r: r.requeue("s", n=0), ValueError),
        (lambda r: r.register(ttl=0), ValueError),
        (lambda r: r.wait(timeout=-1), ValueError),
    ],
)
def test_what_makes_no_sense_is_refused(backend: Backend, r: Any, ask: Any, error: type[Exception]) -> None:
    """Before anything is sent."""
    with backend.untouched(), pytest.raises(error, match=r"stage|root|processed|message|n |ttl|timeout|fit"):
        ask(r)


# --- waiting -------------------------------------------------------------------------------------


def test_waiting_for_what_is_done_returns_at_once(r: Any) -> None:
    """With how far each stage has come; a request without any work is complete."""
    assert r.wait() == {}
    r.add("s", "x")
    r.done("s", "x", processed=3)
    assert r.wait(timeout=SOON) == {"s": StageStatus(processed=3, requeue_count=0, error_count=0, errors={}, pending=0)}


def test_a_wait_that_is_over_says_so(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """``WaitTimeout`` names the request and how much is pending; nobody waits on."""
    monkeypatch.setattr("coord.waiting.LAST_LOOK", SOON)
    with live.connect() as c:
        c.request("r").register()
        c.request("r").add("s", "x")
        with pytest.raises(coord.WaitTimeout, match=r"'r' still had 1 pending after 0\.1 s"):
            c.request("r").wait(timeout=0.1)
        assert waiters(c, KEY) == 0


@pytest.mark.parametrize("end", ["done", "failed", "cleaned up"])
def test_all_who_wait_are_woken(live: Live, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the last piece that is done, or fails, or by the cleanup; without looking in between."""
    monkeypatch.setattr("coord.waiting.LOOK_AGAIN", 3600.0)

    async def main() -> None:
        async with live.connect_async() as ac:
            r = ac.request("r")
            await r.register()
            for stage in ("semantic", "embedding"):
                await r.add(stage, "x")
            with live.connect() as c:
                threads = [Thread(lambda: c.request("r").wait(SOON)) for _ in range(3)]
                tasks = [asyncio.create_task(r.wait(SOON)) for _ in range(3)]
                await until_async(lambda: waiters_of_both(c, ac, KEY) == 6, "six waiters")
                await r.done("semantic", "x")
                if end == "done":
                    await r.done("embedding", "x")
                elif end == "failed":
                    await r.fail("embedding", "x", "oh")
                else:
                    await r.cleanup()
                ends = await asyncio.gather(*tasks)
                ends += [await asyncio.to_thread(thread.result) for thread in threads]
        semantic, embedding = (
            StageStatus(processed=1, requeue_count=0, error_count=0, errors={}, pending=0),
            StageStatus(processed=1, requeue_count=0, error_count=0, errors={}, pending=0),
        )
        if end == "failed":
            embedding = StageStatus(processed=0, requeue_count=0, error_count=1, errors={"x": "oh"}, pending=0)
        wanted = {} if end == "cleaned up" else {"semantic": semantic, "embedding": embedding}
        assert ends == [wanted] * 6

    run(main())


def test_a_cancelled_wait_leaves_nothing_behind(live: Live) -> None:
    """No place, no task."""

    async def main() -> None:
        async with live.connect_async() as c:
            await c.request("r").register()
            await c.request("r").add("s", "x")
            tasks = [asyncio.create_task(c.request("r").wait()) for _ in range(5)]
            await until_async(lambda: waiters(c, KEY) == 5, "five waiters")
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert waiters(c, KEY) == 0

    run(main())


def _do(url: str, stage: str, count: int) -> None:
    with coord.connect(url) as c:
        for number in range(count):
            # Delivered twice, as queues do.
            for _ in range(2):
                c.request("r").done(stage, f"x-{number}", processed=2)


@pytest.mark.slow
def test_a_waiter_sees_the_work_of_other_processes(live_server: Live) -> None:
    """Two stages, done in two processes; the wait returns with exact counts."""
    context = multiprocessing.get_context("spawn")
    with live_server.connect() as c:
        r = c.request("r")
        r.register()
        for stage in ("semantic", "embedding"):
            for number in range(40):
                r.add(stage, f"x-{number}")
        crew = [context.Process(target=_do, args=(live_server.url, stage, 40)) for stage in ("semantic", "embedding")]
        for each in crew:
            each.start()
        assert r.wait(SOON) == {
            stage: StageStatus(processed=80, requeue_count=0, error_count=0, errors={}, pending=0)
            for stage in ("semantic", "embedding")
        }
        for each in crew:
            each.join(SOON)
            assert each.exitcode == 0


def test_a_waiter_for_a_request_that_expires_goes_on(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that expires, or is lost, is not finished: its waiters learn that."""
    monkeypatch.setattr("coord.waiting.LOOK_AGAIN", 0.1)
    with live.connect() as c:
        c.request("r").register()
        c.request("r").add("s", "x")
        waiter = Thread(lambda: c.request("r").wait(SOON))
        until(lambda: waiters(c, KEY) == 1, "the waiter")
        live.lose(KEY)
        with pytest.raises(coord.MissingRequest, match="'r'"):
            waiter.result()
