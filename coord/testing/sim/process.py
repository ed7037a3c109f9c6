"""Simulated processes: each has a queue of callbacks, and can stand still or die while the others go on."""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context, ContextVar, copy_context
from zlib import crc32

__all__ = ["Process", "current", "current_process"]


class Process:
    """One process of a run: a client, a server, or the workload itself.

    Its callbacks run in the order in which they were scheduled, as on any event loop. Between processes the order is
    drawn. ``frozen_until`` is the virtual time before which nothing of it runs; ``pid`` is what ``os.getpid`` returns
    in it, so that processes do not share what coord keeps once a process.
    """

    __slots__ = ("alive", "context", "frozen_until", "name", "pid", "queue")

    def __init__(self, name: str) -> None:
        self.name = name
        self.pid = crc32(name.encode())
        self.queue: deque[asyncio.Handle] = deque()
        self.frozen_until = 0.0
        self.alive = True
        self.context: Context = copy_context()
        self.context.run(current.set, self)

    def __repr__(self) -> str:
        return f"<Process {self.name}>"


current: ContextVar[Process | None] = ContextVar("coord.testing.sim.process", default=None)


def current_process() -> Process:
    """Return the process whose callback runs now."""
    process = current.get()
    if process is None:
        raise RuntimeError("no simulated process runs here")
    return process
