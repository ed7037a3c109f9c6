"""Plans that ask for a lease: once, or waiting in turn. Cut short, they leave nothing held."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, Generic, TypeVar

from coord.errors import WaitTimeout
from coord.leases.held import Held
from coord.leases.keeping import compensation
from coord.leases.leasable import Attempt, Granted, Grants, LeaseRequest
from coord.leases.lease import BaseLease, renew_until_collected
from coord.plan import Plan, ask
from coord.waiting import Deadline, NotYet, ask_by, in_time, just_after, or_undo, turns

__all__ = ["Answer", "acquiring", "answering", "asking", "claiming", "or_compensate"]

T = TypeVar("T")
G = TypeVar("G", bound=Granted)
L = TypeVar("L", bound=BaseLease)


@dataclass(frozen=True, slots=True)
class Answer(Generic[G, L]):
    """The answer to a request for a lease; ``lease`` is None unless it was granted."""

    grant: G
    lease: L | None


def claiming(ops: Grants, lease: Callable[[Held], L], request: LeaseRequest[Any], *, renew: bool) -> Plan[L | None]:
    """Ask once; return the lease, or None if it is taken. ``renew``: renew it until it is garbage-collected."""
    found = yield from asking(ops, lease, request)
    if found.lease is not None and renew:
        renew_until_collected(found.lease)
    return found.lease


def asking(ops: Grants, lease: Callable[[Held], L], request: LeaseRequest[G]) -> Plan[Answer[G, L]]:
    """Ask once, and return what was answered."""
    attempt = Attempt()
    return (yield from or_compensate(ops, _asking(ops, lease, request, attempt, request.owner()), request, attempt))


def acquiring(ops: Grants, lease: Callable[[Held], L], request: LeaseRequest[Any], attempt: Attempt) -> Plan[L]:
    """Return the lease, waiting for it in turn with the other waiters of this process; ``WaitTimeout`` without it."""
    found = yield from answering(ops, lease, request, attempt)
    if found is None or found.lease is None:
        raise WaitTimeout(f"{request.what.name!r} was not free within {request.wait} s")
    return found.lease


def answering(
    ops: Grants,
    lease: Callable[[Held], L],
    request: LeaseRequest[G],
    attempt: Attempt,
    is_final: Callable[[G], bool] = lambda grant: grant.granted,
) -> Plan[Answer[G, L] | None]:
    """Ask, waiting in turn, until it is granted or ``is_final`` accepts a refusal; None when time is over."""
    deadline = Deadline(ops.clock, request.wait_s)
    owner = request.owner()
    asking = (
        _asking(ops, lease, request, attempt, owner)
        if request.wait_s == 0
        else _in_turn(ops, lease, request, attempt, owner, deadline, is_final)
    )
    undone = or_compensate(ops, asking, request, attempt)
    unknown = f"the state of {request.what.name!r} could not be read within {request.wait} s"
    return (yield from in_time(undone, deadline, unknown))


def _asking(
    ops: Grants, lease: Callable[[Held], L], request: LeaseRequest[G], attempt: Attempt, owner: str
) -> Plan[Answer[G, L]]:
    started = ops.clock.monotonic()
    attempt.asked = True
    grant = yield from ask(request.what.ask(owner, attempt.nonce, request.ttl_ms))
    held = _granted(ops, request, owner, grant, started) if grant.granted else None
    if grant.granted and held is None:
        # Not that of the grant, which may be an earlier attempt of the same owner.
        yield compensation(request.what, attempt.nonce, request.ttl_ms)
    return Answer(grant, None if held is None else lease(held))


def _granted(ops: Grants, request: LeaseRequest[G], owner: str, grant: G, started: float) -> Held | None:
    """Return the lease of a grant, unless it was over when its grant arrived."""
    held = Held(ops, request.what, owner, grant, request.ttl_ms, started)
    return None if held.is_lost else held


def _in_turn(
    ops: Grants,
    lease: Callable[[Held], L],
    request: LeaseRequest[G],
    attempt: Attempt,
    owner: str,
    deadline: Deadline,
    is_final: Callable[[G], bool],
) -> Plan[Answer[G, L] | None]:
    """Ask in turn with the other waiters of this process."""
    what = request.what

    def look() -> Plan[Answer[G, L] | NotYet | None]:
        while True:
            is_over = deadline.has_passed
            started = ops.clock.monotonic()
            attempt.asked = True
            grant = yield from ask_by(what.ask(owner, attempt.nonce, request.ttl_ms), deadline)
            if not grant.granted:
                # A permanent claim has no end to wait for.
                soon = just_after(grant.left) if grant.left >= 0 else inf
                return Answer(grant, None) if is_final(grant) else NotYet(soon)
            held = _granted(ops, request, owner, grant, started)
            if held is not None:
                return Answer(grant, lease(held))
            if is_over:
                yield compensation(what, attempt.nonce, request.ttl_ms)
                return None
            # The owner gets what it has, for its full TTL from now: giving it back meanwhile would free that.

    return (yield from turns(what.channel, look, deadline, attempt.queued))


def or_compensate(ops: Grants, plan: Plan[T], request: LeaseRequest[Any], attempt: Attempt) -> Plan[T]:
    """Follow a plan that may win a lease; when it is cut short, release the lease that it may have won."""
    return or_undo(
        ops, plan, lambda: compensation(request.what, attempt.nonce, request.ttl_ms) if attempt.asked else None
    )
