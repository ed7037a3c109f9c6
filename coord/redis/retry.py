"""The slow path of a call: all that follows a first attempt without a plain answer.

Written once, as generators that yield I/O; ``blocking.py`` and ``awaited.py`` drive them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

from coord.clock import SYSTEM
from coord.errors import CoordError, ReplyError, Unavailable
from coord.options import Options
from coord.redis.callstate import CallState
from coord.redis.dialing import LOST
from coord.redis.refusals import could_not_connect
from coord.redis.router import Router
from coord.redis.steps import Exchange, Gather, Node, Sleep, Steps, Unsent, Words, left
from coord.script import Call, Script

__all__ = ["AT_ONCE", "SlowPath", "chunks"]

N = TypeVar("N", bound=Node)

AT_ONCE = 1_000
"""Calls in one write: more of them would wait in the server's buffers, not run sooner."""

_ASKING: Words = ("ASKING",)
"""Sent before a call to the node to which its keys are moving."""


class SlowPath(Generic[N]):
    """Makes calls until each is settled, on the servers of one router.

    ``timeout``: seconds to wait for one reply.
    """

    def __init__(self, router: Router[N], options: Options, timeout: float) -> None:
        self.router = router
        self.options = options
        self.timeout = timeout
        self._now = (options.clock or SYSTEM).monotonic

    def call(
        self,
        script: Script,
        keys: tuple[str, ...],
        argv: tuple[str | int, ...],
        *,
        lost: BaseException | None = None,
        reply: ReplyError | None = None,
    ) -> Steps[CallState]:
        """Make a call, which was lost or refused so far; return its settled state."""
        state = CallState(script, keys, argv, self.options)
        if lost is not None:
            state.tries = 1
            state.lost(lost)
        elif reply is not None:
            state.tries = 1
            state.answered(reply)
        yield from self._persist([state])
        return state

    def run_many(self, calls: Sequence[Call[Any]], within: float | None) -> Steps[list[Any]]:
        """Make calls in one write, none of them if ``within`` is 0; return a result or an error each, in order."""
        states = [CallState(call.script, call.keys, call.argv, self.options, within) for call in calls]
        if within is not None and within <= 0:
            for state in states:
                state.expire()
        yield from self._persist(states, math.inf if within is None else self._now() + within)
        answers: list[Any] = []
        for state, call in zip(states, calls, strict=True):
            try:
                answers.append(state.result(call.read))
            except Exception as error:
                # A ``read`` that fails must not lose the results of the others.
                answers.append(error)
        return answers

    def ping(self) -> Steps[float]:
        """Return the seconds of one round trip; a second try, on a new connection, follows a broken one."""
        node, end = self.router.route(()), self._now() + self.timeout
        outcome: Any = None
        for fresh in (False, True):
            began = self._now()
            exchange = Exchange(node, [("PING",)], left(end - began, self.timeout), fresh=fresh)
            yield exchange
            (outcome,) = exchange.outcomes
            if outcome == "PONG":
                return self._now() - began
            if not isinstance(outcome, LOST) or self._now() >= end:
                break
        if isinstance(outcome, (ReplyError, *LOST)):
            raise could_not_connect(outcome, node.where)
        raise Unavailable(f"cannot reach {node.where}: it answered PING with {outcome!r:.40}")

    def _persist(self, states: Sequence[CallState], end: float = math.inf) -> Steps[None]:
        """Attempt calls, those that are open together in one write, until each is settled, by ``end`` at the latest."""
        while unsettled := [state for state in states if not state.settled]:
            if pause := max(state.pause for state in unsettled):
                yield Sleep(pause)
            groups = yield from self.router.group_by_node(unsettled, left(end - self._now(), self.timeout))
            attempts = [self._attempt(node, some, end) for node, some in groups if some]
            if len(attempts) == 1:
                yield from attempts[0]
            elif attempts:
                yield Gather(attempts)

    def _attempt(self, node: N, states: Sequence[CallState], end: float) -> Steps[None]:
        """Attempt calls that go to one server."""
        # A connection that was closed and replaced at once is not an outage.
        again = [each for each in states if each.trouble and (each.tries > 1 or not _was_closed(each.trouble))]
        if again:
            node.outage.begin(node.where, sum(not each.repeated for each in again), again[0].trouble)
            for state in again:
                state.repeated = True
        batch = _Batch(states)
        within, fresh = left(end - self._now(), self.timeout), any(state.trouble for state in states)
        exchange = Exchange(node, batch.commands, within, fresh=fresh)
        try:
            yield exchange
        except CoordError as error:
            for state in states:
                state.node, state.tries = node.where, state.tries + 1
                state.unreached(error)
            return
        for state in states:
            state.node, state.tries = node.where, state.tries + 1
        batch.settle(exchange.outcomes)
        if any(state.reconnect for state in states):
            node.reconnect()
        if any(state.trouble is None for state in states):
            node.outage.end(node.where)


def _was_closed(trouble: object) -> bool:
    return isinstance(trouble, ConnectionError)


class _Batch:
    """The commands of one attempt at some calls, and the call or script that each belongs to.

    A script that the server does not know is sent just before its calls, so that no SCRIPT FLUSH can come in between.
    LOAD and not EVAL: Redis 8 may evict a script that came by EVAL.
    """

    def __init__(self, states: Iterable[CallState]) -> None:
        self.commands: list[Words] = []
        self._owners: list[CallState | Script | None] = []
        for script in dict.fromkeys(state.script for state in states if state.needs_script):
            self._add(script, ("SCRIPT", "LOAD", script.source))
        for state in states:
            if state.asking:
                self._add(None, _ASKING)
            self._add(state, state.words)

    def _add(self, owner: CallState | Script | None, words: Words) -> None:
        self._owners.append(owner)
        self.commands.append(words)

    def settle(self, outcomes: Iterable[Any]) -> None:
        """Pass each outcome to its call."""
        not_loaded: dict[Script, ReplyError] = {}
        for owner, outcome in zip(self._owners, outcomes, strict=True):
            if isinstance(owner, CallState):
                if isinstance(outcome, Unsent):
                    owner.unreached(outcome)
                elif isinstance(outcome, LOST):
                    owner.lost(outcome)
                elif isinstance(outcome, ReplyError) and outcome.code == "NOSCRIPT":
                    # The error of SCRIPT LOAD is the cause of NOSCRIPT.
                    owner.answered(not_loaded.get(owner.script, outcome))
                else:
                    owner.answered(outcome)
            elif isinstance(owner, Script) and isinstance(outcome, ReplyError):
                not_loaded[owner] = outcome


def chunks(calls: Sequence[Call[Any]], size: int) -> Iterable[Sequence[Call[Any]]]:
    """Return calls, so many at a time."""
    return (calls[start : start + size] for start in range(0, len(calls), size))
