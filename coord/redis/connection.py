"""A blocking connection, used by one thread at a time."""

from __future__ import annotations

import _socket
import contextlib
import select
import selectors
import socket
import ssl
import struct
import sys
from collections.abc import Iterable, Sequence
from typing import Any, cast

from coord.errors import ReplyError
from coord.redis.dialing import Dialer
from coord.redis.refusals import refuse
from coord.redis.slots import Slots
from coord.redis.steps import Unsent, Words
from coord.redis.wire import new_reader, pack

__all__ = ["ClientConnection", "Connection", "Unsent", "has_input", "open_connection", "reply_error"]

_KERNEL_CAN_WAIT = sys.platform == "linux" and sys.maxsize > 2**32
"""Whether a socket's time-out is a pair of longs that the kernel keeps."""


class Connection:
    """One connection: redis-py opened it, commands and replies go over its socket directly.

    ``idle_since``: when it was last given back. ``timeout``: seconds to wait for a reply.
    """

    __slots__ = ("_kernel_waits", "_reader", "_redis_py", "has_unread", "idle_since", "slots", "socket", "timeout")

    def __init__(self, dialer: Dialer, within: float | None = None) -> None:
        self._redis_py = dialer.dial(within)
        try:
            self._redis_py.connect()
        except Exception as error:
            # redis-py does not check the replies to its first commands, so any exception is possible.
            self.close()
            refuse(error, dialer.where)
        self.slots = Slots()
        self.idle_since = dialer.clock.monotonic()
        self._attach(within or dialer.timeout)

    def _attach(self, timeout: float) -> None:
        """Use the socket that redis-py has opened."""
        self.socket: socket.socket = self._redis_py._sock
        self._reader = new_reader()
        self.has_unread = self._reader.has_data
        # Monkey-patched sockets, such as gevent's, poll by themselves: there the kernel's time-out is void.
        receives: Any = getattr(type(self.socket), "recv", None)
        self._kernel_waits = _KERNEL_CAN_WAIT and receives is _socket.socket.recv
        if self._kernel_waits:
            self.socket.settimeout(None)
        self.limit(timeout)

    @property
    def where(self) -> str | None:
        """The address that it is connected to, in words; None on a Unix socket."""
        host, port = getattr(self._redis_py, "host", None), getattr(self._redis_py, "port", None)
        return f"the server at {host}:{port}" if host and port else None

    def ask(self, words: Words) -> Any:
        """Send one command and return its reply; an error reply is a ``ReplyError``."""
        self._send(pack(words))
        return self._receive()

    def ask_many(self, commands: Sequence[Words]) -> Iterable[Any]:
        """Send commands in one write, and yield their replies as they come."""
        self._send(b"".join(map(pack, commands)))
        for _ in commands:
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
            except (BlockingIOError, TimeoutError):
                # The kernel's time-out, and that of TLS and gevent.
                raise TimeoutError("no reply in time") from None
            if not data:
                raise ConnectionError("the server closed the connection")
            self._reader.feed(data)
            reply = self._reader.gets()
        return reply

    def limit(self, seconds: float) -> None:
        """Wait up to so many seconds for each of the next replies."""
        self.timeout = seconds
        if self._kernel_waits:
            # Python's own time-out polls before each send and each receive: twice the system calls.
            whole, part = divmod(seconds, 1)
            for way in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                self.socket.setsockopt(socket.SOL_SOCKET, way, struct.pack("ll", int(whole), int(part * 1e6) or 1))
        else:
            self.socket.settimeout(seconds)

    def is_stale(self) -> bool:
        """Return whether the server closed the connection, or sent something, while it was idle."""
        return has_input(self.socket.fileno())

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(Exception):
            self._redis_py.disconnect()

    def abandon(self) -> None:
        """Close the descriptor of a connection that belongs to this process's parent, without ending it there."""
        with contextlib.suppress(Exception):
            self.socket.close()


class ClientConnection(Connection):
    """A connection without a socket, such as one of fakeredis: redis-py sends and receives."""

    __slots__ = ()

    def _attach(self, timeout: float) -> None:
        """Leave sending and receiving to redis-py."""
        self.timeout = timeout
        self.has_unread = bool

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
        """Note the time; the server is in this process and answers at once."""
        self.timeout = seconds

    def is_stale(self) -> bool:
        """Return False: it cannot be closed from the other side."""
        return False

    def abandon(self) -> None:
        """Do nothing: it has no descriptor."""


def has_input(descriptor: int) -> bool:
    """Return whether a socket has bytes, or its end, to read. Not by select.select: it fails above descriptor 1,023."""
    if hasattr(select, "poll"):
        # 1 us, where opening and closing an epoll takes 9.
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        return bool(selector.select(0))


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


def open_connection(dialer: Dialer, within: float | None = None) -> Connection:
    """Open a connection, directly on its socket, or through redis-py if it has none."""
    return Connection(dialer, within) if dialer.is_socket else ClientConnection(dialer)
