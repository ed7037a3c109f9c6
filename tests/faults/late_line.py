"""A line to a server that keeps the first copy of a request and delivers it later, as a network may."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

from wiretap import Wiretap


class LateLine(Wiretap):
    """Passes bytes on. When armed, it keeps the next EVALSHA, resets the client, and delivers the copy on demand."""

    def __init__(self, port: int) -> None:
        self._armed = False
        self._kept: tuple[socket.socket, bytes] | None = None
        self._answered = threading.Event()
        super().__init__(port)

    def arm(self) -> None:
        """Keep the next request."""
        self._armed = True

    def deliver(self) -> None:
        """Deliver the kept copy, and wait for the server's answer, which reaches no client."""
        assert self._kept is not None, "no request was kept"
        server, data = self._kept
        self._answered.clear()
        server.sendall(data)
        assert self._answered.wait(10), "the late copy was not answered"
        self._kept = None

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if self._armed and b"EVALSHA" in data:
                    self._armed, self._kept = False, (server, data)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.shutdown(socket.SHUT_RDWR)
                    return
                server.sendall(data)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if self._kept is not None and self._kept[0] is server:
                    self._answered.set()
                else:
                    client.sendall(data)
