"""The blocking connections to one server, each used by one thread at a time."""

from __future__ import annotations

import contextlib
import threading
from collections import deque

from coord.errors import Closed, Unavailable
from coord.fork import register
from coord.redis.connection import Connection, open_connection
from coord.redis.dialing import LOST, Dialer
from coord.redis.outage import Outage
from coord.redis.steps import Exchange

__all__ = ["TRUSTED_SECONDS", "Pool"]

TRUSTED_SECONDS = 0.01
"""An idle connection is used without a check for so long: the check costs 1.3 us of the 21 us of CPU of a call."""


class Pool:
    """As many connections as threads need at a time, at most ``limit``.

    ``opened`` counts them. ``free`` holds the idle ones, the one that was used last at the right; taking and giving
    back one of them takes no lock. While threads wait, a connection that is given back goes to them and not to
    ``free``, so that a thread in a tight loop cannot starve the queue.
    """

    def __init__(self, dialer: Dialer, limit: int) -> None:
        self.free: deque[Connection] = deque()
        self.dialer = dialer
        self.outage = Outage(dialer.clock)
        self._now = dialer.clock.monotonic
        self._handed: deque[Connection] = deque()
        self._limit = limit
        self.opened = 0
        self._waiting = 0
        self._changed = threading.Condition()
        self.closed = False
        register(self)

    @property
    def where(self) -> str:
        """The address in words."""
        return self.dialer.where

    # --- for one call ----------------------------------------------------------------------------

    def is_usable(self, connection: Connection) -> bool:
        """Return whether an idle connection may be used: not idle for too long, and not closed by the server."""
        return self._now() - connection.idle_since <= self.dialer.max_idle and not connection.is_stale()

    def take(self, within: float | None = None, *, fresh: bool = False) -> Connection:
        """Return a connection, opened if need be; wait up to ``within`` seconds when the limit is reached.

        ``fresh``: return a new one.
        """
        end = self._now() + (within or self.dialer.timeout)
        while (connection := self._take_idle(end, fresh=fresh)) is not None:
            if not fresh and self.is_usable(connection):
                return connection
            self.drop(connection)
        try:
            return open_connection(self.dialer, within)
        except BaseException:
            self._forget()
            raise

    def _take_idle(self, end: float, *, fresh: bool) -> Connection | None:
        """Return an idle connection, or None: then one may be opened."""
        with self._changed:
            # Counted before looking: a thread that gives one back meanwhile sees the waiter.
            self._waiting += 1
            try:
                return self._wait(end, fresh=fresh)
            finally:
                self._waiting -= 1
                if not self._waiting:
                    self.free.extend(self._handed)
                    self._handed.clear()
                elif self._handed:
                    self._changed.notify()

    def _wait(self, end: float, *, fresh: bool) -> Connection | None:
        """Wait, with the lock held, for an idle connection, or (None) until one may be opened."""
        in_time, waited = True, False
        while not self.closed:
            if not fresh or self.opened >= self._limit:
                # Connections that were handed over are for threads that have waited.
                may_be_mine = waited or len(self._handed) >= self._waiting
                for idle in (self.free, self._handed) if may_be_mine else (self.free,):
                    with contextlib.suppress(IndexError):
                        return idle.pop()
            if self.opened < self._limit:
                self.opened += 1
                return None
            if not in_time:
                raise Unavailable(f"all {self._limit} connections to {self.where} are in use: raise max_connections")
            # One that was handed over at the last moment is still looked for.
            in_time, waited = self._changed.wait(end - self._now()), True
        raise Closed("the coordinator is closed")

    def give(self, connection: Connection) -> None:
        """Give a connection back."""
        if connection.has_unread():
            # A reply without a request: the next caller would read it as its own.
            self.drop(connection)
            return
        connection.idle_since = self._now()
        if self._waiting and self._handed_over(connection):
            return
        self.free.append(connection)
        # Looked at after: a thread that begins to wait, or closes, at this moment has looked at ``free`` before.
        if self._waiting:
            with self._changed:
                self._changed.notify()
        if self.closed:
            self.drop_idle()

    def _handed_over(self, connection: Connection) -> bool:
        """Hand a connection to a waiting thread; return False when none waits any more."""
        with self._changed:
            if self.closed or self._waiting <= len(self._handed):
                return False
            self._handed.append(connection)
            self._changed.notify()
            return True

    def drop(self, connection: Connection) -> None:
        """Close a connection that cannot be used again."""
        try:
            connection.close()
        finally:
            # Also when the thread is interrupted here: else the limit would be lower by one for good.
            self._forget()

    def lost(self, connection: Connection) -> None:
        """Close a connection that broke, and all that were idle at least as long: they are likely to be broken too."""
        self.drop(connection)
        with contextlib.suppress(IndexError):
            while True:
                oldest = self.free.popleft()
                if oldest.idle_since > connection.idle_since:
                    self.free.appendleft(oldest)
                    return
                self.drop(oldest)

    def exchange(self, step: Exchange[Pool]) -> None:
        """Carry out an ``Exchange`` with this server."""
        connection = self.take(step.within, fresh=step.fresh)
        outcomes = step.outcomes
        try:
            if connection.timeout != step.within:
                connection.limit(step.within)
            for reply in connection.ask_many(step.commands):
                outcomes.append(reply)
        except LOST as error:
            self.lost(connection)
            outcomes.extend([error] * (len(step.commands) - len(outcomes)))
        except BaseException:
            # Interrupted between command and reply: the next reply would be this one's.
            self.drop(connection)
            raise
        else:
            self.give(connection)

    # --- for all ---------------------------------------------------------------------------------

    def reconnect(self) -> None:
        """Close the idle connections; those in use are checked by their own calls."""
        self.drop_idle()

    def close(self) -> None:
        """Wait up to ``timeout`` for the replies of calls in flight, and close all connections."""
        end = self._now() + self.dialer.timeout
        self.closed = True
        self.drop_idle()
        with self._changed:
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self.opened, max(0.0, end - self._now()))
        self.drop_idle()

    def drop_idle(self) -> None:
        """Close all idle connections."""
        for idle in (self.free, self._handed):
            with contextlib.suppress(IndexError):
                while True:
                    self.drop(idle.pop())

    def _forget(self) -> None:
        with self._changed:
            self.opened -= 1
            self._changed.notify_all()

    def reset_after_fork(self) -> None:
        """Abandon the connections: they are the parent's."""
        for idle in (self.free, self._handed):
            for connection in idle:
                connection.abandon()
            idle.clear()
        self.opened = self._waiting = 0
        self._changed = threading.Condition()
