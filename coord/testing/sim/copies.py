"""Keys taken from one keyspace and put into another, as replication and migration do: values, and moments of expiry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from coord.memory import Keyspace

__all__ = ["Copied", "capture", "put"]


@dataclass(frozen=True, slots=True)
class Copied:
    """What a key held at a moment: ``at_ms`` is when it expires, in Unix milliseconds, None when it never does."""

    kind: str
    value: Any
    at_ms: int | None


def capture(space: Keyspace, keys: Iterable[str]) -> dict[str, Copied | None]:
    """Return what keys hold now; None for a key that is not there."""
    held = space.dump()
    seconds, micros = space.call(Keyspace.time)
    now_ms = seconds * 1000 + micros // 1000
    return {key: _copied(held[key], now_ms) if key in held else None for key in keys}


def _copied(entry: tuple[str, Any, int], now_ms: int) -> Copied:
    kind, value, left_ms = entry
    return Copied(kind, value, None if left_ms < 0 else now_ms + left_ms)


def put(space: Keyspace, copies: dict[str, Copied | None]) -> None:
    """Give keys what they held elsewhere."""
    space.call(_put, copies)


_WRITES = {"hash": "HSET", "set": "SADD", "list": "RPUSH", "zset": "ZADD"}


def _put(space: Keyspace, copies: dict[str, Copied | None]) -> None:
    for key, copied in copies.items():
        space.execute("DEL", key)
        if copied is None:
            continue
        if copied.kind == "string":
            space.execute("SET", key, copied.value)
        else:
            space.execute(_WRITES[copied.kind], key, *_words(copied))
        if copied.at_ms is not None:
            space.execute("PEXPIREAT", key, copied.at_ms)


def _words(copied: Copied) -> list[str]:
    match copied.kind:
        case "hash":
            return [word for pair in copied.value.items() for word in pair]
        case "set":
            return sorted(copied.value)
        case "zset":
            return [str(word) for member, score in copied.value.items() for word in (score, member)]
        case _:
            return list(copied.value)
