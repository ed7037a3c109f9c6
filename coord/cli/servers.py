"""The server of a command: its URL, and the primaries behind it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from coord.connecting import redis_backend
from coord.errors import ConfigError
from coord.keys import checked_prefix
from coord.urls import ENVIRONMENT, given_url, memory_name

if TYPE_CHECKING:
    from coord.redis.primaries import Primary

__all__ = ["find_primaries", "server_url"]


def server_url(url: str | None, prefix: str) -> str:
    """Return the URL of a server, the given one or that of the environment. ``ConfigError`` for ``memory://``."""
    try:
        checked_prefix(prefix)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if memory_name(url) is not None:
        # Without a URL, coord.connect uses memory://.
        why = (
            "memory:// exists only inside the process that uses it" if url or ENVIRONMENT in os.environ else "no server"
        )
        raise ConfigError(f"{why}: give the URL of a server, or set ${ENVIRONMENT}")
    return given_url(url)


def find_primaries(url: str, prefix: str) -> list[Primary]:
    """Return the primaries behind a URL. ``Unavailable`` if a cluster does not name them."""
    redis_backend()
    from coord.options import Options  # noqa: PLC0415  # the other commands run without redis-py
    from coord.redis.primaries import primaries  # noqa: PLC0415  # as above

    return primaries(url, Options(prefix=prefix))
