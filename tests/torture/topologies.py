"""Faults of Sentinel services and clusters: primaries that are killed or replaced, slots that move."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from clusters import ClusterPlace, Move
from sentinels import SentinelPlace

from coord.testing.servers import Engine, Server
from coord.testing.topologies import Cluster, Sentinels, client, wait_until
from torture.faults import Fault
from torture.judging import Seen

__all__ = ["ClusterAsked", "ClusterKilled", "SentinelAsked", "SentinelKilled", "SlotsMoved"]


class SentinelKilled(Fault):
    """kill -9 of the primary; the sentinels promote its replica, which may lack the last writes."""

    pause = 1.0

    def __init__(self, engine: Engine, seed: int) -> None:
        super().__init__(engine, seed)
        self._sentinels = Sentinels(engine, down_after=1000)
        self.place = SentinelPlace(self._sentinels)
        self.url = self.direct = self.place.url

    def strike(self) -> None:
        with self.outage():
            self.place.kill(self.place.primary)
            self.place.heal()

    def nodes(self) -> list[Any]:
        return [client(self.place.primary)]

    def close(self) -> None:
        self._sentinels.stop()


class SentinelAsked(SentinelKilled):
    """SENTINEL FAILOVER while the primary is well: it takes writes until it is demoted, and loses them."""

    def strike(self) -> None:
        with self.outage():
            self.place.fail_over()
            self.place.heal()


class ClusterKilled(Fault):
    """kill -9 of a primary; its replica takes over, and may lack the last writes."""

    pause = 1.0

    def __init__(self, engine: Engine, seed: int) -> None:
        super().__init__(engine, seed)
        self.cluster = Cluster(engine)
        self.place = ClusterPlace(self.cluster)
        self.url = self.direct = self.place.url

    def strike(self) -> None:
        with self.outage():
            self.place.kill(self.random.choice(self.place.primaries()))
            self.place.heal()

    def nodes(self) -> list[Any]:
        return [self.place.at(server) for server in self.place.primaries()]

    def close(self) -> None:
        self.cluster.stop()


class ClusterAsked(ClusterKilled):
    """CLUSTER FAILOVER: the primary hands its slots over in order, and loses nothing."""

    pause = 0.5

    def strike(self) -> None:
        primary = self.random.choice(self.place.primaries())
        replica = self.place.replica(primary)
        with self.outage():
            wait_until(lambda: self._has_taken_over(replica), "the replica is the primary")
            self.place.heal()

    def _has_taken_over(self, replica: Server) -> bool:
        """Give the order, and again where a server gave up after its 5 s because the others did not vote in time."""
        if replica not in self.place.primaries():
            self.place.at(replica).execute_command("CLUSTER", "FAILOVER")
            with contextlib.suppress(TimeoutError):
                wait_until(lambda: replica in self.place.primaries(), "the order is followed", seconds=6)
        return replica in self.place.primaries()


class SlotsMoved(ClusterKilled):
    """A slot that is in use moves to another primary."""

    pause = 0.1

    def strike(self) -> None:
        letter, many = self.random.choice((("n", 8), ("v", 4), ("c", 6), ("p", 3), ("h", 4)))
        with self.outage():
            move = Move(self.place, f"{letter}-{self.random.randrange(many)}")
            time.sleep(0.02)
            move.finish()

    def met(self, seen: Seen) -> int:
        told = sum(self.place.errors(server, code) for server in self.cluster.servers for code in ("MOVED", "ASK"))
        return min(told, super().met(seen))
