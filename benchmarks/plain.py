"""What one would write without coord, for one process: dicts and a lock.

Entries expire and are dropped, so that memory is bounded. There are no checks of names, counts, types and TTLs, no
operation ids, no owners and no waiting, and a second process cannot use it.
"""

from __future__ import annotations

import threading
from heapq import heappop, heappush
from time import monotonic
from typing import Any


class Kept:
    """A dict whose entries expire."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[float, Any]] = {}
        self._ends: list[tuple[float, str]] = []

    def get(self, key: str, now: float) -> Any:
        """The value at the key, or None."""
        entry = self._entries.get(key)
        return entry[1] if entry is not None and entry[0] > now else None

    def put(self, key: str, value: Any, now: float, ttl: float) -> None:
        """Keep a value for ``ttl`` seconds, and drop expired ones."""
        while self._ends and self._ends[0][0] < now:
            self._drop(heappop(self._ends)[1], now)
        if key not in self._entries:
            heappush(self._ends, (now + ttl, key))
        self._entries[key] = (now + ttl, value)

    def pop(self, key: str, now: float) -> Any:
        """Take the value at the key, or None."""
        value = self.get(key, now)
        self._entries.pop(key, None)
        return value

    def _drop(self, key: str, now: float) -> None:
        entry = self._entries.get(key)
        if entry is not None and entry[0] < now:
            del self._entries[key]
        elif entry is not None:
            heappush(self._ends, (entry[0], key))


class Plain:
    """Windows, claims, versions, statistics and counts of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows, self._claims, self._versions, self._stats, self._counts = (Kept() for _ in range(5))
        self._fence = 0

    def once(self, name: str, ttl: float = 45) -> bool:
        """True for one caller per window."""
        now = monotonic()
        with self._lock:
            if self._windows.get(name, now):
                return False
            self._windows.put(name, True, now, ttl)
            return True

    def claim(self, name: str, ttl: float = 30) -> int | None:
        """A fence, or None when the name is taken."""
        now = monotonic()
        with self._lock:
            if self._claims.get(name, now):
                return None
            self._fence += 1
            self._claims.put(name, self._fence, now, ttl)
            return self._fence

    def release(self, name: str, fence: int) -> bool:
        """Release a claim if it still has that fence."""
        now = monotonic()
        with self._lock:
            if self._claims.get(name, now) != fence:
                return False
            self._claims.pop(name, now)
            return True

    def bump(self, name: str, ttl: float = 3600) -> int:
        """A new version."""
        now = monotonic()
        with self._lock:
            newest = (self._versions.get(name, now) or 0) + 1
            self._versions.put(name, newest, now, ttl)
            return newest

    def is_stale(self, name: str, version: int) -> bool:
        """Whether there is a newer one."""
        with self._lock:
            return (self._versions.get(name, monotonic()) or 0) > version > 0

    def merge(self, id: str, ttl: float = 3600, **deltas: int) -> None:
        """Add to counts."""
        now = monotonic()
        with self._lock:
            counts = self._stats.get(id, now) or {}
            for field, delta in deltas.items():
                counts[field] = counts.get(field, 0) + delta
            self._stats.put(id, counts, now, ttl)

    def consume(self, id: str) -> dict[str, int] | None:
        """Take the counts."""
        with self._lock:
            counts: dict[str, int] | None = self._stats.pop(id, monotonic())
            return counts

    def incr(self, key: str, delta: int = 1, ttl: float = 3600) -> int:
        """Add to a number."""
        now = monotonic()
        with self._lock:
            total: int = (self._counts.get(key, now) or 0) + delta
            self._counts.put(key, total, now, ttl)
            return total


class NeverCleaned:
    """The least that passes for a dedupe window: a dict that only grows, and a lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: dict[str, float] = {}

    def once(self, name: str, ttl: float = 45) -> bool:
        """True for one caller per window."""
        now = monotonic()
        with self._lock:
            if self._ends.get(name, 0.0) > now:
                return False
            self._ends[name] = now + ttl
            return True
