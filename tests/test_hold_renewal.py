"""``hold`` renews its lease while its block runs, and never after it."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

import pytest
from backends import Backend
from holding import TTL, count_renewals, first_failure, in_background, renew_every, told_of_the_loss
from live import SOON, Live, run, until, until_async

import coord
from coord.leases import Held, held_of
from coord.leases.keeping import keep_renewed, renewing
from coord.plan import Sleep, WithTimeout
from coord.testing.servers import Engine, Server

pytest_plugins = ("live_fixtures", "hold_fixtures")


# --- renewal --------------------------------------------------------------------------------------


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
        held = held_of(getattr(lease, "inner", lease))
        plan = keep_renewed(held, lambda: held)
        assert drive(plan, backend, c, steps=40) > 6 * 30
        plan.close()
        assert c.holder("job").fence == lease.fence
        assert not held.is_lost


def test_without_renewal_the_block_may_outlast_its_lease(backend: Backend, c: Any) -> None:
    """``renew=False``: when its time is over the lease is lost, and leaving the block says so."""
    with told_of_the_loss(), c.hold("job", ttl=30, renew=False) as lease:
        backend.later(31)
        assert lease.lost.is_set()


@pytest.mark.usefixtures("brisk")
def test_renewal_goes_on_while_a_block_runs(live: Live) -> None:
    """In real time: the lease is renewed again and again, and the block still has it."""
    with live.connect() as c, c.hold("job", ttl=TTL) as lease:
        renewed = count_renewals(lease, 8)
        assert renewed.wait(SOON)
        assert not lease.lost.is_set()
        assert c.holder("job") is not None


@pytest.mark.usefixtures("brisk")
def test_renewal_goes_on_while_an_awaited_block_runs(live: Live) -> None:
    """The same, awaited."""

    async def main() -> None:
        async with live.connect_async() as c, c.hold("job", ttl=TTL) as lease:
            renewed = count_renewals(lease, 8)
            await until_async(renewed.is_set, "eight renewals")
            assert not lease.lost.is_set()
            assert await c.holder("job") is not None

    run(main())


@pytest.mark.usefixtures("brisk")
def test_fifty_leases_are_renewed_by_one_thread(live: Live) -> None:
    """A coordinator has one worker for all its leases, and it ends with the last of them."""
    before = threading.active_count()
    with live.connect() as c:
        with ExitStack() as stack:
            leases = [stack.enter_context(c.hold(f"job-{number}", ttl=TTL)) for number in range(50)]
            renewed = [count_renewals(lease, 3) for lease in leases]
            assert threading.active_count() == before + 1
            assert all(event.wait(SOON) for event in renewed)
            assert not any(lease.lost.is_set() for lease in leases)
        until(lambda: threading.active_count() == before, "the end of the worker")


def test_released_leases_leave_nothing_in_the_background(live: Live) -> None:
    """A renewal that was planned hours ahead ends with its lease."""
    with live.connect() as c, c.hold("first", ttl=86_400):
        jobs = []
        for _ in range(30):
            with c.hold("job", ttl=86_400) as lease:
                jobs.append(held_of(lease).job)
        until(lambda: all(job is not None and job.done() for job in jobs), "the end of the renewals")


@pytest.mark.slow
def test_slow_answers_do_not_cost_the_other_leases_their_renewal(live_server: Live) -> None:
    """Many leases fall due one after the other; a call is still given the time that a distant server needs."""

    def far_away(runner: Any) -> None:
        run_many = runner.run_many

        async def slow(calls: Any, within: float | None = None) -> list[Any]:
            await asyncio.sleep(0.04)
            if within is not None and within < 0.04:
                return [coord.Unavailable("too far away") for _ in calls]
            answers: list[Any] = await run_many(calls, within)
            return answers

        runner.run_many = slow

    with live_server.connect() as c, ExitStack() as stack:
        in_background(c, far_away)
        leases = [stack.enter_context(c.hold(f"job-{number}", ttl=TTL)) for number in range(30)]
        renewed = [count_renewals(lease, 2) for lease in leases]
        assert all(event.wait(SOON) for event in renewed)
        assert not any(lease.lost.is_set() for lease in leases)


@pytest.mark.slow
@pytest.mark.usefixtures("brisk")
def test_a_server_that_refuses_for_a_while_costs_no_lease(engine: Engine) -> None:
    """One renewal that fails is made up for in time: a paused server, a refusal, a dropped connection."""
    with Server(engine) as server, coord.connect(server.url) as c:
        missed = first_failure(c)
        with c.hold("job", ttl=9) as lease:
            server.signal(signal.SIGSTOP)
            assert missed.wait(SOON)
            server.signal(signal.SIGCONT)
            assert count_renewals(lease, 2).wait(SOON)
            assert not lease.lost.is_set()
            assert c.holder("job").fence == lease.fence


@pytest.mark.slow
def test_a_shorter_renewal_by_hand_is_renewed_in_time(live: Live) -> None:
    """Who renews by hand for less time moves the next renewal too."""
    with live.connect() as c, c.hold("job", ttl=60) as lease:
        assert lease.renew(ttl=TTL) is True
        assert count_renewals(lease, 2).wait(SOON)
        assert not lease.lost.is_set()


class Sent:
    """A renewal, followed by hand: sent when it is made, taken by the server and answered when the test says so."""

    def __init__(self, held: Held, ttl: float) -> None:
        self._plan = renewing(held, ttl)
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
    held = held_of(getattr(lease, "inner", lease))
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
    held = held_of(getattr(lease, "inner", lease))
    sent = Sent(held, 2)
    assert lease.expires_in <= 2
    sent.taken(c)
    backend.later(3)
    assert lease.lost.is_set()
    assert sent.answered() is False


def test_a_renewal_that_failed_may_come_after_the_next(c: Any) -> None:
    """Its reply was lost, not it: it is counted until a renewal that was sent later has been answered."""
    lease = c.claim("job", ttl=2)
    held = held_of(getattr(lease, "inner", lease))
    late = Sent(held, 2)
    late.failed()
    assert lease.renew(ttl=300) is True
    late.taken(c)
    assert lease.expires_in <= 2
    assert lease.renew() is True
    assert lease.expires_in > 290


# --- renewal never outlives release ---------------------------------------------------------------


def test_no_renewal_comes_after_the_release(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """However close the two come, who releases is not told of a loss, and the name is free afterwards."""
    with live.connect() as c:
        for number in range(60):
            renew_every(number / 10_000, monkeypatch)
            with c.hold(f"job-{number}", ttl=60) as lease:
                # Sometimes before, sometimes after, and sometimes in the middle of it.
                count_renewals(lease, 2).wait(0.005)
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


# --- claims that are renewed ------------------------------------------------------------------------


@pytest.mark.usefixtures("brisk")
def test_a_claim_is_renewed_until_it_is_released(live: Live) -> None:
    """``claim(renew=True)`` needs no block: the lease is renewed in the background."""
    with live.connect() as c:
        lease = c.claim("job", ttl=60, renew=True)
        assert lease is not None
        for _ in range(2):
            ends = held_of(lease).deadline
            until(lambda ends=ends: held_of(lease).deadline > ends, "a renewal")
        assert lease.release() is True
        assert c.holder("job") is None


def test_a_renewed_claim_that_is_dropped_warns(live: Live) -> None:
    """A lease that nobody has can neither be released nor checked; it ends by its TTL."""
    with live.connect() as c:
        lease = c.claim("job", ttl=60, renew=True)
        leases = [lease]
        del lease
        with pytest.warns(ResourceWarning, match="the lease of 'job' was dropped while it was renewed"):
            leases.clear()
        gc.collect()
        assert c.holder("job") is not None
