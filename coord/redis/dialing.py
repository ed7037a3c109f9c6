"""Opening connections: redis-py does it (authentication, TLS, Sentinel, credential providers), and sends nothing twice.

From a URL or a client, a ``Dialer`` keeps what it takes to open another connection like it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from copy import copy
from typing import Any

import redis
import redis.asyncio
import redis.connection
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from coord.errors import ConfigError
from coord.redis.options import Options

__all__ = ["CONNECT_ERRORS", "LOST", "Dialer", "from_client", "from_url"]

LOST = (OSError, redis.ConnectionError, redis.TimeoutError, EOFError)
"""What is raised when a connection breaks. Whether the call ran is then unknown."""

CONNECT_ERRORS = (*LOST, redis.RedisError, asyncio.TimeoutError)
"""What is raised when a connection cannot be made."""

# What concerns a pool and its client, not the connections that coord opens for itself.
_NOT_OURS = (
    "maint_notifications_config",
    "maint_notifications_pool_handler",
    "oss_cluster_maint_notifications_handler",
    "orig_host_address",
    "orig_socket_timeout",
    "orig_socket_connect_timeout",
    "himport_registry",
    "event_dispatcher",
)


class Dialer:
    """Opens connections to one server, or to whichever is the primary now."""

    def __init__(self, kind: Any, settings: Mapping[str, Any], options: Options, *, asynchronous: bool) -> None:
        retry: Any = AsyncRetry if asynchronous else Retry
        self._kind = kind
        self._asynchronous = asynchronous
        self._settings: dict[str, Any] = {
            "socket_timeout": options.timeout,
            "socket_connect_timeout": options.timeout,
            "socket_keepalive": True,
            **{name: value for name, value in settings.items() if name not in _NOT_OURS},
            # One lost reply and a re-sent INCR counts twice: what is repeated is decided in outcome.py.
            "retry": retry(NoBackoff(), 0),
            "retry_on_error": [],
            "retry_on_timeout": False,
            "health_check_interval": 0,
            "protocol": 2,
            "decode_responses": True,
            "encoding": "utf-8",
            "encoding_errors": "surrogateescape",
        }
        if "path" in self._settings:
            del self._settings["socket_keepalive"]

    def __repr__(self) -> str:
        return self.where

    @property
    def where(self) -> str:
        """The address in words, without user or password."""
        settings = self._settings
        if "path" in settings:
            return f"the server at {settings['path']}"
        if "connection_pool" in settings:
            return f"the primary of {getattr(settings['connection_pool'], 'service_name', 'a Sentinel service')}"
        return f"the server at {settings.get('host', 'localhost')}:{settings.get('port', 6379)}"

    @property
    def timeout(self) -> float:
        """Seconds to wait for one reply."""
        return float(self._settings.get("socket_timeout") or 5.0)

    @property
    def is_socket(self) -> bool:
        """Whether it opens real connections, and not those of a fake."""
        return str(self._kind.__module__).startswith("redis.")

    @property
    def identity(self) -> object:
        """What tells one server, as one user sees it, from another."""
        settings = self._settings
        names = ("host", "port", "path", "username", "password", "connection_pool", "credential_provider")
        return self._kind.__name__, *(str(settings[name]) for name in names if settings.get(name) is not None)

    def dial(self, within: float | None = None) -> Any:
        """Return a redis-py connection, not yet connected; it gets ``within`` seconds where that is less."""
        if within is None or within >= self.timeout:
            return self._kind(**self._settings)
        limits = {"socket_timeout": within, "socket_connect_timeout": within}
        return self._kind(**{**self._settings, **limits})

    def blocking(self) -> Dialer:
        """Return a dialer that opens blocking connections to the same server."""
        if not self._asynchronous:
            return self
        dialer = copy(self)
        dialer._asynchronous = False
        dialer._kind = getattr(redis.connection, self._kind.__name__, None) or redis.Connection
        dialer._settings = {**self._settings, "retry": Retry(NoBackoff(), 0)}
        if "connection_pool" in self._settings:
            pool = _blocking_sentinel(self._settings["connection_pool"])
            dialer._kind = pool.connection_class
            dialer._settings["connection_pool"] = pool
        return dialer

    def elsewhere(self, host: str, port: int) -> Dialer:
        """Return a dialer to another server, with the same settings."""
        dialer = copy(self)
        dialer._settings = {**self._settings, "host": host, "port": port}
        return dialer


def from_url(url: str, options: Options, *, asynchronous: bool) -> Dialer:
    """Return a dialer for ``redis://``, ``rediss://``, ``unix://``, ``valkey://`` or ``valkeys://``."""
    scheme, _, rest = url.partition("://")
    scheme = {"valkey": "redis", "valkeys": "rediss"}.get(scheme, scheme)
    pools: Any = redis.asyncio.ConnectionPool if asynchronous else redis.ConnectionPool
    try:
        pool = pools.from_url(f"{scheme}://{rest}")
        _database(rest)
    except (ValueError, TypeError) as error:
        # The error's text may quote the URL, and the URL may hold a password.
        raise ConfigError(f"cannot read this {scheme}:// URL ({type(error).__name__}): {_hint(rest)}") from None
    dialer = _from_pool(pool, options, asynchronous=asynchronous)
    try:
        dialer.dial()
    except TypeError:
        raise ConfigError(f"this {scheme}:// URL has an option that redis-py does not know") from None
    return dialer


def from_client(client: Any, options: Options, *, asynchronous: bool) -> Dialer:
    """Return a dialer that opens connections like those of a redis-py client."""
    wanted = redis.asyncio.Redis if asynchronous else redis.Redis
    if not isinstance(client, wanted):
        other = redis.Redis if asynchronous else redis.asyncio.Redis
        if isinstance(client, other):
            raise ConfigError(
                "connect_async takes a client of redis.asyncio, connect one of redis: this is the other kind"
            )
        raise TypeError(f"client is a redis-py client, not {type(client).__name__}")
    return _from_pool(client.connection_pool, options, asynchronous=asynchronous)


def _from_pool(pool: Any, options: Options, *, asynchronous: bool) -> Dialer:
    return Dialer(pool.connection_class, pool.connection_kwargs, options, asynchronous=asynchronous)


def _blocking_sentinel(pool: Any) -> Any:
    """The pool of a blocking client of the same Sentinel service."""
    addresses = [
        (settings["host"], settings["port"])
        for settings in (each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels)
    ]
    shared = {
        name: value
        for name, value in pool.connection_kwargs.items()
        if name in ("username", "password", "db", "ssl_cert_reqs", "ssl_ca_certs")
    }
    sentinel: Any = redis.sentinel.Sentinel
    sentinel = sentinel(addresses, sentinel_kwargs=None, **shared)
    return sentinel.master_for(pool.service_name).connection_pool


def _database(rest: str) -> None:
    """Refuse a database that is no number, which redis-py passes over in silence."""
    path = rest.partition("?")[0].partition("/")[2]
    if not rest.startswith("/") and path and not path.isdecimal():
        raise ValueError("database")


def _hint(rest: str) -> str:
    return "a unix URL is unix:///path?db=0" if rest.startswith("/") else "it is scheme://user:password@host:port/db"
