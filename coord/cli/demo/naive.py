"""The pipeline without coord: get, check, set. What one writes first, and what looks right in a test with one instance.

Each function here does what its namesake in ``worker`` does.
"""

from __future__ import annotations

import threading
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from coord.cli.demo.load import LEASE, WORK, Burst, Update
from coord.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coord.cli.demo.fate import Fate
    from coord.cli.demo.world import Delivery, Queue, Store

__all__ = ["Dict", "Server", "State", "is_shared", "produce", "state_at", "work"]

_KEEP = 60.0
_POLL = 0.005
_COUNTS = ("enqueued", "delivered", "deduped", "worked", "superseded")
_CLIENTS = {"redis": "redis", "rediss": "rediss", "unix": "unix", "valkey": "redis", "valkeys": "rediss"}


class State(Protocol):
    """What naive code keeps its state in: numbers under keys, for a while."""

    def get(self, key: str) -> int:
        """Return a number; 0 when there is none."""
        ...

    def set(self, key: str, value: int, ttl: float = _KEEP) -> None:
        """Keep a number for a while."""
        ...


class Dict:
    """A dict and a lock, one for each instance."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, tuple[int, float]] = {}

    def get(self, key: str) -> int:
        """Return a number; 0 when there is none."""
        with self._lock:
            value, deadline = self._values.get(key, (0, 0.0))
            return value if time.monotonic() < deadline else 0

    def set(self, key: str, value: int, ttl: float = _KEEP) -> None:
        """Keep a number for a while."""
        with self._lock:
            self._values[key] = value, time.monotonic() + ttl


class Server:
    """GET and SET on a server, one truth for all instances; each command is atomic, but two are not."""

    def __init__(self, url: str, prefix: str) -> None:
        scheme, _, rest = url.partition("://")
        redis: Any = import_module("redis")
        self._client: Any = redis.Redis.from_url(f"{_CLIENTS[scheme]}://{rest}")
        self._error: type[Exception] = redis.RedisError
        self._prefix = prefix

    def get(self, key: str) -> int:
        """Return a number; 0 when there is none."""
        return int(self._send("GET", self._prefix + key) or 0)

    def set(self, key: str, value: int, ttl: float = _KEEP) -> None:
        """Keep a number for a while."""
        self._send("SET", self._prefix + key, value, "PX", int(ttl * 1000))

    def _send(self, *command: str | int) -> Any:
        try:
            return self._client.execute_command(*command)
        except self._error:
            raise Unavailable("the server went away during the naive run") from None


def state_at(url: str, prefix: str) -> State:
    """Return what an instance would keep its state in: the server's keys, or a dict of its own where there is none."""
    return Server(url, prefix) if is_shared(url) else Dict()


def is_shared(url: str) -> bool:
    """Whether the instances share what they keep their state in."""
    return url.partition("://")[0] in _CLIENTS


def produce(state: State, queue: Queue, bursts: Iterable[Burst], pause: float) -> None:
    """Enqueue every update under a new version of its document."""
    for document, revisions, last in bursts:
        for revision in revisions:
            version = state.get(f"version:{document}") + 1
            state.set(f"version:{document}", version)
            queue.put(Update(document, revision, version, last and revision == revisions[-1]))
            _count(state, "enqueued")
        time.sleep(pause * len(revisions))


def work(state: State, queue: Queue, store: Store, fate: Fate, name: str) -> dict[str, int] | None:
    """Handle updates until none is left; then take the statistics, unless they look taken."""
    while (delivery := queue.take(name)) is not None:
        _handle(state, queue, store, fate, delivery)
    counts = {count: state.get(f"stats:{count}") for count in _COUNTS}
    for count in _COUNTS:
        state.set(f"stats:{count}", 0)
    return counts if any(counts.values()) else None


def _handle(state: State, queue: Queue, store: Store, fate: Fate, delivery: Delivery) -> None:
    update = delivery.update
    _count(state, "delivered")
    if state.get(f"seen:{update.id}"):
        # Perhaps by a worker who has died since: then this drops the only copy.
        _count(state, "deduped")
        queue.ack(delivery.receipt)
        return
    # Two workers who got here together both go on.
    state.set(f"seen:{update.id}", 1)
    while state.get(f"lock:{update.document}"):
        time.sleep(_POLL)
    state.set(f"lock:{update.document}", 1, LEASE)
    _count(state, _settle(state, store, fate, update))
    # Whoever holds the lock by now, this lets it go.
    state.set(f"lock:{update.document}", 0)
    fate.reach("counted", update)
    queue.ack(delivery.receipt)


def _settle(state: State, store: Store, fate: Fate, update: Update) -> str:
    """Bring an update into the store and return its outcome."""
    if update.version < state.get(f"version:{update.document}"):
        return "superseded"
    state.set(f"version:{update.document}", update.version)
    time.sleep(WORK)
    fate.reach("working", update)
    # After a pause longer than the lock's life, this overwrites what is newer.
    store.write(update.document, update.revision)
    fate.reach("written", update)
    return "worked"


def _count(state: State, count: str) -> None:
    state.set(f"stats:{count}", state.get(f"stats:{count}") + 1)
