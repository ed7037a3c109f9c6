"""How tests are handed to the processes of pytest-xdist: what takes longest first, and what shares a server together.

``conftest.py`` imports the hooks below, and so pytest finds them.
"""

from __future__ import annotations

from typing import Any

import pytest
from backends import found
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # has no types

SLOWEST = (
    "test_storm",
    "test_cluster",
    "test_cluster_changes",
    "test_cluster_connecting",
    "test_agreement",
    "test_tls",
    "test_hold_loss",
    "test_hold_renewal",
    "test_hold_interrupted",
    "test_benchmarks",
    "test_crashes",
    "test_lost_replies",
    "test_scenario",
    "test_barrier_waits",
    "test_barrier_watches",
    "test_sentinel",
)
"""The files that take longest, in that order."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first, so that no process is left alone with one of them at the end."""
    rank = {name: number for number, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


class ByFileAndEngine(LoadScopeScheduling):
    """Run the tests of one file on one engine in one process: they share a server. Those of a cluster share it too."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        if "tests/cluster/" in file:
            file = "tests/cluster"
        parameters = f"-{test.partition('[')[2].rstrip(']')}-"
        engine = next((name for name in ("memory", "fakeredis", *found()) if f"-{name}-" in parameters), "")
        return f"{file} {engine}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Use it, whatever ``--dist`` says: the groups of ``--dist loadgroup`` are lost with pytest 9.2."""
    return ByFileAndEngine(config, log)
