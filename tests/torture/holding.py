"""Claims, holds, permits, leaders and members: never more inside than may be, fences grow, nothing stays held."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from math import inf
from typing import Any

from torture.journal import Record
from torture.judging import Family, Finding, Seen, overlaps, stalled, ungrown
from torture.lane import Lane

__all__ = ["FAMILIES", "LONGEST_TTL"]

TTL = 2.0
GROUP_TTL = 3.0
LONGEST_TTL = GROUP_TTL
"""Seconds after which nothing may be held that nobody renews."""

LIMIT = 2
_MARGIN = 1.0
"""Seconds by which a lease that is not released may outlast its TTL: a late copy of its claim or renewal extends it."""


def _fence(lease: Any) -> int | None:
    return None if lease is None else int(lease.fence)


async def _claim(lane: Lane) -> None:
    name, c = f"c-{lane.random.randrange(6)}", lane.c
    got = await lane.call("claims", name, "claim", lambda: c.claim(name, ttl=TTL), show=_fence)
    await _use(lane, "claims", name, got)


async def _permit(lane: Lane) -> None:
    name = f"p-{lane.random.randrange(3)}"
    semaphore = lane.c.semaphore(name, limit=LIMIT)
    got = await lane.call("permits", name, "claim", lambda: semaphore.claim(ttl=TTL), show=_fence)
    await _use(lane, "permits", name, got)


async def _use(lane: Lane, family: str, name: str, got: Any) -> None:
    """Hold what was granted for a moment, perhaps renew it, and release it."""
    lease = got.value if got.is_done else None
    if lease is None:
        return
    await _work(lane)
    until = lane.inside(family, name, lease, got.ended, lease.fence)
    for op, method, often in (("renew", lease.renew, 0.3), ("release", lease.release, 0.95)):
        if lane.random.random() < often:
            answer = await lane.call(family, name, op, method, note=lease.fence)
            if answer.is_done and not answer.value:
                _lost(lane, family, name, answer.ended, until)
            else:
                until = max(until, lane.inside(family, name, lease, got.ended, lease.fence))


async def _work(lane: Lane) -> None:
    """Mostly for a moment, now and then for long enough that others come in between."""
    await lane.sleep(lane.random.uniform(0, 0.004 if lane.random.random() < 0.8 else 0.1))


def _lost(lane: Lane, family: str, name: str, now: float, until: float) -> None:
    """Write down that a lease was lost before its time."""
    if now < until:
        lane.journal.fact(family, name, "lost early", until - now)


async def _hold(lane: Lane) -> None:
    name = f"h-{lane.random.randrange(4)}"
    await _block(lane, "holds", name, lane.c.hold(name, ttl=TTL, wait=10))


async def _hold_permit(lane: Lane) -> None:
    await _block(lane, "held permits", "q", lane.c.semaphore("q", limit=LIMIT).hold(ttl=TTL, wait=10))


async def _lead(lane: Lane) -> None:
    await _block(lane, "leaders", "boss", lane.c.leader("boss", ttl=TTL).hold(wait=10))


async def _block(lane: Lane, family: str, name: str, holding: Any) -> None:
    got = await lane.enter(family, name, holding, _fence)
    if got.is_done:
        await _work(lane)
        until = lane.inside(family, name, got.value, got.ended, got.value.fence)
        left = await lane.leave(family, name, holding)
        if left.outcome == "lost":
            _lost(lane, family, name, left.ended, until)


def _judged(family: str, limit: int = 1) -> Any:
    def judge(seen: Seen) -> Iterator[Finding]:
        yield from _judge_leases(seen, family, limit)
        if family in ("claims", "permits"):
            for records in seen.of(family).values():
                yield from (Finding("left", text, by_loss=True) for text in _ghosts(records, limit))
        for grants in seen.of(family, "claim", "enter").values():
            for text in ungrown(grants):
                yield Finding("not grown", text)
            for text in stalled(seen, [each for each in grants if each.op == "enter"], grants):
                yield Finding("never woken", text)
        for name in seen.of(family):
            if left := _left(seen.c, family, name):
                yield Finding("left", f"{family} {name}: {left}")

    return judge


def _judge_leases(seen: Seen, family: str, limit: int) -> Iterator[Finding]:
    for facts in seen.facts_of(family, "inside").values():
        for text in overlaps(facts, limit):
            yield Finding("two holders", f"{family}: {text}", by_loss=True)
    for facts in seen.facts_of(family, "lost early").values():
        for fact in facts:
            text = f"{family} {fact.entity}: lost {fact.value:.2f} s before its deadline"
            yield Finding("lost", text, by_loss=True)


def _ghosts(records: list[Record], limit: int) -> Iterator[str]:
    """Yield the refusals at times when there were not ``limit`` that may have been held."""
    claims = [each for each in records if each.op == "claim"]
    after = {(each.note, each.op): each for each in records if each.op != "claim"}
    spans = [(claim.started, _ends(claim, after)) for claim in claims if _may_hold(claim)]
    begins, ends = sorted(begin for begin, _ in spans), sorted(end for _, end in spans)
    for claim in claims:
        if claim.is_done and claim.value is None and not _may_hold(claim):
            held = bisect_left(begins, claim.ended) - bisect_right(ends, claim.started)
            if held < limit:
                yield f"{claim.family} {claim.entity}: refused from {claim.started} to {claim.ended}, {held} held"


def _may_hold(claim: Record) -> bool:
    # A grant that came when its lease was over is answered as a refusal.
    return claim.is_open or (claim.is_done and (claim.value is not None or claim.ended - claim.started > TTL / 2))


def _ends(claim: Record, after: dict[tuple[Any, str], Record]) -> float:
    """Return when what a claim may have been granted is over for certain."""
    if claim.is_open:
        return inf
    release, renew = after.get((claim.value, "release")), after.get((claim.value, "renew"))
    # A lease that is over by its holder's clock is released without asking the server, which may hold it for longer.
    if claim.value is not None and release and release.is_done and release.value:
        return release.ended
    return (renew or claim).ended + TTL + _MARGIN


def _left(c: Any, family: str, name: str) -> Any:
    if family == "leaders":
        return c.leader(name, ttl=TTL).current()
    if "permits" in family:
        return c.semaphore(name, limit=LIMIT).holders()
    return c.holder(name)


async def _join(lane: Lane) -> None:
    group, name = lane.c.group("crew", ttl=GROUP_TTL), lane.token()
    joining = group.join(name)
    got = await lane.enter("groups", "crew", joining, lambda me: me.incarnation, note=name)
    if not got.is_done:
        return
    await lane.call(
        "groups", "crew", "members", group.members, show=lambda found: [each.member for each in found], note=name
    )
    await lane.leave("groups", "crew", joining, note=name)


def _judge_groups(seen: Seen) -> Iterator[Finding]:
    records = [each for some in seen.of("groups").values() for each in some]
    left = {each.note: each.ended for each in records if each.op == "leave" and each.is_done}
    for record in records:
        if record.op != "members" or not record.is_done:
            continue
        for ghost in record.value:
            if left.get(ghost, record.ended) < record.started:
                yield Finding("left", f"groups: {ghost} is listed after it left", by_loss=True)
        # Its first heartbeat is not due before a third of the TTL.
        if record.note not in record.value and seen.is_calm(record.started - GROUP_TTL, record.ended):
            yield Finding("lost", f"groups: {record.note} is a member and not listed", by_loss=True)
    if still := seen.c.group("crew", ttl=GROUP_TTL).members():
        yield Finding("left", f"groups: {still} are members still")


FAMILIES = {
    "claims": Family(_claim, _judged("claims"), 8),
    "permits": Family(_permit, _judged("permits", LIMIT), 6),
    "holds": Family(_hold, _judged("holds"), 3),
    "held permits": Family(_hold_permit, _judged("held permits", LIMIT), 2),
    "leaders": Family(_lead, _judged("leaders"), 1),
    "groups": Family(_join, _judge_groups, 1),
}
