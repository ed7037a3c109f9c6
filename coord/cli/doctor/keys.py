"""Keys without a TTL, in a sample: they stay until they are deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coord.cli.doctor.findings import Finding, ok, unchecked, warning
from coord.errors import ReplyError

if TYPE_CHECKING:
    from coord.redis.primaries import Node

__all__ = ["lifetimes"]

_NAMED = 3


def lifetimes(node: Node, prefix: str, sample: int) -> Finding:
    """Check up to ``sample`` keys under the prefix, and name some without a TTL."""
    from coord.redis.scanning import keys_under  # noqa: PLC0415  # the other commands run without redis-py

    looked_at, forever, all_of_them = 0, list[str](), True
    try:
        for keys in keys_under(node, prefix):
            if looked_at >= sample:
                all_of_them = False
                break
            left = node.ask_many([("PTTL", key) for key in keys])
            # -1: it never expires; -2: it does not exist any more.
            forever += [key for key, ms in zip(keys, left, strict=True) if ms == -1]
            looked_at += len(keys)
    except ReplyError as error:
        return unchecked("keys", f"not checked: {error}", "grant +scan +pttl to check them")
    if not looked_at and all_of_them:
        return ok("keys", f"none under {prefix!r}")
    whole = f"all {looked_at:,} keys" if all_of_them else f"the first {looked_at:,} keys"
    seen = f"{whole} under {prefix!r}"
    if not forever:
        return ok("keys", f"{seen} have a TTL")
    names = ", ".join(forever[:_NAMED]) + (", ..." if len(forever) > _NAMED else "")
    return warning(
        "keys",
        f"{seen}: {len(forever):,} never expire ({names})",
        "set a TTL, unless they were created with ttl=None",
    )
