"""Holding a name while a block runs: waiting for it, renewing it, and being told when it is lost."""

from __future__ import annotations

import asyncio
import dis
import gc
import inspect
import random
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import Any, Self

import pytest
from backends import Backend
from forked import Child, forks, in_child
from live import SOON, Live, Thread, run, until, until_async, waiters

import coord
from coord import leases
from coord.leases import _renewing, keep_renewed
from coord.plan import Sleep, WithTimeout
from coord.testing.servers import Engine, Server

pytest_plugins = ("live_fixtures",)

JOB = "coord:claim:{job}"
TTL = 6.0
"""Seconds that a lease lasts without renewal: long enough for a machine that stands still for a moment."""
LATE = 10.0
"""Seconds after which something is late, on a busy machine too."""
UNHURRIED: dict[str, Any] = {"timeout": 60.0, "patience": 60.0, "remember": 300.0}
"""Settings under which a call by itself waits for its answer until long after it is late."""


def renew_every(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let leases be renewed after this pause, where a third of their TTL would be longer."""

    def shorter(pause: float, late: float | None = None) -> Sleep:
        # What nobody renews is followed to its end, in one pause that may not be late at all.
        return Sleep(min(pause, seconds) if late else pause, late)

    monkeypatch.setattr(leases, "Sleep", shorter)


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases are renewed long before they have to be: the test is quick, though they last long."""
    renew_every(0.05, monkeypatch)


@pytest.fixture
def last_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last look of a wait may take long: that it is answered is what the test is about."""
    monkeypatch.setattr("coord.plan._LAST_LOOK", LATE)


# --- getting and leaving -------------------------------------------------------------------------


def test_a_block_holds_a_name(c: Any) -> None:
    """Inside the block the name is held; after it the name is free."""
    with c.hold("job", ttl=30) as lease:
        assert c.holder("job").fence == lease.fence
        assert c.claim("job") is None
    assert c.holder("job") is None


def test_a_block_that_fails_lets_go(c: Any) -> None:
    """An exception leaves the block as it is, and the name is free."""
    with pytest.raises(ZeroDivisionError), c.hold("job"):
        raise ZeroDivisionError
    assert c.holder("job") is None


def test_fences_grow_from_block_to_block(c: Any) -> None:
    """Each block has a fence above the one before."""
    fences = []
    for _ in range(5):
        with c.hold("job") as lease:
            fences.append(lease.fence)
    assert fences == sorted(set(fences))


def test_a_hold_can_be_used_again(c: Any) -> None:
    """What ``hold`` returns may be entered once more, and holds anew."""
    hold = c.hold("job")
    with hold as first:
        pass
    with hold as second:
        assert c.holder("job").fence == second.fence > first.fence
    assert c.holder("job") is None


def test_a_hold_is_entered_by_one_block_at_a_time(backend: Backend, c: Any) -> None:
    """Two leases in one ``hold`` would be let go for one another: the second block is refused before it claims."""
    hold = c.hold("job")
    with hold as lease:
        with backend.untouched(), pytest.raises(RuntimeError, match="this hold of 'job' is entered already"):
            hold.__enter__()
        assert c.holder("job").fence == lease.fence
    assert c.holder("job") is None
    with hold:
        assert c.holder("job") is not None


def test_a_hold_that_was_not_got_can_be_tried_again(live: Live) -> None:
    """Who waited in vain is not inside."""
    with live.connect() as c:
        hold = c.hold("job", wait=0.05)
        with c.hold("job"), pytest.raises(coord.WaitTimeout):
            hold.__enter__()
        with hold as lease:
            assert c.holder("job").fence == lease.fence


def test_a_lease_released_inside_its_block_is_not_lost(c: Any) -> None:
    """Who lets go early is not told of a loss when the block ends."""
    with c.hold("job") as lease:
        assert lease.release() is True
        assert c.holder("job") is None
    assert not lease.lost.is_set()


@pytest.mark.parametrize("wrong", [{"ttl": 0}, {"ttl": -1}, {"wait": 0}, {"ttl": True}, {"wait": float("nan")}])
def test_times_that_make_no_sense_are_refused(c: Any, wrong: dict[str, Any]) -> None:
    """A TTL or a wait of nothing is an error before anything is sent."""
    with pytest.raises(ValueError, match=r"ttl|wait"), c.hold("job", **wrong):
        pass
    assert c.holder("job") is None


@pytest.mark.usefixtures("last_look")
def test_a_wait_that_is_over_says_so(live: Live) -> None:
    """``wait`` seconds, and then ``WaitTimeout``, which is a ``TimeoutError`` too; nothing stays behind."""
    with live.connect() as c, c.hold("job"):
        started = monotonic()
        with (
            pytest.raises(coord.WaitTimeout, match=r"'job' was not free within 0\.1 s") as raised,
            c.hold("job", wait=0.1),
        ):
            pass
        assert monotonic() - started >= 0.1
        assert isinstance(raised.value, TimeoutError)
        assert waiters(c, JOB) == 0


def test_a_wait_that_is_over_says_so_to_a_task(live: Live) -> None:
    """The same, awaited."""

    async def main() -> None:
        async with live.connect_async() as c, c.hold("job"):
            with pytest.raises(coord.WaitTimeout):
                async with c.hold("job", wait=0.1):
                    pass
            assert waiters(c, JOB) == 0

    run(main())


# --- renewal -------------------------------------------------------------------------------------


def drive(plan: Generator[Any, Any, None], backend: Backend, c: Any, steps: int) -> float:
    """Follow a plan in virtual time for some steps; return the seconds that it let pass."""
    passed, result = 0.0, None
    for _ in range(steps):
        step = plan.send(result)
        result = None
        match step:
            case Sleep():
                backend.later(step.seconds)
                passed += step.seconds
            case WithTimeout():
                result = c.run(step.call)
    return passed


def test_renewal_keeps_a_lease_over_many_ttls(backend: Backend, c: Any) -> None:
    """At a third of its TTL the lease is renewed, again and again, and stays the same one."""
    with c.hold("job", ttl=30, renew=False) as lease:
        held = getattr(lease, "inner", lease)
        plan = keep_renewed(held, lambda: held)
        assert drive(plan, backend, c, steps=40) > 6 * 30
        plan.close()
        assert c.holder("job").fence == lease.fence
        assert not held._is_lost


def test_without_renewal_the_block_may_outlast_its_lease(backend: Backend, c: Any) -> None:
    """``renew=False``: when its time is over the lease is lost, and leaving the block says so."""
    with told_of_the_loss(), c.hold("job", ttl=30, renew=False) as lease:
        backend.later(31)
        assert lease.lost.is_set()


@pytest.mark.usefixtures("brisk")
def test_renewal_goes_on_while_a_block_runs(live: Live) -> None:
    """In real time: the lease is renewed again and again, and the block still has it."""
    with live.connect() as c, c.hold("job", ttl=TTL) as lease:
        renewed = _count_renewals(lease, 8)
        assert renewed.wait(SOON)
        assert not lease.lost.is_set()
        assert c.holder("job") is not None


@pytest.mark.usefixtures("brisk")
def test_renewal_goes_on_while_an_awaited_block_runs(live: Live) -> None:
    """The same, awaited."""

    async def main() -> None:
        async with live.connect_async() as c, c.hold("job", ttl=TTL) as lease:
            renewed = _count_renewals(lease, 8)
            await until_async(renewed.is_set, "eight renewals")
            assert not lease.lost.is_set()
            assert await c.holder("job") is not None

    run(main())


def _count_renewals(lease: Any, times: int) -> threading.Event:
    """Return an event that is set when a lease has been renewed so many times from now on."""
    done, count, end_renewal = threading.Event(), iter(range(1, times)), lease._end_renewal

    def counted(sent: Any, *, renewed: bool) -> None:
        end_renewal(sent, renewed=renewed)
        if renewed and next(count, None) is None:
            done.set()

    lease._end_renewal = counted
    return done


@pytest.mark.usefixtures("brisk")
def test_fifty_leases_are_renewed_by_one_thread(live: Live) -> None:
    """A coordinator has one worker for all its leases, and it ends with the last of them."""
    before = threading.active_count()
    with live.connect() as c:
        with ExitStack() as stack:
            leases = [stack.enter_context(c.hold(f"job-{number}", ttl=TTL)) for number in range(50)]
            renewed = [_count_renewals(lease, 3) for lease in leases]
            assert threading.active_count() == before + 1
            assert all(event.wait(SOON) for event in renewed)
            assert not any(lease.lost.is_set() for lease in leases)
        until(lambda: threading.active_count() == before, "the end of the worker")


def test_leases_that_were_let_go_leave_nothing_with_the_keeper(live: Live) -> None:
    """What was planned for them, hours ahead, is thrown out long before: it does not add up."""
    with live.connect() as c, c.hold("first", ttl=86_400):
        for _ in range(300):
            with c.hold("job", ttl=86_400) as lease:
                until(lambda lease=lease: lease._job in _parked(lease._job.worker), "the pause")
        worker = lease._job.worker
        assert len(worker._parked) < 200
        assert len(worker._limits) < 200


def _parked(worker: Any) -> list[Any]:
    """The jobs for which a worker has something planned."""
    with worker._changed:
        return [entry[3] for entry in worker._parked._heap]


@pytest.mark.slow
def test_slow_answers_do_not_cost_the_other_leases_their_renewal(live_server: Live) -> None:
    """Many leases fall due one after the other; a call is still given the time that a distant server needs."""
    with live_server.connect() as c, ExitStack() as stack:
        runner, slow = c._runner, threading.Event()
        run_many = runner.run_many

        def far(calls: Any, within: float | None = None) -> list[Any]:
            if slow.wait(0.04) or (within is not None and within < 0.04):
                return [coord.Unavailable("too far away") for _ in calls]
            return run_many(calls, within)

        runner.run_many = far
        leases = [stack.enter_context(c.hold(f"job-{number}", ttl=TTL)) for number in range(30)]
        renewed = [_count_renewals(lease, 2) for lease in leases]
        assert all(event.wait(SOON) for event in renewed)
        assert not any(lease.lost.is_set() for lease in leases)
        del runner.run_many


@pytest.mark.slow
@pytest.mark.usefixtures("brisk")
def test_a_server_that_refuses_for_a_while_costs_no_lease(engine: Engine) -> None:
    """One renewal that fails is made up for in time: a paused server, a refusal, a dropped connection."""
    with Server(engine) as server, coord.connect(server.url) as c, c.hold("job", ttl=9) as lease:
        missed = _first_failure(c)
        server.signal(signal.SIGSTOP)
        assert missed.wait(SOON)
        server.signal(signal.SIGCONT)
        assert _count_renewals(lease, 2).wait(SOON)
        assert not lease.lost.is_set()
        assert c.holder("job").fence == lease.fence


def _first_failure(c: coord.Coordinator) -> threading.Event:
    """Return an event that is set when a background call of a coordinator has failed."""
    failed, runner = threading.Event(), c._runner
    run_many = runner.run_many

    def watched(calls: Any, within: float | None = None) -> list[Any]:
        answers = run_many(calls, within)
        if any(isinstance(answer, Exception) for answer in answers):
            failed.set()
        return answers

    runner.run_many = watched  # type: ignore[method-assign]
    return failed


@pytest.mark.slow
def test_a_shorter_renewal_by_hand_is_renewed_in_time(live: Live) -> None:
    """Who renews by hand for less time moves the next renewal too."""
    with live.connect() as c, c.hold("job", ttl=60) as lease:
        assert lease.renew(ttl=TTL) is True
        assert _count_renewals(lease, 2).wait(SOON)
        assert not lease.lost.is_set()


class Sent:
    """A renewal, followed by hand: sent when it is made, taken by the server and answered when the test says so."""

    def __init__(self, lease: Any, ttl: float) -> None:
        self._plan = _renewing(lease, ttl)
        self._call = next(self._plan)
        self._answer: Any = None

    def taken(self, c: Any) -> None:
        self._answer = c.run(self._call)

    def answered(self) -> bool:
        with pytest.raises(StopIteration) as ended:
            self._plan.send(self._answer)
        return bool(ended.value.value)

    def failed(self) -> None:
        with pytest.raises(coord.OutcomeUnknown):
            self._plan.throw(coord.OutcomeUnknown("the reply was lost"))


@pytest.mark.parametrize("first_answered", ["short", "long"])
@pytest.mark.parametrize("first_taken", ["short", "long"])
def test_of_renewals_that_cross_the_shortest_counts(
    backend: Backend, c: Any, first_taken: str, first_answered: str
) -> None:
    """Two are on their way, and the holder cannot know which the server takes last: it never believes too much."""
    lease = c.claim("job", ttl=2)
    held = getattr(lease, "inner", lease)
    sent = {"long": Sent(held, 300), "short": Sent(held, 2)}
    for each in sorted(sent, key=lambda name: name != first_taken):
        sent[each].taken(c)
    backend.later(1)
    for each in sorted(sent, key=lambda name: name != first_answered):
        assert sent[each].answered() is True
        assert 0 < lease.expires_in <= 1
    assert lease.renew(ttl=300) is True
    assert lease.expires_in > 290


def test_a_shorter_renewal_counts_as_soon_as_it_is_sent(backend: Backend, c: Any) -> None:
    """The server may take it at once and answer late: the holder counts on no more from then on."""
    lease = c.claim("job", ttl=300)
    held = getattr(lease, "inner", lease)
    sent = Sent(held, 2)
    assert lease.expires_in <= 2
    sent.taken(c)
    backend.later(3)
    assert lease.lost.is_set()
    assert sent.answered() is False


def test_a_renewal_that_failed_may_come_after_the_next(c: Any) -> None:
    """Its reply was lost, not it: it is counted until a renewal that was sent later has been answered."""
    lease = c.claim("job", ttl=2)
    held = getattr(lease, "inner", lease)
    late = Sent(held, 2)
    late.failed()
    assert lease.renew(ttl=300) is True
    late.taken(c)
    assert lease.expires_in <= 2
    assert lease.renew() is True
    assert lease.expires_in > 290


# --- loss is told --------------------------------------------------------------------------------


@contextmanager
def told_of_the_loss() -> Generator[None]:
    """Leaving the block that is inside raises ``LeaseLost``."""
    with pytest.raises(coord.LeaseLost, match=r"the lease of 'job' .* ran out or was taken"):
        yield


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
    """``lost`` is what its world waits on."""
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
    """Fail unless the loss is told now, at the end of the lease by its holder's clock: as it was renewed last."""
    ttl = lease._ttl_ms / 1000
    assert granted + 0.9 * ttl < lease._deadline <= silent + ttl
    assert lease._deadline <= monotonic() < lease._deadline + LATE


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
def test_the_losses_of_many_leases_are_told_in_time(engine: Engine) -> None:
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
    """Who watches may be late, as a loop that the holder himself has blocked: whoever asks is told the truth."""
    lease = c.claim("job", ttl=30)
    lost = lease.lost
    assert not lost.is_set()
    backend.later(31)
    assert lost.is_set()
    assert lease.lost is lost


def test_watching_a_loss_ends_with_the_lease(live: Live) -> None:
    """Once a lease is let go nothing is followed in the background for it."""
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
def test_a_stranger_at_the_key_ends_no_other_lease(live_server: Live) -> None:
    """A value of another kind makes renewals fail; the worker goes on for the other leases."""
    with live_server.connect() as c, c.hold("other", ttl=TTL) as other:
        with told_of_the_loss(), c.hold("job", ttl=TTL) as lease:
            live_server.lose(JOB)
            live_server.client.rpush(JOB, "stranger")
            live_server.client.pexpire(JOB, 60_000)
            assert lease.lost.wait(SOON)
        assert _count_renewals(other, 3).wait(SOON)
        assert not other.lost.is_set()


@contextmanager
def failing_in_the_background(c: coord.Coordinator) -> Generator[None]:
    """What is asked in the background meets a fault that nobody foresaw."""

    def failing(calls: Any, within: float | None = None) -> list[Any]:
        return [ZeroDivisionError("unforeseen") for _ in calls]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(c._runner, "run_many", failing)
        yield


@pytest.mark.usefixtures("brisk")
def test_a_renewal_that_cannot_be_made_at_all_is_logged(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """Work in the background that fails for a reason nobody foresaw says once what it was, and why it ended."""
    with live.connect() as c, c.hold("job", ttl=TTL), failing_in_the_background(c):
        until(lambda: caplog.records, "the log line")
    assert_logged_once(caplog)


@pytest.mark.usefixtures("brisk")
def test_a_lease_that_nobody_renews_any_more_is_lost_in_time(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever ended its renewals: the loss is told at its deadline, also to who does nothing but wait for it."""
    with live.connect() as c, told_of_the_loss(), c.hold("job", ttl=0.5) as lease, failing_in_the_background(c):
        assert lease._lost.event(threading.Event).wait(SOON)
    assert_logged_once(caplog)


@pytest.mark.usefixtures("brisk")
def test_a_renewal_of_a_task_that_cannot_be_made_at_all_is_logged(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """The same, awaited; asyncio, which nobody asked, says nothing."""

    async def main() -> None:
        async with live.connect_async() as c:
            runner = c._runner
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


# --- renewal never outlives release --------------------------------------------------------------


def test_no_renewal_comes_after_the_release(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """However close the two come, who releases is not told of a loss, and the name is free afterwards."""
    with live.connect() as c:
        for number in range(60):
            renew_every(number / 10_000, monkeypatch)
            with c.hold(f"job-{number}", ttl=60) as lease:
                # Sometimes before, sometimes after, and sometimes in the middle of it.
                _count_renewals(lease, 2).wait(0.005)
                assert lease.release() is True
                assert not lease.lost.is_set()
            assert c.holder(f"job-{number}") is None


def test_a_block_that_cannot_be_left_is_not_renewed_for_good(live: Live) -> None:
    """When the block is gone and nobody released, renewal ends, and the lease with its TTL."""
    with live.connect() as c:
        hold = c.hold("job", ttl=0.2)
        lease = hold.__enter__()
        del hold
        assert lease.lost.wait(SOON)
        until(lambda: c.holder("job") is None, "the end of the lease")


# --- taking turns --------------------------------------------------------------------------------


def test_threads_get_a_name_in_the_order_in_which_they_came(live: Live) -> None:
    """Of the waiters of one process, the one that has waited longest is next."""
    order: list[int] = []

    def work(number: int) -> None:
        with c.hold("job", ttl=30):
            order.append(number)

    with live.connect() as c:
        with c.hold("job"):
            threads = []
            for number in range(12):
                threads.append(Thread(lambda number=number: work(number)))
                until(lambda number=number: waiters(c, JOB) == number + 1, "a waiter")
        for thread in threads:
            thread.result()
    assert order == list(range(12))


def test_tasks_get_a_name_in_the_order_in_which_they_came(live: Live) -> None:
    """The same, awaited."""

    async def main() -> None:
        order: list[int] = []

        async def work(number: int) -> None:
            async with c.hold("job", ttl=30):
                order.append(number)

        async with live.connect_async() as c:
            async with c.hold("job"):
                tasks = []
                for number in range(12):
                    tasks.append(asyncio.create_task(work(number)))
                    await until_async(lambda number=number: waiters(c, JOB) == number + 1, "a waiter")
            await asyncio.gather(*tasks)
        assert order == list(range(12))

    run(main())


def test_who_comes_back_for_more_waits_behind_those_who_wait(live: Live) -> None:
    """A loop that holds a name again and again does not starve a waiter of the same process."""
    rounds, got = [], threading.Event()

    def wait_for_it() -> None:
        with c.hold("job"):
            got.set()

    with live.connect() as c:
        with c.hold("job"):
            waiter = Thread(wait_for_it)
            until(lambda: waiters(c, JOB) == 1, "the waiter")
        while not got.is_set():
            with c.hold("job"):
                rounds.append(1)
        waiter.result()
    assert len(rounds) <= 2


@pytest.mark.slow
def test_who_gives_up_waiting_is_passed_over(live: Live) -> None:
    """The first in the line leaves; the second is next."""
    with live.connect() as c:
        with c.hold("job"):
            first = Thread(lambda: c.hold("job", wait=3).__enter__())
            until(lambda: waiters(c, JOB) == 1, "the first waiter")
            second = Thread(lambda: c.hold("job").__enter__().release())
            until(lambda: waiters(c, JOB) == 2, "the second waiter")
            with pytest.raises(coord.WaitTimeout):
                first.result()
        assert second.result() is True


def test_a_waiter_takes_over_when_the_holder_dies(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that ends by itself publishes nothing; who waits knows when it ends."""
    monkeypatch.setattr(leases, "_LOOK_AGAIN", 3600.0)
    monkeypatch.setattr(leases, "_LOOK_AGAIN_UNHEARD", 3600.0)
    with live.connect() as c:
        dead = c.claim("job", ttl=0.4)
        started = monotonic()
        with c.hold("job", wait=SOON) as lease:
            assert lease.fence > dead.fence
            assert monotonic() - started < SOON / 2, "not only at the end of its wait"


# --- no thread can be started ---------------------------------------------------------------------


@contextmanager
def no_thread(name: str) -> Generator[None]:
    """The system has no thread left for what is inside."""
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name == name:
            raise RuntimeError("can't start new thread")
        start(thread)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        yield


@pytest.mark.usefixtures("brisk")
def test_a_keeper_that_cannot_be_started_leaves_nothing_behind(live: Live) -> None:
    """The hold is refused, and its claim taken back at once; the next hold is renewed as ever."""
    with live.connect() as c:
        with no_thread("coord-keeper"), pytest.raises(RuntimeError, match="can't start new thread"):
            c.hold("job", ttl=3600).__enter__()
        assert c.holder("job") is None
        with c.hold("job", ttl=TTL) as lease:
            assert _count_renewals(lease, 3).wait(SOON)


@pytest.mark.slow
def test_a_coordinator_without_a_keeper_can_be_closed(live: Live) -> None:
    """Nothing waits for a thread that never was."""
    with live.connect() as c, no_thread("coord-keeper"):
        lease = c.claim("job", ttl=1.5)
        assert lease is not None
        # It is not watched; so it looks when it is asked.
        assert not lease.lost.is_set()
        until(lease.lost.is_set, "the loss")


def test_subscriptions_that_cannot_be_started_are_started_by_the_next(live_server: Live) -> None:
    """Who cannot listen is told why; who comes later listens, and is woken."""
    with live_server.connect() as c:
        with c.hold("job"):
            with no_thread("coord-subscriptions"), pytest.raises(RuntimeError, match="can't start new thread"):
                c.hold("job").__enter__()
            assert waiters(c, JOB) == 0
            waiter = Thread(lambda: c.hold("job").__enter__().release())
            until(lambda: live_server.subscriptions() == 1, "the subscription")
        assert waiter.result() is True


# --- cancelled and interrupted -------------------------------------------------------------------


class FarAway:
    """A line to the server on which every call takes a little, going and coming: cancelling strikes anywhere."""

    def __init__(self, c: coord.AsyncCoordinator, dice: random.Random) -> None:
        call = c._runner.call

        async def far(*words: Any) -> Any:
            await asyncio.sleep(dice.uniform(0, 0.002))
            result = await call(*words)
            await asyncio.sleep(dice.uniform(0, 0.002))
            return result

        c._runner.call = far  # type: ignore[method-assign]
        c.call = far


@pytest.mark.slow
def test_cancelled_anywhere_it_leaves_nothing_held(live: Live) -> None:
    """Getting, waiting, working, releasing: cancelled at 300 random moments, the name is free each time."""
    dice = random.Random(7)

    async def main() -> None:
        async with live.connect_async() as c, live.connect_async() as looker:
            FarAway(c, dice)

            async def block(name: str) -> None:
                async with c.hold(name, ttl=60):
                    await asyncio.sleep(dice.uniform(0, 0.002))

            for number in range(100):
                tasks = [asyncio.create_task(block(f"job-{number}")) for _ in range(3)]
                for task in tasks:
                    asyncio.get_running_loop().call_later(dice.uniform(0, 0.012), task.cancel)
                await asyncio.wait(tasks)
                await until_async(_nobody_holds(looker, f"job-{number}"), "the release")
            channels = getattr(c._runner.notifier, "_channels", {})
            assert not channels

    run(main())


def _nobody_holds(c: coord.AsyncCoordinator, name: str) -> Any:
    async def look() -> bool:
        return await c.holder(name) is None

    return look


@pytest.mark.slow
def test_a_claim_cancelled_anywhere_leaves_nothing_held(live: Live) -> None:
    """The same for ``claim``, which never waits: 200 random moments."""
    dice = random.Random(11)

    async def main() -> None:
        async with live.connect_async() as c, live.connect_async() as looker:
            FarAway(c, dice)
            kept = 0
            for number in range(200):
                task = asyncio.create_task(c.claim(f"job-{number}", ttl=60))
                # Some for certain, and some for certain not, however slow the machine is.
                if number % 20 == 0:
                    task.cancel()
                elif number % 20 != 1:
                    asyncio.get_running_loop().call_later(dice.uniform(0, 0.005), task.cancel)
                await asyncio.wait([task])
                if task.cancelled():
                    await until_async(_nobody_holds(looker, f"job-{number}"), "the release")
                else:
                    kept += 1
                    assert await looker.holder(f"job-{number}") is not None
            assert 0 < kept < 200

    run(main())


class Interrupts:
    """Raises ``KeyboardInterrupt`` at the n-th moment at which Python would do so for Ctrl-C, in the code of coord.

    It looks for signals when a function begins, when a loop turns, and when a function that
    is not written in Python has returned. ``where`` is the line it came to.
    Only the beginning of ``__exit__`` is left out: no code can be written that would be prepared for it.
    """

    def __init__(self, at: int) -> None:
        self._left = at
        self.where = ""

    def __enter__(self) -> Self:
        sys.setprofile(self._profile)
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        sys.setprofile(None)

    def _trace(self, frame: Any, event: str, arg: object) -> Any:
        if not _is_ours(frame):
            return None
        code = frame.f_code
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            if not code.co_flags & inspect.CO_GENERATOR and code.co_name != "__exit__":
                self._count(frame)
        elif event == "opcode" and dis.opname[code.co_code[frame.f_lasti]] == "JUMP_BACKWARD":
            self._count(frame)
        return self._trace

    def _profile(self, frame: Any, event: str, arg: object) -> None:
        if event == "c_return" and _is_ours(frame):
            self._count(frame)

    def _count(self, frame: Any) -> None:
        self._left -= 1
        if not self._left:
            self.where = f"{frame.f_code.co_name}:{frame.f_lineno}"
            raise KeyboardInterrupt


def _is_ours(frame: Any) -> bool:
    return str(frame.f_code.co_filename).startswith(coord.__path__[0])


def test_interrupted_at_any_moment_a_hold_leaves_nothing_held() -> None:
    """Ctrl-C at each moment in turn, from before the claim until after the release."""
    at = 0
    while True:
        at += 1
        with coord.connect(f"memory://interrupted-{at}") as c:
            # What is made once for all calls is made now.
            with c.hold("warm"):
                pass
            interrupts, hold = Interrupts(at), c.hold("job", ttl=3600)
            try:
                with interrupts, hold:
                    pass
            except KeyboardInterrupt:
                pass
            hold = None
            until(lambda c=c: c.holder("job") is None, f"the release after an interrupt at {interrupts.where}")
            assert waiters(c, JOB) == 0
        if not interrupts.where:
            break
    assert at > 50


def _press_ctrl_c() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def test_interrupted_while_waiting_a_thread_leaves_the_line(live: Live) -> None:
    """Ctrl-C in the main thread while it waits for a name: the line is empty, and the name still its holder's."""
    with live.connect() as c, c.hold("job") as lease:
        interrupt = Thread(lambda: (until(lambda: waiters(c, JOB) == 1), _press_ctrl_c()))
        with pytest.raises(KeyboardInterrupt), c.hold("job", wait=SOON):
            pass
        interrupt.result()
        assert waiters(c, JOB) == 0
        assert c.holder("job").fence == lease.fence


def interrupted_soon(ask: Callable[[], Any]) -> None:
    """Do something that takes long; Ctrl-C comes in the middle of it."""
    timer = threading.Timer(0.1, _press_ctrl_c)
    timer.start()
    try:
        ask()
    finally:
        timer.join()


def test_interrupted_between_command_and_reply_nothing_stays_held(engine: Engine) -> None:
    """The server runs the claim after its caller has gone; it is taken back in the background."""
    with Server(engine) as server, coord.connect(server.url, **UNHURRIED) as c:
        assert c.holder("job") is None
        for ask in (lambda: c.claim("job", ttl=3600), lambda: c.hold("job", ttl=3600).__enter__()):
            server.signal(signal.SIGSTOP)
            with pytest.raises(KeyboardInterrupt):
                interrupted_soon(ask)
            server.signal(signal.SIGCONT)
            until(lambda: c.holder("job") is None, "the release")


def test_closing_at_once_takes_back_what_was_interrupted(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that ends on Ctrl-C closes its coordinator; the claim is taken back before that is done."""
    monkeypatch.setattr("coord.worker.GRACE", SOON)
    with Server(engine) as server:

        def interrupt() -> None:
            _press_ctrl_c()
            server.signal(signal.SIGCONT)

        timer = threading.Timer(0.1, interrupt)

        def program() -> None:
            with coord.connect(server.url, **UNHURRIED) as c:
                server.signal(signal.SIGSTOP)
                timer.start()
                c.claim("job", ttl=3600)

        with pytest.raises(KeyboardInterrupt):
            program()
        timer.join()
        with coord.connect(server.url) as c:
            assert c.holder("job") is None


# --- forks ---------------------------------------------------------------------------------------


@forks
@pytest.mark.usefixtures("brisk")
def test_parent_and_child_of_a_fork_hold_for_themselves(live_server: Live) -> None:
    """A child waits for its parent's name like anybody else, and renews what it holds by a thread of its own."""
    with live_server.connect() as c:
        with c.hold("job", ttl=60):

            def hold() -> None:
                with c.hold("job", ttl=TTL) as lease:
                    assert _count_renewals(lease, 3).wait(SOON)

            child = Child(hold)
            # The child waits, and is woken by this release.
            until(lambda: live_server.subscriptions() == 1, "the child's subscription")
        child.result()
        assert c.holder("job") is None


@forks
def test_a_child_waits_in_its_own_copy_of_a_keyspace() -> None:
    """``memory://`` after a fork: the waiters of the parent are not in the child's line."""
    with coord.connect("memory://forked-while-waited-for") as c, c.hold("job") as lease:
        waiter = Thread(lambda: c.hold("job", wait=SOON).__enter__().release())
        until(lambda: waiters(c, JOB) == 1, "the waiter")

        def hold() -> None:
            releasing = Thread(lambda: (until(lambda: waiters(c, JOB) == 1), lease.release()))
            with c.hold("job", wait=SOON):
                pass
            releasing.result()

        in_child(hold)
        lease.release()
        assert waiter.result() is True


@pytest.mark.slow
@forks
def test_a_child_is_told_that_its_parent_s_lease_is_over(live: Live) -> None:
    """Nobody renews it for the child: its copy is lost when the time is over that was known at the fork."""
    with live.connect() as c, c.hold("job", ttl=TTL) as lease:
        assert not lease.lost.is_set()
        assert in_child(lambda: (lease.lost.wait(SOON), lease.expires_in)) == "(True, 0.0)"
        assert not lease.lost.is_set()
