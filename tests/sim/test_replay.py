"""A seed replays exactly: the same trace again, in this process and in others."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest
from workloads import WORKLOADS

from coord.testing.sim import TOPOLOGIES, replay

pytestmark = pytest.mark.proof

SEEDS = range(3)


def digest() -> str:
    """Return a digest of the traces of one seed of every workload."""
    whole = hashlib.sha256()
    for workload in WORKLOADS.values():
        whole.update(repr(replay(workload, 1)).encode())
    return whole.hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_seed_replays_exactly(workload: str) -> None:
    for seed, topology in zip(SEEDS, TOPOLOGIES, strict=True):
        first = replay(WORKLOADS[workload], seed, topology=topology)
        assert len(first) > 20
        assert first == replay(WORKLOADS[workload], seed, topology=topology)


def test_seeds_differ() -> None:
    traces = {repr(replay(WORKLOADS["claims.leases"], seed)) for seed in range(5)}
    assert len(traces) == 5


@pytest.mark.slow
def test_two_processes_with_other_hash_seeds_have_the_same_traces() -> None:
    found = []
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        ran = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=True)
        found.append(ran.stdout)
    assert found[0] == found[1]
    assert len(found[0].strip()) == 64


if __name__ == "__main__":
    print(digest())  # noqa: T201  # read by the test above
