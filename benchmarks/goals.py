"""The goals for coord's speed, each beside what was measured.

A goal holds or fails for coord alone. Where a server answers, coord is compared with a bare socket or protocol that
waits for the same server over the same network; with other clients by the CPU time of the calling process, which
neither the server nor other work on the machine changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks import floor
from benchmarks.measure import Figure, ratio

Figures = dict[tuple[str, str, str], Figure]
"""By case, size and contender."""

Measured = Callable[[Figures], float | None]
"""What was measured for a goal; None when it was not."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound: its words, its value, and how to find it in the figures."""

    words: str
    bound: float
    at_least: bool
    measured: Measured
    unit: str = "x"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal beside what was measured."""

    goal: Goal
    value: float

    @property
    def holds(self) -> bool:
        """Whether the goal was reached."""
        return self.value >= self.goal.bound if self.goal.at_least else self.value <= self.goal.bound


def most_time(peer: str, *places: tuple[str, str]) -> Measured:
    """Return how many times as long as a peer coord takes: the largest over cases and sizes."""
    return lambda figures: max((ratio(a.rounds, b.rounds) for a, b in _pairs(figures, peer, places)), default=None)


def most_cpu(peer: str, *places: tuple[str, str]) -> Measured:
    """Return how many times as much CPU time as a peer coord uses: the largest over cases and sizes."""
    return lambda figures: max((ratio(a.cpu, b.cpu) for a, b in _pairs(figures, peer, places)), default=None)


def least_cpu(peer: str, *places: tuple[str, str]) -> Measured:
    """Return how many times as much CPU time as coord a peer uses: the smallest over cases and sizes."""
    return lambda figures: min((ratio(b.cpu, a.cpu) for a, b in _pairs(figures, peer, places)), default=None)


def _pairs(figures: Figures, peer: str, places: Iterable[tuple[str, str]]) -> Iterator[tuple[Figure, Figure]]:
    for (case, at, who), ours in figures.items():
        theirs = figures.get((case, at, peer))
        if who == "coord" and theirs and any(case.startswith(name) and place in ("", at) for name, place in places):
            yield ours, theirs


def cost_of_ids(figures: Figures) -> float | None:
    """Return the microseconds that an operation id adds inside the server, for the operation to which it adds most.

    The fastest round of each counts: the server measures wall time, in which other work on its core only adds.
    """
    pairs = _pairs(figures, "coord, no ids", [("server-time", name) for name in ("kv_incr", "bump", "merge")])
    return max((min(a.rounds) - min(b.rounds) for a, b in pairs), default=None)


def best_peer(*cases: str) -> Measured:
    """Return how many times as much CPU time as coord the best other contender uses at 100 tasks: the smallest."""

    def measured(figures: Figures) -> float | None:
        ours = {case: figure for (case, at, who), figure in figures.items() if who == "coord" and at == "100 tasks"}
        peers = [figure for (case, at, who), figure in figures.items() if who != "coord" and at == "100 tasks"]
        return min((ratio(each.cpu, ours[each.case].cpu) for each in peers if each.case in cases), default=None)

    return measured


def fastest(case: str, *names: str) -> Measured:
    """Return the microseconds of coord's slowest operation whose name starts with one of these, its fastest round.

    CPU time of the calling process, where that was measured.
    """
    return lambda figures: max(
        (
            min(each.cpu or each.rounds)
            for (which, at, who), each in figures.items()
            if which == case and who == "coord" and at.startswith(names)
        ),
        default=None,
    )


def over_the_limit(figures: Figures) -> float | None:
    """Return how many hits coord let pass of 50."""
    found = figures.get(("limiter-exact", "of 50", "coord"))
    return None if found is None else found.median


def permit_handover(figures: Figures) -> float | None:
    """Return the milliseconds from the release of a permit until its waiter has it."""
    found = figures.get(("semaphore-handover", "on a server", "coord"))
    return None if found is None else found.median / 1000


def milliseconds(figures: Figures) -> float | None:
    """Return the median hand-over in memory."""
    ours = figures.get(("handover", "in memory", "coord"))
    return None if ours is None else ours.median / 1000


ONE, EIGHT, SCRIPT = ("blocking-", "1 thread"), ("blocking-", "8 threads"), "redis-py Script"
ALONE, HUNDRED, THOUSAND = (("async-once", f"{tasks}") for tasks in ("1 task", "100 tasks", "1,000 tasks"))
FRESH, KEPT = (("execute-once", f"{key}, 100 tasks") for key in ("fresh key", "kept result"))
AT_MOST, AT_LEAST = False, True
CATALOGUE = ("limiter_", "quota_", "semaphore_", "execution_", "group_")

GOALS = (
    Goal("blocking, 1 thread: time of a bare socket", 2.2, AT_MOST, most_time(floor.BLOCKING, ONE)),
    Goal("blocking, 8 threads: time of a bare socket", 2.2, AT_MOST, most_time(floor.BLOCKING, EIGHT)),
    Goal("blocking, 1 thread: CPU of a bare socket", 2, AT_MOST, most_cpu(floor.BLOCKING, ONE)),
    Goal("blocking, 1 thread: CPU of redis-py's Script", 1.8, AT_LEAST, least_cpu(SCRIPT, ONE)),
    Goal("blocking, 8 threads: the same for once", 1.8, AT_LEAST, least_cpu(SCRIPT, ("blocking-once", "8 threads"))),
    Goal("async, 1 task: time of a bare protocol", 2.2, AT_MOST, most_time(floor.ASYNC, ALONE)),
    Goal("async, 100 tasks: time of a bare protocol", 2.2, AT_MOST, most_time(floor.ASYNC, HUNDRED)),
    Goal("async, 100 tasks: CPU of a bare protocol", 2.2, AT_MOST, most_cpu(floor.ASYNC, HUNDRED)),
    Goal("async, 100 tasks: CPU of redis.asyncio", 6, AT_LEAST, least_cpu("redis.asyncio", HUNDRED)),
    Goal("async, 1,000 tasks: CPU of redis.asyncio", 6, AT_LEAST, least_cpu("redis.asyncio", THOUSAND)),
    Goal("async, 100 tasks: CPU of valkey-glide", 3, AT_LEAST, least_cpu("valkey-glide", HUNDRED)),
    Goal("operation ids: added inside the server", 4, AT_MOST, cost_of_ids, "us"),
    Goal("in memory, once: CPU of a dict and a lock", 3, AT_MOST, most_cpu("dict and lock", ("memory-plain", "once"))),
    Goal("in memory, once, seen: the same", 3, AT_MOST, most_cpu("dict and lock", ("memory-plain", "once, seen"))),
    Goal("in memory: CPU of fakeredis, worst script", 20, AT_LEAST, least_cpu("fakeredis", ("memory-scripts", ""))),
    Goal("hand-over: time of bare sockets", 4, AT_MOST, most_time(floor.BLOCKING, ("handover", "on a server"))),
    Goal("hand-over in memory", 1, AT_MOST, milliseconds, "ms"),
    Goal("hand-over of a permit", 3, AT_MOST, permit_handover, "ms"),
    Goal("limiter, 100 tasks: CPU of the best peer", 3, AT_LEAST, best_peer("limiter")),
    Goal("quota, 100 tasks: the same", 3, AT_LEAST, best_peer("quota")),
    Goal("leader, 100 tasks: the same", 3, AT_LEAST, best_peer("leader")),
    Goal("group, 100 tasks: the same", 3, AT_LEAST, best_peer("group")),
    Goal(
        "execute once, 100 tasks: CPU of the best peer", 3, AT_LEAST, least_cpu("SET NX by redis.asyncio", FRESH, KEPT)
    ),
    Goal("limiter: hits that pass of 50", 50, AT_MOST, over_the_limit, ""),
    Goal("limiter, a hit in memory", 8, AT_MOST, fastest("memory-scripts", "limiter_hit"), "us"),
    Goal("inside the server, slowest of the catalogue", 30, AT_MOST, fastest("server-time", *CATALOGUE), "us"),
)


def verdicts(figures: Iterable[Figure], goals: Sequence[Goal] = GOALS) -> list[Verdict]:
    """Return each goal that was measured, beside its value."""
    found = {(figure.case, figure.at, figure.who): figure for figure in figures}
    return [Verdict(goal, value) for goal in goals if (value := goal.measured(found)) is not None]
