"""Leases: a claim in the hands of its holder, who renews it, lets it go, waits for it, and is told when it is lost."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Any, Protocol, TypeVar, cast

from coord.claims import Grant, holder, release, renew, take
from coord.errors import CoordError, LeaseLost, OutcomeUnknown, WaitTimeout
from coord.names import Seconds, milliseconds, text
from coord.operation import Calls, nonce
from coord.operation import owner as nobody
from coord.plan import Bell, Cancelled, Pause, Plan, Rest, Undo, ask, ask_within, listen, planned

__all__ = ["AsyncHolding", "AsyncLease", "Holding", "Lease", "claiming", "look_again_in"]

T = TypeVar("T")
L = TypeVar("L", bound="_Held")

_MARGIN = 0.002
"""Seconds by which a holder gives up before its server may; a hundredth of the TTL comes on top, for clock drift."""

_LOOK_AGAIN = 5.0
_LOOK_AGAIN_UNHEARD = 0.25


class Event(Protocol):
    """What threading.Event and asyncio.Event have in common."""

    def is_set(self) -> bool:
        """Whether it was set."""
        ...

    def set(self) -> None:
        """Set it, and wake who waits for it."""
        ...


class Job(Protocol):
    """A plan that is followed in the background."""

    def cancel(self) -> object:
        """Stop following it."""
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

    def keep(self, plan: Plan[None], /) -> Job:
        """Follow a plan in the background, where nothing else may hold it up."""
        ...


class _Held:
    """A claim that was granted, as its holder sees it.

    The deadline is the holder's own: counted on its monotonic clock from the start of the call that won or renewed
    the claim, less a margin, so that the holder gives up before the server does.
    """

    _new_event: Callable[[], Event]

    def __init__(self, at: Granting, name: str, owner: str, grant: Grant, ttl_ms: int, started: float) -> None:
        self.name = name
        self.owner = owner
        self.fence = grant.fence
        self._at = at
        self._nonce = grant.nonce
        self._ttl_ms = ttl_ms
        self._lost = self._new_event()
        self._watched = False
        self._released = False
        self._started = started
        self._deadline = 0.0
        self._hold_from(started, ttl_ms)

    def __repr__(self) -> str:
        state = "released" if self._released else "lost" if self._is_lost else f"{self.expires_in:.3f} s left"
        return f"<{type(self).__name__} {self.name!r} of {self.owner!r}, fence {self.fence}, {state}>"

    @property
    def expires_in(self) -> float:
        """The seconds for which the holder may count on the lease; 0.0 when they are over, or it was let go."""
        return 0.0 if self._released or self._is_lost else max(0.0, self._deadline - monotonic())

    @property
    def _is_lost(self) -> bool:
        """Whether the loss is known; time alone makes it so."""
        if not self._lost.is_set() and not self._released and monotonic() >= self._deadline:
            self._lost.set()
        return self._lost.is_set()

    def _watch_loss(self) -> Event:
        """Return the event of the loss, and see to it that it is set in time."""
        if not self._is_lost and not self._watched and not self._released:
            self._watched = True
            self._at.keep(_running_out(self))
        return self._lost

    def _hold_from(self, started: float, ttl_ms: int) -> None:
        seconds = ttl_ms / 1000
        self._started = started
        self._ttl_ms = ttl_ms
        self._deadline = started + seconds - min(_MARGIN + seconds / 100, seconds / 2)


# --- plans ---------------------------------------------------------------------------------------


def claiming(at: Granting, lease: Callable[..., L], name: str, ttl: Seconds, owner: str | None) -> Plan[L | None]:
    """Take a name, or return None at once when another owner has it; cancelled or failed, leave nothing held."""
    ttl_ms = milliseconds(ttl)
    owner = nobody() if owner is None else text(owner, "owner")
    attempt = nonce()
    started = monotonic()
    grant = yield from _trying(at.calls, name, owner, attempt, ttl_ms)
    return lease(at, name, owner, grant, ttl_ms, started) if grant.granted else None


def acquiring(at: Granting, lease: Callable[..., L], name: str, ttl: Seconds, wait: Seconds | None) -> Plan[L]:
    """Take a name, waiting for it in turn with the other waiters of this process."""
    ttl_ms = milliseconds(ttl)
    end = None if wait is None else monotonic() + milliseconds(wait, "wait") / 1000
    owner, attempt = nobody(), nonce()
    channel = at.calls.key("claim", name)
    started = monotonic()
    grant = yield from _trying(at.calls, name, owner, attempt, ttl_ms)
    if not grant.granted:
        bell = yield from listen(channel, in_turn=True)
        try:
            while not grant.granted:
                left = None if end is None else end - monotonic()
                if left is not None and left <= 0:
                    raise WaitTimeout(f"{name!r} was not free within {wait} s")
                rung = yield Rest(bell, _until_next_look(bell, grant.left, left))
                if rung or bell.place.is_first:
                    started = monotonic()
                    grant = yield from _trying(at.calls, name, owner, attempt, ttl_ms)
        finally:
            bell.leave()
    return lease(at, name, owner, grant, ttl_ms, started)


def _trying(calls: Calls, name: str, owner: str, attempt: str, ttl_ms: int) -> Plan[Grant]:
    try:
        return (yield from ask(take(calls, name, owner, attempt, ttl_ms)))
    except (OutcomeUnknown, *Cancelled):
        # It may have been granted, and nobody will hold it.
        yield Undo(release(calls, name, attempt), ttl_ms / 1000)
        raise


def _until_next_look(bell: Bell, taken_for: float, left: float | None) -> float | None:
    """Seconds until a waiter looks without being woken; None: it is not its turn, and it has time."""
    if not bell.place.is_first:
        return left
    soon = min(taken_for + 0.001, look_again_in(bell))
    return soon if left is None else min(soon, left)


def look_again_in(bell: Bell) -> float:
    """Seconds after which a waiter looks by itself, spread so that many do not look at once."""
    often = _LOOK_AGAIN if bell.place.is_heard else _LOOK_AGAIN_UNHEARD
    return often * random.uniform(0.8, 1.2)


def _renewing(lease: _Held, ttl: Seconds | None = None) -> Plan[bool]:
    """Hold the lease for ``ttl`` seconds from now (None: as long as it was claimed for).

    False when it was released, or is lost: then ``lost`` is set.
    """
    ttl_ms = lease._ttl_ms if ttl is None else milliseconds(ttl)
    if lease._released or lease._lost.is_set():
        return False
    started = monotonic()
    renewed = yield from ask(renew(lease._at.calls, lease.name, lease._nonce, ttl_ms))
    return _renewed(lease, started, ttl_ms, renewed=renewed)


def _renewed(lease: _Held, started: float, ttl_ms: int, *, renewed: bool) -> bool:
    if lease._released:
        return False
    if renewed:
        lease._hold_from(started, ttl_ms)
    else:
        lease._lost.set()
    return renewed


def keeping(lease: _Held) -> Plan[None]:
    """Renew a lease at a third of its TTL until it is released or lost; what fails is tried again in time."""
    lease._watched = True
    pause = lease._ttl_ms / 3000
    while not lease._released and not lease._is_lost:
        yield Pause(max(0.0, min(pause, lease._deadline - monotonic())))
        if lease._released or lease._is_lost:
            return
        started, third = monotonic(), lease._ttl_ms / 3000
        call = renew(lease._at.calls, lease.name, lease._nonce, lease._ttl_ms)
        try:
            renewed = yield from ask_within(call, min(third, lease._deadline - started))
        except CoordError:
            # Also what is refused, by a rule or a stranger's value at the key: it may be mended before time is over.
            pause = third / 4
        else:
            _renewed(lease, started, lease._ttl_ms, renewed=renewed)
            pause = started + third - monotonic()


def _running_out(lease: _Held) -> Plan[None]:
    """Set ``lost`` when the time of a lease that nobody renews is over."""
    while not lease._released and not lease._is_lost:
        yield Pause(max(0.0, lease._deadline - monotonic()))


def _releasing(lease: _Held) -> Plan[bool]:
    """Let the lease go, and wake one who waits for it.

    False when it was let go before, or was lost by now: then ``lost`` is set. May be repeated after an error.
    """
    if lease._released or lease._lost.is_set():
        return False
    call = release(lease._at.calls, lease.name, lease._nonce)
    try:
        released = yield from ask(call)
    except Cancelled:
        # The release goes on without its caller.
        lease._released = True
        yield Undo(call, lease._ttl_ms / 1000)
        raise
    if released:
        lease._released = True
    else:
        lease._lost.set()
    return released


def _ensuring(lease: _Held) -> Plan[None]:
    """Ask the server; raise ``LeaseLost``, and set ``lost``, unless the lease is still held."""
    if not lease._released and not lease._is_lost:
        now = yield from ask(holder(lease._at.calls, lease.name))
        if now is not None and now.fence == lease.fence:
            return
        lease._lost.set()
    raise _loss(lease)


def _loss(lease: _Held) -> LeaseLost:
    if lease._released:
        return LeaseLost(f"the lease of {lease.name!r} was released")
    return LeaseLost(f"the lease of {lease.name!r} (fence {lease.fence}) ran out or was taken")


# --- blocking ------------------------------------------------------------------------------------


class Lease(_Held):
    """A claim that was granted.

    ``fence`` is above every fence granted before for this name: pass it to what you write to.
    """

    _new_event = threading.Event

    renew = planned(_renewing)
    release = planned(_releasing)
    ensure_held = planned(_ensuring)

    @property
    def lost(self) -> threading.Event:
        """Set as soon as the loss is known: another has the name, or its time is over by the holder's own clock."""
        return cast("threading.Event", self._watch_loss())

    def follow(self, plan: Plan[T]) -> T:
        """Follow a plan with the coordinator that granted the lease."""
        return cast("T", self._at.follow(plan))


class Holding:
    """A name that is held while a block runs."""

    def __init__(self, at: Granting, name: str, ttl: Seconds, wait: Seconds | None, *, renew: bool) -> None:
        self._at = at
        self._acquiring = acquiring(at, Lease, name, ttl, wait)
        self._renew = renew
        self._job: Job | None = None

    def __enter__(self) -> Lease:
        self._lease = cast("Lease", self._at.follow(self._acquiring))
        if self._renew:
            self._job = self._at.keep(keeping(self._lease))
        return self._lease

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._job is not None:
            self._job.cancel()
        try:
            self._lease.release()
        except CoordError:
            # What went wrong in the block says more; the lease ends by its TTL.
            if error is None:
                raise
        if error is None and self._lease._lost.is_set():
            raise _loss(self._lease)


# --- awaited -------------------------------------------------------------------------------------


class AsyncLease(_Held):
    """A claim that was granted; its methods are awaited.

    ``fence`` is above every fence granted before for this name: pass it to what you write to.
    """

    _new_event = asyncio.Event

    renew = planned(_renewing)
    release = planned(_releasing)
    ensure_held = planned(_ensuring)

    @property
    def lost(self) -> asyncio.Event:
        """Set as soon as the loss is known: another has the name, or its time is over by the holder's own clock."""
        return cast("asyncio.Event", self._watch_loss())

    async def follow(self, plan: Plan[T]) -> T:
        """Follow a plan with the coordinator that granted the lease."""
        return cast("T", await self._at.follow(plan))


class AsyncHolding:
    """A name that is held while a block runs."""

    def __init__(self, at: Granting, name: str, ttl: Seconds, wait: Seconds | None, *, renew: bool) -> None:
        self._at = at
        self._acquiring = acquiring(at, AsyncLease, name, ttl, wait)
        self._renew = renew
        self._job: Job | None = None

    async def __aenter__(self) -> AsyncLease:
        self._lease = cast("AsyncLease", await self._at.follow(self._acquiring))
        if self._renew:
            self._job = self._at.keep(keeping(self._lease))
        return self._lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._job is not None:
            self._job.cancel()
        try:
            await self._lease.release()
        except CoordError:
            # What went wrong in the block says more; the lease ends by its TTL.
            if error is None:
                raise
        if error is None and self._lease._lost.is_set():
            raise _loss(self._lease)
