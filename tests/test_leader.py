"""Leaders: of all instances that campaign for a name, one runs the work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from backends import Backend
from live import SOON, comes_to_be

import coord
from coord.coordinator import runner_of

KEY = "coord:leader:{beat}"


@pytest.fixture
def blocking(backend: Backend) -> Iterator[Callable[[], coord.Coordinator]]:
    """Makes blocking coordinators at the same keys."""
    made: list[coord.Coordinator] = []

    def make() -> coord.Coordinator:
        made.append(backend.place.connect(False))
        return made[-1]

    yield make
    for c in made:
        c.close()


@pytest.fixture
def a(blocking: Callable[[], coord.Coordinator]) -> coord.Coordinator:
    return blocking()


@pytest.fixture
def b(blocking: Callable[[], coord.Coordinator]) -> coord.Coordinator:
    return blocking()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


# --- who leads -----------------------------------------------------------------------------------


def test_the_leader_is_shown_to_everyone(c: Any, b: coord.Coordinator) -> None:
    assert c.leader("beat").current() is None
    with c.leader("beat", ttl=15).hold() as lease:
        found = b.leader("beat").current()
        assert found is not None
        assert (found.owner, found.fence) == (lease.owner, lease.fence)
        assert 14 < found.expires_in <= 15
        with pytest.raises(coord.WaitTimeout), b.leader("beat").hold(wait=0):
            pass
    assert c.leader("beat").current() is None


def test_leaders_and_claims_of_one_name_are_apart(c: Any) -> None:
    assert c.claim("beat") is not None
    with c.leader("beat").hold(wait=0):
        assert c.holder("beat").owner != c.leader("beat").current().owner


@pytest.mark.parametrize(
    ("bad", "error"),
    [({"name": ""}, ValueError), ({"name": 7}, TypeError), ({"ttl": 0}, ValueError), ({"ttl": True}, ValueError)],
)
def test_bad_input_is_refused_before_anything_is_sent(
    backend: Backend, c: Any, bad: dict[str, Any], error: type[Exception]
) -> None:
    with backend.untouched(), pytest.raises(error):
        c.leader(**{"name": "beat", **bad})
    with backend.untouched(), pytest.raises(ValueError, match="wait"):
        c.leader("beat").hold(wait=-1)


# --- run, blocking -------------------------------------------------------------------------------


def test_run_returns_the_value_and_resigns(a: coord.Coordinator) -> None:
    leader = a.leader("beat")
    seen: list[Any] = []

    def work(lease: coord.Lease) -> str:
        seen.append(leader.current())
        return f"term {lease.fence}"

    assert leader.run(work) == f"term {seen[0].fence}"
    assert leader.current() is None


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt(), StopIteration(), GeneratorExit()])
def test_an_error_of_the_work_resigns_and_passes(a: coord.Coordinator, error: BaseException) -> None:
    def work(_: coord.Lease) -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        a.leader("beat").run(work)
    assert raised.value is error
    assert comes_to_be(lambda: a.leader("beat").current() is None)


def test_after_a_loss_it_waits_for_the_work_and_campaigns_again(
    backend: Backend, a: coord.Coordinator, b: coord.Coordinator, threads: ThreadPoolExecutor
) -> None:
    terms: list[int] = []
    leads, ends = threading.Event(), threading.Event()

    def work(lease: coord.Lease) -> str:
        terms.append(lease.fence)
        if len(terms) == 1:
            leads.set()
            assert lease.lost.wait(SOON)
            assert ends.wait(SOON)
            return "lost"
        return "kept"

    run = threads.submit(a.leader("beat", ttl=1).run, work)
    assert leads.wait(SOON)
    backend.lose(KEY)
    backend.clock.advance(ms=1)
    with b.leader("beat").hold(wait=SOON) as taken:
        ends.set()
    assert run.result(SOON) == "kept"
    assert terms[0] < taken.fence < terms[1]


def test_a_value_that_comes_after_the_loss_is_discarded(
    backend: Backend, a: coord.Coordinator, b: coord.Coordinator
) -> None:
    """The server says whether the lease was held at the end of the work, though nobody has noticed before."""
    terms: list[int] = []

    def work(lease: coord.Lease) -> int:
        terms.append(lease.fence)
        if len(terms) == 1:
            backend.lose(KEY)
        return len(terms)

    assert a.leader("beat").run(work) == 2
    assert b.leader("beat").current() is None


def test_the_loss_of_its_own_lease_is_not_an_error_of_the_work(backend: Backend, a: coord.Coordinator) -> None:
    terms: list[int] = []

    def work(lease: coord.Lease) -> int:
        terms.append(lease.fence)
        if len(terms) == 1:
            backend.lose(KEY)
        lease.ensure_held()
        return len(terms)

    assert a.leader("beat").run(work) == 2


def leading(threads: ThreadPoolExecutor, c: coord.Coordinator, **options: Any) -> tuple[Future[None], list[Any]]:
    """Start to lead until the lease is lost."""
    seen: list[Any] = []
    leads = threading.Event()

    def work(lease: coord.Lease) -> None:
        seen.append(lease)
        leads.set()
        lease.lost.wait(SOON)

    run = threads.submit(c.leader("beat", **options).run, work)
    assert leads.wait(SOON)
    return run, seen


def test_close_resigns(a: coord.Coordinator, b: coord.Coordinator, threads: ThreadPoolExecutor) -> None:
    """The work learns of it, and once it has ended another may lead at once."""
    run, seen = leading(threads, a, ttl=600)
    a.close()
    assert seen[0].lost.is_set()
    assert b.leader("beat").current() is None
    with pytest.raises(coord.Closed):
        run.result(SOON)


def test_close_ends_a_campaign(a: coord.Coordinator, b: coord.Coordinator, threads: ThreadPoolExecutor) -> None:
    ran: list[Any] = []
    with b.leader("beat").hold():
        runs = [threads.submit(a.leader("beat").run, ran.append) for _ in range(3)]
        assert comes_to_be(lambda: _waits(a))
        a.close()
        for run in runs:
            with pytest.raises(coord.Closed):
                run.result(SOON)
    assert ran == []


def _waits(c: Any) -> bool:
    return KEY in runner_of(c).notifier


def test_the_work_may_close_its_coordinator(a: coord.Coordinator, b: coord.Coordinator) -> None:
    """Then closing does not wait for the work, which waits for it."""
    with pytest.raises(coord.Closed):
        a.leader("beat").run(lambda _: a.close())
    assert isinstance(b.leader("beat").current(), coord.Holder | None)


def test_functions_of_the_other_mode_are_refused(a: coord.Coordinator) -> None:
    async def work(_: Any) -> None: ...

    with pytest.raises(TypeError, match="async"):
        _ = a.leader("beat").run(work)
    with pytest.raises(TypeError, match="function"):
        a.leader("beat").run(7)  # type: ignore[arg-type]  # the mistake
    assert a.leader("beat").current() is None


# --- run, awaited --------------------------------------------------------------------------------


async def soon(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(SOON):
        while not condition():  # noqa: ASYNC110  # a condition of another coordinator sets no event here
            await asyncio.sleep(0.005)


def test_async_run_returns_the_value_and_resigns(backend: Backend, b: coord.Coordinator) -> None:
    async def main() -> None:
        async with await backend.place.connect(True) as ac:

            async def work(lease: coord.AsyncLease) -> int:
                await asyncio.sleep(0)
                found = b.leader("beat").current()
                assert found is not None
                assert found.fence == lease.fence
                return lease.fence

            assert await ac.leader("beat").run(work) > 0
            assert b.leader("beat").current() is None

            async def fails(_: Any) -> None:
                raise ValueError("broken")

            with pytest.raises(ValueError, match="broken"):
                await ac.leader("beat").run(fails)
            assert b.leader("beat").current() is None
            with pytest.raises(TypeError, match="async def"):
                await ac.leader("beat").run(_plain)

    asyncio.run(main())


def _plain(_: Any) -> None: ...


def test_the_task_is_cancelled_on_loss(backend: Backend, b: coord.Coordinator) -> None:
    """It has ended, cleanup and all, before its process campaigns again."""

    async def main() -> None:
        log: list[str] = []
        async with await backend.place.connect(True) as ac:

            async def work(lease: coord.AsyncLease) -> str:
                log.append("begins")
                if len(log) > 1:
                    return "kept"
                try:
                    backend.lose(KEY)
                    await asyncio.sleep(SOON)
                finally:
                    assert lease.lost.is_set()
                    await asyncio.sleep(0)
                    log.append("ends")
                return "lost"

            assert await ac.leader("beat", ttl=0.5).run(work) == "kept"
        assert log == ["begins", "ends", "begins"]

    asyncio.run(main())


def test_cancelling_run_resigns_after_the_work_has_ended(backend: Backend, b: coord.Coordinator) -> None:
    async def main() -> None:
        log: list[str] = []
        async with await backend.place.connect(True) as ac:

            async def work(_: coord.AsyncLease) -> None:
                log.append("begins")
                try:
                    await asyncio.sleep(SOON)
                finally:
                    await asyncio.sleep(0)
                    log.append("ends" if b.leader("beat").current() else "free too soon")

            run = asyncio.create_task(ac.leader("beat", ttl=600).run(work))
            await soon(lambda: bool(log))
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            assert b.leader("beat").current() is None
        assert log == ["begins", "ends"]

    asyncio.run(main())


def test_aclose_resigns(backend: Backend, b: coord.Coordinator) -> None:
    async def main() -> None:
        log: list[str] = []
        async with await backend.place.connect(True) as ac:

            async def work(_: coord.AsyncLease) -> None:
                log.append("begins")
                try:
                    await asyncio.sleep(SOON)
                finally:
                    log.append("ends")

            runs = [asyncio.create_task(ac.leader("beat", ttl=600).run(work)) for _ in range(3)]
            await soon(lambda: bool(log))
            await ac.aclose()
            assert b.leader("beat").current() is None
            for ended in await asyncio.gather(*runs, return_exceptions=True):
                assert isinstance(ended, coord.Closed)
        assert log == ["begins", "ends"]

    asyncio.run(main())


# --- changes -------------------------------------------------------------------------------------


def test_changes_begin_with_the_present_and_go_on(a: coord.Coordinator, b: coord.Coordinator) -> None:
    with b.leader("beat").changes() as changes:
        assert next(changes) is None
        with a.leader("beat").hold() as lease:
            found = next(changes)
            assert found is not None
            assert found.fence == lease.fence
            lease.renew()
        # The renewal did not count as a change; this is the next one.
        assert next(changes) is None
        with a.leader("beat").hold():
            pass
        with a.leader("beat").hold() as lease:
            # What was in between is skipped or seen, and the last is never missed.
            seen = next(changes)
            while seen is None or seen.fence != lease.fence:
                seen = next(changes)


def test_changes_are_woken(a: coord.Coordinator, b: coord.Coordinator, threads: ThreadPoolExecutor) -> None:
    with b.leader("beat").changes() as changes:
        assert next(changes) is None
        change = threads.submit(next, changes)
        with a.leader("beat").hold() as lease:
            found = change.result(SOON)
            assert found is not None
            assert found.fence == lease.fence
            change = threads.submit(next, changes)
        assert change.result(SOON) is None


def test_changes_end_at_close(a: coord.Coordinator, threads: ThreadPoolExecutor) -> None:
    """Also for a thread that waits in them."""
    changes = a.leader("beat").changes()
    assert next(changes) is None
    rest = threads.submit(list, changes)
    a.close()
    assert rest.result(SOON) == []
    assert list(changes) == []


def test_async_changes(backend: Backend, b: coord.Coordinator) -> None:
    async def main() -> None:
        async with await backend.place.connect(True) as ac:
            changes = ac.leader("beat").changes()
            assert await anext(changes) is None
            change = asyncio.ensure_future(anext(changes))
            async with ac.leader("beat").hold() as lease:
                found = await change
                assert found is not None
                assert found.fence == lease.fence
            assert await anext(changes) is None
            rest = asyncio.create_task(_all(changes))
            await asyncio.sleep(0)
            await ac.aclose()
            assert await rest == []

    asyncio.run(main())


async def _all(changes: Any) -> list[Any]:
    return [each async for each in changes]


def test_a_cancelled_anext_loses_no_change(backend: Backend, b: coord.Coordinator) -> None:
    async def main() -> None:
        async with await backend.place.connect(True) as ac:
            changes = ac.leader("beat").changes()
            assert await anext(changes) is None
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await anext(changes)
            async with ac.leader("beat").hold() as lease:
                found = await anext(changes)
                assert found is not None
                assert found.fence == lease.fence
            await changes.aclose()

    asyncio.run(main())
