"""Plans of a holder: renew a lease once or until it ends, release it, and check it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from coord.errors import Closed, CoordError, OutcomeUnknown, Unavailable
from coord.leases.held import Held, until_over
from coord.leases.leasable import Leasable, loss
from coord.names import Seconds, milliseconds
from coord.plan import Compensate, Plan, Sleep, ask, ask_within, report

__all__ = ["compensation", "ensuring", "exiting", "keep_renewed", "keep_renewing", "releasing", "renewing"]

_COMPENSATE = 30.0
"""The most seconds for which the release of an abandoned lease is retried; its TTL may end it sooner."""


def compensation(what: Leasable[Any], nonce: str, ttl_ms: int) -> Compensate:
    """Return the step that releases, in the background, a lease that the server may have granted to an attempt."""
    return Compensate(what.release(nonce), min(ttl_ms / 1000, _COMPENSATE))


def renewing(held: Held, ttl: Seconds | None = None) -> Plan[bool]:
    """Hold the lease for ``ttl`` seconds from now (None: as long as before); False when it is lost or released."""
    ttl_ms = held.ttl_ms if ttl is None else milliseconds(ttl)
    if held.released or held.lost.is_set():
        return False
    renewed = yield from _renewal(held, ttl_ms)
    if renewed and ttl is not None:
        # Renewals in the background keep the new TTL.
        held.ttl_ms = ttl_ms
    return renewed


def _renewal(held: Held, ttl_ms: int, seconds: float | None = None) -> Plan[bool]:
    """Renew within ``seconds``; the local deadline is that of the shortest renewal that may execute last."""
    sent = held.begin_renewal(ttl_ms)
    call = held.what.renew(held.nonce, ttl_ms)
    try:
        renewed = yield from (ask(call) if seconds is None else ask_within(call, seconds))
    except BaseException:
        # It may have executed, or may still execute.
        sent.failed = True
        raise
    held.end_renewal(sent, renewed=renewed)
    if held.released or held.lost.is_set():
        return False
    if not renewed and not held.is_releasing:
        # A release in flight may have caused the refusal; otherwise another holder has the lease.
        held.mark_lost()
    return renewed


def keep_renewing(held: Held, user: Callable[[], object]) -> None:
    """Renew the lease in the background until it is over, or ``user``, a weak reference, is dead."""
    held.start_renewing(partial(keep_renewed, user=user))


def keep_renewed(held: Held, user: Callable[[], object]) -> Plan[None]:
    """Renew the lease until it is over; after an unexpected error, still set ``lost`` in time."""
    renewals = _renew_until_over(held, user)
    try:
        yield from renewals
    except Exception:
        report(renewals)
        yield from until_over(held)


def _renew_until_over(held: Held, user: Callable[[], object]) -> Plan[None]:
    """Renew a lease every third of its TTL until it is over; retry a failed renewal sooner.

    ``user`` returns None once the lease object was garbage-collected: then nothing renews it.
    """
    pause = held.third
    while not held.is_over:
        left = held.left
        pause = max(0.0, min(pause, left))
        yield Sleep(pause, left - pause)
        if held.is_over:
            return
        if user() is None:
            yield from until_over(held)
            return
        started, third = held.now(), held.third
        try:
            yield from _renewal(held, held.ttl_ms, max(0.001, min(third, held.left)))
        except CoordError:
            # Also refusals (a permission, a foreign value at the key): they may be corrected before the deadline.
            pause = third / 4
        else:
            pause = started + held.third - held.now()


def releasing(held: Held) -> Plan[bool]:
    """Release the lease and wake one waiter.

    Return False if it was released before or is lost; then ``lost`` is set. May be called again after an error.
    """
    if held.released:
        return False
    undo = compensation(held.what, held.nonce, held.ttl_ms)
    if held.lost.is_set():
        if held.unsure:
            held.unsure = False
            yield undo
        return False
    held.is_releasing = True
    try:
        left = held.left
        # After its deadline the lease is over, so a late answer is of no use.
        release = ask(undo.call) if left > held.ops.call_seconds else ask_within(undo.call, max(0.05, left))
        released: bool = yield from release
    except (CoordError, GeneratorExit):
        raise
    except BaseException:
        # Interrupted between command and reply: release it in the background.
        held.mark_released()
        yield undo
        raise
    finally:
        held.is_releasing = False
    if released:
        held.mark_released()
    else:
        held.mark_lost()
    return released


def exiting(held: Held, error: BaseException | None) -> Plan[None]:
    """Release the lease at the end of its block; raise ``LeaseLost`` if it was lost and the block raised nothing."""
    held.stop_renewing()
    try:
        yield from releasing(held)
    except CoordError as failure:
        if isinstance(failure, (Unavailable, OutcomeUnknown)) and not isinstance(failure, Closed):
            yield compensation(held.what, held.nonce, held.ttl_ms)
        # The error of the block is the cause, and is raised instead.
        if error is None:
            raise
    if error is None and held.lost.is_set():
        raise loss(held.what, held.fence, released=held.released)


def ensuring(held: Held) -> Plan[None]:
    """Ask the server; raise ``LeaseLost``, and set ``lost``, unless the lease is still held."""
    if not held.released and not held.is_lost:
        if (yield from ask(held.what.holds(held.nonce, held.fence))):
            return
        held.mark_lost()
    raise loss(held.what, held.fence, released=held.released)
