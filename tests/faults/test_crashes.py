"""Servers that crash, freeze, and hang up, while callers go on."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from backends import Backend
from live import SOON, until
from machines import QUICK, client_of, dialled, start
from reporting import say
from storm import judged, storm

import coord
from coord.leases import held_of
from coord.testing.servers import Server

STEADY = {**QUICK, "patience": 20.0, "remember": 60.0}


@contextmanager
def meanwhile(again: Any, every: float) -> Iterator[list[int]]:
    """Do something every few moments while the ``with`` block runs."""
    over, times = threading.Event(), [0]

    def run() -> None:
        while not over.wait(every):
            again()
            times[0] += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield times
    finally:
        over.set()
        thread.join()


def test_a_server_killed_again_and_again_keeps_what_it_acknowledged(any_server: Server) -> None:
    """kill -9 under load, with appendfsync always: nothing that was answered is lost, nothing counts twice."""
    with start(any_server.engine.name, "--appendonly", "yes", "--appendfsync", "always") as server:

        def crash() -> None:
            server.kill()
            server.start()

        with coord.connect(server.url, **STEADY) as c, meanwhile(crash, 0.4) as crashes:
            told = storm(c, 8_000, threads=8)
        with client_of(server) as look:
            verdict = judged(told, look)
    assert verdict.is_clean, verdict
    assert crashes[0] >= 1
    say(f"crashes, {any_server.engine.name}: {verdict.done:,} accumulations, {crashes[0]} times kill -9: all exact")


def test_clients_killed_by_an_operator(any_server: Server) -> None:
    with client_of(any_server) as operator, coord.connect(any_server.url, **STEADY) as c:

        def kill() -> None:
            operator.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

        with meanwhile(kill, 0.01):
            told = storm(c, 8_000, threads=8)
        verdict = judged(told, operator)
    assert verdict.is_clean, verdict


def test_a_server_that_freezes_and_goes_on(mode: Backend, any_server: Server) -> None:
    """It was given up on, asked again, and then did everything that it had been asked: it counts once."""
    c = dialled(mode.dial, any_server.url, **{**QUICK, "timeout": 0.2})
    assert c.kv.incr("x") == 1
    any_server.signal(signal.SIGSTOP)
    go_on = threading.Timer(0.7, any_server.signal, (signal.SIGCONT,))
    go_on.start()
    assert c.kv.incr("x") == 2
    go_on.join()
    assert c.kv.incr("x") == 3


def test_an_idle_connection_that_the_server_closed_is_not_noticed(mode: Backend, any_server: Server) -> None:
    c = mode.dial(any_server.url, **QUICK)
    with client_of(any_server) as look:
        look.config_set("timeout", 1)
        try:
            assert c.kv.incr("x") == 1
            lease = c.claim("y", ttl=30)
            _rest(mode, 2.5)
            assert c.kv.incr("x") == 2
            assert lease.renew()
            assert c.run(coord.Call(COUNTS, ("{x}",), (), int)) == 1, "nor by a script that may not be repeated"
        finally:
            look.config_set("timeout", 0)


COUNTS = coord.Script("counts", "return redis.call('INCR', KEYS[1])")


def _rest(mode: Backend, seconds: float) -> None:
    """Let time pass; for an awaited coordinator on its loop."""
    if mode.loop is None:
        time.sleep(seconds)
    else:
        mode.loop.run_until_complete(asyncio.sleep(seconds))


def test_a_lease_lives_through_a_bad_quarter_of_its_time(any_server: Server) -> None:
    """The server is frozen for less than the lease: renewal succeeds in time, and the holder notices nothing."""
    settings = {"timeout": 0.2, "patience": 8, "remember": 30}
    with dialled(coord.connect, any_server.url, **settings) as c, c.hold("x", ttl=8) as lease:
        first = held_of(lease).deadline
        any_server.signal(signal.SIGSTOP)
        time.sleep(3.0)
        any_server.signal(signal.SIGCONT)
        until(lambda: held_of(lease).deadline > first, "the renewal that is late")
        second = held_of(lease).deadline
        until(lambda: held_of(lease).deadline > second, "the renewal after it")
        assert not lease.lost.is_set()
        lease.ensure_held()


def test_a_foreign_value_at_the_key_of_a_lease_does_not_end_the_renewal_of_others(any_server: Server) -> None:
    with client_of(any_server) as look, coord.connect(any_server.url, **QUICK) as c:
        other = c.hold("other", ttl=6)
        with other as kept:
            broken = c.claim("broken", ttl=3)
            assert broken is not None
            held = c.hold("list", ttl=3)
            lease = held.__enter__()
            look.delete("coord:claim:{list}")
            look.rpush("coord:claim:{list}", "what is this")
            assert lease.lost.wait(SOON), "the holder learns of it"
            before = held_of(kept).deadline
            until(lambda: held_of(kept).deadline > before, "another renewal")
            assert not kept.lost.is_set()
            look.delete("coord:claim:{list}")
            held.__exit__(KeyError, KeyError(), None)
