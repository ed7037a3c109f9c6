"""Connections that broke while they were idle, and outages that are shorter than ``patience``."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from backends import Backend
from live import until
from machines import chosen, client_of, start

import coord
from coord.clock import SystemClock
from coord.redis.outage import Outage
from coord.redis.retry import AT_ONCE
from coord.testing.proxy import LossyProxy
from coord.testing.servers import Server

CONNECTIONS = 40


@pytest.fixture
def mortal() -> Iterator[Server]:
    """A private server, which a test may kill."""
    with start(chosen()) as server:
        yield server


def burst(c: Any, server: Server, count: int = CONNECTIONS) -> None:
    """Have threads open so many connections: each waits for its reply on one of its own."""
    with client_of(server) as look:
        before = look.info("clients")["connected_clients"]
    threads = [threading.Thread(target=c.kv.incr, args=("burst",)) for _ in range(count)]
    with client_of(server) as look:
        look.execute_command("CLIENT", "PAUSE", "60000", "WRITE")
        for thread in threads:
            thread.start()
        until(lambda: look.info("clients")["connected_clients"] >= before + count - 1, "the connections")
        look.execute_command("CLIENT", "UNPAUSE")
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("how", ["restarted", "killed by the server"])
def test_one_call_does_not_try_all_broken_connections(mortal: Server, how: str) -> None:
    """Forty of them are replaced at once: one new connection, and no pause."""
    with coord.connect(mortal.url, timeout=20, patience=20, remember=0) as c:
        burst(c, mortal)
        if how == "restarted":
            mortal.kill()
            mortal.start()
        else:
            with client_of(mortal) as look:
                look.client_kill_filter(_type="normal", skipme=True)
        assert c.kv.incr("x") == 1
        with client_of(mortal) as look:
            assert look.info("stats")["total_connections_received"] < CONNECTIONS + 20 or how != "restarted"
            assert len([each for each in look.client_list() if each["cmd"] != "client|list"]) <= 2


def test_silent_connections_cost_one_time_out_together(line: LossyProxy, one_server: Server) -> None:
    """A balancer forgot them all without FIN: the first one that is tried tells of the others."""
    with coord.connect(line.url, timeout=1, patience=10, remember=30) as c:
        burst(c, one_server, 8)
        before = line.connections
        line.arm("drop_reply")
        began = monotonic()
        assert c.kv.incr("x") == 1
        assert line.connections == before + 1, "it was repeated on a new connection"
        assert monotonic() - began < 9
        with client_of(one_server) as look:
            until(lambda: len([each for each in look.client_list() if each["cmd"] == "evalsha"]) <= 2, "the others")


class StandingClock(SystemClock):
    """A clock that stands still until a test moves it."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_a_connection_that_was_idle_for_too_long_is_replaced(mode: Backend, line: LossyProxy) -> None:
    """``health_check_interval`` of the URL says how long a connection is trusted; so does ``max_idle``."""
    for url, options in ((f"{line.url}?health_check_interval=30", {}), (line.url, {"max_idle": 30})):
        clock = StandingClock()
        c = mode.dial(url, timeout=20, patience=20, remember=90, clock=clock, **options)
        c.kv.incr("x")
        before = line.connections
        clock.now = 30.0
        c.kv.incr("x")
        assert line.connections == before
        clock.now = 61.0
        line.arm("drop_reply", command="PING")
        c.kv.incr("x")
        assert line.connections == before + 1


def test_an_idle_connection_is_probed_by_tcp(mode: Backend, one_server: Server) -> None:
    """So that the kernel closes a connection that was lost without a word."""
    for seconds in (15, 45):
        c = mode.dial(one_server.url, keepalive=seconds)
        c.kv.incr("x")
        assert seconds in {each for fd in Path("/proc/self/fd").iterdir() for each in probed(fd, one_server.port)}
        c.close()


def probed(fd: Path, port: int) -> list[int]:
    """After how many seconds TCP probes the connection of a descriptor to a port."""
    try:
        with socket.socket(fileno=os.dup(int(fd.name))) as copy:
            if copy.getpeername()[1] != port or not copy.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE):
                return []
            return [copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)]
    except (OSError, TypeError, IndexError):
        # No socket, or not one of TCP.
        return []


COUNTS = coord.Script("counts", "return redis.call('INCR', KEYS[1])")


@pytest.mark.parametrize("many", [False, True], ids=["single", "batch"])
def test_what_may_not_be_repeated_is_not_sent_on_a_closed_connection(
    mode: Backend, one_server: Server, many: bool
) -> None:
    """The server closed it while it was idle; nothing was sent yet, so nothing is unknown."""
    c = mode.dial(one_server.url, timeout=20, patience=20, remember=0)
    ways: list[tuple[Callable[[], Any], Any]] = [
        (lambda: c.kv.incr("n"), c.calls.kv.incr("n")),
        (lambda: c.bump("v"), c.calls.bump("v")),
        (lambda: c.stats("s").merge("r", n=1), c.calls.stats("s").merge("r", n=1)),
        (lambda: c.run(coord.Call(COUNTS, ("{x}",), (), int)), coord.Call(COUNTS, ("{x}",), (), int)),
    ]
    with client_of(one_server) as look:
        for single, call in ways:
            single()
            look.client_kill_filter(_type="normal", skipme=True)
            threading.Event().wait(0.05)
            if many:
                answers = c.run_many([call, call])
                assert not [each for each in answers if isinstance(each, Exception)]
            else:
                single()


def test_an_outage_shorter_than_patience_is_outlasted(mode: Backend, mortal: Server) -> None:
    c = mode.dial(mortal.url, timeout=20, patience=20, remember=90)
    c.kv.incr("x")
    mortal.kill()
    back = threading.Timer(1.5, mortal.start)
    back.start()
    try:
        assert c.kv.incr("x") == 1
    finally:
        back.join()


def test_an_outage_is_logged_once_when_it_begins_and_once_when_it_ends(
    mode: Backend, mortal: Server, caplog: pytest.LogCaptureFixture
) -> None:
    c = mode.dial(mortal.url, timeout=20, patience=20, remember=90)
    c.kv.incr("x")
    mortal.kill()
    back = threading.Timer(0.5, mortal.start)
    back.start()
    with caplog.at_level(logging.WARNING, "coord"):
        c.kv.incr("x")
        c.kv.incr("x")
    back.join()
    texts = [record.getMessage() for record in caplog.records if record.name == "coord"]
    begun, over = (text for text in texts if "repeat" in text)
    assert begun.startswith(f"coord repeats calls to the server at 127.0.0.1:{mortal.port}: ")
    assert f"no longer repeats calls to the server at 127.0.0.1:{mortal.port}: 1 calls, " in over


def test_a_server_that_keeps_breaking_is_reported_once_in_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    clock = SkippingClock()
    outage = Outage(clock)
    with caplog.at_level(logging.WARNING, "coord"):
        outage.begin("the server", 0, "the server before was away")
        assert not outage.on, "the calls were counted at another server"
        for _ in range(100):
            outage.begin("the server", 1, "no reply")
            outage.end("the server")
        assert len(caplog.records) == 2
        clock.skipped += 10.0
        outage.begin("the server", 3, "no reply")
        clock.skipped += 2.0
        outage.end("the server")
    assert caplog.records[-1].getMessage() == "coord no longer repeats calls to the server: 3 calls, 2.0 s"
    assert len(caplog.records) == 4


class SkippingClock(SystemClock):
    """The system's clock, ``skipped`` seconds ahead."""

    skipped = 0.0

    def monotonic(self) -> float:
        return monotonic() + self.skipped


def test_patience_counts_from_each_write_of_a_batch(mode: Backend, line: LossyProxy) -> None:
    """A loss in the second write is repeated, although the batch began longer than ``patience`` ago."""
    clock = SkippingClock()
    c = mode.dial(line.url, timeout=20, patience=20, remember=90, clock=clock)

    def end_of_first_write(reply: Any) -> int:
        clock.skipped += 30
        line.arm("reset_reply")
        return int(reply)

    calls = [c.calls.kv.incr("x") for _ in range(AT_ONCE + 2)]
    calls[AT_ONCE - 1] = calls[AT_ONCE - 1]._replace(read=end_of_first_write)
    assert c.run_many(calls) == list(range(1, AT_ONCE + 3))
    assert line.faults == {"reset_reply": 1}


GEVENT = """
from gevent import monkey; monkey.patch_all()
import signal, sys, time
import coord, gevent
from coord.testing.servers import Server, engines
with Server(engines()[sys.argv[1]]) as server:
    c = coord.connect(server.url, timeout=0.5, patience=0.5)
    c.kv.incr("x")
    server.signal(signal.SIGSTOP)
    def limited():
        try:
            return c.kv.incr("x")
        except coord.CoordError as error:
            return type(error).__name__
    call = gevent.spawn(limited)
    call.join(30)
    print(call.value if call.ready() else "STILL WAITING")
    server.signal(signal.SIGCONT)
    c.close()
"""


def test_a_time_out_is_kept_under_gevent() -> None:
    """Its sockets poll by themselves, so that the kernel's time-out would never end a call."""
    pytest.importorskip("gevent", reason="gevent is in the dependency group `loops`")
    program = [sys.executable, "-c", GEVENT, chosen()]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)
    assert ended.stdout.strip() == "OutcomeUnknown", ended.stderr
