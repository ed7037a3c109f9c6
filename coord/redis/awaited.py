"""Making calls on a server, awaited."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from coord.errors import CoordError, ReplyError
from coord.notices import Notices
from coord.operation import with_id
from coord.redis.asynclinks import AsyncLink, Unsent
from coord.redis.asyncservers import AsyncServers, Node
from coord.redis.batch import Batch
from coord.redis.dialing import LOST
from coord.redis.links import AT_ONCE
from coord.redis.options import Options
from coord.redis.outcome import Attempts, answer
from coord.script import Call, Script

__all__ = ["AsyncRedis"]

T = TypeVar("T")


class AsyncRedis:
    """Makes calls on servers, over one connection to each, which all tasks of the loop share."""

    distributed = True
    seated = True

    def __init__(self, servers: AsyncServers, options: Options) -> None:
        self.remember_ms = int(options.remember * 1000)
        self.publish = servers.publish
        self._servers = servers
        self._route = servers.route
        self._patience = options.patience
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[asyncio.Future[None], int]] = deque()
        self._gathered = 0
        self._in_flight = 0
        self._most = options.in_flight
        self._notices: Notices | None = None

    def __repr__(self) -> str:
        return repr(self._servers)

    async def call(
        self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T]
    ) -> T:
        """Make a call and return its result."""
        if self._in_flight >= self._most:
            await self._wait_for_room()
        else:
            self._in_flight += 1
        link = self._route(keys).link
        try:
            if link is None or link.closed or asyncio.get_running_loop() is not self._loop:
                return read(await self._again(script, keys, argv))
            own, words = keys, argv
            if script.turn_at >= 0:
                own, words = link.seats.seated(script, keys, argv, link.in_flight)
            try:
                reply = await link.ask(("EVALSHA", script.sha, len(own), *own, *words))
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
    def notices(self) -> Notices:
        """Where notices of this server arrive: one subscription connection a process."""
        if self._notices is None:
            self._notices = self._servers.listen()
        return self._notices

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
        stories = [Attempts(call.script, call.keys, call.argv, patience) for call in calls]
        try:
            async with asyncio.timeout_at(end):
                await self._wait_for_room(len(calls))
                try:
                    await self._persist(stories)
                finally:
                    self._hand_over(len(calls))
        except TimeoutError:
            for story in stories:
                story.out_of_time()
                self._route(story.keys).doubt()
        return [answer(story, call.read) for story, call in zip(stories, calls, strict=True)]

    async def aclose(self) -> None:
        """Finish what is in flight and close the connection. May be called again."""
        if self._notices is not None:
            self._notices = None
            await self._servers.deafen()
        await self._servers.close()

    # --- room ------------------------------------------------------------------------------------

    async def _wait_for_room(self, places: int = 1) -> None:
        """Wait, in order of arrival, until calls that are answered have handed over so many places."""
        # What is free goes to the first in the queue; while anybody waits there, nothing is free.
        self._gathered += self._most - self._in_flight
        self._in_flight = self._most
        room = self._loop.create_future()
        self._queue.append((room, places))
        self._hand_over(0)
        try:
            await room
        except asyncio.CancelledError:
            self._hand_over(0 if room.cancelled() else places)
            raise

    def _hand_over(self, places: int = 1) -> None:
        """Give places to those that have waited longest, or back."""
        self._gathered += places
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
        story = Attempts(script, with_id(script, keys, argv), argv, self._patience)
        if lost is not None:
            story.lost(lost)
        elif reply is not None:
            story.answered(reply)
        await self._persist([story])
        if isinstance(story.outcome, CoordError):
            raise story.outcome
        return story.outcome

    async def _persist(self, stories: Sequence[Attempts]) -> None:
        """Attempt calls, those that are open together in one write, until each is settled."""
        while open_ones := [story for story in stories if not story.settled]:
            pause = max(story.pause() for story in open_ones)
            if pause:
                await asyncio.sleep(pause)
            groups = await self._servers.groups(open_ones)
            await asyncio.gather(*(self._attempt(node, some) for node, some in groups))

    async def _attempt(self, node: Node, stories: Sequence[Attempts]) -> None:
        """Attempt calls that go to one server."""
        try:
            link = await node.connected()
        except CoordError as error:
            for story in stories:
                story.unreached(error)
            return
        await attempt(link, stories)
        if any(story.needs_connection for story in stories):
            await node.leave(link)


async def attempt(link: AsyncLink, stories: Sequence[Attempts]) -> None:
    """Make calls in one write; what was sent and not answered is lost."""
    batch = Batch(stories)
    asked = link.ask_many(batch.commands)
    for place, reply in enumerate(asked):
        try:
            batch.answered(place, await reply)
        except asyncio.CancelledError:
            for unanswered in range(place, len(asked)):
                batch.lost(unanswered, TimeoutError("no reply in time"))
            raise
        except Unsent as error:
            batch.unreached(place, error)
        except LOST as error:
            batch.lost(place, error)
