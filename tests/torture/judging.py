"""What was seen in a row, and what families find in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from torture.journal import Fact, Record

__all__ = ["Family", "Finding", "Seen", "overlaps", "stalled", "ungrown"]

Column = Literal["lost", "doubled", "two holders", "not grown", "callbacks", "never woken", "no TTL", "left", "errors"]

LOOKS_AGAIN = 7.0
"""Seconds after which a waiter has surely looked by itself, or a lease that nobody renews has ended."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A promise that did not hold. ``by_loss``: a server that lost what it acknowledged explains it."""

    column: Column
    text: str
    by_loss: bool = False
    count: int = 1


@dataclass
class Seen:
    """All that was written down in a row. ``c`` and ``look`` are connected to the servers past every bad line."""

    c: Any
    look: Any
    records: list[Record] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    outages: list[tuple[float, float]] = field(default_factory=list)
    stopped: float = 0.0
    killed: bool = False

    def of(self, family: str, *ops: str) -> dict[str, list[Record]]:
        """Return the calls of a family by entity."""
        found = defaultdict[str, list[Record]](list)
        for record in self.records:
            if record.family == family and (not ops or record.op in ops):
                found[record.entity].append(record)
        return found

    def facts_of(self, family: str, what: str) -> dict[str, list[Fact]]:
        """Return what was seen by a family, by entity."""
        found = defaultdict[str, list[Fact]](list)
        for fact in self.facts:
            if fact.family == family and fact.what == what:
                found[fact.entity].append(fact)
        return found

    def is_calm(self, since: float, until: float) -> bool:
        """Whether no outage touched a span of time."""
        return not any(start < until and end > since for start, end in self.outages)


@dataclass(frozen=True, slots=True)
class Family:
    """One unit of work of a lane, and what must hold afterwards."""

    work: Callable[[Any], Any]
    judge: Callable[[Seen], Iterable[Finding]]
    weight: float = 1.0


def overlaps(facts: Iterable[Fact], limit: int = 1) -> Iterator[str]:
    """Yield where more than ``limit`` were inside at once; what is noted of one fence is one span."""
    by_fence: dict[int, list[Any]] = {}
    for since, until, fence in (fact.value for fact in facts):
        span = by_fence.setdefault(fence, [since, until, fence])
        span[0], span[1] = min(span[0], since), max(span[1], until)
    spans = sorted(by_fence.values(), key=lambda span: span[0])
    inside: list[list[Any]] = []
    for span in spans:
        inside = [each for each in inside if each[1] > span[0]]
        inside.append(span)
        if len(inside) > limit:
            yield f"inside together: {inside}"


def ungrown(records: Iterable[Record], value: Callable[[Any], int | None] = lambda value: value) -> Iterator[str]:
    """Yield the answers that are not above all that were given before they were asked for."""
    valued = [(each, number) for each in records if each.is_done and (number := value(each.value)) is not None]
    by_end = sorted(valued, key=lambda pair: pair[0].ended)
    highest, at = 0, 0
    for record, number in sorted(valued, key=lambda pair: pair[0].started):
        while at < len(by_end) and by_end[at][0].ended < record.started:
            highest = max(highest, by_end[at][1])
            at += 1
        if number <= highest:
            yield f"{record.family} {record.entity}: {number} after {highest}"
    twice = len(valued) - len({number for _, number in valued})
    if twice:
        yield from (f"{valued[0][0].family} {valued[0][0].entity}: a number was given twice" for _ in range(twice))


def stalled(seen: Seen, waits: Iterable[Record], grants: Iterable[Record]) -> Iterator[str]:
    """Yield the waits that ended in vain although nobody got what they waited for in their last seconds."""
    granted = [each for each in grants if each.outcome in ("done", "", "unknown")]
    for wait in waits:
        since = wait.ended - LOOKS_AGAIN
        if wait.outcome == "timeout" and since > wait.started and seen.is_calm(since - 1, wait.ended):
            # A call without an answer may have been granted at any time until its compensation.
            busy = any(each.ended > since and each.started < wait.ended for each in granted if each is not wait)
            if not busy:
                yield f"{wait.family} {wait.entity}: waited {wait.ended - wait.started:.1f} s for a free one"
