"""You learn when a lease is lost: one that was taken or ran out says so while its holder works."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from contextlib import ExitStack
from time import monotonic
from typing import Any

import pytest
from backends import Backend
from holding import JOB, LATE, TTL, UNHURRIED, count_renewals, in_background, told_of_the_loss
from live import SOON, Live, run, until, until_async

import coord
from coord.coordinator import runner_of
from coord.leases import held_of
from coord.testing.servers import Engine, Server

pytest_plugins = ("live_fixtures", "hold_fixtures")


@pytest.mark.usefixtures("brisk")
def test_a_lease_that_was_taken_is_lost_at_the_next_renewal(live: Live) -> None:
    """The key is gone, and another has the name: the holder learns it while it works, and when it leaves."""
    with live.connect() as c:
        with told_of_the_loss(), c.hold("job", ttl=TTL) as lease:
            live.lose(JOB)
            other = c.claim("job", ttl=60)
            assert lease.lost.wait(SOON)
            assert lease.expires_in == 0.0
            with pytest.raises(coord.LeaseLost):
                lease.ensure_held()
        assert other is not None
        assert c.holder("job").fence == other.fence


@pytest.mark.usefixtures("brisk")
def test_a_lease_that_was_taken_is_lost_to_a_task(live: Live) -> None:
    """The same, awaited: the event is one of asyncio."""

    async def main() -> None:
        async with live.connect_async() as c:
            with told_of_the_loss():
                async with c.hold("job", ttl=TTL) as lease:
                    live.lose(JOB)
                    assert isinstance(lease.lost, asyncio.Event)
                    await asyncio.wait_for(lease.lost.wait(), SOON)

    run(main())


def test_the_event_of_a_thread_is_one_of_threading(c: Any, backend: Backend) -> None:
    """``lost`` is an event of asyncio for tasks, and one of threading for threads."""
    with c.hold("job") as lease:
        assert isinstance(lease.lost, asyncio.Event if backend.line.awaited else threading.Event)
        assert not lease.lost.is_set()


@pytest.mark.usefixtures("brisk")
def test_a_loss_does_not_hide_what_went_wrong_in_the_block(live: Live) -> None:
    """Another exception on its way out of the block is not replaced by ``LeaseLost``."""

    def block() -> None:
        with c.hold("job", ttl=TTL) as lease:
            live.lose(JOB)
            assert lease.lost.wait(SOON)
            raise ZeroDivisionError

    with live.connect() as c, pytest.raises(ZeroDivisionError):
        block()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_silent_server_is_a_loss_when_the_ttl_has_passed(engine: Engine, how: str) -> None:
    """A holder that cannot renew gives up by its own clock, not before its time and not later than the TTL.

    A single call would wait for its answer far longer.
    """
    ttl = 1.5
    with Server(engine) as server, coord.connect(server.url, **UNHURRIED) as c:
        before = monotonic()
        with told_of_the_loss(), c.hold("job", ttl=ttl) as lease:
            server.signal(signal.SIGSTOP if how == "stopped" else signal.SIGKILL)
            silent = monotonic()
            assert lease.lost.wait(SOON)
            assert_lost_in_time(lease, before, silent)
        server.signal(signal.SIGCONT)


def assert_lost_in_time(lease: Any, granted: float, silent: float) -> None:
    """Fail unless the loss is reported now, at the end of the lease by its holder's clock: as it was renewed last."""
    ttl = held_of(lease).ttl_ms / 1000
    assert granted + 0.9 * ttl < held_of(lease).deadline <= silent + ttl
    assert held_of(lease).deadline <= monotonic() < held_of(lease).deadline + LATE


@pytest.mark.slow
def test_a_silent_server_is_a_loss_to_a_task(engine: Engine) -> None:
    """The same, awaited."""
    ttl = 1.5

    async def main() -> None:
        async with coord.connect_async(server.url, **UNHURRIED) as c:
            before = monotonic()
            with told_of_the_loss():
                async with c.hold("job", ttl=ttl) as lease:
                    server.signal(signal.SIGSTOP)
                    silent = monotonic()
                    await asyncio.wait_for(lease.lost.wait(), SOON)
                    assert_lost_in_time(lease, before, silent)
            server.signal(signal.SIGCONT)

    with Server(engine) as server:
        run(main())


@pytest.mark.slow
def test_the_losses_of_many_leases_are_noticed_in_time(engine: Engine) -> None:
    """A server that does not answer for one lease does not keep the others from learning their loss."""
    with Server(engine) as server, coord.connect(server.url, **UNHURRIED) as c, ExitStack() as stack:
        # One after the other, each asked for as long as it may be, they would be a minute late.
        before = monotonic()
        held = [stack.enter_context(c.hold(f"job-{number}", ttl=3.0 + number / 30)) for number in range(60)]
        server.signal(signal.SIGSTOP)
        silent = monotonic()
        for lease in held:
            assert lease.lost.wait(SOON)
            assert_lost_in_time(lease, before, silent)
        server.signal(signal.SIGCONT)
        with pytest.raises(coord.LeaseLost):
            stack.close()


def test_a_lease_that_nobody_renews_is_lost_by_time(live: Live) -> None:
    """A claim without a block is watched too, once somebody asks for its event."""
    with live.connect() as c:
        lease = c.claim("job", ttl=0.2)
        assert lease is not None
        assert lease.lost.wait(SOON)
        assert lease.renew() is False


def test_the_event_of_a_loss_looks_at_the_clock(backend: Backend, c: Any) -> None:
    """The watch may be late, as in a loop that the holder blocks: asking the lease gives the truth all the same."""
    lease = c.claim("job", ttl=30)
    lost = lease.lost
    assert not lost.is_set()
    backend.later(31)
    assert lost.is_set()
    assert lease.lost is lost


def test_watching_a_loss_ends_with_the_lease(live: Live) -> None:
    """Once a lease is released nothing is followed in the background for it."""
    before = threading.active_count()
    with live.connect() as c:
        lease = c.claim("job", ttl=3600)
        assert lease is not None
        assert not lease.lost.is_set()
        assert threading.active_count() == before + 1
        lease.release()
        until(lambda: threading.active_count() == before, "the end of the watch")


def test_watching_a_loss_ends_with_the_lease_of_a_task(live: Live) -> None:
    """The same, awaited: no task stays, though the lease was for an hour."""

    async def main() -> None:
        before = asyncio.all_tasks()
        async with live.connect_async() as c:
            async with c.hold("job", ttl=3600) as lease:
                assert not lease.lost.is_set()
            lease = await c.claim("job", ttl=3600)
            assert not lease.lost.is_set()
            await lease.release()
            await until_async(lambda: asyncio.all_tasks() == before, "the end of the watch")

    run(main())


@pytest.mark.slow
@pytest.mark.usefixtures("brisk")
def test_a_foreign_value_at_the_key_ends_no_other_lease(live_server: Live) -> None:
    """A value of another kind makes renewals fail; the worker goes on for the other leases."""
    with live_server.connect() as c, c.hold("other", ttl=TTL) as other:
        with told_of_the_loss(), c.hold("job", ttl=TTL) as lease:
            live_server.lose(JOB)
            live_server.client.rpush(JOB, "foreign")
            live_server.client.pexpire(JOB, 60_000)
            assert lease.lost.wait(SOON)
        assert count_renewals(other, 3).wait(SOON)
        assert not other.lost.is_set()


def failing_in_the_background(c: coord.Coordinator) -> threading.Event:
    """Return an event: once it is set, background calls meet a fault that nobody foresaw."""
    begun = threading.Event()

    def fail(runner: Any) -> None:
        run_many = runner.run_many

        async def failing(calls: Any, within: float | None = None) -> list[Any]:
            answers: list[Any] = await run_many(calls, within)
            return [ZeroDivisionError("unforeseen") for _ in calls] if begun.is_set() else answers

        runner.run_many = failing

    in_background(c, fail)
    return begun


@pytest.mark.usefixtures("brisk")
def test_a_renewal_that_cannot_be_made_at_all_is_logged(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """Work in the background that fails for a reason nobody foresaw says once what it was, and why it ended."""
    with live.connect() as c:
        failing = failing_in_the_background(c)
        with c.hold("job", ttl=TTL):
            failing.set()
            until(lambda: caplog.records, "the log line")
    assert_logged_once(caplog)


@pytest.mark.usefixtures("brisk")
def test_a_lease_that_nobody_renews_any_more_is_lost_in_time(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever ended its renewals: the loss comes at its deadline, also to a holder that only waits for it."""
    with live.connect() as c:
        failing = failing_in_the_background(c)
        with told_of_the_loss(), c.hold("job", ttl=2) as lease:
            failing.set()
            until(lambda: caplog.records, "the log line")
            assert held_of(lease).lost.event(threading.Event).wait(SOON)
            failing.clear()
    assert_logged_once(caplog)


@pytest.mark.slow
@pytest.mark.usefixtures("brisk")
def test_a_renewal_of_a_task_that_cannot_be_made_at_all_is_logged(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """The same, awaited; asyncio, which nobody asked, says nothing."""

    async def main() -> None:
        async with live.connect_async() as c:
            runner = runner_of(c)
            run_many = runner.run_many

            async def failing(calls: Any, within: float | None = None) -> list[Any]:
                return [ZeroDivisionError("unforeseen") for _ in calls]

            async with c.hold("job", ttl=TTL):
                runner.run_many = failing
                await until_async(lambda: caplog.records, "the log line")
                runner.run_many = run_many

    run(main())
    gc.collect()
    assert_logged_once(caplog)


def assert_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """One line, by coord, with the error."""
    (record,) = caplog.records
    assert (record.name, record.getMessage()) == ("coord", "coord: background work failed: renew until over")
    assert "unforeseen" in caplog.text
