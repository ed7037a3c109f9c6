"""Law 1: one operation, one script, one round trip. Counted on the line to each server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from backends import Backend
from operations import EXAMPLES, NO_OPERATIONS, PLUMBING, Example
from wiretap import Wiretap

import coord
from coord.coordinator import Barrier, Kv, Request, Stats
from coord.execution import Execution, ExecutionHandle
from coord.group import Group
from coord.quota import Quota
from coord.semaphore import Semaphore


@pytest.fixture
def tap(server: Backend) -> Iterator[Wiretap]:
    with Wiretap(server.place.server.port) as tap:
        yield tap


def test_every_operation_has_an_example() -> None:
    """Each public method has an example in ``operations.py``, or a reason there why it is not an operation."""
    public = {
        f"{kind.__name__}.{name}"
        for kind in (
            coord.Coordinator,
            coord.Lease,
            Stats,
            Kv,
            Barrier,
            Request,
            Semaphore,
            Group,
            coord.Limiter,
            Execution,
            ExecutionHandle,
            coord.Leader,
            Quota,
            coord.Reservation,
        )
        for name in dir(kind)
        if not name.startswith("_")
        and name not in PLUMBING
        and (callable(getattr(kind, name)) or isinstance(getattr(kind, name), property))
    }
    known = {example.name for example in EXAMPLES} | NO_OPERATIONS.keys()
    assert not public - known, f"operations without an example: {', '.join(sorted(public - known))}"
    assert not known - public, f"examples of what there is not: {', '.join(sorted(known - public))}"


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_operation_is_one_round_trip(server: Backend, tap: Wiretap, example: Example) -> None:
    """One EVALSHA goes to the server, and nothing else."""
    c = server.dial(tap.url)
    example.run(example.prepare(c))
    server.lose(*server.stored)
    prepared = example.prepare(c)
    tap.forget()
    example.run(prepared)
    assert (tap.verbs, tap.turns) == (["EVALSHA"], 1)


def test_many_calls_are_one_round_trip(server: Backend, tap: Wiretap) -> None:
    """``run_many`` and ``kv.delete`` send all their calls in one write."""
    c = server.dial(tap.url)
    c.run(c.calls.kv.incr("n"))
    c.kv.delete("n")
    tap.forget()
    assert c.run_many([c.calls.kv.incr("n") for _ in range(20)]) == list(range(1, 21))
    assert (tap.verbs, tap.turns) == (["EVALSHA"] * 20, 1)
    tap.forget()
    assert c.kv.delete("n", "a", "b") == 1
    assert (tap.verbs, tap.turns) == (["EVALSHA"] * 3, 1)


def test_a_script_travels_once(server: Backend, tap: Wiretap) -> None:
    """A server that does not know a script asks for it, and is given it together with the call."""
    c = server.dial(tap.url)
    server.place.do("SCRIPT", "FLUSH")
    tap.forget()
    c.once("x")
    c.once("y")
    assert tap.verbs == ["EVALSHA", "SCRIPT", "EVALSHA", "EVALSHA"]


def test_what_is_known_here_asks_nobody(server: Backend, tap: Wiretap) -> None:
    """Reading a lease's own fields sends nothing."""
    lease: Any = server.dial(tap.url).claim("x")
    tap.forget()
    assert lease.fence
    assert lease.expires_in > 0
    assert not lease.lost.is_set()
    assert repr(lease)
    assert tap.commands == []
