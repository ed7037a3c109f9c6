"""Blocking calls: coord beside redis-py's Script with the same Lua, several commands instead of a script, and others.

Each job is done by one thread and by eight that share a client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import redis

import coord
from benchmarks.bench import PREFIX, Bench, Case, Place
from benchmarks.measure import Contender, Figure, Operation, in_threads
from benchmarks.peers import installed
from coord.script import Call, Script, shipped

THREADS = (1, 8)

Ways = Callable[["Clients"], dict[str, Operation]]


class Clients:
    """What the operations of one case share: a coordinator and a redis-py client."""

    def __init__(self, url: str, held: ExitStack) -> None:
        self.url = url
        self.coord = held.enter_context(coord.connect(url, prefix=PREFIX))
        self.redis: Any = held.enter_context(redis.Redis.from_url(url))
        self.held = held

    def script(self, name: str) -> Callable[..., Any]:
        """One of coord's scripts, in redis-py's hands."""
        script: Callable[..., Any] = self.redis.register_script(source(name).source)
        return script

    def seated(self, call: Call[Any]) -> Operation:
        """An accumulation, in redis-py's hands: with the words that a connection of coord sends, turn by turn."""
        script = self.script(call.script.name)
        key, op = call.keys
        before, after = call.argv[: call.script.turn_at], call.argv[call.script.turn_at + 1 :]
        return lambda i: script(keys=[key, f"{op}seat"], args=[*before, i, *after])


def source(name: str) -> Script:
    """One of the scripts that coord ships."""
    return next(script for script in shipped() if script.name == name)


def measured(name: str, ways: Ways, bench: Bench) -> Iterator[Figure]:
    """Measure every way to do a job, in one thread and in eight."""
    for threads in THREADS:
        with ExitStack() as held, bench.placed(place(threads)):
            ways_here = ways(Clients(bench.url, held))
            contenders = [Contender(who, in_threads(way, threads)) for who, way in ways_here.items()]
            yield from bench.in_turn(name, _threads(threads), contenders)


def place(threads: int) -> Place:
    """Where callers and server run: one that asks and waits beside the server; from many, the server is kept away.

    Of the threads of an interpreter one runs at a time; a server that takes its core sends it to another.
    """
    return "together" if threads == 1 else "apart"


def _threads(number: int) -> str:
    return "1 thread" if number == 1 else f"{number} threads"


# --- the jobs ------------------------------------------------------------------------------------


def once(to: Clients) -> dict[str, Operation]:
    """A dedupe window, of a name that nobody has asked for."""
    script = to.script("once")

    def commands(i: int) -> bool:
        key = f"{PREFIX}commands:{i}"
        if to.redis.get(key) is not None:
            return False
        to.redis.set(key, "1")
        to.redis.expire(key, 45)
        return True

    return {
        "coord": lambda i: to.coord.once(f"{i}"),
        "redis-py Script": lambda i: script(keys=[f"{PREFIX}once:{{{i}}}"], args=[f"nonce-{i}", 45_000]),
        "redis-py SET NX PX": lambda i: to.redis.set(f"{PREFIX}set:{i}", "1", nx=True, px=45_000),
        "redis-py GET, SET, EXPIRE": commands,
    }


def claim(to: Clients) -> dict[str, Operation]:
    """A lock, taken and released."""
    take, leave = to.script("claim"), to.script("release")

    def by_coord(i: int) -> None:
        lease = to.coord.claim(f"{i}", ttl=30)
        assert lease is not None
        lease.release()

    def by_script(i: int) -> None:
        keys = [f"{PREFIX}claim:{{{i}}}", f"{PREFIX}claim:{{{i}}}:gone:n{i}"]
        take(keys=keys, args=["owner", f"n{i}", 30_000])
        leave(keys=keys, args=[f"n{i}", 60_000, "PUBLISH"])

    def by_lock(i: int) -> None:
        lock = to.redis.lock(f"{PREFIX}lock:{i}", timeout=30)
        lock.acquire()
        lock.release()

    ways = {"coord": by_coord, "redis-py Script": by_script, "redis-py Lock": by_lock}
    return {**ways, **_other_locks(to)}


def _other_locks(to: Clients) -> dict[str, Operation]:
    ways: dict[str, Operation] = {}
    if installed("python-redis-lock"):
        import redis_lock  # noqa: PLC0415  # a peer that may be missing

        def by_redis_lock(i: int) -> None:
            lock = redis_lock.Lock(to.redis, f"{PREFIX}{i}", expire=30)
            lock.acquire()
            lock.release()

        ways["python-redis-lock"] = by_redis_lock
    if installed("pottery"):
        from pottery import Redlock  # noqa: PLC0415  # a peer that may be missing

        def by_pottery(i: int) -> None:
            lock = Redlock(key=f"{PREFIX}{i}", masters={to.redis}, auto_release_time=30)
            lock.acquire()
            lock.release()

        ways["pottery Redlock"] = by_pottery
    return ways


def bump(to: Clients) -> dict[str, Operation]:
    """A new version of one name."""
    key = f"{PREFIX}commands:version"

    def commands(_: int) -> None:
        to.redis.incr(key)
        to.redis.expire(key, 3600)

    def pipeline(_: int) -> None:
        to.redis.pipeline().incr(key).expire(key, 3600).execute()

    return {
        "coord": lambda _: to.coord.bump("coord"),
        "redis-py Script": to.seated(to.coord.calls.bump("script")),
        "redis-py INCR, EXPIRE": commands,
        "redis-py pipeline": pipeline,
    }


FIELDS = ("processed", "errors", "tokens")


def merge(to: Clients) -> dict[str, Operation]:
    """Three counts of one id."""
    stats = to.coord.stats("bench")
    key = f"{PREFIX}commands:stats"

    def commands(_: int) -> None:
        for field in FIELDS:
            to.redis.hincrby(key, field, 1)
        to.redis.expire(key, 3600)

    return {
        "coord": lambda _: stats.merge("coord", processed=1, errors=1, tokens=1),
        "redis-py Script": to.seated(_merge_call(to)),
        "redis-py 3 HINCRBY, EXPIRE": commands,
        "redis-py pipeline": lambda _: _merging(to.redis.pipeline(), key).execute(),
    }


def merge_consume(to: Clients) -> dict[str, Operation]:
    """Three counts of a new id, and all of them taken."""
    put, take = to.script("merge"), to.script("consume")
    stats = to.coord.stats("bench")
    ttl_ms, _, remember_ms, *deltas = _merge_call(to).argv

    def by_coord(i: int) -> None:
        stats.merge(f"{i}", processed=1, errors=1, tokens=1)
        assert stats.consume(f"{i}")

    def by_script(i: int) -> None:
        key = f"{PREFIX}stats:{{{i}}}:script"
        put(keys=[key, f"{key}:op:seat"], args=[ttl_ms, i, remember_ms, *deltas])
        take(keys=[key, f"{key}:batch:{i}"], args=[remember_ms])

    def commands(i: int) -> None:
        key = f"{PREFIX}commands:{i}"
        for field in FIELDS:
            to.redis.hincrby(key, field, 1)
        to.redis.expire(key, 3600)
        assert to.redis.hgetall(key)
        to.redis.delete(key)

    def pipelines(i: int) -> None:
        key = f"{PREFIX}pipeline:{i}"
        _merging(to.redis.pipeline(), key).execute()
        to.redis.pipeline().hgetall(key).delete(key).execute()

    return {
        "coord": by_coord,
        "redis-py Script": by_script,
        "redis-py commands": commands,
        "redis-py pipeline": pipelines,
    }


def _merge_call(to: Clients) -> Call[None]:
    return to.coord.calls.stats("bench").merge("script", dict.fromkeys(FIELDS, 1))


def _merging(pipeline: Any, key: str) -> Any:
    for field in FIELDS:
        pipeline.hincrby(key, field, 1)
    return pipeline.expire(key, 3600)


def incr(to: Clients) -> dict[str, Operation]:
    """A count with a TTL."""
    key = f"{PREFIX}commands:count"

    def commands(_: int) -> None:
        to.redis.incrby(key, 1)
        to.redis.expire(key, 3600)

    ways: dict[str, Operation] = {
        "coord": lambda _: to.coord.kv.incr("coord"),
        "redis-py Script": to.seated(to.coord.calls.kv.incr("script")),
        "redis-py INCRBY, EXPIRE": commands,
        "redis-py pipeline": lambda _: to.redis.pipeline().incrby(key, 1).expire(key, 3600).execute(),
    }
    if installed("limits"):
        from limits.storage import storage_from_string  # noqa: PLC0415  # a peer that may be missing

        storage = storage_from_string(to.url, key_prefix=PREFIX.rstrip(":"))
        ways["limits"] = lambda _: storage.incr("count", 3600)
    return ways


JOBS: dict[str, tuple[str, Ways]] = {
    "once": ("a dedupe window", once),
    "claim": ("a lock taken and released", claim),
    "bump": ("a new version", bump),
    "merge": ("three counts of one id", merge),
    "merge-consume": ("three counts merged, and taken", merge_consume),
    "incr": ("a count with a TTL", incr),
}


def _case(job: str) -> Case:
    title, ways = JOBS[job]
    name = f"blocking-{job}"

    def run(bench: Bench) -> Iterable[Figure]:
        return measured(name, ways, bench)

    return Case(name, f"{title}, in one thread and in eight", run)


def threads(bench: Bench) -> Iterator[Figure]:
    """How throughput changes with the number of threads."""
    for number in (1, 2, 4, 8, 16, 32):
        with ExitStack() as held, bench.placed(place(number)):
            ways = once(Clients(bench.url, held))
            contenders = [Contender(who, in_threads(ways[who], number)) for who in ("coord", "redis-py Script")]
            yield from bench.in_turn("grow-threads", number, contenders)


CASES = (*map(_case, JOBS), Case("grow-threads", "once, by 1 to 32 threads", threads))
