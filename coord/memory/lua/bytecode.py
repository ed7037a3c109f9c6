"""Compiled scripts whose tail calls are plain calls, so that an error names the line of a script.

``return redis.call(...)`` is a tail call. On a server the called function is C code, and the line of the script is
still known; here it is Lua, and the tail call would have replaced the script. The format is that of Lua 5.1's
string.dump, which lundump.c of its sources reads.
"""

from __future__ import annotations

import struct

__all__ = ["without_tail_calls"]

_HEADER = 12
_OPCODE = 0x3F
_CALL, _TAILCALL = 28, 29
_NIL, _BOOLEAN, _NUMBER, _STRING = 0, 1, 3, 4


def without_tail_calls(dump: bytes) -> bytes:
    """Return a dumped function, and those inside it, with calls in the place of tail calls.

    Both have the same operands, and the RETURN behind a tail call returns what the call left.
    """
    return _Patch(dump).patched()


class _Patch:
    def __init__(self, dump: bytes) -> None:
        order, self._int, self._size, self._instruction, self._number = struct.unpack_from("5B", dump, 6)
        self._order: str = "little" if order else "big"
        self._data = bytearray(dump)
        self._at = _HEADER

    def patched(self) -> bytes:
        self._function()
        return bytes(self._data)

    def _function(self) -> None:
        self._text()
        self._at += 2 * self._int + 4
        for _ in range(self._whole(self._int)):
            # The opcode is in the six lowest bits.
            low = self._at if self._order == "little" else self._at + self._instruction - 1
            if self._data[low] & _OPCODE == _TAILCALL:
                self._data[low] = self._data[low] & ~_OPCODE & 0xFF | _CALL
            self._at += self._instruction
        for _ in range(self._whole(self._int)):
            self._constant()
        for _ in range(self._whole(self._int)):
            self._function()
        lines = self._whole(self._int)
        self._at += lines * self._int
        for _ in range(self._whole(self._int)):
            self._text()
            self._at += 2 * self._int
        for _ in range(self._whole(self._int)):
            self._text()

    def _constant(self) -> None:
        kind = self._whole(1)
        if kind == _STRING:
            self._text()
        else:
            self._at += {_NIL: 0, _BOOLEAN: 1, _NUMBER: self._number}[kind]

    def _text(self) -> None:
        size = self._whole(self._size)
        self._at += size

    def _whole(self, size: int) -> int:
        data = self._data[self._at : self._at + size]
        self._at += size
        return int.from_bytes(data, "little" if self._order == "little" else "big")
