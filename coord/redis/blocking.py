"""Making calls on a server, blocking."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Any, TypeVar

from coord.errors import CoordError, ReplyError
from coord.fork import ForkSafeLock
from coord.ids import with_id
from coord.notifier import Notifier
from coord.options import Options
from coord.redis.batch import Batch
from coord.redis.connection import AT_ONCE, Connection, Pool, Unsent
from coord.redis.dialing import LOST
from coord.redis.retry import CallState, answer
from coord.redis.router import Router, left
from coord.script import Call, Script

__all__ = ["Redis"]

T = TypeVar("T")

_subscribing = ForkSafeLock()


class Redis:
    """Makes calls on servers, for any number of threads."""

    distributed = True
    has_slots = True

    def __init__(self, router: Router, options: Options) -> None:
        self.remember_ms = int(options.remember * 1000)
        self.publish = router.publish
        self._router = router
        self._route = router.route
        self._patience = options.patience
        self._notifier: Notifier | None = None
        self._process = 0

    def __repr__(self) -> str:
        return repr(self._router)

    def call(self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T]) -> T:
        """Make a call and return its result."""
        if script.checks_calls:
            script.check(keys, argv)
        pool = self._route(keys)
        try:
            connection = pool.free.pop()
        except IndexError:
            return read(self._again(script, keys, argv))
        if script.repeats == "never" and connection.is_stale():
            pool.drop(connection)
            return read(self._again(script, keys, argv))
        own, words = keys, argv
        if script.sequence_at >= 0:
            own, words = connection.slots.assign(script, keys, argv)
        try:
            reply = connection.ask(("EVALSHA", script.sha, len(own), *own, *words))
        except Unsent:
            pool.drop(connection)
            return read(self._again(script, keys, argv))
        except LOST as error:
            pool.drop(connection)
            return read(self._again(script, own, words, lost=error))
        except BaseException:
            # Interrupted between command and reply: the next reply would be this one's.
            pool.drop(connection)
            raise
        pool.give(connection)
        if reply.__class__ is ReplyError:
            reply = self._again(script, keys, argv, reply=reply)
        return read(reply)

    @property
    def notifier(self) -> Notifier:
        """Where notices of this server arrive: one subscription connection a process."""
        notifier = self._notifier
        if notifier is None or self._process != os.getpid():
            # Two threads that come first together must not subscribe twice: each subscription is released once.
            with _subscribing.lock:
                notifier = self._notifier
                if notifier is None or self._process != os.getpid():
                    notifier = self._notifier = self._router.subscribe()
                    self._process = os.getpid()
        return notifier

    def run_many(self, calls: Iterable[Call[Any]], within: float | None = None, /) -> list[Any]:
        """Make calls in one write, within so many seconds, and return an answer or an error for each, in order."""
        calls = list(calls)
        patience = self._patience if within is None else min(self._patience, within)
        states = [CallState(call.script, call.keys, call.argv, patience) for call in calls]
        self._persist(states, math.inf if within is None else monotonic() + within)
        return [answer(state, call.read) for state, call in zip(states, calls, strict=True)]

    def close(self) -> None:
        """Finish what is in flight and close all connections. May be called again."""
        self._router.close()
        if self._notifier is not None and self._process == os.getpid():
            self._notifier = None
            self._router.unsubscribe()

    def _again(
        self,
        script: Script,
        keys: tuple[str, ...],
        argv: tuple[str | int, ...],
        *,
        lost: BaseException | None = None,
        reply: ReplyError | None = None,
    ) -> Any:
        """Go on with a call that has not been answered yet, until it is settled; return its raw reply."""
        state = CallState(script, with_id(script, keys, argv), argv, self._patience)
        if lost is not None:
            state.lost(lost)
        elif reply is not None:
            state.answered(reply)
        self._persist([state])
        if isinstance(state.outcome, CoordError):
            raise state.outcome
        return state.outcome

    def _persist(self, states: Sequence[CallState], end: float = math.inf) -> None:
        """Attempt calls, those that are open together in one write, until each is settled; they have until the end."""
        while open_ones := [state for state in states if not state.settled]:
            time.sleep(max(state.pause() for state in open_ones))
            for pool, some in self._router.group_by_node(open_ones, end):
                self._attempt(pool, some, end)

    def _attempt(self, pool: Pool, states: Sequence[CallState], end: float) -> None:
        """Attempt calls that go to one server."""
        try:
            connection = pool.take(left(end, self._router.timeout))
            connection.limit(left(end, self._router.timeout))
        except CoordError as error:
            for state in states:
                state.unreached(error)
            return
        try:
            attempt(connection, states)
        except LOST:
            pool.drop(connection)
        except BaseException:
            pool.drop(connection)
            raise
        else:
            connection.limit(self._router.timeout)
            if any(state.reconnect for state in states):
                pool.drop(connection)
            else:
                pool.give(connection)


def attempt(connection: Connection, states: Sequence[CallState]) -> None:
    """Make calls in one write on one connection; what was sent and not answered is lost."""
    batch = Batch(states)
    answered = 0
    try:
        for reply in connection.ask_many(batch.commands):
            batch.answered(answered, reply)
            answered += 1
    except LOST as error:
        sent = answered if isinstance(error, Unsent) else (answered // AT_ONCE + 1) * AT_ONCE
        for waiter in range(answered, len(batch.commands)):
            (batch.lost if waiter < sent else batch.unreached)(waiter, error)
        raise
