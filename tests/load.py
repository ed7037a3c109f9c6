"""Load in the background: callers that count under names of their own, and what became of each count.

with Load(url, awaited=True, names=["a", "b"]) as load:
    server.kill()
    load.goes_on()
assert stored["a"] <= load.acked["a"] + load.unknown["a"]
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any, Self

from backends import Backend, Line
from live import Thread

import coord
from coord.testing.clock import Clock
from coord.testing.topologies import wait_until

BOUND = 30.0
"""Seconds within which primaries that are missed after one are replaced, on a busy machine too."""
REMEMBER = 120.0
"""Seconds for which answers are remembered, so that calls may be repeated for as long as that."""
_PACE = 0.002
"""Seconds between two counts of one caller: load, not a race."""


class Load:
    """Adds 1 under each name, again and again, until its block is left.

    ``acked``: how often, by name, the caller was answered that it was counted.
    ``unknown``: how often the outcome was unknown. ``refused``: the errors of calls that changed nothing.
    ``gap``: the longest time, in seconds, in which a name was not counted.
    """

    def __init__(self, url: str, *, awaited: bool, names: Sequence[str], **settings: Any) -> None:
        self.acked: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.refused: list[coord.Unavailable] = []
        self.gap = 0.0
        self._url = url
        self._names = names
        self._settings = settings
        self._last = dict.fromkeys(names, monotonic())
        self._enough = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(awaited,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.goes_on()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join(3 * BOUND)
        assert not self._thread.is_alive(), "the load does not end"
        if self._failed is not None:
            raise self._failed

    def goes_on(self) -> None:
        """Wait until every name has been counted ten times more."""
        before = Counter(self.acked)
        wait_until(
            lambda: self._failed is not None or all(self.acked[name] >= before[name] + 10 for name in self._names),
            "the load goes on",
            3 * BOUND,
        )

    @contextmanager
    def _counted(self, name: str) -> Iterator[None]:
        try:
            yield
        except coord.OutcomeUnknown:
            self.unknown[name] += 1
        except coord.Unavailable as error:
            self.refused.append(error)
        else:
            self.acked[name] += 1
            now = monotonic()
            self.gap = max(self.gap, now - self._last[name])
            self._last[name] = now

    def _run(self, awaited: bool) -> None:
        try:
            if awaited:
                asyncio.run(self._in_tasks())
            else:
                self._in_threads()
        except BaseException as error:
            self._failed = error

    def _in_threads(self) -> None:
        with coord.connect(self._url, **self._settings) as c:
            threads = [threading.Thread(target=self._caller, args=(c, name), daemon=True) for name in self._names]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def _caller(self, c: coord.Coordinator, name: str) -> None:
        try:
            while not self._enough.is_set():
                with self._counted(name):
                    c.kv.incr(name)
                time.sleep(_PACE)
        except BaseException as error:
            self._failed = error

    async def _in_tasks(self) -> None:
        async with coord.connect_async(self._url, **self._settings) as c:
            await asyncio.gather(*(self._task(c, name) for name in self._names))

    async def _task(self, c: coord.AsyncCoordinator, name: str) -> None:
        while not self._enough.is_set():
            with self._counted(name):
                await c.kv.incr(name)
            await asyncio.sleep(_PACE)


@contextmanager
def both_loads(place: Any, names: list[str], **settings: Any) -> Iterator[tuple[Load, Load]]:
    """The same names, counted by threads and by tasks at the same time."""
    with (
        Load(place.url, awaited=False, names=names, **settings) as threads,
        Load(place.url, awaited=True, names=names, **settings) as tasks,
    ):
        yield threads, tasks


def acked(loads: tuple[Load, Load]) -> dict[str, int]:
    """What all callers were answered."""
    return dict(loads[0].acked + loads[1].acked)


def counted(c: coord.Coordinator, *names: str) -> dict[str, int]:
    """What is stored of each name."""
    return {name: c.kv.get_int(name) or 0 for name in names}


# --- and others, in the background


def in_background(place: Any, awaited: bool, do: Callable[[Any], Any]) -> Thread:
    """Do something in a thread of its own, with a coordinator of its own."""

    def run() -> Any:
        mode = Backend(Line(str(place), awaited), place, Clock())
        try:
            return do(mode.connect())
        finally:
            mode.close()

    return Thread(run)


def held(own: Any) -> int:
    """Hold the job once, and return the fence."""
    with own.hold("job", ttl=30, wait=BOUND) as lease:
        fence: int = lease.fence
        return fence


def is_replicated(node: Any, name: str) -> bool:
    """Whether the replica has what the primary had when this was asked."""
    node.set(f"{{{name}}}", "a mark that is replicated after all before it", px=60_000)
    return int(node.wait(1, 5000)) == 1
