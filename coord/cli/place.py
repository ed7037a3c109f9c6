"""Where a command looks: the URL and the prefix that it is given, and the primaries behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coord.config import ENVIRONMENT, _memory_name, _redis, _url
from coord.errors import ConfigError
from coord.operation import plain_prefix

if TYPE_CHECKING:
    from coord.redis.primaries import Primary

__all__ = ["found_primaries", "server_url"]


def server_url(url: str | None, prefix: str) -> str:
    """Return the URL of a server, given or from the environment; ``ConfigError`` when it names none."""
    try:
        plain_prefix(prefix)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if _memory_name(url, None) is not None:
        raise ConfigError(
            "memory:// lives in the process that uses it, where no other can look: "
            f"give the URL of a server, or set ${ENVIRONMENT}"
        )
    return _url(url)


def found_primaries(url: str, prefix: str) -> list[Primary]:
    """Return the primaries behind the URL of a server; ``Unavailable`` when a cluster does not tell them."""
    _redis()
    from coord.redis.options import Options  # noqa: PLC0415  # the other commands run without redis-py
    from coord.redis.primaries import primaries  # noqa: PLC0415  # as above

    return primaries(url, Options(prefix=prefix))
