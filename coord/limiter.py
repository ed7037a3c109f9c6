"""Rate limiters: at most so much in so much time, over all instances (GCRA).

A limit is kept as one time, the TAT (theoretical arrival time): when it would be full again if nothing more came. A
cost moves it by the time that the cost takes, and may not move it further than a burst ahead of the server's clock.
Times are exact: whole microseconds and a part of one, so in any span T at most ``burst + rate * T`` passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from coord.extend import (
    Call,
    Family,
    Keyspace,
    M,
    ReplyError,
    Runs,
    Seconds,
    as_nothing,
    load,
    milliseconds,
    now_us,
    op,
    reads,
    recall,
    refuse,
    remember,
    repeats,
    whole,
)
from coord.limit import Limit, checked_amount, checked_limits

__all__ = ["Limiter", "Verdict"]

_DAY_MS = 24 * 3600 * 1000
_TEN_YEARS_MS = 10 * 365 * _DAY_MS
_KNOWN_COSTS = 256
_UNDO = 10.0
"""Seconds for which a waiter that leaves tries to return its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer of a rate limiter; it is true when the cost passes.

    ``remaining``: how much more would pass now. ``retry_after``: seconds until the cost would pass, 0.0 when it does.
    ``reset_after``: seconds until the limiter is full again. ``limit``: the one that refuses, of several the one that
    takes longest; None when the cost passes, and during a penalty.
    """

    allowed: bool
    remaining: int
    retry_after: float
    reset_after: float
    limit: Limit | None

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True, slots=True)
class _Rate:
    """A limit in microseconds."""

    limit: Limit
    field: str
    amount: int
    per_us: int
    burst: int

    @classmethod
    def of(cls, limit: Limit) -> _Rate:
        per_us = limit.per_ms * 1000
        return cls(limit, f"{limit.amount}/{per_us}", limit.amount, per_us, limit.burst or limit.amount)

    def time_of(self, cost: int) -> tuple[int, int]:
        """Return the time that a cost takes: whole microseconds, and a part in units of 1/amount."""
        return divmod(cost * self.per_us, self.amount)


class Limiter(Family[M]):
    """A rate limiter of one name, under one or several limits. Made by ``c.limiter``."""

    def __init__(self, c: Runs[M], name: str, *limits: Limit) -> None:
        super().__init__(c)
        self.name = name
        self.limits = checked_limits(limits, "a limiter")
        self._rates = [_Rate.of(limit) for limit in limits]
        if len({rate.field for rate in self._rates}) < len(limits):
            raise ValueError("two limits of a limiter have the same amount and time: their state would be one")
        self._most = min(rate.burst for rate in self._rates)
        self._key = self.ops.key("limiter", name)
        self._words: dict[int, tuple[str | int, ...]] = {}
        # A caller's operation id is remembered for a day, or for as long as the longest limit.
        self._window_ms = max(_DAY_MS, *(limit.per_ms for limit in limits))
        self._verdict = reads(self._read)

    @op
    def hit(self, cost: int = 1, *, op_id: str | None = None) -> Call[Verdict]:
        """Let a cost pass if every limit has room for it; a refusal takes nothing from any.

        ``cost``: an int, at least 1 and at most the smallest burst. The same ``op_id`` again takes nothing more and
        gets the first verdict, for a day or the longest ``per``; the id of a hit that was refused may be used again.
        """
        key, sequence, remember_ms = self.ops.remembered(self._key, op_id, self._window_ms)
        argv = (sequence, remember_ms, repeats(op_id), *self._asking(cost))
        return self.ops.call(HIT, (self._key, key), argv, self._verdict)

    @op
    def peek(self, cost: int = 1) -> Call[Verdict]:
        """Return the verdict that ``hit`` would give now, and change nothing. ``cost`` as for ``hit``."""
        return self.ops.call(PEEK, (self._key,), self._asking(cost), self._verdict)

    @op
    def refund(self, cost: int = 1, *, op_id: str | None = None) -> Call[None]:
        """Give back a cost that passed and was not used; no limit becomes more than full.

        ``cost`` and ``op_id`` as for ``hit``.
        """
        key, sequence, remember_ms = self.ops.remembered(self._key, op_id, self._window_ms)
        return self.ops.call(REFUND, (self._key, key), (sequence, remember_ms, *self._asking(cost)), as_nothing)

    @op
    def penalize(self, seconds: Seconds, *, op_id: str | None = None) -> Call[None]:
        """Let nothing pass for ``seconds`` from now, in all instances: a server answered 429 with Retry-After, say.

        The latest end of several penalties counts, under all limits of this name. Waiters keep their order and go on
        behind it. ``reset`` ends it, ``refund`` does not shorten it.
        """
        key, sequence, remember_ms = self.ops.remembered(self._key, op_id, self._window_ms)
        argv = (milliseconds(seconds, "a penalty"), sequence, remember_ms)
        return self.ops.call(PENALIZE, (self._key, key), argv, as_nothing)

    @op
    def reset(self, *, op_id: str | None = None) -> Call[bool]:
        """Make every limit of this name full again, and end a penalty; return whether anything was kept of it.

        Waiters keep the times that they were given.
        """
        key, sequence, remember_ms = self.ops.remembered(self._key, op_id, self._window_ms)
        return self.ops.call(RESET, (self._key, key), (sequence, remember_ms, repeats(op_id)), "1".__eq__)

    def _asking(self, cost: int) -> tuple[str | int, ...]:
        """Return the words of each limit for a cost."""
        words = self._words.get(cost) if cost.__class__ is int else None
        if words is None:
            cost = checked_amount(cost, "a cost", self._most)
            words = tuple(
                word
                for rate in self._rates
                for word in (rate.field, rate.amount, *rate.time_of(cost), *rate.time_of(rate.burst))
            )
            if len(self._words) >= _KNOWN_COSTS:
                self._words.clear()
            self._words[cost] = words
        return words

    def _read(self, reply: str) -> Verdict:
        allowed, wait_us, refusing, penalty_us, *times = map(int, reply.split(","))
        remaining, reset_us = self._most, penalty_us
        for rate, ahead_us, part in zip(self._rates, times[::2], times[1::2], strict=True):
            # Rounded up: what is taken in part is taken.
            remaining = min(remaining, rate.burst + (-ahead_us * rate.amount - part) // rate.per_us)
            reset_us = max(reset_us, ahead_us + (part > 0))
        return Verdict(
            allowed=bool(allowed),
            remaining=0 if penalty_us else max(remaining, 0),
            retry_after=wait_us / 1e6,
            reset_after=reset_us / 1e6,
            limit=self.limits[refusing - 1] if refusing else None,
        )


# --- twins ---------------------------------------------------------------------------------------

_MOST = 1 << 50
_LARGEST = 1 << 52
"""Later sums must stay below 2**53 in Lua."""


@dataclass(slots=True)
class _Row:
    """What one limit says to a cost: its time before and after it, and how long the cost has to wait."""

    limit: str
    before: tuple[int, int]
    after: tuple[int, int]
    wait: int


def _corrupt() -> ReplyError:
    return ReplyError("COORD_CORRUPT this limiter was not written by coord")


def _pair(kept: str) -> tuple[int, int]:
    """Return two whole numbers as a limiter keeps them."""
    left, separator, right = kept.partition("|")
    if not separator or not whole(left) or not whole(right):
        raise _corrupt()
    return int(left), int(right)


def _tat(kept: str | None, now: int) -> tuple[int, int]:
    if kept is None:
        return now, 0
    us, part = _pair(kept)
    if us > _LARGEST or part > _MOST:
        raise _corrupt()
    return (now, 0) if us < now else (us, part)


def _limits(words: tuple[str | int, ...]) -> Iterator[tuple[str, list[int]]]:
    """Yield each limit's field, and its five numbers."""
    for i in range(0, len(words), 6):
        numbers = [int(word) for word in words[i + 1 : i + 6]]
        if max(numbers) > _MOST:
            raise ReplyError("COORD_RANGE a limit's number is above 2^50")
        yield str(words[i]), numbers


def _judge(space: Keyspace, limiter: str, limit: str, numbers: list[int], now: int) -> _Row:
    amount, cost_us, cost_part, burst_us, burst_part = numbers
    before = _tat(space.hget(limiter, limit), now)
    after_us, after_part = before[0] + cost_us, before[1] + cost_part
    if after_part >= amount:
        after_us, after_part = after_us + 1, after_part - amount
    wait = after_us - burst_us - now + (after_part > burst_part)
    return _Row(limit, before, (after_us, after_part), wait)


def _penalty_end(space: Keyspace, limiter: str) -> int:
    penalty = space.hget(limiter, "penalty")
    if penalty is not None and not whole(penalty):
        raise _corrupt()
    return int(penalty or 0)


def _verdict(rows: list[_Row], penalty: int, now: int, *, passed: bool) -> str:
    penalized = max(0, penalty - now)
    longest, refusing = max((max(0, row.wait), -i) for i, row in enumerate(rows, 1))
    wait = max(longest, penalized)
    words = [int(not wait), wait, 0 if penalized or not longest else -refusing, penalized]
    for row in rows:
        us, part = row.after if passed else row.before
        words += us - now, part
    return ",".join(map(str, words))


def _moment(us: int, part: int) -> str:
    return f"{us}|{part}"


def _keep_until(space: Keyspace, key: str, us: int, now: int) -> None:
    left_ms = us // 1000 - now // 1000 + 1
    space.pexpire(key, max(left_ms, space.pttl(key)))


def _hit(
    space: Keyspace, limiter: str, op: str, sequence: int, remember_ms: int, repeated: str, *limits: str | int
) -> str:
    answered = recall(space, op, sequence, remember_ms)
    if answered is not None:
        return answered
    now = now_us(space)
    penalty = _penalty_end(space, limiter)
    rows = [_judge(space, limiter, *limit, now) for limit in _limits(limits)]
    passes = penalty <= now and all(row.wait <= 0 for row in rows)
    answer = _verdict(rows, penalty, now, passed=passes)
    if not passes:
        refuse(space, op, sequence, remember_ms, repeated, answer)
        return answer
    for row in rows:
        space.hset(limiter, row.limit, _moment(*row.after))
    _keep_until(space, limiter, max(row.after[0] for row in rows), now)
    remember(space, op, sequence, remember_ms, answer)
    return answer


def _peek(space: Keyspace, limiter: str, *limits: str | int) -> str:
    now = now_us(space)
    penalty = _penalty_end(space, limiter)
    rows = [_judge(space, limiter, *limit, now) for limit in _limits(limits)]
    return _verdict(rows, penalty, now, passed=False)


def _refund(space: Keyspace, limiter: str, op: str, sequence: int, remember_ms: int, *limits: str | int) -> int:
    if recall(space, op, sequence, remember_ms) is not None:
        return 1
    now = now_us(space)
    rows: list[tuple[str, int, int]] = []
    gone: list[str] = []
    for limit, (amount, cost_us, cost_part, *_) in _limits(limits):
        kept = space.hget(limiter, limit)
        us, part = _tat(kept, now)
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
        space.hset(limiter, limit, _moment(us, part))
    _keep_until(space, limiter, max([now, *(us for _, us, _ in rows)]), now)
    remember(space, op, sequence, remember_ms, "1")
    return 1


def _places(space: Keyspace, limiter: str) -> tuple[int, int]:
    kept = space.hget(limiter, "places")
    return (0, 0) if kept is None else _pair(kept)


def _penalize(space: Keyspace, limiter: str, op: str, penalty_ms: int, sequence: int, remember_ms: int) -> int:
    if recall(space, op, sequence, remember_ms) is not None:
        return 1
    now = now_us(space)
    before = _penalty_end(space, limiter)
    last, delay = _places(space, limiter)
    free = max(now, before)
    penalty = max(free, now + penalty_ms * 1000)
    moved: dict[str, str] = {}
    full = penalty
    if last > now and penalty > free:
        kept = space.hgetall(limiter)
        for field, value in zip(kept[::2], kept[1::2], strict=True):
            if "/" in field:
                us, part = _tat(value, now)
                if us > now:
                    moved[field] = _moment(us + penalty - free, part)
                    full = max(full, us + penalty - free)
        moved["places"] = _moment(last + penalty - free, delay + penalty - free)
    space.hset(limiter, "penalty", str(penalty))
    for field, value in moved.items():
        space.hset(limiter, field, value)
    _keep_until(space, limiter, full, now)
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
