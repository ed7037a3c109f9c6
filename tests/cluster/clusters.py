"""A cluster for tests, seen by one who looks at its nodes without coord."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count, islice
from typing import Any

import redis
import redis.asyncio
from load import is_replicated

import coord
from coord.redis.topology import Address, SlotMap, slot
from coord.testing.servers import Server
from coord.testing.topologies import Cluster, client, wait_until

SPREAD = [f"name-{number}" for number in range(60)]
"""Names enough to be on every node."""


class ClusterPlace:
    """One database of a cluster, seen by one who looks at its nodes without coord."""

    def __init__(self, cluster: Cluster, database: int = 0) -> None:
        self.cluster = cluster
        self.database = database
        self.url = f"{cluster.url}/{database}" if database else cluster.url
        self.dead: list[Server] = []
        self._clients = {server: client(server, database) for server in cluster.servers}
        for node in self._clients.values():
            node.ping()

    def connect(self, awaited: bool, **settings: Any) -> Any:
        return (coord.connect_async if awaited else coord.connect)(self.url, **settings)

    def at(self, server: Server) -> Any:
        """A plain client of one node."""
        return self._clients[server]

    def slots(self, asked: Server | None = None) -> SlotMap:
        """Which node has which slots, as any of them tells, or one of them."""
        slots = SlotMap()
        for server in [asked] if asked else self.cluster.servers:
            with suppress(redis.ConnectionError):
                slots.read(self.at(server).execute_command("CLUSTER SLOTS"), ("127.0.0.1", server.port))
                break
        return slots

    def node(self, name: str, asked: Server | None = None) -> Server:
        """The primary that has the keys of a name now."""
        return self._server(self.slots(asked).owner(f"{{{name}}}"))

    def names_on(self, server: Server, wanted: int) -> list[str]:
        """Names whose keys are on one primary."""
        slots = self.slots()
        here = (name for name in map(str, count()) if self._server(slots.owner(f"{{{name}}}")) is server)
        return list(islice(here, wanted))

    def primaries(self) -> list[Server]:
        """The nodes that have slots now."""
        return [self._server(address) for address in self.slots().primaries]

    def _server(self, address: Address | None) -> Server:
        return next(server for server in self.cluster.servers if address == ("127.0.0.1", server.port))

    def all_keys(self) -> list[str]:
        """All keys of all nodes."""
        return [key for server in self.primaries() for key in self.at(server).keys("*")]

    def errors(self, server: Server, code: str) -> int:
        """How often a node has answered with an error."""
        return int(self.at(server).info("errorstats").get(f"errorstat_{code}", {}).get("count", 0))

    def replica(self, primary: Server) -> Server:
        """The node that follows a primary."""
        return next(each for each in self.cluster.servers if self._told(each).get("master_port") == primary.port)

    def take_over(self, name: str) -> None:
        """Put the replica in the place of the primary that has a name, which is alive."""
        primary = self.node(name)
        replica = self.replica(primary)
        assert is_replicated(self.at(primary), name)
        # A node that moved a slot took a new epoch by itself: until all know it, another might take the same one.
        wait_until(lambda: len({*map(self._epoch, self.cluster.servers)}) == 1, "all know the newest epoch")
        self.at(replica).execute_command("CLUSTER FAILOVER", "TAKEOVER")
        wait_until(lambda: self.node(name) is replica, "the replica is the primary")

    def _epoch(self, server: Server) -> Any:
        return self.at(server).execute_command("CLUSTER INFO")["cluster_current_epoch"]

    @contextmanager
    def failing_over_soon(self) -> Iterator[None]:
        """Have nodes taken for failed earlier than otherwise, where a machine that stands still might look like it."""
        self._take_for_failed_after(2000)
        yield
        self.heal()
        self._take_for_failed_after(5000)

    def _take_for_failed_after(self, ms: int) -> None:
        for node in self._clients.values():
            node.config_set("cluster-node-timeout", ms)

    def kill(self, server: Server) -> None:
        """End a node as a crash does, until ``heal``."""
        server.kill()
        self.dead.append(server)

    def heal(self) -> None:
        """Start the nodes that are down, and wait until every primary has its replica in step."""
        while self.dead:
            self.dead.pop().start()
        wait_until(lambda: all(map(self._is_well, self.cluster.servers)), "the cluster is well again", 90)

    def _is_well(self, server: Server) -> bool:
        told, state = self._told(server), self.at(server).execute_command("CLUSTER INFO")
        in_step = told["connected_slaves"] == 1 if told["role"] == "master" else told["master_link_status"] == "up"
        return bool(in_step and state["cluster_state"] == "ok")

    def _told(self, server: Server) -> dict[str, Any]:
        told: dict[str, Any] = self.at(server).info("replication")
        return told

    def flush(self) -> None:
        """Leave no key."""
        for server in self.primaries():
            self.at(server).flushall()


class Move:
    """A slot on its way from one primary to another."""

    def __init__(self, place: ClusterPlace, name: str) -> None:
        self.slot = slot(f"{{{name}}}")
        self._name = name
        self.source = place.node(name)
        self.target = next(server for server in place.primaries() if server is not self.source)
        self._place = place
        self._set(self.target, "IMPORTING", self.source)
        self._set(self.source, "MIGRATING", self.target)

    def carry(self) -> int:
        """Move the keys that are there; return how many there were."""
        source = self._place.at(self.source)
        keys = source.execute_command("CLUSTER", "GETKEYSINSLOT", self.slot, 500)
        if keys:
            source.execute_command(
                "MIGRATE", "127.0.0.1", self.target.port, "", self._place.database, 5000, "KEYS", *keys
            )
        return len(keys)

    def finish(self) -> None:
        """Move all keys, and give the slot to its new node."""
        while self.carry():
            pass
        for server in (self.target, self.source):
            self._set(server, "NODE", self.target)
        wait_until(self._all_know, "all know who has the slot")

    def _all_know(self) -> bool:
        return all(self._place.node(self._name, server) is self.target for server in self._place.cluster.servers)

    def _set(self, server: Server, what: str, other: Server) -> None:
        name = self._place.at(other).execute_command("CLUSTER MYID")
        self._place.at(server).execute_command("CLUSTER SETSLOT", self.slot, what, name)


def subscribed(place: ClusterPlace, server: Server) -> list[str]:
    """The channels that somebody listens to at a node."""
    command = "PUBSUB CHANNELS" if server.engine.version < (7,) else "PUBSUB SHARDCHANNELS"
    return list(place.at(server).execute_command(command))
