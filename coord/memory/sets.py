"""Commands for sets."""

from __future__ import annotations

from collections.abc import Callable

from coord.errors import ReplyError
from coord.memory.command import ALL, TWO, command
from coord.memory.entries import Entries
from coord.memory.parse import SYNTAX, Word, integer, text, texts, wrong_arity

__all__ = ["Sets"]


class Sets(Entries):
    """The commands for sets. The order of members says nothing."""

    @command(-3)
    def sadd(self, key: str, *members: Word) -> int:
        """Add members and say how many were new."""
        if not members:
            raise wrong_arity("sadd")
        words = texts(members)
        return self._grow(key, set, lambda found: found.update(words))

    @command(-3)
    def srem(self, key: str, *members: str) -> int:
        """Remove members and say how many were there."""
        if not members:
            raise wrong_arity("srem")
        return self._shrink(key, set, lambda found: found.difference_update(members))

    @command(2)
    def scard(self, key: str) -> int:
        """How many members there are."""
        return len(self._read(key, set) or ())

    @command(3)
    def sismember(self, key: str, member: str) -> int:
        """1 when it is a member."""
        return int(member in (self._read(key, set) or ()))

    @command(-3)
    def smismember(self, key: str, *members: str) -> list[int]:
        """1 for each that is a member, 0 for each that is not."""
        if not members:
            raise wrong_arity("smismember")
        found: set[str] = self._read(key, set) or set()
        return [int(member in found) for member in members]

    @command(2)
    def smembers(self, key: str) -> list[str]:
        """All members; in no particular order."""
        return list(self._read(key, set) or ())

    @command(4, TWO)
    def smove(self, source: str, target: str, member: str) -> int:
        """Move a member to another set; 1 when it was moved."""
        found: set[str] | None = self._read(source, set)
        if found is None:
            return 0
        self._read(target, set)
        if member not in found:
            return 0
        if source != target:
            self.srem(source, member)
            self.sadd(target, member)
        return 1

    @command(-2, ALL)
    def sunion(self, *keys: str) -> list[str]:
        """The members of any of the sets."""
        return list(self._combined("sunion", keys, set[str].__or__))

    @command(-2, ALL)
    def sinter(self, *keys: str) -> list[str]:
        """The members of all of the sets."""
        return list(self._combined("sinter", keys, set[str].__and__))

    @command(-2, ALL)
    def sdiff(self, *keys: str) -> list[str]:
        """The members of the first set that are in none of the others."""
        return list(self._combined("sdiff", keys, set[str].__sub__))

    @command(-3, ALL)
    def sunionstore(self, target: str, *keys: str) -> int:
        """Store the members of any of the sets; how many there are."""
        return self._store(target, self._combined("sunionstore", keys, set[str].__or__))

    @command(-3, ALL)
    def sinterstore(self, target: str, *keys: str) -> int:
        """Store the members of all of the sets; how many there are."""
        return self._store(target, self._combined("sinterstore", keys, set[str].__and__))

    @command(-3, ALL)
    def sdiffstore(self, target: str, *keys: str) -> int:
        """Store the members of the first set that are in none of the others; how many there are."""
        return self._store(target, self._combined("sdiffstore", keys, set[str].__sub__))

    def _combined(self, name: str, keys: tuple[str, ...], join: Callable[[set[str], set[str]], set[str]]) -> set[str]:
        if not keys:
            raise wrong_arity(name)
        sets: list[set[str]] = [self._read(key, set) or set() for key in keys]
        result = set(sets[0])
        for other in sets[1:]:
            result = join(result, other)
        return result

    def _store(self, target: str, members: set[str]) -> int:
        self._replace(target, members)
        return len(members)

    @command(-3, slice(1, None))
    def sintercard(self, count: Word, *words: Word) -> int:
        """How many members all of the sets have; ``LIMIT`` stops counting there (0: no limit)."""
        size = integer(count, "ERR numkeys should be greater than 0")
        if size <= 0:
            raise ReplyError("ERR numkeys should be greater than 0")
        if size > len(words):
            raise ReplyError("ERR Number of keys can't be greater than number of args")
        limit = 0
        options = list(words[size:])
        while options:
            if text(options[0]).upper() != "LIMIT" or len(options) < 2:
                raise ReplyError(SYNTAX)
            limit = integer(options[1], "ERR LIMIT can't be negative")
            if limit < 0:
                raise ReplyError("ERR LIMIT can't be negative")
            options = options[2:]
        found = len(self._combined("sintercard", tuple(map(text, words[:size])), set[str].__and__))
        return min(found, limit) if limit else found
