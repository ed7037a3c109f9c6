"""Blocking calls: coord beside a bare socket and redis-py's Script, which send the same, and beside other ways.

One thread does each job, then eight threads that share a client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import redis

import coord
from benchmarks import floor
from benchmarks.bench import PREFIX, Bench, Case, Placement
from benchmarks.measure import Contender, Figure, Operation, in_threads
from benchmarks.peers import installed
from coord import claims
from coord.script import Call, Script, all_scripts

THREADS = (1, 8)

Ways = Callable[["Clients"], dict[str, Operation]]


class Clients:
    """What the operations of one case share: a coordinator, a redis-py client and bare sockets."""

    def __init__(self, url: str, held: ExitStack) -> None:
        self.url = url
        self.coord = held.enter_context(coord.connect(url, prefix=PREFIX))
        self.redis: Any = held.enter_context(redis.Redis.from_url(url))
        self.bare = held.enter_context(closing(floor.BareSockets(floor.Address(url))))

    def others(self, *calls: Call[Any]) -> dict[str, Operation]:
        """Return two ways to send what coord sends for these calls: with a bare socket and with redis-py's Script."""
        templates = [Template(call) for call in calls]
        scripts = [(self.redis.register_script(each.script.source), each) for each in templates]
        for each in templates:
            self.redis.script_load(each.script.source)

        def by_socket(i: int) -> None:
            for each in templates:
                keys, argv = each.filled(i)
                self.bare.ask("EVALSHA", each.script.sha, len(keys), *keys, *argv)

        def by_script(i: int) -> None:
            for script, each in scripts:
                keys, argv = each.filled(i)
                script(keys=keys, args=argv)

        return {floor.BLOCKING: by_socket, "redis-py Script": by_script}


NAME = "NUMBER"
"""In a call that serves as a template: the name that stands for the number of the operation."""


class Template:
    """The keys and arguments of a call, with the number of the operation filled in."""

    def __init__(self, call: Call[Any]) -> None:
        self.script = call.script
        self._keys = [key.partition(NAME) for key in call.keys]
        self._argv = list(call.argv)
        self._sequence_at = call.script.sequence_at
        if self._sequence_at >= 0:
            # The last key is that of the operation id: a connection of coord adds the number of a slot.
            *others, (head, _, tail) = self._keys
            self._keys = [*others, (head, _, f"{tail}slot")]

    def filled(self, i: int) -> tuple[list[str], list[str | int]]:
        """Return the keys and arguments of operation ``i``."""
        number = str(i)
        keys = [head + number + tail if name else head + tail for head, name, tail in self._keys]
        argv = self._argv.copy()
        if self._sequence_at >= 0:
            argv[self._sequence_at] = i
        return keys, argv


def source(name: str) -> Script:
    """Return a script that coord ships."""
    return next(script for script in all_scripts() if script.name == name)


def measured(name: str, ways: Ways, bench: Bench) -> Iterator[Figure]:
    """Measure every way to do a job, in one thread and in eight."""
    for threads in THREADS:
        with ExitStack() as held, bench.placed(place(threads)):
            ways_here = ways(Clients(bench.url, held))
            contenders = [Contender(who, in_threads(way, threads)) for who, way in ways_here.items()]
            yield from bench.in_turn(name, _threads(threads), contenders)


def place(threads: int) -> Placement:
    """Return where callers and server run: one caller beside the server, many callers apart from it.

    One thread of an interpreter runs at a time; a server on the same core would push it to another one.
    """
    return "together" if threads == 1 else "apart"


def _threads(number: int) -> str:
    return "1 thread" if number == 1 else f"{number} threads"


# --- the jobs ------------------------------------------------------------------------------------


def once(to: Clients) -> dict[str, Operation]:
    """A dedupe window of an unused name."""

    def commands(i: int) -> bool:
        key = f"{PREFIX}commands:{i}"
        if to.redis.get(key) is not None:
            return False
        to.redis.set(key, "1")
        to.redis.expire(key, 45)
        return True

    return {
        "coord": lambda i: to.coord.once(f"{i}"),
        **to.others(to.coord.calls.once(NAME)),
        "redis-py SET NX PX": lambda i: to.redis.set(f"{PREFIX}set:{i}", "1", nx=True, px=45_000),
        "redis-py GET, SET, EXPIRE": commands,
    }


def claim(to: Clients) -> dict[str, Operation]:
    """A lock, taken and released."""
    take = claims.Claimable(to.coord.calls, NAME).ask("owner", "nonce", 30_000)
    leave = claims.Claimable(to.coord.calls, NAME).release("nonce")

    def by_coord(i: int) -> None:
        lease = to.coord.claim(f"{i}", ttl=30)
        assert lease is not None
        lease.release()

    def by_lock(i: int) -> None:
        lock = to.redis.lock(f"{PREFIX}lock:{i}", timeout=30)
        lock.acquire()
        lock.release()

    ways = {"coord": by_coord, **to.others(take, leave), "redis-py Lock": by_lock}
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
        **to.others(to.coord.calls.bump("script")),
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
        **to.others(to.coord.calls.stats("bench").merge("script", dict.fromkeys(FIELDS, 1))),
        "redis-py 3 HINCRBY, EXPIRE": commands,
        "redis-py pipeline": lambda _: _merging(to.redis.pipeline(), key).execute(),
    }


def merge_consume(to: Clients) -> dict[str, Operation]:
    """Three counts of a new id, merged and consumed."""
    stats = to.coord.stats("bench")
    calls = to.coord.calls.stats("script")

    def by_coord(i: int) -> None:
        stats.merge(f"{i}", processed=1, errors=1, tokens=1)
        assert stats.consume(f"{i}")

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
        **to.others(calls.merge(NAME, dict.fromkeys(FIELDS, 1)), calls.consume(NAME)),
        "redis-py commands": commands,
        "redis-py pipeline": pipelines,
    }


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
        **to.others(to.coord.calls.kv.incr("script")),
        "redis-py INCRBY, EXPIRE": commands,
        "redis-py pipeline": lambda _: to.redis.pipeline().incrby(key, 1).expire(key, 3600).execute(),
    }
    if installed("limits") and not to.url.startswith("unix:"):
        from limits.storage import storage_from_string  # noqa: PLC0415  # a peer that may be missing

        storage = storage_from_string(to.url, key_prefix=PREFIX.rstrip(":"))
        ways["limits"] = lambda _: storage.incr("count", 3600)
    return ways


JOBS: dict[str, tuple[str, Ways]] = {
    "once": ("a dedupe window", once),
    "claim": ("a lock taken and released", claim),
    "bump": ("a new version", bump),
    "merge": ("three counts of one id", merge),
    "merge-consume": ("three counts merged and consumed", merge_consume),
    "incr": ("a count with a TTL", incr),
}


def _case(job: str) -> Case:
    title, ways = JOBS[job]
    name = f"blocking-{job}"

    def run(bench: Bench) -> Iterable[Figure]:
        return measured(name, ways, bench)

    return Case(name, f"{title}, in one thread and in eight", run)


def threads(bench: Bench) -> Iterator[Figure]:
    """A dedupe window, by the number of threads."""
    for number in (1, 2, 4, 8, 16, 32):
        with ExitStack() as held, bench.placed(place(number)):
            ways = once(Clients(bench.url, held))
            contenders = [
                Contender(who, in_threads(ways[who], number)) for who in ("coord", floor.BLOCKING, "redis-py Script")
            ]
            yield from bench.in_turn("grow-threads", number, contenders)


CASES = (*map(_case, JOBS), Case("grow-threads", "once, in 1 to 32 threads", threads))
