"""A task that is cancelled at any moment: nothing stays held, and nobody is given another's reply.

The line is slow by 0 to 12 ms, and each task is cancelled at a random point of that. What a cancelled claim may have
taken is released in the background; a release that is cancelled goes on without its caller.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Any

import pytest
from live import SOON, until_async
from machines import LONG

import coord
from coord.testing.proxy import LossyProxy

POINTS = 5_000 if LONG else 500
SLOW: dict[str, Any] = {"timeout": 20.0, "patience": 20.0, "remember": 90.0}


def cancelled_at_random(
    line: LossyProxy, begin: Callable[[Any, int], Awaitable[Any]], *, connections: int = 1, together: int = 20
) -> tuple[list[Any], Any]:
    """Cancel ``begin(c, number)`` at random points; return what the others got, and what is still held."""
    chance = random.Random(5)

    async def one(c: Any, number: int) -> Any:
        task = asyncio.ensure_future(begin(c, number))
        # Some are cancelled for certain, and some for certain not, however slow the machine is.
        await asyncio.sleep(chance.uniform(0, 0.012) if number % 50 else 0)
        if number % 50 != 1:
            task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            return None

    async def run() -> tuple[list[Any], Any]:
        told: list[Any] = []
        async with coord.connect_async(line.url, **SLOW) as c:
            await c.once("warm")
            line.misbehave(2, {"delay_reply": 1})
            for start in range(0, POINTS, together):
                line.delay = chance.uniform(0, 0.012)
                told += await asyncio.gather(*(one(c, number) for number in range(start, start + together)))
            line.behave()
            held, end = list(range(POINTS)), monotonic() + SOON
            while held and monotonic() < end:
                held = [name for name in held if await c.holder(f"n{name}") is not None]
            assert line.connections == connections, "the connection that all share was not given up"
            assert await c.kv.incr("whose reply is this") == 1
        return told, held

    return asyncio.run(run())


def test_a_cancelled_claim_leaves_nothing_held(line: LossyProxy) -> None:
    async def claim(c: Any, number: int) -> str | None:
        lease = await c.claim(f"n{number}", ttl=60)
        assert lease is not None
        assert lease.name == f"n{number}"
        await lease.release()
        return lease.name

    told, held = cancelled_at_random(line, claim)
    assert not held
    assert 0 < told.count(None) < len(told), "some were cancelled, and some were not"
    assert all(name in (None, f"n{number}") for number, name in enumerate(told))


def test_a_cancelled_hold_leaves_nothing_held(line: LossyProxy) -> None:
    async def hold(c: Any, number: int) -> bool:
        async with c.hold(f"n{number}", ttl=60) as lease:
            await lease.ensure_held()
        return True

    told, held = cancelled_at_random(line, hold)
    assert not held
    assert None in told


def test_a_cancelled_waiter_does_not_get_the_name(line: LossyProxy) -> None:
    """Everybody wants the same few names; what is given up is free for the next."""

    async def hold(c: Any, number: int) -> bool:
        async with c.hold(f"n{number % 3}", ttl=60, wait=SOON):
            await asyncio.sleep(0)
        return True

    # Waiters share a second connection, on which they are woken.
    _, held = cancelled_at_random(line, hold, connections=2)
    assert not held


def test_each_caller_gets_its_own_reply(line: LossyProxy) -> None:
    """Members are counted one by one: an answer that went to another caller would be seen at once."""

    async def ask(c: Any, number: int) -> tuple[int, int]:
        await c.kv.incr(f"number-{number}", number)
        return number, await c.kv.get_int(f"number-{number}")

    told, _ = cancelled_at_random(line, ask)
    answers = [pair for pair in told if pair is not None]
    assert answers
    assert all(asked == answered for asked, answered in answers)


def test_a_cancelled_accumulation_counts_once_or_not_at_all(line: LossyProxy, look: Any) -> None:
    async def merge(c: Any, number: int) -> bool:
        await c.stats("s").merge(f"i{number}", n=1)
        return True

    told, _ = cancelled_at_random(line, merge)
    counts = [int(look.hget(f"coord:stats:{{i{number}}}:s", "n") or 0) for number in range(POINTS)]
    assert all(count == 1 for count, done in zip(counts, told, strict=True) if done)
    assert set(counts) <= {0, 1}


async def _is_free(c: Any) -> bool:
    return await c.holder("x") is None


def test_a_release_goes_on_when_its_task_is_cancelled(line: LossyProxy) -> None:
    async def run() -> None:
        async with coord.connect_async(line.url, **SLOW) as c:
            lease = await c.claim("x", ttl=60)
            line.delay = 1.5
            line.arm("delay_reply")
            release = asyncio.create_task(lease.release())
            await until_async(lambda: not line.armed, "the release")
            release.cancel()
            with pytest.raises(asyncio.CancelledError):
                await release
            await until_async(partial(_is_free, c), "the release")
            assert not await lease.release(), "it was released before"

    asyncio.run(run())


@pytest.mark.parametrize("fault", ["drop_reply", "drop_request", "reset_reply"])
def test_a_claim_that_timed_out_for_its_caller_is_released(line: LossyProxy, fault: Any) -> None:
    """The caller's own time is over before coord knows: whatever becomes of the claim, it is given back."""

    async def run() -> None:
        async with coord.connect_async(line.url, timeout=2, patience=10, remember=30) as c:
            line.delay = 1.5
            line.arm(fault)
            line.arm("delay_reply", 2)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await c.claim("x", ttl=60)
            await until_async(partial(_is_free, c), "the release")
            # And it cannot come back: the attempt is refused from now on.
            await asyncio.sleep(0.5)
            assert await c.holder("x") is None

    asyncio.run(run())


def test_closing_finishes_what_was_left_to_be_undone(line: LossyProxy, look: Any) -> None:
    async def run() -> None:
        async with coord.connect_async(line.url, **SLOW) as c:
            line.arm("delay_reply")
            line.delay = 1.5
            task = asyncio.create_task(c.claim("x", ttl=60))
            await until_async(lambda: not line.armed, "the claim")
            task.cancel()

    asyncio.run(run())
    assert "|" not in (look.get("coord:claim:{x}") or "").removeprefix("||"), "nobody holds it"
