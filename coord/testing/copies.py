"""Keys taken from one keyspace and put into another, as replication and migration do: values, and moments of expiry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from coord.memory import Keyspace

__all__ = ["Copied", "capture", "put"]


@dataclass(frozen=True, slots=True)
class Copied:
    """The value of a key at a moment: ``words`` are the arguments of the command that writes it again.

    ``at_ms``: when it expires, in Unix milliseconds; None: never.
    """

    kind: str
    words: tuple[str, ...]
    at_ms: int | None


def capture(space: Keyspace, keys: Iterable[str] | None = None) -> dict[str, Copied | None]:
    """Return what keys hold now, all that exist by default; None for a key that does not."""
    held = space.dump()
    seconds, micros = space.call(Keyspace.time)
    now_ms = seconds * 1000 + micros // 1000
    wanted = held if keys is None else keys
    return {key: _copied(held[key], now_ms) if key in held else None for key in wanted}


def _copied(entry: tuple[str, Any, int], now_ms: int) -> Copied:
    kind, value, left_ms = entry
    return Copied(kind, _words(kind, value), None if left_ms < 0 else now_ms + left_ms)


def _words(kind: str, value: Any) -> tuple[str, ...]:
    match kind:
        case "string":
            return (value,)
        case "hash":
            return tuple(word for pair in value.items() for word in pair)
        case "set":
            return tuple(sorted(value))
        case "zset":
            return tuple(str(word) for member, score in value.items() for word in (score, member))
        case "list":
            return tuple(value)
        case _:
            raise TypeError(f"a {kind} cannot be copied to another keyspace")


def put(space: Keyspace, copies: dict[str, Copied | None]) -> None:
    """Give keys what they held elsewhere."""
    space.call(_put, copies)


_WRITES = {"string": "SET", "hash": "HSET", "set": "SADD", "list": "RPUSH", "zset": "ZADD"}


def _put(space: Keyspace, copies: dict[str, Copied | None]) -> None:
    for key, copied in copies.items():
        space.execute("DEL", key)
        if copied is not None:
            space.execute(_WRITES[copied.kind], key, *copied.words)
            if copied.at_ms is not None:
                space.execute("PEXPIREAT", key, copied.at_ms)
