"""A lane: one thread or task of a worker, which makes one call after the other.

Families are written once, as coroutines. In a blocking worker nothing in them ever suspends.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import coord
from torture.journal import Journal

__all__ = ["Answer", "Lane", "drive"]

EPOCH = 0.5
"""Seconds after which lanes turn to new entities; all workers do so at the same time."""

_OUTCOMES: tuple[tuple[type[Exception], str], ...] = (
    (coord.Unavailable, "refused"),
    (coord.ConfigError, "refused"),
    (coord.OutcomeUnknown, "unknown"),
    (coord.LeaseLost, "lost"),
    (coord.WaitTimeout, "timeout"),
    (coord.MissingBarrier, "missing"),
    (coord.MissingRequest, "missing"),
    (coord.QuotaExceeded, "exceeded"),
)


@dataclass(slots=True)
class Answer:
    """What came of a call."""

    outcome: str
    value: Any
    started: float
    ended: float

    @property
    def is_done(self) -> bool:
        """Whether there was an answer."""
        return self.outcome == "done"


class Lane:
    """Calls of one thread or task, written down."""

    def __init__(self, c: Any, journal: Journal, worker: int, name: str, seed: int, over: Callable[[], bool]) -> None:
        self.c = c
        self.worker = worker
        self.name = name
        self.random = random.Random(seed)
        self.journal = journal
        self.is_over = over
        self.calls = 0
        self._awaited = isinstance(c, coord.AsyncCoordinator)
        self._tokens = 0

    @property
    def is_awaited(self) -> bool:
        """Whether calls are awaited."""
        return self._awaited

    def token(self) -> str:
        """Return a value that no other call uses."""
        self._tokens += 1
        return f"{self.name}.{self._tokens}"

    def shared(self, letter: str, many: int = 2) -> str:
        """Return an entity of this moment, which other lanes use as well."""
        return f"{letter}-{int(monotonic() / EPOCH)}-{self.random.randrange(many)}"

    async def call(
        self,
        family: str,
        entity: str,
        op: str,
        make: Callable[[], Any],
        *,
        note: Any = None,
        show: Callable[[Any], Any] | None = None,
    ) -> Answer:
        """Make a call, and write down what came of it; ``show`` makes its value one for JSON."""
        return await self.count(family, entity, op, lambda _: make(), note=note, show=show)

    async def count(
        self,
        family: str,
        entity: str,
        op: str,
        make: Callable[[str | None], Any],
        *,
        op_id: str | None = None,
        note: Any = None,
        show: Callable[[Any], Any] | None = None,
    ) -> Answer:
        """Make a call that takes an ``op_id``; ask by the id of ``OutcomeUnknown`` before taking it for unknown."""
        number = self.journal.asked(family, entity, op, note)
        started = monotonic()
        outcome, value, again = await self._one(make, op_id)
        for _ in range(3):
            if outcome != "unknown" or again is None:
                break
            second, answer, _ = await self._one(make, again)
            if second not in ("unknown", "refused"):
                outcome, value = second, answer
        ended = monotonic()
        self.calls += 1
        self.journal.answered(number, ended, outcome, show(value) if show and outcome == "done" else value)
        return Answer(outcome, value, started, ended)

    async def _one(self, make: Callable[[str | None], Any], op_id: str | None) -> tuple[str, Any, str | None]:
        try:
            value = make(op_id)
            return "done", await value if self._awaited else value, None
        except Exception as error:
            text = f"{type(error).__name__}: {error}"[:200]
            outcome = next((name for kind, name in _OUTCOMES if isinstance(error, kind)), "error")
            return outcome, text, getattr(error, "op_id", None)

    async def enter(
        self, family: str, entity: str, holding: Any, show: Callable[[Any], Any], note: Any = None
    ) -> Answer:
        """Enter a block; the value is what it gives."""
        enter = holding.__aenter__ if self._awaited else holding.__enter__
        return await self.call(family, entity, "enter", enter, show=show, note=note)

    async def leave(self, family: str, entity: str, holding: Any, note: Any = None) -> Answer:
        """Leave a block."""
        leave = holding.__aexit__ if self._awaited else holding.__exit__
        return await self.call(family, entity, "leave", lambda: leave(None, None, None), note=note)

    def inside(self, family: str, entity: str, lease: Any, began: float, note: Any) -> float:
        """Write down that a lease was believed to be held from ``began`` until now, if it still is.

        Return until when it is believed to be held; 0.0: it is not.
        """
        now = monotonic()
        # Read after the time: a process that was stopped in between finds less left.
        left = lease.expires_in
        if lease.lost.is_set() or left <= 0:
            return 0.0
        self.journal.fact(family, entity, "inside", [began, now, note])
        return now + float(left)

    async def sleep(self, seconds: float) -> None:
        """Spend some time."""
        if self._awaited:
            await asyncio.sleep(seconds)
        else:
            time.sleep(seconds)  # noqa: ASYNC251  # there is no loop


def drive(work: Awaitable[None]) -> None:
    """Run a family's coroutine in a blocking worker."""
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration:
        return
    raise AssertionError("a blocking worker has nothing to wait for")
