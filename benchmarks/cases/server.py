"""The cost on the server: microseconds inside a script, and bytes of an entity."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import coord
from benchmarks.bench import PREFIX, Bench, Case
from benchmarks.cases.memory import FEW, PREPARATIONS, SCRIPTS
from benchmarks.measure import Figure
from coord.script import Call

CALLS = 2_000
BATCH = 25


def time_inside(bench: Bench) -> Iterator[Figure]:
    """Microseconds per call of each script, as the server counts them; with operation ids and without."""
    bench.clear()
    with coord.connect(bench.url, prefix=PREFIX) as on, coord.connect(bench.url, prefix=PREFIX, remember=0) as off:
        _made(on, [prepare(on.calls, 0) for prepare in PREPARATIONS])
        for name in bench.some(SCRIPTS, FEW):
            operation = SCRIPTS[name]
            for who, c in (("coord", on), ("coord, no ids", off)):
                bench.tell(f"server-time {name}: {who}")
                rounds = tuple(inside(bench, c, partial(operation, c.calls)) for _ in range(bench.effort.rounds))
                yield Figure("server-time", who, name, "us", rounds)


def inside(bench: Bench, c: coord.Coordinator, build: Callable[[int], Call[Any]], number: int = CALLS) -> float:
    """Make calls, and return the microseconds of one inside the server, in the fastest of their batches.

    The server measures wall time, to which other work on its core only adds; a batch is short enough to escape it.
    """
    number = 20 if bench.is_trial else number
    batches = (min(BATCH, number - start) for start in range(0, number, BATCH))
    return min(_batch(bench, c, [build(i) for i in islice(_numbers, size)]) for size in batches)


def _batch(bench: Bench, c: coord.Coordinator, calls: list[Call[Any]]) -> float:
    before = evalsha(bench)
    _made(c, calls)
    after = evalsha(bench)
    return (after[1] - before[1]) / (after[0] - before[0])


def evalsha(bench: Bench) -> tuple[int, int]:
    """Return how many EVALSHA the server has run, and the microseconds they took."""
    stats: dict[str, Any] = bench.client.info("commandstats").get("cmdstat_evalsha", {})
    return int(stats.get("calls", 0)), int(stats.get("usec", 0))


def _made(c: coord.Coordinator, calls: list[Call[Any]]) -> None:
    for answer in c.run_many(calls):
        if isinstance(answer, Exception):
            raise answer


def _endless() -> Iterator[int]:
    # Negative: no other case uses these numbers.
    i = -1
    while True:
        yield i
        i -= 1


_numbers = _endless()

# --- memory --------------------------------------------------------------------------------------

ENTITIES: dict[str, Callable[[Any, int], Call[Any]]] = {
    "once": lambda at, i: at.once(f"{i}"),
    "version": lambda at, i: at.bump(f"{i}"),
    "stats of 3 fields": lambda at, i: at.stats("bench").merge(f"{i}", processed=1, errors=1, tokens=1),
    "number": lambda at, i: at.kv.incr(f"{i}"),
}


def bytes_each(bench: Bench) -> Iterator[Figure]:
    """Bytes of server memory per entity, its place in the key table and its TTL included."""
    numbers = (1_000,) if bench.is_trial else (1_000, 10_000) if bench.quick else (1_000, 10_000, 100_000)
    for name, build in ENTITIES.items():
        for number in numbers:
            for who, remember in (("coord", 60), ("coord, no ids", 0)):
                bench.tell(f"server-memory {name}: {who}, {number:,} keys")
                with coord.connect(bench.url, prefix=PREFIX, remember=remember) as c:
                    each = _grown(bench, c, partial(build, c.calls), number)
                yield Figure("server-memory", who, f"{number:,} x {name}", "bytes", (each,))


def _grown(bench: Bench, c: coord.Coordinator, build: Callable[[int], Call[Any]], number: int) -> float:
    bench.clear()
    before = _used(bench)
    for start in range(0, number, 10_000):
        _made(c, [build(i) for i in islice(_numbers, min(10_000, number - start))])
    return (_used(bench) - before) / number


def _used(bench: Bench) -> int:
    """Return the memory the server has allocated, without that of its clients."""
    info: dict[str, Any] = bench.client.info("memory")
    return int(info["used_memory"]) - int(info["mem_clients_normal"])


CASES = (
    Case("server-time", "microseconds inside each script, as the server counts them", time_inside),
    Case("server-memory", "bytes of server memory per entity", bytes_each),
)
