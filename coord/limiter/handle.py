"""The handle of a rate limiter, and its verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from coord.extend import (
    Call,
    Deadline,
    Family,
    M,
    Plan,
    Runs,
    Seconds,
    as_nothing,
    in_time,
    milliseconds,
    op,
    planned,
    reads,
    repeats,
)
from coord.limit import Limit, checked_amount, checked_limits
from coord.limiter.booking import Booking
from coord.limiter.judging import HIT, PEEK, PENALIZE, REFUND, RESET

__all__ = ["Limiter", "Verdict"]

_DAY_MS = 24 * 3600 * 1000
_KNOWN_COSTS = 256


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


class _Rate(NamedTuple):
    """A limit in microseconds."""

    field: str
    amount: int
    per_us: int
    burst: int

    @classmethod
    def of(cls, limit: Limit) -> _Rate:
        per_us = limit.per_ms * 1000
        return cls(f"{limit.amount}/{per_us}", limit.amount, per_us, limit.burst or limit.amount)

    def time_of(self, cost: int) -> tuple[int, int]:
        """Return the time that a cost takes: whole microseconds, and a part in units of 1/amount."""
        return divmod(cost * self.per_us, self.amount)


class _Terms:
    """Some limits as scripts take them."""

    def __init__(self, limits: tuple[Limit, ...]) -> None:
        self.rates = tuple(_Rate.of(limit) for limit in limits)
        if len({rate.field for rate in self.rates}) < len(limits):
            raise ValueError("two limits of a limiter have the same amount and per: remove one of them")
        self.most = min(rate.burst for rate in self.rates)
        # A caller's operation id is remembered for a day, or for as long as the longest limit.
        self.window_ms = max(_DAY_MS, *(limit.per_ms for limit in limits))
        self._words: dict[int, tuple[str | int, ...]] = {}

    def asking(self, cost: int) -> tuple[str | int, ...]:
        """Return the words of each limit for a cost."""
        words = self._words.get(cost) if cost.__class__ is int else None
        if words is None:
            cost = checked_amount(cost, "a cost", self.most)
            words = tuple(
                word
                for rate in self.rates
                for word in (rate.field, rate.amount, *rate.time_of(cost), *rate.time_of(rate.burst))
            )
            if len(self._words) >= _KNOWN_COSTS:
                self._words.clear()
            self._words[cost] = words
        return words


# A service makes a limiter for each request, with a new name and the same limits.
_terms = lru_cache(maxsize=256)(_Terms)


class Limiter(Family[M]):
    """A rate limiter of one name, under one or several limits. Made by ``c.limiter``."""

    def __init__(self, c: Runs[M], name: str, *limits: Limit) -> None:
        super().__init__(c)
        self.name = name
        self.limits = checked_limits(limits, "a limiter")
        self._terms = terms = _terms(limits)
        self._asking = terms.asking
        self._key = self.ops.key("limiter", name)
        self._verdict = reads(self._read)

    @op
    def hit(self, cost: int = 1, *, op_id: str | None = None) -> Call[Verdict]:
        """Let a cost pass if every limit has room for it; a refusal takes nothing from any.

        ``cost``: an int, at least 1 and at most the smallest burst. The same ``op_id`` again takes nothing more and
        gets the first verdict, for a day or the longest ``per``; the id of a hit that was refused may be used again.
        """
        key, sequence, remember_ms = self.ops.remembered(self._key, op_id, self._terms.window_ms)
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
        key, sequence, remember_ms = self.ops.remembered(self._key, op_id, self._terms.window_ms)
        return self.ops.call(REFUND, (self._key, key), (sequence, remember_ms, *self._asking(cost)), as_nothing)

    @op
    def penalize(self, seconds: Seconds, *, op_id: str | None = None) -> Call[None]:
        """Refuse every cost for ``seconds`` from now, in all instances, as after a 429 response with Retry-After.

        The latest end of several penalties counts, under all limits of this name. Waiters keep their order and continue
        after it. ``reset`` ends it, ``refund`` does not shorten it.
        """
        key, sequence, remember_ms = self.ops.remembered(self._key, op_id, self._terms.window_ms)
        argv = (milliseconds(seconds, "a penalty"), sequence, remember_ms)
        return self.ops.call(PENALIZE, (self._key, key), argv, as_nothing)

    @op
    def reset(self, *, op_id: str | None = None) -> Call[bool]:
        """Make every limit of this name full again, and end a penalty; return whether it had any state.

        Waiters keep the times that they were given.
        """
        key, sequence, remember_ms = self.ops.remembered(self._key, op_id, self._terms.window_ms)
        return self.ops.call(RESET, (self._key, key), (sequence, remember_ms, repeats(op_id)), "1".__eq__)

    @planned
    def wait(self, cost: int = 1, timeout: Seconds | None = None) -> Plan[None]:
        """Book the next free time in the schedule at once, and return when it has come.

        ``cost`` as for ``hit``. Raises ``WaitTimeout`` at once, and books nothing, if it is more than ``timeout``
        seconds away (None: 10 years), also if a penalty moves it there later. A wait that is cancelled returns its
        booking, unless more has been booked since. Bookings are in the order of the calls.
        """
        deadline = Deadline.after(self.ops.clock, timeout)
        asking = self._asking(cost)
        place = Booking(self.ops, self.name, self._key, (rate.field for rate in self._terms.rates))
        unknown = f"nothing could be booked in the limiter {self.name!r} within {timeout} s"
        yield from in_time(place.returned_if_cut_short(place.waiting(asking, deadline)), deadline, unknown)

    def _read(self, reply: str) -> Verdict:
        allowed, wait_us, refusing, penalty_us, *times = map(int, reply.split(","))
        remaining, reset_us = self._terms.most, penalty_us
        for (_, amount, per_us, burst), ahead_us, part in zip(self._terms.rates, times[::2], times[1::2], strict=True):
            # Rounded up: what is taken in part is taken.
            left = burst + (-ahead_us * amount - part) // per_us
            remaining = min(remaining, left)
            if ahead_us >= reset_us:
                reset_us = ahead_us + (part > 0)
        return Verdict(
            allowed=bool(allowed),
            remaining=0 if penalty_us else max(remaining, 0),
            retry_after=wait_us / 1e6,
            reset_after=reset_us / 1e6,
            limit=self.limits[refusing - 1] if refusing else None,
        )
