"""The subscription connections to a cluster: one a node, for the channels whose slots it has.

A waiter whose node fails, or whose slot moves, looks by itself at once and then several times a second, until it has
what it waits for; who comes later listens at the new primary.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

from coord.errors import ReplyError
from coord.notifier import InTurn, Notifier, Waiter
from coord.redis.dialing import Dialer
from coord.redis.subscriber import Subscriber

__all__ = ["ClusterSubscriber"]


class Owners(Protocol):
    """Who knows which node has a key."""

    def owner(self, key: str) -> Dialer:
        """Return a dialer to the primary that has a key."""
        ...


class _NodeSubscriber(Subscriber):
    """The waiters at one node, which may cease to be the one to listen to."""

    def mark_unsubscribed(self, channel: str | None = None) -> None:
        """Notices do not arrive for now, and perhaps never again: those that rely on them look by themselves."""
        with self._lock:
            relied = [name for name, each in self._channels.items() if each.notify and channel in (None, name)]
        super().mark_unsubscribed(channel)
        for name in relied:
            self.notify(name)

    def _take(self, message: Any) -> None:
        # A channel whose slot has moved is subscribed to nowhere else: see above.
        if not (isinstance(message, ReplyError) and message.code == "MOVED"):
            super()._take(message)


class ClusterSubscriber(Notifier):
    """Waiters of one coordinator on the notices of a cluster.

    Sharded notices (7.0 and newer) reach the node that has the channel's slot; plain ones reach every node.
    """

    def __init__(self, cluster: Owners, *, sharded: bool) -> None:
        super().__init__(subscribed_at_once=False)
        self._cluster = cluster
        self._sharded = sharded
        self._subscribers: dict[object, Subscriber] = {}
        self._making = threading.Lock()

    def subscribe(self, channel: str, wake: Callable[[], None], *, in_turn: InTurn = False) -> Waiter:
        """Take a place on a channel."""
        return self._subscriber(channel).subscribe(channel, wake, in_turn=in_turn)

    def _subscriber(self, channel: str) -> Subscriber:
        dialer = self._cluster.owner(channel).blocking()
        with self._making:
            subscriber = self._subscribers.get(dialer.identity)
            if subscriber is None:
                subscriber = self._subscribers[dialer.identity] = _NodeSubscriber(dialer, sharded=self._sharded)
            return subscriber

    def close(self) -> list[threading.Thread]:
        """End all connections; return the threads that are ending."""
        ending = [subscriber.close() for subscriber in self._subscribers.values()]
        self._subscribers.clear()
        return [thread for thread in ending if thread is not None]
