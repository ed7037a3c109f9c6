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

__all__ = ["InTurn", "Notifier", "Waiter"]

InTurn = bool | Literal["behind"]
"""Whether waiters take turns. "behind": only behind others; alone, no place is taken."""


class Waiter:
    """One waiter's place on a channel. ``leave`` gives it up; the next in turn is woken then.

    ``queued`` tells whether it was taken at all.
    """

    __slots__ = ("_notifier", "channel", "in_turn", "queued", "wake")

    def __init__(self, notifier: Notifier, channel: str, wake: Callable[[], None], *, in_turn: bool) -> None:
        self._notifier = notifier
        self.channel = channel
        self.wake = wake
        self.in_turn = in_turn
        self.queued = True

    @property
    def is_first(self) -> bool:
        """Whether it is the one that notices wake; always, where waiters do not take turns."""
        return self._notifier.is_first(self)

    @property
    def is_subscribed(self) -> bool:
        """Whether notices arrive at present; without them, a waiter looks more often."""
        return self._notifier.is_subscribed(self.channel)

    def leave(self) -> None:
        """Give the place up. May be called again."""
        self._notifier.leave(self)


class _Channel:
    __slots__ = ("all", "notify", "turns")

    def __init__(self, *, notify: bool) -> None:
        self.notify = notify
        self.all: dict[Waiter, None] = {}
        self.turns: OrderedDict[Waiter, None] = OrderedDict()


class Notifier:
    """The waiters of this process on one source of notices.

    Of those that take turns, a notice wakes the first one alone; of the others, all.
    A waiter is also rung when its channel begins to be heard: what happened before then it has to look for.
    ``wake`` functions only set an event; they are called from any thread.
    """

    def __init__(self, *, subscribed_at_once: bool = True) -> None:
        # Reentrant: a finalizer or a signal handler may leave a place while this thread holds the lock.
        self._lock = threading.RLock()
        self._channels: dict[str, _Channel] = {}
        self._subscribed_at_once = subscribed_at_once

    def __contains__(self, channel: str) -> bool:
        return channel in self._channels

    def subscribe(self, channel: str, wake: Callable[[], None], *, in_turn: InTurn = False) -> Waiter:
        """Take a place on a channel."""
        waiter = Waiter(self, channel, wake, in_turn=bool(in_turn))
        with self._lock:
            found = self._channels.get(channel)
            if in_turn == "behind" and (found is None or not found.turns):
                waiter.queued = False
                return waiter
            if found is None:
                found = self._channels[channel] = _Channel(notify=self._subscribed_at_once)
                self._begin_or_forget(channel)
            (found.turns if in_turn else found.all)[waiter] = None
            woken = found.notify and (not in_turn or next(iter(found.turns)) is waiter)
        if woken:
            wake()
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Give a place up, and wake the next in turn if it was the first."""
        with self._lock:
            channel = self._channels.get(waiter.channel)
            if channel is None:
                return
            waiters = channel.turns if waiter.in_turn else channel.all
            if waiter not in waiters:
                return
            was_first = waiter.in_turn and next(iter(channel.turns)) is waiter
            del waiters[waiter]
            following = next(iter(channel.turns), None) if was_first else None
            if not channel.turns and not channel.all:
                del self._channels[waiter.channel]
                self._end(waiter.channel)
        if following is not None:
            following.wake()

    def is_first(self, waiter: Waiter) -> bool:
        """Whether a place is the one that notices wake."""
        if not waiter.in_turn:
            return True
        with self._lock:
            channel = self._channels.get(waiter.channel)
            return channel is None or next(iter(channel.turns), None) is waiter

    def is_subscribed(self, channel: str) -> bool:
        """Whether notices on a channel arrive at present."""
        found = self._channels.get(channel)
        return found is not None and found.notify

    def notify(self, channel: str) -> None:
        """A notice came, or the channel begins to be heard."""
        with self._lock:
            found = self._channels.get(channel)
            if found is None:
                return
            waiters = [*found.all, *islice(found.turns, 1)]
        for waiter in waiters:
            waiter.wake()

    def mark_subscribed(self, channel: str) -> None:
        """From now on notices on a channel arrive; those that wait on it look again."""
        found = self._channels.get(channel)
        if found is not None and not found.notify:
            found.notify = True
            self.notify(channel)

    def mark_unsubscribed(self, channel: str | None = None) -> None:
        """Notices on a channel, or on all, do not arrive for now."""
        with self._lock:
            found = [self._channels.get(channel)] if channel is not None else list(self._channels.values())
            for each in found:
                if each is not None:
                    each.notify = False

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
