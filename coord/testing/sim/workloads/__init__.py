"""What each family of operations is put to in a simulation, and the invariants that hold whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from coord.testing.sim.workloads import barriers, claims, kv, requests, stats, versions
from coord.testing.sim.world import Sim

__all__ = ["FAMILIES"]

FAMILIES: dict[str, tuple[Callable[[Sim], Coroutine[Any, Any, None]], ...]] = {
    "claims": (claims.leases, claims.ghosts, claims.windows, claims.handovers),
    "versions": (versions.bumps,),
    "stats": (stats.pieces,),
    "barriers": (barriers.arrivals, barriers.watchers),
    "requests": (requests.pieces,),
    "kv": (kv.counts, kv.collections),
}
"""The workloads of each family."""
