"""Waiting: deadlines, and how often a waiter looks without being woken."""

from __future__ import annotations

import random
from typing import TypeVar

from coord.clock import Clock
from coord.errors import OutcomeUnknown, Unavailable, WaitTimeout
from coord.names import Seconds, milliseconds
from coord.plan import Event, Plan, ask, ask_within
from coord.script import Call

__all__ = ["LAST_LOOK", "LOOK_AGAIN", "LOOK_AGAIN_UNHEARD", "Deadline", "ask_by", "in_time", "look_again_in"]

T = TypeVar("T")

LOOK_AGAIN = 5.0
LOOK_AGAIN_UNHEARD = 0.25
"""Seconds after which a waiter looks by itself: while its channel is subscribed, and while it is not."""

LAST_LOOK = 0.25
"""Seconds that the last call of a wait is given when none are left: a shorter one would tell nothing."""


class Deadline:
    """The end of a wait by a coordinator's clock; a wait of None seconds has no end."""

    __slots__ = ("_at", "_clock")

    def __init__(self, clock: Clock, seconds: float | None) -> None:
        self._clock = clock
        self._at = None if seconds is None else clock.monotonic() + seconds

    @classmethod
    def after(cls, clock: Clock, timeout: Seconds | None) -> Deadline:
        """Return the deadline of a user's ``timeout``; ``ValueError`` or ``TypeError`` when it is not valid."""
        return cls(clock, None if timeout is None else milliseconds(timeout, "timeout") / 1000)

    @property
    def left(self) -> float | None:
        """Seconds left, negative when it has passed; None: it never passes."""
        return None if self._at is None else self._at - self._clock.monotonic()

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
    """Follow a plan that waits; if a server is away at the deadline, raise ``WaitTimeout`` with ``unknown``."""
    try:
        return (yield from plan)
    except (Unavailable, OutcomeUnknown) as error:
        left = deadline.left
        if left is None or left > LAST_LOOK:
            raise
        # A claim that may have been granted is compensated: the caller only needs the reason.
        raise WaitTimeout(f"{unknown}: {error.__cause__ or error}") from error


def look_again_in(event: Event) -> float:
    """Return the seconds after which a waiter looks by itself; spread, so that many do not look at once."""
    often = LOOK_AGAIN if event.waiter.is_subscribed else LOOK_AGAIN_UNHEARD
    return often * random.uniform(0.8, 1.2)
