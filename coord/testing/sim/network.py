"""A simulated network: connections whose bytes take time, arrive in order, and meet the faults of their run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from coord.testing.sim.faults import FaultPlan
from coord.testing.sim.loop import SimLoop
from coord.testing.sim.process import Process, current_process

__all__ = ["Network", "Server", "Session"]

Address = tuple[str, int]


class Session(Protocol):
    """One connection as its server sees it."""

    def receive(self, data: bytes) -> None:
        """Take bytes of the client."""
        ...

    def hang_up(self) -> None:
        """The client is gone."""
        ...


class Server(Protocol):
    """The server at an address."""

    process: Process

    def open(self, reply: Callable[[bytes], None], *, duplicate: bool = False) -> Session:
        """Take a connection; ``duplicate``: one on which only what may run twice is delivered, and no reply read."""
        ...


class _Socket:
    """As much of a socket as a client sets options of."""

    def setsockopt(self, *_: Any) -> None:
        """Nothing: options have no effect here."""

    def getsockopt(self, *_: Any) -> int:
        """Return 0: no error, no option."""
        return 0

    def fileno(self) -> int:
        """Return -1: there is no descriptor."""
        return -1


class Network:
    """Servers by their addresses, and the connections to them."""

    def __init__(self, loop: SimLoop, plan: FaultPlan, note: Callable[..., None]) -> None:
        self.loop = loop
        self.plan = plan
        self.note = note
        self.servers: dict[Address, Server] = {}
        self.wires: list[Wire] = []
        self.lost_replies = 0
        self._dials: dict[str, int] = {}

    async def connect(
        self, protocol_factory: Callable[[], asyncio.Protocol], host: str, port: int
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Open a connection, as ``loop.create_connection`` does."""
        process = current_process()
        number = self._dials[process.name] = self._dials.get(process.name, 0) + 1
        place = f"{process.name}#{number}"
        draw = self.plan.random(f"wire/{place}")
        drawn = self.plan.on_dial(f"dial/{place}")
        await asyncio.sleep(draw.uniform(0.0002, 0.002))
        if drawn:
            self.plan.fire(f"dial/{place}", drawn[0], self.loop.elapsed)
            self.note(place, drawn[0], host, port)
            if drawn[0] == "dial_silence":
                await asyncio.sleep(3600)
            raise ConnectionRefusedError(f"{host}:{port} refused the connection")
        server = self.servers.get((host, port))
        if server is None:
            raise ConnectionRefusedError(f"nothing listens at {host}:{port}")
        self.note(place, "connect", host, port)
        wire = Wire(self, place, process, server, draw)
        self.wires.append(wire)
        protocol = protocol_factory()
        transport = wire.attach(protocol)
        protocol.connection_made(transport)
        return transport, protocol

    def reset_all(self, server: Server) -> None:
        """Reset every connection of a server."""
        for wire in list(self.wires):
            if wire.server is server:
                wire.reset(0.0)

    def drop_process(self, process: Process) -> None:
        """Hang up what a dead process had open."""
        for wire in list(self.wires):
            if wire.process is process:
                wire.client_closed()


class Wire:
    """One connection: two directions, each in order, and its faults."""

    def __init__(self, network: Network, place: str, process: Process, server: Server, draw: Random) -> None:
        self.network = network
        self.place = place
        self.process = process
        self.server = server
        self._loop = network.loop
        self._draw = draw
        self._latency = draw.choice((0.0001, 0.0003, 0.001, 0.005))
        self._writes = 0
        self._up_at = self._down_at = 0.0
        self._deaf = self._mute = False
        self._passing: int | None = None
        self._transport: SimTransport
        self._session = server.open(self._reply)

    def attach(self, protocol: asyncio.Protocol) -> SimTransport:
        """Return the client's end."""
        self._transport = SimTransport(self, protocol)
        return self._transport

    # --- from the client -------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes of the client, or have them meet a fault."""
        if self._deaf:
            return
        self._writes += 1
        place = f"write/{self.place}.{self._writes}"
        drawn = self.network.plan.on_write(place)
        if drawn is None:
            self._up(data)
            return
        kind, draw = drawn
        self.network.plan.fire(place, kind, self._loop.elapsed)
        self.network.note(self.place, kind, len(data))
        self._strike(kind, draw, data)

    def _strike(self, kind: str, draw: Random, data: bytes) -> None:
        if kind == "slow":
            self._up_at = max(self._up_at, self._loop.now) + draw.uniform(0.02, 3.0)
            self._up(data)
            if draw.random() < 0.5:
                self._down_at = self._up_at + draw.uniform(0.02, 2.0)
            return
        self._deaf = True
        if kind == "reset_before":
            self.reset(draw.uniform(0.0, 0.01))
        elif kind == "request_late":
            # The bytes are in some buffer on the way when the client gives the connection up.
            self._mute = True
            self._up_at = self._loop.now + draw.choice((0.02, 0.2, 1.0, 4.0)) * draw.uniform(0.5, 2.0)
            self._up(data)
            self._give_up(draw)
        elif kind == "silence":
            if draw.random() < 0.5:
                self._up(data)
            self._mute = True
            self.network.lost_replies += 1
        else:
            self._cut(kind, draw, data)

    def _cut(self, kind: str, draw: Random, data: bytes) -> None:
        """Deliver all or some of the bytes, lose all or some of the replies, and break the connection."""
        if kind == "reset_halfway":
            data = data[: draw.randrange(1, len(data))] if len(data) > 1 else data
            self._mute = draw.random() < 0.5
        elif kind == "reset_after":
            self._passing = draw.randrange(0, 40)
        else:
            self._mute = True
        self._up(data)
        if kind == "duplicate":
            self._again(draw, data)
        self.reset(self._up_at - self._loop.now + draw.uniform(0.0005, 0.02))
        self.network.lost_replies += self._mute

    def _give_up(self, draw: Random) -> None:
        """The client notices by a reset, or by its own timeout."""
        self.network.lost_replies += 1
        if draw.random() < 0.6:
            context = self.process.context
            self._loop.call_later(
                draw.uniform(0.0, 0.02), self._transport.lose, ConnectionResetError("reset"), context=context
            )

    def _again(self, draw: Random, data: bytes) -> None:
        """Deliver the bytes once more on another connection, as a proxy does that repeats what was not answered."""
        later = self._up_at + draw.choice((0.001, 0.05, 0.5, 3.0)) * draw.uniform(0.5, 2.0)
        context = self.server.process.context

        def deliver() -> None:
            self.server.open(_unheard, duplicate=True).receive(data)

        self._loop.call_at(later, deliver, context=context)

    def _up(self, data: bytes) -> None:
        self._up_at = max(self._up_at, self._loop.now + self._latency * self._draw.uniform(0.5, 2.0))
        self._loop.call_at(self._up_at, self._session.receive, data, context=self.server.process.context)

    def client_closed(self) -> None:
        """The client closed the connection; the server sees that after it has read the bytes sent before."""
        self._deaf = self._mute = True
        self._forget()
        later = max(self._up_at, self._loop.now + self._latency)
        self._loop.call_at(later, self._session.hang_up, context=self.server.process.context)

    # --- from the server -------------------------------------------------------------------------

    def _reply(self, data: bytes) -> None:
        if self._mute:
            return
        if self._passing is not None:
            data, self._passing = data[: self._passing], max(0, self._passing - len(data))
            if not data:
                return
        self._down_at = max(self._down_at, self._loop.now + self._latency * self._draw.uniform(0.5, 2.0))
        self._loop.call_at(self._down_at, self._transport.deliver, data, context=self.process.context)

    def reset(self, seconds: float) -> None:
        """Break the connection for both sides."""
        self._deaf = True
        self._forget()
        when = max(self._down_at, self._loop.now + max(0.0, seconds))
        self._loop.call_at(
            when, self._transport.lose, ConnectionResetError("connection reset by peer"), context=self.process.context
        )
        self._loop.call_at(max(when, self._up_at), self._session.hang_up, context=self.server.process.context)

    def close_from_server(self) -> None:
        """The server hung up."""
        self._deaf = True
        self._forget()
        self._loop.call_at(max(self._down_at, self._loop.now), self._transport.lose, None, context=self.process.context)

    def _forget(self) -> None:
        if self in self.network.wires:
            self.network.wires.remove(self)


def _unheard(_: bytes) -> None:
    """Drop a reply that nobody reads."""


class SimTransport(asyncio.Transport):
    """The client's end of a connection."""

    def __init__(self, wire: Wire, protocol: asyncio.Protocol) -> None:
        super().__init__({"socket": _Socket(), "peername": ("simulated", 0)})
        self._wire = wire
        self._protocol: Any = protocol
        self._closing = self._lost = False
        self._held: list[bytes] | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes."""
        if not self._closing and data:
            self._wire.write(bytes(data))

    def deliver(self, data: bytes) -> None:
        """Hand bytes of the server to the protocol."""
        if self._lost or self._closing:
            return
        if self._held is not None:
            self._held.append(data)
        else:
            self._protocol.data_received(data)

    def lose(self, error: Exception | None) -> None:
        """Call ``connection_lost`` of the protocol, once."""
        if self._lost:
            return
        self._lost = self._closing = True
        self._protocol.connection_lost(error)

    def close(self) -> None:
        """Hang up."""
        if self._closing:
            return
        self._closing = True
        self._wire.client_closed()
        self._wire.network.loop.call_soon(self.lose, None)

    def abort(self) -> None:
        """Hang up at once."""
        self.close()

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._closing

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return who is given the bytes."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Change who is given the bytes."""
        self._protocol = protocol

    def pause_reading(self) -> None:
        """Hold back what arrives."""
        self._held = [] if self._held is None else self._held

    def resume_reading(self) -> None:
        """Hand over what was held back."""
        held, self._held = self._held or [], None
        for data in held:
            self.deliver(data)

    def is_reading(self) -> bool:
        """Whether what arrives is handed over at once."""
        return self._held is None

    def get_write_buffer_size(self) -> int:
        """Return 0: what is written is on its way."""
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing: no write waits."""

    def can_write_eof(self) -> bool:
        """Return False, as for TLS."""
        return False
