"""A look at a server when it is connected to, for whether it may drop what is held there."""

from __future__ import annotations

import re
import warnings
from typing import Any

from coord.errors import ConfigError, ReplyError
from coord.redis.options import Options
from coord.redis.outcome import could_not_connect

__all__ = ["survey"]


def survey(info: Any, where: str, options: Options) -> int:
    """Return the server's major version; warn, or refuse, when INFO tells that it may evict live claims.

    A server that does not let the user see INFO is taken as it is, for the oldest that coord knows.
    """
    if isinstance(info, ReplyError) and info.code == "NOAUTH":
        raise could_not_connect(info, where)
    if not isinstance(info, str):
        return 6
    policy = re.search(r"maxmemory_policy:(\S+)", info)
    if options.eviction != "ignore" and policy and policy[1] != "noeviction":
        text = (
            f"{where} has maxmemory-policy {policy[1]}: when its memory is full it drops live claims, "
            "barriers and counts; set it to noeviction"
        )
        if options.eviction == "refuse":
            raise ConfigError(text)
        warnings.warn(text, RuntimeWarning, stacklevel=6)
    version = re.search(r"redis_version:(\d+)", info)
    return int(version[1]) if version else 6
