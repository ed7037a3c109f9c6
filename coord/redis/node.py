"""One server, and the asyncio connection to it that all tasks of a loop share."""

from __future__ import annotations

import asyncio

from coord.errors import Closed, Unavailable
from coord.loops import check_loop
from coord.redis.asyncconnection import AsyncConnection, open_connection
from coord.redis.dialing import LOST, Dialer
from coord.redis.outage import Outage
from coord.redis.steps import Exchange

__all__ = ["Node"]

SILENT_SECONDS = 0.1
"""Seconds without any reply after which a call that ran out of time replaces the connection."""


class Node:
    """One server. The connection is opened when it is first needed, and again when it broke."""

    def __init__(self, dialer: Dialer) -> None:
        self.dialer = dialer
        self.outage = Outage(dialer.clock)
        self.connection: AsyncConnection | None = None
        self._loop = asyncio.get_running_loop()
        self._opening: asyncio.Task[AsyncConnection] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def where(self) -> str:
        """The address in words."""
        return self.dialer.where

    async def exchange(self, step: Exchange[Node]) -> None:
        """Carry out an ``Exchange`` with this server."""
        connection = await self._connected(step.within)
        replies, outcomes = connection.ask_many(step.commands), step.outcomes
        # The connection has its own check for no reply within ``dialer.timeout``.
        within = step.within if step.within < self.dialer.timeout else None
        try:
            async with asyncio.timeout(within):
                for reply in replies:
                    try:
                        outcomes.append(await reply)
                    except LOST as error:
                        outcomes.append(error)
        except TimeoutError:
            outcomes.extend([TimeoutError("no reply in time")] * (len(replies) - len(outcomes)))
            if self.connection is connection and connection.silent_for >= SILENT_SECONDS:
                # Calls of other tasks wait on it until it answers or is seen to be broken.
                self._retire(connection, None)

    async def _connected(self, within: float) -> AsyncConnection:
        """Return the connection, opened if need be."""
        check_loop(self._loop)
        if self._closed:
            raise Closed("the coordinator is closed")
        if self.connection is not None and not self.connection.closed:
            return self.connection
        opening = self._opening
        if opening is None:
            opening = self._opening = self._loop.create_task(open_connection(self.dialer))
            opening.add_done_callback(self._opened)
        # Waited for, not awaited: the cancellation of one caller must not cancel it for the others.
        await asyncio.wait([opening], timeout=within)
        if not opening.done():
            raise Unavailable(f"cannot reach {self.where}: no connection within {within:.3g} s")
        return opening.result()

    def _opened(self, opening: asyncio.Task[AsyncConnection]) -> None:
        self._opening = None
        if not opening.cancelled() and opening.exception() is None:
            self.connection = opening.result()

    def reconnect(self) -> None:
        """Use a new connection from now on; close this one once the calls on it are answered."""
        if self.connection is not None:
            self._retire(self.connection, self.dialer.timeout)

    def _retire(self, connection: AsyncConnection, seconds: float | None) -> None:
        self.connection = None
        retiring = self._loop.create_task(_close_drained(connection, seconds))
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)

    async def close(self) -> None:
        """Wait for the calls in flight, for as long as one may take, and close the connections."""
        self._closed = True
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self.connection is not None:
            self._retire(self.connection, None)
        if self._retiring:
            _, late = await asyncio.wait(self._retiring, timeout=self.dialer.timeout)
            for retiring in late:
                retiring.cancel()
            await asyncio.gather(*self._retiring, return_exceptions=True)


async def _close_drained(connection: AsyncConnection, seconds: float | None) -> None:
    try:
        await connection.drain(seconds)
    finally:
        await connection.close()
