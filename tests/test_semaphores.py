"""Semaphores as their users see them: claim and hold, waiting, loss, crashes."""

from __future__ import annotations

import asyncio
import os
import threading
from time import monotonic
from typing import Any

import pytest
from backends import Backend
from live import SOON, Live, Thread, run, until, until_async, waiters

import coord

pytest_plugins = ("live_fixtures", "waiting_fixtures", "hold_fixtures")

KEY = "coord:semaphore:{gpu}"


def owners(c: Any) -> list[tuple[str, int]]:
    return [(holder.owner, holder.weight) for holder in c.semaphore("gpu", limit=1).holders()]


# --- claiming ------------------------------------------------------------------------------------


def test_permits_up_to_the_limit(c: Any) -> None:
    semaphore = c.semaphore("gpu", limit=3)
    first = semaphore.claim(ttl=30, weight=2, owner="anna")
    second = semaphore.claim(ttl=30, owner="ben")
    assert (first.weight, second.weight) == (2, 1)
    assert second.fence > first.fence
    assert semaphore.claim() is None
    assert owners(c) == [("anna", 2), ("ben", 1)]
    assert first.release() is True
    assert semaphore.claim(weight=2, owner="carl").fence > second.fence
    assert owners(c) == [("ben", 1), ("carl", 2)]


def test_the_same_owner_gets_its_permit(c: Any) -> None:
    semaphore = c.semaphore("gpu", limit=3)
    first, again = semaphore.claim(owner="anna"), semaphore.claim(owner="anna")
    assert again.fence == first.fence
    assert semaphore.claim(owner="anna", weight=2) is None
    assert again.renew(60) is True
    assert first.release() is True
    assert again.renew() is False
    assert again.lost.is_set()
    assert owners(c) == []


def test_a_permit_is_released_by_one_object_of_its_owner(c: Any) -> None:
    """An owner that asked twice has two objects for one permit: one releases it, and to the other it is lost."""
    semaphore = c.semaphore("gpu", limit=1)
    one, two = semaphore.claim(owner="anna"), semaphore.claim(owner="anna")
    assert one.release() is True
    assert two.release() is False
    assert two.lost.is_set()
    assert semaphore.holders() == []


def test_an_ended_permit_is_lost(c: Any, backend: Backend) -> None:
    semaphore = c.semaphore("gpu", limit=1)
    permit = semaphore.claim(ttl=5)
    permit.ensure_held()
    backend.later(5.001)
    assert permit.lost.is_set()
    assert permit.renew() is False
    with pytest.raises(coord.LeaseLost, match="the permit of 'gpu'"):
        permit.ensure_held()
    assert semaphore.claim(owner="next") is not None


def test_a_lost_permit_is_raised_on_leaving(c: Any, backend: Backend) -> None:
    """Also when the key was evicted: the permit is gone, and another may have its slot."""
    hold = c.semaphore("gpu", limit=1).hold(ttl=30, renew=False)
    permit = hold.__enter__()
    backend.lose(KEY)
    assert permit.renew() is False
    assert permit.lost.is_set()
    with pytest.raises(coord.LeaseLost):
        hold.__exit__(None, None, None)


@pytest.mark.parametrize(("score", "is_over"), [("1.5", True), ("-inf", True), ("1e300", False), ("inf", False)])
def test_scores_written_by_hand(c: Any, backend: Backend, score: str, is_over: bool) -> None:
    """They are read alike on memory and servers: as deadlines, in whole milliseconds and at most 2^53."""
    semaphore = c.semaphore("gpu", limit=5)
    permit = semaphore.claim(ttl=60, owner="anna")
    assert permit is not None
    for member in ("hand", "=bert", "n|1|2|carl"):
        backend.place.do("ZADD", KEY, score, member)
    mine = semaphore.claim(ttl=60, owner="bert")
    assert (mine is not None) == is_over, "the deadline of an owner that has no permit"
    assert [each.owner for each in semaphore.holders()] == (["anna", "bert"] if is_over else ["carl", "anna"])
    assert permit.renew()
    assert permit.release()
    if not is_over:
        assert c.semaphore("gpu", limit=1).claim(ttl=60) is not None, "what nobody was granted has no weight"


def test_a_block_holds_a_permit(c: Any) -> None:
    semaphore = c.semaphore("gpu", limit=2)
    with semaphore.hold(weight=2, owner="anna") as permit:
        assert owners(c) == [("anna", 2)]
        assert permit.weight == 2
        with pytest.raises(coord.WaitTimeout), semaphore.hold(wait=0):
            pass
    assert owners(c) == []


def test_a_lower_limit_evicts_no_holder(c: Any) -> None:
    held = [c.semaphore("gpu", limit=3).claim() for _ in range(3)]
    lower = c.semaphore("gpu", limit=1)
    assert lower.claim() is None
    assert all(permit.renew() for permit in held)
    assert [permit.release() for permit in held[:2]] == [True, True]
    assert lower.claim() is None
    held[2].release()
    assert lower.claim() is not None


@pytest.mark.parametrize(
    ("weight", "why"),
    [(0, "weight is 0"), (-1, "weight is -1"), (4, "weight is 4"), (True, "weight must be an int, not bool")],
)
def test_a_weight_out_of_range_is_refused(c: Any, backend: Backend, weight: Any, why: str) -> None:
    semaphore = c.semaphore("gpu", limit=3)
    with backend.untouched():
        with pytest.raises(ValueError, match=why):
            semaphore.claim(weight=weight)
        with pytest.raises(ValueError, match=why):
            semaphore.hold(weight=weight)


@pytest.mark.parametrize("arguments", [{"ttl": 0}, {"wait": -1}, {"owner": ""}, {"weight": 1.5}])
def test_bad_input_raises_before_entering(c: Any, backend: Backend, arguments: Any) -> None:
    with backend.untouched(), pytest.raises((ValueError, TypeError)):
        c.semaphore("gpu", limit=3).hold(**arguments)


def test_racing_claims_never_exceed_the_limit(backend: Backend) -> None:
    """Of eight threads, or fifty tasks, exactly as many as fit get a permit, each with a fence of its own."""
    permits = backend.race(lambda at: at.semaphore("gpu", limit=5).claim())
    fences = {permit.fence for permit in permits if permit is not None}
    assert len(fences) == 5
    assert sum(permit is not None for permit in permits) == 5


# --- waiting -------------------------------------------------------------------------------------


def test_a_released_permit_wakes_a_waiter(live: Live, patient: None) -> None:
    with live.connect() as a, live.connect() as b:
        permit = a.semaphore("gpu", limit=1).claim(ttl=600)
        assert permit is not None
        waiter = Thread(lambda: b.semaphore("gpu", limit=1).hold(ttl=600, wait=SOON).__enter__())
        until(lambda: waiters(b, KEY), "the waiter")
        permit.release()
        second = waiter.result()
        assert second.fence > permit.fence
        second.release()


def test_the_slot_of_the_dead_wakes_a_waiter(live: Live, patient: None) -> None:
    """A holder that died releases nothing: its waiter looks at the permit's deadline, and not much later."""
    with live.connect() as a, live.connect() as b:
        assert a.semaphore("gpu", limit=2).claim(ttl=0.3, weight=2) is not None
        with b.semaphore("gpu", limit=2).hold(ttl=600, wait=SOON) as permit:
            assert [holder.fence for holder in b.semaphore("gpu", limit=2).holders()] == [permit.fence]


def test_a_light_waiter_does_not_overtake_a_heavy_one(live: Live) -> None:
    """Within a process, permits are given in the order in which they were asked for."""

    async def main() -> None:
        async with live.connect_async() as c:
            semaphore = c.semaphore("gpu", limit=2)
            first = await semaphore.claim(ttl=600)
            order: list[str] = []

            async def use(name: str, weight: int) -> None:
                async with semaphore.hold(ttl=600, weight=weight):
                    order.append(name)

            heavy = asyncio.create_task(use("heavy", 2))
            await until_async(lambda: waiters(c, KEY) == 1)
            light = [asyncio.create_task(use(f"light-{number}", 1)) for number in range(3)]
            await until_async(lambda: waiters(c, KEY) == 4)
            assert order == []
            await first.release()
            await asyncio.gather(heavy, *light)
            assert order[0] == "heavy"

    run(main())


def test_a_cancelled_waiter_leaves_nothing_held(live: Live) -> None:
    async def main() -> None:
        async with live.connect_async() as c:
            semaphore = c.semaphore("gpu", limit=1)
            permit = await semaphore.claim(ttl=600)

            async def use() -> None:
                async with semaphore.hold(ttl=600):
                    raise AssertionError("it got a permit")

            waiting = [asyncio.create_task(use()) for _ in range(5)]
            await until_async(lambda: waiters(c, KEY) == 5)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            assert waiters(c, KEY) == 0
            await permit.release()
            assert await semaphore.holders() == []

    run(main())


def test_cancelled_claims_leave_nothing_held(live: Live) -> None:
    """A claim that is cancelled at any moment is given back, whether or not it ran."""

    async def main() -> None:
        async with live.connect_async() as c:
            semaphore = c.semaphore("gpu", limit=50)
            for pause in range(20):
                asking = asyncio.create_task(semaphore.claim(ttl=600))
                for _ in range(pause):
                    await asyncio.sleep(0)
                if asking.cancel():
                    await asyncio.gather(asking, return_exceptions=True)
                    continue
                permit = await asking
                assert permit is not None
                await permit.release()

            async def free() -> bool:
                return await semaphore.holders() == []

            await until_async(free, "the end of all permits")

    run(main())


def test_never_more_weight_than_the_limit_in_many_threads(live: Live) -> None:
    """Sixteen threads with weights of 1 and 2 share a limit of 4: counted inside the blocks, and by fence."""
    inside, most, fences = 0, 0, []
    lock = threading.Lock()
    with live.connect() as c:
        semaphore = c.semaphore("gpu", limit=4)

        def work(number: int) -> None:
            nonlocal inside, most
            weight = 1 + number % 2
            for _ in range(10):
                with semaphore.hold(ttl=600, weight=weight) as permit:
                    with lock:
                        inside += weight
                        most = max(most, inside)
                        fences.append(permit.fence)
                    with lock:
                        inside -= weight

        threads = [Thread(lambda number=number: work(number)) for number in range(16)]  # type: ignore[misc]  # a default, not an argument
        for thread in threads:
            thread.result()
        assert most <= 4
        assert len(set(fences)) == len(fences) == 160
        assert semaphore.holders() == []


@pytest.mark.slow
def test_renewals_of_many_permits_travel_together(live: Live, brisk: None) -> None:
    """A process that holds hundreds of permits renews them all; none is lost."""

    async def main() -> None:
        async with live.connect_async() as c:
            semaphore = c.semaphore("gpu", limit=500)
            permits = await asyncio.gather(*(semaphore.claim(ttl=600, renew=True) for _ in range(500)))
            first = await ends(semaphore)
            assert len(first) == 500

            async def renewed() -> bool:
                now = await ends(semaphore)
                return all(now[fence] > end + 0.01 for fence, end in first.items())

            await until_async(renewed, "the renewals")
            assert not any(permit.lost.is_set() for permit in permits)
            await asyncio.gather(*(permit.release() for permit in permits))

    run(main())


async def ends(semaphore: Any) -> dict[int, float]:
    """The moment at which each permit ends, by its fence."""
    return {holder.fence: monotonic() + holder.expires_in for holder in await semaphore.holders()}


# --- processes -----------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_permits_of_a_killed_process_come_back(live_server: Live) -> None:
    """A process that is killed inside its block takes no slot with it."""
    semaphore_of = {"limit": 2}
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with live_server.connect() as c, c.semaphore("gpu", **semaphore_of).hold(ttl=0.5, weight=2):
                os.write(write, b"in")
                threading.Event().wait(SOON)
        finally:
            os._exit(1)
    try:
        assert os.read(read, 2) == b"in"
        os.kill(child, 9)
    finally:
        os.waitpid(child, 0)
        os.close(read)
        os.close(write)
    with live_server.connect() as c, c.semaphore("gpu", **semaphore_of).hold(ttl=600, wait=SOON, weight=2) as permit:
        assert [holder.fence for holder in c.semaphore("gpu", **semaphore_of).holders()] == [permit.fence]
