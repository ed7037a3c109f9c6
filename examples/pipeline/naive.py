"""The pipeline with a dict and a lock. It is what one writes first, and it passes all tests with one instance.

Each function does what the function of the same name in ``coordinated`` does.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from examples.pipeline.environment import COUNTS
from examples.pipeline.load import KEEP, LEASE, MODELS, Load, Reach, Update

if TYPE_CHECKING:
    from examples.pipeline.environment import Delivery, Environment

_POLL = 0.005


class Local:
    """A dict and a lock: each instance has its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, tuple[int, float]] = {}
        self.model = threading.Semaphore(MODELS)

    def get(self, key: str) -> int:
        """Return a number; 0 when there is none."""
        with self._lock:
            value, deadline = self._values.get(key, (0, 0.0))
            return value if time.monotonic() < deadline else 0

    def set(self, key: str, value: int, ttl: float = KEEP) -> None:
        """Keep a number for ``ttl`` seconds."""
        with self._lock:
            self._values[key] = value, time.monotonic() + ttl


def produce(state: Local, env: Environment, load: Load, number: int) -> None:
    """Enqueue every update under a new version of its document."""
    for document, revisions in load.bursts(number):
        for revision in revisions:
            version = state.get(f"version:{document}") + 1
            state.set(f"version:{document}", version)
            env.put(Update(document, revision, version, revision == load.updates))
            _count(state, "enqueued")
        time.sleep(load.pause * len(revisions))
    env.finish_producer()


def work(state: Local, env: Environment, reach: Reach) -> dict[str, int] | None:
    """Handle updates until none is left; then take the statistics, unless another worker has taken them."""
    while (delivery := env.take()) is not None:
        _handle(state, env, reach, delivery)
    counts = {count: state.get(f"stats:{count}") for count in COUNTS}
    for count in COUNTS:
        state.set(f"stats:{count}", 0)
    return counts if any(counts.values()) else None


def _handle(state: Local, env: Environment, reach: Reach, delivery: Delivery) -> None:
    update = delivery.update
    _count(state, "delivered")
    if state.get(f"seen:{update.id}"):
        # If the worker that saw it has died since, this drops the only copy.
        _count(state, "deduped")
        env.ack(delivery.receipt)
        return
    # Two workers that check at the same time both continue.
    state.set(f"seen:{update.id}", 1)
    while state.get(f"lock:{update.document}"):
        time.sleep(_POLL)
    state.set(f"lock:{update.document}", 1, LEASE)
    _count(state, _settle(state, env, reach, update))
    # This releases the lock even if another instance holds it by now.
    state.set(f"lock:{update.document}", 0)
    reach("counted", update)
    env.ack(delivery.receipt)


def _settle(state: Local, env: Environment, reach: Reach, update: Update) -> str:
    """Write an update and return its outcome."""
    if update.version < state.get(f"version:{update.document}"):
        return "superseded"
    state.set(f"version:{update.document}", update.version)
    with state.model:
        env.call_model()
    reach("working", update)
    # After a pause longer than the lock's TTL, this overwrites a newer revision.
    env.write(update.document, update.revision)
    reach("written", update)
    return "worked"


def _count(state: Local, count: str) -> None:
    state.set(f"stats:{count}", state.get(f"stats:{count}") + 1)
