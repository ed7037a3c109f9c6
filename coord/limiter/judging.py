"""The scripts that judge: what several limits say to a cost, and their twins."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from coord.extend import Keyspace, ReplyError, load, now_us, recall, refuse, remember, whole

__all__ = [
    "HIT",
    "PEEK",
    "PENALIZE",
    "REFUND",
    "RESET",
    "Row",
    "judge",
    "keep_until",
    "moment",
    "places",
    "schedule",
]

_MOST = 1 << 50
_EXACT = 1 << 53
_pair = re.compile(r"(0|[1-9][0-9]{0,15})\|(0|[1-9][0-9]{0,15})").fullmatch
_LARGEST = 1 << 52
"""Later sums must stay below 2**53 in Lua."""


@dataclass(slots=True)
class Row:
    """The verdict of one limit on a cost: its time before and after, and how long the cost has to wait."""

    limit: str
    us: int
    part: int
    cost_us: int
    cost_part: int
    after_us: int
    after_part: int
    wait: int


class _Limit(NamedTuple):
    """A limit and a cost: what both take in whole microseconds, and in parts of one, which has ``amount`` parts."""

    field: str
    amount: int
    cost_us: int
    cost_part: int
    burst_us: int
    burst_part: int


def corrupt() -> ReplyError:
    return ReplyError("COORD_CORRUPT this limiter was not written by coord")


def pair(kept: str) -> tuple[int, int]:
    """Return two whole numbers as a limiter keeps them."""
    found = _pair(kept)
    if found is None:
        raise corrupt()
    left, right = int(found[1]), int(found[2])
    if left >= _EXACT or right >= _EXACT:
        raise corrupt()
    return left, right


def tat(kept: str | None, now: int) -> tuple[int, int]:
    if kept is None:
        return now, 0
    us, part = pair(kept)
    if us > _LARGEST or part > _MOST:
        raise corrupt()
    return (now, 0) if us < now else (us, part)


@lru_cache(maxsize=1024)
def _limits(words: tuple[str | int, ...]) -> tuple[_Limit, ...]:
    """Return the limits that some words describe. A limiter sends the same words again and again."""
    starts = range(0, len(words), 6)
    return tuple(_Limit(str(words[i]), *map(int, words[i + 1 : i + 6])) for i in starts)


def _check_range(limit: _Limit) -> None:
    if max(limit[1:]) > _MOST:
        raise ReplyError("COORD_RANGE a limit's number is above 2^50")


def judge(space: Keyspace, limiter: str, words: tuple[str | int, ...], now: int) -> tuple[list[Row], int, str | None]:
    """Ask several limits for a cost. Return what each says, when the penalty ends, and the field of the places."""
    penalty, places, *times = space.hmget(limiter, "penalty", "places", *map(str, words[::6]))
    ends = _ends(penalty)
    rows: list[Row] = []
    for limit, kept in zip(_limits(words), times, strict=True):
        _check_range(limit)
        field, amount, cost_us, cost_part, burst_us, burst_part = limit
        us, part = tat(kept, now)
        after_us, after_part = us + cost_us, part + cost_part
        if after_part >= amount:
            after_us, after_part = after_us + 1, after_part - amount
        wait = after_us - burst_us - now + (after_part > burst_part)
        rows.append(Row(field, us, part, cost_us, cost_part, after_us, after_part, wait))
    return rows, ends, places


def _ends(penalty: str | None) -> int:
    """Return when a penalty ends; 0: none is set."""
    if penalty is None:
        return 0
    if not whole(penalty):
        raise corrupt()
    return int(penalty)


def places(kept: str | None) -> tuple[int, int]:
    """Return the latest place that was booked, and by how much penalties have moved all places."""
    return (0, 0) if kept is None else pair(kept)


def schedule(space: Keyspace, limiter: str) -> tuple[int, int, int]:
    """Return when the penalty ends, the latest place, and by how much penalties have moved all places."""
    penalty, kept = space.hmget(limiter, "penalty", "places")
    return _ends(penalty), *places(kept)


def verdict(rows: list[Row], penalty: int, now: int, *, taken: bool) -> tuple[str, bool]:
    """Return the answer, and whether the cost passes; ``taken``: the answer shows the times after it."""
    penalized = penalty - now if penalty > now else 0
    longest = refusing = 0
    for i, row in enumerate(rows, 1):
        if row.wait > longest:
            longest, refusing = row.wait, i
    wait = max(penalized, longest)
    answer = f"0,{wait},{0 if penalized else refusing},{penalized}" if wait else "1,0,0,0"
    for row in rows:
        us, part = (row.after_us, row.after_part) if taken and not wait else (row.us, row.part)
        answer = f"{answer},{us - now},{part}"
    return answer, not wait


def moment(us: int, part: int) -> str:
    """Return a time as a limiter keeps it."""
    return f"{us}|{part}"


def keep_until(space: Keyspace, key: str, us: int, now: int) -> None:
    """Let a key live at least to the end of the millisecond of a moment."""
    left_ms = us // 1000 - now // 1000 + 1
    if space.pttl(key) < left_ms:
        space.pexpire(key, left_ms)


def _hit(
    space: Keyspace, limiter: str, op: str, sequence: int, remember_ms: int, repeated: str, *limits: str | int
) -> str:
    answered = recall(space, op, sequence, remember_ms)
    if answered is not None:
        return answered
    now = now_us(space)
    rows, penalty, _ = judge(space, limiter, limits, now)
    answer, passes = verdict(rows, penalty, now, taken=True)
    if not passes:
        refuse(space, op, sequence, remember_ms, repeated, answer)
        return answer
    words: list[str] = []
    full = now
    for row in rows:
        words += row.limit, f"{row.after_us}|{row.after_part}"
        full = max(full, row.after_us)
    space.hset(limiter, *words)
    keep_until(space, limiter, full, now)
    remember(space, op, sequence, remember_ms, answer)
    return answer


def _peek(space: Keyspace, limiter: str, *limits: str | int) -> str:
    now = now_us(space)
    rows, penalty, _ = judge(space, limiter, limits, now)
    return verdict(rows, penalty, now, taken=False)[0]


def _refund(space: Keyspace, limiter: str, op: str, sequence: int, remember_ms: int, *limits: str | int) -> int:
    if recall(space, op, sequence, remember_ms) is not None:
        return 1
    now = now_us(space)
    full = now
    words: list[str] = []
    gone: list[str] = []
    for limit, kept in zip(_limits(limits), space.hmget(limiter, *map(str, limits[::6])), strict=True):
        _check_range(limit)
        field, amount, cost_us, cost_part, _, _ = limit
        us, part = tat(kept, now)
        us, part = us - cost_us, part - cost_part
        if part < 0:
            us, part = us - 1, part + amount
        if us >= now:
            words += field, moment(us, part)
            full = max(full, us)
        elif kept is not None:
            gone.append(field)
    if gone:
        space.hdel(limiter, *gone)
    if words:
        space.hset(limiter, *words)
    keep_until(space, limiter, full, now)
    remember(space, op, sequence, remember_ms, "1")
    return 1


def _penalize(space: Keyspace, limiter: str, op: str, penalty_ms: int, sequence: int, remember_ms: int) -> int:
    if recall(space, op, sequence, remember_ms) is not None:
        return 1
    now = now_us(space)
    before, last, delay = schedule(space, limiter)
    free = max(now, before)
    penalty = max(free, now + penalty_ms * 1000)
    words, full = ["penalty", str(penalty)], penalty
    if last > now and penalty > free:
        kept = space.hgetall(limiter)
        for field, value in zip(kept[::2], kept[1::2], strict=True):
            if "/" in field:
                us, part = tat(value, now)
                if us > now:
                    words += field, moment(us + penalty - free, part)
                    full = max(full, us + penalty - free)
        words += "places", moment(last + penalty - free, delay + penalty - free)
    space.hset(limiter, *words)
    keep_until(space, limiter, full, now)
    remember(space, op, sequence, remember_ms, "1")
    return 1


def _reset(space: Keyspace, limiter: str, op: str, sequence: int, remember_ms: int, repeated: str) -> str:
    answered = recall(space, op, sequence, remember_ms)
    if answered is not None:
        return answered
    if not space.delete(limiter):
        refuse(space, op, sequence, remember_ms, repeated, "0")
        return "0"
    remember(space, op, sequence, remember_ms, "1")
    return "1"


HIT = load("limiter_hit", _hit)
PEEK = load("limiter_peek", _peek)
REFUND = load("limiter_refund", _refund)
PENALIZE = load("limiter_penalize", _penalize)
RESET = load("limiter_reset", _reset)
