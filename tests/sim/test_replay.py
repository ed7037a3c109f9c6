"""A seed replays exactly: the same trace again, in this process and in others."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest

from coord.testing.sim import replay
from coord.testing.sim.workloads import FAMILIES

SEEDS = range(3)
ALL = [(family, number) for family, workloads in FAMILIES.items() for number in range(len(workloads))]


def digest() -> str:
    """Return a digest of the traces of some seeds of every workload."""
    whole = hashlib.sha256()
    for family, number in ALL:
        for seed in SEEDS:
            whole.update(repr(replay(FAMILIES[family][number], seed)).encode())
    return whole.hexdigest()


@pytest.mark.parametrize(("family", "number"), ALL)
def test_a_seed_replays_exactly(family: str, number: int) -> None:
    for seed in SEEDS:
        first = replay(FAMILIES[family][number], seed)
        assert len(first) > 20
        assert first == replay(FAMILIES[family][number], seed)


def test_seeds_differ() -> None:
    traces = {repr(replay(FAMILIES["claims"][0], seed)) for seed in range(10)}
    assert len(traces) == 10


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
