"""Opening connections: redis-py does it (authentication, TLS, Sentinel, credential providers), and sends nothing twice.

From a URL or a client, a ``Dialer`` keeps what it takes to open another connection like it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from copy import copy
from typing import Any
from urllib.parse import unquote

import redis
import redis.asyncio
import redis.connection
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from coord.errors import ConfigError
from coord.redis.options import Options
from coord.redis.topology import Address

__all__ = [
    "CONNECT_ERRORS",
    "LOST",
    "Dialer",
    "cluster_from_client",
    "cluster_from_url",
    "from_client",
    "from_url",
    "is_cluster",
]

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


_NOT_OF_CONNECTIONS = ("redis_connect_func", "response_callbacks", "parser_class", "address_remap", "max_connections")
"""What redis-py adds for the clients of clusters."""

_OTHER_KIND = "connect_async takes a client of redis.asyncio, connect one of redis: this is the other kind"


class Dialer:
    """Opens connections to one server, or to whichever is the primary now."""

    def __init__(self, kind: Any, settings: Mapping[str, Any], options: Options, *, asynchronous: bool) -> None:
        retry: Any = AsyncRetry if asynchronous else Retry
        self._kind = kind
        self._asynchronous = asynchronous
        self.pool: Any = None
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
        names = ("host", "port", "path", "username", "password", "credential_provider")
        told = tuple(str(settings[name]) for name in names if settings.get(name) is not None)
        pool = settings.get("connection_pool")
        if pool is None:
            return self._kind.__name__, *told
        # Services of the same name are many; those that the same sentinels watch are one.
        sentinels = (each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels)
        watched_by = sorted(f"{each.get('host')}:{each.get('port')}" for each in sentinels)
        return self._kind.__name__, *told, pool.service_name, *watched_by

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
            pool = _blocking_sentinel(self._settings["connection_pool"], self._kind.__name__)
            dialer._kind = pool.connection_class
            dialer.pool, dialer._settings["connection_pool"] = pool, pool.proxy
        return dialer

    def elsewhere(self, host: str, port: int) -> Dialer:
        """Return a dialer to another server, with the same settings."""
        dialer = copy(self)
        dialer._settings = {**self._settings, "host": host, "port": port}
        return dialer


def from_url(url: str, options: Options, *, asynchronous: bool) -> Dialer:
    """Return a dialer for any URL but that of a cluster."""
    scheme, _, rest = url.partition("://")
    if scheme == "redis+sentinel":
        return _sentinel_from_url(rest, options, asynchronous=asynchronous)
    scheme = {"valkey": "redis", "valkeys": "rediss"}.get(scheme, scheme)
    pools: Any = redis.asyncio.ConnectionPool if asynchronous else redis.ConnectionPool
    try:
        pool = pools.from_url(f"{scheme}://{rest}")
        if scheme != "unix":
            _database(rest)
    except (ValueError, TypeError) as error:
        # The error's text may quote the URL, and the URL may hold a password.
        raise ConfigError(f"cannot read this {scheme}:// URL ({type(error).__name__}): {_hint(scheme)}") from None
    dialer = _from_pool(pool, options, asynchronous=asynchronous)
    try:
        dialer.dial()
    except TypeError:
        raise ConfigError(f"this {scheme}:// URL has an option that redis-py does not know") from None
    return dialer


def _sentinel_from_url(rest: str, options: Options, *, asynchronous: bool) -> Dialer:
    """``user:password@h:p,h:p/service/db``."""
    credentials, addresses, path = _parts(rest, 26379, "redis+sentinel://user:password@host:port,host:port/service/db")
    service, _, database = path.partition("/")
    if not service or (database and not database.isdecimal()):
        raise ConfigError("a redis+sentinel:// URL names the service and perhaps a database: ...host:port/service/0")
    sentinels = _asking_async if asynchronous else _asking
    retry: Any = (AsyncRetry if asynchronous else Retry)(NoBackoff(), 0)
    limits = {"socket_timeout": options.timeout, "socket_connect_timeout": options.timeout, "retry": retry}
    sentinel = sentinels(addresses, sentinel_kwargs=limits, db=int(database or 0), **credentials)
    return _from_pool(sentinel.master_for(service).connection_pool, options, asynchronous=asynchronous)


# Seen through Any: redis-py leaves the types of these two open.
_sentinels: Any = redis.sentinel.Sentinel
_sentinels_async: Any = redis.asyncio.Sentinel


class _Asking(redis.sentinel.Sentinel):
    """Sentinels that are hung up on once they have told who is the primary: they are asked once a connection."""

    def discover_master(self, service_name: str) -> Any:
        """Return the address of the primary."""
        try:
            return _sentinels.discover_master(self, service_name)
        finally:
            for each in self.sentinels:
                # Not those that another thread is asking at this moment.
                each.connection_pool.disconnect(inuse_connections=False)


class _AskingAsync(redis.asyncio.Sentinel):
    """The same, awaited."""

    async def discover_master(self, service_name: str) -> Any:
        """Return the address of the primary."""
        try:
            return await _sentinels_async.discover_master(self, service_name)
        finally:
            for each in self.sentinels:
                await each.connection_pool.disconnect(inuse_connections=False)


_asking: Any = _Asking
_asking_async: Any = _AskingAsync


def cluster_from_url(url: str, options: Options, *, asynchronous: bool) -> tuple[Dialer, list[Address]]:
    """``redis+cluster://user:password@h:p,h:p``: return a dialer, and the nodes to begin with."""
    credentials, addresses, path = _parts(
        url.partition("://")[2], 6379, "redis+cluster://user:password@host:port,host:port"
    )
    if path.strip("/0"):
        raise ConfigError("a redis+cluster:// URL has no database: a cluster has only one")
    kind: Any = redis.asyncio.Connection if asynchronous else redis.Connection
    host, port = addresses[0]
    return Dialer(kind, {"host": host, "port": port, **credentials}, options, asynchronous=asynchronous), addresses


def _parts(rest: str, port: int, form: str) -> tuple[dict[str, str], list[Address], str]:
    """The user and password, the addresses, and the path of a URL with several hosts."""
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    userinfo, _, hosts = authority.rpartition("@")
    user, _, password = userinfo.partition(":")
    credentials = {name: unquote(value) for name, value in (("username", user), ("password", password)) if value}
    addresses: list[Address] = []
    for host in filter(None, hosts.split(",")):
        name, _, number = host.rpartition(":") if ":" in host else (host, "", str(port))
        if not name or not number.isdecimal():
            # Not quoted: with a / in it, a password stands where hosts should.
            raise ConfigError(f"cannot read a host of this URL: it is {form}; in a password, / is %2F and ? is %3F")
        addresses.append((name, int(number)))
    if not addresses or query:
        raise ConfigError(f"cannot read this URL: it is {form}, without options")
    return credentials, addresses, path


def is_cluster(client: Any, *, asynchronous: bool) -> bool:
    """Whether a client is a redis-py client of a cluster."""
    wanted, other = redis.RedisCluster, redis.asyncio.RedisCluster
    if isinstance(client, wanted if asynchronous else other):
        raise ConfigError(_OTHER_KIND)
    return isinstance(client, other if asynchronous else wanted)


def cluster_from_client(client: Any, options: Options, *, asynchronous: bool) -> tuple[Dialer, list[Address]]:
    """Return a dialer like that of a cluster's client, and the nodes to begin with."""
    nodes = list(client.nodes_manager.startup_nodes.values())
    settings = dict(client.connection_kwargs if asynchronous else client.nodes_manager.connection_kwargs)
    for name in _NOT_OF_CONNECTIONS:
        settings.pop(name, None)
    kind = settings.pop("connection_class", None) or (redis.asyncio.Connection if asynchronous else redis.Connection)
    addresses = [(str(node.host), int(node.port)) for node in nodes]
    host, port = addresses[0]
    settings |= {"host": host, "port": port}
    return Dialer(kind, settings, options, asynchronous=asynchronous), addresses


def from_client(client: Any, options: Options, *, asynchronous: bool) -> Dialer:
    """Return a dialer that opens connections like those of a redis-py client."""
    wanted = redis.asyncio.Redis if asynchronous else redis.Redis
    if not isinstance(client, wanted):
        other = redis.Redis if asynchronous else redis.asyncio.Redis
        if isinstance(client, other):
            raise ConfigError(_OTHER_KIND)
        raise TypeError(f"client is a redis-py client, not {type(client).__name__}")
    return _from_pool(client.connection_pool, options, asynchronous=asynchronous)


def _from_pool(pool: Any, options: Options, *, asynchronous: bool) -> Dialer:
    dialer = Dialer(pool.connection_class, pool.connection_kwargs, options, asynchronous=asynchronous)
    # A Sentinel's pool is asked for the primary by each connection, which holds it by a weak reference.
    dialer.pool = pool
    return dialer


def _blocking_sentinel(pool: Any, kind: str) -> Any:
    """The pool of a blocking client of the same Sentinel service, which logs in to the same sentinels."""
    theirs = pool.sentinel_manager
    manager = _asking([], theirs.min_other_sentinels)
    manager._force_master_ip = getattr(theirs, "_force_master_ip", None)
    for asked in (each.connection_pool for each in theirs.sentinels):
        settings = {name: value for name, value in asked.connection_kwargs.items() if name not in _NOT_OURS}
        settings |= {"retry": Retry(NoBackoff(), 0)}
        same: Any = getattr(redis.connection, asked.connection_class.__name__)
        manager.sentinels.append(redis.Redis(connection_pool=redis.ConnectionPool(same, **settings)))
    pools: Any = redis.sentinel.SentinelConnectionPool
    return pools(pool.service_name, manager, connection_class=getattr(redis.sentinel, kind))


def _database(rest: str) -> None:
    """Refuse a database that is no number, which redis-py passes over in silence."""
    path = rest.partition("?")[0].partition("/")[2]
    if path and not path.isdecimal():
        raise ValueError("database")


def _hint(scheme: str) -> str:
    return "it is unix:///path?db=0" if scheme == "unix" else "it is scheme://user:password@host:port/db"
