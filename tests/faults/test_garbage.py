"""A server that answers nonsense: callers get a ``CoordError`` or a result, and nothing is logged as an error."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable
from typing import Any, Self

import hiredis
import pytest
from backends import Backend
from machines import dialled

import coord

URLS = {
    "server": "redis://127.0.0.1:{port}/0",
    "cluster": "redis+cluster://127.0.0.1:{port}",
    "sentinel": "redis+sentinel://127.0.0.1:{port}/service/0?sentinel_protocol=2",
}

SETTINGS: dict[str, Any] = {"timeout": 0.1, "patience": 0.02}

DEEP = b"*1\r\n" * 200 + b":1\r\n"

REPLIES = {
    "status": b"+OK\r\n",
    "number": b":1\r\n",
    "negative": b":-1\r\n",
    "nothing": b"$-1\r\n",
    "no array": b"*-1\r\n",
    "empty": b"*0\r\n",
    "text": b"$1\r\nx\r\n",
    "bytes": b"$2\r\n\xff\xfe\r\n",
    "pair": b"*2\r\n$1\r\nx\r\n:5\r\n",
    "nested": b"*2\r\n*0\r\n*1\r\n*-1\r\n",
    "deep": DEEP,
    "error in an array": b"*2\r\n-ERR no\r\n:1\r\n",
    "no code": b"-\r\n",
    "MOVED": b"-MOVED\r\n",
    "MOVED without address": b"-MOVED 1 \r\n",
    "MOVED without port": b"-MOVED 1 127.0.0.1\r\n",
    "MOVED to port x": b"-MOVED 1 127.0.0.1:x\r\n",
    "MOVED to no port": b"-MOVED 1 127.0.0.1:99999999999\r\n",
    "MOVED to no slot": b"-MOVED x 127.0.0.1:1\r\n",
    "ASK": b"-ASK\r\n",
    "ASK to port 0": b"-ASK 1 127.0.0.1:0\r\n",
    "NOSCRIPT": b"-NOSCRIPT\r\n",
    "two replies": b":1\r\n:1\r\n",
    "no RESP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a push": b">2\r\n$7\r\nmessage\r\n$1\r\nx\r\n",
    "a map": b"%1\r\n+a\r\n+b\r\n",
    "half": b"*5\r\n:1\r\n",
}
"""What is answered to every command, or to every call."""


class Garbage:
    """A server that answers what ``answer`` says to each command."""

    def __init__(self, answer: Callable[[list[str]], bytes]) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._end, self._ended = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end.close()
        self._thread.join()
        self._ended.close()
        self._listener.close()

    def _serve(self) -> None:
        readers: dict[socket.socket, Any] = {}
        with selectors.DefaultSelector() as selector:
            for each in (self._listener, self._ended):
                selector.register(each, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    at: Any = key.fileobj
                    if at is self._ended:
                        for each in readers:
                            each.close()
                        return
                    if at is self._listener:
                        client, _ = at.accept()
                        # Small replies are not held back for 40 ms each.
                        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        readers[client] = hiredis.Reader(encoding="utf-8", errors="replace")
                        selector.register(client, selectors.EVENT_READ)
                    elif not self._served(at, readers[at]):
                        selector.unregister(at)
                        del readers[at]
                        at.close()

    def _served(self, client: socket.socket, reader: Any) -> bool:
        try:
            data = client.recv(65536)
            reader.feed(data)
            while (words := reader.gets()) is not False:
                client.sendall(self._answer(words))
        except OSError:
            return False
        return bool(data)


def well(words: list[str], port: int) -> bytes:
    """Answer as a server, a node of a cluster and a sentinel do, to what is asked before the first call."""
    match [words[0].upper(), *words[1:]]:
        case ["INFO", *_]:
            return b"$19\r\nredis_version:8.2.0\r\n"
        case ["SCRIPT", *_]:
            return b"$1\r\nx\r\n"
        case ["EVALSHA", *_]:
            return b"*0\r\n"
        case ["CLUSTER", *_]:
            return b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n" % port
        case ["SENTINEL", *_]:
            return b"*1\r\n" + _map(name="service", ip="127.0.0.1", port=str(port), flags="master", **OTHERS)
        case ["PING", *_]:
            return b"+PONG\r\n"
        case _:
            return b"+OK\r\n"


OTHERS = {"num-other-sentinels": "0"}


def _map(**values: str) -> bytes:
    words = [word for pair in values.items() for word in pair]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(each), each.encode()) for each in words)


@pytest.fixture(params=URLS)
def kind(request: pytest.FixtureRequest) -> str:
    """How it is connected to."""
    return str(request.param)


@pytest.mark.parametrize("is_well", [False, True], ids=["from the first", "once connected"])
def test_a_server_that_answers_nonsense(mode: Backend, kind: str, is_well: bool) -> None:  # a parameter of pytest
    """Each command gets the same reply."""
    for name, reply in REPLIES.items():
        answer = Answer(reply, is_well=is_well)
        with Garbage(answer) as server, contextlib.suppress(coord.CoordError):
            answer.port = server.port
            url = URLS[kind].format(port=server.port)
            c = dialled(mode.dial, url, **SETTINGS) if is_well else mode.dial(url, **SETTINGS)
            answer.is_well = False
            try:
                use(c)
            except Exception as error:
                error.add_note(f"the reply was {name}")
                raise
            finally:
                c.close()


class Answer:
    """What is answered: as a server does that is well, or always the same."""

    port = 0

    def __init__(self, reply: bytes, *, is_well: bool) -> None:
        self._reply = reply
        self.is_well = is_well

    def __call__(self, words: list[str]) -> bytes:
        return well(words, self.port) if self.is_well else self._reply


def use(c: Any) -> None:
    """Make calls, wait for something, and ask for a round trip; a result is as good as a ``CoordError``."""
    calls = c.calls if isinstance(c, coord.Coordinator) else c.inner.calls
    for ask in (
        lambda: c.kv.incr("x"),
        lambda: c.claim("x"),
        lambda: c.run_many([calls.bump("x"), calls.kv.incr("y")]),
        lambda: c.hold("x", wait=0.02).__enter__(),
        c.ping,
    ):
        with contextlib.suppress(coord.CoordError):
            ask()
