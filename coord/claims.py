"""Claims: one of many takes a name for a while. Dedupe windows, leases, locks.

A claim is a lease with a fence, not a lock. Redis replicates asynchronously, and a process may pause for longer than
its lease: two may believe for a moment that they hold the same name. The fence grows with every grant; what is
written to should refuse a fence below one it has seen
(M. Kleppmann, "How to do distributed locking", 2016; https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/).
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from coord.errors import LeaseLost, OutcomeUnknown, ReplyError
from coord.library import later, whole
from coord.names import Seconds, milliseconds, text
from coord.operation import Calls, nonce, owner as nobody
from coord.plan import Cancelled, Plan, Undo, ask, planned
from coord.script import Call, packaged

if TYPE_CHECKING:
    import asyncio
    import threading

    from coord.memory import Keyspace

__all__ = ["AsyncLease", "Grant", "Holder", "Lease", "claiming", "holder", "once"]

T = TypeVar("T")

MARGIN = 0.002
"""Seconds by which a holder gives up before its server may: a part for clock drift, on top of 1 % of the TTL."""


class Holder(NamedTuple):
    """Who has a name: its owner, the fence of its claim, and the seconds until it ends."""

    owner: str
    fence: int
    expires_in: float


class Grant(NamedTuple):
    """What came of a claim: whether it was granted, by which attempt, its fence, and the seconds it stays taken."""

    granted: bool
    nonce: str
    fence: int
    left: float


def once(at: Calls, name: str, ttl: Seconds = 45) -> Call[bool]:
    """Return True for exactly one caller per window of ``ttl`` seconds, False for all others until it ends.

    The window opens with the call that gets True, and is not prolonged by others.
    A window and a claim of the same name know nothing of each other.
    """
    return at.call(ONCE, (at.key("once", name),), (nonce(), milliseconds(ttl)), bool)


def take(at: Calls, name: str, owner: str, nonce: str, ttl_ms: int) -> Call[Grant]:
    """Ask for a claim; ``Grant.granted`` says whether it was given."""
    claim = at.key("claim", name)
    return at.call(CLAIM, (claim, f"{claim}:gone:{nonce}"), (owner, nonce, ttl_ms), _read_grant)


def renew(at: Calls, name: str, nonce: str, ttl_ms: int) -> Call[bool]:
    """Hold a claim for longer; False when the attempt no longer has it."""
    return at.call(RENEW, (at.key("claim", name),), (nonce, ttl_ms), _read_first)


def release(at: Calls, name: str, nonce: str) -> Call[bool]:
    """Let a claim go; False when the attempt no longer had it. A later claim of the attempt is refused."""
    claim = at.key("claim", name)
    return at.call(RELEASE, (claim, f"{claim}:gone:{nonce}"), (nonce, at.gone_ms, at.publish), bool)


def holder(at: Calls, name: str) -> Call[Holder | None]:
    """Return who has a name now; None when nobody has."""
    return at.call(HOLDER, (at.key("claim", name),), (), _read_holder)


def _read_grant(reply: list[int | str]) -> Grant:
    granted, nonce, fence, left_ms = reply
    return Grant(granted == 1, str(nonce), int(fence), int(left_ms) / 1000)


def _read_first(reply: list[int | str]) -> bool:
    return reply[0] == 1


def _read_holder(reply: list[int | str]) -> Holder | None:
    owner, fence, left_ms = reply
    return Holder(str(owner), int(fence), int(left_ms) / 1000) if owner else None


L = TypeVar("L", bound="_Held")


def claiming(
    at: Granting, lease: Callable[..., L], name: str, ttl: Seconds = 30, owner: str | None = None
) -> Plan[L | None]:
    """Take a name for ``ttl`` seconds, or return None at once when another owner has it.

    The same ``owner`` asking again gets its own lease back, with the same fence and at least ``ttl`` to go.
    Without an owner each call is one of its own. Cancelled or failed, it leaves nothing held.
    """
    ttl_ms = milliseconds(ttl)
    owner = nobody() if owner is None else text(owner, "owner")
    attempt = nonce()
    started = monotonic()
    try:
        grant = yield from ask(take(at.calls, name, owner, attempt, ttl_ms))
    except (OutcomeUnknown, Cancelled):
        # It may have been granted, and nobody will hold it.
        yield Undo(release(at.calls, name, attempt), ttl_ms / 1000)
        raise
    return lease(at, name, owner, grant, ttl_ms, started) if grant.granted else None


# --- leases --------------------------------------------------------------------------------------


class Event(Protocol):
    """What threading.Event and asyncio.Event have in common."""

    def is_set(self) -> bool:
        """Whether it was set."""
        ...

    def set(self) -> None:
        """Set it, and wake who waits for it."""
        ...


class Granting(Protocol):
    """The coordinator that grants leases: in which world, a lease need not know."""

    @property
    def calls(self) -> Calls:
        """The operations as values, with the coordinator's prefix and TTL."""
        ...

    def follow(self, plan: Plan[Any], /) -> Any:
        """Follow a plan; return its result, or an awaitable of it."""
        ...


class _Held:
    """A claim that was granted, as its holder sees it.

    The deadline is the holder's own: counted on its monotonic clock from the start of the call that won or renewed
    the claim, less a margin, so that the holder gives up before the server does.
    """

    lost: Event

    def __init__(self, at: Granting, name: str, owner: str, grant: Grant, ttl_ms: int, started: float) -> None:
        self.name = name
        self.owner = owner
        self.fence = grant.fence
        self._at = at
        self._nonce = grant.nonce
        self._ttl_ms = ttl_ms
        self._released = False
        self._deadline = 0.0
        self._hold_until(started, ttl_ms)

    def __repr__(self) -> str:
        state = "released" if self._released else "lost" if self.lost.is_set() else f"{self.expires_in:.3f} s left"
        return f"<{type(self).__name__} {self.name!r} of {self.owner!r}, fence {self.fence}, {state}>"

    @property
    def expires_in(self) -> float:
        """The seconds for which the holder may count on the lease; 0.0 when they are over, or it was let go."""
        if self._released or self.lost.is_set():
            return 0.0
        return max(0.0, self._deadline - monotonic())

    def _hold_until(self, started: float, ttl_ms: int) -> None:
        seconds = ttl_ms / 1000
        self._deadline = started + seconds - min(MARGIN + seconds / 100, seconds / 2)


def _renewing(lease: _Held, ttl: Seconds | None = None) -> Plan[bool]:
    """Hold the lease for ``ttl`` seconds from now (None: as long as it was claimed for).

    False when it was released, or is lost: then ``lost`` is set.
    """
    ttl_ms = lease._ttl_ms if ttl is None else milliseconds(ttl)
    if lease._released or lease.lost.is_set():
        return False
    started = monotonic()
    renewed = yield from ask(renew(lease._at.calls, lease.name, lease._nonce, ttl_ms))
    if lease._released:
        return False
    if renewed:
        lease._ttl_ms = ttl_ms
        lease._hold_until(started, ttl_ms)
    else:
        lease.lost.set()
    return renewed


def _releasing(lease: _Held) -> Plan[bool]:
    """Let the lease go, and wake one who waits for it.

    False when it was let go before, or was lost by now: then ``lost`` is set. May be repeated after an error.
    """
    if lease._released or lease.lost.is_set():
        return False
    call = release(lease._at.calls, lease.name, lease._nonce)
    try:
        released = yield from ask(call)
    except Cancelled:
        # The release goes on without its caller.
        lease._released = True
        yield Undo(call, lease._ttl_ms / 1000)
        raise
    lease._released = True
    if not released:
        lease.lost.set()
    return released


def _ensuring(lease: _Held) -> Plan[None]:
    """Ask the server; raise ``LeaseLost``, and set ``lost``, unless the lease is still held."""
    if not lease._released and not lease.lost.is_set():
        now = yield from ask(holder(lease._at.calls, lease.name))
        if now is not None and now.fence == lease.fence:
            return
        lease.lost.set()
    raise LeaseLost(
        f"the lease of {lease.name!r} was released"
        if lease._released
        else f"the lease of {lease.name!r} (fence {lease.fence}) ran out or was taken"
    )


class Lease(_Held):
    """A claim that was granted.

    ``fence`` is above every fence granted before for this name: pass it to what you write to.
    ``lost`` is a ``threading.Event``, set as soon as the loss is known.
    """

    lost: threading.Event

    renew = planned(_renewing)
    release = planned(_releasing)
    ensure_held = planned(_ensuring)

    def follow(self, plan: Plan[T]) -> T:
        """Follow a plan with the coordinator that granted the lease."""
        return self._at.follow(plan)


class AsyncLease(_Held):
    """A claim that was granted; its methods are awaited.

    ``fence`` is above every fence granted before for this name: pass it to what you write to.
    ``lost`` is an ``asyncio.Event``, set as soon as the loss is known.
    """

    lost: asyncio.Event

    renew = planned(_renewing)
    release = planned(_releasing)
    ensure_held = planned(_ensuring)

    async def follow(self, plan: Plan[T]) -> T:
        """Follow a plan with the coordinator that granted the lease."""
        return await self._at.follow(plan)


# --- twins ---------------------------------------------------------------------------------------


def _holding(claim: str | None) -> tuple[str, str, str]:
    """Who has a claim, by which attempt, under which fence; no attempt: it is free; no fence: not a claim."""
    if claim is None:
        return "", "", "0"
    parts = claim.rsplit("|", 2)
    if len(parts) == 3 and whole(parts[2]):
        return parts[0], parts[1], parts[2]
    return "", "", ""


def _corrupt() -> ReplyError:
    return ReplyError("COORD_CORRUPT the value of this claim was not written by coord")


def _once(space: Keyspace, once: str, nonce: str, ttl_ms: int) -> int:
    if space.set(once, nonce, px=ttl_ms, nx=True):
        return 1
    return 1 if space.get(once) == nonce else 0


def _claim(space: Keyspace, claim: str, gone: str, owner: str, nonce: str, ttl_ms: int) -> list[int | str]:
    holder, attempt, fence = _holding(space.get(claim))
    if not fence:
        raise _corrupt()
    taken = attempt != ""
    left_ms = space.pttl(claim) if taken else 0
    if taken and holder != owner:
        return [0, "", "0", left_ms]
    if taken:
        if left_ms < ttl_ms:
            space.pexpire(claim, ttl_ms)
            left_ms = ttl_ms
        return [1, attempt, fence, left_ms]
    if space.exists(gone):
        return [0, "", "0", 0]
    fence = later(space, fence)
    space.set(claim, f"{owner}|{nonce}|{fence}", px=ttl_ms)
    return [1, nonce, fence, ttl_ms]


def _renew(space: Keyspace, claim: str, nonce: str, ttl_ms: int) -> list[int | str]:
    _, attempt, fence = _holding(space.get(claim))
    if attempt != nonce:
        return [0, "0"]
    space.pexpire(claim, ttl_ms)
    return [1, fence]


def _release(space: Keyspace, claim: str, gone: str, nonce: str, gone_ms: int, publish: str) -> int:
    _, attempt, fence = _holding(space.get(claim))
    if attempt == nonce:
        space.set(gone, "1", px=gone_ms)
        space.set(claim, f"||{fence}", px=gone_ms)
        space.publish(claim, "free")
        return 1
    answered = space.get(gone)
    if answered is not None:
        return int(answered)
    space.set(gone, "0", px=gone_ms)
    return 0


def _holder(space: Keyspace, claim: str) -> list[int | str]:
    owner, attempt, fence = _holding(space.get(claim))
    if not fence:
        raise _corrupt()
    return [owner, fence, space.pttl(claim)] if attempt else ["", fence, 0]


ONCE = packaged("once", _once)
CLAIM = packaged("claim", _claim)
RENEW = packaged("renew", _renew)
RELEASE = packaged("release", _release)
HOLDER = packaged("holder", _holder)
