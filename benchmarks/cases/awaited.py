"""Async calls: coord beside a bare protocol and other clients that send the same EVALSHA, in 1 to 1,000 tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import redis.asyncio

import coord
from benchmarks import floor
from benchmarks.bench import PREFIX, Bench, Case
from benchmarks.cases.blocking import source
from benchmarks.measure import AsyncOperation, Contender, Figure, in_tasks
from benchmarks.peers import installed

TASKS = (1, 10, 100, 1000)
MOST_CONNECTIONS = 100
"""The size of redis.asyncio's pool. More callers wait; its default pool would raise an error."""


def once_by_tasks(bench: Bench) -> Iterator[Figure]:
    """A dedupe window, by each client and each number of tasks."""
    for tasks in TASKS:
        # Some peers have threads of their own, so many tasks are not pinned to a core.
        with bench.placed("together" if tasks == 1 else None), asyncio.Runner() as loop, Held(loop) as hold:
            ways = {who: hold(client(bench.url)) for who, client in _clients(bench.url).items()}
            contenders = [Contender(who, in_tasks(loop, way, tasks)) for who, way in ways.items()]
            yield from bench.in_turn("async-once", _tasks(tasks), contenders)


def _tasks(number: int) -> str:
    return "1 task" if number == 1 else f"{number:,} tasks"


Client = Callable[[str], Any]
"""From a URL to an async context manager of an operation."""


def _clients(url: str) -> dict[str, Client]:
    peers: dict[str, Client] = {"redis.asyncio": _redis_asyncio}
    if installed("coredis"):
        peers["coredis"] = _coredis
    if installed("valkey-glide") and not url.startswith("unix:"):
        peers["valkey-glide"] = _glide
    return {"coord": _coord, floor.ASYNC: _floor, **peers}


@asynccontextmanager
async def _coord(url: str) -> AsyncIterator[AsyncOperation]:
    async with coord.connect_async(url, prefix=PREFIX) as c:
        yield lambda i: c.once(f"{i}")


def _words(i: int) -> tuple[str | int, ...]:
    """Return two keys and the arguments of ``once``, as coord sends them."""
    key, nonce = f"{PREFIX}once:{{{i}}}", f"nonce-{i}"
    return key, f"{key}:answered:{nonce}", "", nonce, 45_000, 0, 60_000, "0"


@asynccontextmanager
async def _redis_asyncio(url: str) -> AsyncIterator[AsyncOperation]:
    sha = source("once").sha
    pool = redis.asyncio.BlockingConnectionPool.from_url(url, max_connections=MOST_CONNECTIONS, timeout=60)
    async with redis.asyncio.Redis(connection_pool=pool) as client:
        yield lambda i: client.evalsha(sha, 2, *_words(i))
        await pool.aclose()


@asynccontextmanager
async def _coredis(url: str) -> AsyncIterator[AsyncOperation]:
    import coredis  # noqa: PLC0415  # a peer that may be missing

    sha = source("once").sha

    async def once(i: int) -> object:
        words = _words(i)
        return await client.evalsha(sha, keys=words[:2], args=words[2:])

    async with coredis.Redis.from_url(url, max_connections=MOST_CONNECTIONS) as client:
        yield once


@asynccontextmanager
async def _glide(url: str) -> AsyncIterator[AsyncOperation]:
    import glide  # noqa: PLC0415  # a peer that may be missing

    parts = urlsplit(url)
    address = glide.NodeAddress(parts.hostname or "localhost", parts.port or 6379)
    credentials = glide.ServerCredentials(parts.password, parts.username) if parts.password else None
    configuration = glide.GlideClientConfiguration(
        [address], use_tls=parts.scheme == "rediss", credentials=credentials, request_timeout=10_000
    )
    client: Any = await glide.GlideClient.create(configuration)
    script: Any = glide.Script(source("once").source)

    async def once(i: int) -> object:
        words = list(map(str, _words(i)))
        return await client.invoke_script(script, keys=words[:2], args=words[2:])

    yield once
    await client.close()


@asynccontextmanager
async def _floor(url: str) -> AsyncIterator[AsyncOperation]:
    bare = await floor.BareProtocol.connect(floor.Address(url))
    sha = source("once").sha
    yield lambda i: bare.ask("EVALSHA", sha, 2, *_words(i))
    bare.close()


# --- operation ids -------------------------------------------------------------------------------


def ids(bench: Bench) -> Iterator[Figure]:
    """The same accumulation with operation ids and without, in 100 tasks."""
    for name, operation in ACCUMULATIONS.items():
        with bench.placed("apart"), asyncio.Runner() as loop, Held(loop) as hold:
            on = hold(_accumulating(bench.url, operation))
            off = hold(_accumulating(bench.url, operation, remember=0))
            contenders = [
                Contender("coord", in_tasks(loop, on, 100)),
                Contender("coord, no ids", in_tasks(loop, off, 100)),
            ]
            yield from bench.in_turn("async-ids", name, contenders)


Accumulation = Callable[[coord.AsyncCoordinator, int], Awaitable[object]]

ACCUMULATIONS: dict[str, Accumulation] = {
    "incr": lambda c, i: c.kv.incr(f"{i % 100}"),
    "bump": lambda c, i: c.bump(f"{i % 100}"),
    "merge": lambda c, i: c.stats("bench").merge(f"{i % 100}", processed=1, errors=1, tokens=1),
}


@asynccontextmanager
async def _accumulating(url: str, operation: Accumulation, **options: Any) -> AsyncIterator[AsyncOperation]:
    async with coord.connect_async(url, prefix=PREFIX, **options) as c:
        yield lambda i: operation(c, i)


# --- clients that stay open between runs ---------------------------------------------------------


class Held:
    """Enters async context managers in one task of a loop, and leaves them in the same when the block ends."""

    def __init__(self, loop: asyncio.Runner) -> None:
        self._loop = loop
        self._held = ExitStack()

    def __enter__(self) -> Callable[[Any], Any]:
        self._held.__enter__()
        return self._hold

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def _hold(self, manager: Any) -> Any:
        entered, stay = self._loop.run(self._begin(manager))
        self._held.callback(lambda: self._loop.run(_ended(stay)))
        return entered

    async def _begin(self, manager: Any) -> Any:
        entered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        over = asyncio.Event()

        async def stay() -> None:
            async with AsyncExitStack() as stack:
                try:
                    entered.set_result(await stack.enter_async_context(manager))
                except Exception as error:  # raised in the caller
                    entered.set_exception(error)
                await over.wait()

        task = asyncio.create_task(stay())
        return await entered, (task, over)


async def _ended(stay: tuple[asyncio.Task[None], asyncio.Event]) -> None:
    task, over = stay
    over.set()
    await task


CASES = (
    Case("async-once", "a dedupe window, in 1 to 1,000 tasks of one loop", once_by_tasks),
    Case("async-ids", "the cost of operation ids, in 100 tasks", ids),
)
