"""The table of backends. A test is written once, as plain blocking code, and runs on every line of this table:

    memory, each real server, fakeredis      times      blocking, awaited

``COORD_ENGINES=memory,redis-8.2`` runs a part of it. An engine that is wanted and missing fails ``test_backends.py``
by name; it is never passed over in silence.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from inspect import isawaitable, isroutine
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

import fakeredis
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import coord
from coord.clock import SystemClock
from coord.family import Family
from coord.group.membership import AsyncJoining
from coord.leases import AsyncHolding
from coord.memory import AsyncMemory, Keyspace, Memory
from coord.testing.clock import START_US, Clock, VirtualClock, VirtualServer, why_not
from coord.testing.servers import Engine, Server, engines

EXPECTED = ("memory", "redis-6.2", "redis-8.2", "valkey-9.1", "fakeredis")
"""What a complete run covers; a ``redis-server`` on PATH is also covered, as ``path``."""

Stored = dict[str, tuple[str, Any, int]]
"""Of each key: its type, its value, and the milliseconds it has left (-1: it never expires)."""


@cache
def found() -> dict[str, Engine]:
    """The server programs of this environment, looked for once."""
    return engines()


def wanted() -> tuple[str, ...]:
    """The engines that this run covers."""
    chosen = os.environ.get("COORD_ENGINES")
    if chosen:
        return tuple(name.strip() for name in chosen.split(","))
    return (*EXPECTED, "path") if "path" in found() else EXPECTED


def missing() -> list[str]:
    """The engines that are wanted and not here."""
    return [name for name in wanted() if name not in ("memory", "fakeredis", *found())]


def covered() -> dict[str, Engine]:
    """The server programs that this run covers, by name."""
    return {name: engine for name, engine in found().items() if name in wanted()}


class Line(NamedTuple):
    """One line of the table: where operations run, and whether they are awaited."""

    engine: str
    awaited: bool

    def __str__(self) -> str:
        return f"{self.engine}-{'awaited' if self.awaited else 'blocking'}"


def table() -> list[Line]:
    """All lines that can run here."""
    return [Line(engine, awaited) for engine in wanted() if engine not in missing() for awaited in (False, True)]


def servers() -> list[Line]:
    """The lines on real servers."""
    return [line for line in table() if line.engine not in ("memory", "fakeredis")]


# --- places: where keys are stored ---------------------------------------------------------------


class Place(Protocol):
    """Somewhere that operations run, seen by one who looks at its keys without coord."""

    def connect(self, awaited: bool, **settings: Any) -> Any:
        """Return a coordinator, or what is awaited to get one."""
        ...

    def do(self, command: str, *words: str | int) -> Any:
        """Run one command of Redis."""
        ...

    def stored(self) -> Stored:
        """Return all keys."""
        ...

    def age(self, ms: int) -> None:
        """The clock was moved; make the keys older by as much, where the clock does not do it."""
        ...

    def commands(self) -> int:
        """How many commands it has been sent, looks like this one not counted; 0 where nobody counts."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class MemoryPlace:
    """A keyspace of this process, in the time of the clock."""

    def __init__(self, clock: Clock) -> None:
        self.space = Keyspace(lambda: clock.now_us)

    def connect(self, awaited: bool, **settings: Any) -> Any:
        if awaited:
            return _at_once(coord.AsyncCoordinator(AsyncMemory(self.space), **settings))
        return coord.Coordinator(Memory(self.space), **settings)

    def do(self, command: str, *words: str | int) -> Any:
        if command == "FLUSHALL":
            return self.space.flush()
        return self.space.call(getattr(Keyspace, {"DEL": "delete"}.get(command, command.lower())), *words)

    def stored(self) -> Stored:
        return self.space.dump()

    def age(self, ms: int) -> None:
        """The keyspace has read the clock."""

    def commands(self) -> int:
        return 0

    def close(self) -> None:
        """Nothing is open."""


async def _at_once(made: Any) -> Any:
    return made


class ServerPlace:
    """A private server. Its time is that of the clock; without a C compiler its keys are aged by hand."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.server = VirtualServer(engine, clock) if isinstance(clock, VirtualClock) else Server(engine)
        self.client: Any = redis.Redis.from_url(
            self.server.url, decode_responses=True, protocol=2, retry=Retry(NoBackoff(), 0)
        )
        self._looks = 0
        self.client.ping()

    def connect(self, awaited: bool, **settings: Any) -> Any:
        return (coord.connect_async if awaited else coord.connect)(self.server.url, **settings)

    def do(self, command: str, *words: str | int) -> Any:
        return self.client.execute_command(command, *words)

    def stored(self) -> Stored:
        keys = sorted(self.client.keys("*"))
        kinds = self._ask(("TYPE", key) for key in keys)
        values = self._ask(_READ[kind](key) for kind, key in zip(kinds, keys, strict=True))
        left = self._ask(("PTTL", key) for key in keys)
        return dict(zip(keys, zip(kinds, values, left, strict=True), strict=True))

    def age(self, ms: int) -> None:
        if not isinstance(self.server, VirtualServer):
            _age(self.client, ms)

    def commands(self) -> int:
        self._looks += 1
        return int(self.client.info("stats")["total_commands_processed"]) - self._looks

    def close(self) -> None:
        self.client.close()
        self.server.stop()

    def _ask(self, commands: Iterable[tuple[str | int, ...]]) -> list[Any]:
        """Return the replies of many commands that are sent together."""
        with self.client.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            return [frozenset(reply) if isinstance(reply, set) else reply for reply in pipe.execute()]


_READ: dict[str, Callable[[str], tuple[str | int, ...]]] = {
    "string": lambda key: ("GET", key),
    "hash": lambda key: ("HGETALL", key),
    "set": lambda key: ("SMEMBERS", key),
    "list": lambda key: ("LRANGE", key, 0, -1),
    "zset": lambda key: ("ZRANGE", key, 0, -1, "WITHSCORES"),
    # It expired in between.
    "none": lambda key: ("GET", key),
}
"""The command that reads all of a key, by the type of its value."""


class FakePlace(ServerPlace):
    """fakeredis, by an injected client. ``TIME`` is that of the clock, and its keys are aged by hand."""

    def __init__(self, clock: Clock) -> None:
        self.fake = fakeredis.FakeServer()
        # Deadlines of keys are kept as floats, which never are exactly over: for them time stands still.
        still, moving = SimpleNamespace(time=lambda: START_US / 1e6), SimpleNamespace(time=lambda: clock.now_us / 1e6)
        self.clocks = {
            "fakeredis._helpers.time": still,
            "fakeredis._socket._base.time": still,
            "fakeredis.commands_mixins.server_mixin.time": moving,
        }
        self.client = fakeredis.FakeRedis(server=self.fake, decode_responses=True)

    def connect(self, awaited: bool, **settings: Any) -> Any:
        if awaited:
            return coord.connect_async(client=fakeredis.FakeAsyncRedis(server=self.fake), **settings)
        return coord.connect(client=fakeredis.FakeRedis(server=self.fake), **settings)

    def age(self, ms: int) -> None:
        _age(self.client, ms)

    def commands(self) -> int:
        return 0

    def close(self) -> None:
        self.client.close()


def _age(client: Any, ms: int) -> None:
    """Shorten what every key has left, and remove those that have nothing left."""
    for key in client.keys("*"):
        left = client.pttl(key)
        if 0 <= left <= ms:
            client.delete(key)
        elif left > ms:
            client.pexpire(key, left - ms)


class Places:
    """The places of one run, each made when a test first wants it, and all in the time of one clock."""

    def __init__(self) -> None:
        self.clock: Clock = Clock() if why_not() else VirtualClock()
        self._made: dict[str, Place] = {}

    def at(self, engine: str) -> Any:
        """Return the place of that engine, without keys."""
        if engine not in self._made:
            self._made[engine] = self._make(engine)
        place = self._made[engine]
        place.do("FLUSHALL")
        return place

    def close(self) -> None:
        """Close all."""
        for place in self._made.values():
            place.close()
        if isinstance(self.clock, VirtualClock):
            self.clock.close()

    def _make(self, engine: str) -> Place:
        match engine:
            case "memory":
                return MemoryPlace(self.clock)
            case "fakeredis":
                return FakePlace(self.clock)
            case _:
                return ServerPlace(found()[engine], self.clock)


# --- modes: blocking and awaited, used alike -----------------------------------------------------

_AWAITED = (coord.AsyncCoordinator, coord.AsyncLease, AsyncHolding, AsyncJoining, Family)


class Awaited:
    """Something of the awaited mode, used as if it blocked: what has to be awaited is, on the test's own loop."""

    def __init__(self, inner: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.inner = inner
        self._loop = loop

    def __repr__(self) -> str:
        return repr(self.inner)

    def __getattr__(self, name: str) -> Any:
        return self._blocking(self._inside(lambda: getattr(self.inner, "aclose" if name == "close" else name)))

    def __enter__(self) -> Any:
        return self._blocking(self._inside(self.inner.__aenter__))

    def __exit__(self, *raised: object) -> Any:
        return self._inside(lambda: self.inner.__aexit__(*raised))

    def _inside(self, run: Callable[[], Any]) -> Any:
        """Run on the loop, and await the result if it is to be awaited."""

        async def inside() -> Any:
            result = run()
            return await result if isawaitable(result) else result

        return self._loop.run_until_complete(inside())

    def _blocking(self, found: Any) -> Any:
        if isinstance(found, _AWAITED):
            return Awaited(found, self._loop)
        if not isroutine(found):
            return found
        return lambda *args, **kwargs: self._blocking(self._inside(lambda: found(*args, **kwargs)))


class HolderClock(SystemClock):
    """The clock of a holder at a backend: time that passes for the keys passes for its leases too."""

    def __init__(self, keys: Clock) -> None:
        self._keys = keys

    def monotonic(self) -> float:  # type: ignore[override]  # a method here
        """Return the seconds of both clocks together."""
        return self._keys.now_us / 1e6 + SystemClock.monotonic()


@dataclass
class Backend:
    """One line of the table, for one test."""

    line: Line
    place: Any
    clock: Clock
    loop: asyncio.AbstractEventLoop | None = None
    _open: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.line.awaited:
            self.loop = asyncio.new_event_loop()

    def connect(self, **settings: Any) -> Any:
        """Return a coordinator at this backend, which the test uses as if it blocked; it is closed after the test."""
        made = self.place.connect(self.line.awaited, **settings)
        return self.adopt(made)

    def dial(self, url: str | None = None, **settings: Any) -> Any:
        """Return what ``coord.connect`` or ``coord.connect_async`` makes; it is closed after the test."""
        return self.adopt((coord.connect_async if self.line.awaited else coord.connect)(url, **settings))

    def adopt(self, made: Any) -> Any:
        """Take over a coordinator, or what is awaited to get one, of this backend's mode."""
        if self.loop is not None:

            async def connected() -> Any:
                return await made

            inner = self.loop.run_until_complete(connected())
            inner.clock = HolderClock(self.clock)
            made = Awaited(inner, self.loop)
        else:
            made.clock = HolderClock(self.clock)
        self._open.append(made)
        return made

    def later(self, seconds: float) -> None:
        """Let time pass: for the keys, and for those who hold leases."""
        self.clock.advance(ms=round(seconds * 1000))
        self.place.age(round(seconds * 1000))

    def race(self, ask: Callable[[Any], Any]) -> list[Any]:
        """Let eight threads, or fifty tasks, do ``ask(coordinator)`` at the same time; return what each got."""
        c = self.connect()
        if self.loop is None:
            start = threading.Barrier(8)

            def run(_: int) -> Any:
                start.wait()
                return ask(c)

            with ThreadPoolExecutor(8) as threads:
                return list(threads.map(run, range(8)))

        async def together() -> list[Any]:
            return await asyncio.gather(*(ask(c.inner) for _ in range(50)))

        return self.loop.run_until_complete(together())

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Fail if anything was sent, or any key changed, inside the ``with`` block."""
        with self.untouched_keys():
            before = self.place.commands()
            yield
            assert self.place.commands() == before, "something was sent"

    @contextmanager
    def untouched_keys(self) -> Iterator[None]:
        """Fail if any key changed inside the ``with`` block."""
        before = self.values
        yield
        assert self.values == before

    # --- the keys, past coord --------------------------------------------------------------------

    @property
    def stored(self) -> Stored:
        """All keys: type, value, milliseconds left."""
        stored: Stored = self.place.stored()
        return stored

    @property
    def values(self) -> dict[str, tuple[str, Any]]:
        """All keys without their TTLs."""
        return {key: (kind, value) for key, (kind, value, _) in self.stored.items()}

    def left(self, key: str) -> float:
        """The seconds that a key has left."""
        return self.stored[key][2] / 1000

    def lose(self, *keys: str) -> None:
        """Remove keys, as an eviction or a hasty operator does."""
        for key in keys:
            self.place.do("DEL", key)

    def plant(self, key: str, value: str | list[str] | dict[str, str]) -> None:
        """Leave a string, a list or a hash at a key, for a minute, as a foreign writer does."""
        self.lose(key)
        match value:
            case str():
                self.place.do("SET", key, value)
            case list():
                self.place.do("RPUSH", key, *value)
            case dict():
                self.place.do("HSET", key, *(word for pair in value.items() for word in pair))
        self.place.do("PEXPIRE", key, 60_000)

    def close(self) -> None:
        """Close what the test opened, and see that no task is left."""
        for each in self._open:
            each.close()
        if self.loop is not None:
            self.loop.run_until_complete(asyncio.sleep(0))
            tasks = asyncio.all_tasks(self.loop)
            self.loop.close()
            assert not tasks, f"tasks are left behind: {tasks}"


def assert_all_expire(backend: Backend) -> None:
    """Law 3: every key expires."""
    forever = [key for key, (_, _, left) in backend.stored.items() if left < 0]
    assert not forever, f"keys without a TTL are left behind: {forever}"
