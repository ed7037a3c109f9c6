"""Primitives: numbers, flags, sets and lists, for what has no operation of its own yet.

Each is one round trip, TTL included. A key keeps one kind of value; using it as another raises ``WrongType``.
``ttl`` is the seconds that the key is kept from this write on; None: the coordinator's default.
``op_id``: the same id again within the TTL of the key (24 hours when it never expires; the coordinator's default for
``delete``) changes nothing and gets the first answer. The id of a call that changed nothing may be used again.
"""

from __future__ import annotations

from coord.extend import (
    Call,
    Family,
    Keyspace,
    M,
    Plan,
    ReplyError,
    Seconds,
    as_count,
    ask_together,
    call_id,
    exact_str,
    int64,
    load,
    op,
    planned,
    reads,
    repeats,
    window_ms,
)
from coord.lualib import answer_once, recall, refresh, refuse, remember, whole

__all__ = ["Kv"]


class Kv(Family[M]):
    """Numbers, flags, sets and lists under names of their own."""

    def _key(self, key: str) -> str:
        return self.ops.key("kv", key)

    @op
    def incr(
        self,
        key: str,
        delta: int = 1,
        *,
        ttl: Seconds | None = None,
        keep_ttl: bool = False,
        op_id: str | None = None,
    ) -> Call[int]:
        """Add ``delta`` to a number, from 0 when there is none, and return the sum.

        With ``keep_ttl`` an existing number keeps its TTL, as a counter of a fixed window needs it; ``ttl`` is then
        that of a new one. A sum that leaves a signed 64-bit integer raises ``CountOverflow`` and changes nothing.
        """
        number, ttl_ms = self._key(key), self.ops.lifetime(ttl)
        op, sequence, remember_ms = self.ops.remembered(number, op_id, window_ms(ttl_ms))
        argv = (int64(delta, "delta"), ttl_ms, "1" if keep_ttl else "0", sequence, remember_ms, repeats(op_id))
        return self.ops.call(INCR, (number, op), argv, as_count)

    @op
    def get_int(self, key: str, default: int = 0) -> Call[int]:
        """Return a number; ``default`` when there is none."""
        return self.ops.call(GET_INT, (self._key(key),), (), lambda reply: _read_number(reply, default))

    @op
    def set_if_absent(self, key: str, ttl: Seconds | None = None, *, op_id: str | None = None) -> Call[bool]:
        """Set a key to 1 and return True, if it is not there; otherwise leave it as it is and return False."""
        flag, ttl_ms = self._key(key), self.ops.lifetime(ttl)
        op, sequence, remember_ms = self.ops.remembered(flag, op_id, window_ms(ttl_ms))
        return self.ops.call(SET_IF_ABSENT, (flag, op), (ttl_ms, sequence, remember_ms, repeats(op_id)), bool)

    @op
    def sadd(self, key: str, *members: str, ttl: Seconds | None = None, op_id: str | None = None) -> Call[int]:
        """Add members to a set and return how many were new."""
        entity, ttl_ms = self._key(key), self.ops.lifetime(ttl)
        op, sequence, remember_ms = self.ops.remembered(entity, op_id, window_ms(ttl_ms))
        argv: tuple[str | int, ...] = (ttl_ms, sequence, remember_ms, *_texts(members, "member"))
        return self.ops.call(SADD, (entity, op), argv, as_count)

    @op
    def srem(self, key: str, *members: str, ttl: Seconds | None = None, op_id: str | None = None) -> Call[int]:
        """Remove members from a set and return how many were there; a set without members does not exist any more."""
        entity, ttl_ms = self._key(key), self.ops.lifetime(ttl)
        op, sequence, remember_ms = self.ops.remembered(entity, op_id, window_ms(ttl_ms))
        argv: tuple[str | int, ...] = (ttl_ms, sequence, remember_ms, repeats(op_id), *_texts(members, "member"))
        return self.ops.call(SREM, (entity, op), argv, as_count)

    @op
    def scard(self, key: str) -> Call[int]:
        """Return how many members a set has; 0 when there is none."""
        return self.ops.call(SCARD, (self._key(key),), (), as_count)

    @op
    def rpush(self, key: str, *values: str, ttl: Seconds | None = None, op_id: str | None = None) -> Call[int]:
        """Append values to a list and return its new length."""
        entity, ttl_ms = self._key(key), self.ops.lifetime(ttl)
        op, sequence, remember_ms = self.ops.remembered(entity, op_id, window_ms(ttl_ms))
        argv: tuple[str | int, ...] = (ttl_ms, sequence, remember_ms, *_texts(values, "value"))
        return self.ops.call(RPUSH, (entity, op), argv, as_count)

    @op
    def lrange(self, key: str, start: int = 0, stop: int = -1) -> Call[list[str]]:
        """Return the values of a list from one place to another, itself included; negative places count from the end.

        More than 100,000 values at once are a ``ScriptError``, because they would block the server: read a
        longer list in parts, by ``start`` and ``stop``.
        """
        places = int64(start, "start"), int64(stop, "stop")
        return self.ops.call(LRANGE, (self._key(key),), places, _read_values)

    @op
    def expire(self, key: str, ttl: Seconds | None = None) -> Call[bool]:
        """Keep a key for ``ttl`` seconds from now; False when there is no such key."""
        entity = self._key(key)
        argv = (self.ops.lifetime(ttl), self.ops.tombstone_ms, "0")
        return self.ops.call(EXPIRE, (entity, f"{entity}:answered:{call_id()}"), argv, bool)

    @op
    def delete_one(self, key: str, *, op_id: str | None = None) -> Call[int]:
        """Remove one key; 1 when it was there."""
        entity = self._key(key)
        op, sequence, remember_ms = self.ops.remembered(entity, op_id, window_ms(self.ops.ttl_ms))
        return self.ops.call(DELETE, (entity, op), (sequence, remember_ms, repeats(op_id)), as_count)

    @planned
    def delete(self, *keys: str, op_id: str | None = None) -> Plan[int]:
        """Remove keys, all in one write, and return how many were there."""
        if not keys:
            raise ValueError("no key given: at least one is needed")
        one = Kv(self.ops.calls)
        answers = yield from ask_together(tuple(one.delete_one(key, op_id=op_id) for key in keys))
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return sum(answer for answer in answers if isinstance(answer, int))


def _texts(values: tuple[str, ...], what: str) -> tuple[str, ...]:
    if not values:
        raise ValueError(f"no {what} given: at least one is needed")
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"a {what} must be a str, not {type(value).__name__}")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ValueError(f"a {what} is not valid UTF-8: {value[:64]!r}") from None
    return tuple(map(exact_str, values))


def _read_number(reply: list[str], default: int) -> int:
    values = _read_values(reply)
    return as_count(values[0]) if values else default


@reads
def _read_values(reply: list[str]) -> list[str]:
    return list(reply)


# --- twins ---------------------------------------------------------------------------------------


def _incr(
    space: Keyspace,
    number: str,
    op: str,
    delta: int,
    ttl_ms: int,
    keep: str,
    sequence: int,
    remember_ms: int,
    repeated: str,
) -> str:
    overflow = ReplyError("COORD_OVERFLOW the sum would overflow 64 bits; nothing was added")
    answered = recall(space, op, sequence, remember_ms)
    if answered is not None:
        if answered == "":
            raise overflow
        return answered
    kept = keep == "1" and space.exists(number) == 1
    try:
        total = str(space.incrby(number, delta))
    except ReplyError as error:
        if "would overflow" not in str(error):
            raise
        refuse(space, op, sequence, remember_ms, repeated, "")
        raise
    if not kept:
        refresh(space, number, ttl_ms)
    remember(space, op, sequence, remember_ms, total)
    return total


def _get_int(space: Keyspace, number: str) -> list[str]:
    value = space.get(number)
    return [] if value is None else [value]


def _set_if_absent(
    space: Keyspace, flag: str, op: str, ttl_ms: int, sequence: int, remember_ms: int, repeated: str
) -> int:
    answered = recall(space, op, sequence, remember_ms)
    if answered is not None:
        return int(answered == "1")
    if space.setnx(flag, "1") == 0:
        refuse(space, op, sequence, remember_ms, repeated, "0")
        return 0
    refresh(space, flag, ttl_ms)
    remember(space, op, sequence, remember_ms, "1")
    return 1


def _sadd(
    space: Keyspace, members: str, op: str, ttl_ms: int, sequence: int, remember_ms: int, *member: str
) -> int | str:
    answered = recall(space, op, sequence, remember_ms)
    if answered is not None:
        return int(answered) if whole(answered) else answered
    changed = space.sadd(members, *member)
    refresh(space, members, ttl_ms)
    remember(space, op, sequence, remember_ms, str(changed))
    return changed


def _srem(
    space: Keyspace, members: str, op: str, ttl_ms: int, sequence: int, remember_ms: int, repeated: str, *member: str
) -> int | str:
    answered = recall(space, op, sequence, remember_ms)
    if answered is not None:
        return int(answered) if whole(answered) else answered
    changed = space.srem(members, *member)
    refresh(space, members, ttl_ms)
    if changed == 0:
        refuse(space, op, sequence, remember_ms, repeated, "0")
        return 0
    remember(space, op, sequence, remember_ms, str(changed))
    return changed


def _scard(space: Keyspace, members: str) -> int:
    return space.scard(members)


def _rpush(
    space: Keyspace, values: str, op: str, ttl_ms: int, sequence: int, remember_ms: int, *value: str
) -> int | str:
    answered = recall(space, op, sequence, remember_ms)
    if answered is not None:
        return int(answered) if whole(answered) else answered
    length = space.rpush(values, *value)
    refresh(space, values, ttl_ms)
    remember(space, op, sequence, remember_ms, str(length))
    return length


def _lrange(space: Keyspace, values: str, start: int, stop: int) -> list[str]:
    length = space.llen(values)
    first = max(start + length if start < 0 else start, 0)
    last = min(stop + length if stop < 0 else stop, length - 1)
    if last - first >= 100_000:
        raise ReplyError("COORD_RANGE more than 100000 values: read them in parts, by start and stop")
    return space.lrange(values, start, stop)


def _expire(space: Keyspace, entity: str, answered: str, ttl_ms: int, tombstone_ms: int, repeated: str) -> int:
    before = space.get(answered)
    if before is not None:
        return int(before == "1")
    if not space.exists(entity):
        answer_once(space, answered, repeated, tombstone_ms, "0")
        return 0
    refresh(space, entity, ttl_ms)
    answer_once(space, answered, repeated, tombstone_ms, "1")
    return 1


def _delete(space: Keyspace, entity: str, op: str, sequence: int, remember_ms: int, repeated: str) -> int:
    answered = recall(space, op, sequence, remember_ms)
    if answered is not None:
        return int(answered == "1")
    if space.unlink(entity) == 0:
        refuse(space, op, sequence, remember_ms, repeated, "0")
        return 0
    remember(space, op, sequence, remember_ms, "1")
    return 1


INCR = load("kv_incr", _incr)
GET_INT = load("kv_get_int", _get_int)
SET_IF_ABSENT = load("kv_set_if_absent", _set_if_absent)
SADD = load("kv_sadd", _sadd)
SREM = load("kv_srem", _srem)
SCARD = load("kv_scard", _scard)
RPUSH = load("kv_rpush", _rpush)
LRANGE = load("kv_lrange", _lrange)
EXPIRE = load("kv_expire", _expire)
DELETE = load("kv_delete", _delete)
