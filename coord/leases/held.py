"""The holder's view of a lease: its local deadline, its renewals in flight, and whether it is lost."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from coord.clock import Clock
from coord.fork import ForkSafeLock
from coord.leases.leasable import Granted, Grants, Leasable
from coord.observe import LossObserved, Observe, notify
from coord.plan import Job, Plan, Sleep

__all__ = ["Held", "Loss", "LostEvent", "Renewal", "until_over"]

_MARGIN = 0.002
"""Seconds by which a holder gives up before its server may; a hundredth of the TTL is added, for clock drift."""


class LostEvent(Protocol):
    """The common interface of threading.Event and asyncio.Event."""

    def is_set(self) -> bool:
        """Whether it was set."""
        ...

    def set(self) -> None:
        """Set it, and wake all waiters."""
        ...


_steps = ForkSafeLock()
"""Held for a few steps, never while something is sent: an event is made, or a renewal counted."""


def _counts_until(started: float, ttl_ms: int) -> float:
    """Return until when a lease counts that was asked for, or renewed, at ``started``."""
    seconds = ttl_ms / 1000
    return started + seconds - min(_MARGIN + seconds / 100, seconds / 2)


class Renewal:
    """A renewal in flight. ``least_ms`` is the TTL that counts if another renewal in flight runs after it."""

    __slots__ = ("doubts", "failed", "least_ms", "started", "ttl_ms")

    def __init__(self, clock: Clock, ttl_ms: int, others: list[Renewal]) -> None:
        self.started = clock.monotonic()
        self.ttl_ms = ttl_ms
        self.failed = False
        self.doubts = [each for each in others if each.failed]
        self.least_ms = min([ttl_ms, *(each.ttl_ms for each in others)])
        for each in others:
            each.least_ms = min(each.least_ms, ttl_ms)


class Loss:
    """Whether a lease is known to be lost; its event is made when it is first asked for."""

    __slots__ = ("_event", "_known", "_on_loss")

    def __init__(self, on_loss: Callable[[], None] | None = None) -> None:
        self._known = False
        self._on_loss = on_loss
        self._event: LostEvent | None = None

    def is_set(self) -> bool:
        """Whether the loss is known."""
        return self._known

    def set(self) -> None:
        """Record the loss and set the event."""
        was_known, self._known = self._known, True
        if self._event is not None:
            self._event.set()
        if self._on_loss is not None and not was_known:
            self._on_loss()

    def event(self, new: Callable[[], LostEvent]) -> LostEvent:
        """Return the event that is set once the loss is known."""
        with _steps.lock:
            if self._event is None:
                self._event = new()
        if self._known:
            self._event.set()
        return self._event


class Held:
    """A lease that was granted.

    The deadline is counted on the holder's own clock, from the start of the call that won or renewed the lease, less
    a margin, so that the holder gives up before the server does. Of several renewals in flight any may run last, so
    the shortest counts.
    """

    def __init__(
        self, ops: Grants, what: Leasable[Any], owner: str, grant: Granted, ttl_ms: int, started: float
    ) -> None:
        self.ops = ops
        self.what = what
        self.owner = owner
        self.nonce = grant.nonce
        self.fence = grant.fence
        self.ttl_ms = ttl_ms
        self.third = ttl_ms / 3000
        self.deadline = _counts_until(started, ttl_ms)
        self._observe: Observe | None = getattr(ops, "observe", None)
        self.lost = Loss(self._report_loss if self._observe is not None else None)
        self.is_releasing = False
        self.released = False
        self.made_in = os.getpid()
        # The server may have it still: a renewal was answered too late.
        self.unsure = False
        self.now = ops.clock.monotonic
        self._in_flight: list[Renewal] = []
        self._background: Callable[[Held], Plan[None]] | None = None
        self.job: Job | None = None
        self._process = 0

    def __repr__(self) -> str:
        state = "released" if self.released else "lost" if self.is_lost else f"{self.expires_in:.3f} s left"
        return f"{self.what.name!r} of {self.owner!r}, fence {self.fence}, {state}"

    def _report_loss(self) -> None:
        if self._observe is not None:
            notify(self._observe, LossObserved(name=self.what.name, owner=self.owner, fence=self.fence))

    @property
    def left(self) -> float:
        """Seconds until the deadline, negative when it has passed."""
        return self.deadline - self.now()

    @property
    def expires_in(self) -> float:
        """Seconds for which the lease counts; 0.0 when it was lost or released."""
        return 0.0 if self.released or self.is_lost else max(0.0, self.left)

    @property
    def is_lost(self) -> bool:
        """Whether the loss is known; the deadline alone makes it so, and closing the coordinator."""
        if not self.lost.is_set() and not self.released:
            if self.left <= 0:
                self.unsure = True
                self.lost.set()
            elif self.ops.is_closed:
                self.lost.set()
        return self.lost.is_set()

    @property
    def is_over(self) -> bool:
        """Whether it was lost or released."""
        return self.released or self.is_lost

    @property
    def has_background(self) -> bool:
        """Whether a plan in the background watches it; a child of a fork does not have its parent's."""
        return self.job is not None and self._process == os.getpid()

    def watch_loss(self, new_event: Callable[[Held], LostEvent]) -> LostEvent:
        """Return the event of the loss, and have it set in time."""
        if not self.is_over and not self.has_background:
            # Outside its event loop an async lease cannot be watched; its event then looks when it is asked.
            with contextlib.suppress(RuntimeError):
                self.start_renewing(until_over)
        return self.lost.event(partial(new_event, self))

    def start_renewing(self, background: Callable[[Held], Plan[None]]) -> None:
        """Follow a plan in the background until the lease is over."""
        self.job = self.ops.keep(self._watched(background(self)))
        self._background, self._process = background, os.getpid()

    def _watched(self, plan: Plan[None]) -> Plan[None]:
        try:
            yield from plan
        finally:
            if self.ops.is_closed and not self.is_over:
                self.lost.set()

    def stop_renewing(self) -> None:
        """End the plan in the background."""
        if self.job is not None and self.has_background:
            self.job.cancel()

    def mark_lost(self) -> None:
        """Record that the lease was lost."""
        self.lost.set()
        self.stop_renewing()

    def mark_released(self) -> None:
        """Record that the lease was released."""
        self.released = True
        self.stop_renewing()

    def begin_renewal(self, ttl_ms: int) -> Renewal:
        """Record that a renewal is sent; a shorter TTL counts at once, as its answer may be lost."""
        with _steps.lock:
            sent = Renewal(self.ops.clock, ttl_ms, self._in_flight)
            self._in_flight.append(sent)
            ends_sooner = _counts_until(sent.started, ttl_ms) < self.deadline
            if ends_sooner:
                self.deadline, self.third = _counts_until(sent.started, ttl_ms), ttl_ms / 3000
        if ends_sooner and self._background is not None and self.has_background:
            # The renewal would wake after the new, earlier deadline: restart it.
            self.stop_renewing()
            self.start_renewing(self._background)
        return sent

    def end_renewal(self, sent: Renewal, *, renewed: bool) -> None:
        """Record the answer of a renewal. Renewals that failed before it was sent can no longer run after it."""
        with _steps.lock:
            self._in_flight = [each for each in self._in_flight if each is not sent and each not in sent.doubts]
            if renewed:
                self.deadline = max(self.deadline, _counts_until(sent.started, sent.least_ms))
                self.third = sent.least_ms / 3000


def until_over(held: Held) -> Plan[None]:
    """Set ``lost`` when the time of a lease that is not renewed is over."""
    while not held.is_over:
        yield Sleep(max(0.0, held.left), 0.0)
