"""Waiting in the schedule of a rate limiter: a place is booked at once, and its time comes without polling."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count
from typing import Any

import pytest
from backends import Backend, assert_all_expire

import coord
from coord import Limit
from coord.plan import Compensate, Plan, Sleep, WithTimeout

KEY = "coord:limiter:{api}"


class Waiter:
    """A wait that is followed step by step: its calls are made, and its sleeps are shown."""

    def __init__(self, c: Any, limiter: Any, cost: int = 1, timeout: float | None = None) -> None:
        self.c = c
        self.plan: Plan[None] = type(limiter).wait.__wrapped__(limiter, cost, timeout)
        self.calls = 0
        self.compensations: list[Compensate] = []

    def start(self) -> float | None:
        """Go on to the next sleep, and return its length; None: the wait is over."""
        return self._follow(lambda: next(self.plan))

    def wake(self) -> float | None:
        """Go on behind a sleep."""
        return self._follow(lambda: self.plan.send(None))

    def cancel(self) -> None:
        """Cancel the wait in its sleep."""
        with pytest.raises(asyncio.CancelledError):
            self._follow(lambda: self.plan.throw(asyncio.CancelledError()))

    def _follow(self, go: Any) -> float | None:
        try:
            step = go()
            while not isinstance(step, Sleep):
                if isinstance(step, Compensate):
                    self.compensations.append(step)
                    self.c.run(step.call)
                    step = self.plan.send(None)
                    continue
                self.calls += 1
                step = self.plan.send(self.c.run(step.call if isinstance(step, WithTimeout) else step))
        except StopIteration:
            return None
        return step.seconds


def _inner(c: Any) -> Any:
    return getattr(c, "inner", c)


def _waiter(c: Any, *limits: Limit, cost: int = 1, timeout: float | None = None) -> Waiter:
    return Waiter(c, coord.Limiter(_inner(c), "api", *limits), cost, timeout)


def test_a_place_is_booked_at_once_and_its_time_comes(backend: Backend, c: Any) -> None:
    """The wait sleeps exactly once, and never less than the reply said."""
    limit = Limit(2, per=2, burst=1)
    assert _waiter(c, limit).start() is None
    second, third = _waiter(c, limit), _waiter(c, limit)
    assert second.start() == pytest.approx(1, abs=0.1)
    assert third.start() == pytest.approx(2, abs=0.1)
    assert c.limiter("api", limit).peek().retry_after == pytest.approx(3, abs=0.1)
    assert_all_expire(backend)
    backend.later(1)
    assert second.wake() is None
    assert not c.limiter("api", limit).hit()
    backend.later(1)
    assert third.wake() is None
    assert [second.calls, third.calls] == [2, 2]
    backend.later(70)
    assert backend.stored == {}


def test_a_place_that_comes_too_late_is_not_taken(backend: Backend, c: Any) -> None:
    limit = Limit(1, per=10)
    c.limiter("api", limit).hit()
    with backend.untouched_keys(), pytest.raises(coord.WaitTimeout, match=r"9\.\d+ s from now|10\.000 s"):
        _waiter(c, limit, timeout=5).start()
    with backend.untouched_keys(), pytest.raises(coord.WaitTimeout):
        c.limiter("api", limit).wait(timeout=5)
    assert _waiter(c, limit, timeout=10.1).start() == pytest.approx(10, abs=0.5)


def test_several_limits_are_waited_for_together(backend: Backend, c: Any) -> None:
    slow, fast = Limit(1, per=60), Limit(5, per=1)
    assert _waiter(c, slow, fast).start() is None
    waiter = _waiter(c, slow, fast)
    assert waiter.start() == pytest.approx(60, abs=0.5)
    backend.later(60)
    assert waiter.wake() is None
    # The fast limit was taken at the waiter's time, so four more pass there now.
    assert c.limiter("api", fast).hit(4)
    assert not c.limiter("api", fast).hit()


@pytest.mark.slow
def test_a_thousand_waiters_keep_the_rate_without_polling(backend: Backend, c: Any) -> None:
    """Each books once and confirms once; they pass in order, and in no window more than burst + rate * T."""
    if backend.line.engine == "fakeredis":
        pytest.skip("a thousand calls take too long")
    limit, number, calls = Limit(100, per=1, burst=10), count(), 0
    asleep: list[tuple[float, int, Waiter]] = []
    now, passed = 0.0, []
    for _ in range(1000):
        waiter, mine = _waiter(c, limit), next(number)
        slept = waiter.start()
        if slept is None:
            passed.append((now, mine))
        else:
            heapq.heappush(asleep, (slept, mine, waiter))
    while asleep:
        at, mine, waiter = heapq.heappop(asleep)
        step = -(-round((at - now) * 1e6) // 1000) / 1000
        if step > 0:
            backend.later(step)
            now += step
        slept = waiter.wake()
        calls = max(calls, waiter.calls)
        if slept is None:
            passed.append((now, mine))
        else:
            heapq.heappush(asleep, (now + slept, mine, waiter))
    assert [mine for _, mine in passed] == list(range(1000))
    assert calls <= 3
    if _stands_still(backend):
        for first in range(len(passed)):
            for last in range(first, min(first + 200, len(passed))):
                # A waiter wakes within the millisecond of its time.
                assert last - first + 1 <= 10 + 100 * (passed[last][0] - passed[first][0] + 0.001) + 1e-6


def _stands_still(backend: Backend) -> bool:
    return backend.line.engine == "memory" or type(backend.clock).__name__ == "VirtualClock"


def test_a_cancelled_wait_returns_its_place(backend: Backend, c: Any) -> None:
    limit = Limit(1, per=10)
    limiter = c.limiter("api", limit)
    limiter.hit()
    before = backend.values[KEY]
    waiter = _waiter(c, limit)
    waiter.start()
    waiter.cancel()
    assert backend.values[KEY] == before
    assert _waiter(c, limit).start() == pytest.approx(10, abs=0.5)


def test_cancelled_waits_return_their_places_from_the_last_on(backend: Backend, c: Any) -> None:
    """A place with others behind it is not returned: those keep their times."""
    limit = Limit(1, per=10)
    waiters = [_waiter(c, limit) for _ in range(4)]
    times = [waiter.start() for waiter in waiters]
    waiters[1].cancel()
    # Kept: one that is collected gives its place back.
    fifth = _waiter(c, limit)
    assert fifth.start() == pytest.approx(40, abs=0.5)
    again = [_waiter(c, limit) for _ in range(2)]
    assert [waiter.start() for waiter in again] == pytest.approx([50, 60], abs=0.5)
    again[1].cancel()
    again[0].cancel()
    assert _waiter(c, limit).start() == pytest.approx(50, abs=0.5)
    assert times == pytest.approx([None, 10, 20, 30], abs=0.5)


def test_waiters_move_behind_a_penalty_in_order(backend: Backend, c: Any) -> None:
    """A penalty moves the whole schedule: order and distances stay, and later calls come behind."""
    limit = Limit(1, per=10)
    waiters = [_waiter(c, limit) for _ in range(3)]
    assert [waiter.start() for waiter in waiters] == pytest.approx([None, 10, 20], abs=0.5)
    backend.later(5)
    c.limiter("api", limit).penalize(60)
    assert _waiter(c, limit).start() == pytest.approx(85, abs=0.5)
    backend.later(5)
    assert waiters[1].wake() == pytest.approx(60, abs=0.5)
    backend.later(10)
    assert waiters[2].wake() == pytest.approx(60, abs=0.5)
    backend.later(50)
    assert waiters[1].wake() is None
    backend.later(10)
    assert waiters[2].wake() is None


def test_places_that_a_penalty_moved_are_returned_from_the_last_on(backend: Backend, c: Any) -> None:
    """The next waiter comes at the time to which the place was moved, and at none when all were returned."""
    limit = Limit(1, per=10)
    c.limiter("api", limit).hit()
    waiters = [_waiter(c, limit) for _ in range(3)]
    assert [waiter.start() for waiter in waiters] == pytest.approx([10, 20, 30], abs=0.5)
    c.limiter("api", limit).penalize(60)
    for waiter, time in zip(reversed(waiters), (90, 80, 70), strict=True):
        waiter.cancel()
        new = _waiter(c, limit)
        assert new.start() == pytest.approx(time, abs=0.5)
        new.cancel()
    # What was passed before the penalty is all that the schedule still has.
    backend.later(60)
    assert c.limiter("api", limit).peek().retry_after == pytest.approx(10, abs=0.5)


def test_a_penalty_that_moves_a_waiter_past_its_time_ends_the_wait(backend: Backend, c: Any) -> None:
    limit = Limit(1, per=10)
    c.limiter("api", limit).hit()
    before = backend.values[KEY]
    waiter = _waiter(c, limit, timeout=15)
    waiter.start()
    c.limiter("api", limit).penalize(60)
    backend.later(10)
    with pytest.raises(coord.WaitTimeout):
        waiter.wake()
    assert len(waiter.compensations) == 1
    assert before != backend.values[KEY]
    assert _waiter(c, limit).start() == pytest.approx(60, abs=0.5)


def test_a_wait_during_a_penalty_comes_behind_it(backend: Backend, c: Any) -> None:
    limit = Limit(1, per=10)
    c.limiter("api", limit).penalize(30)
    first, second = _waiter(c, limit), _waiter(c, limit)
    assert [first.start(), second.start()] == pytest.approx([30, 40], abs=0.5)
    backend.later(30)
    assert first.wake() is None


def test_bad_input_is_refused_before_anything_is_sent(backend: Backend, c: Any) -> None:
    limiter = c.limiter("api", Limit(3, per=60))
    with backend.untouched():
        for cost in (0, 4, True):
            with pytest.raises(ValueError, match="cost"):
                limiter.wait(cost)
        for timeout in (0, -1, float("nan")):
            with pytest.raises(ValueError, match="timeout"):
                limiter.wait(timeout=timeout)


# --- in real time --------------------------------------------------------------------------------


async def _all_wait(url: str) -> list[float]:
    async with coord.connect_async(url) as ac:
        limiter = ac.limiter("api", Limit(100, per=1, burst=5))
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def wait() -> float:
            await limiter.wait()
            return loop.time() - began

        tasks = [asyncio.create_task(wait()) for _ in range(25)]
        return await asyncio.gather(*tasks)


def test_tasks_wait_together() -> None:
    """Twenty-five tasks at a hundred a second: none passes before its place."""
    times = sorted(asyncio.run(_all_wait("memory://limiter-tasks")))
    assert len(times) == 25
    assert all(at >= (number - 5) / 100 - 0.001 for number, at in enumerate(times, 1))


def test_a_blocking_wait_sleeps_until_its_time() -> None:
    with coord.connect("memory://limiter-blocking") as c:
        limiter = c.limiter("api", Limit(20, per=1, burst=1))
        for _ in range(3):
            limiter.wait(timeout=10)
        assert limiter.peek().allowed is False


async def _cancelled_wait(ac: coord.AsyncCoordinator) -> tuple[float, float]:
    limiter = ac.limiter("api", Limit(1, per=60))
    await limiter.hit()
    task = asyncio.create_task(limiter.wait())
    await asyncio.sleep(0)
    booked = (await limiter.peek()).retry_after
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # The place is returned in the background; in memory that takes one step of the loop.
    for _ in range(3):
        await asyncio.sleep(0)
    return booked, (await limiter.peek()).retry_after


def test_a_task_that_is_cancelled_returns_its_place() -> None:
    async def run() -> tuple[float, float]:
        async with coord.connect_async("memory://limiter-cancelled") as ac:
            return await _cancelled_wait(ac)

    booked, returned = asyncio.run(run())
    assert booked > 60 >= returned
