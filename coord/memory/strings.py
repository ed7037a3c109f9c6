"""Commands for strings."""

from __future__ import annotations

import math
from typing import Any

from coord.errors import ReplyError
from coord.memory.command import ALL, EVEN, OK, command
from coord.memory.entries import NEVER
from coord.memory.keys import BAD_EXPIRE, Keys
from coord.memory.parse import (
    SYNTAX,
    WRONG_TYPE,
    Word,
    extended,
    extended_text,
    extended_total,
    integer,
    text,
    total,
    wrong_arity,
)
from coord.memory.values import as_bytes
from coord.names import INT64_MAX, INT64_MIN

__all__ = ["Strings", "as_text"]

_NO_NUMBER = "ERR increment would produce NaN or Infinity"
_TOO_LONG = "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
_LONGEST = 512 * 1024 * 1024
_TIMES = {"EX": (1000, True), "PX": (1, True), "EXAT": (1000, False), "PXAT": (1, False)}
"""How many milliseconds one unit is, and whether it counts from now."""


def as_text(data: bytes) -> str:
    """Return bytes as a text; bytes that are not UTF-8 survive the way there and back."""
    return data.decode("utf-8", "surrogateescape")


class Strings(Keys):
    """The commands for strings. Offsets count bytes, as on a server."""

    @command(2)
    def get(self, key: str) -> str | None:
        """The string at the key, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, deadline = entry
        if deadline < self._now:
            return None
        if value.__class__ is not str:
            raise ReplyError(WRONG_TYPE)
        found: str = value
        return found

    def set(self, key: str, value: Word, px: int | None = None, nx: bool = False, keepttl: bool = False) -> bool:
        """SET with PX, NX and KEEPTTL; False when NX kept it from being set. For other flags: ``set_words``."""
        if value.__class__ is not str:
            value = text(value)
        now = self._now
        before = self._entries.get(key)
        if px is not None:
            deadline = now + px
            if not now < deadline <= INT64_MAX:
                raise ReplyError(BAD_EXPIRE.format("set"))
            if before is not None:
                if before[1] < now:
                    before = None
                elif nx:
                    return False
            self._put(key, value, deadline, before)
            return True
        if before is not None:
            if before[1] < now:
                before = None
            elif nx:
                return False
        self._entries[key] = (value, before[1] if keepttl and before is not None else NEVER)
        return True

    @command(-3, name="SET")
    def set_words(self, key: str, value: Word, *options: Word) -> str | None:
        """SET with its options as words: EX, PX, EXAT, PXAT, KEEPTTL, NX, XX, GET.

        OK, or None when NX or XX kept it from being set; with GET the string that was there.
        """
        flags, moment = _set_options(options, ("NX", "XX", "GET", "KEEPTTL"))
        if {"NX", "XX"} <= flags or ("KEEPTTL" in flags and moment):
            raise ReplyError(SYNTAX)
        deadline = self._deadline("set", *moment) if moment else None
        before = self.get(key) if "GET" in flags else None
        entry = self._live(key)
        if ("NX" in flags and entry is not None) or ("XX" in flags and entry is None):
            return before
        if deadline is None:
            self.set(key, value, keepttl="KEEPTTL" in flags)
        else:
            self._put(key, text(value), deadline, entry)
        return before if "GET" in flags else OK

    def _deadline(self, name: str, unit: str, amount: Word) -> int:
        ms, from_now = _TIMES[unit]
        size = integer(amount)
        deadline = size * ms + (self._now if from_now else 0)
        if size <= 0 or size > INT64_MAX // ms or deadline > INT64_MAX:
            raise ReplyError(BAD_EXPIRE.format(name))
        return deadline

    @command(3)
    def setnx(self, key: str, value: Word) -> int:
        """SETNX: 1 when the key was absent and is set now."""
        return int(self.set(key, value, nx=True))

    @command(4, status=True)
    def setex(self, key: str, seconds: Word, value: Word) -> None:
        """SET with EX."""
        self._put(key, text(value), self._deadline("setex", "EX", seconds), self._live(key))

    @command(4, status=True)
    def psetex(self, key: str, ms: Word, value: Word) -> None:
        """SET with PX."""
        self._put(key, text(value), self._deadline("psetex", "PX", ms), self._live(key))

    @command(3)
    def getset(self, key: str, value: Word) -> str | None:
        """Set a key and return the string that was there; its deadline is taken away."""
        before = self.get(key)
        self.set(key, value)
        return before

    @command(2)
    def getdel(self, key: str) -> str | None:
        """Remove a string and return it."""
        found = self.get(key)
        if found is not None:
            del self._entries[key]
        return found

    @command(-2)
    def getex(self, key: str, *options: Word) -> str | None:
        """Return a string and change its deadline: EX, PX, EXAT, PXAT or PERSIST."""
        flags, moment = _set_options(options, ("PERSIST",))
        if flags and moment:
            raise ReplyError(SYNTAX)
        found = self.get(key)
        if found is None:
            return None
        if moment:
            self._expire_at(key, self._deadline("getex", *moment), ())
        elif flags:
            self.persist(key)
        return found

    @command(-2, ALL)
    def mget(self, *keys: str) -> list[str | None]:
        """The strings at some keys; None for each that is missing or holds another type."""
        if not keys:
            raise wrong_arity("mget")
        entries = [self._live(key) for key in keys]
        return [entry[0] if entry is not None and entry[0].__class__ is str else None for entry in entries]

    @command(-3, EVEN, status=True)
    def mset(self, *pairs: Word) -> None:
        """Set keys, given as key, value, key, value; their deadlines are taken away."""
        if not pairs or len(pairs) % 2:
            raise wrong_arity("mset")
        words = [text(word) for word in pairs]
        for key, value in zip(words[::2], words[1::2], strict=True):
            self.set(key, value)

    @command(-3, EVEN)
    def msetnx(self, *pairs: Word) -> int:
        """Set keys if none of them is there; 1 when they were set."""
        if not pairs or len(pairs) % 2:
            raise wrong_arity("msetnx")
        if self.exists(*map(text, pairs[::2])):
            return 0
        self.mset(*pairs)
        return 1

    # --- numbers ---------------------------------------------------------------------------------

    @command(3)
    def incrby(self, key: str, delta: Word) -> int:
        """Add to the 64-bit integer at the key, from 0 when there is none; the deadline stays."""
        more = delta if type(delta) is int else integer(delta)
        entry = self._live(key)
        if entry is not None and type(entry[0]) is not str:
            raise ReplyError(WRONG_TYPE)
        number = integer(entry[0]) if entry is not None else 0
        number = total(number, more)
        self._entries[key] = (str(number), NEVER if entry is None else entry[1])
        return number

    @command(2)
    def incr(self, key: str) -> int:
        """Add 1."""
        return self.incrby(key, 1)

    @command(2)
    def decr(self, key: str) -> int:
        """Subtract 1."""
        return self.incrby(key, -1)

    @command(3)
    def decrby(self, key: str, delta: Word) -> int:
        """Subtract from the 64-bit integer at the key."""
        delta = integer(delta)
        if delta == INT64_MIN:
            raise ReplyError("ERR decrement would overflow")
        return self.incrby(key, -delta)

    @command(3)
    def incrbyfloat(self, key: str, delta: Word) -> str:
        """Add to the number at the key, in the 80-bit format that Redis counts in; return it as text."""
        before = self.get(key)
        value = added(before, delta)
        self._change(key, value)
        return value

    # --- bytes -----------------------------------------------------------------------------------

    @command(2)
    def strlen(self, key: str) -> int:
        """How many bytes the string has."""
        return len(as_bytes(self.get(key) or ""))

    @command(3)
    def append(self, key: str, more: Word) -> int:
        """Append to a string and return its new length in bytes."""
        data = as_bytes(self.get(key) or "") + as_bytes(text(more))
        self._change(key, as_text(data))
        return len(data)

    @command(4)
    def getrange(self, key: str, start: Word, end: Word) -> str:
        """The bytes from one offset to another, itself included; negative ones count from the end."""
        start, end = integer(start), integer(end)
        data = as_bytes(self.get(key) or "")
        if start < 0 and end < 0 and start > end:
            return ""
        start = max(start + len(data), 0) if start < 0 else start
        end = max(end + len(data), 0) if end < 0 else end
        return as_text(data[start : end + 1])

    @command(4)
    def substr(self, key: str, start: Word, end: Word) -> str:
        """SUBSTR: the old name of ``getrange``."""
        return self.getrange(key, start, end)

    @command(4)
    def setrange(self, key: str, offset: Word, value: Word) -> int:
        """Overwrite bytes from an offset on; the gap before it is filled with zero bytes. The new length."""
        offset = integer(offset)
        if offset < 0:
            raise ReplyError("ERR offset is out of range")
        data, more = as_bytes(self.get(key) or ""), as_bytes(text(value))
        if not more:
            return len(data)
        if offset + len(more) > _LONGEST:
            raise ReplyError(_TOO_LONG)
        data = data.ljust(offset, b"\0")
        data = data[:offset] + more + data[offset + len(more) :]
        self._change(key, as_text(data))
        return len(data)


def _set_options(options: tuple[Word, ...], known: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, Word] | None]:
    """Read flags, and a time with its unit; None when there is none."""
    flags: set[str] = set()
    found: tuple[str, Word] | None = None
    words = iter(options)
    for option in words:
        word = text(option).upper()
        if word in known:
            flags.add(word)
            continue
        amount = next(words, None)
        if word not in _TIMES or amount is None or found is not None:
            raise ReplyError(SYNTAX)
        found = word, amount
    return frozenset(flags), found


def added(before: str | None, delta: Word, otherwise: str = "ERR value is not a valid float") -> str:
    """Return the sum of two long doubles as text."""
    more = extended(delta)
    value: Any = extended_total(extended("0" if before is None else before, otherwise), more)
    if isinstance(value, float):
        assert not math.isfinite(value)
        raise ReplyError(_NO_NUMBER)
    return extended_text(value)
