"""The topologies by name."""

from __future__ import annotations

from collections.abc import Callable

from coord.testing.sim.cluster import Cluster
from coord.testing.sim.sentinel import SentinelService
from coord.testing.sim.topology import Standalone, Topology

__all__ = ["TOPOLOGIES"]

TOPOLOGIES: dict[str, Callable[..., Topology]] = {
    "standalone": Standalone,
    "sentinel": SentinelService,
    "cluster": Cluster,
}
"""A topology is made of a loop, a network, a plan of faults, what notes events, and scripts."""
