"""From a URL, a client or a settings file to a coordinator."""

from __future__ import annotations

import os
from collections.abc import Generator
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from coord.coordinator import AsyncCoordinator, Coordinator
from coord.errors import ConfigError
from coord.memory import AsyncMemory, Memory, keyspace
from coord.names import Seconds

__all__ = ["Connecting", "connect", "connect_async"]

ENVIRONMENT = "COORD_DSN"
"""The environment variable that says where to connect when no URL is given."""

_SERVERS = ("redis", "rediss", "unix", "valkey", "valkeys", "redis+cluster", "redis+sentinel")


def connect(
    url: str | None = None, *, client: Any = None, prefix: str = "coord:", ttl: Seconds | None = 3600, **options: Any
) -> Coordinator:
    """Return a blocking coordinator.

    ``url``: ``memory://`` or ``memory://name``, one keyspace per name in this process; ``redis://host:port/db``,
    ``rediss://``, ``unix://path?db=0``, ``valkey://``, ``valkeys://``; ``$COORD_DSN``, else ``memory://``, when None.
    ``client``: instead of a URL, a redis-py client, whose settings are taken over.
    ``prefix`` opens every key and has no braces. ``ttl``: the lifetime, in seconds, of entities that have none of
    their own; None: they never expire. ``options`` are those of ``coord.redis.Options``.

    A server is reached at once: ``Unavailable`` when it cannot be. ``ConfigError`` when the URL cannot be read.
    """
    name = _memory_name(url, client)
    if name is not None:
        _no_options(options)
        return Coordinator(Memory(keyspace(name)), prefix=prefix, ttl=ttl)
    redis = _redis()
    return Coordinator(redis.connect(_url(url), client, **options), prefix=prefix, ttl=ttl)


def connect_async(
    url: str | None = None, *, client: Any = None, prefix: str = "coord:", ttl: Seconds | None = 3600, **options: Any
) -> Connecting:
    """Return an AsyncCoordinator: ``await connect_async(url)``, or ``async with connect_async(url) as c``.

    Takes what ``connect`` takes; a client is one of ``redis.asyncio``.
    """
    return Connecting(url, client, prefix, ttl, options)


class Connecting:
    """A connection about to be made: await it, or enter it."""

    def __init__(self, url: str | None, client: Any, prefix: str, ttl: Seconds | None, options: dict[str, Any]) -> None:
        self._url, self._client, self._prefix, self._ttl, self._options = url, client, prefix, ttl, options
        self._made: AsyncCoordinator | None = None

    async def _connect(self) -> AsyncCoordinator:
        name = _memory_name(self._url, self._client)
        if name is not None:
            _no_options(self._options)
            return AsyncCoordinator(AsyncMemory(keyspace(name)), prefix=self._prefix, ttl=self._ttl)
        redis = _redis()
        runner = await redis.connect_async(_url(self._url), self._client, **self._options)
        return AsyncCoordinator(runner, prefix=self._prefix, ttl=self._ttl)

    def __await__(self) -> Generator[Any, None, AsyncCoordinator]:
        return self._connect().__await__()

    async def __aenter__(self) -> AsyncCoordinator:
        self._made = await self._connect()
        return self._made

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._made is not None:
            await self._made.aclose()


def _url(url: str | None) -> str:
    return os.environ.get(ENVIRONMENT) or "memory://" if url is None else url


def _memory_name(url: str | None, client: Any) -> str | None:
    """The keyspace that is meant; None when a server is."""
    if client is not None:
        if url is not None:
            raise ConfigError("connect takes a URL or a client, not both")
        return None
    url = _url(url)
    if not isinstance(url, str):
        raise TypeError(f"a URL is a str, not {type(url).__name__}")
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("memory", *_SERVERS):
        raise ConfigError(
            f"cannot connect to a URL that begins with {scheme[:20]!r}: "
            f"it is one of memory://, {', '.join(f'{each}://' for each in _SERVERS)}"
        )
    if scheme != "memory":
        return None
    if set(rest) & set("?#@"):
        raise ConfigError("a memory:// URL is a name and nothing else, such as memory://jobs")
    return rest.strip("/")


def _no_options(options: dict[str, Any]) -> None:
    if options:
        raise ConfigError(f"memory:// has no option {', '.join(map(repr, options))}")


def _redis() -> Any:
    try:
        from coord import redis
    except ModuleNotFoundError as error:
        if error.name != "redis":
            raise
        raise ConfigError("servers need the package redis: pip install 'coord[redis]'") from None
    return redis


def shown(url: str) -> str:
    """Return a URL without its password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":***@", 1)
