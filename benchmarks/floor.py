"""The floor: what a client cannot be faster than on this machine, with this server, over this network.

Both floors send the same EVALSHA as coord and read the reply with hiredis. They handle no errors, do not retry and
have no limits.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import hiredis

BLOCKING = "bare socket"
ASYNC = "bare protocol"


_pack: Callable[[Any], bytes] = hiredis.pack_command  # its stub takes tuples of one word only


class Address:
    """Where a URL leads: host and port or a path, TLS, and the commands that open a connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.path = unquote(parts.path) if parts.scheme == "unix" else None
        self.host, self.port = parts.hostname or "localhost", parts.port or 6379
        self.tls = _tls(parse_qs(parts.query)) if parts.scheme in ("rediss", "valkeys") else None
        options = parse_qs(parts.query)
        database = options.get("db", ["0"])[0] if self.path else parts.path.strip("/") or "0"
        self.hello: list[tuple[str, ...]] = []
        if parts.password:
            self.hello.append(("AUTH", unquote(parts.username or "default"), unquote(parts.password)))
        self.hello.append(("SELECT", database))


def _tls(options: dict[str, list[str]]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs", [None])[0])
    if options.get("ssl_cert_reqs") == ["none"]:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class BareSocket:
    """A blocking socket: one command, one reply."""

    def __init__(self, address: Address) -> None:
        if address.path:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(address.path)
        else:
            self._socket = socket.create_connection((address.host, address.port))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if address.tls:
                self._socket = address.tls.wrap_socket(self._socket, server_hostname=address.host)
        self._reader = hiredis.Reader()
        for words in address.hello:
            self.ask(*words)

    def ask(self, *words: str | int) -> Any:
        """Send a command and return its reply."""
        self._socket.sendall(_pack(words))
        return self.receive()

    def receive(self) -> Any:
        """Wait for the next reply or message."""
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(65536))
        if isinstance(reply, Exception):
            raise reply
        return reply

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class BareSockets:
    """A bare socket for each thread."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._local = threading.local()
        self._all: list[BareSocket] = []

    def ask(self, *words: str | int) -> Any:
        """Send a command on this thread's socket and return its reply."""
        own: BareSocket | None = getattr(self._local, "own", None)
        if own is None:
            own = self._local.own = BareSocket(self._address)
            self._all.append(own)
        return own.ask(*words)

    def close(self) -> None:
        """Close all sockets."""
        for each in self._all:
            each.close()


class BareProtocol(asyncio.Protocol):
    """An asyncio protocol: the commands of one loop tick in one write, replies matched in order."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._unsent: list[bytes] = []
        self._pending: deque[asyncio.Future[Any]] = deque()
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None

    @classmethod
    async def connect(cls, address: Address) -> BareProtocol:
        """Open a connection."""
        loop = asyncio.get_running_loop()
        if address.path:
            _, bare = await loop.create_unix_connection(cls, address.path)
        else:
            _, bare = await loop.create_connection(cls, address.host, address.port, ssl=address.tls)
        for words in address.hello:
            await bare.ask(*words)
        return bare

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def ask(self, *words: str | int) -> asyncio.Future[Any]:
        """Send a command at the end of this tick."""
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(_pack(words))
        future = self._loop.create_future()
        self._pending.append(future)
        return future

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def _send(self) -> None:
        self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def data_received(self, data: bytes) -> None:
        """Hand out the replies."""
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self._pending.popleft().set_result(reply)
