"""A server that answers with garbage."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from typing import Self

__all__ = ["Garbage"]

_HELLO = b"+OK\r\n"


class Garbage:
    """Listens, answers the first commands with OK if ``handshakes``, and everything after that with garbage."""

    def __init__(self, chunks: Sequence[bytes], *, handshakes: bool) -> None:
        self._chunks = chunks
        self._left = 4 if handshakes else 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._clients: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self._clients):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._clients.append(client)
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        left = self._left
        with client:
            try:
                while data := client.recv(1 << 16):
                    for _ in range(data.count(b"\r\n*") + 1):
                        client.sendall(_HELLO if left > 0 else b"".join(self._chunks))
                        left -= 1
            except OSError:
                return
