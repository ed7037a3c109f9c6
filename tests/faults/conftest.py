"""Fixtures: private servers, a bad line to one of them, and the two modes in which each test is run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from backends import Backend, Line
from machines import ENGINES, chosen, client_of, start

from coord.testing.clock import Clock
from coord.testing.leaks import nothing_left_behind
from coord.testing.proxy import LossyProxy
from coord.testing.servers import Server


@pytest.fixture(scope="session")
def machines() -> Iterator[dict[str, Server]]:
    """A server of each engine, started when it is asked for, for the whole run."""
    running: dict[str, Server] = {}
    yield running
    for server in running.values():
        server.stop()


@pytest.fixture(params=ENGINES)
def any_server(request: pytest.FixtureRequest, machines: dict[str, Server]) -> Iterator[Server]:
    """Each engine in turn, empty."""
    yield from _emptied(machines, request.param)


@pytest.fixture
def one_server(machines: dict[str, Server]) -> Iterator[Server]:
    """One engine, empty: for what depends on the line and not on the server."""
    yield from _emptied(machines, chosen())


def _emptied(machines: dict[str, Server], name: str) -> Iterator[Server]:
    if name not in machines:
        machines[name] = start(name)
    with client_of(machines[name]) as client:
        client.flushall()
        client.script_flush()
        yield machines[name]


@pytest.fixture
def line(one_server: Server) -> Iterator[LossyProxy]:
    """A line to ``one_server`` that is good until a test makes it bad."""
    with LossyProxy("127.0.0.1", one_server.port) as proxy:
        yield proxy


@pytest.fixture
def look(one_server: Server) -> Iterator[Any]:
    """A plain client of ``one_server``."""
    with client_of(one_server) as client:
        yield client


@pytest.fixture(params=[False, True], ids=["blocking", "awaited"])
def mode(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """One of the two modes; ``mode.dial(url, ...)`` connects, and an awaited coordinator is used as if it blocked."""
    backend = Backend(Line("faults", request.param), None, Clock())
    yield backend
    backend.close()


@pytest.fixture(autouse=True)
def nothing_left(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No thread, no socket, and nothing logged as an error is left behind by any of these tests."""
    with nothing_left_behind():
        yield
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
