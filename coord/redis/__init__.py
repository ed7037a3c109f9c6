"""The backend on servers: Redis 6.2 and newer, Valkey 8 and newer."""

from __future__ import annotations

from typing import Any

from coord.errors import ConfigError
from coord.redis.awaited import AsyncRedis
from coord.redis.blocking import Redis
from coord.redis.dialing import from_client, from_url
from coord.redis.options import Options

__all__ = ["AsyncRedis", "Options", "Redis", "connect", "connect_async"]


def connect(url: str, client: Any, **options: Any) -> Redis:
    """Connect to a server, by URL or with the settings of a client."""
    opts = _options(options)
    if client is not None:
        return Redis(from_client(client, opts, asynchronous=False), opts)
    return Redis(from_url(url, opts, asynchronous=False), opts)


async def connect_async(url: str, client: Any, **options: Any) -> AsyncRedis:
    """Connect to a server, by URL or with the settings of a client."""
    opts = _options(options)
    if client is not None:
        runner = AsyncRedis(from_client(client, opts, asynchronous=True), opts)
    else:
        runner = AsyncRedis(from_url(url, opts, asynchronous=True), opts)
    await runner.open()
    return runner


def _options(options: dict[str, Any]) -> Options:
    unknown = [name for name in options if name not in Options.__dataclass_fields__]
    if unknown:
        raise ConfigError(
            f"there is no option {', '.join(map(repr, unknown))}: there are {', '.join(Options.__dataclass_fields__)}"
        )
    return Options(**options)
