"""Commands for keys of any type: whether they are there, their names, and how long they live."""

from __future__ import annotations

from collections.abc import Collection

from coord.errors import ReplyError
from coord.memory.command import ALL, NONE, TWO, command
from coord.memory.entries import NEVER, TYPES, Entries
from coord.memory.parse import SYNTAX, Word, integer, text, wrong_arity
from coord.names import INT64_MAX, INT64_MIN

__all__ = ["BAD_EXPIRE", "Keys"]

BAD_EXPIRE = "ERR invalid expire time in '{}' command"
_NO_SUCH_KEY = "ERR no such key"
_NX_ALONE = "ERR NX and XX, GT or LT options at the same time are not compatible"
_GT_OR_LT = "ERR GT and LT options at the same time are not compatible"
_UNSUPPORTED = "ERR Unsupported option {}"


class Keys(Entries):
    """The commands for keys of any type."""

    @command(-2, ALL)
    def exists(self, *keys: str) -> int:
        """How many of the keys are there; a key that is named twice counts twice."""
        if not keys:
            raise wrong_arity("exists")
        return sum(self._live(key) is not None for key in keys)

    @command(-2, ALL, name="DEL")
    def delete(self, *keys: str) -> int:
        """DEL: remove keys and say how many were there."""
        if not keys:
            raise wrong_arity("del")
        there = [key for key in keys if self._live(key) is not None]
        removed = set(there)
        for key in removed:
            del self._entries[key]
        return len(removed)

    @command(-2, ALL)
    def unlink(self, *keys: str) -> int:
        """UNLINK: here the same as ``delete``."""
        if not keys:
            raise wrong_arity("unlink")
        return self.delete(*keys)

    @command(2, status=True)
    def type_(self, key: str) -> str:
        """TYPE: what kind of value the key holds, or "none"."""
        entry = self._live(key)
        return "none" if entry is None else TYPES[type(entry[0])]

    @command(3, TWO, status=True)
    def rename(self, key: str, new: str) -> None:
        """Give a key another name, with its TTL; what was there before is gone."""
        entry = self._live(key)
        if entry is None:
            raise ReplyError(_NO_SUCH_KEY)
        del self._entries[key]
        self._put(text(new), entry[0], entry[1], None)

    @command(3, TWO)
    def renamenx(self, key: str, new: str) -> int:
        """Rename a key unless the new name is taken; 1 when it was renamed."""
        if self._live(key) is None:
            raise ReplyError(_NO_SUCH_KEY)
        if self._live(new) is not None:
            return 0
        self.rename(key, new)
        return 1

    @command(-3, TWO)
    def copy(self, key: str, new: str, *options: Word) -> int:
        """Copy a value with its TTL; 0 when the source is missing, or the target is there and REPLACE is not given."""
        words = [text(option).upper() for option in options]
        if words[:1] == ["DB"] and len(words) > 1:
            raise ReplyError("ERR memory:// has one database: COPY takes no DB")
        if any(word != "REPLACE" for word in words):
            raise ReplyError(SYNTAX)
        if key == new:
            raise ReplyError("ERR source and destination objects are the same")
        entry = self._live(key)
        if entry is None or (self._live(new) is not None and not words):
            return 0
        value = entry[0]
        self._put(text(new), value if value.__class__ is str else value.copy(), entry[1], None)
        return 1

    @command(1, NONE, name="TIME")
    def _time(self) -> list[str]:
        return [str(part) for part in self.time()]

    def time(self) -> tuple[int, int]:
        """Seconds and microseconds of the moment at which this call runs."""
        raise NotImplementedError

    # --- time to live ----------------------------------------------------------------------------

    @command(-3)
    def pexpire(self, key: str, ms: Word, *flags: Word) -> int:
        """Let a key live this long from now; 0 or less removes it. 1 when its deadline was set.

        Flags: NX (only without a deadline), XX (only with one), GT and LT (only a later, an earlier one).
        """
        wanted = _expire_flags(flags) if flags else ()
        due = ms if type(ms) is int else integer(ms)
        if not INT64_MIN <= due <= INT64_MAX - self._now:
            raise ReplyError(BAD_EXPIRE.format("pexpire"))
        entry = self._entries.get(key)
        if entry is None or entry[1] < self._now:
            return 0
        if due > 0 and not wanted:
            # Every write of coord ends with this call, so it is kept short.
            self._put(key, entry[0], self._now + due, entry)
            return 1
        return self._expire_at(key, self._now + due, wanted)

    @command(-3)
    def expire(self, key: str, seconds: Word, *flags: Word) -> int:
        """EXPIRE: ``pexpire`` in seconds."""
        wanted = _expire_flags(flags) if flags else ()
        seconds = integer(seconds)
        if not INT64_MIN // 1000 <= seconds <= (INT64_MAX - self._now) // 1000:
            raise ReplyError(BAD_EXPIRE.format("expire"))
        return self._expire_at(key, self._now + seconds * 1000, wanted)

    @command(-3)
    def pexpireat(self, key: str, at_ms: Word, *flags: Word) -> int:
        """Let a key live until a moment in Unix milliseconds; a past one removes it. Flags as for ``pexpire``."""
        wanted = _expire_flags(flags) if flags else ()
        return self._expire_at(key, integer(at_ms), wanted)

    @command(-3)
    def expireat(self, key: str, at: Word, *flags: Word) -> int:
        """EXPIREAT: ``pexpireat`` in seconds."""
        wanted = _expire_flags(flags) if flags else ()
        at = integer(at)
        if not INT64_MIN // 1000 <= at <= INT64_MAX // 1000:
            raise ReplyError(BAD_EXPIRE.format("expireat"))
        return self._expire_at(key, at * 1000, wanted)

    def _expire_at(self, key: str, deadline: int, wanted: Collection[str]) -> int:
        entry = self._live(key)
        if entry is None:
            return 0
        if wanted and not _may_move(entry[1], deadline, wanted):
            return 0
        if deadline <= self._now:
            del self._entries[key]
        else:
            self._put(key, entry[0], deadline, entry)
        return 1

    @command(2)
    def persist(self, key: str) -> int:
        """Take a key's deadline away. 1 when it had one."""
        entry = self._live(key)
        if entry is None or entry[1] == NEVER:
            return 0
        self._entries[key] = (entry[0], NEVER)
        return 1

    @command(2)
    def pttl(self, key: str) -> int:
        """Milliseconds left; -1 without a deadline, -2 without the key."""
        entry = self._live(key)
        if entry is None:
            return -2
        return -1 if entry[1] == NEVER else entry[1] - self._now

    @command(2)
    def ttl(self, key: str) -> int:
        """Seconds left, rounded as Redis rounds them; -1 and -2 as ``pttl``."""
        left = self.pttl(key)
        return left if left < 0 else (left + 500) // 1000

    @command(2)
    def pexpiretime(self, key: str) -> int:
        """The deadline in Unix milliseconds; -1 and -2 as ``pttl``."""
        left = self.pttl(key)
        return left if left < 0 else left + self._now

    @command(2)
    def expiretime(self, key: str) -> int:
        """The deadline in Unix seconds, rounded; -1 and -2 as ``pttl``."""
        at = self.pexpiretime(key)
        return at if at < 0 else (at + 500) // 1000


def _expire_flags(flags: tuple[Word, ...]) -> frozenset[str]:
    wanted: set[str] = set()
    for flag in flags:
        word = text(flag).upper()
        if word not in ("NX", "XX", "GT", "LT"):
            raise ReplyError(_UNSUPPORTED.format(text(flag)))
        wanted.add(word)
    if "NX" in wanted and len(wanted) > 1:
        raise ReplyError(_NX_ALONE)
    if {"GT", "LT"} <= wanted:
        raise ReplyError(_GT_OR_LT)
    return frozenset(wanted)


def _may_move(before: int, after: int, wanted: Collection[str]) -> bool:
    """Return whether flags allow a deadline to be moved; no deadline is later than any."""
    return not (
        ("NX" in wanted and before != NEVER)
        or ("XX" in wanted and before == NEVER)
        or ("GT" in wanted and after <= before)
        or ("LT" in wanted and after >= before)
    )
