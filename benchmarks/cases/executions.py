"""Executions: a function that runs once, and a result that is kept, beside the usual recipe with SET NX."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio

import coord
from benchmarks.bench import PREFIX, Bench, Case
from benchmarks.cases.awaited import MOST_CONNECTIONS, Held
from benchmarks.measure import AsyncOperation, Contender, Figure, in_tasks

TASKS = (1, 100)


async def _work() -> int:
    return 17


def executions(bench: Bench) -> Iterator[Figure]:
    """A fresh key runs the function; a kept one gives its result. In 1 and in 100 tasks."""
    for name, key in KEYS.items():
        for tasks in TASKS:
            with bench.placed("together" if tasks == 1 else None), asyncio.Runner() as loop, Held(loop) as hold:
                ways = {"coord": hold(_coord(bench.url, key)), "SET NX by redis.asyncio": hold(_set_nx(bench.url, key))}
                contenders = [Contender(who, in_tasks(loop, way, tasks)) for who, way in ways.items()]
                yield from bench.in_turn("execute-once", f"{name}, {tasks:,} tasks", contenders)


Key = Callable[[int], str]

KEYS: dict[str, Key] = {"fresh key": lambda i: f"{i}", "kept result": lambda i: f"kept-{i % 100}"}


@asynccontextmanager
async def _coord(url: str, key: Key) -> AsyncIterator[AsyncOperation]:
    async with coord.connect_async(url, prefix=PREFIX) as c:
        yield lambda i: c.execute_once(key(i), _work, keep=60)


@asynccontextmanager
async def _set_nx(url: str, key: Key) -> AsyncIterator[AsyncOperation]:
    """Three commands, of which each may be the last: no fence, no renewal, no fingerprint, and nobody is woken."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(url, max_connections=MOST_CONNECTIONS, timeout=60)
    async with redis.asyncio.Redis(connection_pool=pool) as client:
        yield lambda i: _once(client, f"{PREFIX}by-hand:{key(i)}", _work)
        await pool.aclose()


async def _once(client: Any, key: str, work: Callable[[], Awaitable[object]]) -> object:
    while (kept := await client.get(key)) is None:
        if await client.set(f"{key}:lock", "1", nx=True, px=30_000):
            result = json.dumps(await work())
            await client.set(key, result, px=60_000)
            await client.delete(f"{key}:lock")
            return json.loads(result)
        await asyncio.sleep(0.01)
    return json.loads(kept)


CASES = (Case("execute-once", "a function that runs once for a key, and its kept result", executions),)
