"""Everything that is not coord: the queue, the store, and the state of each worker. What it has seen is the truth."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import NamedTuple

from examples.pipeline.load import MODELS, PRODUCERS, REDELIVERY, WORK, Load, Update

COUNTS = ("enqueued", "delivered", "deduped", "worked", "superseded")

_TWICE = 0.3
_UNORDERED = 0.06
_BACK = 0.05


class Delivery(NamedTuple):
    """An update given to a worker. Copies of one attempt are duplicates; a redelivery is a new attempt."""

    receipt: int
    update: Update
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """How far a run has come, or what came of it: the counts of the workers beside the truth."""

    truth: dict[str, int]
    counted: Counter[str]
    settled: int
    lost: int  # documents whose newest revision is not what the store ended with
    doubled: int  # writes of a revision that the store already had
    refused: int  # writes with an old fence
    at_once: int  # the most calls of the model at one moment
    reports: int  # workers that were given the statistics
    states: dict[str, str]
    failures: list[str]

    @property
    def killed(self) -> int:
        """The number of workers that were killed."""
        return list(self.states.values()).count("killed")

    @property
    def miscounted(self) -> int:
        """The distance of the workers' counts from the truth, over all counts."""
        return sum(abs(self.counted[count] - self.truth[count]) for count in COUNTS)

    @property
    def holds(self) -> bool:
        """Whether nothing was lost or doubled, everything was waited for, and all counts are true."""
        waited = (self.counted["awaited"], self.counted["completed"]) == (self.truth["enqueued"], 1)
        spared = self.at_once <= MODELS
        return waited and spared and (self.miscounted, self.lost, self.doubled, self.reports) == (0, 0, 0, 1)


class Environment:
    """The queue, the store and the workers' states of one run. It outlives every worker.

    The queue delivers at least once, in no order, some updates twice. What is not acknowledged in time is delivered
    again. The store rejects a fence that is lower than the highest it has seen for a document.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._dice = load.dice("queue")
        self._changed = threading.Condition()
        self._producers = PRODUCERS
        self._due: list[tuple[float, int, Update, int]] = []
        self._given: dict[int, tuple[float, Delivery]] = {}
        self._entries = self._enqueued = self._delivered = self._refused = 0
        self._calls = self._at_once = 0
        self._attempts: set[tuple[str, int]] = set()
        self._settled: set[str] = set()
        self._fences: dict[str, int] = {}
        self._written: dict[str, list[int]] = {name: [] for name in load.names()}
        self._faults = load.faults()
        self._states: dict[str, str] = {}
        self._steps: Counter[str] = Counter()
        self._reports: list[dict[str, int]] = []
        self._failures: list[str] = []

    # --- the queue

    def put(self, update: Update) -> None:
        """Enqueue an update."""
        with self._changed:
            self._enqueued += 1
            due = time.monotonic() + self._dice.uniform(0, _UNORDERED)
            self._enter(due, update, 1)
            if self._dice.random() < _TWICE:
                self._enter(due + self._dice.choice((0.0, _UNORDERED)), update, 1)

    def finish_producer(self) -> None:
        """Record that a producer has enqueued everything."""
        with self._changed:
            self._producers -= 1
            self._changed.notify_all()

    def take(self) -> Delivery | None:
        """Wait for the next update; None when no more will come."""
        with self._changed:
            while not self._is_due():
                if not (self._due or self._given or self._producers > 0):
                    self._changed.notify_all()
                    return None
                self._changed.wait(self._until_next())
            _, receipt, update, attempt = heappop(self._due)
            delivery = Delivery(receipt, update, attempt)
            self._given[receipt] = time.monotonic() + REDELIVERY, delivery
            self._delivered += 1
            self._attempts.add((update.id, attempt))
            return delivery

    def ack(self, receipt: int) -> None:
        """Acknowledge a delivery. No effect if it has been given to another worker since."""
        with self._changed:
            if given := self._given.pop(receipt, None):
                self._settled.add(given[1].update.id)
            self._changed.notify_all()

    def put_back(self, receipt: int) -> None:
        """Have a delivery made again a little later."""
        with self._changed:
            if given := self._given.pop(receipt, None):
                self._enter(time.monotonic() + _BACK, given[1].update, given[1].attempt + 1)

    def _enter(self, due: float, update: Update, attempt: int) -> None:
        self._entries += 1
        heappush(self._due, (due, self._entries, update, attempt))
        self._changed.notify_all()

    def _is_due(self) -> bool:
        now = time.monotonic()
        for receipt in [receipt for receipt, (deadline, _) in self._given.items() if deadline < now]:
            _, delivery = self._given.pop(receipt)
            self._enter(now, delivery.update, delivery.attempt + 1)
        return bool(self._due) and self._due[0][0] <= now

    def _until_next(self) -> float | None:
        moments = [deadline for deadline, _ in self._given.values()] + [due for due, *_ in self._due[:1]]
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    # --- the store

    def read(self, document: str, fence: int) -> list[int] | None:
        """Return the revisions written so far; None: the fence is too low. Lower fences are rejected from now on."""
        with self._changed:
            return list(self._written[document]) if self._passes(document, fence) else None

    def write(self, document: str, revision: int, fence: int | None = None) -> bool:
        """Write a revision; False: the fence is too low, and nothing changed."""
        with self._changed:
            if fence is not None and not self._passes(document, fence):
                return False
            self._written[document].append(revision)
            return True

    def _passes(self, document: str, fence: int) -> bool:
        if fence < self._fences.get(document, 0):
            self._refused += 1
            return False
        self._fences[document] = fence
        return True

    # --- the model

    def call_model(self) -> None:
        """Work on an update."""
        with self._changed:
            self._calls += 1
            self._at_once = max(self._at_once, self._calls)
        time.sleep(WORK)
        with self._changed:
            self._calls -= 1

    # --- the workers' states

    def start(self, name: str) -> None:
        """Record that a producer or worker has started."""
        self._states[name] = "running"

    def fault(self, name: str, step: str, update: Update) -> str | None:
        """Return the fault that hits a worker at this step: "kill", "stall" or None."""
        fault = self._faults.get(name)
        if fault is None or fault.step != step or update.last != (fault.kind == "kill"):
            return None
        self._steps[name] += 1
        if self._steps[name] != fault.nth:
            return None
        self._states[name] = "killed" if fault.kind == "kill" else "stalled"
        return fault.kind

    def finish(self, name: str, counts: dict[str, int] | None) -> None:
        """Record that a producer or worker has ended, and the statistics if it was given them."""
        self._states[name] = "done"
        if counts:
            self._reports.append(counts)

    def fail(self, message: str) -> None:
        """Record an error that ends the run."""
        self._failures.append(message)

    def snapshot(self) -> Snapshot:
        """Return the present state."""
        with self._changed:
            writes = sum(map(len, self._written.values()))
            worked = sum(len(set(revisions)) for revisions in self._written.values())
            newest = [revisions[-1:] for revisions in self._written.values()]
            return Snapshot(
                truth={
                    "enqueued": self._enqueued,
                    "delivered": self._delivered,
                    "deduped": self._delivered - len(self._attempts),
                    "worked": worked,
                    "superseded": self._enqueued - worked,
                },
                counted=sum(map(Counter, self._reports), Counter()),
                settled=len(self._settled),
                lost=len(newest) - newest.count([self._load.updates]),
                doubled=writes - worked,
                refused=self._refused,
                at_once=self._at_once,
                reports=len(self._reports),
                states=dict(self._states),
                failures=list(self._failures),
            )
