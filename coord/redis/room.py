"""How many calls of an async coordinator may await their replies; more wait, in order of arrival."""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["Room"]


class Room:
    """Places for calls in flight: ``most`` at a time, of which ``taken`` are.

    A caller takes one by ``taken += 1`` while ``taken < most``, and otherwise awaits ``enter``. It gives it back by
    ``taken -= 1`` while ``queue`` is empty, and otherwise by ``leave``: half the 0.11 us of two method calls.
    """

    __slots__ = ("_loop", "gathered", "most", "queue", "taken")

    def __init__(self, most: int, loop: asyncio.AbstractEventLoop) -> None:
        self.most = most
        self.taken = 0
        self.queue: deque[tuple[asyncio.Future[None], int]] = deque()
        self.gathered = 0
        """Places reserved for the first in the queue, which wants several."""
        self._loop = loop

    async def enter(self, places: int = 1) -> None:
        """Wait until so many places are free, and take them."""
        # Free places go to the first in the queue; while a caller waits there, none is free.
        self.gathered += self.most - self.taken
        self.taken = self.most
        entered = self._loop.create_future()
        self.queue.append((entered, places))
        self.leave(0)
        try:
            await entered
        except BaseException:
            # Cancelled, or the end of a coroutine that is not awaited any more.
            entered_before = entered.done() and not entered.cancelled()
            entered.cancel()
            self.leave(places if entered_before else 0)
            raise

    def leave(self, places: int = 1) -> None:
        """Give places to those that have waited longest, or back."""
        self.gathered += places
        while self.queue:
            entered, wanted = self.queue[0]
            if not entered.done():
                if self.gathered < wanted:
                    return
                self.gathered -= wanted
                entered.set_result(None)
            self.queue.popleft()
        self.taken -= self.gathered
        self.gathered = 0
