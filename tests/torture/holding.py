"""Claims, holds, permits, leaders and members: never more inside than may be, fences grow, nothing stays held."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torture.judging import Family, Finding, Seen, overlaps, stalled, ungrown
from torture.lane import Lane

__all__ = ["FAMILIES", "LONGEST_TTL"]

TTL = 2.0
GROUP_TTL = 3.0
LONGEST_TTL = GROUP_TTL
"""Seconds after which nothing may be held that nobody renews."""

LIMIT = 2


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
    await lane.sleep(lane.random.uniform(0, 0.004))
    if lane.random.random() < 0.3:
        await lane.call(family, name, "renew", lease.renew)
    lane.inside(family, name, lease, got.ended, lease.fence)
    if lane.random.random() < 0.95:
        await lane.call(family, name, "release", lease.release)


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
        await lane.sleep(lane.random.uniform(0, 0.004))
        lane.inside(family, name, got.value, got.ended, got.value.fence)
        await lane.leave(family, name, holding)


def _judged(family: str, limit: int = 1) -> Any:
    def judge(seen: Seen) -> Iterator[Finding]:
        for facts in seen.facts_of(family, "inside").values():
            for text in overlaps(facts, limit):
                yield Finding("two holders", f"{family}: {text}", by_loss=True)
        for grants in seen.of(family, "claim", "enter").values():
            for text in ungrown(grants):
                yield Finding("not grown", text)
            for text in stalled(seen, [each for each in grants if each.op == "enter"], grants):
                yield Finding("never woken", text)
        for name in seen.of(family):
            if left := _left(seen.c, family, name):
                yield Finding("left", f"{family} {name}: {left}")

    return judge


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
