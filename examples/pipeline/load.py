"""What the demo runs on. It follows from the options and the seed, so both runs meet the same load and faults."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

PRODUCERS = 2
WORK = 0.004
"""Seconds that a model works on an update."""
MODELS = 3
"""The calls that the model takes at once."""
LEASE = 0.7
"""Seconds for which a worker claims a document."""
PERMIT = 10.0
"""Seconds after which a call of the model no longer counts if its worker is gone."""
REDELIVERY = 1.0
"""Seconds after which the queue gives an unacknowledged update to another worker."""
STALL = 1.8
"""Seconds for which one worker stalls: longer than its lease and than the queue's redelivery time."""
KEEP = 120.0
"""Seconds after which nothing of the demo is left on a server."""

_PAUSE = 0.005
_WRITING = 2.5
BURST = 3


class Update(NamedTuple):
    """One change to a document. ``revision`` counts from 1 and is the truth; workers only compare ``version``."""

    document: str
    revision: int
    version: int
    last: bool

    @property
    def id(self) -> str:
        """The name of the update in the queue."""
        return f"{self.document}/{self.revision}"


Reach = Callable[[str, Update], None]
"""Called at each step of a worker; a fault may hit the worker there."""


class Fault(NamedTuple):
    """What happens to a worker: "kill" or "stall", and at which step of its nth matching update.

    A kill hits the last update of a document, because no later update would make up for it. A stall hits an earlier
    one, because the worker then continues with an outdated update.
    """

    kind: str
    step: str
    nth: int


@dataclass(frozen=True, slots=True)
class Load:
    """The size of the demo and its seed."""

    documents: int = 200
    updates: int = 5
    workers: int = 6
    seed: int = 1

    @property
    def total(self) -> int:
        """The number of updates."""
        return self.documents * self.updates

    @property
    def pause(self) -> float:
        """Seconds between two updates of a producer; shorter for large loads, so that they take no longer."""
        return min(_PAUSE, _WRITING * PRODUCERS / self.total)

    @property
    def rate(self) -> int:
        """The updates that all producers together may enqueue in a second."""
        return round(PRODUCERS / self.pause)

    def names(self) -> list[str]:
        """Return the names of all documents."""
        return [f"doc-{number:03}" for number in range(self.documents)]

    def bursts(self, producer: int) -> list[tuple[str, range]]:
        """Return the revisions that a producer saves in quick succession. Each document has one producer."""
        starts = range(1, self.updates + 1, BURST)
        order = [name for name in self.names()[producer::PRODUCERS] for _ in starts]
        self.dice(f"producer {producer}").shuffle(order)
        left = {name: iter(starts) for name in order}
        return [
            (name, range(start, min(start + BURST, self.updates + 1))) for name in order for start in [next(left[name])]
        ]

    def faults(self) -> dict[str, Fault]:
        """Return what happens to which worker: half of them are killed, one of the others stalls."""
        dice = self.dice("faults")
        most = max(1, self.documents // (2 * self.workers))
        steps = ("working", "written", "working", "counted")
        faults = [
            Fault("kill", steps[number % len(steps)], dice.randint((most + 1) // 2, most))
            for number in range(self.workers // 2)
        ]
        faults.append(Fault("stall", "working", 1))
        chosen = dice.sample(range(1, self.workers + 1), len(faults))
        return {f"worker-{number}": fault for number, fault in zip(chosen, faults, strict=True)}

    def dice(self, purpose: str) -> random.Random:
        """Return a source of chance: the same for the same seed and purpose."""
        return random.Random(f"{self.seed} {purpose}")
