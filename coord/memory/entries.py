"""Keys, values and deadlines, and how they expire."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from coord.errors import ReplyError
from coord.memory.parse import WRONG_TYPE
from coord.memory.values import SortedSet, Stream

__all__ = ["NEVER", "TYPES", "Entries", "Entry", "Value", "plain"]

NEVER = 1 << 63
"""The deadline of a key that has none: later than any that a command can set."""

_BUCKET_BITS = 10
_SWEPT_AT_ONCE = 16

Value = str | dict[str, str] | set[str] | list[str] | SortedSet | Stream
Entry = tuple[Any, int]
"""A value, and the last millisecond at which it is still there."""

TYPES: dict[type, str] = {
    str: "string",
    dict: "hash",
    set: "set",
    list: "list",
    SortedSet: "zset",
    Stream: "stream",
}


class Entries:
    """The store below the commands. A key is there until its deadline has passed."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._ns = self._now = 0
        self._buckets: dict[int, list[str]] = {}
        self._order: list[int] = []
        self._places = 0
        self._sweep_at = NEVER
        self._due: list[str] = []

    def __len__(self) -> int:
        """How many entries are stored, those not yet swept away included."""
        return len(self._entries)

    @property
    def deadlines(self) -> int:
        """How many deadlines the sweep has still to visit, those that have moved included."""
        return sum(map(len, self._buckets.values())) + len(self._due)

    def _live(self, key: str) -> Entry | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[1] < self._now:
            del self._entries[key]
            return None
        return entry

    def _read(self, key: str, kind: type[Any]) -> Any:
        """The value at the key, which must be of this kind; None when there is none."""
        entry = self._entries.get(key)
        if entry is None or entry[1] < self._now:
            return None
        if type(entry[0]) is not kind:
            raise ReplyError(WRONG_TYPE)
        return entry[0]

    def _grow(self, key: str, kind: type[Any], change: Callable[[Any], object]) -> int:
        """Change the value at the key, made if there is none; return how much longer it became."""
        value = self._read(key, kind)
        if value is not None:
            before = len(value)
            change(value)
            return len(value) - before
        value = kind()
        change(value)
        if value:
            self._entries[key] = (value, NEVER)
        return len(value)

    def _shrink(self, key: str, kind: type[Any], change: Callable[[Any], object]) -> int:
        """Change the value at the key, if there is one; without contents it is gone."""
        value = self._read(key, kind)
        if value is None:
            return 0
        before = len(value)
        change(value)
        if not value:
            del self._entries[key]
        return before - len(value)

    def _replace(self, key: str, value: Any) -> None:
        """Store a new value without a deadline; an empty one removes the key."""
        if value:
            self._entries[key] = (value, NEVER)
        else:
            self._entries.pop(key, None)

    def _change(self, key: str, value: Any) -> None:
        """Store another value and keep the deadline."""
        entry = self._live(key)
        self._entries[key] = (value, NEVER if entry is None else entry[1])

    def _put(self, key: str, value: Any, deadline: int, before: Entry | None) -> None:
        """Store a value with a deadline, and make sure that the sweep will come by."""
        self._entries[key] = (value, deadline)
        bucket = deadline >> _BUCKET_BITS
        if before is None or before[1] >> _BUCKET_BITS != bucket:
            self._places += 1
            try:
                self._buckets[bucket].append(key)
            except KeyError:
                self._open_bucket(bucket, key)

    def _open_bucket(self, bucket: int, key: str) -> None:
        if bucket == NEVER >> _BUCKET_BITS:
            self._places -= 1
            return
        self._buckets[bucket] = [key]
        heappush(self._order, bucket)
        self._sweep_at = min(self._sweep_at, bucket + 1 << _BUCKET_BITS)
        if self._places > 2 * len(self._entries) + 4096:
            self._register_anew()

    # --- the sweep -------------------------------------------------------------------------------
    # A key with a deadline stands in the bucket of its second, and of each later second that its deadline moved to.
    # Each call clears a few keys of the buckets that are past, so that what is never asked for again goes away too,
    # and no call pays for many.

    def _sweep(self) -> None:
        due = self._due or self._buckets.pop(heappop(self._order))
        for _ in range(min(_SWEPT_AT_ONCE, len(due))):
            key = due.pop()
            self._places -= 1
            entry = self._entries.get(key)
            if entry is not None and entry[1] < self._now:
                del self._entries[key]
        self._due = due
        self._sweep_at = 0 if due else self._first_end()

    def _first_end(self) -> int:
        return self._order[0] + 1 << _BUCKET_BITS if self._order else NEVER

    def _register_anew(self) -> None:
        """Forget the places that keys have left: they outnumber the living."""
        self._unregister_all()
        for key, entry in self._entries.items():
            if entry[1] != NEVER:
                self._buckets.setdefault(entry[1] >> _BUCKET_BITS, []).append(key)
                self._places += 1
        self._order = sorted(self._buckets)
        self._sweep_at = self._first_end()

    def _unregister_all(self) -> None:
        self._buckets.clear()
        self._order.clear()
        self._places = 0
        self._due = []
        self._sweep_at = NEVER


def plain(value: Value) -> Any:
    """Return a copy of a value, without an order that says nothing."""
    if isinstance(value, set):
        return frozenset(value)
    if isinstance(value, SortedSet):
        return dict(value.scores)
    if isinstance(value, Stream):
        return {f"{ms}-{number}": words.copy() for (ms, number), words in zip(value.ids, value.fields, strict=True)}
    return value if isinstance(value, str) else value.copy()
