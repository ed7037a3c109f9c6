"""Commands for strings as rows of bits."""

from __future__ import annotations

from coord.errors import ReplyError
from coord.memory.command import command
from coord.memory.parse import SYNTAX, Word, integer, text
from coord.memory.strings import Strings, as_text
from coord.memory.values import as_bytes

__all__ = ["Bitmaps"]

_BAD_OFFSET = "ERR bit offset is not an integer or out of range"
_BAD_BIT = "ERR bit is not an integer or out of range"
_MOST_BITS = 1 << 32


class Bitmaps(Strings):
    """The commands for bitmaps. Bit 0 is the highest bit of the first byte."""

    @command(4)
    def setbit(self, key: str, offset: Word, bit: Word) -> int:
        """Set a bit and return what it was; O(length of the string)."""
        at = _offset(offset)
        value = integer(bit, _BAD_BIT)
        if value not in (0, 1):
            raise ReplyError(_BAD_BIT)
        data = bytearray(as_bytes(self.get(key) or ""))
        data.extend(bytes(max(0, at // 8 + 1 - len(data))))
        mask = 0x80 >> at % 8
        before = int(bool(data[at // 8] & mask))
        data[at // 8] = data[at // 8] & ~mask | (mask if value else 0)
        self._change(key, as_text(bytes(data)))
        return before

    @command(3)
    def getbit(self, key: str, offset: Word) -> int:
        """Return a bit; behind the end of the string all are 0."""
        at = _offset(offset)
        data = as_bytes(self.get(key) or "")
        return data[at // 8] >> (7 - at % 8) & 1 if at // 8 < len(data) else 0

    @command(-2)
    def bitcount(self, key: str, *window: Word) -> int:
        """How many bits are 1, in the whole string or from one byte (with BIT: one bit) to another."""
        if len(window) not in (0, 2, 3):
            raise ReplyError(SYNTAX)
        bounds = [integer(word) for word in window[:2]]
        unit = text(window[2]).upper() if len(window) == 3 else "BYTE"
        if unit not in ("BYTE", "BIT"):
            raise ReplyError(SYNTAX)
        data = as_bytes(self.get(key) or "")
        if not bounds:
            return int.from_bytes(data, "big").bit_count()
        start, end = bounds
        if start < 0 and end < 0 and start > end:
            return 0
        size = len(data) * (8 if unit == "BIT" else 1)
        start = max(start + size, 0) if start < 0 else start
        end = min(max(end + size, 0) if end < 0 else end, size - 1)
        if start > end:
            return 0
        if unit == "BYTE":
            return int.from_bytes(data[start : end + 1], "big").bit_count()
        row = int.from_bytes(data, "big") >> (size - 1 - end)
        return (row & (1 << (end - start + 1)) - 1).bit_count()


def _offset(word: Word) -> int:
    offset = integer(word, _BAD_OFFSET)
    if not 0 <= offset < _MOST_BITS:
        raise ReplyError(_BAD_OFFSET)
    return offset
