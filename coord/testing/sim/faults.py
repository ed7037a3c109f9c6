"""Which faults a run meets: drawn from its seed, each under a name, so that a failing run can leave some out.

A draw depends on the seed and on where the fault would strike, and on no draw before it. Leaving a fault out therefore
leaves the others where they are, as far as the run comes by there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from random import Random

__all__ = ["ALL", "CLIENT", "DIAL", "SERVER", "TOPOLOGY", "WIRE", "FaultPlan", "Faults", "Fired"]

WIRE = (
    "reply_lost",
    "request_late",
    "duplicate",
    "reset_before",
    "reset_halfway",
    "reset_after",
    "silence",
    "slow",
)
"""Faults of one write on a connection."""

DIAL = ("refused", "dial_silence")
"""Faults of an attempt to connect."""

SERVER = ("script_flush", "server_pause", "clock_back", "clock_forward", "busy", "loading", "connections_reset")
"""Faults of a server."""

TOPOLOGY = ("failover", "move_slots")
"""Faults of servers in a Sentinel service or a cluster."""

CLIENT = ("client_pause", "client_dies", "cancel")
"""Faults of a client."""

ALL = frozenset((*WIRE, *DIAL, *SERVER, *TOPOLOGY, *CLIENT))


@dataclass(frozen=True, slots=True)
class Faults:
    """Which faults may strike, and how often.

    ``kinds``: those that may; each run draws a part of them, so that some runs meet few kinds, often.
    ``write``, ``dial``, ``cancel``: the chance of a fault for one write, one connection, one operation.
    ``events``: how many events of servers and clients are drawn, within ``horizon`` virtual seconds.
    """

    kinds: frozenset[str] = ALL
    write: float = 0.05
    dial: float = 0.03
    cancel: float = 0.08
    events: int = 4
    horizon: float = 6.0

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.kinds) - ALL):
            raise ValueError(f"there is no fault {unknown[0]!r}: there are {', '.join(sorted(ALL))}")

    @classmethod
    def none(cls) -> Faults:
        """Return no faults at all: only the order of events is drawn."""
        return cls(frozenset())

    @classmethod
    def only(cls, *kinds: str) -> Faults:
        """Return these faults alone."""
        return cls(frozenset(kinds))

    def without(self, *kinds: str) -> Faults:
        """Return the same faults, less some."""
        return Faults(self.kinds - set(kinds), self.write, self.dial, self.cancel, self.events, self.horizon)


@dataclass(frozen=True, slots=True)
class Fired:
    """A fault that struck: where it was drawn, and what it did."""

    place: str
    kind: str
    at: float


class FaultPlan:
    """The faults of one run, at all places or at those of ``only``; none while ``calm`` is set."""

    def __init__(self, seed: int, faults: Faults, only: frozenset[str] | None = None) -> None:
        self._seed = seed
        self._faults = faults
        self._only = only
        self.fired: list[Fired] = []
        self.calm = False
        draw = self.random("swarm")
        self.kinds = frozenset(kind for kind in sorted(faults.kinds) if draw.random() < 0.5) or faults.kinds
        if draw.random() < 0.2:
            self.kinds = faults.kinds
        self._more = draw.choice((0.3, 1.0, 1.0, 3.0))

    def random(self, place: str) -> Random:
        """Return what draws at one place, in the same way whatever was drawn elsewhere."""
        return Random(self._hash(place))

    def _hash(self, place: str) -> int:
        return int.from_bytes(blake2b(f"{self._seed}/{place}".encode(), digest_size=8).digest())

    def draw(self, place: str, chance: float, kinds: Iterable[str]) -> tuple[str, Random] | None:
        """Return the kind of fault that strikes here, and what draws its details; None when none does."""
        if self.calm or (self._only is not None and place not in self._only):
            return None
        if self._hash(place) >= chance * self._more * 2**64:
            return None
        enabled = [kind for kind in kinds if kind in self.kinds]
        if not enabled:
            return None
        draw = self.random(f"{place}/kind")
        return draw.choice(enabled), draw

    def on_write(self, place: str) -> tuple[str, Random] | None:
        """Draw the fault of one write."""
        return self.draw(place, self._faults.write, WIRE)

    def on_dial(self, place: str) -> tuple[str, Random] | None:
        """Draw the fault of an attempt to connect."""
        return self.draw(place, self._faults.dial, DIAL)

    def on_operation(self, place: str) -> Random | None:
        """Draw whether an operation is cancelled."""
        drawn = self.draw(place, self._faults.cancel, ("cancel",))
        return drawn[1] if drawn else None

    def events(self, kinds: Iterable[str]) -> list[tuple[float, str, str, Random]]:
        """Return the events of a run: when, where they were drawn, their kind, and what draws their details."""
        kinds = list(kinds)
        found: list[tuple[float, str, str, Random]] = []
        for number in range(self._faults.events):
            place = f"event/{number}"
            drawn = self.draw(place, 0.7, kinds)
            if drawn:
                kind, draw = drawn
                found.append((draw.random() ** 2 * self._faults.horizon, place, kind, draw))
        return sorted(found, key=lambda event: event[:2])

    def fire(self, place: str, kind: str, at: float) -> None:
        """Note that a fault struck."""
        self.fired.append(Fired(place, kind, at))
