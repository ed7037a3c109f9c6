"""A look at a server when it is connected to, for whether it may drop what is held there."""

from __future__ import annotations

import re
import warnings
from typing import Any

from coord.errors import ConfigError
from coord.redis.options import Options

__all__ = ["survey"]


def survey(info: Any, where: str, options: Options) -> None:
    """Warn, or refuse, when INFO tells that the server may evict live claims; see ``Options.eviction``.

    A server that does not let the user see INFO is taken as it is.
    """
    policy = re.search(r"maxmemory_policy:(\S+)", info) if isinstance(info, str) else None
    if options.eviction == "ignore" or policy is None or policy[1] == "noeviction":
        return
    text = (
        f"{where} has maxmemory-policy {policy[1]}: when its memory is full it drops live claims, barriers and counts; "
        "set it to noeviction"
    )
    if options.eviction == "refuse":
        raise ConfigError(text)
    warnings.warn(text, RuntimeWarning, stacklevel=5)
