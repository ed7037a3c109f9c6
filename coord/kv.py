"""Primitives: numbers, flags, sets and lists, for what has no operation of its own yet.

Each is one round trip, TTL included. A key keeps one kind of value; using it as another raises ``WrongType``.
``ttl`` is the seconds that the key is kept from this write on; None: the coordinator's default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coord.errors import WrongType
from coord.family import Family
from coord.lualib import recall, refresh, remember
from coord.modes import M
from coord.names import Seconds, exact_str, int64
from coord.plan import Plan, ask_together
from coord.script import Call, load

if TYPE_CHECKING:
    from coord.memory import Keyspace

__all__ = [
    "KvHandle",
    "delete_one",
    "deleting",
    "expire",
    "get_int",
    "incr",
    "lrange",
    "rpush",
    "sadd",
    "scard",
    "set_if_absent",
    "srem",
]


class KvHandle(Family[M]):
    """Numbers, flags, sets and lists under names of their own."""

    def _key(self, key: str) -> str:
        return self.ops.key("kv", key)


def incr(kv: KvHandle, key: str, delta: int = 1, *, ttl: Seconds | None = None) -> Call[int]:
    """Add ``delta`` to a number, from 0 when there is none, and return the sum.

    A sum that leaves a signed 64-bit integer raises ``CountOverflow`` and changes nothing.
    """
    number = kv._key(key)
    op, sequence, remember_ms = kv.ops.remembered(number)
    return kv.ops.call(INCR, (number, op), (int64(delta, "delta"), kv.ops.lifetime(ttl), sequence, remember_ms), int)


def get_int(kv: KvHandle, key: str) -> Call[int | None]:
    """Return a number; None when there is none."""
    return kv.ops.call(GET_INT, (kv._key(key),), (), _read_number)


def set_if_absent(kv: KvHandle, key: str, ttl: Seconds | None = None) -> Call[bool]:
    """Set a key to 1 and return True, if it is not there; otherwise leave it as it is and return False."""
    flag = kv._key(key)
    op, sequence, remember_ms = kv.ops.remembered(flag)
    return kv.ops.call(SET_IF_ABSENT, (flag, op), (kv.ops.lifetime(ttl), sequence, remember_ms), bool)


def sadd(kv: KvHandle, key: str, *members: str, ttl: Seconds | None = None) -> Call[int]:
    """Add members to a set and return how many were new."""
    entity = kv._key(key)
    op, sequence, remember_ms = kv.ops.remembered(entity)
    return kv.ops.call(
        SADD, (entity, op), (kv.ops.lifetime(ttl), sequence, remember_ms, *_texts(members, "member")), int
    )


def srem(kv: KvHandle, key: str, *members: str, ttl: Seconds | None = None) -> Call[int]:
    """Take members out of a set and return how many were there; a set without members is gone."""
    entity = kv._key(key)
    op, sequence, remember_ms = kv.ops.remembered(entity)
    return kv.ops.call(
        SREM, (entity, op), (kv.ops.lifetime(ttl), sequence, remember_ms, *_texts(members, "member")), int
    )


def scard(kv: KvHandle, key: str) -> Call[int]:
    """Return how many members a set has; 0 when there is none."""
    return kv.ops.call(SCARD, (kv._key(key),), (), int)


def rpush(kv: KvHandle, key: str, *values: str, ttl: Seconds | None = None) -> Call[int]:
    """Append values to a list and return its new length."""
    entity = kv._key(key)
    op, sequence, remember_ms = kv.ops.remembered(entity)
    return kv.ops.call(
        RPUSH, (entity, op), (kv.ops.lifetime(ttl), sequence, remember_ms, *_texts(values, "value")), int
    )


def lrange(kv: KvHandle, key: str, start: int = 0, stop: int = -1) -> Call[list[str]]:
    """Return the values of a list from one place to another, itself included; negative places count from the end."""
    places = int64(start, "start"), int64(stop, "stop")
    return kv.ops.call(LRANGE, (kv._key(key),), places, list)


def expire(kv: KvHandle, key: str, ttl: Seconds | None = None) -> Call[bool]:
    """Keep a key for ``ttl`` seconds from now; False when there is no such key."""
    return kv.ops.call(EXPIRE, (kv._key(key),), (kv.ops.lifetime(ttl),), bool)


def delete_one(kv: KvHandle[Any], key: str) -> Call[int]:
    """Remove one key; 1 when it was there."""
    entity = kv._key(key)
    op, sequence, remember_ms = kv.ops.remembered(entity)
    return kv.ops.call(DELETE, (entity, op), (sequence, remember_ms), int)


def deleting(kv: KvHandle, *keys: str) -> Plan[int]:
    """Remove keys, all in one write, and return how many were there."""
    if not keys:
        raise ValueError("no key given: at least one is needed")
    one = KvHandle(kv.ops.calls)
    answers = yield from ask_together(tuple(delete_one(one, key) for key in keys))
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return sum(answer for answer in answers if isinstance(answer, int))


def _texts(values: tuple[str, ...], what: str) -> tuple[str, ...]:
    if not values:
        raise ValueError(f"no {what} given: at least one is needed")
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"a {what} is a str, not {type(value).__name__}")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ValueError(f"a {what} is not valid UTF-8: {value[:64]!r}") from None
    return tuple(map(exact_str, values))


def _read_number(reply: list[str]) -> int | None:
    if not reply:
        return None
    try:
        return int(reply[0])
    except ValueError:
        raise WrongType("kv_get_int: the key holds text that is not a number; use a key of its own for it") from None


# --- twins ---------------------------------------------------------------------------------------


def _incr(space: Keyspace, number: str, op: str, delta: int, ttl_ms: int, sequence: int, remember_ms: int) -> str:
    answered = recall(space, op, sequence, remember_ms)
    if answered is not None:
        return answered
    total = str(space.incrby(number, delta))
    refresh(space, number, ttl_ms)
    remember(space, op, sequence, remember_ms, total)
    return total


def _get_int(space: Keyspace, number: str) -> list[str]:
    value = space.get(number)
    return [] if value is None else [value]


def _set_if_absent(space: Keyspace, flag: str, op: str, ttl_ms: int, sequence: int, remember_ms: int) -> int:
    if recall(space, op, sequence, remember_ms) is not None:
        return 1
    if space.setnx(flag, "1") == 0:
        return 0
    refresh(space, flag, ttl_ms)
    remember(space, op, sequence, remember_ms, "1")
    return 1


def _sadd(space: Keyspace, members: str, op: str, ttl_ms: int, sequence: int, remember_ms: int, *member: str) -> int:
    answered = recall(space, op, sequence, remember_ms)
    if answered is not None:
        return int(answered)
    changed = space.sadd(members, *member)
    refresh(space, members, ttl_ms)
    remember(space, op, sequence, remember_ms, str(changed))
    return changed


def _srem(space: Keyspace, members: str, op: str, ttl_ms: int, sequence: int, remember_ms: int, *member: str) -> int:
    answered = recall(space, op, sequence, remember_ms)
    if answered is not None:
        return int(answered)
    changed = space.srem(members, *member)
    refresh(space, members, ttl_ms)
    remember(space, op, sequence, remember_ms, str(changed))
    return changed


def _scard(space: Keyspace, members: str) -> int:
    return space.scard(members)


def _rpush(space: Keyspace, values: str, op: str, ttl_ms: int, sequence: int, remember_ms: int, *value: str) -> int:
    answered = recall(space, op, sequence, remember_ms)
    if answered is not None:
        return int(answered)
    length = space.rpush(values, *value)
    refresh(space, values, ttl_ms)
    remember(space, op, sequence, remember_ms, str(length))
    return length


def _lrange(space: Keyspace, values: str, start: int, stop: int) -> list[str]:
    return space.lrange(values, start, stop)


def _expire(space: Keyspace, entity: str, ttl_ms: int) -> int:
    if not space.exists(entity):
        return 0
    refresh(space, entity, ttl_ms)
    return 1


def _delete(space: Keyspace, entity: str, op: str, sequence: int, remember_ms: int) -> int:
    answered = recall(space, op, sequence, remember_ms)
    if answered is not None:
        return int(answered)
    removed = space.delete(entity)
    remember(space, op, sequence, remember_ms, str(removed))
    return removed


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
