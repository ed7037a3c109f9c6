"""Every family keeps its invariants in hundreds of simulated worlds."""

from __future__ import annotations

import os

import pytest
from workloads import FAMILIES, WORKLOADS

from coord.testing.sim import TOPOLOGIES, Report, simulate

SEEDS = int(os.environ.get("COORD_SIM_SEEDS", "200"))
"""For each family and topology."""

ALL = [(name, topology) for name in WORKLOADS for topology in TOPOLOGIES]


@pytest.mark.slow
@pytest.mark.parametrize(("workload", "topology"), ALL)
def test_invariants_hold(workload: str, topology: str) -> None:
    seeds = max(1, SEEDS // len(FAMILIES[workload.partition(".")[0]]))
    report = simulate(WORKLOADS[workload], seeds, topology=topology)
    assert report.seeds == seeds
    assert report.executed > seeds
    assert workload == "claims.handovers" or was_hard(report)


def was_hard(report: Report) -> bool:
    """Whether the runs met what they were to meet."""
    return sum(report.faults.values()) > report.seeds and report.lost_replies > report.seeds / 2
