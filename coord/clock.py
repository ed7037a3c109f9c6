"""Clocks: where coord reads the time and lets it pass.

A coordinator is given one clock and hands it to its leases, waits, retries and, on ``memory://``, to its keyspace.
No other module reads the time by itself, so a test can put all of them into virtual time together
(``coord.testing.VirtualClock``).
"""

from __future__ import annotations

import asyncio
import threading
from time import monotonic, monotonic_ns, sleep, time_ns
from typing import Protocol

__all__ = ["SYSTEM", "Clock", "SystemClock", "monotonic_ns", "time_ns"]


class Clock(Protocol):
    """Time as a coordinator sees it."""

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean something."""
        ...

    def time_us(self) -> int:
        """Return microseconds since the Unix epoch: the clock of a keyspace in memory."""
        ...

    def sleep(self, seconds: float, /) -> None:
        """Block this thread for ``seconds``."""
        ...

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        """Block until ``event`` is set or ``seconds`` have passed (None: no limit); return whether it is set."""
        ...

    async def sleep_async(self, seconds: float) -> None:
        """Suspend this task for ``seconds``."""
        ...

    async def wait_async(self, event: asyncio.Event, seconds: float | None) -> bool:
        """Suspend until ``event`` is set or ``seconds`` have passed (None: no limit); return whether it is set."""
        ...


class SystemClock:
    """The clocks of the operating system."""

    monotonic = staticmethod(monotonic)
    sleep = staticmethod(sleep)

    def time_us(self) -> int:
        """Return microseconds since the Unix epoch."""
        return time_ns() // 1000

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        """Block until ``event`` is set or ``seconds`` have passed; return whether it is set."""
        return event.wait(seconds)

    async def sleep_async(self, seconds: float) -> None:
        """Suspend this task for ``seconds``."""
        await asyncio.sleep(seconds)

    async def wait_async(self, event: asyncio.Event, seconds: float | None) -> bool:
        """Suspend until ``event`` is set or ``seconds`` have passed; return whether it is set."""
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return event.is_set()
        return True


SYSTEM: Clock = SystemClock()
"""The clock that is used where none is given."""
