"""A Sentinel service for tests, seen by one who looks at its servers without coord."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import coord
from coord.testing.servers import Server
from coord.testing.topologies import Sentinels, client, wait_until


class SentinelPlace:
    """A primary and its replica, seen by one who looks at them without coord."""

    def __init__(self, sentinels: Sentinels) -> None:
        self.sentinels = sentinels
        self.url = sentinels.url
        self._dead: list[Server] = []

    def connect(self, awaited: bool, **settings: Any) -> Any:
        return (coord.connect_async if awaited else coord.connect)(self.url, **settings)

    @property
    def primary(self) -> Server:
        """What the sentinels call the primary now."""
        return self.sentinels.primary()

    def count(self, name: str) -> int:
        """What the primary has counted under a name."""
        return int(client(self.primary).get(f"coord:kv:{{{name}}}") or 0)

    def subscribed(self) -> list[str]:
        """The channels that somebody listens to at the primary."""
        return [name for name in client(self.primary).pubsub_channels() if name.startswith("coord:")]

    @contextmanager
    def failing_over_soon(self) -> Iterator[None]:
        """Have servers taken for down earlier than otherwise, where a machine that stands still might look like it."""
        self._take_for_down_after(2000)
        yield
        self.heal()
        self._take_for_down_after(5000)

    def _take_for_down_after(self, ms: int) -> None:
        for sentinel in self.sentinels.sentinels:
            client(sentinel).execute_command("SENTINEL SET", self.sentinels.service, "down-after-milliseconds", ms)

    def kill(self, server: Server) -> None:
        """End a server as a crash does, until ``heal``."""
        server.kill()
        self._dead.append(server)

    def fail_over(self) -> None:
        """Have the sentinels make the replica the primary, although the primary is well."""
        before, service = self.primary, self.sentinels.service
        client(self.sentinels.sentinels[0]).execute_command("SENTINEL FAILOVER", service)
        wait_until(lambda: self.primary is not before, "there is another primary")
        # What the sentinels do themselves some ten seconds later.
        client(before).replicaof("127.0.0.1", self.primary.port)

    def heal(self) -> None:
        """Start what is down as a replica, and wait until all sentinels are content with it."""
        while self._dead:
            server = self._dead.pop()
            # Not before all have heard of the other: it would be taken for the primary that it was.
            wait_until(
                lambda: all(map(self._is_replaced, self.sentinels.sentinels)), "the sentinels have another primary", 90
            )
            server.start()
            client(server).replicaof("127.0.0.1", self.primary.port)
        wait_until(lambda: all(map(self._is_content, self.sentinels.sentinels)), "the sentinels are content", 90)
        wait_until(self._is_in_step, "the replica is in step", 90)

    def _is_replaced(self, sentinel: Server) -> bool:
        told = client(sentinel).sentinel_get_master_addr_by_name(self.sentinels.service)
        return bool(client(self.sentinels.primary()).ping() and told == ("127.0.0.1", self.primary.port))

    def _is_content(self, sentinel: Server) -> bool:
        node, service = client(sentinel), self.sentinels.service
        (replica,) = node.sentinel_slaves(service)
        return bool(
            node.sentinel_get_master_addr_by_name(service) == ("127.0.0.1", self.primary.port)
            and node.sentinel_master(service)["flags"] == "master"
            and replica["flags"] == "slave"
        )

    def _is_in_step(self) -> bool:
        (replica,) = (server for server in self.sentinels.servers if server is not self.primary)
        return client(replica).info("replication").get("master_link_status") == "up"
