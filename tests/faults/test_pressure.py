"""More callers than places: they wait their turn, they are not refused, and none of them is forgotten."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from live import SOON, until_async

import coord
from coord.coordinator import runner_of
from coord.options import Options
from coord.redis import AsyncRedis
from coord.testing.proxy import LossyProxy
from coord.testing.servers import Server


def test_no_more_calls_are_in_flight_than_allowed(line: LossyProxy) -> None:
    """The line is stopped: of two hundred calls exactly seven are sent, and the others follow when it goes on."""

    async def run() -> list[int]:
        async with coord.connect_async(line.url, timeout=10, in_flight=7) as c:
            await c.kv.incr("x", 0)
            line.delay = 3.0
            line.arm("delay_reply")
            sent = line.commands
            calls = [asyncio.create_task(c.kv.incr("x")) for _ in range(200)]
            await until_async(lambda: line.commands - sent >= 7, "seven calls in flight")
            await asyncio.sleep(0.1)
            assert line.commands - sent == 7
            return await asyncio.gather(*calls)

    assert asyncio.run(run()) == list(range(1, 201)), "in the order in which they came"


def test_a_waiter_that_leaves_its_queue_frees_its_place(line: LossyProxy) -> None:
    async def run() -> None:
        async with coord.connect_async(line.url, timeout=5, in_flight=2) as c:
            await c.kv.incr("x", 0)
            line.delay = 0.1
            for _ in range(20):
                line.arm("delay_reply")
                calls = [asyncio.create_task(c.kv.incr("x")) for _ in range(20)]
                await asyncio.sleep(0.01)
                for call in calls[1::2]:
                    call.cancel()
                await asyncio.gather(*calls, return_exceptions=True)
            assert runner_of(c).room.taken == 0
            assert await asyncio.gather(*(c.kv.get_int("x") for _ in range(50)))

    asyncio.run(run())


def batch_of(count: int, c: Any) -> asyncio.Task[list[Any]]:
    """Begin to count so many times in one batch."""
    return asyncio.create_task(c.run_many(c.calls.kv.incr("x") for _ in range(count)))


def test_a_batch_takes_its_places_in_the_same_queue(line: LossyProxy) -> None:
    """Thirty calls of one batch, seven at a time: nobody jumps the queue, and all are answered in order."""

    async def run() -> tuple[list[int], list[int], list[int]]:
        async with coord.connect_async(line.url, timeout=10, in_flight=7) as c:
            await c.kv.incr("x", 0)
            line.delay = 3.0
            line.arm("delay_reply")
            sent = line.commands
            first = batch_of(30, c)
            single = [asyncio.create_task(c.kv.incr("x")) for _ in range(3)]
            last = batch_of(5, c)
            await until_async(lambda: line.commands - sent >= 7, "the first write")
            await asyncio.sleep(0.1)
            assert line.commands - sent == 7
            answers = await first, await asyncio.gather(*single), await last
            assert runner_of(c).room.taken == 0
            return answers

    first, single, last = asyncio.run(run())
    # Of the batch, seven are in flight before the singles come; then three singles, and four more places gathered.
    assert [*first[:7], *single, *last, *first[7:]] == list(range(1, 39))


def test_a_hundred_thousand_calls_in_one_batch(one_server: Server) -> None:
    """They go out a thousand at a time, and the calls of others find their way between them."""

    async def run() -> None:
        async with coord.connect_async(one_server.url) as c:
            most = runner_of(c).room.most = 2_000
            batch = batch_of(100_000, c)
            between = 0
            while not batch.done():
                assert runner_of(c).room.taken <= most
                assert await c.kv.incr("y") == (between := between + 1)
            assert await batch == list(range(1, 100_001))
            assert between > 50

    asyncio.run(run())


@pytest.mark.parametrize("waiting", [False, True], ids=["in flight", "in the queue"])
def test_a_batch_that_is_cancelled_gives_its_places_back(line: LossyProxy, waiting: bool) -> None:
    async def run() -> None:
        async with coord.connect_async(line.url, timeout=10, in_flight=10) as c:
            await c.kv.incr("x", 0)
            line.delay = 2.0
            line.arm("delay_reply")
            single = [asyncio.create_task(c.kv.incr("x")) for _ in range(6 if waiting else 0)]
            batch = batch_of(25, c)
            behind = [asyncio.create_task(c.kv.incr("x")) for _ in range(20)]
            await until_async(lambda: runner_of(c).room.taken == 10, "the first calls in flight")
            batch.cancel()
            with pytest.raises(asyncio.CancelledError):
                await batch
            answers = await asyncio.gather(*single, *behind)
            assert len(set(answers)) == len(answers)
            assert runner_of(c).room.taken == runner_of(c).room.gathered == 0
            assert not runner_of(c).room.queue

    asyncio.run(run())


def test_threads_share_few_connections(line: LossyProxy) -> None:
    with coord.connect(line.url, timeout=5, max_connections=3) as c:
        with ThreadPoolExecutor(24) as pool:
            sums = list(pool.map(lambda _: c.kv.incr("x"), range(3_000)))
        assert sorted(sums) == list(range(1, 3_001))
        assert line.connections <= 3


def test_a_thread_in_a_hurry_does_not_starve_the_others(line: LossyProxy) -> None:
    """One connection and eight threads in tight loops: each gets turns, none of them a thousand times as many."""
    turns = [0] * 8
    with coord.connect(line.url, max_connections=1) as c:
        start = threading.Barrier(8)

        def run(number: int) -> None:
            start.wait(SOON)
            # A machine that is busy may leave a thread out for a while; the queue for the connection must not.
            while min(turns) < 20 and max(turns) < 20_000:
                c.kv.incr("x")
                turns[number] += 1

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(run, range(8)))
    assert min(turns) >= 20, turns


def test_waiting_too_long_for_a_connection_is_an_error(line: LossyProxy) -> None:
    with coord.connect(line.url, timeout=3, patience=0.3, remember=10, max_connections=1) as c:
        link = runner_of(c).router.nodes[0].take()
        try:
            with pytest.raises(coord.Unavailable, match=r"all 1 connections to .* are in use: raise max_connections"):
                c.kv.incr("x")
        finally:
            runner_of(c).router.nodes[0].give(link)
        assert c.kv.incr("x") == 1


def test_connections_are_used_again_when_their_threads_have_ended(line: LossyProxy) -> None:
    with coord.connect(line.url, timeout=5, max_connections=4) as c:
        for _ in range(40):
            thread = threading.Thread(target=c.kv.incr, args=("x",))
            thread.start()
            thread.join()
        assert c.kv.get_int("x") == 40
    assert line.connections <= 2


class NoRoute:
    """A router that knows no server."""

    publish = "PUBLISH"
    timeout = 1.0
    nodes: tuple[Any, ...] = ()

    def route(self, *_: Any) -> Any:
        """Fail, as a remapping of addresses by a user's client may."""
        raise KeyError("no route")

    group_by_node = route


def test_a_call_that_cannot_be_routed_gives_its_place_back() -> None:
    """With one place, the second call would wait for ever; so would the next batch."""

    async def run() -> None:
        runner: Any = AsyncRedis(NoRoute(), Options(in_flight=1))  # type: ignore[arg-type]  # what routing needs
        call = coord.connect("memory://no-route").calls.bump("x")
        for _ in range(3):
            with pytest.raises(KeyError):
                await runner.call(*call)
            with pytest.raises(KeyError):
                await runner.run_many([call])
        assert runner.room.taken == 0

    asyncio.run(asyncio.wait_for(run(), SOON))
