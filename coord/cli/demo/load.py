"""What the demo runs on: who writes which updates, and what strikes which worker.

All of it follows from the options and the seed, so both runs, with coord and naive, meet the same.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = ["LEASE", "PATIENCE", "PRODUCERS", "STALL", "WORK", "Blow", "Burst", "Load", "Update"]

PRODUCERS = 2
WORK = 0.004
"""Seconds of simulated work on an update."""
LEASE = 0.7
"""Seconds for which a worker claims a document."""
PATIENCE = 1.0
"""Seconds after which the queue gives an update that was not acknowledged to another worker."""
STALL = 1.8
"""Seconds for which a stalled worker stands still: longer than its lease, and than the queue's patience."""

_PAUSE = 0.005
_WRITING = 2.5
_LONGEST_BURST = 3


@dataclass(frozen=True, slots=True)
class Update:
    """One change to one document. ``revision`` counts from 1 and is the truth; ``version`` is what workers go by."""

    document: str
    revision: int
    version: int
    last: bool

    @property
    def id(self) -> str:
        """What this update is called."""
        return f"{self.document}/{self.revision}"


class Burst(NamedTuple):
    """Revisions that an author saves in quick succession; ``last``: nothing follows."""

    document: str
    revisions: range
    last: bool


class Blow(NamedTuple):
    """What strikes a worker: its kind, and the step and the number of the update at which it falls.

    A kill falls on the last update of a document, since no later one would make good what is lost with it;
    a stall falls on an update that others follow, since it comes back with an old text in its hands.
    """

    kind: Literal["killed", "stalled"]
    step: Literal["working", "written", "counted"]
    nth: int

    def is_for(self, update: Update, step: str) -> bool:
        """Whether it may fall here."""
        return step == self.step and update.last == (self.kind == "killed")


@dataclass(frozen=True, slots=True)
class Load:
    """The size of the demo and its seed."""

    documents: int = 200
    updates: int = 5
    workers: int = 6
    seed: int = 1

    @property
    def total(self) -> int:
        """How many updates there are."""
        return self.documents * self.updates

    @property
    def killed(self) -> int:
        """How many workers are to be killed: half of them."""
        return self.workers // 2

    @property
    def pause(self) -> float:
        """The seconds between two updates of one producer; less for large loads, so that they do not take longer."""
        return min(_PAUSE, _WRITING * PRODUCERS / self.total)

    def bursts(self, producer: int) -> list[Burst]:
        """Return what a producer writes. A document has one author, so its revisions come one after another."""
        dice = self.dice(f"producer {producer}")
        pending = [
            _bursts(f"doc-{number:03}", self.updates, dice) for number in range(producer, self.documents, PRODUCERS)
        ]
        order = [document for document in pending for _ in document]
        dice.shuffle(order)
        turns = {id(document): iter(document) for document in pending}
        return [next(turns[id(document)]) for document in order]

    def blows(self) -> list[Blow | None]:
        """Return what strikes each worker: half of them are killed, one of the others stalls."""
        dice = self.dice("blows")
        most = max(1, self.documents // (2 * self.workers))
        steps: tuple[Literal["working", "written", "counted"], ...] = ("working", "written", "working", "counted")
        blows: list[Blow | None] = [
            Blow("killed", steps[number % len(steps)], dice.randint((most + 1) // 2, most))
            for number in range(self.killed)
        ]
        blows.append(Blow("stalled", "working", 1))
        blows += [None] * (self.workers - len(blows))
        dice.shuffle(blows)
        return blows

    def dice(self, purpose: str) -> random.Random:
        """Return chance, the same for the same seed and purpose."""
        return random.Random(f"{self.seed} {purpose}")


def _bursts(document: str, updates: int, dice: random.Random) -> list[Burst]:
    bursts: list[Burst] = []
    start = 1
    while start <= updates:
        stop = min(start + dice.randint(1, _LONGEST_BURST), updates + 1)
        bursts.append(Burst(document, range(start, stop), stop > updates))
        start = stop
    return bursts
