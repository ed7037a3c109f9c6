"""Commands as bytes, and replies from bytes: RESP2, by hiredis where it is installed and in Python where it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

from coord.errors import ReplyError

__all__ = ["Reader", "new_reader", "pack"]


class Reader(Protocol):
    """Bytes in, replies out."""

    def feed(self, data: bytes, /) -> object:
        """Take bytes as they came."""
        ...

    def gets(self) -> Any:
        """Return the next reply, an error reply as a ``ReplyError``; False when it is not all there yet."""
        ...


class PythonReader:
    """Reads replies without hiredis, each byte once, however the bytes are cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0
        self._value: Any = None
        self._open: list[tuple[list[Any], int]] = []
        """Arrays that are not all there yet, from the outside in, each with the size that it will have."""

    def feed(self, data: bytes, /) -> None:
        """Take bytes as they came."""
        self._buffer += data

    def gets(self) -> Any:
        """Return the next reply, an error reply as a ``ReplyError``; False when it is not all there yet."""
        while (found := self._next()) is not None:
            value, size = found
            if size > 0:
                self._open.append((value, size))
            elif self._completes(value):
                del self._buffer[: self._at]
                self._at = 0
                return self._value
        return False

    def _completes(self, value: Any) -> bool:
        """Put a value where it belongs; whether a reply, ``_value``, is all there with it."""
        while self._open:
            items, size = self._open[-1]
            items.append(value)
            if len(items) < size:
                return False
            value = items
            self._open.pop()
        self._value = value
        return True

    def _next(self) -> tuple[Any, int] | None:
        """The next value, and how many more belong into it; None when it is not all there."""
        line_end = self._buffer.find(b"\r\n", self._at)
        if line_end < 0:
            return None
        kind, line, after = self._buffer[self._at], self._buffer[self._at + 1 : line_end], line_end + 2
        found: tuple[Any, int]
        match kind:
            case 43:  # +
                found = _text(line), 0
            case 45:  # -
                found = ReplyError(_text(line)), 0
            case 58:  # :
                found = int(line), 0
            case 36:  # $
                end = after + int(line)
                if int(line) < 0:
                    found = None, 0
                elif len(self._buffer) < end + 2:
                    return None
                else:
                    found, after = (_text(self._buffer[after:end]), 0), end + 2
            case 42:  # *
                found = (None if int(line) < 0 else list[Any]()), int(line)
            case _:
                raise ConnectionError(f"the server sent what is no RESP2 reply: {bytes(line[:40])!r}")
        self._at = after
        return found


def _text(data: bytes | bytearray) -> str:
    return data.decode("utf-8", "surrogateescape")


def _packed(words: tuple[Any, ...]) -> bytes:
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode("utf-8", "surrogateescape")
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


pack: Callable[[tuple[Any, ...]], bytes]
"""A command's words, as the bytes that are sent."""

new_reader: Callable[[], Reader]
"""Make a reader for one connection."""

try:
    import hiredis
except ModuleNotFoundError:
    pack, new_reader = _packed, PythonReader
else:
    pack = cast("Callable[[tuple[Any, ...]], bytes]", hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType]  # its stub leaves the result open

    def _hiredis_reader() -> Reader:
        return hiredis.Reader(
            protocolError=ConnectionError, replyError=ReplyError, encoding="utf-8", errors="surrogateescape"
        )

    new_reader = _hiredis_reader
