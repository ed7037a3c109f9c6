"""What is not RESP: to callers it is a server that cannot be reached, or a connection that broke."""

from __future__ import annotations

import socket
import threading

import pytest
from machines import QUICK

import coord
from coord.redis.wire import new_reader


def test_bytes_that_are_not_a_reply_break_the_connection() -> None:
    """Something else listens there: to callers it is a connection that broke."""
    reader = new_reader()
    reader.feed(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ConnectionError):
        reader.gets()


def test_a_server_that_speaks_something_else_is_unreachable() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.recv(1000)
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with pytest.raises(coord.Unavailable, match="cannot reach"):
            coord.connect(f"redis://127.0.0.1:{listener.getsockname()[1]}/0", **QUICK)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
