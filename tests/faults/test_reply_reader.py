"""Replies are read by hiredis where it is installed and in Python where it is not. Both read the same."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import QUICK, complaints

import coord
from coord.errors import ReplyError
from coord.redis.wire import PythonReader, _packed, new_reader, pack
from coord.testing.servers import Server

pytest.importorskip("hiredis", reason="hiredis is not installed: there is nothing to compare with")

LINES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20)
REPLIES = st.recursive(
    st.one_of(
        LINES.map(lambda text: b"+%b\r\n" % text.encode()),
        LINES.map(lambda text: b"-ERR %b\r\n" % text.encode()),
        st.integers(-(2**63), 2**63 - 1).map(lambda number: b":%d\r\n" % number),
        st.binary(max_size=40).map(lambda data: b"$%d\r\n%b\r\n" % (len(data), data)),
        st.sampled_from([b"$-1\r\n", b"*-1\r\n", b"*0\r\n", b"$0\r\n\r\n"]),
    ),
    lambda inner: st.lists(inner, max_size=5).map(lambda items: b"*%d\r\n" % len(items) + b"".join(items)),
    max_leaves=12,
)


def read_by(reader: Any, data: bytes, cuts: list[int]) -> list[Any]:
    """What a reader reads, given the data in pieces."""
    read: list[Any] = []
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(places):
        reader.feed(data[start:end])
        while (reply := reader.gets()) is not False:
            read.append(_plain(reply))
    return read


def _plain(reply: Any) -> Any:
    """A reply that can be compared: errors compare as their texts."""
    if isinstance(reply, ReplyError):
        return "error", str(reply)
    return [_plain(item) for item in reply] if isinstance(reply, list) else reply


@given(st.lists(REPLIES, min_size=1, max_size=6), st.lists(st.integers(0, 10_000), max_size=8))
def test_the_reader_in_python_reads_as_hiredis_does_wherever_the_bytes_are_cut(
    replies: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(replies)
    read = read_by(PythonReader(), data, cuts)
    assert read == read_by(new_reader(), data, [])
    assert len(read) == len(replies)


@given(st.lists(st.one_of(st.text(st.characters(codec="utf-8")), st.integers(), st.binary()), min_size=1, max_size=8))
def test_commands_are_packed_as_hiredis_does(words: list[Any]) -> None:
    assert _packed(tuple(words)) == pack(tuple(words))


@pytest.mark.parametrize("reader", [PythonReader, new_reader], ids=["python", "hiredis"])
def test_what_is_no_reply_breaks_the_connection(reader: Any) -> None:
    """Something else listens there: to callers it is a connection that broke."""
    read = reader()
    read.feed(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ConnectionError):
        read.gets()


BASICS = """
import sys
sys.modules["hiredis"] = None
import asyncio, coord
from coord.redis import wire
assert wire.new_reader is wire.PythonReader
with coord.connect(sys.argv[1], timeout=5) as c:
    assert c.once("a") and not c.once("a")
    with c.hold("x", ttl=5) as lease:
        assert lease.renew() and c.claim("x") is None
    assert c.kv.incr("n", 2**60) == 2**60
    assert c.kv.rpush("l", "\\u20ac", "b" * 300_000) == 2
    assert c.kv.lrange("l") == ["\\u20ac", "b" * 300_000]
    assert c.kv.get_int("nothing") is None
    c.stats("s").merge("i", a=1)
    assert c.stats("s").consume("i") == {"a": 1}
    assert [type(each) for each in c.run_many([c.calls.kv.incr("l"), c.calls.kv.incr("n")])] == [coord.WrongType, int]
async def main():
    async with coord.connect_async(sys.argv[1], timeout=5) as c:
        assert sorted(await asyncio.gather(*(c.kv.incr("m") for _ in range(500)))) == list(range(1, 501))
asyncio.run(main())
"""


def test_everything_works_without_hiredis(one_server: Server) -> None:
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-c", BASICS, one_server.url], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, complaints(ended.stderr)) == (0, "")


def test_a_server_that_speaks_something_else_is_told_as_unreachable() -> None:
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
