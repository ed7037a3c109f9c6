"""The subscription connections to a cluster: one a node, for the channels whose slots it has.

A waiter whose node fails, or whose slot moves, looks by itself at once and then several times a second, until it has
what it waits for; who comes later listens at the new primary.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

from coord.errors import ReplyError
from coord.notices import InTurn, Notices, Place
from coord.redis.dialing import Dialer
from coord.redis.hub import Hub

__all__ = ["ClusterHub"]


class Owners(Protocol):
    """Who knows which node has a key."""

    def owner(self, key: str) -> Dialer:
        """Return a dialer to the primary that has a key."""
        ...


class _NodeHub(Hub):
    """The waiters at one node, which may cease to be the one to listen to."""

    def stop_hearing(self, channel: str | None = None) -> None:
        """Notices do not arrive for now, and perhaps never again: those that rely on them look by themselves."""
        with self._lock:
            relied = [name for name, each in self._channels.items() if each.heard and channel in (None, name)]
        super().stop_hearing(channel)
        for name in relied:
            self.heard(name)

    def _take(self, message: Any) -> None:
        # A channel whose slot has moved is subscribed to nowhere else: see above.
        if not (isinstance(message, ReplyError) and message.code == "MOVED"):
            super()._take(message)


class ClusterHub(Notices):
    """Waiters of one coordinator on the notices of a cluster.

    Sharded notices (7.0 and newer) reach the node that has the channel's slot; plain ones reach every node.
    """

    def __init__(self, cluster: Owners, *, sharded: bool) -> None:
        super().__init__(heard_at_once=False)
        self._cluster = cluster
        self._sharded = sharded
        self._hubs: dict[object, Hub] = {}
        self._making = threading.Lock()

    def listen(self, channel: str, ring: Callable[[], None], *, in_turn: InTurn = False) -> Place:
        """Take a place on a channel."""
        return self._hub(channel).listen(channel, ring, in_turn=in_turn)

    def _hub(self, channel: str) -> Hub:
        dialer = self._cluster.owner(channel).blocking()
        with self._making:
            hub = self._hubs.get(dialer.identity)
            if hub is None:
                hub = self._hubs[dialer.identity] = _NodeHub(dialer, sharded=self._sharded)
            return hub

    def close(self) -> list[threading.Thread]:
        """End all connections; return the threads that are ending."""
        ending = [hub.close() for hub in self._hubs.values()]
        self._hubs.clear()
        return [thread for thread in ending if thread is not None]
