"""What a user of a server may do: every command inside a script is checked when the script comes to it.

What the script wrote before a refused command stays, so a user who may not run all of them is turned away at once.
https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coord.script import packaged

if TYPE_CHECKING:
    from coord.memory import Keyspace

__all__ = ["PERMITTED"]


def _permitted(space: Keyspace, scratch: str, publish: str) -> list[str]:
    space.delete(scratch)
    space.publish(scratch, "")
    return []


PERMITTED = packaged("permitted", _permitted)
