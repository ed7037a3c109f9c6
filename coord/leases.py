"""Leases: a claim in the hands of its holder, who renews it, lets it go, waits for it, and is told when it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import threading
import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeVar, cast

from coord.claims import Grant, holder, release, renew, take
from coord.errors import CoordError, LeaseLost, OutcomeUnknown, WaitTimeout
from coord.family import Calls
from coord.fork import ForkSafeLock
from coord.ids import new_owner_id, nonce
from coord.names import Seconds, check_name, milliseconds
from coord.plan import (
    Compensate,
    Event,
    Job,
    Plan,
    Sleep,
    Wait,
    ask,
    ask_by,
    ask_within,
    compensating,
    in_time,
    planned,
    report,
    subscribe,
)

__all__ = ["AsyncHolding", "AsyncLease", "Holding", "Lease", "Wanted", "claiming", "look_again_in"]

T = TypeVar("T")
L = TypeVar("L", bound="_Held")

_MARGIN = 0.002
"""Seconds by which a holder gives up before its server may; a hundredth of the TTL comes on top, for clock drift."""

_LONG = 15.0
"""Seconds that one call may take by default, its repetitions included."""

_LOOK_AGAIN = 5.0
_LOOK_AGAIN_UNHEARD = 0.25

_UNDO = 30.0
"""Seconds for which a claim that nobody will hold is taken back, if its TTL is not over sooner."""


class LostEvent(Protocol):
    """What threading.Event and asyncio.Event have in common."""

    def is_set(self) -> bool:
        """Whether it was set."""
        ...

    def set(self) -> None:
        """Set it, and wake who waits for it."""
        ...


_steps = ForkSafeLock()
"""Held for a few steps, never while something is sent: an event is made, or a renewal counted."""


def _until(started: float, ttl_ms: int) -> float:
    """Until when the holder of a lease may count on it that was asked for at a moment."""
    seconds = ttl_ms / 1000
    return started + seconds - min(_MARGIN + seconds / 100, seconds / 2)


class _Renewal:
    """A renewal that was sent: ``least_ms`` is what it gives if another that is on its way comes after it."""

    __slots__ = ("doubts", "failed", "least_ms", "started", "ttl_ms")

    def __init__(self, ttl_ms: int, others: list[_Renewal]) -> None:
        self.started = monotonic()
        self.ttl_ms = ttl_ms
        self.failed = False
        self.doubts = [each for each in others if each.failed]
        self.least_ms = min([ttl_ms, *(each.ttl_ms for each in others)])
        for each in others:
            each.least_ms = min(each.least_ms, ttl_ms)


class _Loss:
    """Whether a lease is lost; an event of it is made when somebody wants to wait for it."""

    __slots__ = ("_event", "_known")

    def __init__(self) -> None:
        self._known = False
        self._event: LostEvent | None = None

    def is_set(self) -> bool:
        """Whether the loss is known."""
        return self._known

    def set(self) -> None:
        """Make it known."""
        self._known = True
        if self._event is not None:
            self._event.set()

    def event(self, new: Callable[[], LostEvent]) -> LostEvent:
        """Return the event that is set once the loss is known."""
        with _steps.lock:
            if self._event is None:
                self._event = new()
        if self._known:
            self._event.set()
        return self._event


class _Lost(threading.Event):
    """The loss of a lease, for threads. It looks at the clock itself: who watches may be late, or gone."""

    def __init__(self, lease: _Held) -> None:
        super().__init__()
        self._lease = lease

    def is_set(self) -> bool:
        """Whether the lease is lost."""
        return self._lease._is_lost or super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the lease is lost."""
        return self.is_set() or super().wait(timeout)


class _LostToTask(asyncio.Event):
    """The loss of a lease, for tasks. It looks at the clock itself: a loop that was blocked has watched nothing."""

    def __init__(self, lease: _Held) -> None:
        super().__init__()
        self._lease = lease

    def is_set(self) -> bool:
        """Whether the lease is lost."""
        return self._lease._is_lost or super().is_set()

    async def wait(self) -> Literal[True]:
        """Wait until the lease is lost."""
        return self.is_set() or await super().wait()


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
    the claim, less a margin, so that the holder gives up before the server does. Of renewals that are on their way at
    the same time any may come last: it is the shortest that counts.
    """

    _new_event: Callable[[_Held], LostEvent]

    def __init__(self, ops: Granting, name: str, owner: str, grant: Grant, ttl_ms: int, started: float) -> None:
        self.name = name
        self.owner = owner
        self.fence = grant.fence
        self._ops = ops
        self._nonce = grant.nonce
        self._ttl_ms = ttl_ms
        self._third = ttl_ms / 3000
        self._deadline = _until(started, ttl_ms)
        self._underway: list[_Renewal] = []
        self._lost = _Loss()
        self._unsure = False
        self._is_releasing = False
        self._released = False
        self._background: Callable[[Any], Plan[None]] | None = None
        self._job: Job | None = None
        self._process = 0
        self._made_in = os.getpid()
        self._is_renewed_alone = False

    def __del__(self) -> None:
        if getattr(self, "_is_renewed_alone", False) and not self._is_over:
            text = f"the lease of {self.name!r} was dropped while it was renewed; it ends by its TTL"
            warnings.warn(text, ResourceWarning, stacklevel=2, source=self)

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
            # The server may have it still, renewed by a call whose answer came too late.
            self._unsure = True
            self._lost.set()
        return self._lost.is_set()

    @property
    def _is_over(self) -> bool:
        """Whether there is nothing left to look after."""
        return self._released or self._is_lost

    @property
    def _is_watched(self) -> bool:
        """Whether something in the background looks after it; a child of a fork has not got its parent's."""
        return self._job is not None and self._process == os.getpid()

    def _watch_loss(self) -> LostEvent:
        """Return the event of the loss, and see to it that it is set in time."""
        if not self._is_over and not self._is_watched:
            # Outside its event loop an awaited lease has nobody to watch it; then it looks when it is asked.
            with contextlib.suppress(RuntimeError):
                self._start_renewing(_running_out)
        return self._lost.event(partial(self._new_event, self))

    def _start_renewing(self, background: Callable[[Any], Plan[None]]) -> None:
        """Have a plan followed in the background until the lease is over."""
        self._job = self._ops.keep(background(self))
        self._background, self._process = background, os.getpid()

    def _stop_renewing(self) -> None:
        """End what is followed in the background."""
        if self._job is not None and self._is_watched:
            self._job.cancel()

    def _mark_lost(self) -> None:
        """Another has the name, or nobody."""
        self._lost.set()
        self._stop_renewing()

    def _begin_renewal(self, ttl_ms: int) -> _Renewal:
        """Count on no more than what is true if the server takes it at once, and answers late or never."""
        with _steps.lock:
            sent = _Renewal(ttl_ms, self._underway)
            self._underway.append(sent)
            ends_sooner = _until(sent.started, ttl_ms) < self._deadline
            if ends_sooner:
                self._deadline, self._third = _until(sent.started, ttl_ms), ttl_ms / 3000
        if ends_sooner and self._background is not None and self._is_watched:
            # Whoever looks after it would come too late.
            self._stop_renewing()
            self._start_renewing(self._background)
        return sent

    def _end_renewal(self, sent: _Renewal, *, renewed: bool) -> None:
        """It was answered. What was true before is true still; what failed before it was sent is behind it."""
        with _steps.lock:
            self._underway = [each for each in self._underway if each is not sent and each not in sent.doubts]
            if renewed:
                self._deadline = max(self._deadline, _until(sent.started, sent.least_ms))
                self._third = sent.least_ms / 3000


# --- plans ---------------------------------------------------------------------------------------


def claiming(
    ops: Granting, lease: Callable[..., L], name: str, ttl: Seconds, owner: str | None, *, renew: bool
) -> Plan[L | None]:
    """Take a name, or return None at once when another owner has it; cancelled or failed, leave nothing held."""
    ttl_ms = milliseconds(ttl)
    owner = _checked_owner(owner)
    attempt = Attempt()
    asking = _asking(ops, lease, name, owner, attempt, ttl_ms)
    held = yield from _or_compensate(ops, asking, name, attempt, ttl_ms)
    if held is not None and renew:
        held._is_renewed_alone = True
        held._start_renewing(lambda each: _renewing_while_referenced(weakref.ref(each)))
    return held


@dataclass(slots=True)
class Attempt:
    """The nonce under which a name is asked for, and whether it was; a new one after a grant that came too late."""

    nonce: str = field(default_factory=nonce)
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """The arguments of ``hold``, checked where they are given. ``wait_s`` is None for no limit, 0 for one try."""

    name: str
    ttl_ms: int
    wait_s: float | None
    owner: str | None
    wait: Seconds | None = None

    @classmethod
    def of(cls, ops: Granting, name: str, ttl: Seconds, wait: Seconds | None, owner: str | None) -> Wanted:
        """Check the arguments; ``ValueError`` or ``TypeError`` says which one is wrong."""
        ops.calls.key("claim", name)
        wait_s = (
            0.0
            if wait == 0 and not isinstance(wait, bool)
            else None
            if wait is None
            else milliseconds(wait, "wait") / 1000
        )
        return cls(name, milliseconds(ttl), wait_s, None if owner is None else check_name(owner, "owner"), wait)


def _checked_owner(owner: str | None) -> str:
    return new_owner_id() if owner is None else check_name(owner, "owner")


def acquiring(ops: Granting, lease: Callable[..., L], wanted: Wanted, attempt: Attempt) -> Plan[L]:
    """Take a name, waiting for it in turn with the other waiters of this process; cancelled, leave nothing held."""
    name, ttl_ms, wait_s = wanted.name, wanted.ttl_ms, wanted.wait_s
    owner = _checked_owner(wanted.owner)
    end = None if wait_s is None else monotonic() + wait_s
    asking = (
        _asking(ops, lease, name, owner, attempt, ttl_ms)
        if wait_s == 0
        else _in_turn(ops, lease, name, owner, attempt, ttl_ms, end)
    )
    undone = _or_compensate(ops, asking, name, attempt, ttl_ms)
    held = yield from in_time(undone, end, f"whether {name!r} is free was not told within {wanted.wait} s")
    if held is None:
        raise WaitTimeout(f"{name!r} was not free within {wanted.wait} s")
    return held


def _asking(
    ops: Granting, lease: Callable[..., L], name: str, owner: str, attempt: Attempt, ttl_ms: int
) -> Plan[L | None]:
    started = monotonic()
    attempt.asked = True
    grant = yield from ask(take(ops.calls, name, owner, attempt.nonce, ttl_ms))
    if not grant.granted:
        return None
    held = lease(ops, name, owner, grant, ttl_ms, started)
    return None if (yield from _came_too_late(ops, held, attempt)) else held


def _came_too_late(ops: Granting, held: _Held, attempt: Attempt) -> Plan[bool]:
    """Give back a lease that was over when its grant arrived; return whether it was."""
    if not held._is_lost:
        return False
    yield _compensation(ops, held.name, held._nonce, held._ttl_ms)
    attempt.nonce = nonce()
    return True


def _in_turn(
    ops: Granting, lease: Callable[..., L], name: str, owner: str, attempt: Attempt, ttl_ms: int, end: float | None
) -> Plan[L | None]:
    """Ask at once, unless others of this process wait already; then wait and ask when it is one's turn."""
    channel = ops.calls.key("claim", name)
    event = yield from subscribe(channel, in_turn="behind")
    looks = not event.waiter.queued
    try:
        while True:
            left = None if end is None else end - monotonic()
            taken_for = 0.0
            if looks:
                started = monotonic()
                attempt.asked = True
                grant = yield from ask_by(take(ops.calls, name, owner, attempt.nonce, ttl_ms), end)
                if grant.granted:
                    held = lease(ops, name, owner, grant, ttl_ms, started)
                    if not (yield from _came_too_late(ops, held, attempt)):
                        return held
                    continue
                taken_for = grant.left
            if not event.waiter.queued:
                event = yield from subscribe(channel, in_turn=True)
            if left is not None and left <= 0:
                return None
            rung = yield Wait(event, _until_next_look(event, taken_for, left))
            looks = rung or event.waiter.is_first
    finally:
        event.leave()


def _compensation(ops: Granting, name: str, attempt: str, ttl_ms: int) -> Compensate:
    return Compensate(release(ops.calls, name, attempt), min(ttl_ms / 1000, _UNDO))


def _or_compensate(ops: Granting, plan: Plan[T], name: str, attempt: Attempt, ttl_ms: int) -> Plan[T]:
    """Follow a plan that may win a claim; when it is cut short, give back the claim that it may have won."""
    try:
        return (yield from plan)
    except GeneratorExit:
        # The plan was dropped between two steps.
        if attempt.asked:
            with contextlib.suppress(RuntimeError):
                ops.keep(compensating(_compensation(ops, name, attempt.nonce, ttl_ms)))
        raise
    except BaseException as error:
        # Any exception may come between command and reply: Ctrl-C, a cancellation, a job library's time limit.
        if attempt.asked and (not isinstance(error, CoordError) or isinstance(error, OutcomeUnknown)):
            yield _compensation(ops, name, attempt.nonce, ttl_ms)
        raise


def _only(compensation: Compensate) -> Plan[None]:
    """Nothing but to take something back."""
    yield compensation


def _until_next_look(event: Event, taken_for: float, left: float | None) -> float | None:
    """Seconds until a waiter looks without being woken; None: it is not its turn, and it has time."""
    if not event.waiter.is_first:
        return left
    soon = look_again_in(event)
    # A claim that somebody made permanent has no end to wait for.
    if taken_for >= 0:
        soon = min(taken_for + 0.001, soon)
    return soon if left is None else min(soon, left)


def look_again_in(event: Event) -> float:
    """Seconds after which a waiter looks by itself, spread so that many do not look at once."""
    often = _LOOK_AGAIN if event.waiter.is_subscribed else _LOOK_AGAIN_UNHEARD
    return often * random.uniform(0.8, 1.2)


def _renewing(lease: _Held, ttl: Seconds | None = None) -> Plan[bool]:
    """Hold the lease for ``ttl`` seconds from now (None: as long as it was claimed for).

    False when it was released, or is lost: then ``lost`` is set.
    """
    ttl_ms = lease._ttl_ms if ttl is None else milliseconds(ttl)
    if lease._released or lease._lost.is_set():
        return False
    renewed = yield from _renewal(lease, ttl_ms)
    if renewed and ttl is not None:
        # The keeper goes on with it.
        lease._ttl_ms = ttl_ms
    return renewed


def _renewal(lease: _Held, ttl_ms: int, seconds: float | None = None) -> Plan[bool]:
    """Renew, within so many seconds, and count on as much as is true whichever renewal comes last."""
    sent = lease._begin_renewal(ttl_ms)
    call = renew(lease._ops.calls, lease.name, lease._nonce, ttl_ms)
    try:
        renewed = yield from (ask(call) if seconds is None else ask_within(call, seconds))
    except BaseException:
        # It may have run, or run yet.
        sent.failed = True
        raise
    lease._end_renewal(sent, renewed=renewed)
    if lease._released or lease._lost.is_set():
        return False
    if not renewed and not lease._is_releasing:
        # While it is let go, that is why it is not there.
        lease._mark_lost()
    return renewed


def keep_renewed(lease: _Held, block: Callable[[], object]) -> Plan[None]:
    """Keep a lease until it is released or lost; whatever ends the renewals, the loss is told in time."""
    renewals = _renew_until_over(lease, block)
    try:
        yield from renewals
    except Exception:
        report(renewals)
        yield from _running_out(lease)


def _renew_until_over(lease: _Held, block: Callable[[], object]) -> Plan[None]:
    """Renew a lease at a third of its TTL until it is released or lost; what fails is tried again in time.

    ``block`` returns None once its block has gone, and could not release it.
    """
    pause = lease._third
    while not lease._is_over:
        left = lease._deadline - monotonic()
        pause = max(0.0, min(pause, left))
        yield Sleep(pause, left - pause)
        if lease._is_over:
            return
        if block() is None:
            yield from _running_out(lease)
            return
        started, third = monotonic(), lease._third
        try:
            yield from _renewal(lease, lease._ttl_ms, max(0.001, min(third, lease._deadline - started)))
        except CoordError:
            # Also what is refused, by a rule or a stranger's value at the key: it may be mended before time is over.
            pause = third / 4
        else:
            pause = started + lease._third - monotonic()


def _renewing_while_referenced(reference: weakref.ref[_Held]) -> Plan[None]:
    """Renew a claimed lease until it is over, or was collected: a lease that nobody has cannot be released."""
    retry: float | None = None
    while (lease := reference()) is not None and not lease._is_over:
        left = lease._deadline - monotonic()
        pause = max(0.0, min(lease._third if retry is None else retry, left))
        del lease
        yield Sleep(pause, left - pause)
        lease = reference()
        if lease is None or lease._is_over:
            return
        retry = None
        try:
            yield from _renewal(lease, lease._ttl_ms, max(0.001, min(lease._third, lease._deadline - monotonic())))
        except CoordError:
            retry = lease._third / 4
        del lease


def _running_out(lease: _Held) -> Plan[None]:
    """Set ``lost`` when the time of a lease that nobody renews is over."""
    while not lease._is_over:
        yield Sleep(max(0.0, lease._deadline - monotonic()), 0.0)


def _releasing(lease: _Held) -> Plan[bool]:
    """Let the lease go, and wake one who waits for it.

    False when it was let go before, or was lost by now: then ``lost`` is set. May be repeated after an error.
    """
    if lease._released:
        return False
    compensation = _compensation(lease._ops, lease.name, lease._nonce, lease._ttl_ms)
    if lease._lost.is_set():
        if lease._unsure:
            lease._unsure = False
            yield compensation
        return False
    lease._is_releasing = True
    try:
        left = lease._deadline - monotonic()
        # The lease is over then, whatever the server would answer later.
        release = ask(compensation.call) if left > _LONG else ask_within(compensation.call, max(0.05, left))
        released = yield from release
    except (CoordError, GeneratorExit):
        raise
    except BaseException:
        # Interrupted between command and reply: the release goes on without its caller.
        lease._released = True
        lease._stop_renewing()
        yield compensation
        raise
    finally:
        lease._is_releasing = False
    if released:
        lease._released = True
        lease._stop_renewing()
    else:
        lease._mark_lost()
    return cast("bool", released)


def _ensuring(lease: _Held) -> Plan[None]:
    """Ask the server; raise ``LeaseLost``, and set ``lost``, unless the lease is still held."""
    if not lease._released and not lease._is_lost:
        now = yield from ask(holder(lease._ops.calls, lease.name))
        if now is not None and now.fence == lease.fence:
            return
        lease._mark_lost()
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

    _new_event = _Lost

    renew = planned(_renewing)
    release = planned(_releasing)
    ensure_held = planned(_ensuring)

    @property
    def lost(self) -> threading.Event:
        """Set as soon as the loss is known: another has the name, or its time is over by the holder's own clock."""
        return cast("threading.Event", self._watch_loss())

    def follow(self, plan: Plan[T]) -> T:
        """Follow a plan with the coordinator that granted the lease."""
        return cast("T", self._ops.follow(plan))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the lease. Raises ``LeaseLost`` if it was lost, unless another exception is on its way."""
        try:
            if self._made_in != os.getpid():
                # A child of a fork leaves its parent's lease alone.
                return
            self._stop_renewing()
            self.release()
        except CoordError:
            # The error of the block says more; the lease ends by its TTL.
            if error is None:
                raise
        except BaseException:
            self._stop_renewing()
            self._ops.follow(_only(_compensation(self._ops, self.name, self._nonce, self._ttl_ms)))
            raise
        if error is None and self._lost.is_set():
            raise _loss(self)


class _Entry:
    """Lets one block at a time in."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._free = threading.Lock()

    def take(self) -> None:
        """Refuse who comes while another is inside: two leases in one place would be let go for one another."""
        if not self._free.acquire(blocking=False):
            raise CoordError(f"this hold of {self._name!r} is entered already: make one for each block")

    def give_back(self) -> None:
        """Let the next one in."""
        self._free.release()


class Holding:
    """A name that is held while a block runs; one block at a time may enter it."""

    def __init__(self, ops: Granting, wanted: Wanted, *, renew: bool) -> None:
        self._ops = ops
        self._wanted = wanted
        self._renew = renew
        self._entry = _Entry(wanted.name)

    def __enter__(self) -> Lease:
        self._entry.take()
        try:
            return self._hold()
        except BaseException:
            self._entry.give_back()
            raise

    def _hold(self) -> Lease:
        attempt = Attempt()
        try:
            lease = self._ops.follow(acquiring(self._ops, Lease, self._wanted, attempt))
            self._lease: Lease = lease
            if self._renew:
                lease._start_renewing(partial(keep_renewed, block=weakref.ref(self)))
            return cast("Lease", lease)
        except CoordError:
            raise
        except BaseException:
            # Interrupted between the grant and the block, or no thread could be started.
            if attempt.asked:
                self._ops.follow(_only(_compensation(self._ops, self._wanted.name, attempt.nonce, self._wanted.ttl_ms)))
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._lease.__exit__(kind, error, trace)
        finally:
            self._entry.give_back()


# --- awaited -------------------------------------------------------------------------------------


class AsyncLease(_Held):
    """A claim that was granted; its methods are awaited.

    ``fence`` is above every fence granted before for this name: pass it to what you write to.
    """

    _new_event = _LostToTask

    renew = planned(_renewing)
    release = planned(_releasing)
    ensure_held = planned(_ensuring)

    @property
    def lost(self) -> asyncio.Event:
        """Set as soon as the loss is known: another has the name, or its time is over by the holder's own clock."""
        return cast("asyncio.Event", self._watch_loss())

    async def follow(self, plan: Plan[T]) -> T:
        """Follow a plan with the coordinator that granted the lease."""
        return cast("T", await self._ops.follow(plan))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the lease. Raises ``LeaseLost`` if it was lost, unless another exception is on its way."""
        self._stop_renewing()
        try:
            await self.release()
        except CoordError:
            # The error of the block says more; the lease ends by its TTL.
            if error is None:
                raise
        if error is None and self._lost.is_set():
            raise _loss(self)


class AsyncHolding:
    """A name that is held while a block runs; one block at a time may enter it."""

    def __init__(self, ops: Granting, wanted: Wanted, *, renew: bool) -> None:
        self._ops = ops
        self._wanted = wanted
        self._renew = renew
        self._entry = _Entry(wanted.name)

    async def __aenter__(self) -> AsyncLease:
        self._entry.take()
        try:
            return await self._hold()
        except BaseException:
            self._entry.give_back()
            raise

    async def _hold(self) -> AsyncLease:
        plan = acquiring(self._ops, AsyncLease, self._wanted, Attempt())
        lease: AsyncLease = await self._ops.follow(plan)
        self._lease = lease
        if self._renew:
            lease._start_renewing(partial(keep_renewed, block=weakref.ref(self)))
        return lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._lease.__aexit__(kind, error, trace)
        finally:
            self._entry.give_back()
