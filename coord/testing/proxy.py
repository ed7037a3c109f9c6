"""A bad line to a server: a TCP proxy that loses, cuts, delays and resets, on demand or at random with a seed.

    with LossyProxy("127.0.0.1", server.port) as proxy:
        c = coord.connect(proxy.url, timeout=0.2, patience=5)
        proxy.arm("reset_reply")
        assert c.kv.incr("x") == 1            # it ran, its reply was lost, it was asked again

It reads enough of RESP to know where commands and replies begin and end, so that "one reply in twenty" is exact.
TCP has no holes: after a reply that was dropped, nothing more arrives on that connection.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, Self, cast, get_args

__all__ = ["FAULTS", "MIXED", "Fault", "LossyProxy"]

Fault = Literal[
    "drop_reply",
    "reset_reply",
    "close_reply",
    "half_reply",
    "delay_reply",
    "drop_request",
    "reset_request",
    "half_request",
    "late_request",
]
"""A fault of a command or its reply.

``drop_reply``: it ran, and nothing arrives on this connection any more.
``reset_reply``: it ran, and the connection is reset instead of the reply.
``close_reply``: it ran, and the connection is closed instead of the reply.
``half_reply``: it ran, half of the reply arrives, and the connection is closed.
``delay_reply``: it ran, and the reply is late, with all that follow it.
``drop_request``: it never reaches the server, and nothing more passes on this connection.
``reset_request``: it never reaches the server, and the connection is reset.
``half_request``: half of it reaches the server, and both connections are reset.
``late_request``: the connection is reset at once, and the command reaches the server ``delay`` seconds later.
"""

FAULTS: tuple[Fault, ...] = get_args(Fault)

MIXED: Mapping[Fault, float] = {
    "reset_reply": 6,
    "close_reply": 4,
    "half_reply": 4,
    "delay_reply": 4,
    "drop_reply": 1,
    "reset_request": 1,
}
"""Faults and their weights; the silent ones are rare, because each costs its caller a whole timeout."""

_ANSWER_SECONDS = 1.0
"""For how long the connection of a late request stays open, so that the server runs it."""

_PUSHING = (b"SUBSCRIBE", b"SSUBSCRIBE", b"PSUBSCRIBE", b"MONITOR")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class LossyProxy:
    """Stands between clients and one server, in a thread of its own; ``url`` is where clients connect.

    With ``every`` above 0, exactly one of each ``every`` commands has an accident, drawn from ``mix`` by a generator
    that starts at ``seed``. Only commands named in ``suffering`` count for that; None: all.
    ``delay``: how many seconds late a delayed reply or request is.

    ``faults`` counts what has happened, by kind. ``commands`` and ``replies`` count what clients sent and the server
    answered, ``connections`` how many were accepted.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        every: int = 0,
        mix: Mapping[Fault, float] = MIXED,
        suffering: Collection[str] | None = ("EVALSHA",),
        seed: int = 0,
        delay: float = 0.02,
    ) -> None:
        self.faults: Counter[Fault] = Counter()
        self.commands = self.replies = self.connections = 0
        self.delay = delay
        self._server = host, port
        self._suffering = None if suffering is None else {name.encode() for name in suffering}
        self._random = random.Random(seed)
        self._armed: deque[tuple[Fault, bytes | None]] = deque()
        self._lines: set[_Line] = set()
        # A late request is answered within seconds: older ones are closed by then.
        self._unheard: deque[asyncio.Transport] = deque(maxlen=10_000)
        self._paused = False
        self._begun = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self.misbehave(every, mix)
        self._thread = threading.Thread(target=self._run, name="lossy-proxy", daemon=True)
        self._thread.start()
        self._begun.wait()

    def __repr__(self) -> str:
        return f"<LossyProxy on port {self.port}, {self.replies:,} replies, {self.faults.total():,} faults>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The URL to connect to."""
        return f"redis://127.0.0.1:{self.port}/0"

    # --- faults ----------------------------------------------------------------------------------

    def arm(self, fault: Fault, times: int = 1, *, command: str | None = "EVALSHA") -> None:
        """Let the next ``times`` commands of that name (None: of any) have this accident, one after the other."""
        name = None if command is None else command.encode()
        self._armed.extend((fault, name) for _ in range(times))

    @property
    def armed(self) -> int:
        """How many accidents asked for by ``arm`` have not happened yet."""
        return len(self._armed)

    def misbehave(self, every: int, mix: Mapping[Fault, float] = MIXED) -> None:
        """From now on let one command in ``every`` have an accident drawn from ``mix``; 0: none."""
        self._every = every
        self._kinds = list(mix)
        self._weights = list(mix.values())
        self._left_in_block = self._unlucky = 0

    def behave(self) -> None:
        """Pass everything on from now on, also what was armed."""
        self._armed.clear()
        self.misbehave(0)

    def lead_to(self, host: str, port: int) -> None:
        """Lead new connections to another server, as a name does whose address changed; open ones stay."""
        self._server = host, port

    def reset_all(self) -> None:
        """Reset every connection that is open now, and wait until both sides of each are closed."""

        async def reset() -> None:
            lines = set(self._lines)
            for line in lines:
                line.reset()
            while lines & self._lines:  # noqa: ASYNC110  # it takes a tick or two
                await asyncio.sleep(0)
            # Transports close their sockets one tick after that.
            await asyncio.sleep(0)

        self._on_loop(reset)

    @contextmanager
    def paused(self) -> Generator[None, None, None]:
        """Let nothing pass while the ``with`` block runs; what was sent meanwhile arrives afterwards."""
        self._on_loop(lambda: self._set_paused(paused=True))
        try:
            yield
        finally:
            self._on_loop(lambda: self._set_paused(paused=False))

    def fate(self, command: bytes) -> Fault | None:
        """Decide what becomes of the command that has just arrived."""
        self.commands += 1
        if self._armed and self._armed[0][1] in (None, command):
            return self._armed.popleft()[0]
        if not self._every or (self._suffering is not None and command not in self._suffering):
            return None
        if not self._left_in_block:
            self._left_in_block, self._unlucky = self._every, self._random.randrange(self._every)
        self._left_in_block -= 1
        if self._left_in_block != self._unlucky:
            return None
        return self._random.choices(self._kinds, self._weights)[0]

    # --- the thread ------------------------------------------------------------------------------

    def close(self) -> None:
        """End all connections and the thread. May be called again."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        accepting = loop.run_until_complete(loop.create_server(lambda: _Line(self, loop), sock=self._listener))
        self._begun.set()
        loop.run_forever()
        accepting.close()
        for line in list(self._lines):
            line.reset()
        for server in self._unheard:
            server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        # Transports close their sockets one tick after ``close()``.
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()

    def _on_loop(self, do: Callable[[], Awaitable[None]]) -> None:
        async def done() -> None:
            await do()

        asyncio.run_coroutine_threadsafe(done(), self._loop).result()

    async def _set_paused(self, *, paused: bool) -> None:
        self._paused = paused
        for line in self._lines:
            line.hush(paused=paused)

    async def connect(self, line: _Line) -> asyncio.Transport:
        """Open the server's side of a connection."""
        transport, _ = await self._loop.create_connection(lambda: _ServerSide(line), *self._server)
        return transport

    def enter(self, line: _Line) -> bool:
        """Count a connection in; return whether everything is paused."""
        self.connections += 1
        self._lines.add(line)
        return self._paused

    def answer_nobody(self, server: asyncio.Transport) -> None:
        """Close a connection to the server at the end, if it is still open: its client is gone."""
        self._unheard.append(server)

    def leave(self, line: _Line) -> None:
        """A connection has ended."""
        self._lines.discard(line)


class _Line(asyncio.Protocol):
    """One connection of a client, and the one to the server that belongs to it."""

    def __init__(self, proxy: LossyProxy, loop: asyncio.AbstractEventLoop) -> None:
        self._proxy = proxy
        self._loop = loop
        self._commands = _Messages()
        self._replies = _Messages()
        self._fates: deque[Fault | None] = deque()
        self._server: asyncio.Transport | None = None
        self._late: list[bytes] | None = None
        self._early = b""
        self._silent = self._pushing = self._ended = False

    # --- from the client -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._client = cast("asyncio.Transport", transport)
        self._proxy.enter(self)
        self._opening = self._loop.create_task(self._open())

    async def _open(self) -> None:
        try:
            self._server = await self._proxy.connect(self)
        except OSError:
            self._client.close()
            return
        if self._ended:
            self._server.close()
        else:
            self.hush(paused=self._proxy._paused)

    def data_received(self, data: bytes) -> None:
        if self._server is None or self._proxy._paused:
            # Reading cannot be paused in connection_made: uvloop begins to read afterwards in any case.
            self._early += data
            return
        through: list[bytes] = []
        for command in () if self._silent else self._commands.fed(data):
            name = _verb(command)
            fate = None if self._pushing else self._proxy.fate(name)
            self._pushing = self._pushing or name in _PUSHING
            if fate is not None and fate.endswith("_request"):
                self._pass_on(through)
                self._strike(fate, command)
                return
            through.append(command)
            self._fates.append(fate)
        self._pass_on(through)

    def _pass_on(self, commands: list[bytes]) -> None:
        if commands and self._server is not None:
            self._server.write(b"".join(commands))

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._proxy.leave(self)
        if self._server is not None:
            self._server.close()

    # --- from the server -------------------------------------------------------------------------

    def answered(self, data: bytes) -> None:
        """Hand replies to the client, as far as fate lets them."""
        if self._silent or self._ended:
            return
        if self._pushing:
            self._deliver(data)
            return
        through: list[bytes] = []
        for reply in self._replies.fed(data):
            self._proxy.replies += reply[:1] != b">"
            fate = self._fates.popleft() if self._fates and reply[:1] != b">" else None
            if fate is not None:
                self._deliver(b"".join(through))
                through.clear()
                if self._strike(fate, reply):
                    return
            through.append(reply)
        self._deliver(b"".join(through))

    def _strike(self, fate: Fault, message: bytes) -> bool:
        """Let the accident happen; return whether it was the end of the connection."""
        self._proxy.faults[fate] += 1
        match fate:
            case "drop_reply" | "drop_request":
                self._silent = True
            case "reset_reply" | "reset_request":
                self.reset()
            case "half_request":
                self._pass_on([message[: len(message) // 2]])
                self.reset()
            case "late_request":
                self._arrive_later(message)
            case "close_reply":
                self._client.close()
            case "half_reply":
                self._client.write(message[: len(message) // 2])
                self._client.close()
            case "delay_reply":
                if self._late is None:
                    self._late = []
                    self._loop.call_later(self._proxy.delay, self._arrive_late)
                return False
        return True

    def _arrive_later(self, command: bytes) -> None:
        """Reset the client, and deliver its command later; the reply reaches no client."""
        server, self._server = self._server, None
        self.reset()

        if server is not None:
            self._proxy.answer_nobody(server)
            self._loop.call_later(self._proxy.delay, server.write, command)
            self._loop.call_later(self._proxy.delay + _ANSWER_SECONDS, server.close)

    def _deliver(self, data: bytes) -> None:
        if self._late is not None:
            self._late.append(data)
        elif data and not self._ended:
            self._client.write(data)

    def _arrive_late(self) -> None:
        late, self._late = self._late or [], None
        self._deliver(b"".join(late))

    def hang_up(self) -> None:
        """The server closed its side."""
        if not self._silent:
            self._client.close()

    # --- from the test ---------------------------------------------------------------------------

    def reset(self) -> None:
        """Reset the client's connection: what was on its way is lost."""
        self._ended = True
        raw: Any = self._client.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._client.abort()
        if self._server is not None:
            self._server.close()

    def hush(self, *, paused: bool) -> None:
        """Stop reading from both sides, or go on."""
        for side in (self._client, self._server):
            if side is not None and not side.is_closing() and side.is_reading() == paused:
                side.pause_reading() if paused else side.resume_reading()
        if self._early and not paused:
            early, self._early = self._early, b""
            self.data_received(early)


class _ServerSide(asyncio.Protocol):
    """The connection to the server."""

    def __init__(self, line: _Line) -> None:
        self._line = line

    def data_received(self, data: bytes) -> None:
        self._line.answered(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._line.hang_up()


class _Messages:
    """Bytes in, whole RESP messages out, each as the bytes it came in."""

    def __init__(self) -> None:
        self._rest = b""

    def fed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes as they came, and yield the messages that are all there."""
        data = self._rest + data
        start = 0
        while (end := _end(data, start)) >= 0:
            yield data[start:end]
            start = end
        self._rest = data[start:]


def _end(data: bytes, start: int) -> int:
    """Return the end of the message that begins at ``start``; -1 when it is incomplete."""
    wanted = 1
    while wanted:
        line_end = data.find(b"\r\n", start)
        if line_end < 0:
            return -1
        kind = data[start : start + 1]
        size = int(data[start + 1 : line_end]) if kind in b"$=!*~>%" else 0
        start = line_end + 2
        wanted -= 1
        if kind in b"$=!":
            start += size + 2 if size >= 0 else 0
        elif size > 0:
            wanted += 2 * size if kind == b"%" else size
    return start if start <= len(data) else -1


def _verb(command: bytes) -> bytes:
    """The name of a command, in capitals."""
    if command[:1] != b"*":
        return command.split(None, 1)[0].upper()
    return command.split(b"\r\n", 3)[2].upper()
