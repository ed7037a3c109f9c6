"""Fixtures in real time: ``live`` runs a test on memory and on every real server, ``live_server`` on the servers alone.

A test file takes them by ``pytest_plugins = ("live_fixtures",)``.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from backends import found
from live import Live, places, servers, until

from coord.cli import main
from coord.testing.servers import Engine, Server


@pytest.fixture(scope="session")
def _running() -> Iterator[dict[str, Server]]:
    running: dict[str, Server] = {}
    yield running
    for server in running.values():
        server.stop()


def _live(engine: str, running: dict[str, Server]) -> Live:
    if engine == "memory":
        return Live(engine, f"memory://live-{secrets.token_hex(4)}")
    if engine not in running:
        running[engine] = Server(found()[engine])
    return Live(engine, running[engine].url, running[engine])


def _used(live: Live) -> Iterator[Live]:
    before = _background_threads()
    yield live
    live.clean()
    # An awaited coordinator does not block for the end of its subscriptions. A thread that an earlier test left behind
    # has failed that test, and must not fail this one.
    until(lambda: _background_threads() <= before, "the end of the thread")


def _background_threads() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name == "coord-background"}


@pytest.fixture(params=places())
def live(request: pytest.FixtureRequest, _running: dict[str, Server]) -> Iterator[Live]:
    """Memory, or a server in real time that all tests share, without keys."""
    yield from _used(_live(request.param, _running))


@pytest.fixture(params=servers())
def live_server(request: pytest.FixtureRequest, _running: dict[str, Server]) -> Iterator[Live]:
    """A server in real time that all tests share, without keys."""
    yield from _used(_live(request.param, _running))


@pytest.fixture(params=servers())
def engine(request: pytest.FixtureRequest) -> Engine:
    """An engine, for tests that stop, kill or configure a server of their own."""
    return found()[request.param]


@pytest.fixture
def ls(live_server: Live, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run the command for JSON, and return it read."""

    def ask(*argv: str) -> Any:
        assert main(["ls", "--url", live_server.url, "--json", *argv]) == 0
        return json.loads(capsys.readouterr().out)

    return ask
