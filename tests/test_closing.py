"""What closing a coordinator, and leaving a block while the server is away, do to leases, callbacks and releases."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from holding import LATE, TTL, UNHURRIED, count_renewals
from live import SOON, Live, Thread, run, until, until_async, waiters

import coord
from coord.errors import Closed
from coord.leases import held_of
from coord.leases.keeping import releasing
from coord.plan import WithTimeout
from coord.testing.servers import Engine, Server

pytest_plugins = ("live_fixtures", "hold_fixtures")


@pytest.mark.parametrize("renew", [False, True])
def test_closing_wakes_the_waiters_for_a_loss(live: Live, renew: bool) -> None:  # a parameter of pytest
    """Nothing renews or watches the lease any more, so it counts as lost, an hour before its end."""
    c = live.connect()
    lease = c.claim("job", ttl=3600, renew=renew)
    assert lease is not None
    lost, woken = lease.lost, threading.Event()
    waiter = threading.Thread(target=lambda: lost.wait(LATE) and woken.set())
    waiter.start()
    c.close()
    assert woken.wait(SOON)
    waiter.join()
    assert lease.lost.is_set()
    assert lease.expires_in == 0.0


@pytest.mark.parametrize("renew", [False, True])
def test_closing_wakes_a_task_that_waits_for_a_loss(live: Live, renew: bool) -> None:  # a parameter of pytest
    """The same, awaited."""

    async def main() -> None:
        c = await live.connect_async()
        lease = await c.claim("job", ttl=3600, renew=renew)
        assert lease is not None
        waiter = asyncio.create_task(lease.lost.wait())
        await asyncio.sleep(0)
        await c.aclose()
        await asyncio.wait_for(waiter, SOON)
        assert lease.lost.is_set()

    run(main())


def test_closing_a_view_ends_no_lease(live: Live) -> None:
    """A view shares connections and background; they belong to the coordinator."""
    with live.connect() as c:
        view = c.with_options()
        with view.hold("job", ttl=3600) as lease:
            view.close()
            assert not lease.lost.is_set()
        assert c.holder("job") is None


def test_closing_waits_for_a_callback_but_not_for_ever(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """A callback that never returns does not keep the program from ending."""
    monkeypatch.setattr("coord.background.CALLBACK_SECONDS", 0.05)
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def callback(_: object) -> None:
        begun.set()
        go_on.wait(LATE)
        ended.set()

    c = live.connect()
    c.barrier("b").open(parties=1)
    c.barrier("b").watch(callback)
    c.barrier("b").arrive("anna")
    assert begun.wait(SOON)
    c.close()
    assert not ended.is_set()
    go_on.set()
    assert ended.wait(SOON)


@pytest.mark.usefixtures("brisk")
def test_a_callback_that_blocks_costs_no_lease(live: Live) -> None:
    """Callbacks run on a thread of their own: renewals go on."""
    begun, go_on = threading.Event(), threading.Event()
    with live.connect() as c, c.hold("job", ttl=TTL) as lease:
        c.barrier("b").open(parties=1)
        c.barrier("b").watch(lambda _: (begun.set(), go_on.wait(LATE)))
        c.barrier("b").arrive("anna")
        assert begun.wait(SOON)
        assert count_renewals(lease, 3).wait(SOON)
        go_on.set()


def test_leaving_a_block_takes_no_longer_than_the_lease_lives(live: Live) -> None:
    """However long a call may take by the options: once the lease is over, its release says nothing new."""
    with live.connect(timeout=60, patience=60, remember=600) as c, c.hold("job", ttl=50) as lease:
        step = next(releasing(held_of(lease)))
        if c.is_distributed:
            assert isinstance(step, WithTimeout)
            assert step.seconds <= 50


QUICKLY: dict[str, Any] = {"timeout": 0.2, "patience": 0.2}


def test_a_release_that_failed_is_made_up_for(engine: Engine) -> None:
    """The block is left with an error while the server hangs; its name is free soon after the server is back."""
    with Server(engine) as server, coord.connect(server.url, **QUICKLY) as c:
        hold = c.hold("job", ttl=3600)
        hold.__enter__()
        server.signal(signal.SIGSTOP)
        with pytest.raises((coord.Unavailable, coord.OutcomeUnknown)):
            hold.__exit__(None, None, None)
        server.signal(signal.SIGCONT)
        until(lambda: c.holder("job") is None, "the release")


def test_a_release_that_failed_is_made_up_for_by_a_task(engine: Engine) -> None:
    """The same, awaited."""

    async def main(server: Server) -> None:
        async with coord.connect_async(server.url, **QUICKLY) as c:
            hold = c.hold("job", ttl=3600)
            await hold.__aenter__()
            server.signal(signal.SIGSTOP)
            with pytest.raises((coord.Unavailable, coord.OutcomeUnknown)):
                await hold.__aexit__(None, None, None)
            server.signal(signal.SIGCONT)

            async def is_free() -> bool:
                return await c.holder("job") is None

            await until_async(is_free, "the release")

    with Server(engine) as server:
        run(main(server))


def test_closing_takes_back_what_a_cancelled_task_asked_for(engine: Engine) -> None:
    """``aclose`` waits for it as long as a call may take: nothing stays held for the whole TTL."""

    async def main(server: Server) -> None:
        c = await coord.connect_async(server.url, **UNHURRIED)
        await c.ping()
        server.signal(signal.SIGSTOP)
        claiming = asyncio.create_task(c.claim("job", ttl=3600))
        # By then it has been sent.
        for _ in range(5):
            await asyncio.sleep(0)
        claiming.cancel()
        asyncio.get_running_loop().call_later(1.0, server.signal, signal.SIGCONT)
        await c.aclose()
        assert claiming.cancelled()

    with Server(engine) as server:
        run(main(server))
        with coord.connect(server.url) as c:
            assert c.holder("job") is None


# --- use after closing ---------------------------------------------------------------------------

LIMIT = coord.Limit(1, per=60)
USES: dict[str, Callable[[Any], Any]] = {
    "kv": lambda c: c.kv.incr("x"),
    "claim": lambda c: c.claim("x"),
    "hold": lambda c: c.hold("x", wait=1),
    "once": lambda c: c.once("x"),
    "version": lambda c: c.bump("x"),
    "stats": lambda c: c.stats("s").merge("x", n=1),
    "barrier": lambda c: c.barrier("b").open(1),
    "barrier wait": lambda c: c.barrier("b").wait(timeout=1),
    "request": lambda c: c.request("r").register(),
    "request wait": lambda c: c.request("r").wait(timeout=1),
    "semaphore": lambda c: c.semaphore("s", limit=1).claim(),
    "semaphore hold": lambda c: c.semaphore("s", limit=1).hold(wait=1),
    "limiter": lambda c: c.limiter("l", LIMIT).hit(),
    "limiter wait": lambda c: c.limiter("l", LIMIT).wait(timeout=1),
    "quota": lambda c: c.quota("q", LIMIT).spend(1),
    "group": lambda c: c.group("g").members(),
    "join": lambda c: c.group("g").join("me"),
    "leader": lambda c: c.leader("l").current(),
    "run": lambda c: c.run(c.calls.bump("x")),
    "view": lambda c: c.view.kv.incr("x"),
    "ping": lambda c: c.ping(),
}


@pytest.mark.parametrize("use", USES)
def test_a_closed_coordinator_refuses_every_use(live: Live, use: str) -> None:
    """With one error, at once, on memory as on servers."""
    c: Any = live.connect()
    c.view = c.with_options(patience=5)
    c.kv.incr("x")
    c.close()
    c.close()
    with pytest.raises(Closed, match=r"the coordinator is closed$"):
        _entered(USES[use](c))


@pytest.mark.parametrize("use", USES)
def test_a_closed_coordinator_refuses_every_use_of_a_task(live: Live, use: str) -> None:
    """The same, awaited."""

    async def main() -> None:
        c: Any = await live.connect_async()
        c.view = c.with_options(patience=5)
        await c.kv.incr("x")
        await c.aclose()
        await c.aclose()
        with pytest.raises(Closed, match=r"the coordinator is closed$"):
            await _entered_async(USES[use](c))

    run(main())


def _entered(used: Any) -> Any:
    return used.__enter__() if hasattr(used, "__enter__") else used


async def _entered_async(used: Any) -> Any:
    return await (used.__aenter__() if hasattr(used, "__aenter__") else used)


def _entered_later(begin: Callable[[Any], Any], c: Any) -> Any:
    return _entered(begin(c))


def test_each_call_of_a_batch_is_refused_after_closing(live: Live) -> None:
    c = live.connect()
    c.close()
    answers = c.run_many([c.calls.bump("x"), c.calls.bump("y")])
    assert [(type(each), str(each)) for each in answers] == [
        (Closed, "bump did not run: the coordinator is closed")
    ] * 2


WAITS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "hold": ("coord:claim:{x}", lambda c: c.hold("x")),
    "barrier": ("coord:barrier:{b}", lambda c: c.barrier("b").wait()),
    "request": ("coord:request:{r}", lambda c: c.request("r").wait()),
    "semaphore": ("coord:semaphore:{s}", lambda c: c.semaphore("s", limit=1).hold()),
}


def occupy(c: Any) -> None:
    """Have everything taken that is waited for."""
    c.barrier("b").open(1)
    c.request("r").register()
    c.request("r").add("s", "p")
    assert c.claim("x", ttl=600)
    assert c.semaphore("s", limit=1).claim(ttl=600)


@pytest.mark.parametrize("wait", WAITS)
def test_closing_ends_the_waits_of_its_own_threads(live: Live, wait: str) -> None:
    """At once, although another coordinator keeps the subscription open; that one waits on."""
    channel, begin = WAITS[wait]
    with live.connect() as other:
        occupy(other)
        c = live.connect()
        threads = [Thread(partial(_entered_later, begin, each)) for each in (other, c, c)]
        until(lambda: waiters(other, channel) == 3, "three waiters")
        c.close()
        for each in threads[1:]:
            with pytest.raises(Closed, match="the coordinator is closed"):
                each.result()
        assert waiters(other, channel) == 1
    with pytest.raises(Closed, match="the coordinator is closed"):
        threads[0].result()


@pytest.mark.parametrize("wait", WAITS)
def test_closing_ends_the_waits_of_its_own_tasks(live: Live, wait: str) -> None:
    """The same, awaited."""
    channel, begin = WAITS[wait]

    async def main() -> None:
        async with live.connect_async() as other:
            with live.connect() as c:
                occupy(c)
            c = await live.connect_async()
            tasks = [asyncio.create_task(_entered_async(begin(each))) for each in (other, c, c)]
            await until_async(lambda: waiters(other, channel) == 3, "three waiters")
            await c.aclose()
            outcomes = await asyncio.gather(*tasks[1:], return_exceptions=True)
            assert [type(each) for each in outcomes] == [Closed, Closed]
            assert waiters(other, channel) == 1
        with pytest.raises(Closed, match="the coordinator is closed"):
            await tasks[0]

    run(main())
