"""While a simulation runs, nothing on its thread is left to chance: clocks, random numbers, ids and threads.

Other threads of the process keep the real ones.
"""

from __future__ import annotations

import contextlib
import gc
import os
import random
import secrets
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator
from typing import Any, cast

from coord.clock import SystemClock
from coord.ids import restart_ids
from coord.testing.clock import START_US
from coord.testing.sim.loop import SimLoop
from coord.testing.sim.process import current

__all__ = ["Seeded", "seeded"]

_CLOCKS: dict[str, Callable[[SimLoop], float]] = {
    "monotonic": lambda loop: loop.now,
    "monotonic_ns": lambda loop: int(loop.now * 1e9),
    "perf_counter": lambda loop: loop.now,
    "time": lambda loop: START_US / 1e6 + loop.elapsed,
    "time_ns": lambda loop: START_US * 1000 + int(loop.elapsed * 1e9),
}
_PACKAGES = ("coord", "redis")


class Seeded:
    """The seeded sources of one thread; ``begin`` starts a run."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._loop: SimLoop | None = None
        self._bytes = random.Random(0)
        self.threads = 0

    def begin(self, loop: SimLoop, seed: int) -> None:
        """Start a run: time is the loop's, and all that is random begins anew."""
        self._loop = loop
        self.threads = 0
        random.seed(seed)
        self._bytes.seed(seed)
        restart_ids("simulated")

    def end(self) -> None:
        """End a run."""
        self._loop = None

    @property
    def is_here(self) -> bool:
        """Whether the caller is part of a run."""
        return self._loop is not None and threading.get_ident() == self._thread

    def clock(self, real: Callable[[], Any], virtual: Callable[[SimLoop], float]) -> Callable[[], Any]:
        """Return a clock that is virtual within a run."""

        def read() -> Any:
            loop = self._loop
            return real() if loop is None or threading.get_ident() != self._thread else virtual(loop)

        return read

    def random_bytes(self, real: Callable[[int], bytes]) -> Callable[..., bytes]:
        """Return a source of bytes that is seeded within a run."""

        def read(size: int | None = None) -> bytes:
            size = 32 if size is None else size
            return self._bytes.randbytes(size) if self.is_here else real(size)

        return read

    def process_id(self, real: Callable[[], int]) -> Callable[[], int]:
        """Return what tells simulated processes apart within a run."""

        def read() -> int:
            process = current.get() if self.is_here else None
            return real() if process is None else process.pid

        return read

    def start_thread(self, real: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return what starts a thread outside a run, and does not within: its time would not be the run's."""

        def start(thread: Any) -> None:
            if self.is_here:
                self.threads += 1
                return
            real(thread)

        return start


@contextlib.contextmanager
def seeded() -> Generator[Seeded]:
    """Put the seeded sources in place, and the real ones back at the end."""
    sources = Seeded()
    clocks = {name: (getattr(time, name), virtual) for name, virtual in _CLOCKS.items()}
    fakes = {id(real): sources.clock(real, virtual) for real, virtual in clocks.values()}
    state = random.getstate()
    places: list[tuple[Any, str, Any]] = []

    def put(owner: Any, name: str, value: Any) -> None:
        places.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    for name, (real, _) in clocks.items():
        put(time, name, fakes[id(real)])
    module: Any
    for module in _modules():
        # Modules that took a clock by name when they were imported.
        for name, value in list(cast("dict[str, Any]", vars(module)).items()):
            if id(value) in fakes and name in clocks:
                put(module, name, fakes[id(value)])
    # A class took it by name, too.
    put(SystemClock, "monotonic", staticmethod(fakes[id(clocks["monotonic"][0])]))
    put(os, "getpid", sources.process_id(os.getpid))
    put(os, "urandom", sources.random_bytes(os.urandom))
    put(secrets, "token_bytes", sources.random_bytes(secrets.token_bytes))
    put(threading.Thread, "start", sources.start_thread(threading.Thread.start))
    collecting = gc.isenabled()
    # Objects are finalized when their last reference goes, and not whenever the collector comes by.
    gc.disable()
    quiet = warnings.catch_warnings()
    quiet.__enter__()
    # The files of a process that died stay open.
    warnings.simplefilter("ignore", ResourceWarning)
    try:
        yield sources
    finally:
        gc.collect()
        quiet.__exit__(None, None, None)
        for owner, name, value in reversed(places):
            setattr(owner, name, value)
        random.setstate(state)
        restart_ids()
        if collecting:
            gc.enable()


def _modules() -> list[Any]:
    return [
        module
        for name, module in sorted(sys.modules.items())
        if name.partition(".")[0] in _PACKAGES and not name.startswith("coord.testing.sim")
    ]
