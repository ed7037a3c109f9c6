"""The waiters of this process by channel, and which of them a notification wakes.

A notification is a hint that something changed, never the change itself: a woken waiter reads the state. It also
reads it now and then without a notification.

Waiters that take turns are queued, one queue for each group of a channel: a notification wakes the first. A waiter
whose event loop was closed is removed; one that does not run, because its loop is blocked or was stopped, is moved
behind the others by the next waiter that finds it stalled.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from math import inf
from typing import Any, Literal

__all__ = ["STALLED_AFTER", "InTurn", "Notifier", "Waiter"]

InTurn = bool | Literal["behind"]
"""Whether waiters take turns. "behind": only behind others; alone, no place is taken."""

STALLED_AFTER = 1.0
"""Seconds by which a waiter that was woken, or was due to look by itself, may be late before it has stalled."""


class Waiter:
    """One waiter on a channel. ``leave`` unsubscribes it, and wakes the next in turn.

    ``queued``: whether it was added to the queue. ``answer``: the result that another waiter of its group read for all.
    """

    __slots__ = (
        "_notifier",
        "answer",
        "channel",
        "due",
        "group",
        "in_turn",
        "queued",
        "stalled",
        "wake",
        "woken",
    )

    def __init__(
        self, notifier: Notifier, channel: str, wake: Callable[[], object], *, in_turn: bool, group: Hashable
    ) -> None:
        self._notifier = notifier
        self.channel = channel
        self.wake = wake
        self.in_turn = in_turn
        self.group = group
        self.queued = True
        self.answer: Any = None
        self.due = inf
        self.woken = False
        self.stalled = False

    @property
    def is_first(self) -> bool:
        """Whether notifications wake this waiter; always True for waiters that do not take turns."""
        return self._notifier.is_first(self)

    @property
    def is_subscribed(self) -> bool:
        """Whether notifications arrive at present; without them, a waiter looks more often."""
        return self._notifier.is_subscribed(self.channel)

    @property
    def queue_length(self) -> int:
        """How many waiters take turns with it, itself included."""
        return self._notifier.queue_length(self)

    def leave(self) -> None:
        """Leave the queue. May be called again."""
        self._notifier.leave(self)

    def go_on(self, due: float) -> None:
        """Show that it runs, and by when it will do so again."""
        self.due, self.woken, self.stalled = due, False, False

    def has_stalled(self, now: float) -> bool:
        """Whether it should have gone on before now."""
        if self.woken:
            self.woken, self.due = False, min(self.due, now)
        if now - self.due > STALLED_AFTER:
            self.stalled = True
        return self.stalled

    def first_stalls_in(self, now: float) -> float:
        """Return the seconds after which the first of its queue has stalled, if it does not go on until then."""
        return self._notifier.first_stalls_in(self, now)

    def pass_stalled(self, now: float) -> bool:
        """Move stalled waiters ahead of it behind the others, and return whether it is the first now."""
        return self._notifier.pass_stalled(self, now)

    def answer_group(self, answer: Any) -> None:
        """Set the answer of all waiters of its group, wake the others, and remove the group."""
        self._notifier.answer_group(self, answer)

    def wake_group(self) -> None:
        """Wake all waiters of its group; each then reads the state."""
        self._notifier.wake_group(self)


_Queue = OrderedDict[Waiter, None]


class _Channel:
    __slots__ = ("all", "notify", "queues")

    def __init__(self, *, notify: bool) -> None:
        self.notify = notify
        self.all: dict[Waiter, None] = {}
        self.queues: dict[Hashable, _Queue] = {}

    @property
    def waiters(self) -> list[Waiter]:
        """All that wait on it."""
        return [*self.all, *(waiter for queue in self.queues.values() for waiter in queue)]

    @property
    def is_empty(self) -> bool:
        return not self.all and not self.queues


def _first(queue: _Queue) -> Waiter:
    """Return the waiter whose turn it is: one that is known to have stalled only if all have."""
    for _ in range(len(queue)):
        first = next(iter(queue))
        if not first.stalled:
            break
        queue.move_to_end(first)
    return next(iter(queue))


class Notifier:
    """The waiters of this process on one source of notifications.

    Of those that take turns, a notification wakes the first one of each group; of the others, all.
    A waiter is also woken when its channel is subscribed, because it missed notifications published before.
    ``wake`` functions only set an event; they are called from any thread, and return False when that can never wake
    the waiter: then it is removed, and the next in turn is woken.
    """

    def __init__(self, *, subscribed_at_once: bool = True) -> None:
        # Reentrant: a finalizer or a signal handler may remove a waiter while this thread holds the lock.
        self._lock = threading.RLock()
        self._channels: dict[str, _Channel] = {}
        self._subscribed_at_once = subscribed_at_once

    def __contains__(self, channel: str) -> bool:
        return channel in self._channels

    def subscribe(
        self, channel: str, wake: Callable[[], object], *, in_turn: InTurn = False, group: Hashable = None
    ) -> Waiter:
        """Add a waiter to a channel; those of the same ``group`` take turns with each other."""
        waiter = Waiter(self, channel, wake, in_turn=bool(in_turn), group=group)
        with self._lock:
            found = self._channels.get(channel)
            if in_turn == "behind" and (found is None or group not in found.queues):
                waiter.queued = False
                return waiter
            if found is None:
                found = self._channels[channel] = _Channel(notify=self._subscribed_at_once)
                self._begin_or_forget(channel)
            if in_turn:
                queue = found.queues.setdefault(group, OrderedDict())
                queue[waiter] = None
                woken = found.notify and _first(queue) is waiter
            else:
                found.all[waiter] = None
                woken = found.notify
        if woken:
            self._wake(waiter)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Remove a waiter, and wake the next in turn if it was the first."""
        self._wake(self._remove(waiter))

    def _remove(self, waiter: Waiter) -> Waiter | None:
        """Remove a waiter, and return the next in turn if it was the first."""
        with self._lock:
            channel = self._channels.get(waiter.channel)
            if channel is None:
                return None
            following = None
            if waiter.in_turn:
                queue = channel.queues.get(waiter.group)
                if queue is None or waiter not in queue:
                    return None
                was_first = next(iter(queue)) is waiter
                del queue[waiter]
                if not queue:
                    del channel.queues[waiter.group]
                elif was_first:
                    following = _first(queue)
            elif channel.all.pop(waiter, waiter) is waiter:
                return None
            self._end_if_empty(waiter.channel, channel)
            return following

    def _end_if_empty(self, name: str, channel: _Channel) -> None:
        if channel.is_empty:
            del self._channels[name]
            self._end(name)

    def _wake(self, waiter: Waiter | None) -> None:
        """Wake a waiter, or the next after it that can be woken."""
        while waiter is not None:
            waiter.woken = True
            if waiter.wake() is not False:
                return
            waiter = self._remove(waiter)

    def _queue(self, waiter: Waiter) -> _Queue:
        """Return the waiters that take turns with one; the lock is held."""
        channel = self._channels.get(waiter.channel)
        return (channel and channel.queues.get(waiter.group)) or OrderedDict()

    def is_first(self, waiter: Waiter) -> bool:
        """Whether notifications wake this waiter."""
        with self._lock:
            return not waiter.in_turn or next(iter(self._queue(waiter)), waiter) is waiter

    def queue_length(self, waiter: Waiter) -> int:
        """How many waiters take turns with one."""
        with self._lock:
            return len(self._queue(waiter))

    def first_stalls_in(self, waiter: Waiter, now: float) -> float:
        """Return the seconds after which the first of a waiter's queue has stalled; 0.0 when it has."""
        with self._lock:
            first = next(iter(self._queue(waiter)), waiter)
            return 0.0 if first.has_stalled(now) else first.due + STALLED_AFTER - now

    def pass_stalled(self, waiter: Waiter, now: float) -> bool:
        """Move the stalled waiters ahead of one to the end, and wake the first that has not stalled."""
        with self._lock:
            queue = self._queue(waiter)
            before = first = next(iter(queue), waiter)
            while first is not waiter and first.has_stalled(now):
                queue.move_to_end(first)
                first = next(iter(queue))
        if first is waiter:
            return True
        if first is not before:
            self._wake(first)
        return False

    def answer_group(self, waiter: Waiter, answer: Any) -> None:
        """Set the answer of all waiters of a group, wake the others, and remove the group."""
        with self._lock:
            channel = self._channels.get(waiter.channel)
            group = list(channel.queues.pop(waiter.group, ())) if channel is not None else []
            for each in group:
                each.answer = answer
            if group and channel is not None:
                self._end_if_empty(waiter.channel, channel)
        for each in group:
            if each is not waiter:
                each.wake()

    def wake_group(self, waiter: Waiter) -> None:
        """Wake all waiters of a group."""
        with self._lock:
            group = list(self._queue(waiter))
        for each in group:
            self._wake(each)

    def count(self, channel: str) -> int:
        """How many waiters a channel has."""
        found = self._channels.get(channel)
        return 0 if found is None else len(found.waiters)

    def is_subscribed(self, channel: str) -> bool:
        """Whether notifications on a channel arrive at present."""
        found = self._channels.get(channel)
        return found is not None and found.notify

    def notify(self, channel: str) -> None:
        """Wake the waiters of a channel: a notification arrived, or the channel was subscribed."""
        with self._lock:
            found = self._channels.get(channel)
            if found is None:
                return
            waiters = [*found.all, *map(_first, found.queues.values())]
        for waiter in waiters:
            self._wake(waiter)

    def mark_subscribed(self, channel: str) -> None:
        """Record that notifications on a channel arrive from now on, and wake its waiters."""
        found = self._channels.get(channel)
        if found is not None and not found.notify:
            found.notify = True
            self.notify(channel)

    def mark_unsubscribed(self, channel: str | None = None) -> None:
        """Record that notifications on a channel, or on all, do not arrive for now."""
        with self._lock:
            found = [self._channels.get(channel)] if channel is not None else list(self._channels.values())
            for each in found:
                if each is not None:
                    each.notify = False

    def _begin_or_forget(self, channel: str) -> None:
        """Subscribe to a channel; after an error, forget it, so that the next waiter subscribes again."""
        try:
            self._begin(channel)
        except BaseException:
            del self._channels[channel]
            raise

    def _begin(self, channel: str) -> None:
        """Subscribe to a channel that has its first waiter; the lock is held."""

    def _end(self, channel: str) -> None:
        """Unsubscribe from a channel that lost its last waiter; the lock is held."""
