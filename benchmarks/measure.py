"""Measure contenders in rounds: wall time and CPU time of one operation, medians and their spread.

The contenders of one comparison run one after the other, round by round, in alternating order, so that other work on
the machine affects all of them alike. A ratio is taken within each round, before the median is.

Wall time depends on the server, the network and the scheduler as well. CPU time is what the calling process spends on
one operation: it stays the same on a busy machine and with a slow server.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count, islice
from math import ceil
from statistics import median, quantiles
from time import perf_counter, process_time
from typing import NamedTuple

Operation = Callable[[int], object]
"""One operation, given a number that no other operation of this process is given."""

AsyncOperation = Callable[[int], Awaitable[object]]


class Took(NamedTuple):
    """Microseconds of one operation: wall time, and CPU time of this process."""

    wall: float
    cpu: float


Run = Callable[[int], Took]
"""Makes at least that many operations and returns the time of one."""

_unused = count()


@dataclass(frozen=True, slots=True)
class Contender:
    """A way to do a job, and the run that measures it."""

    who: str
    run: Run


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure: the number of rounds, and the seconds of each contender in a round."""

    rounds: int
    seconds: float


QUICK = Effort(3, 0.03)
FULL = Effort(7, 0.15)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement: the case, the size, the contender, and the value of each round. ``cpu`` may be empty."""

    case: str
    who: str
    at: str
    unit: str
    rounds: tuple[float, ...]
    cpu: tuple[float, ...] = ()

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return median(self.rounds)

    @property
    def spread(self) -> tuple[float, float]:
        """The quartiles of the rounds; the extremes of fewer than four."""
        if len(self.rounds) < 4:
            return min(self.rounds), max(self.rounds)
        low, _, high = quantiles(self.rounds, n=4, method="inclusive")
        return low, high


def ratio(of: Sequence[float], to: Sequence[float]) -> float:
    """Return the median of the ratios of each round."""
    return median(one / other for one, other in zip(of, to, strict=True))


def in_turn(
    case: str, at: str, contenders: Sequence[Contender], effort: Effort, tell: Callable[[str], None]
) -> list[Figure]:
    """Warm all contenders up, run them in turn, and return a figure for each."""
    numbers = [_number(contender, effort.seconds) for contender in contenders]
    rounds: list[list[Took]] = [[] for _ in contenders]
    for turn in range(effort.rounds):
        places = range(len(contenders)) if turn % 2 == 0 else reversed(range(len(contenders)))
        for place in places:
            tell(f"{case} {at}: {contenders[place].who}, round {turn + 1} of {effort.rounds}")
            gc.collect()
            rounds[place].append(contenders[place].run(numbers[place]))
    return [
        Figure(case, contender.who, at, "us", tuple(each.wall for each in took), tuple(each.cpu for each in took))
        for contender, took in zip(contenders, rounds, strict=True)
    ]


def _number(contender: Contender, seconds: float) -> int:
    """Warm up, and return how many operations fill the seconds."""
    number = 8
    while True:
        each = contender.run(number).wall
        if number * each >= seconds * 1e6 / 2:
            return max(1, int(seconds * 1e6 / each))
        number *= 4


class _Stopwatch:
    """Starts when it is made; ``took(number)`` is the time of one of that many operations."""

    def __init__(self) -> None:
        self._cpu = process_time()
        self._wall = perf_counter()

    def took(self, number: int) -> Took:
        wall, cpu = perf_counter() - self._wall, process_time() - self._cpu
        # One tick at least: a ratio divides by it.
        return Took(wall * 1e6 / number, max(cpu, 1e-6) * 1e6 / number)


def in_one_thread(operation: Operation) -> Run:
    """Run an operation again and again in this thread."""

    def run(number: int) -> Took:
        numbers = list(islice(_unused, number))
        watch = _Stopwatch()
        for i in numbers:
            operation(i)
        return watch.took(number)

    return run


def in_threads(operation: Operation, threads: int) -> Run:
    """Run an operation in many threads at once, measured from their common start to the end of the last one."""
    if threads == 1:
        return in_one_thread(operation)

    def run(number: int) -> Took:
        shares = [list(islice(_unused, ceil(number / threads))) for _ in range(threads)]
        ready = threading.Barrier(threads + 1)
        failed: list[BaseException] = []

        def work(share: Iterable[int]) -> None:
            ready.wait()
            try:
                for i in share:
                    operation(i)
            except BaseException as error:  # raised below, in the thread that measures
                failed.append(error)

        workers = [threading.Thread(target=work, args=(share,)) for share in shares]
        for worker in workers:
            worker.start()
        ready.wait()
        watch = _Stopwatch()
        for worker in workers:
            worker.join()
        took = watch.took(sum(map(len, shares)))
        if failed:
            raise failed[0]
        return took

    return run


def in_tasks(loop: asyncio.Runner, operation: AsyncOperation, tasks: int) -> Run:
    """Run an async operation in many tasks of one event loop at once."""

    async def work(share: Iterable[int]) -> None:
        for i in share:
            await operation(i)

    async def all_of(shares: list[list[int]]) -> Took:
        watch = _Stopwatch()
        await asyncio.gather(*map(work, shares))
        return watch.took(sum(map(len, shares)))

    def run(number: int) -> Took:
        return loop.run(all_of([list(islice(_unused, ceil(number / tasks))) for _ in range(tasks)]))

    return run
