"""Servers as they stand together: alone, behind Sentinel, or as a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from coord.script import Script
from coord.testing.sim.faults import SERVER, FaultPlan
from coord.testing.sim.loop import SimLoop
from coord.testing.sim.network import Network
from coord.testing.sim.server import SimServer

__all__ = ["Standalone", "Topology", "strike"]


class Topology:
    """Servers, where clients connect, and the events that can happen to them."""

    kinds: tuple[str, ...] = SERVER
    may_lose_writes = False
    lost_writes = False
    """Whether a copy took over that lacked something."""

    def __init__(
        self,
        loop: SimLoop,
        network: Network,
        plan: FaultPlan,
        note: Callable[..., None],
        scripts: Sequence[Script] = (),
    ) -> None:
        self.loop = loop
        self.network = network
        self.plan = plan
        self.note = note
        self.scripts = scripts
        self.servers: list[SimServer] = []
        self.url = self.build()

    def build(self) -> str:
        """Make the servers, and return the URL of all of them."""
        raise NotImplementedError

    def happen(self, kind: str, draw: Random) -> None:
        """Apply an event to one of the servers."""
        strike(self, draw.choice(self.servers), kind, draw)


class Standalone(Topology):
    """One server."""

    def build(self) -> str:
        """Make the server."""
        server = SimServer(self.loop, "server", ("sim", 6379), self.note, self.scripts)
        self.servers.append(server)
        self.network.servers[server.address] = server
        return "redis://sim:6379/0"


def strike(topology: Topology, server: SimServer, kind: str, draw: Random) -> None:
    """Apply an event to one server."""
    loop, now = topology.loop, topology.loop.now
    seconds = draw.choice((0.05, 0.3, 1.0, 4.0)) * draw.uniform(0.5, 1.5)
    topology.note(server.name, kind, round(seconds, 3))
    match kind:
        case "script_flush":
            server.flush_scripts()
        case "server_pause":
            loop.freeze(server.process, seconds)
        case "clock_back":
            # Less than any TTL of the workloads: a longer step can let a key that has gone come before a fence it had.
            server.offset_us -= int(min(seconds, 0.5) * 1_000_000)
        case "clock_forward":
            server.offset_us += int(seconds * 1_000_000)
        case "busy":
            server.busy_until = max(server.busy_until, now + min(seconds, 2.0))
        case "loading":
            server.loading_until = max(server.loading_until, now + min(seconds, 2.0))
        case "connections_reset":
            topology.network.reset_all(server)
        case _:
            raise ValueError(f"no server has a fault {kind!r}")
