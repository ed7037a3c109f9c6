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
    """Reads replies without hiredis."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes, /) -> None:
        """Take bytes as they came."""
        self._buffer += data

    def gets(self) -> Any:
        """Return the next reply, an error reply as a ``ReplyError``; False when it is not all there yet."""
        parsed = self._parsed(0)
        if parsed is None:
            return False
        reply, end = parsed
        del self._buffer[:end]
        return reply

    def _parsed(self, start: int) -> tuple[Any, int] | None:
        """The reply that begins at a place, and where it ends; None when it is not all there."""
        line_end = self._buffer.find(b"\r\n", start)
        if line_end < 0:
            return None
        kind, line, after = self._buffer[start], self._buffer[start + 1 : line_end], line_end + 2
        match kind:
            case 43:  # +
                return _text(line), after
            case 45:  # -
                return ReplyError(_text(line)), after
            case 58:  # :
                return int(line), after
            case 36:  # $
                return self._bulk(int(line), after)
            case 42:  # *
                return self._array(int(line), after)
            case _:
                raise ConnectionError(f"the server sent what is no RESP2 reply: {bytes(line[:40])!r}")

    def _bulk(self, size: int, start: int) -> tuple[Any, int] | None:
        if size < 0:
            return None_, start
        end = start + size
        if len(self._buffer) < end + 2:
            return None
        return _text(self._buffer[start:end]), end + 2

    def _array(self, size: int, start: int) -> tuple[Any, int] | None:
        if size < 0:
            return None_, start
        items: list[Any] = []
        for _ in range(size):
            parsed = self._parsed(start)
            if parsed is None:
                return None
            item, start = parsed
            items.append(item)
        return items, start


None_: Any = None


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
