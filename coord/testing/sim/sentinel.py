"""Two servers, one a copy of the other that lags behind, and three sentinels that say which is the primary."""

from __future__ import annotations

from random import Random
from typing import Any

from coord.errors import ReplyError
from coord.testing.copies import Copied, capture, put
from coord.testing.sim.faults import SERVER
from coord.testing.sim.server import SimServer, SimSession
from coord.testing.sim.topology import Topology, strike

__all__ = ["SentinelService"]

_SERVICE = "main"
_MOST_LAG = 0.3
"""Seconds by which the copy is behind at most."""


class _Node(SimServer):
    """A server that keeps what its copy has not got yet: when it was written, and what the keys hold since."""

    service: SentinelService
    backlog: list[tuple[float, dict[str, Copied | None]]]

    def written(self, keys: list[str]) -> None:
        """Keep what a script wrote; writes to the former primary are lost."""
        if self.service.primary is self:
            self.backlog.append((self.loop.now, capture(self.space, keys)))
        else:
            self.service.lost_writes = True


class _Sentinel(SimServer):
    """One sentinel: it answers what the service thinks."""

    service: SentinelService

    def evalsha(self, session: SimSession, words: list[str]) -> Any:
        """Refuse: a sentinel runs no scripts."""
        return ReplyError("ERR unknown command 'EVALSHA'")

    def special(self, words: list[str]) -> Any:
        """SENTINEL MASTERS and GET-MASTER-ADDR-BY-NAME."""
        host, port = self.service.told.address
        match [word.upper() for word in words[:2]]:
            case ["SENTINEL", "GET-MASTER-ADDR-BY-NAME"]:
                return [host, str(port)] if words[2] == _SERVICE else None
            case ["SENTINEL", "MASTERS"]:
                return [
                    {"name": _SERVICE, "ip": host, "port": str(port), "flags": "master", "num-other-sentinels": "2"}
                ]
            case _:
                return super().special(words)


class SentinelService(Topology):
    """A primary, its copy, and sentinels."""

    kinds = (*SERVER, "failover", "failover")
    may_lose_writes = True

    def build(self) -> str:
        """Make the servers and the sentinels."""
        for name in ("first", "second"):
            node = _Node(self.loop, name, (name, 6379), self.note, self.scripts)
            node.service, node.backlog = self, []
            self.servers.append(node)
            self.network.servers[node.address] = node
        self.primary, self._copy = self.servers
        self._copy.readonly = True
        self.told = self.primary
        self._over = self.loop.now
        for number in range(3):
            sentinel = _Sentinel(self.loop, f"sentinel-{number}", (f"sentinel-{number}", 26379), self.note)
            sentinel.service = self
            self.network.servers[sentinel.address] = sentinel
        hosts = ",".join(f"sentinel-{number}:26379" for number in range(3))
        return f"redis+sentinel://{hosts}/{_SERVICE}/0"

    def happen(self, kind: str, draw: Random) -> None:
        """Apply an event to the primary, or let the copy take over."""
        if kind == "failover":
            self._fail_over(draw)
        else:
            strike(self, self.primary, kind, draw)

    def _fail_over(self, draw: Random) -> None:
        """Have the copy take over, with what has reached it; the primary of before goes on for a while, or is gone."""
        if self.loop.now < self._over:
            return
        old, new = self.primary, self._copy
        assert isinstance(old, _Node)
        lag = draw.uniform(0, _MOST_LAG)
        self._replicate(old, new, lag)
        crashed = draw.random() < 0.5
        # Writes that the old one takes from now on are also lost.
        alone = 0.0 if crashed else draw.uniform(0.0, 2.0)
        noticed = draw.uniform(0.2, 2.0)
        self._over = self.loop.now + alone + noticed + 5.0
        self.note(old.name, "failover", new.name, round(lag, 3), round(alone, 3))
        context = new.process.context
        self.primary, self._copy = new, old
        if crashed:
            self.network.servers.pop(old.address)
            self.network.reset_all(old)
            self.loop.call_later(1.0, self.network.servers.__setitem__, old.address, old, context=context)
            old.readonly = True
        self.loop.call_later(alone, self._demote, old, new, context=context)
        self.loop.call_later(noticed, self._promote, new, context=context)

    def _replicate(self, old: _Node, new: SimServer, lag: float) -> None:
        reached = self.loop.now - lag
        for when, copies in old.backlog:
            if when <= reached:
                put(new.space, copies)
            else:
                self.lost_writes = True
        old.backlog = []

    def _promote(self, new: SimServer) -> None:
        new.readonly = False
        new.flush_scripts()
        self.told = new

    def _demote(self, old: SimServer, new: SimServer) -> None:
        """The old primary becomes a copy: it takes over what the new one has."""
        old.readonly = True
        old.space.flush()
        put(old.space, capture(new.space, new.space.dump()))
