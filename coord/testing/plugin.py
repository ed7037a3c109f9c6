"""A pytest plugin with coordinators for the tests of a service.

It is opt-in, by a line in ``conftest.py``: ``pytest_plugins = ["coord.testing.plugin"]``.

``coord_memory``   a coordinator on ``memory://``, with a keyspace of its own
``coord_server``   a coordinator on a real server, which is empty when a test begins
``coord_cluster``  a coordinator on a real cluster of three primaries, which is empty when a test begins
``coord_any``      ``coord_memory`` and ``coord_server`` on each server program that is installed, one after the other
``coord_url``      the URL that ``coord_any`` uses, for code that connects by itself and for ``connect_async``

Servers listen on the loopback on free ports, keep nothing, start once in a run, when a test first asks for them, and
end with it. ``--coord-engines=memory,redis-8.2`` limits ``coord_any`` and chooses the program of the other fixtures.
A program that is missing fails the test; it is not skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from itertools import count
from typing import Any

import pytest

from coord.connecting import connect
from coord.coordinator import Coordinator
from coord.testing.servers import Engine, Server, engines
from coord.testing.topologies import Cluster, client

__all__: list[str] = []

_MEMORY = "memory"
_INSTALL = "install coord[servers], or put a redis-server on PATH"
# The suite's failures show the values that were compared.
pytest.register_assert_rewrite("coord.testing.contract")
_numbers = count(1)
_found = cache(engines)


class _Servers:
    """The servers of a run, started when a test first asks for them."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._urls: dict[tuple[str, type], tuple[str, list[Server]]] = {}

    def url(self, engine: Engine, kind: type[Server | Cluster]) -> str:
        """Return the URL of an empty server, or cluster, of that program."""
        place = engine.name, kind
        if place not in self._urls:
            started = Cluster(engine) if kind is Cluster else Server(engine)
            self._stack.enter_context(started)
            nodes = started.primaries if isinstance(started, Cluster) else [started]
            self._urls[place] = started.url, nodes
        url, nodes = self._urls[place]
        for node in nodes:
            with client(node) as plain:
                plain.flushall()
        return url


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that chooses backends."""
    parser.getgroup("coord").addoption(
        "--coord-engines",
        metavar="NAMES",
        help="what coord_any runs on, separated by commas: memory, redis-6.2, redis-8.2, valkey-9.1, path "
        "(default: memory and every program that is installed)",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests that use ``coord_any`` or ``coord_url`` once on each backend."""
    if "coord_url" in metafunc.fixturenames:
        metafunc.parametrize("coord_url", _chosen(metafunc.config), indirect=True)


def _chosen(config: pytest.Config) -> list[str]:
    chosen = config.getoption("coord_engines")
    names = [each.strip() for each in chosen.split(",")] if chosen else [_MEMORY, *_found()]
    if unknown := [name for name in names if name != _MEMORY and name not in _found()]:
        there = ", ".join([_MEMORY, *_found()])
        raise pytest.UsageError(f"--coord-engines: {', '.join(unknown)} is not installed; there are {there}")
    return names


def _engine(config: pytest.Config) -> Engine:
    for name in reversed(_chosen(config)):
        if name != _MEMORY:
            return _found()[name]
    return pytest.fail(f"no server program was found: {_INSTALL}", pytrace=False)


def _connected(url: str) -> Iterator[Coordinator]:
    with connect(url) as c:
        yield c


def _memory_url() -> str:
    return f"memory://coord-test-{next(_numbers)}"


@pytest.fixture(scope="session")
def _coord_servers() -> Iterator[_Servers]:
    with ExitStack() as stack:
        yield _Servers(stack)


@pytest.fixture
def coord_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty backend: ``memory://``, or a real server."""
    name: str = request.param
    if name == _MEMORY:
        return _memory_url()
    running: _Servers = request.getfixturevalue("_coord_servers")
    return running.url(_found()[name], Server)


@pytest.fixture
def coord_any(coord_url: str) -> Iterator[Coordinator]:
    """A coordinator on each backend, one after the other."""
    yield from _connected(coord_url)


@pytest.fixture
def coord_memory() -> Iterator[Coordinator]:
    """A coordinator on ``memory://``, with a keyspace of its own."""
    yield from _connected(_memory_url())


@pytest.fixture
def coord_server(request: pytest.FixtureRequest, _coord_servers: Any) -> Iterator[Coordinator]:
    """A coordinator on a real server, which is empty when a test begins."""
    yield from _connected(_coord_servers.url(_engine(request.config), Server))


@pytest.fixture
def coord_cluster(request: pytest.FixtureRequest, _coord_servers: Any) -> Iterator[Coordinator]:
    """A coordinator on a real cluster, which is empty when a test begins."""
    yield from _connected(_coord_servers.url(_engine(request.config), Cluster))
