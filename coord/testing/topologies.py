"""Private clusters and Sentinel services for tests, from the same programs as ``coord.testing.servers``.

with Cluster(engines()["redis-8.2"]) as cluster:
    coord.connect(cluster.url)
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from coord.clock import SYSTEM
from coord.testing.servers import Engine, Server

__all__ = ["Cluster", "SentinelServer", "Sentinels", "client", "port_with_bus", "wait_until"]

_SETTLE_SECONDS = 30.0
_BUS = 10_000
"""The cluster bus listens this far above the port; 6.2 has no setting for it."""


def wait_until(true: Callable[[], bool], what: str, seconds: float = _SETTLE_SECONDS) -> None:
    """Wait until something is true; raise ``TimeoutError`` with what was waited for when it does not become so."""
    end = SYSTEM.monotonic() + seconds
    while not _holds(true):
        if SYSTEM.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds} s")
        SYSTEM.sleep(0.02)


def _holds(true: Callable[[], bool]) -> bool:
    try:
        return true()
    except redis.RedisError:
        return False


def client(server: Server, database: int = 0) -> Any:
    """Return a plain client of one database of a server, which sends nothing twice."""
    retry = Retry(NoBackoff(), 0)
    return redis.Redis(port=server.port, db=database, decode_responses=True, retry=retry, socket_timeout=5)


class Cluster:
    """A cluster of primaries, each with a replica; ``url`` names all nodes.

    ``node_timeout``: milliseconds after which a node that is silent is taken for failed. ``args`` are added to the
    command line of each node.
    """

    def __init__(
        self, engine: Engine, primaries: int = 3, *, node_timeout: int = 1000, args: Sequence[str] = ()
    ) -> None:
        self.engine = engine
        flags = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(node_timeout), *args)
        self.servers: list[Server] = []
        try:
            for _ in range(2 * primaries):
                self.servers.append(Server(engine, *flags, "--repl-diskless-sync-delay", "0", port=port_with_bus()))
            self.primaries, self.replicas = self.servers[:primaries], self.servers[primaries:]
            self._join()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The URL to connect to."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers)

    def _join(self) -> None:
        first, *others = [client(server) for server in self.servers]
        for server in self.servers[1:]:
            first.execute_command("CLUSTER", "MEET", "127.0.0.1", server.port)
        share = -(-16384 // len(self.primaries))
        for number, server in enumerate(self.primaries):
            slots = range(number * share, min((number + 1) * share, 16384))
            client(server).execute_command("CLUSTER", "ADDSLOTS", *slots)
        everyone = [first, *others]
        wait_until(lambda: all(self._knows_all(each) for each in everyone), "every node knows every other")
        for primary, replica in zip(self.primaries, self.replicas, strict=True):
            name = client(primary).execute_command("CLUSTER", "MYID")
            client(replica).execute_command("CLUSTER", "REPLICATE", name)
        wait_until(lambda: all(_in_order(each) for each in everyone), "the cluster's state is ok")
        wait_until(lambda: all(_is_synced(client(each)) for each in self.replicas), "the replicas are in step")

    def _knows_all(self, node: Any) -> bool:
        info = node.execute_command("CLUSTER INFO")
        text = info if isinstance(info, str) else "\n".join(f"{name}:{value}" for name, value in info.items())
        return f"cluster_known_nodes:{len(self.servers)}" in text

    def primary_of(self, slot: int) -> Server:
        """Return the primary that has a slot now."""
        for server in self.servers:
            try:
                ranges = client(server).execute_command("CLUSTER SLOTS")
            except redis.RedisError:
                continue
            for first, last, node, *_ in _rows(ranges):
                if first <= slot <= last:
                    return next(each for each in self.servers if each.port == node[1])
        raise LookupError(f"no node has slot {slot}")

    def stop(self) -> None:
        """End all nodes. May be called again."""
        for server in self.servers:
            server.stop()


def _rows(ranges: Any) -> list[Any]:
    """CLUSTER SLOTS as a list, in either form that redis-py returns."""
    if hasattr(ranges, "items"):
        return [[*slots, nodes["primary"]] for slots, nodes in ranges.items()]
    return list(ranges)


def _in_order(node: Any) -> bool:
    info = node.execute_command("CLUSTER INFO")
    return "cluster_state:ok" in info if isinstance(info, str) else info.get("cluster_state") == "ok"


def _is_synced(node: Any) -> bool:
    info = node.info("replication")
    return bool(info.get("role") == "slave" and info.get("master_link_status") == "up")


class Sentinels:
    """A primary, a replica, and three sentinels that watch them; ``url`` names the sentinels.

    ``down_after``: milliseconds after which a primary that is silent is taken for down.
    """

    service = "coord"

    def __init__(self, engine: Engine, *, down_after: int = 1000) -> None:
        self.engine = engine
        self.servers: list[Server] = []
        self.sentinels: list[Server] = []
        try:
            quick = ("--repl-diskless-sync-delay", "0")
            primary = Server(engine, *quick)
            self.servers.append(primary)
            self.servers.append(Server(engine, *quick, "--replicaof", "127.0.0.1", str(primary.port)))
            wait_until(lambda: _is_synced(client(self.servers[1])), "the replica is in step")
            for _ in range(3):
                self.sentinels.append(SentinelServer(engine, primary.port, self.service, down_after))
            wait_until(lambda: all(self._sees_all(each) for each in self.sentinels), "the sentinels know each other")
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The URL to connect to."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{self.service}/0"

    def _sees_all(self, sentinel: Server) -> bool:
        state = client(sentinel).sentinel_master(self.service)
        return int(state["num-other-sentinels"]) == 2 and int(state["num-slaves"]) == 1

    def primary(self) -> Server:
        """Return what the sentinels call the primary now."""
        _, port = client(self.sentinels[0]).sentinel_get_master_addr_by_name(self.service)
        return next(server for server in self.servers if server.port == int(port))

    def stop(self) -> None:
        """End all of them. May be called again."""
        for server in (*self.sentinels, *self.servers):
            server.stop()


class SentinelServer(Server):
    """One sentinel, which watches one primary; it keeps what it learns in a file of its own."""

    def __init__(self, engine: Engine, primary: int, service: str, down_after: int) -> None:
        self._lines = (
            f"sentinel monitor {service} 127.0.0.1 {primary} 2\n"
            f"sentinel down-after-milliseconds {service} {down_after}\n"
            f"sentinel failover-timeout {service} 3000\n"
        )
        super().__init__(engine)

    def command(self) -> list[str]:
        """The command line that starts it."""
        file = Path(self.folder) / "sentinel.conf"
        if not file.exists():
            file.write_text(f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\n{self._lines}")
        return [str(self.engine.program), str(file), "--sentinel"]


def port_with_bus() -> int:
    """Return a port for a node of a cluster: its bus port is free as well."""
    while True:
        with socket.socket() as probe, socket.socket() as bus:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            if port + _BUS > 65_535:
                continue
            try:
                bus.bind(("127.0.0.1", port + _BUS))
            except OSError:
                continue
            return port
