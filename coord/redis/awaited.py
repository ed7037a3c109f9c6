"""Making calls on a server, awaited."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from coord.errors import ConfigError, CoordError, ReplyError, Unavailable
from coord.notices import Notices
from coord.redis.asynclinks import AsyncLink, opened
from coord.redis.dialing import LOST, Dialer
from coord.redis.hub import hub, leave_hub
from coord.redis.options import Options
from coord.redis.outcome import Attempts, answer
from coord.redis.survey import survey
from coord.script import Call, Script

__all__ = ["AsyncRedis"]

T = TypeVar("T")


class AsyncRedis:
    """Makes calls on one server over one connection, which all tasks of the loop share."""

    distributed = True
    publish = "PUBLISH"

    def __init__(self, dialer: Dialer, options: Options) -> None:
        self.remember_ms = int(options.remember * 1000)
        self._options = options
        self._dialer = dialer
        self._loop = asyncio.get_running_loop()
        self._link: AsyncLink | None = None
        self._opening: asyncio.Task[AsyncLink] | None = None
        self._queue: deque[asyncio.Future[None]] = deque()
        self._in_flight = 0
        self._most = options.in_flight
        self._closed = False
        self._notices: Notices | None = None

    def __repr__(self) -> str:
        return repr(self._dialer)

    async def open(self) -> None:
        """Connect, and look at the server."""
        link = await self._connected()
        survey(await link.ask(("INFO", "memory")), self._dialer.where, self._options)

    async def call(
        self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T]
    ) -> T:
        """Make a call and return its result."""
        if self._in_flight >= self._most:
            await self._wait_for_room()
        link = self._link
        self._in_flight += 1
        try:
            if link is None or link.closed or asyncio.get_running_loop() is not self._loop:
                return read(await self._again(script, keys, argv))
            try:
                reply = await link.ask(("EVALSHA", script.sha, len(keys), *keys, *argv))
            except LOST as error:
                return read(await self._again(script, keys, argv, lost=error))
            if reply.__class__ is ReplyError:
                reply = await self._again(script, keys, argv, reply=reply)
            return read(reply)
        finally:
            self._in_flight -= 1
            if self._queue:
                self._let_in()

    @property
    def notices(self) -> Notices:
        """Where notices of this server arrive: one subscription connection a process."""
        if self._notices is None:
            self._notices = hub(self._dialer)
        return self._notices

    async def run_many(self, calls: Iterable[Call[Any]]) -> list[Any]:
        """Make calls in one write, and return an answer or an error for each, in order."""
        calls = list(calls)
        stories = [Attempts(call.script, call.keys, call.argv, self._options.patience) for call in calls]
        await self._persist(stories)
        return [answer(story, call.read) for story, call in zip(stories, calls, strict=True)]

    async def aclose(self) -> None:
        """Finish what is in flight and close the connection. May be called again."""
        self._closed = True
        if self._notices is not None:
            self._notices = None
            leave_hub(self._dialer)
        link, self._link = self._link, None
        if link is None:
            return
        await link.drain(self._options.timeout)
        await link.close()

    # --- room ------------------------------------------------------------------------------------

    async def _wait_for_room(self) -> None:
        """Wait, in order of arrival, until fewer calls than the bound are in flight."""
        while self._in_flight >= self._most:
            place = self._loop.create_future()
            self._queue.append(place)
            try:
                await place
            except asyncio.CancelledError:
                # The place it was given goes to the next one.
                if place.done() and not place.cancelled():
                    self._let_in()
                raise

    def _let_in(self) -> None:
        while self._queue:
            place = self._queue.popleft()
            if not place.done():
                place.set_result(None)
                return

    # --- the connection --------------------------------------------------------------------------

    async def _connected(self) -> AsyncLink:
        if asyncio.get_running_loop() is not self._loop:
            raise ConfigError(
                "this coordinator belongs to another event loop: make one with connect_async in each loop"
            )
        if self._closed:
            raise Unavailable("the coordinator is closed")
        if self._link is not None and not self._link.closed:
            return self._link
        if self._opening is None:
            self._opening = self._loop.create_task(opened(self._dialer))
            self._opening.add_done_callback(self._take)
        # Shielded: one caller that leaves does not take the others' connection away.
        return await asyncio.shield(self._opening)

    def _take(self, opening: asyncio.Task[AsyncLink]) -> None:
        self._opening = None
        if not opening.cancelled() and opening.exception() is None:
            self._link = opening.result()

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
        story = Attempts(script, keys, argv, self._options.patience)
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
            try:
                link = await self._connected()
            except CoordError as error:
                for story in open_ones:
                    story.unreached(error)
                continue
            await attempt(link, open_ones)
            if any(story.needs_connection for story in open_ones):
                await link.close()


async def attempt(link: AsyncLink, stories: Sequence[Attempts]) -> None:
    """Make calls in one write; what was sent and not answered is lost."""
    for script in {story.script for story in stories if story.needs_script}:
        # Not awaited by itself: it runs before the calls behind it.
        link.ask(("SCRIPT", "LOAD", script.source)).add_done_callback(_seen)
    asked = [link.ask(story.words) for story in stories]
    for story, reply in zip(stories, asked, strict=True):
        try:
            story.answered(await reply)
        except LOST as error:
            story.lost(error)


def _seen(loaded: asyncio.Future[Any]) -> None:
    """A load that failed is told by the call behind it."""
    if not loaded.cancelled():
        loaded.exception()
