"""How tests are handed to the processes of pytest-xdist: what takes longest first, and what shares a server together.

``conftest.py`` imports the hooks below, and so pytest finds them.
"""

from __future__ import annotations

from typing import Any

import pytest
from backends import found
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # has no types

SLOWEST = (
    "test_benchmarks",
    "tests/sim/",
    "test_agreement",
    "test_bounded_waits",
    "test_lost_replies",
    "test_storm",
    "test_histories",
    "tests/cluster/",
    "test_tls",
    "test_crashes",
    "tests/faults/",
    "test_own_operation",
    "test_script_",
    "test_testing_plugin",
    "test_scenario",
    "test_hold",
    "test_barrier_wa",
    "test_sentinel",
    "test_ls",
    "test_watch",
)
"""What is in the paths of the tests that take longest, in that order."""

ALONE = (
    "tests/sim/",
    "tests/test_agreement",
    "tests/test_script_",
    "tests/test_testing_plugin",
)
"""Tests that share nothing: any process may take the next."""


TOGETHER = ("tests/cluster/", "tests/structure/")
"""Folders whose tests share what takes long to make."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first, so that no process is left alone with one of them at the end."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    return next((number for number, part in enumerate(SLOWEST) if part in item.nodeid), len(SLOWEST))


class ByFileAndEngine(LoadScopeScheduling):
    """Run the tests of one file on one engine in one process: they share a server."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(ALONE):
            return nodeid
        file, _, test = nodeid.partition("::")
        file = next((folder for folder in TOGETHER if file.startswith(folder)), file)
        parameters = f"-{test.partition('[')[2].rstrip(']')}-"
        engine = next((name for name in ("memory", "fakeredis", *found()) if f"-{name}-" in parameters), "")
        return f"{file} {engine}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Use it, whatever ``--dist`` says: the groups of ``--dist loadgroup`` are lost with pytest 9.2."""
    return ByFileAndEngine(config, log)
