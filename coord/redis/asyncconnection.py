"""Awaited connections: the calls of one loop tick travel in one write, and replies are matched in order."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol, cast

from coord.errors import Unavailable
from coord.redis.connection import Unsent, reply_error
from coord.redis.dialing import CONNECT_ERRORS, Dialer
from coord.redis.retry import refuse
from coord.redis.slots import Slots
from coord.redis.wire import new_reader, pack

__all__ = ["AsyncConnection", "Lost", "Unsent", "opened"]

Words = tuple[Any, ...]

_AT_ONCE = 16
"""Commands that go before the tick is over: the server works on them while the rest is prepared."""
_GOODBYE_SECONDS = 1.0


class Lost(ConnectionError):
    """The connection broke after the command was sent, and before its reply."""


class AsyncConnection(Protocol):
    """One connection, shared by all callers of a loop."""

    slots: Slots

    @property
    def closed(self) -> bool:
        """Whether it has broken or was closed."""
        ...

    @property
    def in_flight(self) -> int:
        """How many commands await their replies."""
        ...

    @property
    def silent_for(self) -> float:
        """The seconds for which commands have awaited their replies, and none came."""
        ...

    def ask(self, words: Words) -> asyncio.Future[Any]:
        """Send a command; the future is given its reply, ``Lost`` or ``Unsent``."""
        ...

    def ask_many(self, commands: Sequence[Words]) -> list[asyncio.Future[Any]]:
        """Send commands in one write; each future is as that of ``ask``."""
        ...

    async def drain(self, seconds: float | None) -> None:
        """Wait until nothing awaits a reply, no longer than so many seconds (None: however long it takes)."""
        ...

    async def close(self) -> None:
        """Close it; what still awaits its reply is lost."""
        ...


class PipelinedConnection(asyncio.Protocol):
    """A connection that redis-py opened, and whose transport this protocol took over."""

    def __init__(self, redis_py: Any, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self._redis_py = redis_py
        self._loop = loop
        self._timeout = timeout
        self._reader = new_reader()
        self._unsent: list[bytes] = []
        self._pending: deque[asyncio.Future[Any]] = deque()
        self._new_future = loop.create_future
        self.slots = Slots()
        self._answered = 0
        self._silent_since = 0.0
        self._gone = loop.create_future()
        self.closed = False
        self._transport: asyncio.Transport = redis_py._writer.transport
        self._before: Any = self._transport.get_protocol()
        self._transport.set_protocol(self)
        self._watch = loop.call_later(timeout / 4, self._look_for_silence, 0, 0)

    @property
    def in_flight(self) -> int:
        """How many commands await their replies."""
        return len(self._pending)

    @property
    def silent_for(self) -> float:
        """The seconds for which commands have awaited their replies, and none came."""
        return self._loop.time() - self._silent_since if self._pending else 0.0

    def ask(self, words: Words) -> asyncio.Future[Any]:
        """Send a command with all others of this loop tick; see ``AsyncLink.ask``."""
        future = self._new_future()
        if self.closed:
            future.set_exception(Unsent("the connection is closed"))
            return future
        unsent = self._unsent
        unsent.append(pack(words))
        self._pending.append(future)
        if len(unsent) == 1:
            self._loop.call_soon(self._send)
        elif len(unsent) == _AT_ONCE:
            self._send()
        return future

    def ask_many(self, commands: Sequence[Words]) -> list[asyncio.Future[Any]]:
        """Send commands in one write, those of before with them; see ``AsyncLink.ask_many``."""
        if self.closed:
            return [self.ask(words) for words in commands]
        packed, futures = [pack(words) for words in commands], [self._new_future() for _ in commands]
        self._unsent += packed
        self._pending += futures
        self._send()
        return futures

    def _send(self) -> None:
        if self._unsent:
            if len(self._unsent) == len(self._pending):
                # Nothing was awaited until now.
                self._silent_since = self._loop.time()
            self._transport.write(b"".join(self._unsent))
            self._unsent.clear()

    def data_received(self, data: bytes) -> None:
        """Give each reply to the command that has waited longest."""
        if self.closed:
            return
        self._silent_since = self._loop.time()
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
        """Tell all that wait, and let go of what redis-py keeps."""
        self._break(str(exc) if exc else "the server closed the connection")
        self._before.connection_lost(exc)
        self._redis_py._reader = self._redis_py._writer = None
        if not self._gone.done():
            self._gone.set_result(None)

    def _break(self, why: str) -> None:
        """Tell all that wait; those whose commands are still here surely did not run."""
        if self.closed:
            return
        self.closed = True
        self._watch.cancel()
        sent = len(self._pending) - len(self._unsent)
        self._unsent.clear()
        for place, future in enumerate(self._pending):
            if not future.done():
                future.set_exception(Lost(why) if place < sent else Unsent(why))
                # Seen, as far as asyncio is concerned: who was cancelled no longer waits for it.
                future.exception()
        self._pending.clear()

    def _look_for_silence(self, answered: int, looks: int) -> None:
        """Four times in ``timeout`` seconds: a connection on which calls wait, and none is answered, is broken."""
        silent = bool(self._pending) and answered == self._answered
        if silent and looks >= 4:
            self._break(f"no reply within {self._timeout} s")
            self._transport.abort()
            return
        again = looks + 1 if silent else 0
        self._watch = self._loop.call_later(self._timeout / 4, self._look_for_silence, self._answered, again)

    async def drain(self, seconds: float | None) -> None:
        """Wait until nothing awaits a reply, no longer than so many seconds (None: however long it takes)."""
        if self._pending:
            await asyncio.wait(list(self._pending), timeout=seconds)

    async def close(self) -> None:
        """Close it; what still awaits its reply is lost."""
        self._break("the coordinator was closed")
        self._transport.close()
        # Under TLS the two sides say good-bye first.
        await asyncio.wait([self._gone], timeout=_GOODBYE_SECONDS)
        self._transport.abort()


class ClientConnection:
    """A connection that is no socket, such as one of fakeredis: redis-py sends and receives, one at a time."""

    closed = False

    def __init__(self, redis_py: Any) -> None:
        self._redis_py = redis_py
        self._turn = asyncio.Lock()
        self.slots = Slots()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def in_flight(self) -> int:
        """How many commands await their replies."""
        return len(self._tasks)

    @property
    def silent_for(self) -> float:
        """What is in this process answers at once."""
        return 0.0

    def ask(self, words: Words) -> asyncio.Future[Any]:
        """Send a command; the future is given its reply."""
        task = asyncio.get_running_loop().create_task(self._asked(words))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def ask_many(self, commands: Sequence[Words]) -> list[asyncio.Future[Any]]:
        """Send commands one after the other."""
        return [self.ask(words) for words in commands]

    async def _asked(self, words: Words) -> Any:
        async with self._turn:
            await self._redis_py.send_command(*words)
            try:
                return await self._redis_py.read_response()
            except Exception as error:
                return reply_error(error)

    async def drain(self, seconds: float | None) -> None:
        """Wait until nothing awaits a reply, no longer than so many seconds (None: however long it takes)."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    async def close(self) -> None:
        """Close it."""
        self.closed = True
        await self._redis_py.disconnect()


async def opened(dialer: Dialer) -> AsyncConnection:
    """Open a connection, with redis-py in between only where there is no socket."""
    redis_py = dialer.dial()
    try:
        await redis_py.connect()
    except CONNECT_ERRORS as error:
        refuse(error, dialer.where)
    transport = getattr(getattr(redis_py, "_writer", None), "transport", None)
    if transport is None:
        return cast("AsyncConnection", ClientConnection(redis_py))
    raw = transport.get_extra_info("socket")
    if raw is None:
        raise Unavailable(f"{dialer.where}: the connection has no socket")
    with contextlib.suppress(OSError):
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return PipelinedConnection(redis_py, asyncio.get_running_loop(), dialer.timeout)
