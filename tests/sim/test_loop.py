"""The simulator's event loop: virtual time, seeded order, processes that stand still and die."""

from __future__ import annotations

import asyncio
import time

import pytest

from coord.testing.sim.loop import Deadlock, SimLoop, Stuck


def loop_of(seed: int = 0, **options: int) -> SimLoop:
    return SimLoop(seed, **options)


def test_an_hour_takes_no_time() -> None:
    began = time.monotonic()
    loop = loop_of()

    async def work() -> float:
        await asyncio.sleep(3600)
        return loop.elapsed

    assert 3600 <= loop.run_until_complete(work()) < 3601
    assert time.monotonic() - began < 60
    loop.close()


def test_timeouts_are_virtual() -> None:
    loop = loop_of()

    async def work() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.sleep(60)
        assert 5 <= loop.elapsed < 5.1

    loop.run_until_complete(work())
    loop.close()


def order(seed: int) -> list[str]:
    loop = loop_of(seed)
    said: list[str] = []

    async def talk(name: str) -> None:
        for number in range(4):
            said.append(f"{name}{number}")
            await asyncio.sleep(0)

    async def work() -> None:
        tasks = [loop.process(name).context.run(loop.create_task, talk(name)) for name in "ab"]
        await asyncio.gather(*tasks)

    loop.run_until_complete(work())
    loop.close()
    return said


def test_the_order_between_processes_comes_from_the_seed_alone() -> None:
    orders = [tuple(order(seed)) for seed in range(20)]
    assert orders == [tuple(order(seed)) for seed in range(20)]
    assert len(set(orders)) > 5


def test_within_a_process_callbacks_run_in_order() -> None:
    for seed in range(20):
        said = order(seed)
        assert [each for each in said if each[0] == "a"] == ["a0", "a1", "a2", "a3"]


def test_sets_of_tasks_are_walked_in_the_order_of_creation() -> None:
    loop = loop_of()

    async def nothing() -> None:
        """Nothing."""

    async def work() -> None:
        tasks = [asyncio.ensure_future(nothing()) for _ in range(50)]
        assert list(set(tasks)) == tasks
        await asyncio.gather(*tasks)

    loop.run_until_complete(work())
    loop.close()


def test_a_frozen_process_runs_nothing_until_it_thaws() -> None:
    loop = loop_of()
    process = loop.process("client")

    async def nap() -> float:
        await asyncio.sleep(1)
        return loop.elapsed

    async def work() -> float:
        task = process.context.run(loop.create_task, nap())
        await asyncio.sleep(0.5)
        loop.freeze(process, 10)
        return await task

    assert 10.5 <= loop.run_until_complete(work()) < 10.6
    loop.close()


def test_a_dead_process_runs_nothing_not_even_finally() -> None:
    loop = loop_of()
    process = loop.process("client")
    ran: list[str] = []

    async def long() -> None:
        try:
            await asyncio.sleep(1)
        finally:
            ran.append(f"at {loop.elapsed:.0f}")

    async def work() -> None:
        process.context.run(loop.create_task, long())
        await asyncio.sleep(0.5)
        loop.kill(process)
        await asyncio.sleep(10)
        assert not ran

    loop.run_until_complete(work())
    loop.close()


def test_waiting_for_nothing_is_a_deadlock() -> None:
    loop = loop_of()

    async def work() -> None:
        await loop.create_future()

    with pytest.raises(Deadlock):
        loop.run_until_complete(work())
    loop.close()


def test_a_loop_that_never_waits_is_found() -> None:
    loop = loop_of(most_steps=1000)

    async def work() -> None:
        while True:  # noqa: ASYNC110  # the loop that is to be found
            await asyncio.sleep(0)

    with pytest.raises(Stuck):
        loop.run_until_complete(work())
    loop.close()
