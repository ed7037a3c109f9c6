"""Commands for hashes."""

from __future__ import annotations

from coord.errors import ReplyError
from coord.memory.command import command
from coord.memory.entries import NEVER, Entries
from coord.memory.parse import Word, extended, integer, text, texts, total, wrong_arity
from coord.memory.strings import added
from coord.memory.values import as_bytes

__all__ = ["Hashes"]

_NOT_AN_INTEGER = "ERR hash value is not an integer"
_NOT_A_FLOAT = "ERR hash value is not a float"


class Hashes(Entries):
    """The commands for hashes."""

    @command(3)
    def hget(self, key: str, field: str) -> str | None:
        """The value of one field, or None."""
        found = self._read(key, dict)
        return None if found is None else found.get(field)

    @command(-3)
    def hmget(self, key: str, *fields: str) -> list[str | None]:
        """The values of some fields, None for each that is not there."""
        if not fields:
            raise wrong_arity("hmget")
        found: dict[str, str] = self._read(key, dict) or {}
        return [found.get(field) for field in fields]

    @command(2)
    def hgetall(self, key: str) -> list[str]:
        """Field, value, field, value; in no particular order."""
        found: dict[str, str] = self._read(key, dict) or {}
        return [word for pair in found.items() for word in pair]

    @command(2)
    def hkeys(self, key: str) -> list[str]:
        """All fields; in no particular order."""
        return list(self._read(key, dict) or ())

    @command(2)
    def hvals(self, key: str) -> list[str]:
        """All values; in no particular order."""
        found: dict[str, str] = self._read(key, dict) or {}
        return list(found.values())

    @command(3)
    def hexists(self, key: str, field: str) -> int:
        """1 when the field is there."""
        return int(self.hget(key, field) is not None)

    @command(2)
    def hlen(self, key: str) -> int:
        """How many fields there are."""
        return len(self._read(key, dict) or ())

    @command(3)
    def hstrlen(self, key: str, field: str) -> int:
        """How many bytes the value of a field has."""
        return len(as_bytes(self.hget(key, field) or ""))

    @command(-4)
    def hset(self, key: str, *pairs: Word) -> int:
        """Set fields, given as field, value, field, value; how many are new."""
        if not pairs or len(pairs) % 2:
            raise wrong_arity("hset")
        words = texts(pairs)
        # As in ``_grow``, written out: most operations write a hash.
        fields: dict[str, str] | None = self._read(key, dict)
        if fields is None:
            fields = {}
            self._entries[key] = (fields, NEVER)
        before = len(fields)
        fields.update(zip(words[::2], words[1::2], strict=True))
        return len(fields) - before

    @command(-4, status=True)
    def hmset(self, key: str, *pairs: Word) -> None:
        """HMSET: ``hset`` with another answer."""
        if not pairs or len(pairs) % 2:
            raise wrong_arity("hmset")
        self.hset(key, *pairs)

    @command(4)
    def hsetnx(self, key: str, field: Word, value: Word) -> int:
        """Set a field that is not there; 1 when it was set."""
        name, value = text(field), text(value)
        return self._grow(key, dict, lambda fields: fields.setdefault(name, value))

    @command(-3)
    def hdel(self, key: str, *fields: str) -> int:
        """Remove fields and say how many were there; a hash without fields is gone."""
        if not fields:
            raise wrong_arity("hdel")
        return self._shrink(key, dict, lambda found: [found.pop(field, None) for field in fields])

    @command(4)
    def hincrby(self, key: str, field: str, delta: Word) -> int:
        """Add to the 64-bit integer in a field, from 0 when there is none."""
        delta = integer(delta)
        found = self.hget(key, field)
        number = total(0 if found is None else integer(found, _NOT_AN_INTEGER), delta)
        self.hset(key, field, str(number))
        return number

    @command(4)
    def hincrbyfloat(self, key: str, field: str, delta: Word) -> str:
        """Add to the number in a field, in the 80-bit format that Redis counts in; return it as text."""
        extended(delta)
        if text(delta).lower().lstrip("+-") in ("inf", "infinity"):
            raise ReplyError("ERR value is NaN or Infinity")
        value = added(self.hget(key, field), delta, _NOT_A_FLOAT)
        self.hset(key, field, value)
        return value
