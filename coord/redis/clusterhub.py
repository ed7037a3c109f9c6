"""The subscription connections to a cluster: one a node, for the channels whose slots it has.

A waiter whose node fails looks by itself, several times a second, until it has what it waits for; who comes later
listens at the new primary.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from coord.notices import InTurn, Notices, Place
from coord.redis.dialing import Dialer
from coord.redis.hub import Hub

__all__ = ["ClusterHub"]


class Owners(Protocol):
    """Who knows which node has a key."""

    def owner(self, key: str) -> Dialer:
        """Return a dialer to the primary that has a key."""
        ...


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
                hub = self._hubs[dialer.identity] = Hub(dialer, sharded=self._sharded)
            return hub

    def close(self) -> threading.Thread | None:
        """End all connections; return one of the threads that are ending."""
        ending = [hub.close() for hub in self._hubs.values()]
        self._hubs.clear()
        return next((thread for thread in ending if thread is not None), None)
