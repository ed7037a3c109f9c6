"""Backends in real time, for tests of what happens while one waits: memory, and a private server of each engine.

The fixtures that hand them out are in ``live_fixtures.py``; the rest is for waiting until something has happened.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from time import monotonic, sleep
from typing import Any, TypeVar

import redis
from backends import missing, wanted
from redis.backoff import NoBackoff
from redis.retry import Retry

import coord
from coord.coordinator import runner_of
from coord.memory import Keyspace, keyspace
from coord.testing.servers import Server

T = TypeVar("T")

SOON = 60.0
"""Seconds after which a test gives up on what should happen soon: a bound for failures, never a pause."""


def servers() -> list[str]:
    """The engines that are real servers, of those that this run covers."""
    return [name for name in wanted() if name not in ("memory", "fakeredis", *missing())]


def places() -> list[str]:
    """Memory, if this run covers it, and the servers."""
    return [name for name in wanted() if name == "memory"] + servers()


class Live:
    """A backend in real time, whose keys a test can look at and lose."""

    def __init__(self, engine: str, url: str, server: Server | None = None) -> None:
        self.engine = engine
        self.url = url
        self.server = server
        self._client: Any = None

    def __repr__(self) -> str:
        return f"<Live {self.engine}>"

    @property
    def client(self) -> Any:
        """A plain client of the server, for looks past coord."""
        if self._client is None:
            retry = Retry(NoBackoff(), 0)
            self._client = redis.Redis.from_url(self.url, decode_responses=True, protocol=2, retry=retry)
        return self._client

    def connect(self, **settings: Any) -> coord.Coordinator:
        """Return a blocking coordinator."""
        return coord.connect(self.url, **settings)

    def connect_async(self, **settings: Any) -> Any:
        """Return an async coordinator, to be awaited or entered."""
        return coord.connect_async(self.url, **settings)

    def lose(self, key: str) -> None:
        """Remove a key, as an eviction or a hasty operator does."""
        if self.server is None:
            space = keyspace(self.url.removeprefix("memory://"))
            space.call(Keyspace.delete, key)
        else:
            self.client.delete(key)

    def held(self, name: str) -> bool:
        """Whether somebody holds a name."""
        with self.connect() as c:
            return c.holder(name) is not None

    def calls(self) -> int:
        """How many scripts the server has run since ``forget_calls``."""
        stats = self.client.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval"))

    def forget_calls(self) -> None:
        """Begin to count anew."""
        self.client.config_resetstat()

    def subscriptions(self) -> int:
        """How many connections are subscribed to something."""
        return len(self.client.client_list(_type="pubsub"))

    def channels(self) -> int:
        """How many channels are subscribed to."""
        return len(self.client.pubsub_channels())

    def clean(self) -> None:
        """Leave no key and no connection."""
        if self.server is not None:
            self.client.flushall()
            self.client.close()


# --- waiting for something, without ever pausing to make a test pass -----------------------------


def comes_to_be(ready: Callable[[], object], within: float = SOON, every: float = 0.001) -> bool:
    """Look again and again until something is so; tell whether it came to be."""
    end = monotonic() + within
    while not ready():
        if monotonic() > end:
            return bool(ready())
        sleep(every)
    return True


def until(ready: Callable[[], object], what: str = "it") -> None:
    """Look again and again until something is so; fail when it does not come to be."""
    assert comes_to_be(ready), f"{what} did not come to be"


async def until_async(
    ready: Callable[[], Any], what: str = "it", *, within: float = SOON, every: float = 0.001
) -> None:
    """Look again and again until something is so; fail when it does not come to be."""
    end = monotonic() + within
    while True:
        found = ready()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return
        assert monotonic() < end, f"{what} did not come to be"
        await asyncio.sleep(every)


def run(main: Coroutine[Any, Any, T], within: float = 3 * SOON) -> T:
    """Run a test's coroutine; no task and no thread may be left when it ends."""

    async def checked() -> T:
        result = await asyncio.wait_for(main, within)
        mine = asyncio.current_task()
        await until_async(lambda: asyncio.all_tasks() == {mine}, "the end of all tasks")
        return result

    return asyncio.run(checked())


class Thread(threading.Thread):
    """A thread whose result, or error, ``result`` hands over."""

    def __init__(self, target: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._run = target
        self._outcome: Any = None
        self.start()

    def run(self) -> None:
        """Run, and keep what came of it."""
        try:
            self._outcome = self._run()
        except BaseException as error:
            self._outcome = error

    def result(self) -> Any:
        """Wait for the end, and return what came of it."""
        self.join(SOON)
        assert not self.is_alive(), "the thread still runs"
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome


def waiters(c: Any, channel: str) -> int:
    """How many of a coordinator's process and loop wait on a channel."""
    return int(runner_of(c).notifier.count(channel))


def waiters_of_both(c: Any, ac: Any, channel: str) -> int:
    """How many wait on a channel, blocking and awaited; in memory both share their waiters."""
    notifiers = {id(each): each for each in (runner_of(c).notifier, runner_of(ac).notifier)}
    return sum(each.count(channel) for each in notifiers.values())
