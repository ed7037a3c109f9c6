"""Waiting in this process: deadlines, when a waiter looks, and which one looks for all.

A waiter is woken by a notification. It also looks now and then without one, because notifications may be lost. These
times are random within bounds, so that the instances of a service do not all look in the same millisecond.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from contextlib import suppress
from math import inf
from typing import Any, NamedTuple, TypeVar

from coord.clock import Clock
from coord.errors import CoordError, OutcomeUnknown, Unavailable, WaitTimeout
from coord.names import Seconds, milliseconds
from coord.plan import Compensate, Event, Plan, Wait, ask, ask_within, compensating, subscribe
from coord.script import Call

__all__ = [
    "LAST_LOOK",
    "LOOK_AGAIN",
    "LOOK_AGAIN_UNHEARD",
    "Deadline",
    "NotYet",
    "ask_by",
    "in_time",
    "in_turn",
    "just_after",
    "look_again_in",
    "look_together",
    "next_turn",
    "or_undo",
    "turns",
    "wait_seconds",
    "with_its_reply",
]

T = TypeVar("T")

LOOK_AGAIN = 5.0
LOOK_AGAIN_UNHEARD = 0.25
"""Seconds after which a waiter looks without a notification: while its channel is subscribed, and while it is not."""

_LONGEST_LOOK = 30.0
"""Seconds after which a waiter that is looking has stalled, and those behind it pass it."""

_CHECKS_PER_SECOND = 200
"""Checks per second, by all waiters of one queue together, that the first is running."""

_SPREAD = 0.1
"""The most seconds over which looks at one deadline are spread; at most a twentieth of the time until then."""

_UNDO = 10.0
"""Seconds for which a wait that was cut short tries to undo what it may have won."""

LAST_LOOK = 0.25
"""Seconds that the last call of a wait is given when none are left: a shorter one could not be answered."""


class Deadline:
    """The end of a wait by a coordinator's clock; a wait of None seconds has no end."""

    __slots__ = ("_at", "clock")

    def __init__(self, clock: Clock, seconds: float | None) -> None:
        self.clock = clock
        self._at = None if seconds is None else clock.monotonic() + seconds

    @classmethod
    def after(cls, clock: Clock, timeout: Seconds | None) -> Deadline:
        """Return the deadline of a user's ``timeout``; ``ValueError`` or ``TypeError`` when it is not valid."""
        return cls(clock, None if timeout is None else milliseconds(timeout, "timeout") / 1000)

    @property
    def left(self) -> float | None:
        """Seconds left, negative when it has passed; None: it never passes."""
        return None if self._at is None else self._at - self.clock.monotonic()

    @property
    def has_passed(self) -> bool:
        """Whether no time is left."""
        return (left := self.left) is not None and left <= 0

    def at_most(self, *seconds: float) -> float:
        """Return the shortest of these times and the time left."""
        left = self.left
        return min(seconds) if left is None else min(left, *seconds)


def ask_by(call: Call[T], deadline: Deadline) -> Plan[T]:
    """Make a call of a wait that has a deadline, and return its result."""
    left = deadline.left
    if left is None:
        return (yield from ask(call))
    return (yield from ask_within(call, max(LAST_LOOK, left)))


def in_time(plan: Plan[T], deadline: Deadline, unknown: str) -> Plan[T]:
    """Follow a plan that waits; if a server is unreachable at the deadline, raise ``WaitTimeout`` with ``unknown``."""
    try:
        return (yield from plan)
    except (Unavailable, OutcomeUnknown) as error:
        left = deadline.left
        if left is None or left > LAST_LOOK:
            raise
        # A claim that may have been granted is compensated: the caller only needs the reason.
        raise WaitTimeout(f"{unknown}: {error.__cause__ or error}") from error


def just_after(seconds: float) -> float:
    """Return the seconds after which to look at what ends in ``seconds``."""
    return seconds + 0.001 + random.uniform(0.0, min(_SPREAD, seconds / 20))


def next_turn(event: Event, deadline: Deadline, soon: float) -> Plan[bool]:
    """Wait until this waiter has to look; return False when the deadline has come and it is not its turn.

    ``soon``: seconds after which it looks at the latest while it is the first of its queue.
    """
    waiter, clock = event.waiter, deadline.clock
    while True:
        now = clock.monotonic()
        pause = min(soon, look_again_in(event)) if waiter.is_first else _check_again_in(event, now)
        pause = max(0.0, deadline.at_most(pause))
        waiter.go_on(now + pause)
        woken: bool = yield Wait(event, pause)
        now = clock.monotonic()
        waiter.go_on(now + _LONGEST_LOOK)
        if woken or waiter.pass_stalled(now):
            return True
        if deadline.has_passed:
            return False


class NotYet(NamedTuple):
    """A look that has to be repeated: when it is woken, and after so many seconds at the latest."""

    seconds: float = inf


def in_turn(
    ops: Any,
    channel: str,
    build: Callable[[], Call[T]],
    timeout: Seconds | None = None,
    *,
    what: str = "it",
    done: Callable[[T], bool] = bool,
    free_in: Callable[[T], float] = lambda _: inf,
    undo: Callable[[], Call[Any]] | None = None,
) -> Plan[T]:
    """Make a call again and again, in turn with other waiters of this process, until its result is ``done``.

    ``channel``: the key on which scripts publish when the next waiter may succeed. ``build`` makes the call anew for
    each look. ``timeout``: seconds; None: no limit; 0: one look. ``free_in`` returns, of a result that is not done,
    the seconds after which another look may succeed without a notification. ``undo`` makes the call that undoes what
    a wait that is cut short may have won; it is made in the background, for up to 10 s. ``what`` is for messages.

    Raises ``WaitTimeout``; at once, if a server is unreachable at the end. Waiters of one process take turns in the
    order in which they asked; between processes there is no order.
    """
    deadline = Deadline(ops.clock, wait_seconds(timeout, "timeout"))
    asked = False

    def look() -> Plan[tuple[T] | NotYet]:
        nonlocal asked
        asked = True
        result = yield from ask_by(build(), deadline)
        return (result,) if done(result) else NotYet(free_in(result))

    def undoing() -> Compensate | None:
        return Compensate(undo(), _UNDO) if asked and undo is not None else None

    waiting = or_undo(ops, turns(channel, look, deadline), undoing)
    found = yield from in_time(waiting, deadline, f"the state of {what} could not be read within {timeout} s")
    if found is None:
        raise WaitTimeout(f"{what} was not free within {timeout} s")
    return found[0]


def wait_seconds(wait: Seconds | None, what: str) -> float | None:
    """Return the seconds of a user's wait: None for no limit, 0 for one look; ``ValueError`` or ``TypeError``."""
    if wait == 0 and not isinstance(wait, bool):
        return 0.0
    return None if wait is None else milliseconds(wait, what) / 1000


def turns(
    channel: str,
    look: Callable[[], Plan[T | NotYet]],
    deadline: Deadline,
    queued: Callable[[Event], object] = lambda _: None,
) -> Plan[T | None]:
    """Look at once, unless others of this process wait already; then wait, and look when it is this waiter's turn.

    Returns what ``look`` returns, unless that is ``NotYet``; None when the deadline has passed. ``queued`` is given
    the event that wakes the waiter, each time before it waits.
    """
    event = yield from subscribe(channel, in_turn="behind")
    looks = not event.waiter.queued
    try:
        while True:
            is_over = deadline.has_passed
            soon = 0.0
            if looks:
                found = yield from look()
                if not isinstance(found, NotYet):
                    return found
                soon = found.seconds
            if not event.waiter.queued:
                event = yield from subscribe(channel, in_turn=True)
            queued(event)
            if is_over:
                return None
            looks = yield from next_turn(event, deadline, soon)
    finally:
        event.leave()


def or_undo(ops: Any, plan: Plan[T], undo: Callable[[], Compensate | None]) -> Plan[T]:
    """Follow a plan; when it is cut short, take the step that undoes what it may have done, if there is one.

    An error reply undoes nothing: it says what happened.
    """
    try:
        return (yield from plan)
    except GeneratorExit:
        # The plan was dropped between two steps.
        if (step := undo()) is not None:
            with suppress(RuntimeError):
                ops.keep(compensating(step))
        raise
    except BaseException as error:
        # Any exception may come between command and reply: Ctrl-C, a cancellation, a job library's time limit.
        if (not isinstance(error, CoordError) or isinstance(error, OutcomeUnknown)) and (step := undo()) is not None:
            yield step
        raise


def look_again_in(event: Event) -> float:
    """Return the seconds after which the first of a queue looks without being woken."""
    often = LOOK_AGAIN if event.waiter.is_subscribed else LOOK_AGAIN_UNHEARD
    return often * random.uniform(0.8, 1.2)


def _check_again_in(event: Event, now: float) -> float:
    """Return the seconds after which one behind the first checks that the first is running."""
    waiter = event.waiter
    soon = min(LOOK_AGAIN, waiter.first_stalls_in(now))
    return max(soon, waiter.queue_length / _CHECKS_PER_SECOND) * random.uniform(1.0, 1.2)


def look_together(
    channel: str, group: Hashable, look: Call[Any], reply: T, deadline: Deadline, again: Callable[[T], float | None]
) -> Plan[T]:
    """Look until the wait is over, or the deadline has passed; return the last reply.

    ``look`` is a call ``with_its_reply``, and ``reply`` that of a first look. ``again`` returns the seconds after which
    to look again at the latest, or None for a reply that ends the wait. Of the waiters of a group only one looks, and
    its last reply is given to all.
    """
    soon = again(reply)
    if soon is None:
        return reply
    event = yield from subscribe(channel, in_turn=True, group=group)
    waiter = event.waiter
    try:
        while soon is not None and not deadline.has_passed:
            yield from next_turn(event, deadline, soon)
            if waiter.answer is not None:
                answer: T = waiter.answer
                return answer
            try:
                reply = yield from ask_by(look, deadline)
                soon = again(reply)
            except CoordError:
                # The error may be due to this waiter alone, such as its ``patience`` or its connection.
                waiter.wake_group()
                raise
        if soon is None:
            waiter.answer_group(reply)
        return reply
    finally:
        event.leave()


def with_its_reply(call: Call[Any]) -> Call[Any]:
    """Return a call whose result is its reply, as it came from the server."""
    return call._replace(read=_itself)


def _itself(reply: Any) -> Any:
    return reply
