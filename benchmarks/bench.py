"""What a case is given: a server, the effort, and a function that shows progress."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import redis

from benchmarks.measure import Contender, Effort, Figure, in_turn

PREFIX = "coord-bench:"
"""Every key that is written starts with this and expires, those of the peers included."""

Placement = Literal["together", "apart"]


@dataclass(frozen=True)
class Bench:
    """One run of the benchmarks. ``server`` is the process id of a private server, 0 for one given by URL."""

    url: str
    server: int
    effort: Effort
    quick: bool
    tell: Callable[[str], None]

    @cached_property
    def client(self) -> redis.Redis:
        """A redis-py client that reads statistics of the server."""
        return redis.Redis.from_url(self.url, decode_responses=True)

    def in_turn(self, case: str, at: object, contenders: Sequence[Contender]) -> list[Figure]:
        """Measure contenders in turn, on a server without the keys of the previous case."""
        self.clear()
        return in_turn(case, str(at), contenders, self.effort, self.tell)

    def clear(self) -> None:
        """Empty a private server; elsewhere the keys expire."""
        if self.server:
            self.client.flushall()

    def some(self, names: Iterable[str], least: Iterable[str]) -> list[str]:
        """Return all names; in a trial, whose rounds take no time, the least of them."""
        return [*least] if self.is_trial else [*names]

    @property
    def is_trial(self) -> bool:
        """Whether the cases only have to run to their end."""
        return self.effort.seconds == 0

    @contextmanager
    def placed(self, how: Placement | None) -> Iterator[None]:
        """Pin the callers and a private server to one core, or to different cores, while the block runs.

        With one caller either the caller or the server works. On two cores each would also wait for the other core to
        wake, which takes longer than the call and depends on the scheduler.
        """
        if how is None or not self.server or not hasattr(os, "sched_setaffinity"):
            yield
            return
        cores = os.sched_getaffinity(0)
        first, *others = sorted(cores)
        os.sched_setaffinity(self.server, {first})
        os.sched_setaffinity(0, {first} if how == "together" else set(others) or cores)
        try:
            yield
        finally:
            os.sched_setaffinity(self.server, cores)
            os.sched_setaffinity(0, cores)


@dataclass(frozen=True, slots=True)
class Case:
    """Something to measure; ``name`` is what ``--only`` takes."""

    name: str
    title: str
    run: Callable[[Bench], Iterable[Figure]]
