"""An asyncio connection: the calls of one loop tick travel in one write, and replies are matched in order."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol, cast

from coord.redis.connection import has_input, reply_error
from coord.redis.dialing import Dialer
from coord.redis.opening import open_by_redis_py
from coord.redis.slots import Slots
from coord.redis.steps import Unsent, Words
from coord.redis.wire import new_reader, pack

__all__ = ["AsyncConnection", "Lost", "Unsent", "open_connection"]

_AT_ONCE = 16
"""Commands that are sent before the tick is over: the server works on them while the rest is prepared."""
_GOODBYE_SECONDS = 1.0
_TRUSTED_SECONDS = 0.01
"""The most seconds until the loop sees that the server closed a connection, unless it was blocked."""


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
        """Send a command; the future is given its reply, one of ``LOST``, or ``Unsent``."""
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

    def __init__(self, redis_py: Any, loop: asyncio.AbstractEventLoop, dialer: Dialer) -> None:
        self._redis_py = redis_py
        self._loop = loop
        self._now = dialer.clock.monotonic
        self._timeout = dialer.timeout
        self._max_idle = dialer.max_idle
        self._reader = new_reader()
        self._unsent: list[bytes] = []
        self._pending: deque[asyncio.Future[Any]] = deque()
        self._new_future = loop.create_future
        self.slots = Slots()
        self._answered = 0
        self._silent_since = self._now()
        self._ended = loop.create_future()
        self.closed = False
        self._transport: asyncio.Transport = redis_py._writer.transport
        self._before: Any = self._transport.get_protocol()
        self._transport.set_protocol(self)
        self._watch = loop.call_later(self._timeout / 4, self._look_for_silence, 0, 0)

    @property
    def in_flight(self) -> int:
        """How many commands await their replies."""
        return len(self._pending)

    @property
    def silent_for(self) -> float:
        """The seconds for which commands have awaited their replies, and none came."""
        return self._now() - self._silent_since if self._pending else 0.0

    def ask(self, words: Words) -> asyncio.Future[Any]:
        """Send a command with all others of this loop tick; the future is given its reply, ``Lost`` or ``Unsent``."""
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
        """Send commands in one write, those of before with them; each future is as that of ``ask``."""
        if self.closed:
            return [self.ask(words) for words in commands]
        packed, futures = [pack(words) for words in commands], [self._new_future() for _ in commands]
        self._unsent += packed
        self._pending += futures
        self._send()
        return futures

    def _send(self) -> None:
        if not self._unsent:
            return
        if len(self._unsent) == len(self._pending):
            # No reply was pending until now.
            now = self._now()
            idle, self._silent_since = now - self._silent_since, now
            if idle > _TRUSTED_SECONDS and (idle > self._max_idle or self._is_stale()):
                self._fail("the connection was idle for too long")
                return
        self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _is_stale(self) -> bool:
        """Return whether the server closed the connection, or sent something, and the loop has not seen it yet."""
        descriptor = self._transport.get_extra_info("socket").fileno()
        if descriptor < 0:
            # Closed, or a transport that has no descriptor, as in a simulation.
            return self._transport.is_closing()
        return has_input(descriptor)

    def data_received(self, data: bytes) -> None:
        """Give each reply to the command that has waited longest."""
        if self.closed:
            return
        self._silent_since = self._now()
        reader = self._reader
        popleft = self._pending.popleft
        try:
            reader.feed(data)
            reply = reader.gets()
            while reply is not False:
                future = popleft()
                self._answered += 1
                # The reply of a cancelled caller is consumed too: the next reply belongs to the next caller.
                if not future.done():
                    future.set_result(reply)
                reply = reader.gets()
        except IndexError:
            self._fail("the server sent a reply without a request")
        except ConnectionError as error:
            self._fail(f"the server sent something that is not RESP: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the calls in flight, and release what redis-py holds."""
        self._break(str(exc) if exc else "the server closed the connection")
        self._before.connection_lost(exc)
        self._redis_py._reader = self._redis_py._writer = None
        if not self._ended.done():
            self._ended.set_result(None)

    def _fail(self, why: str, kind: type[Exception] = Lost) -> None:
        self._break(why, kind)
        self._transport.abort()

    def _break(self, why: str, kind: type[Exception] = Lost) -> None:
        """Fail the calls in flight; those whose commands are still here certainly did not run."""
        if self.closed:
            return
        self.closed = True
        self._watch.cancel()
        sent = len(self._pending) - len(self._unsent)
        self._unsent.clear()
        for place, future in enumerate(self._pending):
            if not future.done():
                future.set_exception(kind(why) if place < sent else Unsent(why))
                # Marked as retrieved: a cancelled caller never reads it.
                future.exception()
        self._pending.clear()

    def _look_for_silence(self, answered: int, looks: int) -> None:
        """Four times in ``timeout`` seconds: a connection on which calls wait, and none is answered, is broken."""
        silent = bool(self._pending) and answered == self._answered
        if silent and looks >= 4:
            self._fail(f"no reply within {self._timeout} s", TimeoutError)
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
        # TLS exchanges close_notify first.
        await asyncio.wait([self._ended], timeout=_GOODBYE_SECONDS)
        self._transport.abort()


class ClientConnection:
    """A connection without a socket, such as one of fakeredis: redis-py sends and receives, one at a time."""

    closed = False

    def __init__(self, redis_py: Any) -> None:
        self._redis_py = redis_py
        self._one_at_a_time = asyncio.Lock()
        self.slots = Slots()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def in_flight(self) -> int:
        """How many commands await their replies."""
        return len(self._tasks)

    @property
    def silent_for(self) -> float:
        """Return 0: the server is in this process and answers at once."""
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
        async with self._one_at_a_time:
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


async def open_connection(dialer: Dialer) -> AsyncConnection:
    """Open a connection, directly on its socket, or through redis-py if it has none."""
    redis_py = await open_by_redis_py(dialer)
    transport = getattr(getattr(redis_py, "_writer", None), "transport", None)
    raw = None if transport is None else transport.get_extra_info("socket")
    if raw is None:
        # fakeredis has a transport of its own.
        return cast("AsyncConnection", ClientConnection(redis_py))
    with contextlib.suppress(OSError):
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return PipelinedConnection(redis_py, asyncio.get_running_loop(), dialer)
