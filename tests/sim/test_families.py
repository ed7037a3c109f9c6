"""Every family keeps its invariants in hundreds of simulated worlds, and every script is run there."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from workloads import FAMILIES, WORKLOADS

from coord.script import all_scripts
from coord.testing.sim import TOPOLOGIES, Report, simulate

pytestmark = pytest.mark.proof

SEEDS = int(os.environ.get("COORD_SIM_SEEDS", "50"))
"""For each family and topology."""

CALM = ("claims.handovers", "groups.presence", "groups.takeovers", "semaphores.handovers")
"""The workloads that turn all faults off: they are about time."""

ALL = [(name, topology) for name in WORKLOADS for topology in TOPOLOGIES]


@pytest.mark.slow
@pytest.mark.parametrize(("workload", "topology"), ALL)
def test_invariants_hold(workload: str, topology: str) -> None:
    seeds = max(1, SEEDS // len(FAMILIES[workload.partition(".")[0]]))
    report = simulate(WORKLOADS[workload], seeds, topology=topology)
    assert report.seeds == seeds
    assert report.executed > seeds
    assert workload in CALM or was_hard(report)


def was_hard(report: Report) -> bool:
    """Whether the runs met what they were to meet."""
    return sum(report.faults.values()) > report.seeds and report.lost_replies > report.seeds / 2


def test_every_script_is_run_by_some_workload() -> None:
    ran: Counter[str] = Counter()
    for workload in WORKLOADS.values():
        ran += simulate(workload, 4, shrink=False).scripts
    never = sorted({script.name for script in all_scripts()} - set(ran))
    assert not never, f"no workload of tests/sim/workloads runs {', '.join(never)}"
