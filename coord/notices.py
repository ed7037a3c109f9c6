"""Who waits for what in this process, and who is woken by a notice.

A notice is a hint that something changed, never the change itself: whoever is woken looks for himself, and looks now
and then without being woken.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Literal

__all__ = ["InTurn", "Notices", "Place"]

InTurn = bool | Literal["behind"]
"""Whether waiters take turns. "behind": only behind others; alone, no place is taken."""


class Place:
    """One waiter's place on a channel. ``leave`` gives it up; the next in turn is woken then.

    ``stands`` tells whether it was taken at all.
    """

    __slots__ = ("_notices", "channel", "in_turn", "ring", "stands")

    def __init__(self, notices: Notices, channel: str, ring: Callable[[], None], *, in_turn: bool) -> None:
        self._notices = notices
        self.channel = channel
        self.ring = ring
        self.in_turn = in_turn
        self.stands = True

    @property
    def is_first(self) -> bool:
        """Whether it is the one that notices wake; always, where waiters do not take turns."""
        return self._notices.is_first(self)

    @property
    def is_heard(self) -> bool:
        """Whether notices arrive at present; without them, a waiter looks more often."""
        return self._notices.is_heard(self.channel)

    def leave(self) -> None:
        """Give the place up. May be called again."""
        self._notices.leave(self)


class _Channel:
    __slots__ = ("all", "heard", "turns")

    def __init__(self, *, heard: bool) -> None:
        self.heard = heard
        self.all: dict[Place, None] = {}
        self.turns: OrderedDict[Place, None] = OrderedDict()


class Notices:
    """The waiters of this process on one source of notices.

    Of those that take turns, a notice wakes the first one alone; of the others, all.
    A waiter is also rung when its channel begins to be heard: what happened before then it has to look for.
    ``ring`` functions only set an event; they are called from any thread.
    """

    def __init__(self, *, heard_at_once: bool = True) -> None:
        self._lock = threading.Lock()
        self._channels: dict[str, _Channel] = {}
        self._heard_at_once = heard_at_once

    def __contains__(self, channel: str) -> bool:
        return channel in self._channels

    def listen(self, channel: str, ring: Callable[[], None], *, in_turn: InTurn = False) -> Place:
        """Take a place on a channel."""
        place = Place(self, channel, ring, in_turn=bool(in_turn))
        with self._lock:
            found = self._channels.get(channel)
            if in_turn == "behind" and (found is None or not found.turns):
                place.stands = False
                return place
            if found is None:
                found = self._channels[channel] = _Channel(heard=self._heard_at_once)
                self._begin_or_forget(channel)
            (found.turns if in_turn else found.all)[place] = None
            woken = found.heard and (not in_turn or next(iter(found.turns)) is place)
        if woken:
            ring()
        return place

    def leave(self, place: Place) -> None:
        """Give a place up, and wake the next in turn if it was the first."""
        with self._lock:
            channel = self._channels.get(place.channel)
            if channel is None:
                return
            places = channel.turns if place.in_turn else channel.all
            if place not in places:
                return
            was_first = place.in_turn and next(iter(channel.turns)) is place
            del places[place]
            following = next(iter(channel.turns), None) if was_first else None
            if not channel.turns and not channel.all:
                del self._channels[place.channel]
                self._end(place.channel)
        if following is not None:
            following.ring()

    def is_first(self, place: Place) -> bool:
        """Whether a place is the one that notices wake."""
        if not place.in_turn:
            return True
        with self._lock:
            channel = self._channels.get(place.channel)
            return channel is None or next(iter(channel.turns), None) is place

    def is_heard(self, channel: str) -> bool:
        """Whether notices on a channel arrive at present."""
        found = self._channels.get(channel)
        return found is not None and found.heard

    def heard(self, channel: str) -> None:
        """A notice came, or the channel begins to be heard."""
        with self._lock:
            found = self._channels.get(channel)
            if found is None:
                return
            places = [*found.all, *islice(found.turns, 1)]
        for place in places:
            place.ring()

    def begin_to_hear(self, channel: str) -> None:
        """From now on notices on a channel arrive; those that wait on it look again."""
        found = self._channels.get(channel)
        if found is not None:
            found.heard = True
            self.heard(channel)

    def stop_hearing(self, channel: str | None = None) -> None:
        """Notices on a channel, or on all, do not arrive for now."""
        with self._lock:
            found = [self._channels.get(channel)] if channel is not None else list(self._channels.values())
            for each in found:
                if each is not None:
                    each.heard = False

    def _begin_or_forget(self, channel: str) -> None:
        """Begin to listen on a channel; one that cannot be begun is begun by the next who comes."""
        try:
            self._begin(channel)
        except BaseException:
            del self._channels[channel]
            raise

    def _begin(self, channel: str) -> None:
        """Somebody listens on a channel; the lock is held."""

    def _end(self, channel: str) -> None:
        """Nobody listens on a channel any more; the lock is held."""
