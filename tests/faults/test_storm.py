"""The promise that the transport is built around, kept in a storm: nothing is lost, and nothing counts twice.

One command in twenty has an accident between here and the server: the connection is reset before or after it ran, its
reply is eaten, cut in half, or late. Thousands of accumulations later the sums are exact, every caller got the
answer of the one run that counted, and no holder saw its own claim as another's.

Then the same sums are made of code that is broken on purpose, and the same verdict has to say so: a check that
cannot fail shows nothing.
"""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from machines import LONG, dialled, dialled_async
from reporting import say
from storm import Told, Verdict, judged, storm, storm_awaited

import coord
from coord.testing.proxy import MIXED, Fault, LossyProxy
from coord.testing.servers import Server

pytestmark = pytest.mark.proof

MANY = 1_000_000 if LONG else 8_000
PATIENT: dict[str, Any] = {"timeout": 0.2, "patience": 60.0, "remember": 600.0 if LONG else 130.0}

SHARED: dict[Fault, float] = {**MIXED, "drop_reply": 0.1}
"""A silent connection that all tasks share holds all of them up for a whole timeout: fewer of those, to save time."""


@pytest.fixture
def bad_line(one_server: Server) -> Any:
    with LossyProxy("127.0.0.1", one_server.port, seed=20) as proxy:
        yield proxy


def test_eight_threads_lose_nothing_and_double_nothing(bad_line: LossyProxy, look: Any) -> None:
    with dialled(coord.connect, bad_line.url, **PATIENT) as c:
        bad_line.misbehave(20)
        began = time.monotonic()
        told = storm(c, MANY, threads=8)
        _sum_up("8 threads", told, judged(told, look), bad_line, time.monotonic() - began)


def test_a_hundred_tasks_lose_nothing_and_double_nothing(bad_line: LossyProxy, look: Any) -> None:
    async def run() -> Told:
        async with await dialled_async(bad_line.url, **{**PATIENT, "timeout": 0.3}) as c:
            bad_line.misbehave(20, SHARED)
            return await storm_awaited(c, MANY, tasks=100)

    began = time.monotonic()
    told = asyncio.run(run())
    _sum_up("100 tasks", told, judged(told, look), bad_line, time.monotonic() - began)


def _sum_up(who: str, told: Told, verdict: Verdict, line: LossyProxy, seconds: float) -> None:
    assert verdict.is_clean, (verdict, told.unknown[:3], told.foreign[:3])
    assert verdict.done == MANY
    assert line.faults.total() >= MANY // 20, "the storm was not as bad as it should have been"
    assert set(line.faults) == set(MIXED)
    say(
        f"storm, {who}: {verdict.done:,} accumulations, {line.commands:,} commands, {line.faults.total():,} faults, "
        f"{line.connections:,} connections, {seconds:.0f} s: none lost, none doubled, no own claim looked foreign"
    )


# --- the check is alive --------------------------------------------------------------------------


def test_a_client_that_sends_again_by_itself_is_caught(one_server: Server, look: Any) -> None:
    """redis-py as it comes: it sends a command again when the reply is lost, and INCR counts twice."""
    resets: dict[Fault, float] = {"reset_reply": 1}
    suffering = ("INCRBY", "RPUSH", "HINCRBY")
    with (
        LossyProxy("127.0.0.1", one_server.port, every=20, mix=resets, suffering=suffering, seed=1) as line,
        redis.Redis("127.0.0.1", line.port) as client,
    ):
        verdict = judged(storm(_several_commands(client), 2_000, threads=4, claims=False), look)
    assert verdict.doubled > 0
    assert verdict.wrong_answers > 0
    assert not verdict.is_clean


def _several_commands(client: Any) -> Any:
    """What many write instead of coord."""
    kv = SimpleNamespace(
        incr=lambda key: client.incr(f"coord:kv:{{{key}}}"),
        rpush=lambda key, value: client.rpush(f"coord:kv:{{{key}}}", value),
    )
    stats = SimpleNamespace(merge=lambda entity, n: client.hincrby(f"coord:stats:{{{entity}}}:storm", "n", n))
    return SimpleNamespace(kv=kv, stats=lambda _name: stats, bump=lambda name: client.incr(f"coord:version:{{{name}}}"))


def test_a_coordinator_that_remembers_nothing_says_what_it_does_not_know(one_server: Server, look: Any) -> None:
    """With ``remember=0`` a lost reply raises ``OutcomeUnknown``: what is known is still exact."""
    with (
        LossyProxy("127.0.0.1", one_server.port, every=20, seed=2) as line,
        dialled(coord.connect, line.url, timeout=0.15, patience=20, remember=0) as c,
    ):
        told = storm(c, 2_000, threads=4, claims=False)
    verdict = judged(told, look)
    assert verdict.unknown > 20
    assert verdict.lost == 0
    assert 0 < verdict.doubled <= verdict.unknown, "only calls of unknown outcome counted twice"
