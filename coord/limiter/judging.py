"""The scripts that judge: what several limits say to a cost, and their twins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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
    "limits_in",
    "moment",
    "penalty_end",
    "places",
]

_MOST = 1 << 50
_LARGEST = 1 << 52
"""Later sums must stay below 2**53 in Lua."""


@dataclass(slots=True)
class Row:
    """What one limit says to a cost: its time before and after it, and how long the cost has to wait."""

    limit: str
    cost: tuple[int, int]
    before: tuple[int, int]
    after: tuple[int, int]
    wait: int


def corrupt() -> ReplyError:
    return ReplyError("COORD_CORRUPT this limiter was not written by coord")


def pair(kept: str) -> tuple[int, int]:
    """Return two whole numbers as a limiter keeps them."""
    left, separator, right = kept.partition("|")
    if not separator or not whole(left) or not whole(right):
        raise corrupt()
    return int(left), int(right)


def tat(kept: str | None, now: int) -> tuple[int, int]:
    if kept is None:
        return now, 0
    us, part = pair(kept)
    if us > _LARGEST or part > _MOST:
        raise corrupt()
    return (now, 0) if us < now else (us, part)


def limits_in(words: tuple[str | int, ...]) -> Iterator[tuple[str, list[int]]]:
    """Yield each limit's field and its five numbers; see ``lua/lib/limit_at.lua``."""
    for i in range(0, len(words), 6):
        numbers = [int(word) for word in words[i + 1 : i + 6]]
        if max(numbers) > _MOST:
            raise ReplyError("COORD_RANGE a limit's number is above 2^50")
        yield str(words[i]), numbers


def judge(space: Keyspace, limiter: str, limit: str, numbers: list[int], now: int) -> Row:
    """Ask one limit for a cost: its time before and after it, and how long it waits."""
    amount, cost_us, cost_part, burst_us, burst_part = numbers
    before = tat(space.hget(limiter, limit), now)
    after_us, after_part = before[0] + cost_us, before[1] + cost_part
    if after_part >= amount:
        after_us, after_part = after_us + 1, after_part - amount
    wait = after_us - burst_us - now + (after_part > burst_part)
    return Row(limit, (cost_us, cost_part), before, (after_us, after_part), wait)


def penalty_end(space: Keyspace, limiter: str) -> int:
    """Return when the penalty of a limiter ends; 0: none is set."""
    penalty = space.hget(limiter, "penalty")
    if penalty is not None and not whole(penalty):
        raise corrupt()
    return int(penalty or 0)


def verdict(rows: list[Row], penalty: int, now: int, *, passed: bool) -> str:
    penalized = max(0, penalty - now)
    longest, refusing = max((max(0, row.wait), -i) for i, row in enumerate(rows, 1))
    wait = max(longest, penalized)
    words = [int(not wait), wait, 0 if penalized or not longest else -refusing, penalized]
    for row in rows:
        us, part = row.after if passed else row.before
        words += us - now, part
    return ",".join(map(str, words))


def moment(us: int, part: int) -> str:
    """Return a time as a limiter keeps it."""
    return f"{us}|{part}"


def keep_until(space: Keyspace, key: str, us: int, now: int) -> None:
    """Let a key live at least to the end of the millisecond of a moment."""
    left_ms = us // 1000 - now // 1000 + 1
    space.pexpire(key, max(left_ms, space.pttl(key)))


def _hit(
    space: Keyspace, limiter: str, op: str, sequence: int, remember_ms: int, repeated: str, *limits: str | int
) -> str:
    answered = recall(space, op, sequence, remember_ms)
    if answered is not None:
        return answered
    now = now_us(space)
    penalty = penalty_end(space, limiter)
    rows = [judge(space, limiter, *limit, now) for limit in limits_in(limits)]
    passes = penalty <= now and all(row.wait <= 0 for row in rows)
    answer = verdict(rows, penalty, now, passed=passes)
    if not passes:
        refuse(space, op, sequence, remember_ms, repeated, answer)
        return answer
    for row in rows:
        space.hset(limiter, row.limit, moment(*row.after))
    keep_until(space, limiter, max(row.after[0] for row in rows), now)
    remember(space, op, sequence, remember_ms, answer)
    return answer


def _peek(space: Keyspace, limiter: str, *limits: str | int) -> str:
    now = now_us(space)
    penalty = penalty_end(space, limiter)
    rows = [judge(space, limiter, *limit, now) for limit in limits_in(limits)]
    return verdict(rows, penalty, now, passed=False)


def _refund(space: Keyspace, limiter: str, op: str, sequence: int, remember_ms: int, *limits: str | int) -> int:
    if recall(space, op, sequence, remember_ms) is not None:
        return 1
    now = now_us(space)
    rows: list[tuple[str, int, int]] = []
    gone: list[str] = []
    for limit, (amount, cost_us, cost_part, *_) in limits_in(limits):
        kept = space.hget(limiter, limit)
        us, part = tat(kept, now)
        us, part = us - cost_us, part - cost_part
        if part < 0:
            us, part = us - 1, part + amount
        if us >= now:
            rows.append((limit, us, part))
        elif kept is not None:
            gone.append(limit)
    for limit in gone:
        space.hdel(limiter, limit)
    for limit, us, part in rows:
        space.hset(limiter, limit, moment(us, part))
    keep_until(space, limiter, max([now, *(us for _, us, _ in rows)]), now)
    remember(space, op, sequence, remember_ms, "1")
    return 1


def places(space: Keyspace, limiter: str) -> tuple[int, int]:
    """Return the latest place that was booked, and by how much penalties have moved all places."""
    kept = space.hget(limiter, "places")
    return (0, 0) if kept is None else pair(kept)


def _penalize(space: Keyspace, limiter: str, op: str, penalty_ms: int, sequence: int, remember_ms: int) -> int:
    if recall(space, op, sequence, remember_ms) is not None:
        return 1
    now = now_us(space)
    before = penalty_end(space, limiter)
    last, delay = places(space, limiter)
    free = max(now, before)
    penalty = max(free, now + penalty_ms * 1000)
    moved: dict[str, str] = {}
    full = penalty
    if last > now and penalty > free:
        kept = space.hgetall(limiter)
        for field, value in zip(kept[::2], kept[1::2], strict=True):
            if "/" in field:
                us, part = tat(value, now)
                if us > now:
                    moved[field] = moment(us + penalty - free, part)
                    full = max(full, us + penalty - free)
        moved["places"] = moment(last + penalty - free, delay + penalty - free)
    space.hset(limiter, "penalty", str(penalty))
    for field, value in moved.items():
        space.hset(limiter, field, value)
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
