"""Fixtures: ``c``, a coordinator on every backend, blocking and awaited; and the check that nothing is left behind."""

from __future__ import annotations

import asyncio
import re
import signal
import threading
from collections.abc import Iterator
from typing import Any

import hypothesis
import loops
import pytest
from backends import Backend, FakePlace, Line, Places, assert_all_expire, found, missing, servers, table, wanted
from distribution import pytest_collection_modifyitems, pytest_xdist_make_scheduler
from live import SOON, comes_to_be
from reporting import pytest_sessionfinish, pytest_terminal_summary, pytest_testnodedown, say

from coord.testing import leaks
from coord.testing.clock import why_not
from coord.testing.leaks import open_sockets

__all__ = [
    "pytest_collection_modifyitems",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_testnodedown",
    "pytest_xdist_make_scheduler",
]

_LONGEST_ID = 60
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")

# The time of an example decides nothing: the machine may be busy.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")


def pytest_configure(config: pytest.Config) -> None:
    # A parent that ignores SIGINT (nohup, a background job) hands that on; tests press Ctrl-C, here and in children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if (chosen := loops.policy()) is not None:
        asyncio.set_event_loop_policy(chosen)
    # What is ending may take its time on a busy machine.
    leaks.ENDING_SECONDS = SOON
    config.addinivalue_line("markers", "slow: takes longer than a second, so that `make quick` leaves it out")
    config.addinivalue_line("markers", "proof: the short form of a proof (docs/proof.md): `make proof` runs it")
    config.addinivalue_line("markers", "permanent: keys of this test never expire, because it asks for that")
    if reason := why_not():
        say(f"time was not virtual on servers, their keys were aged by hand: {reason}")


def pytest_report_header() -> list[str]:
    return [
        f"backends: {', '.join(name for name in wanted() if name not in missing())}, blocking and awaited",
        *(f"MISSING: {name}; here are {', '.join(found()) or 'no servers'}" for name in missing()),
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that uses ``c`` or ``backend`` runs on the whole table, one that uses ``server`` on its real servers."""
    for fixture, lines in (("backend", table), ("server", servers)):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, lines(), ids=str, indirect=True)


def pytest_itemcollected(item: pytest.Item) -> None:
    if item.path.parent.name == "faults":
        item.add_marker("slow")


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name parameters alike in every process, so that workers agree on the tests: no address, and no long text."""
    if isinstance(val, (str, bytes, int, float, complex, type(None))) and len(repr(val)) < _LONGEST_ID:
        return None
    name = getattr(val, "__name__", None) or _ADDRESS.sub("", repr(val))
    return name if len(name) < _LONGEST_ID else f"{name[:_LONGEST_ID]}..."


@pytest.fixture(scope="session")
def places() -> Iterator[Places]:
    places = Places()
    yield places
    places.close()


@pytest.fixture
def backend(request: pytest.FixtureRequest, places: Places, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """One line of the table of backends, without keys."""
    yield from _backend(request, places, monkeypatch)


@pytest.fixture
def server(request: pytest.FixtureRequest, places: Places, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """One of the lines that are real servers, without keys."""
    yield from _backend(request, places, monkeypatch)


@pytest.fixture
def c(backend: Backend) -> Any:
    """A coordinator at the backend; an awaited one is used as if it blocked."""
    return backend.connect()


def _backend(request: pytest.FixtureRequest, places: Places, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    line: Line = request.param
    place = places.at(line.engine)
    if isinstance(place, FakePlace):
        for module, clock in place.clocks.items():
            monkeypatch.setattr(module, clock)
    before = open_sockets()
    backend = Backend(line, place, places.clock)
    yield backend
    backend.close()
    if request.node.get_closest_marker("permanent") is None:
        assert_all_expire(backend)
    assert comes_to_be(lambda: open_sockets() <= before), "sockets are left open"


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert comes_to_be(lambda: not _threads_since(before)), f"threads are left behind: {_threads_since(before)}"


def _threads_since(before: set[threading.Thread]) -> list[threading.Thread]:
    # A loop that looks up a host's name keeps a thread of its own for it, until it is closed.
    return [each for each in threading.enumerate() if each not in before and not each.name.startswith("asyncio_")]
