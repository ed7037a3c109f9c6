"""Faults of one server and of the line to it: how each is made, and how it is known that callers met it."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any

import redis
from machines import busy, client_of, configured

from coord.testing.proxy import Fault as Accident
from coord.testing.proxy import LossyProxy
from coord.testing.servers import Engine, Server, free_port
from torture.crew import Crew
from torture.judging import Seen

__all__ = ["BadLine", "BlackHole", "Fault", "Killed", "OneServer"]


class Fault:
    """Servers, and what goes wrong with them again and again.

    ``url`` is where workers connect, ``direct`` where the counting does. ``pause``: seconds between strikes.
    """

    pause = 0.2
    url: str
    direct: str

    def __init__(self, engine: Engine, seed: int) -> None:
        self.engine = engine
        self.random = random.Random(seed)
        self.outages: list[tuple[float, float]] = []
        self.crew: Crew
        self.strikes = 0

    def made(self) -> int:
        """Return how many faults there were so far."""
        return self.strikes

    def strike(self) -> None:
        """Make the fault once, and return when it is over."""

    def calm(self) -> None:
        """Make no more faults."""

    def nodes(self) -> list[Any]:
        """Return plain clients of the servers that hold keys."""
        raise NotImplementedError

    def met(self, seen: Seen) -> int:
        """Return how often callers met the fault: here, outages with calls in flight."""
        spans = sorted((record.started, record.ended) for record in seen.records)
        return sum(any(start < until and end > since for start, end in spans) for since, until in self.outages)

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Note when an outage begins and ends."""
        since = monotonic()
        yield
        self.outages.append((since, monotonic()))

    def close(self) -> None:
        """End the servers."""


class OneServer(Fault):
    """A server and an operator connected to it."""

    args: tuple[str, ...] = ()

    def __init__(self, engine: Engine, seed: int) -> None:
        super().__init__(engine, seed)
        self.server = Server(engine, *self.args)
        self.url = self.direct = self.server.url
        self.operator = client_of(self.server, socket_timeout=20)
        self.operator.ping()

    def nodes(self) -> list[Any]:
        return [self.operator]

    def close(self) -> None:
        self.operator.close()
        self.server.stop()


class BadLine(OneServer):
    """One command in ``every`` has an accident between workers and server."""

    every = 20
    mix: Mapping[Accident, float] = {}
    suffering: tuple[str, ...] | None = ("EVALSHA",)
    delay = 0.02

    def __init__(self, engine: Engine, seed: int) -> None:
        super().__init__(engine, seed)
        self.line = LossyProxy(
            "127.0.0.1", self.server.port, every=self.every, mix=self.mix, suffering=self.suffering, delay=self.delay,
            seed=seed,
        )  # fmt: skip
        self.url = self.line.url

    def calm(self) -> None:
        self.line.behave()

    def made(self) -> int:
        return self.line.faults.total() if self.every else self.strikes

    def met(self, seen: Seen) -> int:
        return self.line.faults.total()

    def close(self) -> None:
        self.line.close()
        super().close()


class BlackHole(BadLine):
    """For a moment everything that is sent disappears, and the connections stay silent for good."""

    every = 0
    suffering = None
    pause = 0.5

    def strike(self) -> None:
        with self.outage():
            self.line.misbehave(1, {"drop_request": 1})
            time.sleep(0.3)
            self.line.behave()


class Forgotten(OneServer):
    """SCRIPT FLUSH."""

    pause = 0.02

    def strike(self) -> None:
        self.operator.script_flush()

    def met(self, seen: Seen) -> int:
        return int(self.operator.info("errorstats").get("errorstat_NOSCRIPT", {}).get("count", 0))


class Disconnected(OneServer):
    """CLIENT KILL of every connection but the operator's."""

    pause = 0.05

    def __init__(self, engine: Engine, seed: int) -> None:
        super().__init__(engine, seed)
        self._ended = 0

    def strike(self) -> None:
        for kind in ("normal", "pubsub"):
            self._ended += self.operator.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

    def met(self, seen: Seen) -> int:
        return self._ended


class Paused(OneServer):
    """CLIENT PAUSE for longer than callers wait for a reply."""

    pause = 0.5

    def strike(self) -> None:
        with self.outage():
            self.operator.execute_command("CLIENT", "PAUSE", 700)
            time.sleep(0.7)


class Killed(OneServer):
    """kill -9 of the server, which starts again with what its append-only file has."""

    pause = 0.4
    fsync = "always"

    def __init__(self, engine: Engine, seed: int) -> None:
        self.args = ("--appendonly", "yes", "--appendfsync", self.fsync)
        super().__init__(engine, seed)

    def strike(self) -> None:
        with self.outage():
            self.server.kill()
            self.server.start()
        self.operator.close()
        self.operator = client_of(self.server, socket_timeout=20)


class ServerStopped(OneServer):
    """SIGSTOP of the server for longer than callers wait for a reply."""

    pause = 0.5

    def strike(self) -> None:
        with self.outage():
            self.server.signal(signal.SIGSTOP)
            time.sleep(0.7)
            self.server.signal(signal.SIGCONT)


class ClientStopped(OneServer):
    """SIGSTOP of a worker for longer than its leases last."""

    pause = 0.3

    def strike(self) -> None:
        number = self.random.randrange(self.crew.size)
        with self.outage():
            self.crew.signal(number, signal.SIGSTOP)
            time.sleep(2.6)
            self.crew.signal(number, signal.SIGCONT)


class ClientKilled(OneServer):
    """kill -9 of a worker; another takes its place and begins its round again."""

    pause = 0.4

    def strike(self) -> None:
        self.crew.kill(self.random.randrange(self.crew.size))

    def met(self, seen: Seen) -> int:
        return self.crew.killed


class _Refusing(OneServer):
    """For a moment the server refuses; ``word`` is the error that callers get."""

    word = ""
    seconds = 0.1

    def met(self, seen: Seen) -> int:
        return sum(record.outcome == "refused" and self.word in str(record.value) for record in seen.records)


class Full(_Refusing):
    """maxmemory is reached."""

    word = "OOM"

    def strike(self) -> None:
        with configured(self.operator, maxmemory=1):
            time.sleep(self.seconds)


class ReadOnly(OneServer):
    """The server is a replica for a moment."""

    def strike(self) -> None:
        with self.outage():
            self.operator.replicaof("127.0.0.1", free_port())
            time.sleep(0.1)
            self.operator.replicaof("NO", "ONE")

    def met(self, seen: Seen) -> int:
        # 6.2 counts what a script's command was refused under another name.
        told = self.operator.info("errorstats")
        refused = sum(told.get(f"errorstat_{code}", {}).get("count", 0) for code in ("READONLY", "@user_script_"))
        return min(int(refused), super().met(seen))


class Busy(OneServer):
    """A script runs until it is killed."""

    pause = 0.3

    def strike(self) -> None:
        with self.outage(), busy(self.server, self.operator):
            time.sleep(0.2)


class Forbidden(_Refusing):
    """The right to run scripts is taken away for a moment."""

    word = "NOPERM"

    def __init__(self, engine: Engine, seed: int) -> None:
        super().__init__(engine, seed)
        self.operator.execute_command("ACL", "SETUSER", "tom", "reset", "on", ">pw", "~*", "&*", "+@all")
        self.url = self.url.replace("redis://", "redis://tom:pw@")

    def strike(self) -> None:
        self.operator.execute_command("ACL", "SETUSER", "tom", "-evalsha")
        time.sleep(self.seconds)
        self.operator.execute_command("ACL", "SETUSER", "tom", "+evalsha")


class Rotated(_Refusing):
    """The password is another for a moment, in which all connections end."""

    word = "password"
    args = ("--requirepass", "hunter2")

    def __init__(self, engine: Engine, seed: int) -> None:
        Fault.__init__(self, engine, seed)
        self.server = Server(engine, *self.args)
        self.url = self.direct = self.server.url.replace("redis://", "redis://:hunter2@")
        self.operator = client_of(self.server, socket_timeout=20, password="hunter2")
        self.operator.ping()

    def strike(self) -> None:
        self.operator.config_set("requirepass", "another")
        self.operator.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        time.sleep(self.seconds)
        self.operator.config_set("requirepass", "hunter2")


class Crowded(OneServer):
    """All connections end, and the server takes no new ones for a moment."""

    def strike(self) -> None:
        with self.outage(), configured(self.operator, maxclients=1):
            self.operator.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            time.sleep(0.15)

    def met(self, seen: Seen) -> int:
        return int(self.operator.info("stats")["rejected_connections"])


class Flushed(OneServer):
    """FLUSHALL."""

    pause = 0.5

    def __init__(self, engine: Engine, seed: int) -> None:
        super().__init__(engine, seed)
        self._times = 0

    def strike(self) -> None:
        self._times += self.operator.dbsize() > 0
        self.operator.flushall()

    def met(self, seen: Seen) -> int:
        return self._times


class Readdressed(BadLine):
    """The name leads to another server: its replica, promoted in order, while the old one follows it."""

    every = 0
    pause = 0.4

    def __init__(self, engine: Engine, seed: int) -> None:
        super().__init__(engine, seed)
        self._other = Server(engine, "--repl-diskless-sync-delay", "0")
        self._clients = {server: client_of(server, socket_timeout=20) for server in (self.server, self._other)}
        self._clients[self._other].replicaof("127.0.0.1", self.server.port)
        self._wait_for_step(self.server, self._other)

    def _wait_for_step(self, primary: Server, replica: Server) -> None:
        end = monotonic() + 60
        while monotonic() < end:
            there, here = (self._clients[each].info("replication") for each in (primary, replica))
            if here.get("master_link_status") == "up" and here["slave_repl_offset"] == there["master_repl_offset"]:
                return
            time.sleep(0.005)
        raise TimeoutError("the replica is not in step")

    def strike(self) -> None:
        old, new = self.server, self._other
        while self._clients[new].info("replication").get("master_link_status") != "up":
            time.sleep(0.01)
        with self.outage():
            self._clients[old].execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
            self._wait_for_step(old, new)
            self._clients[new].replicaof("NO", "ONE")
            self._clients[old].replicaof("127.0.0.1", new.port)
            self.line.lead_to("127.0.0.1", new.port)
            self._clients[old].execute_command("CLIENT", "UNPAUSE")
            if self.random.random() < 0.5:
                self.line.reset_all()
        self.server, self._other, self.direct = new, old, new.url

    def nodes(self) -> list[Any]:
        return [self._clients[self.server]]

    def met(self, seen: Seen) -> int:
        return Fault.met(self, seen)

    def close(self) -> None:
        for each in self._clients.values():
            with contextlib.suppress(redis.RedisError):
                each.close()
        self._other.stop()
        super().close()
