"""Exceptions that are thrown into a claim, grants that come too late, and children of a fork inside a block."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from forked import forks, in_child
from live import until, until_async, waiters
from machines import client_of

import coord
from coord.testing.servers import Server


class JobTimeoutError(Exception):
    """As job libraries raise it from a signal handler when a job's time is over."""


@contextmanager
def time_limit(seconds: float, error: type[BaseException]) -> Iterator[None]:
    """Raise an exception in this thread after so many seconds, as the time limit of a job does."""

    def handler(*_: Any) -> None:
        raise error

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def standing_still(server: Server) -> Iterator[None]:
    """Have the server stand still while the ``with`` block runs."""
    server.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.signal(signal.SIGCONT)


@pytest.mark.parametrize("error", [JobTimeoutError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("ask", ["claim", "hold"])
def test_any_exception_thrown_into_asking_leaves_nothing_held(
    any_server: Server, ask: str, error: type[BaseException]
) -> None:
    """The server runs the claim after its caller was interrupted; the claim is given back in the background."""
    with coord.connect(any_server.url, timeout=3, patience=3) as c:
        c.claim("warm").release()  # type: ignore[union-attr]  # it is free
        asking = {"claim": lambda: c.claim("job", ttl=3600), "hold": lambda: c.hold("job", ttl=3600).__enter__()}[ask]
        with standing_still(any_server), pytest.raises(error), time_limit(0.2, error):
            asking()
        until(lambda: c.holder("job") is None and not _held(any_server), "the claim to be given back")


def _held(server: Server) -> bool:
    with client_of(server) as look:
        kept = look.get("coord:claim:{job}")
    return kept is None or not str(kept).startswith("|")


@pytest.mark.parametrize("error", [JobTimeoutError, KeyboardInterrupt])
def test_any_exception_thrown_into_leaving_a_block_leaves_nothing_held(
    any_server: Server, error: type[BaseException]
) -> None:
    with coord.connect(any_server.url, timeout=3, patience=3) as c:
        hold = c.hold("job", ttl=3600)
        lease = hold.__enter__()
        with standing_still(any_server), pytest.raises(error), time_limit(0.2, error):
            hold.__exit__(None, None, None)
        until(lambda: c.holder("job") is None, "the release")
        assert lease.renew() is False


@pytest.mark.parametrize("ask", ["claim", "hold"])
def test_a_grant_that_comes_after_its_own_deadline_is_not_handed_out(any_server: Server, ask: str) -> None:
    """A claim answers None then, and a hold asks again."""
    with coord.connect(any_server.url) as c:
        c.claim("warm").release()  # type: ignore[union-attr]  # it is free
        any_server.signal(signal.SIGSTOP)
        wake = threading.Timer(0.6, any_server.signal, (signal.SIGCONT,))
        wake.start()
        try:
            if ask == "claim":
                assert c.claim("late", ttl=0.2) is None
            else:
                with c.hold("late", ttl=0.4, wait=30) as lease:
                    assert not lease.lost.is_set()
        finally:
            wake.join()


@forks
def test_a_child_that_leaves_the_block_does_not_release_its_parent_s_lease(any_server: Server) -> None:
    with coord.connect(any_server.url) as c:
        hold = c.hold("job", ttl=30)
        lease = hold.__enter__()
        assert in_child(lambda: hold.__exit__(None, None, None)) == "None"
        assert c.holder("job").fence == lease.fence  # type: ignore[union-attr]  # it is held
        hold.__exit__(None, None, None)
        assert c.holder("job") is None


def test_a_ping_takes_no_longer_than_the_time_out(any_server: Server) -> None:
    """Seconds while the server answers, ``Unavailable`` once it does not; a view has time-outs of its own."""
    with coord.connect(any_server.url, timeout=5, patience=5) as c:
        assert 0 < c.ping() < 5
        view = c.with_options(timeout=0.2, patience=0.2)
        assert view.once("job")
        assert not c.once("job")
        began = time.monotonic()
        with standing_still(any_server), pytest.raises(coord.Unavailable):
            view.ping()
        assert time.monotonic() - began < 4
        view.close()
        assert c.ping() > 0


def test_cancelled_waiters_that_never_asked_send_nothing(any_server: Server) -> None:
    """They were behind others in line: there is nothing to give back."""

    async def main() -> None:
        async with coord.connect_async(any_server.url) as c, c.hold("job", ttl=600):
            with client_of(any_server) as look:

                async def wait() -> None:
                    async with c.hold("job", ttl=600):
                        pass

                tasks = [asyncio.create_task(wait())]
                await until_async(lambda: waiters(c, "coord:claim:{job}") == 1, "the first in line")
                tasks += [asyncio.create_task(wait()) for _ in range(499)]
                await until_async(lambda: waiters(c, "coord:claim:{job}") == 500, "the waiters")
                before = look.info("commandstats")["cmdstat_evalsha"]["calls"]
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                # The first in line had asked.
                assert look.info("commandstats")["cmdstat_evalsha"]["calls"] <= before + 2
                assert len(look.keys("*:tombstone:*")) <= 1

    asyncio.run(main())


def test_leaving_a_block_takes_no_longer_than_the_lease_lives(any_server: Server) -> None:
    with coord.connect(any_server.url) as c:
        hold = c.hold("job", ttl=1, renew=False)
        hold.__enter__()
        began = time.monotonic()
        with standing_still(any_server), pytest.raises(coord.CoordError):
            hold.__exit__(None, None, None)
        assert time.monotonic() - began < 10
