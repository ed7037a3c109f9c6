"""A grant that arrives when the lease is over, by its holder's clock."""

from __future__ import annotations

from collections import Counter
from typing import Any

import coord
from coord.clock import SystemClock
from coord.memory import Keyspace, Memory
from coord.testing.linearizable import record


class Hasty(SystemClock):
    """A clock that jumps on demand."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:  # type: ignore[override]  # a method, not the system's function
        return SystemClock.monotonic() + self.ahead


class Slow(Keyspace):
    """A keyspace whose first claim takes a minute to be answered; it counts the scripts that ran."""

    def __init__(self, clock: Hasty) -> None:
        super().__init__()
        self._hasty = clock
        self.ran: Counter[str] = Counter()

    def answer(self, script: Any, keys: Any, argv: Any, read: Any) -> Any:
        answer = super().answer(script, keys, argv, read)
        self.ran[script.name] += 1
        if script.name == "claim" and self.ran["claim"] == 1:
            self._hasty.ahead += 60
        return answer


def slow() -> tuple[coord.Coordinator, Slow]:
    clock = Hasty()
    space = Slow(clock)
    c = coord.Coordinator(Memory(space, clock))
    c.clock = clock
    return c, space


def test_a_waiter_asks_again_and_gives_nothing_back() -> None:
    """Its owner is given the same lease again: a release of the first grant would free that while it is held."""
    c, space = slow()
    with c, c.hold("job", ttl=30) as lease:
        assert space.ran["claim"] == 2
        assert lease.expires_in > 28
        lease.ensure_held()
    assert space.ran["release"] == 1


def test_a_claim_is_given_back() -> None:
    c, space = slow()
    with c:
        assert c.claim("job", ttl=30) is None
    assert space.ran["release"] == 1
    assert coord.Coordinator(Memory(space)).holder("job") is None


def test_giving_back_is_recorded() -> None:
    """A history without it would show a name that is free although it is held."""
    c, _ = slow()
    with c:
        history = record(c)
        assert c.claim("job", ttl=30) is None
    assert [each.script.name for each in history.operations] == ["claim", "release"]


def test_the_lease_of_another_object_of_the_owner_is_left_alone() -> None:
    c, space = slow()
    with c:
        mine = coord.Coordinator(Memory(space)).claim("job", ttl=600, owner="anna")
        assert mine is not None
        space.ran.clear()
        assert c.claim("job", ttl=30, owner="anna") is None
    mine.ensure_held()
