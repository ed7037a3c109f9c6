"""How things are measured: contenders in turn, several rounds, medians and their spread.

A contender is a function that makes a number of operations and tells the microseconds each one took. Contenders of one
comparison run one after the other, round by round, in alternating order, so that what else the machine does
meanwhile strikes them alike; a ratio is taken within each round before the median is.
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
from time import perf_counter

Operation = Callable[[int], object]
"""One operation, given a number that no other operation of this process is given."""

AsyncOperation = Callable[[int], Awaitable[object]]

Run = Callable[[int], float]
"""Makes at least that many operations; returns microseconds per operation."""

_fresh = count()


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody who does the job, and the run that makes them do it."""

    who: str
    run: Run


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure: rounds, and seconds that one contender runs in each."""

    rounds: int
    seconds: float


QUICK = Effort(3, 0.03)
FULL = Effort(7, 0.15)


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured: of which case, of whom, at which size, and the value in each round."""

    case: str
    who: str
    at: str
    unit: str
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return median(self.rounds)

    @property
    def spread(self) -> tuple[float, float]:
        """Where the middle half of the rounds lies; all of them when they are fewer than four."""
        if len(self.rounds) < 4:
            return min(self.rounds), max(self.rounds)
        low, _, high = quantiles(self.rounds, n=4, method="inclusive")
        return low, high


def ratio(of: Figure, to: Figure) -> float:
    """How many times as much one figure is as another: the median of the ratios within each round."""
    return median(one / other for one, other in zip(of.rounds, to.rounds, strict=True))


def in_turn(
    case: str, at: str, contenders: Sequence[Contender], effort: Effort, tell: Callable[[str], None]
) -> list[Figure]:
    """Warm all contenders up, let them run in turn, and return a figure for each."""
    numbers = [_number(contender, effort.seconds) for contender in contenders]
    rounds: list[list[float]] = [[] for _ in contenders]
    for turn in range(effort.rounds):
        places = range(len(contenders)) if turn % 2 == 0 else reversed(range(len(contenders)))
        for place in places:
            tell(f"{case} {at}: {contenders[place].who}, round {turn + 1} of {effort.rounds}")
            gc.collect()
            rounds[place].append(contenders[place].run(numbers[place]))
    return [
        Figure(case, contender.who, at, "us", tuple(values))
        for contender, values in zip(contenders, rounds, strict=True)
    ]


def _number(contender: Contender, seconds: float) -> int:
    """Warm up, and return how many operations fill the seconds."""
    number = 8
    while True:
        each = contender.run(number)
        if number * each >= seconds * 1e6 / 2:
            return max(1, int(seconds * 1e6 / each))
        number *= 4


# --- from one operation to a run -----------------------------------------------------------------


def in_one_thread(operation: Operation) -> Run:
    """Run an operation again and again in this thread."""

    def run(number: int) -> float:
        numbers = list(islice(_fresh, number))
        start = perf_counter()
        for i in numbers:
            operation(i)
        return (perf_counter() - start) * 1e6 / number

    return run


def in_threads(operation: Operation, threads: int) -> Run:
    """Run an operation in many threads at a time; time passes from their common start to the last one's end."""
    if threads == 1:
        return in_one_thread(operation)

    def run(number: int) -> float:
        shares = [list(islice(_fresh, ceil(number / threads))) for _ in range(threads)]
        ready = threading.Barrier(threads + 1)
        failed: list[BaseException] = []

        def work(share: Iterable[int]) -> None:
            ready.wait()
            try:
                for i in share:
                    operation(i)
            except BaseException as error:  # told below, by the thread that measures
                failed.append(error)

        workers = [threading.Thread(target=work, args=(share,)) for share in shares]
        for worker in workers:
            worker.start()
        ready.wait()
        start = perf_counter()
        for worker in workers:
            worker.join()
        took = perf_counter() - start
        if failed:
            raise failed[0]
        return took * 1e6 / sum(map(len, shares))

    return run


def in_tasks(loop: asyncio.Runner, operation: AsyncOperation, tasks: int) -> Run:
    """Run an awaited operation in many tasks of one event loop at a time."""

    async def work(share: Iterable[int]) -> None:
        for i in share:
            await operation(i)

    async def all_of(shares: list[list[int]]) -> float:
        start = perf_counter()
        await asyncio.gather(*map(work, shares))
        return perf_counter() - start

    def run(number: int) -> float:
        shares = [list(islice(_fresh, ceil(number / tasks))) for _ in range(tasks)]
        return loop.run(all_of(shares)) * 1e6 / sum(map(len, shares))

    return run
