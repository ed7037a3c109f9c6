"""The commands that scripts need: a server checks each one only when the script comes to it.

The writes before a refused command stay, so a server or user that lacks one of them is rejected at once.
https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from coord.names import escape_glob
from coord.script import load

if TYPE_CHECKING:
    from coord.memory import Keyspace

__all__ = ["PERMITTED", "acl_line"]


def _permitted(space: Keyspace, scratch: str, publish: str) -> list[str]:
    space.unlink(scratch)
    space.publish(scratch, "")
    return []


PERMITTED = load("permitted", _permitted)

_CONNECTION = ("evalsha", "script|load", "info", "ping", "hello", "select", "time")
_NOTICES = ("publish", "subscribe", "unsubscribe")
_SHARDED_NOTICES = ("spublish", "ssubscribe", "sunsubscribe")
_CLUSTER = ("cluster|slots", "asking")


def acl_line(prefix: str, *, sharded: bool = True, clustered: bool = False) -> str:
    """Return the smallest ``ACL SETUSER`` line of a user for coord, with a placeholder for the password.

    ``sharded``: the server has sharded channels, as all have but 6.2. ``clustered``: it is a node of a cluster.
    """
    inner = [name.lower() for name in re.findall(r'\btry\("([A-Z]+)"', PERMITTED.source)]
    commands = (
        *_CONNECTION,
        *inner,
        *_NOTICES,
        *(_SHARDED_NOTICES if sharded else ()),
        *(_CLUSTER if clustered else ()),
    )
    granted = " ".join(f"+{name}" for name in dict.fromkeys(commands))
    keys = f"{escape_glob(prefix)}*"
    return f"ACL SETUSER coord on >PASSWORD resetkeys ~{keys} resetchannels &{keys} -@all {granted}"
