"""Leaders: of all instances that campaign for a name one leads, and runs the work.

A leader is a lease: the limits of leases hold (``coord.claims``). Pass ``lease.fence`` to what the work writes to.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
import weakref
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Generic, NoReturn, TypeVar, cast

from coord.claims import Claimable, Holder
from coord.errors import Closed, CoordError, LeaseLost, OutcomeUnknown, Unavailable
from coord.extend import (
    Async,
    AsyncChangesIterator,
    Call,
    Changes,
    ChangesIterator,
    Family,
    M,
    Plan,
    Run,
    Runs,
    Seconds,
    Sleep,
    Sync,
    ask_within,
    check_function,
    nonce,
    op,
)
from coord.leases import (
    AsyncHolding,
    AsyncLease,
    Attempt,
    BaseLease,
    Grant,
    Grants,
    Held,
    Holding,
    Lease,
    LeaseRequest,
    answering,
    exiting,
    held_of,
    keep_renewing,
    or_compensate,
    releasing,
)

__all__ = ["AsyncLeader", "Leader", "LeaderHandle", "Term"]

T = TypeVar("T")
L = TypeVar("L", bound=BaseLease)

_log = logging.getLogger("coord")

_RETRY = 0.5, 1.0
"""Seconds between campaigns while the server is away; drawn between these, so that instances do not ask together."""

_AGAIN = 0.0, 0.1
"""Seconds after a loss until the next campaign; drawn between these."""

_RESIGN = 2.0
"""Seconds that resigning at ``close`` takes at most."""


class LeaderHandle(Family[M]):
    """The leader of a name."""

    def __init__(self, c: Runs[M], name: str, ttl: Seconds = 15) -> None:
        super().__init__(c)
        self.name = name
        self._ttl = ttl
        self._request = self._wanted(None)

    @op
    def current(self) -> Call[Holder | None]:
        """Return the holder that leads; None if the name is free."""
        return self.ops.call(*_claimable(self._request).holder())

    def _wanted(self, wait: Seconds | None) -> LeaseRequest[Grant]:
        return LeaseRequest.of(Claimable(self.ops.calls, self.name, "leader", announced=True), self._ttl, wait)

    def _changes(self) -> Changes[Holder | None]:
        what = _claimable(self._request)
        return Changes(self.ops, what.channel, what.holder, _fence, _ends_in)


def _claimable(request: LeaseRequest[Grant]) -> Claimable:
    return cast("Claimable", request.what)


def _fence(found: Holder | None) -> int | None:
    """Return what identifies a term: a renewal is not a change."""
    return None if found is None else found.fence


def _ends_in(found: Holder | None) -> float | None:
    """Return the seconds until the leader's lease ends unless it is renewed; None without a leader or an end."""
    return None if found is None or found.expires_in < 0 else found.expires_in + 0.001


class Term(Generic[L]):
    """One ``run``: its campaigns and its terms. Closing the coordinator ends it."""

    def __init__(self, lease: type[L], ended: Any, runner: Any) -> None:
        self.lease = lease
        self.ended = ended
        self.is_resigning = False
        self.attempt = Attempt()
        self.held: Held | None = None
        self._runner = runner

    def close(self) -> None:
        """Set ``lost`` for the work, after which the lease is released; or end the campaign."""
        self.is_resigning = True
        if self.held is not None:
            self.held.lost.set()
        if self.attempt.event is not None:
            self.attempt.event.set()

    def is_waited_for(self, closing: Any) -> bool:
        """Return whether closing has to wait for the work to end; not if the work itself is closing."""
        return self.held is not None and self._runner != closing


# --- plans ---------------------------------------------------------------------------------------


def leading(
    ops: Grants, request: LeaseRequest[Grant], term: Term[L], fn: Callable[[L], Any]
) -> Plan[Callable[[], Any]]:
    """Campaign, run the work while leading, and campaign again after a loss.

    Return a function that returns the result or raises the error: a generator cannot raise a ``StopIteration``.
    """
    while True:
        term.attempt = Attempt()
        one = _one_term(ops, request, term, fn)
        outcome = yield from or_compensate(ops, one, request, term.attempt)
        if outcome is not None:
            return outcome
        # Others are asking at this moment.
        yield Sleep(random.uniform(*_AGAIN))


def _one_term(
    ops: Grants, request: LeaseRequest[Grant], term: Term[L], fn: Callable[[L], Any]
) -> Plan[Callable[[], Any] | None]:
    """Win once and run the work; None after a loss."""
    lease = yield from _campaigning(ops, request, term)
    term.held = held = held_of(lease)
    try:
        keep_renewing(held, weakref.ref(lease))
        value = None
        if not term.is_resigning:
            value = yield Run(partial(fn, lease), cast("Any", lease).lost)
    except GeneratorExit:
        raise
    except Exception as error:
        yield from _resigning(held, term, error)
        if isinstance(error, LeaseLost) and held.lost.is_set() and not term.is_resigning:
            return None
        return partial(_raise, error)
    except BaseException as error:
        # Before the caller goes on: its process may be about to end.
        yield from _resigning(held, term, error)
        raise
    finally:
        term.held = None
    return (yield from _ended(held, term, value))


def _ended(held: Held, term: Term[Any], value: Any) -> Plan[Callable[[], Any] | None]:
    """Release the lease after the work; None when it was lost before."""
    if term.is_resigning:
        closed = Closed("the coordinator was closed: this instance does not lead any more")
        yield from _resigning(held, term, closed)
        return partial(_raise, closed)
    try:
        held.stop_renewing()
        released = yield from releasing(held)
    except CoordError as error:
        # By its own clock the leader still had the lease.
        _log.warning("coord: %s could not be released, and ends by its TTL: %s", held.what.title, error)
        released = True
    return (lambda: value) if released else None


def _resigning(held: Held, term: Term[Any], error: BaseException) -> Plan[None]:
    """Release the lease because of an error, which says more than an error of the release."""
    if not term.is_resigning:
        yield from exiting(held, error)
        return
    # Closing has set ``lost``, but the lease is still held on the server.
    held.stop_renewing()
    with contextlib.suppress(CoordError):
        yield from ask_within(held.what.release(held.nonce), _RESIGN)


def _campaigning(ops: Grants, request: LeaseRequest[Grant], term: Term[L]) -> Plan[L]:
    """Wait until the lease is granted; while the server is away, ask again and again."""
    while True:
        attempt = term.attempt
        try:
            found = yield from answering(
                ops, term.lease, request, attempt, lambda grant: grant.granted or term.is_resigning
            )
        except Closed:
            raise
        except (Unavailable, OutcomeUnknown) as error:
            _log.warning("coord: cannot campaign for %r for now: %s", request.what.name, error)
            yield Sleep(random.uniform(*_RETRY))
            # The last attempt may have won; it is released in the background.
            attempt.nonce = nonce()
            found = None
        if found is not None and found.lease is not None:
            return found.lease
        if term.is_resigning:
            raise Closed("the coordinator was closed: this instance does not campaign any more")


def _raise(error: BaseException) -> NoReturn:
    raise error


# --- blocking, awaited ---------------------------------------------------------------------------


class Leader(LeaderHandle[Sync]):
    """The leadership of a name: campaign for it, and see which instance leads."""

    def run(self, fn: Callable[[Lease], T]) -> T:
        """Campaign, run ``fn(lease)`` while leading, and return its result if the lease is still held at its end.

        The lease is renewed while ``fn`` runs. ``fn`` watches ``lease.lost``, and ends soon after it is set: another
        may lead ``1 % of the TTL + 2 ms`` later. After a loss ``run`` waits for ``fn`` to end and campaigns again. An
        error of ``fn`` releases the lease and is raised. While the server is unreachable, it keeps campaigning.
        Closing the coordinator sets ``lease.lost``, waits up to 2 s for ``fn``, resigns, and ``run`` raises ``Closed``.
        """
        check_function(fn, awaited=False)
        c = cast("Any", self.ops)
        term = Term(Lease, threading.Event(), threading.get_ident())
        c.attached[term] = term
        try:
            return cast("T", c.follow(leading(c, self._request, term, fn))())
        finally:
            c.attached.pop(term, None)
            term.ended.set()

    def hold(self, wait: Seconds | None = None) -> Holding[Lease]:
        """Lead while a ``with`` block runs; the block is given its ``Lease``, as by ``Coordinator.hold``.

        Waits up to ``wait`` seconds (None: without limit; 0: one try), else raises ``WaitTimeout``.
        """
        return Holding(cast("Grants", self.ops), self._wanted(wait), Lease, renew=True)

    def changes(self) -> ChangesIterator[Holder | None]:
        """Return an iterator of the leader: now, and after each change; None while the name is free.

        A slow consumer may skip states, but never the last one. It ends when the coordinator is closed.
        """
        return ChangesIterator(self.ops, self._changes())


class AsyncLeader(LeaderHandle[Async]):
    """The leadership of a name: campaign for it, and see which instance leads."""

    async def run(self, fn: Callable[[AsyncLease], Awaitable[T]]) -> T:
        """Campaign, run ``fn(lease)`` while leading, and return its result if the lease is still held at its end.

        The lease is renewed while ``fn`` runs. ``fn`` runs in its own task, which is cancelled when the lease is
        lost: ``1 % of the TTL + 2 ms`` before another may lead. If its cleanup takes longer, two overlap: pass
        ``lease.fence`` on. After a loss ``run`` waits for ``fn`` to end and campaigns again. An error of ``fn``
        releases the lease and passes on. While the server is unreachable, it campaigns on. Cancelling ``run`` cancels
        ``fn`` and resigns; so does closing the coordinator, and ``run`` raises ``Closed``.
        """
        check_function(fn, awaited=True)
        c = cast("Any", self.ops)
        term = Term(AsyncLease, asyncio.Event(), asyncio.current_task())
        c.attached[term] = term
        try:
            return cast("T", (await c.follow(leading(c, self._request, term, fn)))())
        finally:
            c.attached.pop(term, None)
            term.ended.set()

    def hold(self, wait: Seconds | None = None) -> AsyncHolding[AsyncLease]:
        """Lead while an ``async with`` block runs; the block is given its ``AsyncLease``, as by ``hold``.

        Waits up to ``wait`` seconds (None: without limit; 0: one try), else raises ``WaitTimeout``.
        """
        return AsyncHolding(cast("Grants", self.ops), self._wanted(wait), AsyncLease, renew=True)

    def changes(self) -> AsyncChangesIterator[Holder | None]:
        """Return an async iterator of the leader: now, and after each change; None while the name is free.

        A slow consumer may skip states, but never the last one. It ends when the coordinator is closed.
        """
        return AsyncChangesIterator(self.ops, self._changes())
