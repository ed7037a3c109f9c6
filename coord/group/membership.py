"""Memberships: joining and leaving a group, and the heartbeats of all memberships of a coordinator."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

from coord.errors import CoordError, OutcomeUnknown
from coord.extend import (
    Calls,
    Compensate,
    ForkSafeLock,
    Job,
    Plan,
    Sleep,
    ask,
    ask_together,
    compensating,
    new_owner_id,
    nonce,
    report,
)
from coord.group.scripts import LAPSED, LIVES, Joined, beat, join, leave
from coord.leases import Entry

__all__ = ["AsyncJoining", "AsyncMembership", "Joining", "Membership", "MembershipState"]

E = TypeVar("E", threading.Event, asyncio.Event)

_COMPENSATE = 30.0
"""The most seconds for which ending an abandoned membership is retried; its TTL may end it sooner."""


class MembershipState:
    """A membership as its heartbeats see it."""

    def __init__(self, ops: Calls, key: str, ttl_ms: int, member: str, metadata: str) -> None:
        self.ops = ops
        self.key = key
        self.ttl_ms = ttl_ms
        self.member = member
        self.metadata = metadata
        self.nonce = nonce()
        self.incarnation = 0
        self.rejoins_as: str | None = None
        self.is_over = False
        self.made_in = os.getpid()
        self.on_lost: Callable[[], None] = lambda: None
        # Whether a block still uses the membership.
        self.user: Callable[[], object] = lambda: self

    def join(self) -> Any:
        """Return the call that joins, or joins again under ``rejoins_as``."""
        if self.rejoins_as is None:
            return join(self.ops, self.key, self.member, self.nonce, self.metadata, self.ttl_ms)
        return join(
            self.ops, self.key, self.member, self.rejoins_as, self.metadata, self.ttl_ms, rejoins=self.incarnation
        )

    def joined(self, answer: Joined) -> None:
        """Take over what joining was answered."""
        self.incarnation = answer.incarnation
        if self.rejoins_as is not None:
            self.nonce, self.rejoins_as = self.rejoins_as, None

    def lose(self) -> None:
        """Record that another process has taken over the name, or that no heartbeats are sent any more."""
        self.is_over = True
        self.on_lost()

    def compensations(self) -> list[Compensate]:
        """Return the steps that end, in the background, what this membership may still be."""
        seconds = min(self.ttl_ms / 1000, _COMPENSATE)
        nonces = [each for each in (self.nonce, self.rejoins_as) if each is not None]
        return [Compensate(leave(self.ops, self.key, self.member, each), seconds) for each in nonces]


class Heartbeats:
    """The heartbeats of all memberships of one coordinator: one script a group, all in one batch."""

    def __init__(self, c: Any) -> None:
        self._c = c
        self._lock = ForkSafeLock()
        self._made_in = os.getpid()
        self._beating: dict[MembershipState, float] = {}
        self._job: Job | None = None
        self._wakes_at = 0.0

    @classmethod
    def of(cls, c: Any) -> Heartbeats:
        """Return the heartbeats of a coordinator; a child of a fork has its own."""
        key = cls, os.getpid()
        return cast("Heartbeats", c.attached.get(key) or c.attached.setdefault(key, cls(c)))

    def add(self, state: MembershipState, started: float) -> None:
        """Keep a membership alive that was asked for at a moment."""
        due = started + state.ttl_ms / 3000
        with self._lock.lock:
            self._beating[state] = due
            is_late = self._job is None or due < self._wakes_at
            if is_late:
                self._wakes_at = due
        if is_late:
            if self._job is not None:
                self._job.cancel()
            self._job = self._c.keep(self._beat())

    def remove(self, state: MembershipState) -> None:
        """Send no more heartbeats for a membership."""
        with self._lock.lock:
            self._beating.pop(state, None)
            ends = not self._beating and self._job is not None
            job, self._job = (self._job, None) if ends else (None, self._job)
        if job is not None:
            job.cancel()

    def close(self) -> None:
        """Send no more heartbeats: the memberships end by their TTLs."""
        with self._lock.lock:
            states = list(self._beating)
            self._beating.clear()
            job, self._job = self._job, None
        if job is not None and self._made_in == os.getpid():
            job.cancel()
        for state in states:
            state.lose()

    def _beat(self) -> Plan[None]:
        """Send heartbeats; whatever one round raises, the next is not late for it."""
        while self._beating:
            now = self._c.clock.monotonic()
            with self._lock.lock:
                due = min(self._beating.values(), default=now)
                self._wakes_at = due
                least = min((state.ttl_ms / 1000 for state in self._beating), default=1.0)
            if due > now:
                yield Sleep(due - now, least / 3)
                continue
            round_ = self._round(now)
            try:
                yield from round_
            except Exception:
                report(round_)
                self._repeat(list(self._beating), now)

    def _round(self, now: float) -> Plan[None]:
        """Beat in every group in which a membership is due, or nearly."""
        for state in [each for each in list(self._beating) if each.user() is None]:
            # Its block was collected without being left.
            self.remove(state)
            state.lose()
        sets = self._due_sets(now)
        if not sets:
            return
        seconds = max(0.02, min(states[0].ttl_ms for states in sets) / 3000)
        calls = tuple(
            beat(states[0].ops, states[0].key, states[0].ttl_ms, [(each.member, each.nonce) for each in states])
            for states in sets
        )
        lapsed: list[MembershipState] = []
        answers = yield from ask_together(calls, seconds)
        for states, answer in zip(sets, answers, strict=True):
            if isinstance(answer, Exception):
                self._repeat(states, now)
                continue
            for state, found in zip(states, answer, strict=True):
                if found == LIVES:
                    self._next(state, now + state.ttl_ms / 3000)
                elif found == LAPSED:
                    lapsed.append(state)
                else:
                    self._lost(state)
        if lapsed:
            yield from self._rejoin(lapsed, now, seconds)

    def _due_sets(self, now: float) -> list[list[MembershipState]]:
        """Return the memberships to beat for, by group and TTL: all of one where any is due, or nearly."""
        sets: dict[tuple[str, int], list[MembershipState]] = {}
        with self._lock.lock:
            for state in self._beating:
                sets.setdefault((state.key, state.ttl_ms), []).append(state)
            return [
                states
                for (_, ttl_ms), states in sets.items()
                if min(self._beating[state] for state in states) <= now + ttl_ms / 6000
            ]

    def _rejoin(self, lapsed: Iterable[MembershipState], now: float, seconds: float) -> Plan[None]:
        """Join again, under a new incarnation, unless another process has the name by now."""
        states = [state for state in lapsed if state in self._beating]
        for state in states:
            state.rejoins_as = state.rejoins_as or nonce()
        answers = yield from ask_together(tuple(state.join() for state in states), seconds)
        for state, answer in zip(states, answers, strict=True):
            if isinstance(answer, Exception):
                self._repeat([state], now)
            elif not answer.joined:
                self._lost(state)
            else:
                state.joined(answer)
                self._next(state, now + state.ttl_ms / 3000)

    def _repeat(self, states: Iterable[MembershipState], now: float) -> None:
        """Try again soon: the server was unreachable, or refused for a temporary reason."""
        for state in states:
            self._next(state, now + state.ttl_ms / 12000)

    def _next(self, state: MembershipState, due: float) -> None:
        with self._lock.lock:
            if state in self._beating:
                self._beating[state] = due

    def _lost(self, state: MembershipState) -> None:
        self.remove(state)
        state.lose()


# --- plans ---------------------------------------------------------------------------------------


def _joining(c: Any, state: MembershipState) -> Plan[None]:
    """Join, and have heartbeats sent; cut short, leave no membership behind."""
    try:
        while True:
            started = c.clock.monotonic()
            answer = yield from ask(state.join())
            if answer.joined:
                break
            state.nonce = nonce()
        state.joined(answer)
        Heartbeats.of(c).add(state, started)
    except GeneratorExit:
        # The plan was dropped between two steps.
        Heartbeats.of(c).remove(state)
        with contextlib.suppress(RuntimeError):
            c.keep(compensating(state.compensations()[0]))
        raise
    except BaseException as error:
        if not isinstance(error, CoordError) or isinstance(error, OutcomeUnknown):
            yield from _dropping(c, state)
        raise


def _dropping(c: Any, state: MembershipState) -> Plan[None]:
    """End a membership that no block uses, in the background."""
    Heartbeats.of(c).remove(state)
    for step in state.compensations():  # noqa: UP028  # a list takes no result of a step
        yield step


def _leaving(c: Any, state: MembershipState, error: BaseException | None) -> Plan[None]:
    """Leave, unless the name was taken over; an error of the block says more than one of leaving."""
    Heartbeats.of(c).remove(state)
    if state.is_over:
        return
    state.is_over = True
    now, *rejoining = state.compensations()
    try:
        for step in rejoining:  # noqa: UP028  # a list takes no result of a step
            yield step
        yield from ask(now.call)
    except GeneratorExit:
        raise
    except BaseException as failed:
        yield now
        if not isinstance(failed, CoordError) or error is None:
            raise


class _Membership(Generic[E]):
    """The base of both membership classes."""

    def __init__(self, state: MembershipState, lost: E) -> None:
        self._state = state
        self.lost: E = lost
        """Set when another process has taken over the name, or the coordinator was closed."""
        state.on_lost = lost.set

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.member!r}, incarnation {self.incarnation}>"

    @property
    def member(self) -> str:
        """The name of the member."""
        return self._state.member

    @property
    def incarnation(self) -> int:
        """Above every incarnation of this name before; it grows when the member has lapsed and joined again."""
        return self._state.incarnation


class Membership(_Membership[threading.Event]):
    """A membership of a group, kept alive by heartbeats in the background."""


class AsyncMembership(_Membership[asyncio.Event]):
    """A membership of a group, kept alive by heartbeats in the background."""


class _BaseJoining:
    """The base of both context managers."""

    def __init__(self, c: Any, key: str, ttl_ms: int, member: str | None, metadata: str) -> None:
        self._c = c
        self._key, self._ttl_ms = key, ttl_ms
        self._member, self._metadata = member, metadata
        self._entry = Entry(key)
        self._state: MembershipState | None = None

    def _new_state(self) -> MembershipState:
        state = MembershipState(self._c.calls, self._key, self._ttl_ms, self._member or new_owner_id(), self._metadata)
        state.user = weakref.ref(self)
        self._state = state
        return state


class Joining(_BaseJoining):
    """A membership while a block runs; one block at a time may enter it."""

    def __enter__(self) -> Membership:
        self._entry.take()
        try:
            state = self._new_state()
            membership = Membership(state, threading.Event())
            try:
                self._c.follow(_joining(self._c, state))
            except CoordError:
                raise
            except BaseException:
                # Interrupted between the answer and the block, or no thread could be started.
                self._c.follow(_dropping(self._c, state))
                raise
            return membership
        except BaseException:
            self._entry.give_back()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        state = cast("MembershipState", self._state)
        try:
            # A child of a fork leaves its parent's membership alone.
            if state.made_in == os.getpid():
                self._c.follow(_leaving(self._c, state, error))
        finally:
            self._entry.give_back()


class AsyncJoining(_BaseJoining):
    """A membership while a block runs; one block at a time may enter it."""

    async def __aenter__(self) -> AsyncMembership:
        self._entry.take()
        try:
            state = self._new_state()
            membership = AsyncMembership(state, asyncio.Event())
            await self._c.follow(_joining(self._c, state))
            return membership
        except BaseException:
            self._entry.give_back()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        state = cast("MembershipState", self._state)
        try:
            await self._c.follow(_leaving(self._c, state, error))
        finally:
            self._entry.give_back()
