"""Commands as bytes and replies from bytes: RESP2, by hiredis, which has wheels for free-threaded Python too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

import hiredis

from coord.errors import ReplyError

__all__ = ["Reader", "new_reader", "pack"]


class Reader(Protocol):
    """Bytes in, replies out."""

    def feed(self, data: bytes, /) -> object:
        """Take bytes as they came."""
        ...

    def gets(self) -> Any:
        """Return the next reply, an error reply as a ``ReplyError``; False when it is not complete.

        Raises ``ConnectionError`` on bytes that are not RESP.
        """
        ...

    def has_data(self) -> bool:
        """Return whether bytes are left that no ``gets`` has returned."""
        ...


pack = cast("Callable[[tuple[Any, ...]], bytes]", hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType]  # its stub leaves the result open
"""Return a command's words as the bytes that are sent."""


def new_reader() -> Reader:
    """Return a reader for one connection."""
    return hiredis.Reader(
        protocolError=ConnectionError, replyError=ReplyError, encoding="utf-8", errors="surrogateescape"
    )
