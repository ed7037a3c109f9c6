"""Servers that die, or freeze, while somebody waits: a wait with a limit ends at its limit.

Without a limit a call is repeated for ``patience``, here for a minute; a wait that is over sooner ends with
``WaitTimeout``, says that the server was away, and leaves nothing held.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import pytest
from backends import Backend
from live import until, waiters
from machines import chosen, client_of, start

import coord
from coord.coordinator import runner_of
from coord.redis import node
from coord.testing.proxy import LossyProxy
from coord.testing.servers import Server

PATIENT: dict[str, Any] = {"timeout": 40.0, "patience": 60.0, "remember": 200.0}
WAIT = 0.4
LATE = 10.0
"""Seconds after which a wait has outlasted its limit, on a busy machine too."""

WAITS: dict[str, Callable[[Any], Any]] = {
    "hold": lambda c: c.hold("job", ttl=60, wait=WAIT).__enter__(),
    "barrier": lambda c: c.barrier("b").wait(timeout=WAIT),
    "request": lambda c: c.request("r").wait(timeout=WAIT),
}
UNKNOWN = {
    "hold": "the state of 'job'",
    "barrier": "the state of the barrier 'b'",
    "request": "the state of the request 'r'",
}
ENDS = {"killed": signal.SIGKILL, "frozen": signal.SIGSTOP}


@pytest.fixture
def mortal() -> Iterator[Server]:
    """A private server, which a test may kill, with things in it to wait for."""
    with start(chosen()) as server:
        with coord.connect(server.url) as c:
            c.claim("job", ttl=60)
            c.barrier("b").open(parties=1)
            c.request("r").register()
            c.request("r").add("stage", "piece")
        yield server


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("wait", WAITS)
def test_a_wait_on_a_server_that_is_away_ends_in_time(mortal: Server, mode: Backend, wait: str, end: str) -> None:
    """The error is that of a wait that is over, and gives the reason why the state is unknown."""
    c = mode.dial(mortal.url, **PATIENT)
    c.kv.incr("warm")
    mortal.signal(ENDS[end])
    why = {"killed": "cannot reach the server at", "frozen": "no reply in time"}[end]
    started = monotonic()
    with pytest.raises(
        coord.WaitTimeout, match=f"{UNKNOWN[wait]} could not be read within {WAIT} s: .*{why}"
    ) as raised:
        WAITS[wait](c)
    assert monotonic() - started < LATE
    assert isinstance(raised.value.__cause__, (coord.Unavailable, coord.OutcomeUnknown))
    mortal.signal(signal.SIGCONT)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("wait", WAITS)
def test_a_server_that_goes_away_during_a_wait_does_not_prolong_it(
    mortal: Server, mode: Backend, wait: str, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was asked, and answered; it is gone when it is looked at once more."""
    c = mode.dial(mortal.url, **PATIENT)
    runner, asked = runner_of(c if mode.loop is None else c.inner), []

    def goes_away(run_many: Any) -> Any:
        def blocking(*words: Any) -> Any:
            asked.append(monotonic())
            if len(asked) == 2:
                mortal.signal(ENDS[end])
            return run_many(*words)

        return blocking

    monkeypatch.setattr(runner, "run_many", goes_away(runner.run_many))
    with pytest.raises(coord.WaitTimeout, match=f"{UNKNOWN[wait]} could not be read within {WAIT} s"):
        WAITS[wait](c)
    assert monotonic() - asked[0] < LATE
    monkeypatch.undo()
    mortal.signal(signal.SIGCONT)


def test_a_claim_whose_answer_came_too_late_is_taken_back(mortal: Server, mode: Backend) -> None:
    """The server grants it when its caller has gone; it is undone in the background, as for one who was cancelled."""
    c = mode.dial(mortal.url, **PATIENT)
    c.kv.incr("warm")
    with client_of(mortal) as look:
        look.delete("coord:claim:{job}")
        mortal.signal(signal.SIGSTOP)
        with pytest.raises(coord.WaitTimeout, match="no reply in time"):
            WAITS["hold"](c)
        mortal.signal(signal.SIGCONT)

        def is_undone() -> bool:
            if mode.loop is not None:
                mode.loop.run_until_complete(asyncio.sleep(0.01))
            return bool(look.keys("coord:claim:{job}:tombstone:*")) and c.holder("job") is None

        until(is_undone, "the release")
        assert look.get("coord:claim:{job}").startswith("||"), "it was granted, and released"


def test_patience_that_ends_before_the_wait_says_so(mortal: Server, mode: Backend) -> None:
    """A wait of an hour does not hide for an hour that the server is gone."""
    c = mode.dial(mortal.url, timeout=3, patience=0.3, remember=10)
    mortal.kill()
    started = monotonic()
    for wait in (c.hold("job", wait=3600).__enter__, lambda: c.barrier("b").wait(3600)):
        with pytest.raises((coord.Unavailable, coord.OutcomeUnknown), match="cannot reach"):
            wait()
    assert monotonic() - started < LATE


def test_the_next_call_goes_on_another_connection(mode: Backend, line: LossyProxy) -> None:
    """A connection that is silent for the whole of a call is not asked again, long before its time-out is over."""
    c = mode.dial(line.url, **PATIENT)
    c.kv.incr("warm")
    before = line.connections
    line.arm("drop_reply")
    with pytest.raises(coord.WaitTimeout, match="no reply in time"):
        WAITS["hold"](c)
    with c.hold("other", wait=LATE):
        pass
    # The blocking coordinator has a thread that takes the claim back.
    assert line.connections in (before + 1, before + 2)


def test_a_connection_that_is_doubted_is_not_taken_from_others(line: LossyProxy) -> None:
    """Another task waits on it, for a call that may not be repeated: it is answered there, late."""
    counts = coord.Script("counts", "return redis.call('INCR', KEYS[1])")

    async def run() -> None:
        async with coord.connect_async(line.url, **PATIENT) as c:
            await c.run(coord.Call(counts, ("{x}",), (), int))
            before = line.connections
            line.delay = 4.0
            line.arm("delay_reply")
            other = asyncio.create_task(c.run(coord.Call(counts, ("{x}",), (), int)))
            with pytest.raises(coord.WaitTimeout):
                await c.barrier("b").wait(timeout=WAIT)
            assert await c.kv.incr("y") == 1
            assert line.connections == before + 1
            assert await other == 2

    asyncio.run(run())


def test_a_moment_of_silence_does_not_cost_the_connection(line: LossyProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that had too little time says nothing of its connection."""
    monkeypatch.setattr(node, "SILENT_SECONDS", LATE)

    async def run() -> None:
        async with coord.connect_async(line.url, **PATIENT) as c:
            await c.kv.incr("x")
            before = line.connections
            line.delay = 3.0
            line.arm("delay_reply")
            with pytest.raises(coord.WaitTimeout):
                await c.barrier("b").wait(timeout=WAIT)
            assert await c.kv.incr("x") == 2
            assert line.connections == before

    asyncio.run(run())


def test_a_short_wait_still_finds_a_free_name(mortal: Server, mode: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """However short it is, a call that it makes is given a moment to be answered."""
    monkeypatch.setattr("coord.waiting.LAST_LOOK", LATE)
    c = mode.dial(mortal.url, **PATIENT)
    for number in range(20):
        with c.hold(f"free-{number}", wait=0.001):
            pass
    assert waiters(c if mode.loop is None else c.inner, "coord:claim:{free-0}") == 0
