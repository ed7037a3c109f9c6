"""Three nodes that share the slots, and move them while they serve."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

from coord.errors import ReplyError
from coord.redis.topology import slot
from coord.testing.copies import capture, put
from coord.testing.sim.faults import SERVER
from coord.testing.sim.server import SimServer, SimSession
from coord.testing.sim.topology import Topology, strike

__all__ = ["Cluster"]

_SLOTS = 16_384
_NODES = 3


class _Node(SimServer):
    """One node: it has some slots, sends some away, and receives some."""

    cluster: Cluster

    def redirect(self, session: SimSession, keys: list[str]) -> ReplyError | None:
        """Say where the keys are, if they are not here."""
        if not keys:
            return None
        slots = {slot(key) for key in keys}
        if len(slots) > 1:
            return ReplyError("CROSSSLOT Keys in request don't hash to the same slot")
        (number,) = slots
        owner, target = self.cluster.owner(number), self.cluster.moving.get(number)
        if owner is self:
            return self._leaving(keys, number, target) if target else None
        if target is self and session.asking:
            missing = self._missing(keys)
            return (
                ReplyError("TRYAGAIN Multiple keys request during rehashing of slot")
                if 0 < missing < len(keys)
                else None
            )
        return ReplyError(f"MOVED {number} {owner.address[0]}:{owner.address[1]}")

    def _leaving(self, keys: list[str], number: int, target: SimServer) -> ReplyError | None:
        missing = self._missing(keys)
        if missing == 0:
            return None
        if missing < len(keys):
            return ReplyError("TRYAGAIN Multiple keys request during rehashing of slot")
        return ReplyError(f"ASK {number} {target.address[0]}:{target.address[1]}")

    def _missing(self, keys: list[str]) -> int:
        held = self.space.dump()
        return sum(key not in held for key in keys)

    def publish(self, channel: str, message: str) -> int:
        """Send a message of a sharded channel to this node's subscribers, of a plain one to those of all nodes."""
        told = [session for node in self.cluster.servers for session in node.sessions if session.hears(channel)]
        told = [session for session in told if session in self.sessions or not session.hears_sharded(channel)]
        for session in told:
            session.push(channel, message)
        return len(told)

    def special(self, words: list[str]) -> Any:
        """CLUSTER SLOTS."""
        if [word.upper() for word in words[:2]] == ["CLUSTER", "SLOTS"]:
            return self.cluster.slots()
        return super().special(words)


class Cluster(Topology):
    """Primaries only: what a client of a cluster meets when slots move."""

    kinds = (*SERVER, "move_slots", "move_slots", "move_slots")

    def build(self) -> str:
        """Make the nodes and share the slots out."""
        for number in range(_NODES):
            node = _Node(self.loop, f"node-{number}", (f"node-{number}", 6379), self.note, self.scripts)
            node.cluster = self
            self.servers.append(node)
            self.network.servers[node.address] = node
        self._moved: dict[int, SimServer] = {}
        self.moving: dict[int, SimServer] = {}
        return "redis+cluster://" + ",".join(f"node-{number}:6379" for number in range(_NODES))

    def owner(self, number: int) -> SimServer:
        """Return the node that has a slot."""
        return self._moved.get(number) or self.servers[number * _NODES // _SLOTS]

    def slots(self) -> list[Any]:
        """Return the reply to CLUSTER SLOTS."""
        edges = sorted({0, _SLOTS, *(-(-_SLOTS * n // _NODES) for n in range(1, _NODES))} | self._edges())
        return [
            [first, last - 1, [self.owner(first).address[0], self.owner(first).address[1], f"id-{first}"]]
            for first, last in pairwise(edges)
        ]

    def _edges(self) -> set[int]:
        return {edge for number in self._moved for edge in (number, number + 1)}

    def happen(self, kind: str, draw: Random) -> None:
        """Apply an event to one node, or move the slots of some keys from one node to others."""
        if kind != "move_slots":
            strike(self, draw.choice(self.servers), kind, draw)
            return
        source = draw.choice(self.servers)
        used = sorted({slot(key) for key in source.space.dump()} - set(self.moving))
        for number in [each for each in used if self.owner(each) is source][:3]:
            target = draw.choice([server for server in self.servers if server is not source])
            self.note(source.name, "migrating", number, target.name)
            self.moving[number] = target
            self.loop.call_later(
                draw.uniform(0.0, 0.3), self._move_one, number, source, target, draw, context=source.process.context
            )

    def _move_one(self, number: int, source: SimServer, target: SimServer, draw: Random) -> None:
        """Move one key of a slot; with the last one gone, the slot has moved."""
        left = [key for key in sorted(source.space.dump()) if slot(key) == number]
        if left:
            copies = capture(source.space, left[:1])
            put(target.space, copies)
            put(source.space, dict.fromkeys(left[:1]))
            self.loop.call_later(
                draw.uniform(0.0, 0.1), self._move_one, number, source, target, draw, context=source.process.context
            )
            return
        del self.moving[number]
        self._moved[number] = target
        self.note(source.name, "migrated", number, target.name)
        for session in source.sessions:
            session.drop_channels(lambda channel: slot(channel) == number)
