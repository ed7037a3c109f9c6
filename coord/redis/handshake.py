"""Checks on connecting: whether the server may evict keys, and whether the user may run all commands of scripts."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, cast

from coord.errors import ConfigError, ReplyError, Unavailable
from coord.ids import nonce
from coord.options import Options
from coord.permissions import PERMITTED
from coord.redis.refusals import could_not_connect, denied

__all__ = ["handshake_commands", "read_handshake", "scratch_keys"]


def scratch_keys(prefix: str) -> Iterator[str]:
    """Yield unique keys, without end."""
    while True:
        yield f"{prefix}permitted:{{{nonce()}}}"


def handshake_commands(scratch: str, publish: str) -> list[tuple[str | int, ...]]:
    """Return the commands that check a server, in one write; ``scratch`` is a unique key to try commands on."""
    return [
        ("INFO",),
        ("SCRIPT", "LOAD", PERMITTED.source),
        ("EVALSHA", PERMITTED.sha, 1, scratch, publish),
    ]


def read_handshake(answers: Iterable[Any], where: str, options: Options) -> int:
    """Return the server's major version.

    Warns, or refuses, when INFO says that the server may evict live claims; ``ConfigError`` when the user may not run
    all commands of scripts. If the user may not run INFO, the server counts as the oldest
    version that coord supports. A busy or loading server is not checked: each call reports it.
    """
    info, loaded, refused = answers
    if isinstance(info, ReplyError) and info.code == "NOAUTH":
        raise could_not_connect(info, where)
    found = re.search(r"redis_version:(\d+)", info) if isinstance(info, str) else None
    version = int(found[1]) if found else 6
    if version < 7 and isinstance(refused, list):
        # SPUBLISH came with 7.0; older clusters get PUBLISH.
        refused = [command for command in cast("list[str]", refused) if command != "SPUBLISH"]
    _permitted(loaded, refused, where)
    if isinstance(info, str):
        _evicting(info, where, options)
    return version


def _permitted(loaded: Any, refused: Any, where: str) -> None:
    if denied(refused):
        raise ConfigError(f"{where} does not let this user run scripts under this prefix: {refused}; {_SEE}")
    if not isinstance(refused, ReplyError):
        if not isinstance(refused, list):
            raise Unavailable(f"{where} sent an unreadable reply to EVALSHA")
        commands = ", ".join(f"{command}" for command in cast("list[object]", refused))
    else:
        # The error of a renamed command has no specific code; a busy or loading server answers with other codes.
        lacking = [
            name
            for name, reply in (("SCRIPT LOAD", loaded), ("EVALSHA", refused))
            if isinstance(reply, ReplyError) and (denied(reply) or "unknown command" in str(reply).lower())
        ]
        commands = ", ".join(lacking)
    if commands:
        raise ConfigError(f"{where} does not let this user run {commands}: {_SEE}")


_SEE = "docs/guarantees.md has under ACL what coord needs, and a script that is refused half-way keeps what it wrote"


def _evicting(info: str, where: str, options: Options) -> None:
    policy = re.search(r"maxmemory_policy:(\S+)", info)
    if options.eviction != "ignore" and policy and policy[1] != "noeviction":
        text = (
            f"{where} has maxmemory-policy {policy[1]}: when its memory is full it drops live claims, "
            "barriers and counts; set it to noeviction"
        )
        if options.eviction == "refuse":
            raise ConfigError(text)
        warnings.warn(text, RuntimeWarning, stacklevel=7)
