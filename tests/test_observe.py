"""``observe``: one event for each call, wait and lost lease, blocking and awaited, in memory and on servers."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from live import SOON, Live, Thread, run, until, until_async, waiters

import coord
from coord.observe import CallObserved, LossObserved, Observed, WaitObserved

pytest_plugins = ("live_fixtures",)

JOB = "coord:claim:{job}"


def calls(events: list[Observed]) -> list[tuple[str, str]]:
    """Script and outcome of the calls; a server that has not got the script costs a second try."""
    assert all(each.tries >= 1 for each in events if isinstance(each, CallObserved))
    return [(each.script, each.outcome) for each in events if isinstance(each, CallObserved)]


def test_calls_are_observed(live: Live) -> None:
    """Alone or in a batch, done or refused; the node is named."""
    events: list[Observed] = []
    with live.connect(observe=events.append) as c:
        c.once("a")
        c.run_many([c.calls.once("a")])
        c.bump("v")
        c.kv.rpush("list", "x")
        at_list = c.calls.kv.sadd("list", "x")._replace(keys=c.calls.kv.rpush("list", "x").keys)
        with pytest.raises(coord.WrongType):
            c.run(at_list)
    assert calls(events)[:4] == [("once", "done"), ("once", "done"), ("bump", "done"), ("kv_rpush", "done")]
    assert calls(events)[4][1] == "refused"
    node = "memory" if live.server is None else f"127.0.0.1:{live.server.port}"
    assert all(each.node.endswith(node) and each.seconds >= 0 for each in events if isinstance(each, CallObserved))


def test_calls_of_tasks_are_observed(live: Live) -> None:
    """The same, awaited."""

    async def main() -> None:
        async with live.connect_async(observe=events.append) as c:
            await c.once("a")
            await c.run_many([c.calls.once("a")])

    events: list[Observed] = []
    run(main())
    assert calls(events) == [("once", "done")] * 2


def test_waits_are_observed(live: Live) -> None:
    """Woken by a release, or ended by the clock; ``channel`` is the key that was waited for."""
    events: list[Observed] = []
    with live.connect(observe=events.append) as c:
        lease = c.claim("job", ttl=60)
        assert lease is not None
        with pytest.raises(coord.WaitTimeout), c.hold("job", wait=0.05):
            pass
        assert [each.channel for each in events if isinstance(each, WaitObserved)][:1] == [JOB]
        assert [each for each in events if isinstance(each, WaitObserved) and not each.woken]
        events.clear()
        waiter = Thread(lambda: c.hold("job", wait=SOON).__enter__().release())
        until(lambda: waiters(c, JOB) == 1, "the waiter")
        lease.release()
        assert waiter.result() is True
    assert [each for each in events if isinstance(each, WaitObserved) and each.woken and each.channel == JOB]


def test_waits_of_tasks_are_observed(live: Live) -> None:
    """The same, awaited."""

    async def main() -> None:
        async with live.connect_async(observe=events.append) as c:
            await c.barrier("b").open(parties=1)
            task = asyncio.create_task(c.barrier("b").wait(SOON))
            await until_async(lambda: waiters(c, "coord:barrier:{b}") == 1, "the waiter")
            await c.barrier("b").arrive("x")
            await task

    events: list[Observed] = []
    run(main())
    assert [each for each in events if isinstance(each, WaitObserved) and each.channel == "coord:barrier:{b}"]


def test_a_loss_is_observed_once(live: Live) -> None:
    """With the name, the owner and the fence of the lease."""
    events: list[Observed] = []
    with live.connect(observe=events.append) as c:
        lease = c.claim("job", ttl=60, owner="anna")
        assert lease is not None
        live.lose(JOB)
        assert lease.renew() is False
        assert lease.lost.is_set()
        with pytest.raises(coord.LeaseLost):
            lease.ensure_held()
        assert [each for each in events if isinstance(each, LossObserved)] == [
            LossObserved(name="job", owner="anna", fence=lease.fence)
        ]


def test_an_observer_that_raises_is_logged_and_changes_nothing(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """Calls, waits and losses go on as without it."""

    def observe(event: Observed) -> Any:
        raise RuntimeError("the observer is broken")

    with caplog.at_level(logging.ERROR, "coord"), live.connect(observe=observe) as c:
        assert c.once("a") is True
        assert c.run_many([c.calls.once("a")]) == [False]
        lease = c.claim("job", ttl=60)
        assert lease is not None
        with pytest.raises(coord.WaitTimeout), c.hold("job", wait=0.05):
            pass
        live.lose(JOB)
        assert lease.renew() is False
        assert lease.lost.is_set()
    assert any("the observer failed" in record.getMessage() for record in caplog.records)
