"""Redis's commands, as far as the checks of scripts need to know them: https://redis.io/docs/latest/commands/."""

from __future__ import annotations

__all__ = [
    "CREATING",
    "EXPIRING",
    "FALLIBLE",
    "RANDOM",
    "REMOVING",
    "UNORDERED",
    "WRITING",
    "any_type",
    "keys_of",
    "words",
]


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


CREATING = words(
    "SET SETNX SETEX PSETEX GETSET MSET MSETNX APPEND SETRANGE SETBIT BITFIELD BITOP INCR INCRBY INCRBYFLOAT DECR "
    "DECRBY HSET HMSET HSETNX HINCRBY HINCRBYFLOAT LPUSH RPUSH LINSERT LMOVE RPOPLPUSH SADD SMOVE SUNIONSTORE "
    "SINTERSTORE SDIFFSTORE ZADD ZINCRBY ZUNIONSTORE ZINTERSTORE ZDIFFSTORE ZRANGESTORE XADD PFADD GEOADD RENAME "
    "RENAMENX COPY RESTORE"
)
"""Commands that may make a key, which then has no TTL."""

REMOVING = words("DEL UNLINK GETDEL")
EXPIRING = words("PEXPIRE EXPIRE PEXPIREAT EXPIREAT PERSIST GETEX SETEX PSETEX")
"""Commands that decide on a key's TTL."""

WRITING = (
    CREATING
    | REMOVING
    | EXPIRING
    | words(
        "LPUSHX RPUSHX LPOP RPOP LSET LREM LTRIM LMPOP SREM SPOP HDEL ZREM ZPOPMIN ZPOPMAX ZMPOP ZREMRANGEBYSCORE "
        "ZREMRANGEBYRANK ZREMRANGEBYLEX XDEL XTRIM PUBLISH SPUBLISH HPEXPIRE HEXPIRE HPERSIST"
    )
)

FALLIBLE = words("INCR INCRBY DECR DECRBY HINCRBY INCRBYFLOAT HINCRBYFLOAT ZINCRBY")
"""Writes that refuse a value which is not a number, or a sum that is too large."""

RANDOM = words("SPOP SRANDMEMBER HRANDFIELD ZRANDMEMBER RANDOMKEY")

UNORDERED = words("SMEMBERS HGETALL HKEYS HVALS SINTER SUNION SDIFF KEYS SCAN SSCAN HSCAN")
"""Commands whose replies have an order that differs between servers."""

_KEYLESS = words("TIME PUBLISH SPUBLISH PING ECHO RANDOMKEY SCAN KEYS")
_ALL_KEYS = words(
    "DEL UNLINK EXISTS TOUCH MGET SINTER SUNION SDIFF SINTERSTORE SUNIONSTORE SDIFFSTORE PFCOUNT PFMERGE WATCH"
)
_TWO_KEYS = words("RENAME RENAMENX COPY SMOVE LMOVE RPOPLPUSH ZRANGESTORE GEOSEARCHSTORE LCS")
_ANY_TYPE = words(
    "SET SETEX PSETEX MSET DEL UNLINK EXISTS TYPE TTL PTTL EXPIRE PEXPIRE EXPIREAT PEXPIREAT PERSIST TOUCH RENAME "
    "RENAMENX COPY SINTERSTORE SUNIONSTORE SDIFFSTORE ZUNIONSTORE ZINTERSTORE ZDIFFSTORE SETNX EXPIRETIME PEXPIRETIME"
)


def any_type(command: str, given: list[str | None]) -> bool:
    """Return whether a command accepts a key of any type; ``given``: its arguments, None where unknown."""
    return command in _ANY_TYPE and not (command == "SET" and "GET" in given)


def keys_of(command: str, count: int) -> range:
    """Return which of a command's ``count`` arguments are keys; the first is 0."""
    if command in _KEYLESS:
        return range(0)
    if command in _ALL_KEYS:
        return range(count)
    if command in _TWO_KEYS:
        return range(min(2, count))
    if command in ("MSET", "MSETNX"):
        return range(0, count, 2)
    if command in ("OBJECT", "XGROUP", "XINFO"):
        return range(1, min(2, count))
    if command == "BITOP":
        return range(1, count)
    return range(min(1, count))
