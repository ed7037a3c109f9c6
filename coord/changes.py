"""Iterators over the states of something that changes: the present state first, then the newest.

States are conflated: a slow consumer skips those in between, and never the last one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

from coord.clock import Clock
from coord.errors import Closed, CoordError
from coord.plan import Event, Plan, Wait, ask, subscribe
from coord.script import Call
from coord.waiting import LOOK_AGAIN_UNHEARD, look_again_in

__all__ = ["AsyncChangesIterator", "Changes", "ChangesIterator"]

_log = logging.getLogger("coord")

S = TypeVar("S")


class Changes(Generic[S]):
    """The states that ``read`` returns, each as soon as ``essence`` of it differs from that of the one before.

    ``due`` returns the seconds after which a state may change without a notification on ``channel``; None: never.
    """

    def __init__(
        self,
        c: Any,
        channel: str,
        read: Callable[[], Call[S]],
        essence: Callable[[S], Any],
        due: Callable[[S], float | None],
    ) -> None:
        self._clock: Clock = c.clock
        self._attached: dict[Any, Any] = c.attached
        self._channel = channel
        self._read = read
        self._essence = essence
        self._due = due
        self._event: Event | None = None
        self._closed = False
        self._told: tuple[Any] | None = None
        self._look_at = 0.0
        self._failing = False
        c.attached[self] = self

    def close(self) -> None:
        """End the iteration: the next state is not waited for."""
        self._closed = True
        if self._event is not None:
            self._event.set()

    def leave(self) -> None:
        """Give the subscription back."""
        self._attached.pop(self, None)
        if self._event is not None:
            self._event.leave()

    def next(self) -> Plan[list[S]]:
        """Wait for the next state; a list of it, empty at the end."""
        try:
            return (yield from self._next())
        except Closed:
            return []

    def _next(self) -> Plan[list[S]]:
        if self._event is None:
            self._event = yield from subscribe(self._channel)
        event = self._event
        while not self._closed:
            if self._told is not None:
                yield Wait(event, max(0.0, self._look_at - self._clock.monotonic()))
                if self._closed:
                    break
            state = yield from self._look(event)
            if state:
                essence = self._essence(state[0])
                if self._told != (essence,):
                    self._told = (essence,)
                    return state
        return []

    def _look(self, event: Event) -> Plan[list[S]]:
        """Read the state; an outage is logged once, and waited for."""
        started = self._clock.monotonic()
        try:
            state = yield from ask(self._read())
        except Closed:
            raise
        except CoordError as error:
            if not self._failing:
                _log.warning("coord: changes of %s are not seen for now: %s", self._channel, error)
            self._failing = True
            yield Wait(event, LOOK_AGAIN_UNHEARD)
            return []
        self._failing = False
        due = self._due(state)
        soon = look_again_in(event)
        self._look_at = started + (soon if due is None else min(soon, due))
        return [state]


class ChangesIterator(Generic[S]):
    """An iterator of states. It ends when it or its coordinator is closed, from any thread."""

    def __init__(self, c: Any, changes: Changes[S]) -> None:
        self._c, self._changes = c, changes

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> S:
        state: list[S] = self._c.follow(self._changes.next())
        if not state:
            self._changes.leave()
            raise StopIteration
        return state[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def __del__(self) -> None:
        self._changes.leave()

    def close(self) -> None:
        """End the iteration."""
        self._changes.close()
        self._changes.leave()


class AsyncChangesIterator(Generic[S]):
    """An async iterator of states. It ends when it or its coordinator is closed; a cancelled ``anext`` skips none."""

    def __init__(self, c: Any, changes: Changes[S]) -> None:
        self._c, self._changes = c, changes

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> S:
        state: list[S] = await self._c.follow(self._changes.next())
        if not state:
            self._changes.leave()
            raise StopAsyncIteration
        return state[0]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        self._changes.leave()

    async def aclose(self) -> None:
        """End the iteration."""
        self._changes.close()
        self._changes.leave()
