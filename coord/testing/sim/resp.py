"""The server's side of the protocol: commands from bytes, replies to bytes.

RESP2, and of RESP3 the maps: redis-py asks sentinels in it.
"""

from __future__ import annotations

from typing import Any, cast

from coord.errors import ReplyError

__all__ = ["CommandReader", "Status", "encode"]


class Status(str):
    """A simple string, such as OK."""

    __slots__ = ()


class CommandReader:
    """Reads commands, which clients send as arrays of bulk strings, however the bytes are cut."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[list[str]]:
        """Take bytes as they came, and return the commands that are complete now."""
        self._buffer += data
        commands: list[list[str]] = []
        while (found := _command(self._buffer)) is not None:
            words, size = found
            self._buffer = self._buffer[size:]
            commands.append(words)
        return commands


def _command(buffer: bytes) -> tuple[list[str], int] | None:
    """The first command of a buffer and its size; None when it is not complete."""
    end = buffer.find(b"\r\n")
    if end < 0:
        return None
    words: list[str] = []
    at = end + 2
    for _ in range(int(buffer[1:end])):
        end = buffer.find(b"\r\n", at)
        if end < 0:
            return None
        start = end + 2
        at = start + int(buffer[at + 1 : end]) + 2
        if at > len(buffer):
            return None
        words.append(buffer[start : at - 2].decode("utf-8", "surrogateescape"))
    return words, at


def encode(reply: Any, protocol: int = 2) -> bytes:
    """Return a reply as it goes over the wire; a dict is a map in RESP3, and its items in a row in RESP2."""
    if isinstance(reply, ReplyError):
        return f"-{reply}\r\n".encode()
    if isinstance(reply, Status):
        return f"+{reply}\r\n".encode()
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, (bool, int)):
        return b":%d\r\n" % int(reply)
    if isinstance(reply, str):
        data = reply.encode("utf-8", "surrogateescape")
        return b"$%d\r\n%s\r\n" % (len(data), data)
    items: list[Any] = reply
    if isinstance(reply, dict):
        items = [word for pair in cast("dict[str, Any]", reply).items() for word in pair]
    head = b"%%%d" % (len(items) // 2) if protocol == 3 and isinstance(reply, dict) else b"*%d" % len(items)
    return head + b"\r\n" + b"".join([encode(item, protocol) for item in items])
