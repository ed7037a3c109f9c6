"""Commands for sorted sets."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple

from coord.errors import ReplyError
from coord.memory.command import TWO, command
from coord.memory.entries import Entries
from coord.memory.parse import SYNTAX, Word, bound, double, double_text, integer, lookup_range, text, wrong_arity
from coord.memory.values import Row, SortedSet, as_bytes

__all__ = ["SortedSets"]

_NX_OR_XX = "ERR XX and NX options at the same time are not compatible"
_ONE_OF_THREE = "ERR GT, LT, and/or NX options at the same time are not compatible"
_ONE_PAIR = "ERR INCR option supports a single increment-element pair"
_NOT_A_NUMBER = "ERR resulting score is not a number (NaN)"
_BAD_SCORES = "ERR min or max is not a float"
_BAD_MEMBERS = "ERR min or max not valid string range item"
_BAD_COUNT = "ERR value is out of range, must be positive"
_LIMIT_OF_RANKS = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX"
_SCORES_BY_LEX = "ERR syntax error, WITHSCORES not supported in combination with BYLEX"

_score = itemgetter(0)
_member = itemgetter(1)
Selector = Callable[[SortedSet], slice]
"""The bounds of a range in the order of a set."""


class Range(NamedTuple):
    """The arguments of a range command: which rows, in which direction, which part of them, with scores or not."""

    place: Selector
    reverse: bool
    offset: int = 0
    most: int = -1
    with_scores: bool = False

    def rows(self, found: SortedSet | None) -> list[Row]:
        """Return the rows of a set that are in the range."""
        if found is None or self.offset < 0:
            return []
        rows = found.order[self.place(found)]
        if self.reverse:
            rows.reverse()
        return rows[self.offset :] if self.most < 0 else rows[self.offset : self.offset + self.most]

    def reply(self, found: SortedSet | None) -> list[str]:
        """Return the members, each with its score behind it if that was asked for."""
        rows = self.rows(found)
        if not self.with_scores:
            return [row[2] for row in rows]
        return [word for row in rows for word in (row[2], double_text(row[0]))]


class SortedSets(Entries):
    """The commands for sorted sets. Places are found in O(log n), see ``SortedSet``."""

    def zadd(self, key: str, *words: Word, nx: bool = False) -> Any:
        """Add members, given as score, member, score, member, or move them; how many are new.

        Flags, as words in front of the scores: NX, XX, GT, LT (only new ones, only others, only to a higher, a lower
        score), CH (count also those that moved), INCR (add to the score; the new one as text, None if a flag forbade).
        """
        return self.zadd_words(key, "NX", *words) if nx else self.zadd_words(key, *words)

    @command(-4, name="ZADD")
    def zadd_words(self, key: str, *words: Word) -> int | str | None:
        """ZADD with its flags as words."""
        if len(words) < 2:
            raise wrong_arity("zadd")
        flags, pairs = _flags(words)
        if not pairs or len(pairs) % 2:
            raise ReplyError(SYNTAX)
        if {"NX", "XX"} <= flags:
            raise ReplyError(_NX_OR_XX)
        if len(flags & {"NX", "GT", "LT"}) > 1:
            raise ReplyError(_ONE_OF_THREE)
        if "INCR" in flags and len(pairs) > 2:
            raise ReplyError(_ONE_PAIR)
        # Small sets of Redis know no -0, large ones do.
        scored = [(double(score) + 0.0, text(member)) for score, member in zip(pairs[::2], pairs[1::2], strict=True)]
        found: SortedSet | None = self._read(key, SortedSet)
        changed = _Changed(SortedSet() if found is None else found, flags)
        for score, member in scored:
            changed.put(score, member)
        if found is None and changed.target:
            self._replace(key, changed.target)
        if "INCR" in flags:
            return changed.score
        return changed.added + changed.moved if "CH" in flags else changed.added

    @command(4)
    def zincrby(self, key: str, delta: Word, member: Word) -> str:
        """Add to a member's score, from 0 when it is not there; the new score as text."""
        score = self.zadd_words(key, "INCR", delta, member)
        assert isinstance(score, str)
        return score

    @command(-3)
    def zrem(self, key: str, *members: str) -> int:
        """Remove members and say how many were there."""
        if not members:
            raise wrong_arity("zrem")
        return self._shrink(key, SortedSet, lambda found: [found.discard(member) for member in members])

    @command(2)
    def zcard(self, key: str) -> int:
        """How many members there are."""
        return len(self._read(key, SortedSet) or ())

    @command(3)
    def zscore(self, key: str, member: str) -> str | None:
        """A member's score in digits, or None."""
        found: SortedSet | None = self._read(key, SortedSet)
        score = None if found is None else found.scores.get(member)
        return None if score is None else double_text(score)

    @command(-3)
    def zmscore(self, key: str, *members: str) -> list[str | None]:
        """The scores of some members, None for each that is not there."""
        if not members:
            raise wrong_arity("zmscore")
        self._read(key, SortedSet)
        return [self.zscore(key, member) for member in members]

    @command(-3)
    def zrank(self, key: str, member: str, *withscore: Word) -> Any:
        """How many members stand before one, or None; WITHSCORE: a list of that and the score."""
        return self._rank("zrank", key, member, withscore, reverse=False)

    @command(-3)
    def zrevrank(self, key: str, member: str, *withscore: Word) -> Any:
        """How many members stand behind one, or None; WITHSCORE: a list of that and the score."""
        return self._rank("zrevrank", key, member, withscore, reverse=True)

    def _rank(self, name: str, key: str, member: str, withscore: tuple[Word, ...], *, reverse: bool) -> Any:
        if len(withscore) > 1:
            raise wrong_arity(name)
        if withscore and text(withscore[0]).upper() != "WITHSCORE":
            raise ReplyError(SYNTAX)
        found: SortedSet | None = self._read(key, SortedSet)
        if found is None or member not in found.scores:
            return None
        rank = len(found) - 1 - found.rank(member) if reverse else found.rank(member)
        return [rank, double_text(found.scores[member])] if withscore else rank

    @command(4)
    def zcount(self, key: str, least: Word, most: Word) -> int:
        """How many scores lie between two; ``(`` in front of one excludes it."""
        return self._count(key, _between(least, most))

    @command(4)
    def zlexcount(self, key: str, least: Word, most: Word) -> int:
        """How many members lie between two: ``[`` includes one, ``(`` excludes it, ``-`` and ``+`` are the ends."""
        return self._count(key, _between_members(least, most))

    def _count(self, key: str, place: Selector) -> int:
        found: SortedSet | None = self._read(key, SortedSet)
        if found is None:
            return 0
        return len(found.order[place(found)])

    # --- ranges ----------------------------------------------------------------------------------

    @command(-4)
    def zrange(self, key: str, start: Word, stop: Word, *options: Word) -> list[str]:
        """The members from one rank to another, itself included; BYSCORE and BYLEX, REV, LIMIT, WITHSCORES."""
        wanted = _range(start, stop, options)
        return wanted.reply(self._read(key, SortedSet))

    @command(-5, TWO)
    def zrangestore(self, target: str, source: str, start: Word, stop: Word, *options: Word) -> int:
        """Store what ``zrange`` finds; how many there are."""
        wanted = _range(start, stop, options, stores=True)
        result = SortedSet()
        result.order = sorted(wanted.rows(self._read(source, SortedSet)))
        result.scores = {row[2]: row[0] for row in result.order}
        self._replace(target, result)
        return len(result)

    @command(-4)
    def zrevrange(self, key: str, start: Word, stop: Word, *options: Word) -> list[str]:
        """The members from one rank to another, counted from the highest score."""
        if len(options) > 1 or (options and text(options[0]).upper() != "WITHSCORES"):
            raise ReplyError(SYNTAX)
        wanted = Range(_ranks(integer(start), integer(stop), reverse=True), reverse=True, with_scores=bool(options))
        return wanted.reply(self._read(key, SortedSet))

    @command(-4)
    def zrangebyscore(self, key: str, least: Word, most: Word, *options: Word) -> list[str]:
        """The members whose scores lie between two; WITHSCORES, LIMIT. ``(`` in front of a score excludes it."""
        place = _between(least, most)
        return Range(place, False, *_old_options(options, scores=True)).reply(self._read(key, SortedSet))

    @command(-4)
    def zrevrangebyscore(self, key: str, most: Word, least: Word, *options: Word) -> list[str]:
        """``zrangebyscore`` from the highest score down."""
        place = _between(least, most)
        return Range(place, True, *_old_options(options, scores=True)).reply(self._read(key, SortedSet))

    @command(-4)
    def zrangebylex(self, key: str, least: Word, most: Word, *options: Word) -> list[str]:
        """The members between two, where all scores are equal; LIMIT. Bounds as for ``zlexcount``."""
        place = _between_members(least, most)
        return Range(place, False, *_old_options(options, scores=False)).reply(self._read(key, SortedSet))

    @command(-4)
    def zrevrangebylex(self, key: str, most: Word, least: Word, *options: Word) -> list[str]:
        """``zrangebylex`` from the last member down."""
        place = _between_members(least, most)
        return Range(place, True, *_old_options(options, scores=False)).reply(self._read(key, SortedSet))

    # --- removing --------------------------------------------------------------------------------

    @command(4)
    def zremrangebyrank(self, key: str, start: Word, stop: Word) -> int:
        """Remove the members from one rank to another, itself included."""
        return len(self._cut(key, _ranks(integer(start), integer(stop), reverse=False)))

    @command(4)
    def zremrangebyscore(self, key: str, least: Word, most: Word) -> int:
        """Remove the members whose scores lie between two."""
        return len(self._cut(key, _between(least, most)))

    @command(4)
    def zremrangebylex(self, key: str, least: Word, most: Word) -> int:
        """Remove the members between two, where all scores are equal."""
        return len(self._cut(key, _between_members(least, most)))

    @command(-2)
    def zpopmin(self, key: str, *count: Word) -> list[str]:
        """Remove the members with the lowest scores; each with its score behind it."""
        most = _count("zpopmin", count)
        rows = self._cut(key, lambda found: slice(0, min(most, len(found))))
        return [word for row in rows for word in (row[2], double_text(row[0]))]

    @command(-2)
    def zpopmax(self, key: str, *count: Word) -> list[str]:
        """Remove the members with the highest scores, the highest first; each with its score behind it."""
        most = _count("zpopmax", count)
        rows = self._cut(key, lambda found: slice(max(0, len(found) - most), len(found)))
        return [word for row in reversed(rows) for word in (row[2], double_text(row[0]))]

    def _cut(self, key: str, place: Selector) -> list[Row]:
        """Remove a range of rows and return them."""
        found: SortedSet | None = self._read(key, SortedSet)
        if found is None:
            return []
        where = place(found)
        rows = found.order[where]
        del found.order[where]
        for row in rows:
            del found.scores[row[2]]
        if not found:
            del self._entries[key]
        return rows


class _Changed:
    """The changes that ZADD makes to a set."""

    def __init__(self, target: SortedSet, flags: frozenset[str]) -> None:
        self.target = target
        self.flags = flags
        self.added = self.moved = 0
        self.score: str | None = None

    def put(self, score: float, member: str) -> None:
        before = self.target.scores.get(member)
        if before is None:
            if "XX" in self.flags:
                return
            self.added += 1
        else:
            if "NX" in self.flags:
                return
            if "INCR" in self.flags:
                score += before
                if math.isnan(score):
                    raise ReplyError(_NOT_A_NUMBER)
            if ("LT" in self.flags and score >= before) or ("GT" in self.flags and score <= before):
                return
            self.moved += score != before
        if score != before:
            self.target.put(member, score)
        self.score = double_text(score)


def _flags(words: tuple[Word, ...]) -> tuple[frozenset[str], tuple[Word, ...]]:
    flags: set[str] = set()
    for at, word in enumerate(words):
        flag = text(word).upper()
        if flag not in ("NX", "XX", "GT", "LT", "CH", "INCR"):
            return frozenset(flags), words[at:]
        flags.add(flag)
    return frozenset(flags), ()


def _count(name: str, words: tuple[Word, ...]) -> int:
    if not words:
        return 1
    if len(words) != 1:
        raise wrong_arity(name)
    count = integer(words[0], _BAD_COUNT)
    if count < 0:
        raise ReplyError(_BAD_COUNT)
    return count


# --- the bounds of ranges ------------------------------------------------------------------------


def _ranks(start: int, stop: int, *, reverse: bool) -> Selector:
    def place(found: SortedSet) -> slice:
        size = len(found)
        first, last, _ = lookup_range(start, stop, size).indices(size)
        last = max(first, last)
        return slice(size - last, size - first) if reverse else slice(first, last)

    return place


def _between(least: Word, most: Word) -> Selector:
    low, low_excluded = bound(least, _BAD_SCORES)
    high, high_excluded = bound(most, _BAD_SCORES)

    def place(found: SortedSet) -> slice:
        first = (bisect_right if low_excluded else bisect_left)(found.order, low, key=_score)
        last = (bisect_left if high_excluded else bisect_right)(found.order, high, key=_score)
        return slice(first, max(first, last))

    return place


def _between_members(least: Word, most: Word) -> Selector:
    low, high = _member_bound(least), _member_bound(most)

    def place(found: SortedSet) -> slice:
        # Where scores differ Redis leaves the answer open.
        first = 0 if low.end == "-" else len(found)
        if not low.end:
            first = (bisect_right if low.excluded else bisect_left)(found.order, low.member, key=_member)
        last = 0 if high.end == "-" else len(found)
        if not high.end:
            last = (bisect_left if high.excluded else bisect_right)(found.order, high.member, key=_member)
        return slice(first, max(first, last))

    return place


class _MemberBound(NamedTuple):
    """One end of a range of members: a member, or one of the ends ``-`` and ``+``."""

    end: str
    member: bytes
    excluded: bool


def _member_bound(word: Word) -> _MemberBound:
    written = text(word)
    if written in ("-", "+"):
        return _MemberBound(written, b"", excluded=False)
    if written[:1] not in ("(", "["):
        raise ReplyError(_BAD_MEMBERS)
    return _MemberBound("", as_bytes(written[1:]), excluded=written[0] == "(")


def _range(start: Word, stop: Word, options: tuple[Word, ...], *, stores: bool = False) -> Range:
    """Read the words of ZRANGE."""
    flags: set[str] = set()
    limit: tuple[int, int] | None = None
    words = [text(option) for option in options]
    while words:
        word = words[0].upper()
        if word == "LIMIT" and len(words) > 2:
            limit = integer(words[1]), integer(words[2])
            words = words[3:]
            continue
        if word not in ("BYSCORE", "BYLEX", "REV", *(() if stores else ("WITHSCORES",))):
            raise ReplyError(SYNTAX)
        if {word, *flags} >= {"BYSCORE", "BYLEX"}:
            raise ReplyError(SYNTAX)
        flags.add(word)
        words = words[1:]
    reverse = "REV" in flags
    by_value = flags & {"BYSCORE", "BYLEX"}
    if limit is not None and not by_value:
        if limit[1] != -1:
            raise ReplyError(_LIMIT_OF_RANKS)
        # Servers take a count of -1 for no LIMIT at all, and then do not look at the offset.
        limit = None
    if flags >= {"BYLEX", "WITHSCORES"}:
        raise ReplyError(_SCORES_BY_LEX)
    ends = (stop, start) if reverse and by_value else (start, stop)
    if "BYSCORE" in flags:
        place = _between(*ends)
    elif "BYLEX" in flags:
        place = _between_members(*ends)
    else:
        place = _ranks(integer(start), integer(stop), reverse=reverse)
    return Range(place, reverse, *(limit or (0, -1)), with_scores="WITHSCORES" in flags)


def _old_options(options: tuple[Word, ...], *, scores: bool) -> tuple[int, int, bool]:
    """Read the options of ZRANGEBYSCORE and ZRANGEBYLEX: offset, count, whether scores are wanted."""
    offset, count, with_scores = 0, -1, False
    words = [text(option) for option in options]
    while words:
        if scores and words[0].upper() == "WITHSCORES":
            with_scores = True
            words = words[1:]
        elif words[0].upper() == "LIMIT" and len(words) > 2:
            offset, count = integer(words[1]), integer(words[2])
            words = words[3:]
        else:
            raise ReplyError(SYNTAX)
    return offset, count, with_scores
