"""Time in a test's hands: a clock that stands still until the test moves it, for real servers and for keyspaces.

    clock = VirtualClock()
    with VirtualServer(engines()["redis-8.2"], clock) as server:
        space = coord.Keyspace(lambda: clock.now_us)
        clock.advance(ms=45_000)

Key expiry and ``TIME`` of the server move together with the keyspace, exact to the millisecond (``TIME``: to the
microsecond). The server is a stock one; a small library, compiled here and preloaded, answers its questions for the
time. Standalone servers only: the timers of replication and of a cluster stand still with the clock.
"""

from __future__ import annotations

import atexit
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
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from coord.testing.servers import Engine, Server

__all__ = ["START_US", "Clock", "VirtualClock", "VirtualServer", "why_not"]

START_US = 1_800_000_000_000_000
"""Where a clock starts, in microseconds since 1970: a day in 2027."""

_SOURCE = Path(__file__).with_name("virtual_clock.c")
_COMPILERS = ("cc", "gcc", "clang")
_PAGE = struct.Struct("=qq")
_LEAST_TICK_US = 1_000
"""By how much the monotonic clock moves at least, so that a server looks at the wall's time again."""


class Clock:
    """A clock that stands still until it is moved; ``now_us`` is its time in microseconds since 1970."""

    def __init__(self, start_us: int = START_US) -> None:
        self.now_us = start_us

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.now_us:,} us>"

    def set(self, now_us: int) -> None:
        """Make it this time; an earlier one is allowed."""
        self.now_us = now_us

    def advance(self, *, ms: int = 0, us: int = 0) -> None:
        """Let time pass."""
        self.set(self.now_us + ms * 1_000 + us)


class VirtualClock(Clock):
    """A clock that stands still until it is moved, shared with every server that was started with it.

    Raises ``RuntimeError`` where it cannot be had; ``why_not`` tells beforehand.
    """

    def __init__(self, start_us: int = START_US) -> None:
        super().__init__(start_us)
        reason = why_not()
        if reason:
            raise RuntimeError(f"no virtual time: {reason}")
        descriptor, name = tempfile.mkstemp(prefix="coord-clock-")
        self.file = Path(name)
        self._maker = os.getpid()
        atexit.register(self.close)
        os.ftruncate(descriptor, _PAGE.size)
        self._page = mmap.mmap(descriptor, _PAGE.size)
        os.close(descriptor)
        self._monotonic_us = 0
        self.set(start_us)

    def set(self, now_us: int) -> None:
        """Make it this time; an earlier one is allowed."""
        # The monotonic clock never goes back, and never stands still while the other one is moved.
        self._monotonic_us += max(now_us - self.now_us, _LEAST_TICK_US)
        self.now_us = now_us
        _PAGE.pack_into(self._page, 0, now_us, self._monotonic_us)

    def env(self, engine: Engine) -> Mapping[str, str]:
        """Return what a server's environment needs to live in this clock's time."""
        env = {"LD_PRELOAD": str(_library()), "VIRTUAL_CLOCK": str(self.file)}
        if "valkey" in engine.program.name and engine.version >= (9,):
            env["VIRTUAL_CLOCK_MONO"] = "1"
        return env

    def close(self) -> None:
        """Remove the file; servers that have it open keep the time it shows last. May be called again.

        A child of a fork leaves it to its parent.
        """
        if self._maker == os.getpid():
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
