"""Barriers: fire once when everything has arrived.

An opener says how many parties there are; each member arrives, or fails, wherever it ran; the last arrival completes
the barrier, and exactly one caller learns that. A member that arrives twice counts once, because queues deliver more
than once. An arrival of an older attempt is not counted.
"""

from __future__ import annotations

import json
import logging
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar, get_args

from coord.errors import ConfigError, MissingBarrier, OutcomeUnknown, Unavailable, WaitTimeout
from coord.extend import (
    Call,
    Deadline,
    Family,
    Invoke,
    Job,
    Keyspace,
    M,
    Plan,
    ReplyError,
    Runs,
    Seconds,
    Sleep,
    Spawn,
    as_count,
    as_text,
    ask,
    ask_by,
    check_name,
    in_time,
    int64,
    just_after,
    load,
    look_together,
    milliseconds,
    nonce,
    percent_decode,
    percent_encode,
    reads,
    window_ms,
    with_its_reply,
)
from coord.lualib import all_whole, answer_once, keep_error, kept_errors, now_ms, recall, refresh, remember, whole

__all__ = [
    "Arrival",
    "BarrierHandle",
    "BarrierStatus",
    "abort",
    "arrive",
    "fail",
    "fire",
    "open_",
    "status",
    "status_since",
    "waiting",
    "watching",
]

T = TypeVar("T")

State = Literal["open", "complete", "aborted", "expired"]
_STATES = get_args(State)

_MOST_PARTIES = 1_000_000_000
_LONGEST_MESSAGE = 1024
_LARGEST_METADATA = 65_536
_log = logging.getLogger("coord")


class Arrival(NamedTuple):
    """The answer to an arrival: how many are still missing, whether it was the last one, whether it was counted."""

    remaining: int
    completed: bool
    counted: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class BarrierStatus:
    """The progress of a barrier.

    ``state`` is "open", "complete", "aborted", or "expired": still open past its deadline.
    ``errors`` has the messages of members that failed, up to a hundred; ``error_count`` is exact.
    """

    parties: int
    arrived: int
    remaining: int
    errors: dict[str, str]
    state: State
    metadata: Any
    attempt: str
    error_count: int
    reason: str
    expires_in: float | None


class BarrierHandle(Family[M]):
    """One barrier, by its name."""

    def __init__(self, c: Runs[M], name: str) -> None:
        super().__init__(c)
        self.name = name
        self._key = self.ops.key("barrier", name)
        self._last = f"{self._key}:last"


def open_(
    barrier: BarrierHandle,
    parties: int,
    ttl: Seconds | None = None,
    deadline: Seconds | None = None,
    metadata: Mapping[str, Any] | None = None,
    op_id: str | None = None,
) -> Call[str]:
    """Open the barrier for a number of parties, and return the attempt that begins with it.

    Opening again starts a new attempt: earlier arrivals are forgotten, and arrivals of the old attempt do not count.
    Waiters and watchers get the end of the attempt before, if it had ended; otherwise they go on with the new one.
    ``ttl``: seconds that the barrier is kept after each change, and at least twice the deadline; None: the
    coordinator's default. ``deadline``: seconds from now after which it is expired if it is not complete.
    ``metadata``: a value for ``status`` to return, of any type that JSON has, at most 64 KiB.
    ``op_id``: the same id again within the TTL (24 hours when it never expires) opens nothing, and gets the attempt
    that it got first.
    """
    parties = int64(parties, "parties")
    if not 1 <= parties <= _MOST_PARTIES:
        raise ValueError(f"parties is {parties}: it must be from 1 to {_MOST_PARTIES:,}")
    deadline_ms = 0 if deadline is None else milliseconds(deadline, "deadline")
    ttl_ms = barrier.ops.lifetime(ttl)
    if ttl_ms:
        # It has to outlive its deadline, for those who come to see that it has expired.
        ttl_ms = max(ttl_ms, 2 * deadline_ms)
    attempt = nonce()
    op, sequence, remember_ms = barrier.ops.remembered(barrier._key, op_id, window_ms(ttl_ms))
    argv = (attempt, parties, ttl_ms, deadline_ms, _json(metadata), barrier.ops.publish, sequence, remember_ms)
    return barrier.ops.call(OPEN, (barrier._key, op, barrier._last), argv, as_text)


def arrive(
    barrier: BarrierHandle, member: str, attempt: str | None = None, *, op_id: str | None = None
) -> Call[Arrival]:
    """Count a member as arrived. ``Arrival.completed`` is True for exactly one caller: the one that completed it.

    ``attempt``: the value that ``open`` returned; None: the attempt that is open. An arrival is not counted when the
    member has arrived before, the attempt is an older one, or the barrier is not open any more.
    ``op_id``: the same id again gets the first answer, also after the barrier was opened once more.
    Raises ``MissingBarrier`` when the barrier was never opened, or has expired.
    """
    return _arrival(barrier, member, attempt, "arrived", "", op_id)


def fail(
    barrier: BarrierHandle, member: str, message: str, attempt: str | None = None, *, op_id: str | None = None
) -> Call[Arrival]:
    """Count a member as arrived although it failed, and keep the first 1,024 characters of its message."""
    if not isinstance(message, str):
        raise TypeError(f"message must be a str, not {type(message).__name__}")
    return _arrival(barrier, member, attempt, "failed", message_text(message), op_id)


def _arrival(
    barrier: BarrierHandle, member: str, attempt: str | None, verdict: str, message: str, op_id: str | None
) -> Call[Arrival]:
    if attempt is not None and not isinstance(attempt, str):
        raise TypeError(f"attempt must be a str, not {type(attempt).__name__}")
    attempt = check_name(attempt, "attempt") if attempt else ""
    nonce, call, repeated = barrier.ops.identified(op_id)
    keys = barrier._key, barrier._last, f"{barrier._key}:answered:{call}"
    member = percent_encode(member, "a member")
    argv = (member, attempt, nonce, verdict, message, barrier.ops.publish, barrier.ops.tombstone_ms, repeated)
    return barrier.ops.call(ARRIVE, keys, argv, lambda reply: _read_arrival(barrier.name, reply))


def status(barrier: BarrierHandle[Any]) -> Call[BarrierStatus | None]:
    """Return how far the barrier has come; None when it was never opened, or has expired.

    ``errors`` has the first hundred of them, ``error_count`` counts all.
    """
    return status_since(barrier, "")


def status_since(barrier: BarrierHandle[Any], seen: str) -> Call[BarrierStatus | None]:
    """Return the status for a waiter of an attempt: its end, also when the next attempt is open.

    While an attempt is open its metadata and errors are left out: 10,000 waiters may look.
    """
    return barrier.ops.call(STATUS, (barrier._key, barrier._last), (seen,), _read_status)


def abort(barrier: BarrierHandle, reason: str = "") -> Call[bool]:
    """End the barrier: no member arrives any more, and waiters wake up. False when it was not open."""
    if not isinstance(reason, str):
        raise TypeError(f"reason must be a str, not {type(reason).__name__}")
    nonce, call, repeated = barrier.ops.identified(None)
    keys = barrier._key, barrier._last, f"{barrier._key}:answered:{call}"
    argv = (message_text(reason), nonce, barrier.ops.publish, barrier.ops.tombstone_ms, repeated)
    return barrier.ops.call(ABORT, keys, argv, bool)


def message_text(message: str) -> str:
    """Return the part of a message that is kept: 1,024 characters, in valid UTF-8."""
    return message[:_LONGEST_MESSAGE].encode("utf-8", "replace").decode()


def _json(metadata: Mapping[str, Any] | None) -> str:
    if metadata is None:
        return ""
    try:
        text = json.dumps(metadata, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"metadata cannot be written as JSON: {error}") from None
    except RecursionError:
        raise ValueError("metadata is nested too deeply for JSON") from None
    if len(text) > _LARGEST_METADATA:
        raise ValueError(f"metadata takes {len(text):,} bytes as JSON: at most {_LARGEST_METADATA:,} fit")
    return text


def _read_arrival(name: str, reply: list[int]) -> Arrival:
    arrival = _arrival_of(reply)
    if arrival is None:
        raise MissingBarrier(f"the barrier {name!r} was never opened, or it has expired")
    return arrival


@reads
def _arrival_of(reply: list[int]) -> Arrival | None:
    known, remaining, completed, counted = reply
    return Arrival(as_count(remaining), completed == 1, counted == 1) if known else None


@reads
def _read_status(reply: list[Any]) -> BarrierStatus | None:
    if not reply:
        return None
    attempt, parties, arrived, state, left_ms, metadata, reason, error_count, *errors = reply
    if state not in _STATES:
        raise ValueError(state)
    return BarrierStatus(
        parties=parties,
        arrived=arrived,
        remaining=parties - arrived,
        errors={percent_decode(member): text for member, text in zip(errors[::2], errors[1::2], strict=True)},
        state=state,
        metadata=json.loads(metadata) if metadata else None,
        attempt=attempt,
        error_count=error_count,
        reason=reason,
        expires_in=None if left_ms < 0 else left_ms / 1000,
    )


# --- plans ---------------------------------------------------------------------------------------


def waiting(barrier: BarrierHandle, timeout: Seconds | None = None) -> Plan[BarrierStatus]:
    """Wait until the barrier is no longer open, and return its status: "complete", "aborted" or "expired".

    Of a barrier that is opened again meanwhile, the attempt that ended last before that counts.
    Raises ``WaitTimeout`` after ``timeout`` seconds (None: never), and ``MissingBarrier`` when it was never opened.
    """
    deadline = Deadline.after(barrier.ops.clock, timeout)
    unknown = f"the state of the barrier {barrier.name!r} could not be read within {timeout} s"
    return (yield from in_time(_until_ended(barrier, timeout, deadline), deadline, unknown))


def _until_ended(
    barrier: BarrierHandle, timeout: Seconds | None, deadline: Deadline, seen: str = ""
) -> Plan[BarrierStatus]:
    handle = BarrierHandle(barrier.ops.calls, barrier.name)
    reply = yield from ask_by(with_its_reply(status_since(handle, seen)), deadline)
    found = _read_status(reply)
    attempt = found.attempt if found is not None and not seen else seen
    look = with_its_reply(status_since(handle, attempt))
    reply = yield from look_together(barrier._key, attempt, look, reply, deadline, _look_again_in)
    found = _read_status(reply)
    if found is None:
        raise MissingBarrier(f"the barrier {barrier.name!r} was never opened, or it has expired")
    if found.state == "open":
        raise WaitTimeout(f"the barrier {barrier.name!r} still lacked {found.remaining} after {timeout} s")
    return found


def _look_again_in(reply: list[Any]) -> float | None:
    """Return the seconds after which to look at an open barrier again; None when it is not open."""
    found = _read_status(reply)
    if found is None or found.state != "open":
        return None
    return 60.0 if found.expires_in is None else just_after(found.expires_in)


Callback = Callable[[BarrierStatus], object]


def start_watching(
    barrier: BarrierHandle, on_complete: Callback | None = None, on_timeout: Callback | None = None
) -> Plan[Job]:
    """Call back when the barrier is complete, or has expired; of all that watch it, anywhere, one is called.

    A callback gets the ``BarrierStatus``. Blocking: it runs on the coordinator's watcher thread, so a slow one delays
    the others. Async: it runs on this loop, and what it returns is awaited if it can be. One that raises is logged.
    The returned job's ``cancel`` ends the watch. Raises ``MissingBarrier`` when the barrier is not open.
    A process that dies between being chosen and running its callback takes the callback with it; so does a cancel
    that arrives in that moment, after the end.
    """
    found = yield from ask(status(BarrierHandle(barrier.ops.calls, barrier.name)))
    if found is None:
        raise MissingBarrier(f"the barrier {barrier.name!r} was never opened, or it has expired")
    job: Job = yield Spawn(watching(barrier, found.attempt, on_complete, on_timeout))
    return job


def watching(
    barrier: BarrierHandle, seen: str, on_complete: Callback | None, on_timeout: Callback | None
) -> Plan[None]:
    """Wait for the end of an attempt, or of one after it, and run its callback if no other watcher has."""
    mine = nonce()
    handle = BarrierHandle(barrier.ops.calls, barrier.name)
    try:
        ended = yield from _patiently(lambda: _until_ended(barrier, None, Deadline(barrier.ops.clock, None), seen))
        callback = {"complete": on_complete, "expired": on_timeout}.get(ended.state)
        if callback is None:
            return
        # A cancel from another thread, made before the end, arrives here: later it would take the callback with it.
        yield Sleep(0.0)
        if (yield from _patiently(lambda: ask(fire(handle, ended.attempt, mine)))):
            yield Invoke(callback, ended)
    except MissingBarrier as error:
        _log.warning("coord stops watching: %s", error)
    except Exception:
        _log.exception("coord: watching the barrier %r ended with an error", barrier.name)


def _patiently(plan: Callable[[], Plan[T]]) -> Plan[T]:
    """Follow a plan again and again for as long as the server cannot be reached."""
    while True:
        try:
            return (yield from plan())
        except (ConfigError, Unavailable, OutcomeUnknown) as error:
            # A ConfigError may pass as well, as when a password is rotated.
            _log.debug("coord goes on watching: %s", error)
            yield Sleep(random.uniform(0.5, 1.0))


def fire(barrier: BarrierHandle[Any], attempt: str, nonce: str) -> Call[bool]:
    """Claim the callback of an attempt that ended: True for one ``nonce`` alone, however often it asks."""
    return barrier.ops.call(FIRE, (barrier._key, barrier._last), (attempt, nonce), bool)


# --- twins ---------------------------------------------------------------------------------------


def _open(
    space: Keyspace,
    barrier: str,
    op: str,
    last: str,
    attempt: str,
    parties: int,
    ttl_ms: int,
    deadline_ms: int,
    metadata: str,
    publish: str,
    sequence: int,
    remember_ms: int,
) -> str:
    answered = recall(space, op, sequence, remember_ms)
    if answered is not None:
        return answered
    if not 1 <= parties <= _MOST_PARTIES:
        raise ReplyError("COORD_RANGE a barrier is opened for 1 to 1000000000 parties")
    before, before_state, before_ends, before_ttl = space.hmget(barrier, "attempt", "state", "ends", "ttl_ms")
    if before is not None:
        _check(before_ends, before_ttl)
        if before_state == "open" and not _is_past(space, before_ends):
            space.hset(barrier, "state", "replaced")
        space.unlink(last)
        space.rename(barrier, last)
        refresh(space, last, int(before_ttl or 0))
    else:
        space.unlink(barrier)
    ends = str(now_ms(space) + deadline_ms) if deadline_ms else "0"
    state = {"attempt": attempt, "parties": str(parties), "arrived": "0", "errors": "0", "state": "open"}
    state |= {"ends": ends, "ttl_ms": str(ttl_ms), "metadata": metadata, "reason": ""}
    space.hset(barrier, *(word for pair in state.items() for word in pair))
    refresh(space, barrier, ttl_ms)
    remember(space, op, sequence, remember_ms, attempt)
    if before is not None:
        space.publish(barrier, "open")
    return attempt


def _check(*fields: str | None) -> None:
    if not all_whole(*fields):
        raise ReplyError("COORD_CORRUPT this barrier was not written by coord")


def _is_past(space: Keyspace, ends: str | None) -> bool:
    return ends != "0" and now_ms(space) > int(ends or 0)


def _place(text: str | None) -> tuple[str | None, int]:
    """Return the nonce of a member's arrival, and how many were missing after it."""
    first, separator, left = (text or "").rpartition("|")
    return (first, int(left)) if separator and whole(left) else (None, 0)


def _arrive(
    space: Keyspace,
    barrier: str,
    last: str,
    answered: str,
    member: str,
    attempt: str,
    nonce: str,
    verdict: str,
    message: str,
    publish: str,
    tombstone_ms: int,
    repeated: str,
) -> list[int]:
    def reply(*words: int) -> list[int]:
        answer_once(space, answered, repeated, tombstone_ms, ",".join(map(str, words)))
        return list(words)

    before = space.get(answered)
    if before is not None:
        if not _is_answer(before):
            raise ReplyError("COORD_CORRUPT this answer was not written by coord")
        return [int(word) for word in before.split(",")]
    known, parties, arrived, state, ends, ttl_ms, errors, place = space.hmget(
        barrier, "attempt", "parties", "arrived", "state", "ends", "ttl_ms", "errors", f"m:{member}"
    )
    first, left = _place(place)
    if first != nonce:
        first, left = _place(space.hget(last, f"m:{member}"))
    if first == nonce:
        return reply(1, left, int(left == 0), 1)
    if known is None:
        return reply(0, 0, 0, 0)
    _check(parties, arrived, ends, ttl_ms, errors)
    remaining = _remaining(parties, arrived, state)
    open = state == "open" and not _is_past(space, ends)
    if place is not None or not open or (attempt and attempt != known):
        return reply(1, remaining, 0, 0)
    remaining -= 1
    space.hset(barrier, f"m:{member}", f"{nonce}|{remaining}", "arrived", str(int(arrived or 0) + 1))
    space.hset(barrier, "state", "open" if remaining else "complete")
    if verdict == "failed":
        keep_error(space, barrier, "errors", member, message)
    refresh(space, barrier, int(ttl_ms or 0))
    if not remaining:
        space.publish(barrier, "complete")
    return reply(1, remaining, int(not remaining), 1)


def _remaining(parties: str | None, arrived: str | None, state: str | None) -> int:
    remaining = int(parties or 0) - int(arrived or 0)
    if not (state == "open") <= remaining <= _MOST_PARTIES:
        _check(None)
    return remaining


_is_answer = re.compile(r"[0-9],[0-9]+,[0-9],[0-9]").fullmatch


def _status(space: Keyspace, barrier: str, last: str, seen: str) -> list[Any]:
    fields = "attempt", "parties", "arrived", "state", "ends", "errors"
    found, has = barrier, space.hmget(barrier, *fields)
    if has[0] is None:
        return []
    if seen not in ("", has[0]):
        before = space.hmget(last, *fields)
        if before[0] is not None and before[3] != "replaced":
            found, has = last, before
    attempt, parties, arrived, state, ends, errors = has
    _check(parties, arrived, ends, errors)
    left_ms = -1
    if ends != "0":
        left_ms = int(ends or 0) - now_ms(space)
        if state == "open" and left_ms < 0:
            state = "expired"
        left_ms = max(left_ms, 0)
    counts = int(parties or 0), int(arrived or 0)
    if seen and state == "open":
        return [attempt, *counts, state, left_ms, "", "", int(errors or 0)]
    metadata, reason = space.hmget(found, "metadata", "reason")
    if metadata is None or reason is None:
        _check(None)
    reply = [attempt, *counts, state, left_ms, metadata, reason, int(errors or 0)]
    return reply + kept_errors(space, found, "errors", int(errors or 0))


def _abort(
    space: Keyspace,
    barrier: str,
    last: str,
    answered: str,
    reason: str,
    nonce: str,
    publish: str,
    tombstone_ms: int,
    repeated: str,
) -> int:
    before = space.get(answered)
    if before is not None:
        return int(before == "1")
    state, ends, ttl_ms, aborted = space.hmget(barrier, "state", "ends", "ttl_ms", "aborted")
    if aborted == nonce:
        return 1
    if space.hget(last, "aborted") == nonce:
        answer_once(space, answered, repeated, tombstone_ms, "1")
        return 1
    if state is not None:
        _check(ends, ttl_ms)
    if state != "open" or _is_past(space, ends):
        answer_once(space, answered, repeated, tombstone_ms, "0")
        return 0
    space.hset(barrier, "state", "aborted", "reason", reason, "aborted", nonce)
    refresh(space, barrier, int(ttl_ms or 0))
    answer_once(space, answered, repeated, tombstone_ms, "1")
    space.publish(barrier, "aborted")
    return 1


def _fire_twin(space: Keyspace, barrier: str, last: str, attempt: str, nonce: str) -> int:
    for each in (barrier, last):
        known, fired = space.hmget(each, "attempt", "fired")
        if known == attempt:
            if fired is not None:
                return int(fired == nonce)
            space.hset(each, "fired", nonce)
            return 1
    return 0


OPEN = load("barrier_open", _open)
ARRIVE = load("barrier_arrive", _arrive)
STATUS = load("barrier_status", _status)
ABORT = load("barrier_abort", _abort)
FIRE = load("barrier_fire", _fire_twin)
