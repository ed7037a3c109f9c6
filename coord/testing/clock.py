"""Time in a test's hands: a clock that stands still until the test moves it, for coordinators, keyspaces and servers.

    clock = VirtualClock()
    with coord.connect("memory://test-17", clock=clock) as c:
        lease = c.claim("job", ttl=30)
        clock.advance(seconds=31)
        assert lease.lost.is_set()

    with VirtualServer(engines()["redis-8.2"], clock) as server:
        clock.advance(ms=45_000)

Key expiry and ``TIME`` of the server move together with the clock, exact to the millisecond (``TIME``: to the
microsecond). The server is a stock one; a small library, compiled here and preloaded, answers its questions for the
time. Standalone servers only: the timers of replication and of a cluster stand still with the clock.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import hashlib
import mmap
import os
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from coord.testing.servers import Engine, Server

__all__ = ["START_US", "Clock", "VirtualClock", "VirtualServer", "why_not"]

START_US = 1_800_000_000_000_000
"""The time at which a clock starts, in microseconds since 1970: a day in 2027."""

_SOURCE = Path(__file__).with_name("virtual_clock.c")
_COMPILERS = ("cc", "gcc", "clang")
_PAGE = struct.Struct("=qq")
_TURNS = 20
"""Iterations of a loop before time goes on: a call in memory takes a few."""

_LEAST_TICK_US = 1_000
"""By how much the monotonic clock moves at least, so that a server looks at the wall's time again."""


class Clock:
    """A clock that stands still until it is moved, for coordinators and keyspaces; a ``coord.clock.Clock``.

    Threads and tasks that sleep by it, or wait with a timeout, wake when it is moved past their time. Any thread may
    move it. ``now_us`` is its time in microseconds since 1970.
    """

    def __init__(self, start_us: int = START_US) -> None:
        self.now_us = start_us
        self._passed_us = 0
        self._changed = threading.Condition(threading.RLock())
        self._sleepers: list[_Sleeper] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.now_us:,} us>"

    def set(self, now_us: int) -> None:
        """Make it this time; an earlier one is allowed, but ``monotonic`` never goes back."""
        with self._changed:
            target = now_us
            passed = self._passed_us + max(0, now_us - self.now_us)
            # One after the other, each at its own time.
            while (due := min((each.due_us for each in self._sleepers), default=None)) is not None and due <= passed:
                self._move(max(self.now_us, target - (passed - due)), max(self._passed_us, due))
            self._move(target, passed)

    def _move(self, now_us: int, passed_us: int) -> None:
        self.now_us, self._passed_us = now_us, passed_us
        for each in [each for each in self._sleepers if each.due_us <= passed_us]:
            self._sleepers.remove(each)
            each.wake()
        self._changed.notify_all()

    def advance(self, *, seconds: float = 0, ms: int = 0, us: int = 0) -> None:
        """Let time pass at once: sleepers wake when all of it has passed, as after a pause of the process."""
        self.set(self.now_us + round(seconds * 1_000_000) + ms * 1_000 + us)

    async def pass_time(self, seconds: float) -> None:
        """Let time pass from one sleeper to the next, and let the tasks of this loop run at each."""
        with self._changed:
            end_us = self._passed_us + round(seconds * 1_000_000)
        while True:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            with self._changed:
                due_us = min((each.due_us for each in self._sleepers), default=end_us)
                step_us = min(due_us, end_us) - self._passed_us
                is_end = due_us >= end_us
                self.advance(us=step_us)
            if is_end and step_us <= 0:
                return

    @property
    def sleepers(self) -> int:
        """How many threads and tasks sleep, or wait with a timeout, at present."""
        return len(self._sleepers)

    def wait_for_sleepers(self, count: int = 1, timeout: float = 10.0) -> None:
        """Block, in real time, until so many sleep: a thread of the test has come to its wait. ``TimeoutError``."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._sleepers) >= count, timeout):
                raise TimeoutError(f"{len(self._sleepers)} sleep after {timeout} s, not {count}")

    # --- as coordinators use it -------------------------------------------------------------------

    def monotonic(self) -> float:
        """Return the seconds that have passed since the clock was made."""
        return self._passed_us / 1e6

    def time_us(self) -> int:
        """Return ``now_us``."""
        return self.now_us

    def sleep(self, seconds: float, /) -> None:
        """Block this thread until the clock was moved by ``seconds``."""
        over = threading.Event()
        with self._sleeping(seconds, over.set):
            over.wait()

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        """Block until ``event`` is set or the clock was moved by ``seconds``; return whether it is set."""
        if seconds is None:
            return event.wait()
        if event.is_set():
            return True
        timed_out = False

        def wake() -> None:
            nonlocal timed_out
            timed_out = not event.is_set()
            event.set()

        with self._sleeping(seconds, wake):
            event.wait()
        if timed_out:
            event.clear()
        return not timed_out

    async def sleep_async(self, seconds: float) -> None:
        """Suspend this task until the clock was moved by ``seconds``."""
        over = asyncio.Event()
        with self._sleeping(seconds, _from_any_thread(over)):
            await over.wait()

    async def wait_async(self, event: asyncio.Event, seconds: float | None) -> bool:
        """Suspend until ``event`` is set or the clock was moved by ``seconds``; return whether it is set."""
        if seconds is None:
            return await event.wait()
        waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(self.sleep_async(seconds))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        return event.is_set()

    @contextmanager
    def _sleeping(self, seconds: float, wake: Callable[[], object]) -> Generator[None]:
        sleeper = _Sleeper(self._passed_us + max(0, round(seconds * 1_000_000)), wake)
        with self._changed:
            if sleeper.due_us <= self._passed_us:
                wake()
            else:
                self._sleepers.append(sleeper)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                if sleeper in self._sleepers:
                    self._sleepers.remove(sleeper)


@dataclass(eq=False, slots=True)
class _Sleeper:
    due_us: int
    wake: Callable[[], object]


def _from_any_thread(event: asyncio.Event) -> Callable[[], object]:
    loop = asyncio.get_running_loop()

    def wake() -> None:
        # A closed loop has no task left to wake.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(event.set)

    return wake


class VirtualClock(Clock):
    """A clock that stands still until it is moved, for coordinators, keyspaces and servers that are started with it.

    ``coord.connect("memory://NAME", clock=VirtualClock())`` puts a coordinator, its leases and its waits in virtual
    time. Servers need a C compiler on Linux: ``env`` raises ``RuntimeError`` without; ``why_not`` says so beforehand.
    """

    def __init__(self, start_us: int = START_US) -> None:
        super().__init__(start_us)
        self.file: Path | None = None
        self._page: mmap.mmap | None = None
        self._server_us = 0
        self._maker = os.getpid()

    def _move(self, now_us: int, passed_us: int) -> None:
        # The monotonic clock of a server never goes back, and never stands still while the other one is moved.
        self._server_us += max(now_us - self.now_us, _LEAST_TICK_US)
        if self._page is not None:
            _PAGE.pack_into(self._page, 0, now_us, self._server_us)
        super()._move(now_us, passed_us)

    def env(self, engine: Engine) -> Mapping[str, str]:
        """Return what a server's environment needs to live in this clock's time."""
        if self._page is None:
            self._open()
        env = {"LD_PRELOAD": str(_library()), "VIRTUAL_CLOCK": str(self.file)}
        if "valkey" in engine.program.name and engine.version >= (9,):
            env["VIRTUAL_CLOCK_MONO"] = "1"
        return env

    def _open(self) -> None:
        reason = why_not()
        if reason:
            raise RuntimeError(f"no virtual time for servers: {reason}")
        descriptor, name = tempfile.mkstemp(prefix="coord-clock-")
        self.file = Path(name)
        atexit.register(self.close)
        os.ftruncate(descriptor, _PAGE.size)
        self._page = mmap.mmap(descriptor, _PAGE.size)
        os.close(descriptor)
        self.set(self.now_us)

    def close(self) -> None:
        """Remove the file; servers that have it open keep the time it shows last. May be called again.

        A child of a fork leaves it to its parent.
        """
        if self.file is not None and self._maker == os.getpid():
            self.file.unlink(missing_ok=True)
        atexit.unregister(self.close)


class VirtualServer(Server):
    """A private server that lives in the time of a clock.

    Its active expiry is switched off: at the very millisecond of a deadline a key is alive for commands and dead for
    the active cycle, and a comparison would depend on which of them came first.
    """

    def __init__(self, engine: Engine, clock: VirtualClock, *args: str) -> None:
        self.clock = clock
        allow = ("--enable-debug-command", "local") if engine.version >= (7,) else ()
        super().__init__(engine, *allow, *args, env=clock.env(engine))

    def start(self) -> None:
        """Start the server and return when it answers."""
        super().start()
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.sendall(b"DEBUG SET-ACTIVE-EXPIRE 0\r\n")
            answer = connection.recv(256)
        if not answer.startswith(b"+OK"):
            self.stop()
            raise RuntimeError(f"{self.engine.name} keeps its active expiry on: {answer.decode(errors='replace')}")


@lru_cache
def why_not() -> str:
    """Say why there is no virtual time on this machine; "" when there is."""
    if not sys.platform.startswith("linux"):
        return f"the clock of a server is replaced on Linux only, and this is {sys.platform}"
    if _compiler() is None:
        return f"no C compiler on PATH, neither {', '.join(_COMPILERS[:-1])} nor {_COMPILERS[-1]}"
    try:
        _library()
    except subprocess.CalledProcessError as error:
        return f"the C compiler failed: {error.stderr.strip()[-500:]}"
    return ""


def _compiler() -> str | None:
    return next(filter(None, map(shutil.which, _COMPILERS)), None)


@lru_cache
def _library() -> Path:
    """Compile the library that is preloaded, unless this source has been compiled before; return where it is."""
    compiler = _compiler()
    assert compiler is not None, "why_not() was not asked"
    digest = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]
    library = _folder() / f"virtual_clock-{digest}.so"
    if not library.exists():
        made = library.with_suffix(f".{os.getpid()}")
        command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(made), str(_SOURCE)]
        subprocess.run(command, check=True, capture_output=True, text=True)
        # In one step: another process may be about to load it.
        made.replace(library)
    return library


def _folder() -> Path:
    """Return a folder for compiled code that only this user can write to."""
    folder = Path(tempfile.gettempdir()) / f"coord-testing-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid == os.getuid() and stat.filemode(found.st_mode) == "drwx------":
        return folder
    return Path(tempfile.mkdtemp(prefix="coord-testing-"))
