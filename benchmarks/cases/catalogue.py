"""Rate limits, quotas, leaders and groups: beside Python peers, and beside scripts written by hand on redis.asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import redis.asyncio

import coord
from benchmarks.bench import PREFIX, Bench, Case
from benchmarks.cases.awaited import MOST_CONNECTIONS, Client, Held
from benchmarks.measure import AsyncOperation, Contender, Figure, in_tasks, in_turn
from benchmarks.peers import installed
from coord import Limit

TASKS = (1, 100)
BY_HAND = "script by redis.asyncio"
ADMITTED = 50
"""What a limit admits in the comparison of exactness; four times as many ask at once."""

_names = count()


def _beside(bench: Bench, case: str, clients: dict[str, Client]) -> Iterator[Figure]:
    for tasks in TASKS:
        bench.clear()
        with bench.placed("together" if tasks == 1 else None), asyncio.Runner() as loop, Held(loop) as hold:
            contenders = [
                Contender(who, in_tasks(loop, hold(client(bench.url)), tasks)) for who, client in clients.items()
            ]
            # Not ``bench.in_turn``, which would take the leader and the members away.
            at = "1 task" if tasks == 1 else f"{tasks} tasks"
            yield from in_turn(case, at, contenders, bench.effort, bench.tell)


@asynccontextmanager
async def _redis(url: str) -> AsyncIterator[Any]:
    pool = redis.asyncio.BlockingConnectionPool.from_url(url, max_connections=MOST_CONNECTIONS, timeout=60)
    async with redis.asyncio.Redis(connection_pool=pool) as client:
        yield client
        await pool.aclose()


# --- rate limits ---------------------------------------------------------------------------------

Limited = Callable[[str, int], Client]
"""From a name and an amount in a minute to a client whose operation says whether it was admitted."""


def _coord(name: str, amount: int) -> Client:
    @asynccontextmanager
    async def client(url: str) -> AsyncIterator[AsyncOperation]:
        async with coord.connect_async(url, prefix=PREFIX) as c:
            limiter = c.limiter(name, Limit(amount, per=60))
            yield lambda _: limiter.hit()

    return client


GCRA = """
local time = redis.call("TIME")
local now = time[1] * 1000000 + time[2]
local at = math.max(now, tonumber(redis.call("GET", KEYS[1]) or 0)) + ARGV[1]
if at - now > tonumber(ARGV[2]) then return 0 end
redis.call("SET", KEYS[1], string.format("%.0f", at), "PX", math.ceil((at - now) / 1000))
return 1"""
"""The least that passes for a limiter: one limit, no fractions, no penalty, and counted twice when it is sent again."""


def _by_hand(name: str, amount: int) -> Client:
    @asynccontextmanager
    async def client(url: str) -> AsyncIterator[AsyncOperation]:
        async with _redis(url) as connected:
            script = connected.register_script(GCRA)
            yield lambda _: script(keys=(f"{PREFIX}{name}:by-hand",), args=(60_000_000 // amount, 60_000_000))

    return client


def _limits(name: str, amount: int) -> Client:
    @asynccontextmanager
    async def client(url: str) -> AsyncIterator[AsyncOperation]:
        from limits import RateLimitItemPerMinute  # noqa: PLC0415  # a peer that may be missing
        from limits.aio import storage, strategies  # noqa: PLC0415  # the same

        pool = redis.asyncio.BlockingConnectionPool.from_url(url, max_connections=MOST_CONNECTIONS, timeout=60)
        kept = storage.RedisStorage(f"async+{url}", implementation="redispy", connection_pool=pool)
        limiter = strategies.MovingWindowRateLimiter(kept)
        item = RateLimitItemPerMinute(amount, namespace=PREFIX)
        yield lambda _: limiter.hit(item, name)
        await pool.aclose()

    return client


def _throttled(name: str, amount: int) -> Client:
    @asynccontextmanager
    async def client(url: str) -> AsyncIterator[AsyncOperation]:
        from throttled import asyncio as throttled  # noqa: PLC0415  # a peer that may be missing

        options = {"max_connections": MOST_CONNECTIONS, "timeout": 60}
        pool = "redis.asyncio.BlockingConnectionPool"
        kept = throttled.RedisStore(
            server=url, options={"CONNECTION_POOL_CLASS": pool, "CONNECTION_POOL_KWARGS": options}
        )
        limiter = throttled.Throttled(
            key=f"{PREFIX}{name}", using="gcra", quota=throttled.rate_limiter.per_min(amount), store=kept
        )

        async def hit(_: int) -> bool:
            return not (await limiter.limit()).limited

        yield hit

    return client


def _pyrate(name: str, amount: int) -> Client:
    @asynccontextmanager
    async def client(url: str) -> AsyncIterator[AsyncOperation]:
        from pyrate_limiter import Duration, Limiter, Rate, RedisBucket  # noqa: PLC0415  # a peer that may be missing

        async with _redis(url) as connected:
            bucket = await RedisBucket.init([Rate(amount, Duration.MINUTE)], connected, f"{PREFIX}{name}:pyrate")
            limiter = Limiter(bucket)
            yield lambda _: limiter.try_acquire_async("job", blocking=False)
            limiter.close()

    return client


def _limiters() -> dict[str, Limited]:
    peers: dict[str, Limited] = {"limits": _limits, "throttled-py": _throttled, "pyrate-limiter": _pyrate}
    return {"coord": _coord, BY_HAND: _by_hand, **{who: peer for who, peer in peers.items() if installed(who)}}


def hits(bench: Bench) -> Iterator[Figure]:
    """A hit of a limit that admits it, by each library."""
    name = f"limiter-{next(_names)}"
    yield from _beside(bench, "limiter", {who: limited(name, 60_000_000) for who, limited in _limiters().items()})


def exactness(bench: Bench) -> Iterator[Figure]:
    """How many of 200 hits at once, by two clients, pass under a limit of 50."""
    name = f"exact-{next(_names)}"
    for who, limited in _limiters().items():
        bench.tell(f"limiter-exact: {who}")
        with asyncio.Runner() as loop, Held(loop) as hold:
            ways = [hold(limited(name, ADMITTED)(bench.url)) for _ in range(2)]
            passed = loop.run(_passed(ways))
        yield Figure("limiter-exact", who, f"of {ADMITTED}", "admitted", (float(passed),))


async def _passed(ways: list[AsyncOperation]) -> int:
    return sum(map(bool, await asyncio.gather(*(ways[i % 2](i) for i in range(4 * ADMITTED)))))


# --- quotas, leaders, groups ---------------------------------------------------------------------


def quotas(bench: Bench) -> Iterator[Figure]:
    """An amount reserved and settled, beside a counter that is added to and corrected."""
    yield from _beside(bench, "quota", {"coord": _reserving, BY_HAND: _counting})


@asynccontextmanager
async def _reserving(url: str) -> AsyncIterator[AsyncOperation]:
    async with coord.connect_async(url, prefix=PREFIX) as c:
        quota = c.quota("bench", Limit(10**12, per=3600))

        async def reserve(_: int) -> None:
            reservation = await quota.reserve(3)
            assert reservation is not None
            await reservation.settle(2)

        yield reserve


RESERVE = """
local spent = redis.call("INCRBY", KEYS[1], ARGV[1])
if spent == tonumber(ARGV[1]) then redis.call("EXPIRE", KEYS[1], 3600) end
return spent"""
"""The usual counter: what is reserved by a process that dies stays taken, and a lost reply counts twice."""


@asynccontextmanager
async def _counting(url: str) -> AsyncIterator[AsyncOperation]:
    async with _redis(url) as client:
        script = client.register_script(RESERVE)

        async def reserve(_: int) -> None:
            await script(keys=(f"{PREFIX}quota:by-hand",), args=(3,))
            await script(keys=(f"{PREFIX}quota:by-hand",), args=(-1,))

        yield reserve


def leaders(bench: Bench) -> Iterator[Figure]:
    """Who leads, asked by a follower, beside GET."""
    yield from _beside(bench, "leader", {"coord": _current, "GET by redis.asyncio": _get})


@asynccontextmanager
async def _current(url: str) -> AsyncIterator[AsyncOperation]:
    async with coord.connect_async(url, prefix=PREFIX) as c, c.leader("bench", ttl=60).hold():
        leader = c.leader("bench", ttl=60)
        yield lambda _: leader.current()


@asynccontextmanager
async def _get(url: str) -> AsyncIterator[AsyncOperation]:
    async with _redis(url) as client:
        await client.set(f"{PREFIX}leader:by-hand", "me", px=60_000)
        yield lambda _: client.get(f"{PREFIX}leader:by-hand")


def groups(bench: Bench) -> Iterator[Figure]:
    """The members of a group of ten, beside a sorted set of deadlines."""
    yield from _beside(bench, "group", {"coord": _members, BY_HAND: _zset})


@asynccontextmanager
async def _members(url: str) -> AsyncIterator[AsyncOperation]:
    async with coord.connect_async(url, prefix=PREFIX) as c:
        group = c.group("bench", ttl=60)
        joined = [group.join(f"{number}") for number in range(10)]
        for each in joined:
            await each.__aenter__()
        yield lambda _: group.members()
        for each in joined:
            await each.__aexit__(None, None, None)


ALIVE = """
local now = redis.call("TIME")[1]
redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", "(" .. now)
return redis.call("ZRANGE", KEYS[1], 0, -1)"""


@asynccontextmanager
async def _zset(url: str) -> AsyncIterator[AsyncOperation]:
    async with _redis(url) as client:
        script, key = client.register_script(ALIVE), f"{PREFIX}group:by-hand"
        seconds, _ = await client.time()
        await client.zadd(key, {f"{number}": seconds + 3600 for number in range(10)})
        await client.expire(key, 3600)
        yield lambda _: script(keys=(key,))


CASES = (
    Case("limiter", "a hit of a rate limit, beside three libraries and a script", hits),
    Case("limiter-exact", "how many of 200 hits at once pass under a limit of 50", exactness),
    Case("quota", "an amount reserved and settled, beside a counter", quotas),
    Case("leader", "who leads, beside GET", leaders),
    Case("group", "the members of a group of ten, beside a sorted set", groups),
)
