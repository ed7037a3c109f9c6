"""Places in the schedule of a limiter: booking, confirming and returning one, and their twins."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from coord.extend import (
    LAST_LOOK,
    Call,
    Compensate,
    Deadline,
    Keyspace,
    Plan,
    ReplyError,
    Sleep,
    Unavailable,
    WaitTimeout,
    all_whole,
    as_nothing,
    ask_by,
    compensating,
    load,
    nonce,
    now_us,
    reads,
)
from coord.limiter.judging import judge, keep_until, moment, places, schedule

__all__ = ["Booking"]

_TEN_YEARS_MS = 10 * 365 * 24 * 3600 * 1000
_UNDO = 10.0
"""Seconds for which a waiter that leaves tries to return its place."""


class Booking:
    """A place in the schedule of a limiter, booked by one waiter."""

    def __init__(self, ops: Any, name: str, key: str, fields: Iterable[str]) -> None:
        self._ops, self._name = ops, name
        self._keys = key, f"{key}:place:{nonce()}"
        self._fields = tuple(fields)
        self._is_mine = False
        """Whether the place is taken, or may be."""

    def book(self, asking: tuple[str | int, ...], wait_ms: int) -> Call[tuple[bool, float]]:
        """Take the place, unless its time is further away than that; return whether, and the seconds until then."""
        argv = (wait_ms, self._ops.tombstone_ms, "0", *asking)
        call: Call[tuple[bool, float]] = self._ops.calls.call(BOOK, self._keys, argv, _read_place)
        return call

    def confirm(self) -> Call[float]:
        """Return the seconds until the place's time, which a penalty may have moved."""
        call: Call[float] = self._ops.calls.call(CONFIRM, self._keys, (self._ops.tombstone_ms,), _read_wait)
        return call

    def unbook(self) -> Call[None]:
        """Return the place, unless more was booked since."""
        argv = (self._ops.tombstone_ms, *self._fields)
        call: Call[None] = self._ops.calls.call(UNBOOK, self._keys, argv, as_nothing)
        return call

    def waiting(self, asking: tuple[str | int, ...], deadline: Deadline) -> Plan[None]:
        """Take the place, and wait until its time has come; a penalty may move it meanwhile."""
        left = deadline.left
        wait_ms = _TEN_YEARS_MS if left is None else max(1, int(left * 1000))
        self._is_mine = True
        try:
            self._is_mine, wait = yield from ask_by(self.book(asking, wait_ms), deadline)
        except Unavailable:
            self._is_mine = False
            raise
        late = not self._is_mine
        while wait > 0 and not late:
            yield Sleep(wait)
            wait = yield from ask_by(self.confirm(), deadline)
            left = deadline.left
            # A penalty may have moved it; what is left of its own time is microseconds.
            late = left is not None and wait > max(left, LAST_LOOK)
        if late:
            raise WaitTimeout(
                f"the next free time of the limiter {self._name!r} is {wait:.3f} s away, after the timeout"
            )

    def returned_if_cut_short(self, plan: Plan[None]) -> Plan[None]:
        """Follow a plan; when it is cut short, return the place."""
        try:
            yield from plan
        except GeneratorExit:
            # The plan was dropped between two steps.
            if self._is_mine:
                with suppress(RuntimeError):
                    self._ops.keep(compensating(self._return()))
            raise
        except BaseException:
            # Any exception may come between booking and its reply: Ctrl-C, a cancellation, a job's time limit.
            if self._is_mine:
                yield self._return()
            raise

    def _return(self) -> Compensate:
        return Compensate(self.unbook(), _UNDO)


@reads
def _read_place(reply: list[int]) -> tuple[bool, float]:
    booked, wait_us = reply
    return bool(booked), wait_us / 1e6


@reads
def _read_wait(reply: int) -> float:
    return int(reply) / 1e6


# --- twins ---------------------------------------------------------------------------------------


def _book(
    space: Keyspace,
    limiter: str,
    place: str,
    wait_ms: int,
    tombstone_ms: int,
    repeated: str,
    *limits: str | int,
) -> list[int]:
    now = now_us(space)
    at, state, refused = space.hmget(place, "at", "state", "wait")
    _whole(at or "0", refused or "0")
    if state == "returned":
        return [0, int(refused or 0)]
    if at is not None:
        return [1, max(0, int(at) - now)]
    rows, penalty, kept = judge(space, limiter, limits, now)
    last, delay = places(kept)
    wait = max(0, penalty - now, *(row.wait for row in rows))
    if wait > wait_ms * 1000:
        if repeated == "1":
            space.hset(place, "state", "returned", "wait", str(wait))
            space.pexpire(place, tombstone_ms)
        return [0, wait]
    full = now + wait
    words: list[str] = []
    booking = ["at", str(full), "state", "booked", "places", moment(last, delay)]
    for row in rows:
        us, part = row.after_us, row.after_part
        if row.us < now + wait:
            us, part = now + wait + row.cost_us, row.cost_part
        words += row.limit, moment(us, part)
        booking += row.limit, f"{moment(row.us, row.part)}|{moment(us, part)}"
        full = max(full, us)
    if wait > 0:
        words += "places", moment(max(last, now + wait), delay)
    space.hset(place, *booking)
    space.pexpire(place, tombstone_ms + -(-wait // 1000))
    space.hset(limiter, *words)
    keep_until(space, limiter, full, now)
    return [1, wait]


def _whole(*texts: str | None) -> None:
    """Refuse a place whose numbers are not whole."""
    if not all_whole(*texts):
        raise ReplyError("COORD_CORRUPT this place was not written by coord")


def _confirm(space: Keyspace, limiter: str, place: str, tombstone_ms: int) -> int:
    now = now_us(space)
    at, then = space.hmget(place, "at", "places")
    penalty, _, delay = schedule(space, limiter)
    if at is None:
        return 0
    last, _, before = (then or "").partition("|")
    _whole(at, last, before)
    wait = int(at) - now
    if delay > int(before):
        wait = max(wait + delay - int(before), penalty - now)
    if wait <= 0:
        return 0
    space.pexpire(place, tombstone_ms + -(-wait // 1000))
    return wait


def _unbook(space: Keyspace, limiter: str, place: str, tombstone_ms: int, *rates: str) -> int:
    now = now_us(space)
    state, at, then, *booked = space.hmget(place, "state", "at", "places", *rates)
    latest, *times = space.hmget(limiter, "places", *rates)
    words: list[str] = []
    gone: list[str] = []
    last, full = state == "booked", now
    if last:
        before, _, delay = (then or "").partition("|")
        _whole(at, before, delay)
        moved = places(latest)[1]
        shift = max(0, moved - int(delay))
        for rate, change, time in zip(rates, booked, times, strict=True):
            us, part, after_us, after_part = [*(change or "").split("|"), "", "", ""][:4]
            _whole(us, part, after_us, after_part)
            last = last and time == moment(int(after_us) + shift, int(after_part))
            if int(us) + shift > now:
                words += rate, moment(int(us) + shift, int(part))
                full = max(full, int(us) + shift)
            else:
                gone.append(rate)
        if int(before) + shift > now:
            words += "places", moment(int(before) + shift, moved)
        else:
            gone.append("places")
    space.delete(place)
    space.hset(place, "state", "returned")
    space.pexpire(place, tombstone_ms)
    if last:
        if gone:
            space.hdel(limiter, *gone)
        if words:
            space.hset(limiter, *words)
        keep_until(space, limiter, full, now)
    return 1


BOOK = load("limiter_book", _book)
CONFIRM = load("limiter_confirm", _confirm)
UNBOOK = load("limiter_unbook", _unbook)
