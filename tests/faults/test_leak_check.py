"""The leak check sees what is left behind: keys that never expire, threads, sockets, tasks."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

import coord
from coord.testing.leaks import assert_no_leaks, leaked_keys, nothing_left_behind
from coord.testing.servers import Server


def use(c: Any) -> None:
    """One of everything that writes."""
    c.once("x")
    with c.hold("x", ttl=5):
        c.bump("x")
    c.stats("s").merge("x", n=1)
    c.stats("s").consume("x")
    c.kv.incr("x")
    c.kv.sadd("s", "a")
    c.kv.rpush("l", "a")
    c.barrier("b").open(parties=1)
    c.barrier("b").arrive("m")
    c.request("r").register()
    c.request("r").add("embed", "doc")


def test_coord_leaves_no_key_without_an_end(one_server: Server, look: Any) -> None:
    with coord.connect(one_server.url) as c, coord.connect("memory://leaks") as m:
        for each in (c, m):
            use(each)
        assert_no_leaks(m)
        assert_no_leaks(look)


def test_keys_that_live_for_ever_are_listed_or_reported(one_server: Server, look: Any) -> None:
    for where, c in ((look, coord.connect(one_server.url, ttl=None)), (None, coord.connect("memory://kept", ttl=None))):
        with c:
            c.kv.incr("x")
            c.bump("y")
            found = where or c
            assert leaked_keys(found) == ["coord:kv:{x}", "coord:version:{y}"]
            assert leaked_keys(found, ["coord:version:*"]) == ["coord:kv:{x}"]
            with pytest.raises(AssertionError, match=r"1 keys have no TTL and are not on the list: coord:kv:\{x\}"):
                assert_no_leaks(found, ["coord:version:*"])
            assert_no_leaks(found, ["coord:*"])


def test_only_the_prefix_is_looked_at(look: Any) -> None:
    look.set("coord:kv:{x}", 1)
    look.set("a[b]*c:kv:{x}", 1)
    assert leaked_keys(look, prefix="other:") == []
    assert leaked_keys(look, prefix="a[b]*c:") == ["a[b]*c:kv:{x}"]


def test_a_coordinator_at_a_server_is_looked_at_through_a_client(one_server: Server) -> None:
    with coord.connect(one_server.url) as c, pytest.raises(TypeError, match="hand that in"):
        assert_no_leaks(c)


def test_what_this_process_leaves_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coord.testing.leaks.ENDING_SECONDS", 0.1)
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="forgotten")
    with pytest.raises(AssertionError, match=r"left behind: .*forgotten"), nothing_left_behind():
        thread.start()
    over.set()
    thread.join()

    left: list[socket.socket] = []
    with pytest.raises(AssertionError, match="left behind: socket:"), nothing_left_behind():
        left.append(socket.socket())
    left.pop().close()

    async def run() -> None:
        with pytest.raises(AssertionError, match="left behind: <Task pending"), nothing_left_behind():
            task = asyncio.create_task(asyncio.sleep(1))
        task.cancel()

    asyncio.run(run())
