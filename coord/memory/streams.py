"""Commands for streams. Consumer groups are not here."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from typing import Any, NamedTuple

from coord.errors import ReplyError
from coord.memory.command import command
from coord.memory.entries import NEVER, Entries
from coord.memory.parse import SYNTAX, Word, integer, text, wrong_arity
from coord.memory.values import ABSENT_ID, LARGEST_ID, Stream, StreamId

__all__ = ["Streams"]

_BAD_ID = "ERR Invalid stream ID specified as stream command argument"
_TOO_SMALL = "ERR The ID specified in XADD is equal or smaller than the target stream top item"
_ZERO_ID = "ERR The ID specified in XADD must be greater than 0-0"
_EXHAUSTED = "ERR The stream has exhausted the last possible ID, unable to add more items"
_NO_LIMIT = "ERR syntax error, LIMIT cannot be used without the special ~ option"
_ABOUT = "ERR memory:// trims exactly: where '~' stops differs from server to server"
# As strtoull, which reads it.
_NUMBER = re.compile(r"[ \t\n\v\f\r]*\+?[0-9]{1,100}").fullmatch
_BIGGEST = 2**64 - 1


class Trim(NamedTuple):
    """The trimming of a stream: to so many entries, or to ids from one on."""

    most: int = -1
    least: StreamId = ABSENT_ID

    def apply(self, stream: Stream) -> int:
        """Remove what is too much, and return how many entries that was."""
        gone = bisect_left(stream.ids, self.least) if self.most < 0 else max(0, len(stream) - self.most)
        del stream.ids[:gone]
        del stream.fields[:gone]
        return gone


class Streams(Entries):
    """The commands for streams."""

    @command(-5)
    def xadd(self, key: str, *words: Word) -> str | None:
        """Add an entry and return its id: NOMKSTREAM, MAXLEN or MINID, an id (``*``: of this moment), fields.

        None when NOMKSTREAM is given and there is no stream.
        """
        make, trim, rest = _add_options(words)
        wanted, pairs = rest[0], rest[1:]
        given = _id(wanted, sequence=None) if wanted != "*" else None
        if not pairs or len(pairs) % 2:
            raise wrong_arity("xadd")
        if given == ABSENT_ID:
            raise ReplyError(_ZERO_ID)
        stream: Stream | None = self._read(key, Stream)
        if stream is None:
            if not make:
                return None
            stream = Stream()
        new = self._next_id(stream, given)
        stream.ids.append(new)
        stream.fields.append(pairs)
        stream.last = new
        if trim is not None:
            trim.apply(stream)
        if self._live(key) is None:
            self._entries[key] = (stream, NEVER)
        return _shown(new)

    def _next_id(self, stream: Stream, given: tuple[int, int | None] | None) -> StreamId:
        ms, number = stream.last
        if stream.last == LARGEST_ID:
            raise ReplyError(_EXHAUSTED)
        if given is None:
            if self._now > ms:
                return self._now, 0
            return (ms, number + 1) if number < _BIGGEST else (ms + 1, 0)
        if given[1] is None:
            if given[0] < ms or (given[0] == ms and number == _BIGGEST):
                raise ReplyError(_TOO_SMALL)
            return given[0], number + 1 if given[0] == ms else 0
        if (given[0], given[1]) <= stream.last:
            raise ReplyError(_TOO_SMALL)
        return given[0], given[1]

    @command(2)
    def xlen(self, key: str) -> int:
        """How many entries there are."""
        return len(self._read(key, Stream) or ())

    @command(-4)
    def xrange(self, key: str, start: Word, end: Word, *count: Word) -> list[list[Any]] | None:
        """The entries from one id to another, itself included, each ``[id, [field, value, ...]]``; COUNT.

        ``-`` and ``+`` are the ends; ``(`` in front of an id excludes it.
        """
        return self._entries_between(key, start, end, count, reverse=False)

    @command(-4)
    def xrevrange(self, key: str, end: Word, start: Word, *count: Word) -> list[list[Any]] | None:
        """``xrange`` from the largest id down."""
        return self._entries_between(key, start, end, count, reverse=True)

    def _entries_between(
        self, key: str, start: Word, end: Word, count: tuple[Word, ...], *, reverse: bool
    ) -> list[list[Any]] | None:
        least, most = _first_id(start), _last_id(end)
        limit = -1
        for at in range(0, len(count), 2):
            if text(count[at]).upper() != "COUNT" or at + 1 == len(count):
                raise ReplyError(SYNTAX)
            limit = max(0, integer(count[at + 1]))
        stream: Stream | None = self._read(key, Stream)
        if stream is None:
            return []
        if limit == 0:
            return None
        first, last = bisect_left(stream.ids, least), bisect_right(stream.ids, most)
        places = range(last - 1, first - 1, -1) if reverse else range(first, last)
        return [[_shown(stream.ids[at]), stream.fields[at].copy()] for at in (places if limit < 0 else places[:limit])]

    @command(-4)
    def xtrim(self, key: str, *words: Word) -> int:
        """Remove the oldest entries: MAXLEN (how many stay) or MINID (the smallest id that stays); how many went."""
        trim, rest = _trim([text(word) for word in words])
        if trim is None or rest:
            raise ReplyError(SYNTAX)
        stream: Stream | None = self._read(key, Stream)
        return 0 if stream is None else trim.apply(stream)

    @command(-3)
    def xdel(self, key: str, *ids: Word) -> int:
        """Remove entries and say how many were there; a stream without entries stays."""
        if not ids:
            raise wrong_arity("xdel")
        stream: Stream | None = self._read(key, Stream)
        if stream is None:
            return 0
        removed = 0
        for wanted in [_exact(_id(text(word), sequence=0)) for word in ids]:
            at = bisect_left(stream.ids, wanted)
            if stream.ids[at : at + 1] == [wanted]:
                del stream.ids[at], stream.fields[at]
                removed += 1
        return removed


# --- words ---------------------------------------------------------------------------------------


def _add_options(words: tuple[Word, ...]) -> tuple[bool, Trim | None, list[str]]:
    """Read the options of XADD: whether to make a stream, how to trim it, and the words from the id on."""
    rest = [text(word) for word in words]
    make, trim = True, None
    while rest:
        option = rest[0].upper()
        if option == "NOMKSTREAM":
            make, rest = False, rest[1:]
        elif option in ("MAXLEN", "MINID") and len(rest) > 1:
            if trim is not None:
                raise ReplyError("ERR syntax error, MAXLEN and MINID options at the same time are not compatible")
            trim, rest = _trim(rest)
        else:
            return make, trim, rest
    raise wrong_arity("xadd")


def _trim(words: list[str]) -> tuple[Trim | None, list[str]]:
    """Read MAXLEN or MINID, and return the words behind it."""
    kind, rest = words[0].upper(), words[1:]
    if kind not in ("MAXLEN", "MINID") or not rest:
        raise ReplyError(SYNTAX)
    if rest[0] == "~" and len(rest) > 1:
        raise ReplyError(_ABOUT)
    if rest[0] == "=" and len(rest) > 1:
        rest = rest[1:]
    if kind == "MINID":
        trim = Trim(least=_exact(_id(rest[0], sequence=0)))
    else:
        trim = Trim(most=integer(rest[0]))
        if trim.most < 0:
            raise ReplyError("ERR The MAXLEN argument must be >= 0.")
    if rest[1:2] and rest[1].upper() == "LIMIT" and len(rest) > 2:
        integer(rest[2])
        raise ReplyError(_NO_LIMIT)
    return trim, rest[1:]


def _id(word: str, *, sequence: int | None) -> tuple[int, int | None]:
    """Read an id; without a sequence number it has this one. None: ``ms-*`` is allowed, and means the next one."""
    ms, dash, number = word.partition("-")
    if dash and number == "*" and sequence is None:
        return _part(ms), None
    return _part(ms), _part(number) if dash else sequence or 0


def _part(word: str) -> int:
    if not _NUMBER(word) or int(word) > _BIGGEST:
        raise ReplyError(_BAD_ID)
    return int(word)


def _exact(id: tuple[int, int | None]) -> StreamId:
    return id[0], id[1] or 0


def _first_id(word: Word) -> StreamId:
    written = text(word)
    if written in ("-", "+"):
        return ABSENT_ID if written == "-" else LARGEST_ID
    ms, number = _exact(_id(written.removeprefix("("), sequence=0))
    if not written.startswith("("):
        return ms, number
    if (ms, number) == LARGEST_ID:
        raise ReplyError("ERR invalid start ID for the interval")
    return (ms, number + 1) if number < _BIGGEST else (ms + 1, 0)


def _last_id(word: Word) -> StreamId:
    written = text(word)
    if written in ("-", "+"):
        return ABSENT_ID if written == "-" else LARGEST_ID
    ms, number = _exact(_id(written.removeprefix("("), sequence=_BIGGEST))
    if not written.startswith("("):
        return ms, number
    if (ms, number) == ABSENT_ID:
        raise ReplyError("ERR invalid end ID for the interval")
    return (ms, number - 1) if number else (ms - 1, _BIGGEST)


def _shown(id: StreamId) -> str:
    return f"{id[0]}-{id[1]}"
