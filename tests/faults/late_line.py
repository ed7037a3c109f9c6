"""A proxy that keeps the first copy of a request and delivers it later, as a network may."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading


class LateLine:
    """Passes bytes on. When armed, it keeps the next EVALSHA, resets the client, and delivers the copy on demand."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        self._armed = False
        self._kept: tuple[socket.socket, bytes] | None = None
        self._answered = threading.Event()
        self._open: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def arm(self) -> None:
        """Keep the next request."""
        self._armed = True

    def deliver(self) -> None:
        """Deliver the kept copy, and wait for the server's answer, which nobody reads."""
        assert self._kept is not None, "no request was kept"
        server, data = self._kept
        self._answered.clear()
        server.sendall(data)
        assert self._answered.wait(10), "the late copy was not answered"
        self._kept = None

    def close(self) -> None:
        """Close every connection, and wait for the threads."""
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(10)

    def _start(self, run: object, *args: object) -> None:
        thread = threading.Thread(target=run, args=args, daemon=True)  # type: ignore[arg-type]  # one of the methods below
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._upstream))
                self._open += client, server
                self._start(self._upwards, client, server)
                self._start(self._downwards, client, server)

    def _upwards(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if self._armed and b"EVALSHA" in data:
                    self._armed, self._kept = False, (server, data)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.shutdown(socket.SHUT_RDWR)
                    return
                server.sendall(data)

    def _downwards(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if self._kept is not None and self._kept[0] is server:
                    self._answered.set()
                else:
                    client.sendall(data)
