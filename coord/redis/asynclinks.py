"""Awaited connections: the calls of one loop tick travel in one write, and replies are matched in order."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from typing import Any, Protocol, cast

from coord.errors import Unavailable
from coord.redis.dialing import CONNECT_ERRORS, Dialer
from coord.redis.links import reply_error
from coord.redis.outcome import could_not_connect
from coord.redis.wire import new_reader, pack

__all__ = ["AsyncLink", "Lost", "opened"]

Words = tuple[Any, ...]


class Lost(ConnectionError):
    """The connection broke after the command was sent, and before its reply."""


class AsyncLink(Protocol):
    """One connection, shared by all callers of a loop."""

    @property
    def closed(self) -> bool:
        """Whether it has broken or was closed."""
        ...

    @property
    def in_flight(self) -> int:
        """How many commands await their replies."""
        ...

    def ask(self, words: Words) -> asyncio.Future[Any]:
        """Send a command; the future is given its reply, or ``Lost``."""
        ...

    async def drain(self, seconds: float) -> None:
        """Wait until nothing awaits a reply, no longer than so many seconds."""
        ...

    async def close(self) -> None:
        """Close it; what still awaits its reply is lost."""
        ...


class BatchingLink(asyncio.Protocol):
    """A connection that redis-py opened, and whose transport this protocol took over."""

    def __init__(self, connection: Any, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self._connection = connection
        self._loop = loop
        self._timeout = timeout
        self._reader = new_reader()
        self._unsent: list[bytes] = []
        self._pending: deque[asyncio.Future[Any]] = deque()
        self._new_future = loop.create_future
        self._answered = 0
        self.closed = False
        self._transport: asyncio.Transport = connection._writer.transport
        self._before: Any = self._transport.get_protocol()
        self._transport.set_protocol(self)
        self._watch = loop.call_later(timeout, self._look_for_silence, 0)

    @property
    def in_flight(self) -> int:
        """How many commands await their replies."""
        return len(self._pending)

    def ask(self, words: Words) -> asyncio.Future[Any]:
        """Send a command with all others of this loop tick; the future is given its reply, or ``Lost``."""
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(pack(words))
        future = self._new_future()
        self._pending.append(future)
        return future

    def _send(self) -> None:
        data = self._unsent[0] if len(self._unsent) == 1 else b"".join(self._unsent)
        self._unsent.clear()
        if not self.closed:
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        """Give each reply to the command that has waited longest."""
        reader = self._reader
        popleft = self._pending.popleft
        reader.feed(data)
        reply = reader.gets()
        while reply is not False:
            future = popleft()
            self._answered += 1
            # A caller that was cancelled has left; its reply is taken all the same, so that the next one is in place.
            if not future.done():
                future.set_result(reply)
            reply = reader.gets()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all that wait."""
        self.closed = True
        self._watch.cancel()
        self._unsent.clear()
        while self._pending:
            future = self._pending.popleft()
            if not future.done():
                future.set_exception(Lost(str(exc) if exc else "the server closed the connection"))
        self._before.connection_lost(exc)

    def _look_for_silence(self, answered: int) -> None:
        """Every ``timeout`` seconds: a connection on which calls wait, and none was answered, is broken."""
        if self._pending and answered == self._answered:
            self.connection_lost(TimeoutError(f"no reply within {self._timeout} s"))
            self._transport.abort()
        else:
            self._watch = self._loop.call_later(self._timeout, self._look_for_silence, self._answered)

    async def drain(self, seconds: float) -> None:
        """Wait until nothing awaits a reply, no longer than so many seconds."""
        if self._pending:
            await asyncio.wait(self._pending, timeout=seconds)

    async def close(self) -> None:
        """Close it; what still awaits its reply is lost."""
        if not self.closed:
            self._transport.close()
            self.connection_lost(None)
        with contextlib.suppress(Exception):
            await self._connection.disconnect(nowait=True)


class ClientLink:
    """A connection that is no socket, such as one of fakeredis: redis-py sends and receives, one at a time."""

    closed = False

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def in_flight(self) -> int:
        """How many commands await their replies."""
        return len(self._tasks)

    def ask(self, words: Words) -> asyncio.Future[Any]:
        """Send a command; the future is given its reply."""
        task = asyncio.get_running_loop().create_task(self._asked(words))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _asked(self, words: Words) -> Any:
        async with self._turn:
            await self._connection.send_command(*words)
            try:
                return await self._connection.read_response()
            except Exception as error:
                return reply_error(error)

    async def drain(self, seconds: float) -> None:
        """Wait until nothing awaits a reply, no longer than so many seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    async def close(self) -> None:
        """Close it."""
        self.closed = True
        await self._connection.disconnect()


async def opened(dialer: Dialer) -> AsyncLink:
    """Open a connection, with redis-py in between only where there is no socket."""
    connection = dialer.dial()
    try:
        await connection.connect()
    except CONNECT_ERRORS as error:
        raise could_not_connect(error, dialer.where) from error
    transport = getattr(getattr(connection, "_writer", None), "transport", None)
    if transport is None:
        return cast("AsyncLink", ClientLink(connection))
    raw = transport.get_extra_info("socket")
    if raw is None:
        raise Unavailable(f"{dialer.where}: the connection has no socket")
    with contextlib.suppress(OSError):
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return BatchingLink(connection, asyncio.get_running_loop(), dialer.timeout)
