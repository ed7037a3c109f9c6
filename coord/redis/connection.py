"""Blocking connections to one server, lent to one thread at a time."""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import struct
import sys
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Any, cast

from coord.errors import Closed, ReplyError, Unavailable
from coord.fork import register
from coord.redis.dialing import CONNECT_ERRORS, Dialer
from coord.redis.retry import refuse
from coord.redis.slots import Slots
from coord.redis.wire import new_reader, pack

__all__ = ["AT_ONCE", "Connection", "Pool", "Unsent"]

Words = tuple[Any, ...]

AT_ONCE = 1_000
"""Commands in one write: more of them would wait in the server's buffers, not run sooner."""


class Unsent(ConnectionError):
    """The connection broke before anything of the command was sent."""


_KERNEL_CAN_WAIT = sys.platform == "linux" and sys.maxsize > 2**32
"""Whether a socket's time-out is a pair of longs that the kernel keeps."""


class Connection:
    """One connection: redis-py opened it, commands and replies go over its socket directly."""

    __slots__ = ("_kernel_waits", "_reader", "_redis_py", "slots", "socket")

    def __init__(self, dialer: Dialer, within: float | None = None) -> None:
        self._redis_py = dialer.dial(within)
        try:
            self._redis_py.connect()
        except CONNECT_ERRORS as error:
            refuse(error, dialer.where)
        self.socket: socket.socket = self._redis_py._sock
        self._reader = new_reader()
        self.slots = Slots()
        self._kernel_waits = _KERNEL_CAN_WAIT and isinstance(self.socket, socket.socket)
        self._kernel_waits = self._kernel_waits and not isinstance(self.socket, ssl.SSLSocket)
        if self._kernel_waits:
            self.socket.settimeout(None)
            self.limit(within or dialer.timeout)

    def ask(self, words: Words) -> Any:
        """Send one command and return its reply; an error reply is a ``ReplyError``."""
        self._send(pack(words))
        return self._receive()

    def ask_many(self, commands: Sequence[Words]) -> Iterable[Any]:
        """Send commands in one write, and yield their replies as they come."""
        for start in range(0, len(commands), AT_ONCE):
            some = commands[start : start + AT_ONCE]
            self._send(b"".join(map(pack, some)))
            for _ in some:
                yield self._receive()

    def _send(self, data: bytes) -> None:
        try:
            sent = self.socket.send(data)
        except ssl.SSLError:
            # A part of it may have left.
            raise
        except OSError as error:
            raise Unsent(str(error)) from error
        if sent < len(data):
            self.socket.sendall(data[sent:])

    def _receive(self) -> Any:
        reply = self._reader.gets()
        while reply is False:
            try:
                data = self.socket.recv(65536)
            except BlockingIOError:
                raise TimeoutError("no reply in time") from None
            if not data:
                raise ConnectionError("the server closed the connection")
            self._reader.feed(data)
            reply = self._reader.gets()
        return reply

    def receive_some(self) -> Iterable[Any]:
        """Read once, and yield the replies that are all there."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            yield reply

    @property
    def has_more(self) -> bool:
        """Whether TLS holds bytes that the socket no longer shows."""
        return isinstance(self.socket, ssl.SSLSocket) and self.socket.pending() > 0

    def limit(self, seconds: float) -> None:
        """Wait no longer than this for the next replies."""
        if self._kernel_waits:
            # Python's own time-out polls before each send and each receive: twice the system calls.
            whole, part = divmod(seconds, 1)
            for way in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                self.socket.setsockopt(socket.SOL_SOCKET, way, struct.pack("ll", int(whole), int(part * 1e6) or 1))
        else:
            self.socket.settimeout(seconds)

    def is_stale(self) -> bool:
        """Whether the server closed the connection while it was idle."""
        with selectors.DefaultSelector() as selector:
            # Not select.select, which knows no descriptor above 1,023.
            selector.register(self.socket, selectors.EVENT_READ)
            return bool(selector.select(0))

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(Exception):
            self._redis_py.disconnect()

    def abandon(self) -> None:
        """Let go of a connection that belongs to the parent of this process, without ending it for the parent."""
        with contextlib.suppress(Exception):
            self.socket.close()


class ClientConnection(Connection):
    """A connection that is no socket, such as one of fakeredis: redis-py sends and receives."""

    __slots__ = ()

    def ask(self, words: Words) -> Any:
        """Send one command and return its reply; an error reply is a ``ReplyError``."""
        self._redis_py.send_command(*words)
        return self._receive()

    def ask_many(self, commands: Sequence[Words]) -> Iterable[Any]:
        """Send commands one after the other, and yield their replies."""
        return map(self.ask, commands)

    def _receive(self) -> Any:
        try:
            return _text(self._redis_py.read_response())
        except Exception as error:
            return reply_error(error)

    def limit(self, seconds: float) -> None:
        """What is in this process answers at once."""

    def is_stale(self) -> bool:
        """It cannot be closed from the other side."""
        return False

    def abandon(self) -> None:
        """There is nothing to let go of."""


def reply_error(error: Exception) -> ReplyError:
    """Turn redis-py's exception for an error reply back into the reply; raise any other again."""
    code = _CODES.get(type(error).__name__)
    if code is None:
        raise error
    text = str(error)
    return ReplyError(text if not code or text.startswith(code) else f"{code} {text}")


# redis-py takes the code off the text of those that have a class of their own.
_CODES = {
    "NoScriptError": "NOSCRIPT",
    "BusyLoadingError": "LOADING",
    "ReadOnlyError": "READONLY",
    "NoPermissionError": "NOPERM",
    "AuthenticationError": "WRONGPASS",
    "OutOfMemoryError": "OOM",
    "ResponseError": "",
}


def _text(reply: Any) -> Any:
    if isinstance(reply, bytes):
        return reply.decode("utf-8", "surrogateescape")
    if isinstance(reply, list):
        return [_text(item) for item in cast("Iterable[Any]", reply)]
    return reply


def opened(dialer: Dialer, within: float | None = None) -> Connection:
    """Open a connection, with redis-py in between only where there is no socket."""
    return Connection(dialer, within) if dialer.is_socket else ClientConnection(dialer)


class Pool:
    """The connections to one server: as many as threads need at a time, at most ``limit``.

    ``free`` holds those that nobody uses; taking and giving back one of them takes no lock.
    While threads wait, one that is given back goes to them and not to ``free``: who is quick does not starve who waits.
    """

    def __init__(self, dialer: Dialer, limit: int) -> None:
        self.free: deque[Connection] = deque()
        self.dialer = dialer
        self._handed: deque[Connection] = deque()
        self._limit = limit
        self._open = 0
        self._waiting = 0
        self._changed = threading.Condition()
        self.closed = False
        register(self)

    def take(self, within: float | None = None) -> Connection:
        """Return a connection, opened if need be; wait when the limit is reached, no longer than so many seconds."""
        end = monotonic() + (within or self.dialer.timeout)
        with self._changed:
            # Counted before looking: who gives one back meanwhile sees that somebody waits.
            self._waiting += 1
            try:
                connection = self._wait(end)
            finally:
                self._waiting -= 1
                if not self._waiting:
                    self.free.extend(self._handed)
                    self._handed.clear()
        if connection is not None:
            return connection
        try:
            return opened(self.dialer, within)
        except BaseException:
            self._forget()
            raise

    def _wait(self, end: float) -> Connection | None:
        """Wait, with the lock held, for a connection that is free, or (None) for leave to open one."""
        in_time = True
        while not self.closed:
            for pool in (self.free, self._handed):
                with contextlib.suppress(IndexError):
                    return pool.pop()
            if self._open < self._limit:
                self._open += 1
                return None
            if not in_time:
                raise Unavailable(f"all {self._limit} connections to {self.dialer.where} are in use")
            # One that was handed over at the last moment is still looked for.
            in_time = self._changed.wait(end - monotonic())
        raise Closed("the coordinator is closed")

    def give(self, connection: Connection) -> None:
        """Give a connection back."""
        if self._waiting and self._handed_over(connection):
            return
        self.free.append(connection)
        # Looked at after: who begins to wait, or closes, at this moment has looked at what is free before.
        if self._waiting:
            with self._changed:
                self._changed.notify()
        if self.closed:
            self._drop_free()

    def _handed_over(self, connection: Connection) -> bool:
        """Leave a connection to one who waits; False when nobody does any more."""
        with self._changed:
            if self.closed or self._waiting <= len(self._handed):
                return False
            self._handed.append(connection)
            self._changed.notify()
            return True

    def drop(self, connection: Connection) -> None:
        """Close a connection that cannot be used again."""
        try:
            connection.close()
        finally:
            # Also when the thread is interrupted here: else there is a place less for good.
            self._forget()

    def close(self) -> None:
        """Wait until calls in flight are answered, for as long as one may take, and close all connections."""
        end = monotonic() + self.dialer.timeout
        self.closed = True
        self._drop_free()
        with self._changed:
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._open, max(0.0, end - monotonic()))
        self._drop_free()

    def _drop_free(self) -> None:
        for pool in (self.free, self._handed):
            with contextlib.suppress(IndexError):
                while True:
                    self.drop(pool.pop())

    def _forget(self) -> None:
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def reset_after_fork(self) -> None:
        """The connections are the parent's."""
        for pool in (self.free, self._handed):
            for connection in pool:
                connection.abandon()
            pool.clear()
        self._open = self._waiting = 0
        self._changed = threading.Condition()
