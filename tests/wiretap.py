"""A tap on the line to a server: it passes everything on, and keeps what was asked and how often the line turned."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Self

import hiredis


class Wiretap:
    """Listens on a port of its own, for connections to the server on another port.

    ``commands`` are those that went by, ``turns`` how often the line turned towards the server: the round trips.
    """

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._towards_server = False
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.commands: list[tuple[bytes, ...]] = []
        self.turns = 0
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection, and wait for the threads."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in (self._listener, *self._sockets):
            each.close()

    @property
    def url(self) -> str:
        """Where to connect to."""
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    @property
    def verbs(self) -> list[str]:
        """The first word of each command that went by."""
        return [command[0].decode() for command in self.commands]

    def forget(self) -> None:
        """Begin to count anew."""
        with self._lock:
            self.commands, self.turns, self._towards_server = [], 0, False

    def _start(self, run: Callable[..., None], *args: socket.socket) -> None:
        thread = threading.Thread(target=run, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                self._sockets += client, server
                self._start(self._ask, client, server)
                self._start(self._answer, server, client)

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        reader = hiredis.Reader()
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 20):
                reader.feed(data)
                with self._lock:
                    while (command := reader.gets()) is not False:
                        self.commands.append(tuple(command))
                    self.turns += not self._towards_server
                    self._towards_server = True
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 20):
                with self._lock:
                    self._towards_server = False
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
