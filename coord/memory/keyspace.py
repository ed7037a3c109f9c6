"""The part of Redis's data model that scripts use, in this process.

Methods bear the names of Redis's commands and answer what Redis answers a script, so that a twin and its Lua are
read side by side. Values are ``str``; error replies are raised as ``ReplyError`` with Redis's own texts.
What the commands mean is told at https://redis.io/docs/latest/commands/, each under its name.
"""

from __future__ import annotations

import contextlib
import threading
import time
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from time import monotonic_ns
from typing import Any, Literal, TypeVar, cast

from coord.errors import ConfigError, ReplyError
from coord.fork import register
from coord.names import INT64_MAX, INT64_MIN
from coord.notifier import Notifier
from coord.script import Script, script_failed

__all__ = ["Keyspace", "SortedSet"]

T = TypeVar("T")

NEVER = 1 << 62
"""The deadline of a key that has none."""

_BUCKET_BITS = 10
_SWEPT_AT_ONCE = 16

_WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
_NOT_AN_INTEGER = "ERR value is not an integer or out of range"
_HASH_NOT_AN_INTEGER = "ERR hash value is not an integer"
_OVERFLOW = "ERR increment or decrement would overflow"
_BAD_EXPIRE = "ERR invalid expire time in '{}' command"
_NO_SUCH_KEY = "ERR no such key"


class SortedSet:
    """Members in the order of their scores, and of their text where scores are equal.

    Scores are integers of at most 53 bits: floats do not cross the wire.
    """

    __slots__ = ("order", "scores")

    def __init__(self) -> None:
        self.scores: dict[str, int] = {}
        self.order: list[tuple[int, bytes, str]] = []

    def __len__(self) -> int:
        return len(self.scores)

    def put(self, member: str, score: int) -> None:
        """Add a member, or give it another score."""
        self.discard(member)
        self.scores[member] = score
        insort(self.order, (score, member.encode(), member))

    def discard(self, member: str) -> None:
        """Remove a member, if it is there."""
        score = self.scores.pop(member, None)
        if score is not None:
            del self.order[bisect_left(self.order, (score, member.encode(), member))]


Value = str | dict[str, str] | set[str] | list[str] | SortedSet
Entry = tuple[Any, int]
"""A value, and the millisecond after which it is gone."""

_TYPES: dict[type, str] = {str: "string", dict: "hash", set: "set", list: "list", SortedSet: "zset"}


class Keyspace:
    """Keys, values and deadlines of one ``memory://`` name.

    ``call`` runs one twin at a time, atomically, at one moment of the clock; the commands are for use inside it.
    ``clock`` answers microseconds; tests hand in their own. Without one it is the wall's time at the start, and the
    monotonic clock's from there on.
    """

    def __init__(self, clock: Callable[[], int] | None = None) -> None:
        self._clock = monotonic_ns if clock is None else lambda: clock() * 1000
        self._start_ms = 0 if clock else time.time_ns() // 1_000_000 - monotonic_ns() // 1_000_000
        # A clock of a test may go anywhere: it is read anew by every call.
        self._may_skip = clock is None
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._ns = self._now = self._next_ms = 0
        self._buckets: dict[int, list[str]] = {}
        self._order: list[int] = []
        self._places = 0
        self._sweep_at = NEVER
        self._due: list[str] = []
        self.notifier = Notifier()
        self._published: deque[str] = deque()
        register(self)

    def call(self, twin: Callable[..., Any], *words: str | int) -> Any:
        """Run ``twin(self, *words)`` atomically and return its reply."""
        try:
            with self._lock:
                self._ns = ns = self._clock()
                if ns >= self._next_ms:
                    self._turn()
                return twin(self, *words)
        finally:
            if self._published:
                self._deliver()

    def answer(self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T]) -> T:
        """Make a call by its script's twin, and return its result. Nothing stands between this and an operation."""
        twin = script.twin
        if twin is None:
            raise ConfigError(f"{script.file}: the script has no twin, so it runs on servers only")
        try:
            with self._lock:
                # As in ``call``, written out: every operation comes through here.
                self._ns = ns = self._clock()
                if ns >= self._next_ms:
                    self._turn()
                if len(argv) == 2 and len(keys) == 1:
                    # The shortest calls are the most frequent; a tuple is a fifteenth of their time.
                    reply = twin(self, keys[0], argv[0], argv[1])
                else:
                    reply = twin(*((self,) + keys + argv))  # noqa: RUF005  # a sixth faster than unpacking
        except ReplyError as error:
            raise script_failed(script, str(error)) from None
        finally:
            if self._published:
                self._deliver()
        return read(reply)

    def _turn(self) -> None:
        """The millisecond is another: take it, and clear away a little of what is past; the lock is held."""
        ms = self._ns // 1_000_000
        self._now = now = ms + self._start_ms
        if now >= self._sweep_at:
            self._sweep()
        # While there is more to clear away, every call takes its part.
        self._next_ms = (ms + 1) * 1_000_000 if self._may_skip and now < self._sweep_at else 0

    def reset_after_fork(self) -> None:
        """A lock that another thread held would stay shut; who waits is not here."""
        self._lock = threading.Lock()
        self.notifier = Notifier()

    def _deliver(self) -> None:
        """Wake who waits, after the lock is free: who is woken comes back to look."""
        # Another thread may take the last one between a look and a taking.
        with contextlib.suppress(IndexError):
            while True:
                self.notifier.notify(self._published.popleft())

    # --- keys ------------------------------------------------------------------------------------

    def exists(self, *keys: str) -> int:
        """How many of the keys are there."""
        return sum(self._live(key) is not None for key in keys)

    def delete(self, *keys: str) -> int:
        """DEL: remove keys and say how many were there."""
        there = [key for key in keys if self._live(key) is not None]
        removed = set(there)
        for key in removed:
            del self._entries[key]
        return len(removed)

    def type_(self, key: str) -> str:
        """TYPE: what kind of value the key holds, or "none"."""
        entry = self._live(key)
        return "none" if entry is None else _TYPES[type(entry[0])]

    def rename(self, key: str, new: str) -> None:
        """Give a key another name, with its TTL; what was there before is gone."""
        entry = self._live(key)
        if entry is None:
            raise ReplyError(_NO_SUCH_KEY)
        del self._entries[key]
        self._put(new, entry[0], entry[1], None)

    def time(self) -> tuple[int, int]:
        """Seconds and microseconds of the moment at which this call runs."""
        return divmod(self._ns // 1000 + self._start_ms * 1000, 1_000_000)

    def publish(self, channel: str, _message: str) -> None:
        """PUBLISH and SPUBLISH: wake who waits on a channel, once the twin has finished."""
        if channel in self.notifier:
            self._published.append(channel)

    # --- time to live ----------------------------------------------------------------------------

    def pexpire(self, key: str, ms: int) -> int:
        """Let a key live this long from now; 0 or less removes it. 1 when the key is there."""
        if not INT64_MIN <= ms <= INT64_MAX - self._now:
            raise ReplyError(_BAD_EXPIRE.format("pexpire"))
        entry = self._live(key)
        if entry is None:
            return 0
        if ms <= 0:
            del self._entries[key]
        else:
            self._put(key, entry[0], self._now + ms, entry)
        return 1

    def expire(self, key: str, seconds: int) -> int:
        """EXPIRE: ``pexpire`` in seconds."""
        if not INT64_MIN // 1000 <= seconds <= (INT64_MAX - self._now) // 1000:
            raise ReplyError(_BAD_EXPIRE.format("expire"))
        return self.pexpire(key, seconds * 1000)

    def pexpireat(self, key: str, at_ms: int) -> int:
        """Let a key live until a moment in Unix milliseconds; a past one removes it."""
        entry = self._live(key)
        if entry is None:
            return 0
        if at_ms <= self._now:
            del self._entries[key]
        else:
            self._put(key, entry[0], at_ms, entry)
        return 1

    def persist(self, key: str) -> int:
        """Take a key's deadline away. 1 when it had one."""
        entry = self._live(key)
        if entry is None or entry[1] == NEVER:
            return 0
        self._entries[key] = (entry[0], NEVER)
        return 1

    def pttl(self, key: str) -> int:
        """Milliseconds left; -1 without a deadline, -2 without the key."""
        entry = self._live(key)
        if entry is None:
            return -2
        return -1 if entry[1] == NEVER else entry[1] - self._now

    def ttl(self, key: str) -> int:
        """Seconds left, rounded as Redis rounds them; -1 and -2 as ``pttl``."""
        left = self.pttl(key)
        return left if left < 0 else (left + 500) // 1000

    # --- strings ---------------------------------------------------------------------------------

    def get(self, key: str) -> str | None:
        """The string at the key, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, deadline = entry
        if deadline < self._now:
            return None
        if value.__class__ is not str:
            raise ReplyError(_WRONG_TYPE)
        found: str = value
        return found

    def set(self, key: str, value: str, px: int = 0, nx: bool = False, keepttl: bool = False) -> bool:
        """SET with PX (0: no deadline), NX and KEEPTTL; False when NX kept it from being set."""
        now = self._now
        deadline = now + px
        if px and not now < deadline <= INT64_MAX:
            raise ReplyError(_BAD_EXPIRE.format("set"))
        before = self._entries.get(key)
        if before is not None:
            if before[1] < now:
                before = None
            elif nx:
                return False
        if px:
            self._put(key, value, deadline, before)
        elif keepttl and before is not None:
            self._entries[key] = (value, before[1])
        else:
            self._entries[key] = (value, NEVER)
        return True

    def setnx(self, key: str, value: str) -> int:
        """SETNX: 1 when the key was absent and is set now."""
        return int(self.set(key, value, nx=True))

    def incrby(self, key: str, delta: int) -> int:
        """Add to the 64-bit integer at the key, from 0 when there is none; the deadline stays."""
        entry = self._live(key)
        if entry is not None and type(entry[0]) is not str:
            raise ReplyError(_WRONG_TYPE)
        number = _integer(entry[0], _NOT_AN_INTEGER) if entry is not None else 0
        number = _summed(number, delta)
        self._entries[key] = (str(number), NEVER if entry is None else entry[1])
        return number

    # --- hashes ----------------------------------------------------------------------------------

    def hget(self, key: str, field: str) -> str | None:
        """The value of one field, or None."""
        found = self._read(key, dict)
        return None if found is None else found.get(field)

    def hmget(self, key: str, *fields: str) -> list[str | None]:
        """The values of some fields, None for each that is not there."""
        found: dict[str, str] = self._read(key, dict) or {}
        return [found.get(field) for field in fields]

    def hgetall(self, key: str) -> list[str]:
        """Field, value, field, value; the order says nothing."""
        found: dict[str, str] = self._read(key, dict) or {}
        return [word for pair in found.items() for word in pair]

    def hexists(self, key: str, field: str) -> int:
        """1 when the field is there."""
        return int(self.hget(key, field) is not None)

    def hlen(self, key: str) -> int:
        """How many fields there are."""
        return len(self._read(key, dict) or ())

    def hset(self, key: str, *pairs: str) -> int:
        """Set fields, given as field, value, field, value; how many are new."""
        return self._grow(key, dict, lambda fields: fields.update(zip(pairs[::2], pairs[1::2], strict=True)))

    def hsetnx(self, key: str, field: str, value: str) -> int:
        """Set a field that is not there; 1 when it was set."""
        return self._grow(key, dict, lambda fields: fields.setdefault(field, value))

    def hdel(self, key: str, *fields: str) -> int:
        """Remove fields and say how many were there; a hash without fields is gone."""
        return self._shrink(key, dict, lambda found: [found.pop(field, None) for field in fields])

    def hincrby(self, key: str, field: str, delta: int) -> int:
        """Add to the 64-bit integer in a field, from 0 when there is none."""
        found = self.hget(key, field)
        number = _summed(0 if found is None else _integer(found, _HASH_NOT_AN_INTEGER), delta)
        self.hset(key, field, str(number))
        return number

    # --- sets ------------------------------------------------------------------------------------

    def sadd(self, key: str, *members: str) -> int:
        """Add members and say how many were new."""
        return self._grow(key, set, lambda found: found.update(members))

    def srem(self, key: str, *members: str) -> int:
        """Remove members and say how many were there."""
        return self._shrink(key, set, lambda found: found.difference_update(members))

    def scard(self, key: str) -> int:
        """How many members there are."""
        return len(self._read(key, set) or ())

    def sismember(self, key: str, member: str) -> int:
        """1 when it is a member."""
        return int(member in (self._read(key, set) or ()))

    def smembers(self, key: str) -> list[str]:
        """All members; the order says nothing."""
        return list(self._read(key, set) or ())

    # --- lists -----------------------------------------------------------------------------------

    def rpush(self, key: str, *values: str) -> int:
        """Append and return the new length."""
        self._grow(key, list, lambda found: found.extend(values))
        return self.llen(key)

    def lpush(self, key: str, *values: str) -> int:
        """Put each in front and return the new length."""
        self._grow(key, list, lambda found: found.__setitem__(slice(0, 0), values[::-1]))
        return self.llen(key)

    def rpop(self, key: str) -> str | None:
        """Take the last one, or None."""
        return self._pop(key, -1)

    def lpop(self, key: str) -> str | None:
        """Take the first one, or None."""
        return self._pop(key, 0)

    def llen(self, key: str) -> int:
        """How long the list is."""
        return len(self._read(key, list) or ())

    def lrange(self, key: str, start: int, stop: int) -> list[str]:
        """The values from one place to another, itself included; negative ones count from the end."""
        found: list[str] = self._read(key, list) or []
        return found[_stretch(start, stop, len(found))]

    def ltrim(self, key: str, start: int, stop: int) -> None:
        """Keep only the values from one place to another."""
        size = self.llen(key)
        self._shrink(key, list, lambda found: found.__setitem__(slice(None), found[_stretch(start, stop, size)]))

    # --- sorted sets -----------------------------------------------------------------------------

    def zadd(self, key: str, score: int, member: str, nx: bool = False) -> int:
        """Add a member with its score, or move it (not with NX); 1 when it is new."""

        def add(found: SortedSet) -> None:
            if not (nx and member in found.scores):
                found.put(member, score)

        return self._grow(key, SortedSet, add)

    def zrem(self, key: str, *members: str) -> int:
        """Remove members and say how many were there."""
        return self._shrink(key, SortedSet, lambda found: [found.discard(member) for member in members])

    def zcard(self, key: str) -> int:
        """How many members there are."""
        return len(self._read(key, SortedSet) or ())

    def zscore(self, key: str, member: str) -> str | None:
        """A member's score in digits, or None."""
        found = self._read(key, SortedSet)
        return None if found is None or member not in found.scores else str(found.scores[member])

    def zrange(self, key: str, start: int, stop: int) -> list[str]:
        """The members from one rank to another, itself included."""
        found = self._read(key, SortedSet)
        return [] if found is None else [row[2] for row in found.order[_stretch(start, stop, len(found))]]

    def zrangebyscore(self, key: str, least: int, most: int) -> list[str]:
        """The members whose scores lie between two, both included."""
        found = self._read(key, SortedSet)
        return [] if found is None else [row[2] for row in found.order if least <= row[0] <= most]

    def zremrangebyscore(self, key: str, least: int, most: int) -> int:
        """Remove the members whose scores lie between two, both included."""
        return self.zrem(key, *self.zrangebyscore(key, least, most))

    def zremrangebyrank(self, key: str, start: int, stop: int) -> int:
        """Remove the members from one rank to another, itself included."""
        return self.zrem(key, *self.zrange(key, start, stop))

    # --- for the owner of the keyspace -----------------------------------------------------------

    def __len__(self) -> int:
        """How many entries are stored, those not yet swept away included."""
        return len(self._entries)

    def dump(self) -> dict[str, tuple[str, Any, int]]:
        """Return each live key's type, value and PTTL (-1: no deadline), as of now."""
        return cast("dict[str, tuple[str, Any, int]]", self.call(Keyspace._dump))

    def _dump(self) -> dict[str, tuple[str, Any, int]]:
        return {
            key: (self.type_(key), _plain(entry[0]), self.pttl(key))
            for key, entry in list(self._entries.items())
            if self._live(key) is not None
        }

    def flush(self) -> None:
        """Forget all keys."""
        with self._lock:
            self._entries.clear()
            self._unregister_all()

    # --- entries ---------------------------------------------------------------------------------

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
            raise ReplyError(_WRONG_TYPE)
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

    def _pop(self, key: str, waiter: Literal[0, -1]) -> str | None:
        values = self._read(key, list)
        if values is None:
            return None
        taken: str = values[waiter]
        self._shrink(key, list, lambda found: found.pop(waiter))
        return taken

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


def _integer(text: str, otherwise: str) -> int:
    """Read a number as strictly as Redis does: no blanks, no plus, no leading zeros, 64 bits."""
    try:
        number = int(text)
    except ValueError:
        raise ReplyError(otherwise) from None
    if str(number) != text or not INT64_MIN <= number <= INT64_MAX:
        raise ReplyError(otherwise)
    return number


def _summed(number: int, delta: int) -> int:
    number += delta
    if not INT64_MIN <= number <= INT64_MAX:
        raise ReplyError(_OVERFLOW)
    return number


def _stretch(start: int, stop: int, size: int) -> slice:
    start = max(start + size, 0) if start < 0 else start
    stop = stop + size if stop < 0 else stop
    return slice(start, max(stop + 1, 0))


def _plain(value: Value) -> Any:
    """A value without an order that says nothing."""
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, set):
        return frozenset(value)
    if isinstance(value, SortedSet):
        return dict(value.scores)
    return list(value) if isinstance(value, list) else value
