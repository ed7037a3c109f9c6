"""What coord promises about its speed, each promise beside what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.measure import Figure, ratio

Figures = dict[tuple[str, str, str], Figure]
"""By case, size, and whom."""

Measured = Callable[[Figures], float | None]
"""What was measured towards a goal; None when it was not."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A promise: its words, its bound, and how to find it in the figures."""

    words: str
    bound: float
    at_least: bool
    measured: Measured
    unit: str


def at_least(bound: float, words: str, measured: Measured, unit: str = "x") -> Goal:
    """A goal that more is better for."""
    return Goal(words, bound, True, measured, unit)


def at_most(bound: float, words: str, measured: Measured, unit: str = "x") -> Goal:
    """A goal that less is better for."""
    return Goal(words, bound, False, measured, unit)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal beside what was measured."""

    goal: Goal
    value: float | None

    @property
    def holds(self) -> bool | None:
        """Whether the goal was reached; None when it was not measured."""
        if self.value is None:
            return None
        return self.value >= self.goal.bound if self.goal.at_least else self.value <= self.goal.bound


def times_as_fast(case: str, at: str, peer: str) -> Measured:
    """How many times as many operations coord makes as a peer."""
    return lambda figures: _ratio(figures, (case, at, peer), (case, at, "coord"))


def times_as_long(case: str, at: str, peer: str) -> Measured:
    """How many times as long coord takes as a peer."""
    return lambda figures: _ratio(figures, (case, at, "coord"), (case, at, peer))


def _ratio(figures: Figures, of: tuple[str, str, str], to: tuple[str, str, str]) -> float | None:
    return ratio(figures[of], figures[to]) if of in figures and to in figures else None


def least_over_jobs(at: str, peer: str) -> Measured:
    """How many times as fast coord is at the blocking job where it leads by the least."""

    def measured(figures: Figures) -> float | None:
        jobs = {case for case, place, who in figures if case.startswith("blocking-") and place == at and who == peer}
        return min((found for job in jobs if (found := times_as_fast(job, at, peer)(figures))), default=None)

    return measured


def least_over_scripts(figures: Figures) -> float | None:
    """How many times as fast the twin is, of the script where it leads by the least."""
    places = {at for case, at, who in figures if case == "memory-scripts" and who == "fakeredis"}
    ratios = [times_as_fast("memory-scripts", at, "fakeredis")(figures) for at in places]
    return min((found for found in ratios if found), default=None)


def cost_of_ids(figures: Figures) -> float | None:
    """The share of throughput, in percent, that operation ids cost the accumulation they cost the most."""
    places = {at for case, at, _ in figures if case == "async-ids"}
    lost = [_ratio(figures, ("async-ids", at, "coord, no ids"), ("async-ids", at, "coord")) for at in places]
    return max((100 * (1 - left) for left in lost if left), default=None)


def milliseconds(at: str) -> Measured:
    """The median hand-over."""

    def measured(figures: Figures) -> float | None:
        figure = figures.get(("handover", at, "coord"))
        return None if figure is None else median(figure.rounds) / 1000

    return measured


def sooner(figures: Figures) -> float | None:
    """How many times sooner coord's waiter has the lock than that of redis-py: the ratio of the medians."""
    coord, peer = (figures.get(("handover", "on a server", who)) for who in ("coord", "redis-py Lock"))
    return None if coord is None or peer is None else peer.median / coord.median


ASYNC, PLAIN = "async-once", "memory-plain"
SCRIPT = "redis-py Script"

GOALS = (
    at_least(6, "async, 100 tasks: as fast as redis.asyncio", times_as_fast(ASYNC, "100 tasks", "redis.asyncio")),
    at_least(3, "async, 100 tasks: as fast as valkey-glide", times_as_fast(ASYNC, "100 tasks", "valkey-glide")),
    at_least(10, "async, 1,000 tasks: as fast as redis.asyncio", times_as_fast(ASYNC, "1,000 tasks", "redis.asyncio")),
    at_least(1, "async, alone: as fast as redis.asyncio", times_as_fast(ASYNC, "1 task", "redis.asyncio")),
    at_least(1.8, "blocking, 1 thread, once: as fast as Script", times_as_fast("blocking-once", "1 thread", SCRIPT)),
    at_least(4, "blocking, 8 threads, once: as fast as Script", times_as_fast("blocking-once", "8 threads", SCRIPT)),
    at_least(1.8, "blocking, 1 thread, the job of the smallest lead", least_over_jobs("1 thread", SCRIPT)),
    at_least(4, "blocking, 8 threads, the job of the smallest lead", least_over_jobs("8 threads", SCRIPT)),
    at_most(15, "async, 100 tasks: operation ids cost", cost_of_ids, "%"),
    at_most(3, "in memory, once: as long as dict and lock", times_as_long(PLAIN, "once", "dict and lock")),
    at_most(3, "in memory, once, seen: as long as dict and lock", times_as_long(PLAIN, "once, seen", "dict and lock")),
    at_least(20, "in memory: as fast as fakeredis, the script of the smallest lead", least_over_scripts),
    at_most(3, "hand-over on a server", milliseconds("on a server"), "ms"),
    at_least(20, "hand-over on a server: sooner than redis-py Lock", sooner),
    at_most(1, "hand-over in memory", milliseconds("in memory"), "ms"),
)


def verdicts(figures: Iterable[Figure], goals: Sequence[Goal] = GOALS) -> list[Verdict]:
    """Each goal that was measured, beside its value."""
    found = {(figure.case, figure.at, figure.who): figure for figure in figures}
    return [verdict for goal in goals if (verdict := Verdict(goal, goal.measured(found))).value is not None]
