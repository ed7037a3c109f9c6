"""Counters, lists, sets, versions and stats: what was counted is what callers were answered, up to unknown outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from torture.journal import Record
from torture.judging import Family, Finding, Seen, ungrown
from torture.lane import Lane

__all__ = ["FAMILIES"]


async def _count(lane: Lane) -> None:
    name, kv = f"n-{lane.random.randrange(8)}", lane.c.kv
    await lane.count("kv", name, "incr", lambda op_id: kv.incr(name, op_id=op_id))


def _judge_counts(seen: Seen) -> Iterator[Finding]:
    for name, records in seen.of("kv", "incr").items():
        answers = [each.value for each in records if each.is_done]
        yield from _compared(name, len(answers), _open(records), seen.c.kv.get_int(name))
        if twice := len(answers) - len(set(answers)):
            yield Finding("doubled", f"{name}: {twice} sums were answered twice", by_loss=True, count=twice)


def _compared(name: str, done: int, open_: int, found: int) -> Iterator[Finding]:
    if found < done:
        yield Finding("lost", f"{name}: {done} done, {found} found", by_loss=True, count=done - found)
    if found > done + open_:
        text = f"{name}: {done} done, {open_} unknown, {found} found"
        yield Finding("doubled", text, count=found - done - open_)


def _open(records: list[Record]) -> int:
    return sum(each.is_open for each in records)


async def _push(lane: Lane) -> None:
    name, token, kv = lane.shared("l"), lane.token(), lane.c.kv
    await lane.count("lists", name, "rpush", lambda op_id: kv.rpush(name, token, op_id=op_id), note=token)


def _judge_lists(seen: Seen) -> Iterator[Finding]:
    for name, records in seen.of("lists").items():
        yield from _tokens(name, records, Counter(seen.c.kv.lrange(name)))


def _tokens(name: str, records: list[Record], found: Counter[str], *, excused: bool = False) -> Iterator[Finding]:
    """Compare the tokens that were handed in with those that are there."""
    for record in records:
        times = found[record.note]
        if record.is_done and not times and not excused:
            yield Finding("lost", f"{name}: {record.note} is not there", by_loss=True)
        elif times > 1:
            yield Finding("doubled", f"{name}: {record.note} is there {times} times", count=times - 1)
        elif times and not record.is_done and not record.is_open:
            yield Finding("doubled", f"{name}: {record.note} was {record.outcome}, and is there: {record.value}")


async def _members(lane: Lane) -> None:
    name, token, kv = lane.shared("s"), lane.token(), lane.c.kv
    await lane.count("sets", name, "sadd", lambda op_id: kv.sadd(name, token, op_id=op_id), note=token)
    if lane.random.random() < 0.5:
        await lane.count("sets", name, "srem", lambda op_id: kv.srem(name, token, op_id=op_id), note=token)


def _judge_sets(seen: Seen) -> Iterator[Finding]:
    for name, records in seen.of("sets").items():
        added = {each.note: each for each in records if each.op == "sadd"}
        for record in records:
            sure = added[record.note].is_done
            if record.is_done and sure and record.value != 1:
                by_loss = record.op == "srem"
                yield Finding("doubled", f"{name}: {record.op} of {record.note}: {record.value}", by_loss=by_loss)
        left = len(added) - sum(each.op == "srem" and each.is_done for each in records)
        unsure = sum(not each.is_done for each in records)
        if abs((there := seen.c.kv.scard(name)) - left) > unsure:
            yield Finding("lost", f"{name}: {left} members expected, {there} found", by_loss=True)


async def _first(lane: Lane) -> None:
    name, kv = lane.shared("f", 4), lane.c.kv
    await lane.count("firsts", name, "set", lambda op_id: kv.set_if_absent(name, op_id=op_id))


async def _once(lane: Lane) -> None:
    name, c = lane.shared("o", 4), lane.c
    await lane.call("once", name, "once", lambda: c.once(name, ttl=3600))


def _one_winner(family: str) -> Any:
    def judge(seen: Seen) -> Iterator[Finding]:
        for name, records in seen.of(family).items():
            winners = sum(each.value is True for each in records if each.is_done)
            if winners > 1:
                yield Finding("doubled", f"{family} {name}: {winners} winners", by_loss=True, count=winners - 1)
            if not winners and not _open(records) and any(each.is_done for each in records):
                yield Finding("lost", f"{family} {name}: refused to all")

    return judge


async def _bump(lane: Lane) -> None:
    name, c = f"v-{lane.random.randrange(4)}", lane.c
    if lane.random.random() < 0.8:
        await lane.count("versions", name, "bump", lambda op_id: c.bump(name, op_id=op_id))
        return
    seen = await lane.call("versions", name, "version", lambda: c.version(name))
    if seen.is_done:
        await lane.count(
            "versions",
            name,
            "bump_if_current",
            lambda op_id: c.bump_if_current(name, seen.value, op_id=op_id),
            note=seen.value,
            show=lambda bump: [bump.bumped, bump.version],
        )


def _judge_versions(seen: Seen) -> Iterator[Finding]:
    for name, records in seen.of("versions", "bump", "bump_if_current").items():
        for text in ungrown(records, _version):
            yield Finding("not grown", text)
        highest = max((version for each in records if each.is_done and (version := _version(each.value))), default=0)
        if (now := seen.c.version(name)) < highest:
            yield Finding("lost", f"{name}: version {now} after {highest}", by_loss=True)
        from_ = Counter(
            each.note for each in records if each.op == "bump_if_current" and each.is_done and each.value[0]
        )
        for version, times in from_.items():
            if times > 1:
                yield Finding("doubled", f"{name}: {times} bumps of version {version}", by_loss=True)


def _version(value: Any) -> int | None:
    if isinstance(value, list):
        return value[1] if value[0] else None
    return int(value)


async def _merge(lane: Lane) -> None:
    name, token, stats = lane.shared("t"), lane.token(), lane.c.stats("torture")
    if lane.random.random() < 0.9:
        delta = {token: 1}
        await lane.count("stats", name, "merge", lambda op_id: stats.merge(name, delta, op_id=op_id), note=token)
    else:
        await lane.count("stats", name, "consume", lambda op_id: stats.consume(name, op_id=op_id))


def _judge_stats(seen: Seen) -> Iterator[Finding]:
    stats = seen.c.stats("torture")
    for name, records in seen.of("stats").items():
        consumed = [each for each in records if each.op == "consume"]
        found = Counter[str](stats.peek(name) or {})
        for each in consumed:
            if each.is_done and each.value:
                found.update(each.value)
        merged = [each for each in records if each.op == "merge"]
        for finding in _tokens(name, merged, found, excused=bool(_open(consumed))):
            # Counts that were consumed come back with a server that lost it.
            by_loss = finding.by_loss or bool(consumed)
            yield Finding(finding.column, finding.text, by_loss=by_loss, count=finding.count)


FAMILIES = {
    "kv": Family(_count, _judge_counts, 20),
    "lists": Family(_push, _judge_lists, 12),
    "sets": Family(_members, _judge_sets, 5),
    "firsts": Family(_first, _one_winner("firsts"), 4),
    "once": Family(_once, _one_winner("once"), 6),
    "versions": Family(_bump, _judge_versions, 14),
    "stats": Family(_merge, _judge_stats, 16),
}
