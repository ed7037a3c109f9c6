"""Keys of one server, found by SCAN: a part at a time, so that the server answers others in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from coord.errors import ReplyError
from coord.names import escape_glob

if TYPE_CHECKING:
    from coord.redis.primaries import Node

__all__ = ["keys_under"]

_AT_ONCE = 1000


def keys_under(node: Node, prefix: str, within: str = "") -> Iterator[list[str]]:
    """Yield the keys that begin with ``prefix`` and have ``within`` in the rest, each once, as they are found.

    Keys that come or go meanwhile may or may not be among them. ``ReplyError`` when the user may not SCAN.
    """
    match = f"{escape_glob(prefix)}*{escape_glob(within)}*" if within else f"{escape_glob(prefix)}*"
    cursor, seen = "0", set[str]()
    while True:
        reply = node.ask("SCAN", cursor, "MATCH", match, "COUNT", _AT_ONCE)
        if isinstance(reply, ReplyError):
            raise reply
        cursor, found = str(reply[0]), reply[1]
        fresh = [key for key in found if key not in seen]
        seen.update(fresh)
        if fresh:
            yield fresh
        if cursor == "0":
            return
