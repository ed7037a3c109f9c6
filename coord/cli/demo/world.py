"""Everything that is not coord: the queue, the store that workers write to, and the roster of who runs.

It lives in the demo's own process and outlives every worker, so what it has seen is the truth.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from coord.cli.demo.load import PATIENCE, Update

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

__all__ = ["Delivery", "Queue", "Roster", "Store", "World"]

_TWICE = 0.3
_UNORDERED = 0.06
_BACK = 0.05
_GATHERING = 60.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """An update handed to a worker. ``attempt`` is 1 at first; copies of one attempt are duplicates."""

    receipt: int
    update: Update
    attempt: int


class Queue:
    """A queue as most are: at least once, in no order, sometimes twice.

    What is not acknowledged in time is delivered again, as a new attempt.
    """

    def __init__(self, producers: int, dice: Random) -> None:
        self._changed = threading.Condition()
        self._producers = producers
        self._dice = dice
        self._due: list[tuple[float, int, Update, int]] = []
        self._given: dict[int, tuple[float, Delivery]] = {}
        self._entries = 0
        self._attempts: set[tuple[str, int]] = set()
        self._settled: set[str] = set()
        self.enqueued = 0
        self.delivered = 0
        self.redelivered = 0
        self.by_worker: Counter[str] = Counter()

    @property
    def repeats(self) -> int:
        """How many deliveries were copies of one made before."""
        return self.delivered - len(self._attempts)

    @property
    def settled(self) -> int:
        """How many updates have been acknowledged."""
        return len(self._settled)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left, and nothing will come."""
        return not self._due and not self._given and self._producers <= 0

    def put(self, update: Update) -> None:
        """Take an update in."""
        with self._changed:
            self.enqueued += 1
            due = time.monotonic() + self._dice.uniform(0, _UNORDERED)
            self._enter(due, update, 1)
            if self._dice.random() < _TWICE:
                # Every other copy comes along with the first, the rest some time later.
                self._enter(due + self._dice.choice((0.0, _UNORDERED)), update, 1)
            self._changed.notify_all()

    def done(self) -> None:
        """Note that a producer has nothing more to bring."""
        with self._changed:
            self._producers -= 1
            self._changed.notify_all()

    def take(self, worker: str) -> Delivery | None:
        """Wait for the next update; None when nothing is left."""
        with self._changed:
            while not self._is_due():
                if self.is_empty:
                    self._changed.notify_all()
                    return None
                self._changed.wait(self._until_next())
            _, receipt, update, attempt = heappop(self._due)
            delivery = Delivery(receipt, update, attempt)
            self._given[receipt] = time.monotonic() + PATIENCE, delivery
            self.delivered += 1
            self.redelivered += attempt > 1
            self._attempts.add((update.id, attempt))
            self.by_worker[worker] += 1
            return delivery

    def ack(self, receipt: int) -> None:
        """Acknowledge a delivery: it is not made again. Too late once it has been given to another worker."""
        with self._changed:
            given = self._given.pop(receipt, None)
            if given:
                self._settled.add(given[1].update.id)
            self._changed.notify_all()

    def put_back(self, receipt: int) -> None:
        """Ask for a delivery to be made again a little later."""
        with self._changed:
            given = self._given.pop(receipt, None)
            if given:
                self._enter(time.monotonic() + _BACK, given[1].update, given[1].attempt + 1)
            self._changed.notify_all()

    def close(self) -> None:
        """Drop everything; whoever waits is told that nothing is left."""
        with self._changed:
            self._due.clear()
            self._given.clear()
            self._producers = 0
            self._changed.notify_all()

    def _enter(self, due: float, update: Update, attempt: int) -> None:
        self._entries += 1
        heappush(self._due, (due, self._entries, update, attempt))

    def _is_due(self) -> bool:
        self._reclaim()
        return bool(self._due) and self._due[0][0] <= time.monotonic()

    def _reclaim(self) -> None:
        now = time.monotonic()
        late = [receipt for receipt, (deadline, _) in self._given.items() if deadline < now]
        for receipt in late:
            _, delivery = self._given.pop(receipt)
            self._enter(now, delivery.update, delivery.attempt + 1)

    def _until_next(self) -> float | None:
        moments = [deadline for deadline, _ in self._given.values()]
        if self._due:
            moments.append(self._due[0][0])
        return max(0.0, min(moments) - time.monotonic()) if moments else None


class Store:
    """What workers write to, such as a search index. It keeps the truth: every effect, in order.

    It refuses a fence below the highest that it has seen for a document: who comes with a lower one has lost its lease.
    A writer without a fence is never refused.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fences: dict[str, int] = {}
        self.effects: list[tuple[str, int]] = []
        self._applied: dict[str, list[int]] = {}
        self.refused = 0

    def open(self, document: str, fence: int) -> list[int] | None:
        """Return the revisions written so far, in order; None: the fence is too low.

        From now on lower fences are refused, so what is read here stays true until the reader writes.
        """
        with self._lock:
            if not self._passes(document, fence):
                return None
            return list(self._applied.get(document, ()))

    def write(self, document: str, revision: int, fence: int | None = None) -> bool:
        """Apply an update's effect; False: the fence is too low, and nothing changed."""
        with self._lock:
            if fence is not None and not self._passes(document, fence):
                return False
            self.effects.append((document, revision))
            self._applied.setdefault(document, []).append(revision)
            return True

    def newest(self, document: str) -> int:
        """Return the revision that was written last; 0: none was."""
        return self._applied.get(document, [0])[-1]

    def _passes(self, document: str, fence: int) -> bool:
        if fence < self._fences.get(document, 0):
            self.refused += 1
            return False
        self._fences[document] = fence
        return True


class Roster:
    """Who takes part, and how each of them fares."""

    def __init__(self, names: Iterable[str]) -> None:
        self.states = dict.fromkeys(names, "starting")
        self.blows: list[str] = []
        self.reports: list[dict[str, int]] = []
        self.failures: list[str] = []
        self._start = threading.Barrier(len(self.states))

    @property
    def everyone_is_here(self) -> bool:
        """Whether all have arrived."""
        return "starting" not in self.states.values()

    def arrive(self, name: str) -> None:
        """Wait until everyone is here, so that nobody has a head start."""
        self.states[name] = "ready"
        self._start.wait(_GATHERING)
        self.states[name] = "running"

    def struck(self, name: str, kind: str) -> None:
        """Note what has struck a worker."""
        self.blows.append(kind)
        self.states[name] = kind

    def recovered(self, name: str) -> None:
        """Note that a stalled worker goes on."""
        self.states[name] = "running"

    def report(self, counts: dict[str, int]) -> None:
        """Hand in the statistics."""
        self.reports.append(counts)

    def left(self, name: str) -> None:
        """Note that someone has gone home."""
        self.states[name] = "done"

    def failed(self, sentence: str) -> None:
        """Note why someone could not go on."""
        self.failures.append(sentence)

    def close(self) -> None:
        """Let nobody wait for a beginning any more."""
        self._start.abort()


class World:
    """The queue, the store and the roster of one run."""

    def __init__(self, producers: list[str], workers: list[str], dice: Random) -> None:
        self.queue = Queue(len(producers), dice)
        self.store = Store()
        self.roster = Roster((*producers, *workers))
        self.workers = workers

    def close(self) -> None:
        """Send everybody home."""
        self.roster.close()
        self.queue.close()
