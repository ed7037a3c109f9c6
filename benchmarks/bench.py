"""What a case is given: a server, how much effort to make, and somebody to tell how far it has come."""

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
"""Opens every key that is written, of coord and of its peers; each of them expires."""

Place = Literal["together", "apart"]


@dataclass(frozen=True)
class Bench:
    """One run of the benchmarks. ``server`` is the process of a server that is nobody else's; 0: it is not ours."""

    url: str
    server: int
    effort: Effort
    quick: bool
    tell: Callable[[str], None]

    @cached_property
    def client(self) -> redis.Redis:
        """A redis-py client for looking at the server."""
        return redis.Redis.from_url(self.url, decode_responses=True)

    def in_turn(self, case: str, at: object, contenders: Sequence[Contender]) -> list[Figure]:
        """Measure contenders in turn, on a server without the keys of the case before."""
        self.clear()
        return in_turn(case, str(at), contenders, self.effort, self.tell)

    def clear(self) -> None:
        """Empty the server, if nobody else uses it; elsewhere what is left expires."""
        if self.server:
            self.client.flushall()

    @contextmanager
    def placed(self, how: Place | None) -> Iterator[None]:
        """Keep the callers and the server on one core, or on different ones, while the block runs.

        Where one caller asks and waits, only one of the two ever works: on two cores each waits for the other's core
        to wake as well, which takes longer than the call, and whether that happens is the scheduler's whim.
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
