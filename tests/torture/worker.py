"""A worker: a process with one coordinator, whose threads or tasks run families until they are stopped."""

from __future__ import annotations

import asyncio
import logging
import mmap
import struct
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coord
from coord.testing import leaks
from torture.families import FAMILIES
from torture.journal import Journal
from torture.lane import Lane, drive
from torture.meeting import meet

__all__ = ["Orders", "Progress", "work"]

_CONNECT_SECONDS = 60.0
_LANES = 32
"""Places for lanes in the file of progress, for each worker."""


@dataclass(frozen=True)
class Orders:
    """The orders of a row's workers. ``place``: a folder for their files."""

    url: str
    place: Path
    workers: int
    lanes: int
    seed: int
    only: tuple[str, ...]
    options: dict[str, Any]


class Progress:
    """How many calls each lane has made, in a file that workers and the row share, and that outlives each of them."""

    def __init__(self, place: Path, workers: int) -> None:
        file = place / "progress"
        if not file.exists():
            file.write_bytes(bytes(8 * _LANES * workers))
        with file.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), 0)

    def total(self) -> int:
        """Return the calls of all lanes."""
        return sum(struct.unpack(f"<{len(self._map) // 8}Q", self._map[:]))

    def get(self, worker: int, lane: int) -> int:
        """Return the calls of one lane."""
        return int(struct.unpack_from("<Q", self._map, 8 * (_LANES * worker + lane))[0])

    def put(self, worker: int, lane: int, calls: int) -> None:
        """Write the calls of one lane."""
        struct.pack_into("<Q", self._map, 8 * (_LANES * worker + lane), calls)


class _Errors(logging.Handler):
    """What coord logs as an error is a broken promise."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.ERROR)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage() + (f": {record.exc_info[1]!r}" if record.exc_info else "")
        self._journal.fact("log", "", "left", text[:500])


def work(orders: Orders, number: int, generation: int) -> None:
    """Run one worker; those of odd numbers await."""
    journal = Journal(orders.place / f"w{number}g{generation}.journal")
    for name in ("coord", "asyncio"):
        log = logging.getLogger(name)
        log.handlers, log.propagate = [_Errors(journal)], False
    # What is ending may take its time on a busy machine.
    leaks.ENDING_SECONDS = 20.0
    try:
        if number % 2:
            asyncio.run(_awaited(orders, journal, number, generation))
        else:
            _blocking(orders, journal, number, generation)
    except BaseException:
        journal.fact("worker", "", "left", traceback.format_exc()[-1500:])
        raise
    journal.fact("worker", "", "cpu", time.process_time())
    journal.close()


def _blocking(orders: Orders, journal: Journal, number: int, generation: int) -> None:
    with leaks.nothing_left_behind():
        c = _dialled(coord.connect, orders)
        lanes = _lanes(c, orders, journal, number, generation)
        threads = [threading.Thread(target=_guarded, args=(lane, journal), daemon=True) for lane in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        c.close()


def _guarded(lane: Callable[[], Awaitable[None]], journal: Journal) -> None:
    try:
        drive(lane())
    except BaseException:
        journal.fact("worker", "", "left", traceback.format_exc()[-1500:])


async def _awaited(orders: Orders, journal: Journal, number: int, generation: int) -> None:
    with leaks.nothing_left_behind():
        end = time.monotonic() + _CONNECT_SECONDS
        while True:
            try:
                c = await coord.connect_async(orders.url, **orders.options)
                break
            except (coord.Unavailable, coord.ConfigError):
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.05)
        await asyncio.gather(*(lane() for lane in _lanes(c, orders, journal, number, generation)))
        await c.aclose()


def _dialled(connect: Callable[..., Any], orders: Orders) -> Any:
    end = time.monotonic() + _CONNECT_SECONDS
    while True:
        try:
            return connect(orders.url, **orders.options)
        except (coord.Unavailable, coord.ConfigError):
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def _lanes(
    c: Any, orders: Orders, journal: Journal, number: int, generation: int
) -> list[Callable[[], Awaitable[None]]]:
    progress, stop = Progress(orders.place, orders.workers), orders.place / "stop"
    names = [name for name in FAMILIES if not orders.only or name in orders.only]
    weights = [FAMILIES[name].weight for name in names]

    def lane(at: int) -> Lane:
        seed = hash((orders.seed, number, generation, at))
        made = Lane(c, journal, number, f"{number}.{generation}.{at}", seed, stop.exists)
        made.calls = progress.get(number, at)
        return made

    async def mixed(lane: Lane, at: int) -> None:
        while not lane.is_over():
            await FAMILIES[lane.random.choices(names, weights)[0]].work(lane)
            progress.put(number, at, lane.calls)

    async def meeting(lane: Lane, at: int) -> None:
        with suppress(FileNotFoundError):
            await meet(lane, orders.workers, orders.place)
        progress.put(number, at, lane.calls)

    lanes: list[Callable[[], Awaitable[None]]] = [
        lambda at=at: mixed(lane(at), at)  # type: ignore[misc]
        for at in range(orders.lanes)
    ]
    if not orders.only:
        lanes.append(lambda: meeting(lane(orders.lanes), orders.lanes))
    return lanes
