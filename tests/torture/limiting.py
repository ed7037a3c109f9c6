"""Rate limits, quotas and executions: a limit is never passed, what was spent is what was settled, one result a key."""

from __future__ import annotations

import json
from collections.abc import Iterator

import coord
from torture.judging import Family, Finding, Seen, stalled
from torture.lane import Lane

__all__ = ["FAMILIES"]

BURST = 30
SLOW = coord.Limit(BURST, per=86_400 * 300)
"""Nothing flows back while a row runs: of all hits, as many are admitted as fit at once."""

AMOUNT = 60
YEARLY = coord.Limit(AMOUNT, per=86_400 * 365)


async def _hit(lane: Lane) -> None:
    name = lane.shared("r", 2)
    limiter = lane.c.limiter(name, SLOW)
    await lane.call("limiter", name, "hit", limiter.hit, show=lambda verdict: verdict.allowed)


def _judge_limiter(seen: Seen) -> Iterator[Finding]:
    for name, records in seen.of("limiter").items():
        admitted = sum(each.is_done and each.value for each in records)
        open_ = sum(each.is_open for each in records)
        known = sum(each.is_done for each in records)
        if admitted > BURST:
            text = f"limiter {name}: {admitted} admitted, {BURST} allowed"
            yield Finding("doubled", text, by_loss=True, count=admitted - BURST)
        if admitted + open_ < min(BURST, known):
            yield Finding("lost", f"limiter {name}: {admitted} of {known} admitted, {open_} unknown")


async def _refund(lane: Lane) -> None:
    name = f"refund-{lane.random.randrange(2)}"
    limiter = lane.c.limiter(name, coord.Limit(10**6, per=86_400 * 300))
    hit = await lane.call("refunds", name, "hit", limiter.hit, show=lambda verdict: verdict.allowed)
    if hit.is_done and hit.value.allowed:
        await lane.call("refunds", name, "refund", limiter.refund)


def _judge_refunds(seen: Seen) -> Iterator[Finding]:
    for name, records in seen.of("refunds").items():
        limiter = seen.c.limiter(name, coord.Limit(10**6, per=86_400 * 300))
        taken = 10**6 - limiter.peek().remaining
        hits = sum(each.is_done and each.op == "hit" for each in records)
        given = sum(each.is_done and each.op == "refund" for each in records)
        open_ = sum(each.is_open for each in records)
        if taken > hits - given + open_ + _flowing(seen):
            yield Finding("doubled", f"limiter {name}: {hits} hits, {given} refunds, {taken} taken", by_loss=True)
        if taken < hits - given - open_ - _flowing(seen):
            yield Finding("lost", f"limiter {name}: {hits} hits, {given} refunds, {taken} taken", by_loss=True)


def _flowing(seen: Seen) -> int:
    """How many may have flowed back while the row ran, at one in 25.92 s."""
    times = [each.started for each in seen.records]
    return 2 + int((max(times) - min(times)) / 25.92)


async def _spend(lane: Lane) -> None:
    name = lane.shared("b", 2)
    quota = lane.c.quota(name, YEARLY)
    if lane.random.random() < 0.6:
        await lane.count("quotas", name, "spend", lambda op_id: quota.spend(1, op_id=op_id), note=1)
        return
    op_id = lane.token()
    got = await lane.count(
        "quotas",
        name,
        "reserve",
        lambda again: quota.reserve(3, ttl=3, op_id=again or op_id),
        note=0,
        show=lambda reservation: reservation is not None,
    )
    if not got.is_done or got.value is None:
        return
    match lane.random.random():
        case chance if chance < 0.7:
            await lane.call("quotas", name, "settle", lambda: got.value.settle(2), note=2)
        case chance if chance < 0.95:
            await lane.call("quotas", name, "cancel", got.value.cancel, note=0)


def _judge_quotas(seen: Seen) -> Iterator[Finding]:
    for name, records in seen.of("quotas").items():
        (status,) = seen.c.quota(name, YEARLY).status()
        booked = sum(each.note for each in records if each.is_done and each.value)
        open_ = sum(each.note for each in records if each.is_open)
        if status.spent < booked:
            text = f"quota {name}: {booked} booked, {status.spent} spent"
            yield Finding("lost", text, by_loss=True, count=booked - status.spent)
        if status.spent > booked + open_:
            text = f"quota {name}: {booked} booked, {open_} unknown, {status.spent} spent"
            yield Finding("doubled", text, count=status.spent - booked - open_)
        if status.spent > AMOUNT:
            yield Finding("doubled", f"quota {name}: {status.spent} spent of {AMOUNT}")
        if status.held:
            yield Finding("left", f"quota {name}: {status.held} held by nobody")


async def _execute(lane: Lane) -> None:
    name, result, c = lane.shared("x", 1), lane.token(), lane.c

    def run() -> str:
        lane.journal.fact("executions", name, "ran", result)
        return result

    async def run_awaited() -> str:
        return run()

    fn = run_awaited if lane.is_awaited else run
    await lane.call("executions", name, "execute", lambda: c.execute_once(name, fn, ttl=3, keep=3600, wait=10))


def _judge_executions(seen: Seen) -> Iterator[Finding]:
    for name, records in seen.of("executions").items():
        results = {each.value for each in records if each.is_done}
        if len(results) > 1:
            yield Finding("doubled", f"execution {name}: results {sorted(results)}", by_loss=True)
        status = seen.c.execution(name).status()
        if results and (status is None or status.state != "done"):
            yield Finding("lost", f"execution {name}: {results} was accepted, and is {status}", by_loss=True)
        elif results and status.result is not None and json.loads(status.result) not in results:
            yield Finding("doubled", f"execution {name}: {results} was accepted, and is {status}", by_loss=True)
        for text in stalled(seen, records, records):
            yield Finding("never woken", text)


FAMILIES = {
    "limiter": Family(_hit, _judge_limiter, 6),
    "refunds": Family(_refund, _judge_refunds, 3),
    "quotas": Family(_spend, _judge_quotas, 8),
    "executions": Family(_execute, _judge_executions, 2),
}
