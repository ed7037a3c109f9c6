"""Commands for lists."""

from __future__ import annotations

from typing import Any, Literal

from coord.errors import ReplyError
from coord.memory.command import TWO, command
from coord.memory.entries import Entries
from coord.memory.parse import NOT_AN_INTEGER, SYNTAX, Word, integer, lookup_range, text, texts, wrong_arity

__all__ = ["Lists"]

_NO_SUCH_KEY = "ERR no such key"
_BAD_COUNT = "ERR value is out of range, must be positive"
_ZERO_RANK = (
    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... "
    "or use negative to start from the end of the list"
)
Popped = str | list[str] | None
_ENDS: dict[str, Literal[0, -1]] = {"LEFT": 0, "RIGHT": -1}


class Lists(Entries):
    """The commands for lists. At the front of a list they take time with its length: about 0.5 ms in a million."""

    @command(-3)
    def rpush(self, key: str, *values: Word) -> int:
        """Append and return the new length."""
        if not values:
            raise wrong_arity("rpush")
        words = texts(values)
        self._grow(key, list, lambda found: found.extend(words))
        return self.llen(key)

    @command(-3)
    def lpush(self, key: str, *values: Word) -> int:
        """Put each in front and return the new length."""
        if not values:
            raise wrong_arity("lpush")
        words = texts(values)
        self._grow(key, list, lambda found: found.__setitem__(slice(0, 0), words[::-1]))
        return self.llen(key)

    @command(-3)
    def rpushx(self, key: str, *values: Word) -> int:
        """Append to a list that is there; its length, 0 when it is not."""
        return self.rpush(key, *values) if self._read(key, list) else 0

    @command(-3)
    def lpushx(self, key: str, *values: Word) -> int:
        """Put each in front of a list that is there; its length, 0 when it is not."""
        return self.lpush(key, *values) if self._read(key, list) else 0

    def rpop(self, key: str) -> str | None:
        """Take the last one, or None."""
        return self._pop(key, -1)

    def lpop(self, key: str) -> str | None:
        """Take the first one, or None."""
        return self._pop(key, 0)

    @command(-2, name="LPOP")
    def lpop_words(self, key: str, *count: Word) -> Popped:
        """LPOP with a count: the first so many, or None without a list."""
        return self._pop_words(key, 0, "lpop", count)

    @command(-2, name="RPOP")
    def rpop_words(self, key: str, *count: Word) -> Popped:
        """RPOP with a count: the last so many, the last one first; None without a list."""
        return self._pop_words(key, -1, "rpop", count)

    def _pop_words(self, key: str, end: Literal[0, -1], name: str, count: tuple[Word, ...]) -> Popped:
        if not count:
            return self._pop(key, end)
        if len(count) != 1:
            raise wrong_arity(name)
        most = integer(count[0], _BAD_COUNT)
        if most < 0:
            raise ReplyError(_BAD_COUNT)
        found: list[str] | None = self._read(key, list)
        if found is None:
            return None
        if not most:
            return []
        taken = found[:most] if end == 0 else found[: -most - 1 : -1]
        kept = slice(0, len(taken)) if end == 0 else slice(len(found) - len(taken), None)
        self._shrink(key, list, lambda found: found.__delitem__(kept))
        return taken

    @command(2)
    def llen(self, key: str) -> int:
        """Return the length of the list."""
        return len(self._read(key, list) or ())

    @command(4)
    def lrange(self, key: str, start: Word, stop: Word) -> list[str]:
        """The values from one place to another, itself included; negative ones count from the end."""
        start, stop = integer(start), integer(stop)
        found: list[str] = self._read(key, list) or []
        return found[lookup_range(start, stop, len(found))]

    @command(4, status=True)
    def ltrim(self, key: str, start: Word, stop: Word) -> None:
        """Keep only the values from one place to another."""
        start, stop = integer(start), integer(stop)
        kept = lookup_range(start, stop, self.llen(key))
        self._shrink(key, list, lambda found: found.__setitem__(slice(None), found[kept]))

    @command(3)
    def lindex(self, key: str, index: Word) -> str | None:
        """The value at one place, or None; negative ones count from the end."""
        found: list[str] | None = self._read(key, list)
        if found is None:
            return None
        at = integer(index)
        return found[at] if -len(found) <= at < len(found) else None

    @command(4, status=True)
    def lset(self, key: str, index: Word, value: Word) -> None:
        """Replace the value at one place."""
        entry = self._live(key)
        if entry is None:
            raise ReplyError(_NO_SUCH_KEY)
        found: list[str] = self._read(key, list)
        at, word = integer(index), text(value)
        if not -len(found) <= at < len(found):
            raise ReplyError("ERR index out of range")
        found[at] = word

    @command(5)
    def linsert(self, key: str, where: Word, pivot: Word, value: Word) -> int:
        """Insert BEFORE or AFTER the first value that equals the pivot; the new length, -1 when none does."""
        side = text(where).upper()
        if side not in ("BEFORE", "AFTER"):
            raise ReplyError(SYNTAX)
        found: list[str] | None = self._read(key, list)
        if found is None:
            return 0
        if text(pivot) not in found:
            return -1
        found.insert(found.index(text(pivot)) + (side == "AFTER"), text(value))
        return len(found)

    @command(4)
    def lrem(self, key: str, count: Word, value: Word) -> int:
        """Remove values that equal one: so many from the front, from the end (negative), or all (0)."""
        most, word = integer(count), text(value)
        found: list[str] = self._read(key, list) or []
        places = [at for at, each in enumerate(found) if each == word]
        places = places[:most] if most > 0 else places[most:] if most < 0 else places
        gone = set(places)
        kept = [each for at, each in enumerate(found) if at not in gone]
        return self._shrink(key, list, lambda found: found.__setitem__(slice(None), kept)) if gone else 0

    @command(-3)
    def lpos(self, key: str, value: Word, *options: Word) -> Any:
        """The place of a value; with COUNT a list of places (0: all). RANK: which match to begin with; MAXLEN."""
        rank, most, limit = _lpos_options(options)
        found: list[str] = self._read(key, list) or []
        word = text(value)
        order = range(len(found)) if rank > 0 else range(len(found) - 1, -1, -1)
        order = order[:limit] if limit else order
        places = [at for at in order if found[at] == word][abs(rank) - 1 :]
        if most is None:
            return places[0] if places else None
        return places[:most] if most else places

    @command(5, TWO)
    def lmove(self, source: str, target: str, source_end: Word, target_end: Word) -> str | None:
        """Take a value from one end (LEFT, RIGHT) of a list and put it at an end of another; return it."""
        ends = text(source_end).upper(), text(target_end).upper()
        if not _ENDS.keys() >= set(ends):
            raise ReplyError(SYNTAX)
        found: list[str] | None = self._read(source, list)
        if found is None:
            return None
        self._read(target, list)
        if source == target:
            value = found.pop(_ENDS[ends[0]])
            found.insert(0 if ends[1] == "LEFT" else len(found), value)
            return value
        value = found[_ENDS[ends[0]]]
        self._pop(source, _ENDS[ends[0]])
        (self.lpush if ends[1] == "LEFT" else self.rpush)(target, value)
        return value

    @command(3, TWO)
    def rpoplpush(self, source: str, target: str) -> str | None:
        """LMOVE from the right end to the left one."""
        return self.lmove(source, target, "RIGHT", "LEFT")

    def _pop(self, key: str, place: Literal[0, -1]) -> str | None:
        values = self._read(key, list)
        if values is None:
            return None
        taken: str = values[place]
        self._shrink(key, list, lambda found: found.pop(place))
        return taken


def _lpos_options(options: tuple[Word, ...]) -> tuple[int, int | None, int]:
    """Read RANK, COUNT and MAXLEN."""
    rank, most, limit = 1, None, 0
    for at in range(0, len(options), 2):
        word = text(options[at]).upper()
        if at + 1 == len(options) or word not in ("RANK", "COUNT", "MAXLEN"):
            raise ReplyError(SYNTAX)
        if word == "RANK":
            rank = integer(options[at + 1], NOT_AN_INTEGER)
            if rank == 0:
                raise ReplyError(_ZERO_RANK)
        elif word == "COUNT":
            most = integer(options[at + 1], "ERR COUNT can't be negative")
            if most < 0:
                raise ReplyError("ERR COUNT can't be negative")
        else:
            limit = integer(options[at + 1], "ERR MAXLEN can't be negative")
            if limit < 0:
                raise ReplyError("ERR MAXLEN can't be negative")
    return rank, most, limit
