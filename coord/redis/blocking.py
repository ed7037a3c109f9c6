"""Making calls on a server, blocking."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Any, TypeVar

from coord.errors import CoordError, ReplyError
from coord.notices import Notices
from coord.operation import with_id
from coord.redis.batch import Batch
from coord.redis.dialing import LOST
from coord.redis.links import AT_ONCE, Link, Links, Unsent
from coord.redis.options import Options
from coord.redis.outcome import Attempts, answer
from coord.redis.servers import Servers, left
from coord.script import Call, Script

__all__ = ["Redis"]

T = TypeVar("T")


class Redis:
    """Makes calls on servers, for any number of threads."""

    distributed = True
    seated = True

    def __init__(self, servers: Servers, options: Options) -> None:
        self.remember_ms = int(options.remember * 1000)
        self.publish = servers.publish
        self._servers = servers
        self._route = servers.route
        self._patience = options.patience
        self._notices: Notices | None = None
        self._process = 0

    def __repr__(self) -> str:
        return repr(self._servers)

    def call(self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T]) -> T:
        """Make a call and return its result."""
        links = self._route(keys)
        try:
            link = links.free.pop()
        except IndexError:
            return read(self._again(script, keys, argv))
        if script.repeats == "never" and link.is_stale():
            links.drop(link)
            return read(self._again(script, keys, argv))
        own, words = keys, argv
        if script.turn_at >= 0:
            own, words = link.seats.seated(script, keys, argv)
        try:
            reply = link.ask(("EVALSHA", script.sha, len(own), *own, *words))
        except Unsent:
            links.drop(link)
            return read(self._again(script, keys, argv))
        except LOST as error:
            links.drop(link)
            return read(self._again(script, own, words, lost=error))
        except BaseException:
            # Interrupted between command and reply: the next reply would be this one's.
            links.drop(link)
            raise
        links.give(link)
        if reply.__class__ is ReplyError:
            reply = self._again(script, keys, argv, reply=reply)
        return read(reply)

    @property
    def notices(self) -> Notices:
        """Where notices of this server arrive: one subscription connection a process."""
        if self._notices is None or self._process != os.getpid():
            self._notices, self._process = self._servers.listen(), os.getpid()
        return self._notices

    def run_many(self, calls: Iterable[Call[Any]], within: float | None = None, /) -> list[Any]:
        """Make calls in one write, within so many seconds, and return an answer or an error for each, in order."""
        calls = list(calls)
        patience = self._patience if within is None else min(self._patience, within)
        stories = [Attempts(call.script, call.keys, call.argv, patience) for call in calls]
        self._persist(stories, math.inf if within is None else monotonic() + within)
        return [answer(story, call.read) for story, call in zip(stories, calls, strict=True)]

    def close(self) -> None:
        """Finish what is in flight and close all connections. May be called again."""
        self._servers.close()
        if self._notices is not None and self._process == os.getpid():
            self._notices = None
            for ending in self._servers.deafen():
                ending.join(self._servers.timeout)

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
        story = Attempts(script, with_id(script, keys, argv), argv, self._patience)
        if lost is not None:
            story.lost(lost)
        elif reply is not None:
            story.answered(reply)
        self._persist([story])
        if isinstance(story.outcome, CoordError):
            raise story.outcome
        return story.outcome

    def _persist(self, stories: Sequence[Attempts], end: float = math.inf) -> None:
        """Attempt calls, those that are open together in one write, until each is settled; they have until the end."""
        while open_ones := [story for story in stories if not story.settled]:
            time.sleep(max(story.pause() for story in open_ones))
            for links, some in self._servers.groups(open_ones, end):
                self._attempt(links, some, end)

    def _attempt(self, links: Links, stories: Sequence[Attempts], end: float) -> None:
        """Attempt calls that go to one server."""
        try:
            link = links.take(left(end, self._servers.timeout))
            link.limit(left(end, self._servers.timeout))
        except CoordError as error:
            for story in stories:
                story.unreached(error)
            return
        try:
            attempt(link, stories)
        except LOST:
            links.drop(link)
        except BaseException:
            links.drop(link)
            raise
        else:
            link.limit(self._servers.timeout)
            if any(story.needs_connection for story in stories):
                links.drop(link)
            else:
                links.give(link)


def attempt(link: Link, stories: Sequence[Attempts]) -> None:
    """Make calls in one write on one connection; what was sent and not answered is lost."""
    batch = Batch(stories)
    answered = 0
    try:
        for reply in link.ask_many(batch.commands):
            batch.answered(answered, reply)
            answered += 1
    except LOST as error:
        sent = answered if isinstance(error, Unsent) else (answered // AT_ONCE + 1) * AT_ONCE
        for place in range(answered, len(batch.commands)):
            (batch.lost if place < sent else batch.unreached)(place, error)
        raise
