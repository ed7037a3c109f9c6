"""What ``lua/lib/`` says, in Python: the functions that several twins share, each under its file's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coord.memory import Keyspace

__all__ = [
    "first_answer",
    "keep_error",
    "kept_errors",
    "later",
    "now_ms",
    "recall",
    "refresh",
    "remember",
    "whole",
]


def recall(space: Keyspace, op: str, sequence: int, remember_ms: int) -> str | None:
    """Return the answer that this operation was given the first time; None when it has not run."""
    kept = space.get(op) if remember_ms else None
    return kept.removeprefix(f"{sequence}|") if kept is not None and kept.startswith(f"{sequence}|") else None


def remember(space: Keyspace, op: str, sequence: int, remember_ms: int, answer: str) -> None:
    """Keep an operation's answer for its repetitions; 0 ms: it has no id."""
    if remember_ms:
        space.set(op, f"{sequence}|{answer}", px=remember_ms)


def first_answer(space: Keyspace, op: str, sequence: int, remember_ms: int, answer: str) -> str | None:
    """Keep an answer before anything else is written; of a repetition, return that of the first time."""
    if not remember_ms:
        return None
    answered = recall(space, op, sequence, remember_ms)
    remember(space, op, sequence, remember_ms, answer if answered is None else answered)
    return answered


def refresh(space: Keyspace, key: str, ttl_ms: int) -> None:
    """Give a key its full TTL again; 0 ms: it never expires."""
    if ttl_ms:
        space.pexpire(key, ttl_ms)
    else:
        space.persist(key)


def later(space: Keyspace, before: str | None) -> str:
    """Return a number above the one before, and not below the clock in microseconds."""
    seconds, micros = space.time()
    return str(max(seconds * 1_000_000 + micros, int(before or 0) + 1))


def whole(text: str) -> bool:
    """Return whether a text is a whole number, in digits, that a Lua number holds exactly."""
    return text.isascii() and text.isdigit() and int(text) < 1 << 53


def now_ms(space: Keyspace) -> int:
    """Return the clock in whole milliseconds."""
    seconds, micros = space.time()
    return seconds * 1000 + micros // 1000


def keep_error(space: Keyspace, entity: str, counter: str, source: str, message: str) -> None:
    """Count an error under a field, and keep the first hundred messages in fields of their own."""
    count = space.hincrby(entity, counter, 1)
    if count <= 100:
        space.hset(entity, f"{counter}:{count}", f"{source}\n{message}")


def kept_errors(space: Keyspace, entity: str, counter: str, count: int) -> list[str]:
    """Return source and message of each kept error."""
    words: list[str] = []
    for number in range(1, min(count, 100) + 1):
        source, _, message = (space.hget(entity, f"{counter}:{number}") or "").partition("\n")
        words += source, message
    return words
