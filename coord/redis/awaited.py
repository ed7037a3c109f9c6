"""Making calls on a server, awaited."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from coord.errors import CoordError, ReplyError
from coord.ids import with_id
from coord.notifier import Notifier
from coord.options import Options
from coord.redis.asyncconnection import AsyncConnection, Unsent
from coord.redis.asyncrouter import AsyncRouter, Node
from coord.redis.batch import Batch
from coord.redis.connection import AT_ONCE
from coord.redis.dialing import LOST
from coord.redis.retry import CallState, answer
from coord.script import Call, Script

__all__ = ["AsyncRedis"]

T = TypeVar("T")


class AsyncRedis:
    """Makes calls on servers, over one connection to each, which all tasks of the loop share."""

    distributed = True
    has_slots = True

    def __init__(self, router: AsyncRouter, options: Options) -> None:
        self.remember_ms = int(options.remember * 1000)
        self.publish = router.publish
        self._router = router
        self._route = router.route
        self._patience = options.patience
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[asyncio.Future[None], int]] = deque()
        self._gathered = 0
        self._in_flight = 0
        self._most = options.in_flight
        self._notifier: Notifier | None = None

    def __repr__(self) -> str:
        return repr(self._router)

    async def call(
        self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T]
    ) -> T:
        """Make a call and return its result."""
        if script.checks_calls:
            script.check(keys, argv)
        if self._in_flight >= self._most:
            await self._wait_for_room()
        else:
            self._in_flight += 1
        connection = self._route(keys).connection
        try:
            if connection is None or connection.closed or asyncio.get_running_loop() is not self._loop:
                return read(await self._again(script, keys, argv))
            own, words = keys, argv
            if script.sequence_at >= 0:
                own, words = connection.slots.assign(script, keys, argv, connection.in_flight)
            try:
                reply = await connection.ask(("EVALSHA", script.sha, len(own), *own, *words))
            except Unsent:
                return read(await self._again(script, keys, argv))
            except LOST as error:
                return read(await self._again(script, own, words, lost=error))
            if reply.__class__ is ReplyError:
                reply = await self._again(script, keys, argv, reply=reply)
            return read(reply)
        finally:
            if self._queue:
                self._hand_over()
            else:
                self._in_flight -= 1

    @property
    def notifier(self) -> Notifier:
        """Where notices of this server arrive: one subscription connection a process."""
        if self._notifier is None:
            self._notifier = self._router.subscribe()
        return self._notifier

    async def run_many(self, calls: Iterable[Call[Any]], within: float | None = None, /) -> list[Any]:
        """Make calls, up to a thousand in one write, within so many seconds; an answer or an error each, in order."""
        calls = list(calls)
        end = None if within is None else self._loop.time() + within
        at_once = min(AT_ONCE, self._most)
        chunks = [calls[start : start + at_once] for start in range(0, len(calls), at_once)]
        return [answered for chunk in chunks for answered in await self._run_some(chunk, end)]

    async def _run_some(self, calls: Sequence[Call[Any]], end: float | None) -> list[Any]:
        """Make calls in one write, once there is room for all of them."""
        patience = self._patience if end is None else min(self._patience, end - self._loop.time())
        states = [CallState(call.script, call.keys, call.argv, patience) for call in calls]
        try:
            async with asyncio.timeout_at(end):
                await self._wait_for_room(len(calls))
                try:
                    await self._persist(states)
                finally:
                    self._hand_over(len(calls))
        except TimeoutError:
            for state in states:
                state.timed_out()
                self._route(state.keys).doubt()
        return [answer(state, call.read) for state, call in zip(states, calls, strict=True)]

    async def aclose(self) -> None:
        """Finish what is in flight and close the connection. May be called again."""
        if self._notifier is not None:
            self._notifier = None
            await self._router.unsubscribe()
        await self._router.close()

    # --- room ------------------------------------------------------------------------------------

    async def _wait_for_room(self, waiters: int = 1) -> None:
        """Wait, in order of arrival, until calls that are answered have handed over so many places."""
        # What is free goes to the first in the queue; while anybody waits there, nothing is free.
        self._gathered += self._most - self._in_flight
        self._in_flight = self._most
        room = self._loop.create_future()
        self._queue.append((room, waiters))
        self._hand_over(0)
        try:
            await room
        except asyncio.CancelledError:
            self._hand_over(0 if room.cancelled() else waiters)
            raise

    def _hand_over(self, waiters: int = 1) -> None:
        """Give places to those that have waited longest, or back."""
        self._gathered += waiters
        while self._queue:
            room, wanted = self._queue[0]
            if not room.done():
                if self._gathered < wanted:
                    return
                self._gathered -= wanted
                room.set_result(None)
            self._queue.popleft()
        self._in_flight -= self._gathered
        self._gathered = 0

    # --- repeating -------------------------------------------------------------------------------

    async def _again(
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
        await self._persist([state])
        if isinstance(state.outcome, CoordError):
            raise state.outcome
        return state.outcome

    async def _persist(self, states: Sequence[CallState]) -> None:
        """Attempt calls, those that are open together in one write, until each is settled."""
        while open_ones := [state for state in states if not state.settled]:
            pause = max(state.pause() for state in open_ones)
            if pause:
                await asyncio.sleep(pause)
            group_by_node = await self._router.group_by_node(open_ones)
            await asyncio.gather(*(self._attempt(node, some) for node, some in group_by_node))

    async def _attempt(self, node: Node, states: Sequence[CallState]) -> None:
        """Attempt calls that go to one server."""
        try:
            connection = await node.connected()
        except CoordError as error:
            for state in states:
                state.unreached(error)
            return
        await attempt(connection, states)
        if any(state.reconnect for state in states):
            await node.leave(connection)


async def attempt(connection: AsyncConnection, states: Sequence[CallState]) -> None:
    """Make calls in one write; what was sent and not answered is lost."""
    batch = Batch(states)
    asked = connection.ask_many(batch.commands)
    for waiter, reply in enumerate(asked):
        try:
            batch.answered(waiter, await reply)
        except asyncio.CancelledError:
            for unanswered in range(waiter, len(asked)):
                batch.lost(unanswered, TimeoutError("no reply in time"))
            raise
        except Unsent as error:
            batch.unreached(waiter, error)
        except LOST as error:
            batch.lost(waiter, error)
