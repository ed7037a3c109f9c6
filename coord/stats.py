"""Statistics: accumulated by many instances, consumed once by one.

``merge`` adds deltas to the counts of an id, all of them or none; ``consume`` takes them all, and only one caller
gets them. The counts of one id are one hash with one TTL, so they never expire in part.
"""

from __future__ import annotations

from collections.abc import Mapping

from coord.extend import (
    INT64_MAX,
    INT64_MIN,
    Call,
    Family,
    Keyspace,
    M,
    ReplyError,
    Runs,
    Seconds,
    as_count,
    as_nothing,
    check_name,
    int64,
    lifetime_ms,
    load,
    op,
    percent_encode,
    reads,
    repeats,
    window_ms,
)
from coord.lualib import int64 as is_int64
from coord.lualib import recall, refresh, refuse, remember

__all__ = ["Stats"]

_MOST_FIELDS = 1_000


class Stats(Family[M]):
    """Statistics of one name, with a count of their own for each id.

    ``ttl``: seconds that the counts of an id are kept after the last merge; None: the coordinator's default.
    """

    def __init__(self, c: Runs[M], name: str, ttl: Seconds | None = None) -> None:
        super().__init__(c)
        self.name = name
        self._part = percent_encode(name, "the name of statistics")
        self._ttl_ms = self.ops.ttl_ms if ttl is None else lifetime_ms(ttl)
        self._window_ms = window_ms(self._ttl_ms)

    def _key(self, id: str) -> str:
        return f"{self.ops.key('stats', id)}:{self._part}"

    @op
    def merge(
        self, id: str, deltas: Mapping[str, int] | None = None, /, *, op_id: str | None = None, **more: int
    ) -> Call[None]:
        """Add deltas to the counts of ``id``, given as a mapping, as keywords, or both.

        Field names are 1 to 1,024 bytes of any text, at most 1,000 in one call; deltas and counts are signed 64-bit
        integers. If any count would overflow, ``CountOverflow`` is raised and nothing changes. Merging without a delta
        marks the id as merged.

        The same ``op_id`` again changes nothing for as long as these statistics live after a merge (their TTL; 24 hours
        when they never expire), also once they have been consumed.
        """
        if deltas is not None and not isinstance(deltas, Mapping):
            raise TypeError(f"deltas are a mapping of fields to ints, not {type(deltas).__name__}")
        words: list[str | int] = []
        for fields in (deltas or {}, more):
            for field, delta in fields.items():
                words += check_name(field, "a field"), int64(delta, f"the delta of {field!r}")
        if len(words) > 2 * _MOST_FIELDS:
            raise ValueError(f"{len(words) // 2:,} fields in one merge: at most {_MOST_FIELDS:,} are added in one step")
        if deltas and more and len(set(words[::2])) < len(words) // 2:
            raise ValueError(f"fields given twice: {', '.join(sorted(deltas.keys() & more.keys()))}")
        key = self._key(id)
        op, sequence, remember_ms = self.ops.remembered(key, op_id, self._window_ms)
        argv = (self._ttl_ms, sequence, remember_ms, repeats(op_id), *words)
        return self.ops.call(MERGE, (key, op), argv, as_nothing)

    @op
    def consume(self, id: str, *, op_id: str | None = None) -> Call[dict[str, int] | None]:
        """Take all counts of ``id``, once: a second caller gets None, as for an id that was never merged.

        The same ``op_id`` again gets the same counts again, for as long as these statistics live after a merge. An id
        that found nothing may be used again. The server reads all counts in one step: 60 ms of CPU for 100,000 fields.
        """
        key = self._key(id)
        batch, nonce, repeated = self.ops.identified(op_id)
        remember_ms = self.ops.remember_ms if op_id is None else self._window_ms
        keys = key, f"{key}:batch:{percent_encode(batch, 'op_id') if remember_ms else ''}"
        return self.ops.call(CONSUME, keys, (nonce, remember_ms, repeated), _read_counts)

    @op
    def peek(self, id: str) -> Call[dict[str, int] | None]:
        """Return the counts of ``id`` without taking them; None when it was never merged.

        The server reads all counts in one step: 43 ms of CPU for 100,000 fields.
        """
        return self.ops.call(PEEK, (self._key(id),), (), _read_counts)


@reads
def _read_counts(reply: list[str]) -> dict[str, int] | None:
    if not reply:
        return None
    # The field without a name says only that the id was merged.
    return {field: as_count(count) for field, count in zip(reply[::2], reply[1::2], strict=True) if field}


# --- twins ---------------------------------------------------------------------------------------


def _merge(
    space: Keyspace,
    stats: str,
    op: str,
    ttl_ms: int,
    sequence: int,
    remember_ms: int,
    repeated: str,
    *deltas: str | int,
) -> int:
    overflow = ReplyError("COORD_OVERFLOW a count would overflow 64 bits; nothing was merged")
    answered = recall(space, op, sequence, remember_ms)
    if answered is not None:
        if answered == "":
            raise overflow
        return 1
    counts = ["", "1"]
    for field, delta in zip(deltas[::2], deltas[1::2], strict=True):
        count = space.hget(stats, str(field))
        count = "0" if count is None else count
        _check_counts(count)
        total = int(count) + int(delta)
        if not INT64_MIN <= total <= INT64_MAX:
            refuse(space, op, sequence, remember_ms, repeated, "")
            raise overflow
        counts += str(field), str(total)
    space.hset(stats, *counts)
    refresh(space, stats, ttl_ms)
    remember(space, op, sequence, remember_ms, "1")
    return 1


def _check_counts(*counts: str) -> None:
    if not all(map(is_int64, counts)):
        raise ReplyError("COORD_CORRUPT a count is not a 64-bit integer")


def _consume(space: Keyspace, stats: str, batch: str, nonce: str, remember_ms: int, repeated: str) -> list[str]:
    if remember_ms:
        taken = space.hgetall(batch)
        # One field alone says that a copy of the call with this nonce found nothing.
        refused = len(taken) == 2 and taken[0] == "refused"
        if refused and taken[1] == nonce:
            return []
        if taken and not refused:
            return taken
    counts = space.hgetall(stats)
    if not counts:
        if repeated == "1" and remember_ms:
            space.delete(batch)
            space.hset(batch, "refused", nonce)
            space.pexpire(batch, remember_ms)
        return counts
    _check_counts(*counts[1::2])
    if remember_ms:
        space.rename(stats, batch)
        space.pexpire(batch, remember_ms)
    else:
        space.unlink(stats)
    return counts


def _peek(space: Keyspace, stats: str) -> list[str]:
    return space.hgetall(stats)


MERGE = load("merge", _merge)
CONSUME = load("consume", _consume)
PEEK = load("peek", _peek)
