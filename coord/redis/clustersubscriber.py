"""The subscription connections to a cluster: one a node, for the channels whose slots it has.

A waiter whose node fails, or whose slot moves, looks by itself at once and then several times a second, until its wait
is over; later waiters subscribe at the new primary.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, Protocol

from coord.errors import ReplyError
from coord.loops import Home
from coord.notifier import InTurn, Notifier, Waiter
from coord.redis.dialing import Dialer
from coord.redis.subscriber import Subscriber

__all__ = ["ClusterSubscriber"]


class Owners(Protocol):
    """Finds the node of a key."""

    def owner(self, key: str) -> Dialer:
        """Return a dialer to the primary that has a key."""
        ...


class _NodeSubscriber(Subscriber):
    """The waiters at one node, which may cease to be the one to subscribe to."""

    def mark_unsubscribed(self, channel: str | None = None) -> None:
        """Record that no messages arrive for now, so that the waiters read the state at short intervals."""
        with self._lock:
            relied = [name for name, each in self._channels.items() if each.notify and channel in (None, name)]
        super().mark_unsubscribed(channel)
        for name in relied:
            self.notify(name)

    def take(self, message: Any) -> None:
        """Handle one message of the node."""
        # A channel whose slot has moved is not subscribed again: see above.
        if not (isinstance(message, ReplyError) and message.code == "MOVED"):
            super().take(message)


class ClusterSubscriber(Notifier):
    """Waiters of one coordinator on the messages of a cluster.

    Sharded messages (7.0 and newer) reach the node that has the channel's slot; plain ones reach every node.
    """

    def __init__(self, cluster: Owners, home: Home, *, sharded: bool) -> None:
        super().__init__(subscribed_at_once=False)
        self._cluster = cluster
        self._home = home
        self._sharded = sharded
        self._subscribers: dict[object, Notifier] = {}
        self._making = threading.Lock()

    def subscribe(
        self, channel: str, wake: Callable[[], object], *, in_turn: InTurn = False, group: Hashable = None
    ) -> Waiter:
        """Take a place on a channel."""
        return self._subscriber(channel).subscribe(channel, wake, in_turn=in_turn, group=group)

    def _subscriber(self, channel: str) -> Notifier:
        dialer = self._cluster.owner(channel)
        with self._making:
            subscriber = self._subscribers.get(dialer.identity)
            if subscriber is None:
                awaited = dialer.awaited()
                subscriber = (
                    _NodeSubscriber(awaited, self._home, sharded=self._sharded)
                    if awaited is not None
                    else Notifier(subscribed_at_once=False)
                )
                self._subscribers[dialer.identity] = subscriber
            return subscriber

    def close(self) -> list[Subscriber]:
        """End all connections; return those to be joined."""
        with self._making:
            closing = [each for each in self._subscribers.values() if isinstance(each, Subscriber)]
            self._subscribers.clear()
        for each in closing:
            each.close()
        return closing
