"""Python twins of ``lua/lib/``: the functions that several twins share, each under its file's name."""

from __future__ import annotations

import re
from math import floor
from typing import TYPE_CHECKING

from coord.names import INT64_MAX, INT64_MIN

if TYPE_CHECKING:
    from coord.memory import Keyspace

__all__ = [
    "add_stage",
    "all_whole",
    "answer_once",
    "at_ms",
    "first_answer",
    "int64",
    "keep_error",
    "kept_errors",
    "later",
    "now_ms",
    "now_us",
    "outlive",
    "recall",
    "refresh",
    "refuse",
    "remember",
    "whole",
]

_EXACT = 1 << 53
_is_integer = re.compile(r"0|-?[1-9][0-9]{0,18}").fullmatch


def recall(space: Keyspace, op: str, sequence: int, remember_ms: int) -> str | None:
    """Return the answer that this operation gave before; None when it has not run.

    The caller's own id travels with a negative sequence, new for each call: what was done is kept under 0 for all of
    them, a refusal only for copies of that one call.
    """
    kept = space.get(op) if remember_ms else None
    if kept is None:
        return None
    if kept.startswith(f"{sequence}|"):
        return kept.removeprefix(f"{sequence}|")
    return kept[2:] if sequence < 0 and kept.startswith("0|") else None


def remember(space: Keyspace, op: str, sequence: int, remember_ms: int, answer: str) -> None:
    """Keep the answer of an operation that was done; 0 ms: it has no id."""
    if remember_ms:
        space.set(op, f"{max(sequence, 0)}|{answer}", px=remember_ms)


def refuse(space: Keyspace, op: str, sequence: int, remember_ms: int, repeated: str, answer: str) -> None:
    """Keep a refusal of a call that was sent again: its first copy may arrive late."""
    if repeated == "1" and remember_ms:
        space.set(op, f"{sequence}|{answer}", px=remember_ms)


def first_answer(space: Keyspace, op: str, sequence: int, remember_ms: int, answer: str) -> str | None:
    """Keep an answer before anything else is written; of a repetition, return that of the first time."""
    if not remember_ms:
        return None
    answered = recall(space, op, max(sequence, 0), remember_ms)
    remember(space, op, sequence, remember_ms, answer if answered is None else answered)
    return answered


def answer_once(space: Keyspace, answered: str, repeated: str, tombstone_ms: int, answer: str) -> None:
    """Keep the answer of a call that was sent again: another copy may be late."""
    if repeated == "1":
        space.set(answered, answer, px=tombstone_ms)


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
    """Return whether a text is a whole number, in digits without leading zeros, that a Lua number holds exactly."""
    return len(text) <= 16 and _is_integer(text) is not None and 0 <= int(text) < 1 << 53


def all_whole(*texts: str | None) -> bool:
    """Return whether each of some values is there, and is a whole number."""
    return all(text is not None and whole(text) for text in texts)


def int64(text: str) -> bool:
    """Return whether a text is a signed 64-bit integer, in digits, without leading zeros."""
    return _is_integer(text) is not None and INT64_MIN <= int(text) <= INT64_MAX


def now_ms(space: Keyspace) -> int:
    """Return the clock in whole milliseconds."""
    seconds, micros = space.time()
    return seconds * 1000 + micros // 1000


def at_ms(score: str) -> int:
    """Return a score as whole milliseconds, at most 2^53; by hand, one can be anything."""
    return floor(max(-_EXACT, min(float(score), _EXACT)))


def outlive(space: Keyspace, key: str, least_ms: int) -> None:
    """Keep a set of deadlines until the last of them, and at least until a moment."""
    _, last = space.zrange(key, 0, 0, "REV", "WITHSCORES")
    space.pexpireat(key, max(at_ms(last), least_ms))


def now_us(space: Keyspace) -> int:
    """Return the clock in whole microseconds."""
    seconds, micros = space.time()
    return seconds * 1_000_000 + micros


def keep_error(space: Keyspace, entity: str, counter: str, source: str, message: str) -> None:
    """Count an error under a field, and keep the first hundred messages in fields of their own."""
    count = space.hincrby(entity, counter, 1)
    if 1 <= count <= 100:
        space.hset(entity, f"{counter}:{count}", f"{source}\n{message}")


def kept_errors(space: Keyspace, entity: str, counter: str, count: int) -> list[str]:
    """Return source and message of each kept error."""
    words: list[str] = []
    fields = [f"{counter}:{number}" for number in range(1, min(count, 100) + 1)]
    for kept in space.hmget(entity, *fields) if fields else ():
        source, separator, message = (kept or "").partition("\n")
        words += (source, message) if separator else ("", "")
    return words


def add_stage(space: Keyspace, request: str, stages: str, stage: str) -> None:
    """Note the name of one more stage of a request, with nothing pending."""
    number = int(stages) + 1
    space.hset(request, "stages", str(number), f"s:{number}", stage, f"p:{stage}", "0")
