"""How cost grows with the number of keys, the size of a batch, and the number of fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter
from typing import TypeVar

import coord
from benchmarks.bench import PREFIX, Bench, Case
from benchmarks.cases.server import inside
from benchmarks.measure import Contender, Figure, in_one_thread

T = TypeVar("T")


def keys(bench: Bench) -> Iterator[Figure]:
    """A window beside 1,000 to 1,000,000 others: microseconds inside the server."""
    numbers = (1_000,) if bench.is_trial else (1_000, 10_000, 100_000, *(() if bench.quick else (1_000_000,)))
    bench.clear()
    there = 0
    with coord.connect(bench.url, prefix=PREFIX, timeout=30, patience=60, remember=0) as c:
        for number in numbers:
            bench.tell(f"grow-keys: filling up to {number:,} keys")
            _fill(c, there, number)
            there = number
            rounds = tuple(inside(bench, c, lambda i: c.calls.once(f"{i}")) for _ in range(bench.effort.rounds))
            yield Figure("grow-keys", "coord", f"{number:,}", "us", rounds)
    bench.clear()


def _fill(c: coord.Coordinator, start: int, stop: int) -> None:
    for first in range(start, stop, 10_000):
        c.run_many([c.calls.once(f"there-{i}", ttl=300) for i in range(first, min(first + 10_000, stop))])


def batch(bench: Bench) -> Iterator[Figure]:
    """Calls in one write, from 1 to 10,000: microseconds per call."""
    for size in (1, 10, 100, *(() if bench.is_trial else (1_000, 10_000))):
        with coord.connect(bench.url, prefix=PREFIX) as c:
            yield Figure("grow-batch", "coord", f"{size:,}", "us", tuple(_batches(bench, c, size)))


def _batches(bench: Bench, c: coord.Coordinator, size: int) -> Iterator[float]:
    bench.clear()
    c.run_many([c.calls.once("warm")])
    times = 1 if bench.is_trial else max(1, (1_000 if bench.quick else 10_000) // size)
    for turn in range(bench.effort.rounds):
        bench.tell(f"grow-batch {size:,}: round {turn + 1} of {bench.effort.rounds}")
        start = perf_counter()
        for time in range(times):
            c.run_many([c.calls.once(f"{size}-{turn}-{time}-{i}") for i in range(size)])
        yield (perf_counter() - start) * 1e6 / (times * size)


def fields(bench: Bench) -> Iterator[Figure]:
    """A merge of 1 to 1,000 fields: microseconds for its caller, and inside the server."""
    for number in (1, 3, 10, 30, 100, 300, 1_000):
        with bench.placed("together"), coord.connect(bench.url, prefix=PREFIX) as c:
            merge = partial(c.stats("bench").merge, "id", {f"field-{i}": 1 for i in range(number)})
            build = partial(c.calls.stats("bench").merge, "id", {f"field-{i}": 1 for i in range(number)})
            yield from bench.in_turn("grow-fields", f"{number:,}", [Contender("coord", in_one_thread(_alone(merge)))])
            rounds = tuple(inside(bench, c, _alone(build), 100) for _ in range(bench.effort.rounds))
        yield Figure("grow-fields", "inside the server", f"{number:,}", "us", rounds)


def _alone(function: Callable[[], T]) -> Callable[[int], T]:
    return lambda _: function()


CASES = (
    Case("grow-keys", "a window, beside 1,000 to 1,000,000 others", keys),
    Case("grow-batch", "run_many, of 1 to 10,000 calls", batch),
    Case("grow-fields", "merge, of 1 to 1,000 fields", fields),
)
