"""Fixtures for tests of clusters: one for each engine, and a coordinator at it in both modes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from backends import Backend, Line, found
from clusters import ClusterPlace
from live import servers

from coord.testing.clock import Clock
from coord.testing.leaks import assert_no_leaks, nothing_left_behind
from coord.testing.topologies import Cluster, wait_until


@pytest.fixture(scope="session", params=servers())
def running(request: pytest.FixtureRequest) -> Iterator[ClusterPlace]:
    """Three primaries, each with a replica."""
    with Cluster(found()[request.param], node_timeout=5000) as cluster:
        yield ClusterPlace(cluster)


@pytest.fixture
def place(running: ClusterPlace) -> Iterator[ClusterPlace]:
    """The cluster without keys; it is well again before the next test."""
    running.flush()
    yield running
    running.heal()


@pytest.fixture(params=[False, True], ids=["blocking", "awaited"])
def mode(request: pytest.FixtureRequest, place: ClusterPlace) -> Iterator[Backend]:
    """The cluster in one of the two modes; whatever a test opens there has to be gone after it."""
    with nothing_left_behind():
        mode = Backend(Line(place.cluster.engine.name, request.param), place, Clock())
        yield mode
        mode.close()
    # Nodes learn one after the other who took the place of one that is down.
    wait_until(lambda: not set(place.primaries()) & set(place.dead), "no node that is down is a primary", 90)
    for server in place.primaries():
        assert_no_leaks(place.at(server))


@pytest.fixture
def c(mode: Backend) -> Any:
    """A coordinator at the cluster; an awaited one is used as if it blocked."""
    return mode.connect()
