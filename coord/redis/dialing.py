"""Opening connections: redis-py does it (authentication, TLS, Sentinel, credential providers), and sends nothing twice.

A ``Dialer`` keeps the settings of a URL or a client, and opens connections with them.
"""

from __future__ import annotations

import re
import socket
import weakref
from collections.abc import Callable, Mapping
from copy import copy
from functools import lru_cache
from inspect import signature
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

import redis
import redis.asyncio
import redis.asyncio.connection
import redis.asyncio.sentinel
import redis.connection
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from coord.clock import SYSTEM
from coord.errors import ConfigError
from coord.options import Options
from coord.redis.topology import Address
from coord.redis.urloptions import OF_SENTINELS, refuse_objects, unknown_option

__all__ = [
    "LOST",
    "Dialer",
    "cluster_from_client",
    "cluster_from_url",
    "from_client",
    "from_url",
    "is_cluster",
]

LOST = (OSError, redis.ConnectionError, redis.TimeoutError, EOFError)
"""Raised when a connection breaks. It is then unknown whether the call ran."""

# Settings of a pool and its client, not of the connections that coord opens.
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
"""Settings that redis-py adds for clients of clusters."""

_OTHER_KIND = "connect_async takes a client of redis.asyncio, connect one of redis: this is the other kind"


_DRIVER: dict[str, Any] = {"driver_info": redis.DriverInfo()} if hasattr(redis, "DriverInfo") else {}
"""For CLIENT SETINFO. Without it redis-py reads its own version from files for each connection: 1 to 3 ms."""

_NAMES_DRIVER = {"lib_name", "lib_version", "driver_info"}

_MAX_IDLE = 180.0
"""Azure's balancer forgets an idle connection after 240 s, AWS's after 350 s."""


def _keepalive(seconds: float) -> dict[int, int]:
    """Return the TCP options of that name, as far as this system has them; none for 0."""
    idle, often = max(1, round(seconds)), max(1, round(seconds / 3))
    wanted = {"TCP_KEEPIDLE": idle, "TCP_KEEPINTVL": often, "TCP_KEEPCNT": 3} if seconds else {}
    return {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}


class Dialer:
    """Opens connections to one server, or to the present primary of a Sentinel service.

    ``remap`` turns the address by which the nodes of a cluster know each other into the one where this process reaches
    them; None: they are the same.
    """

    remap: Callable[[Address], Address] | None = None

    def __init__(self, kind: Any, settings: Mapping[str, Any], options: Options, *, asynchronous: bool) -> None:
        retry: Any = AsyncRetry if asynchronous else Retry
        self.timeout = options.waiting(settings.get("socket_timeout"))
        """Seconds to wait for one reply."""
        self.max_idle: float = options.max_idle or settings.get("health_check_interval") or _MAX_IDLE
        """Seconds after which an idle connection is not used again."""
        self.clock = options.clock or SYSTEM
        self.kind = kind
        self._asynchronous = asynchronous
        self.pool: Any = None
        self._settings: dict[str, Any] = {
            **(_DRIVER if "driver_info" in _taken_by(kind) and not _NAMES_DRIVER & set(settings) else {}),
            "socket_keepalive": True,
            "socket_keepalive_options": _keepalive(options.keepalive),
            **{name: value for name, value in settings.items() if name not in _NOT_OURS},
            "socket_timeout": self.timeout,
            "socket_connect_timeout": options.timeout or settings.get("socket_connect_timeout") or self.timeout,
            # One lost reply and a re-sent INCR counts twice: callstate.py decides what is sent again.
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
            del self._settings["socket_keepalive"], self._settings["socket_keepalive_options"]

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
    def is_socket(self) -> bool:
        """Whether it opens real connections, and not those of a fake."""
        return str(self.kind.__module__).startswith("redis.")

    @property
    def identity(self) -> object:
        """Equal for dialers to the same server as the same user."""
        settings = self._settings
        names = ("host", "port", "path", "username", "password", "credential_provider")
        told = tuple(str(settings[name]) for name in names if settings.get(name) is not None)
        pool = settings.get("connection_pool")
        if pool is None:
            return self.kind.__name__, *told
        # Services of the same name are many; those that the same sentinels watch are one.
        sentinels = (each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels)
        watched_by = sorted(f"{each.get('host')}:{each.get('port')}" for each in sentinels)
        return self.kind.__name__, *told, pool.service_name, *watched_by

    def dial(self, within: float | None = None) -> Any:
        """Return a redis-py connection, not yet connected; it gets ``within`` seconds where that is less."""
        if within is None or within >= self.timeout:
            return self.kind(**self._settings)
        limits: dict[str, Any] = {"socket_timeout": within, "socket_connect_timeout": within}
        pool = self._hurried_sentinels(within)
        if pool is None:
            return self.kind(**{**self._settings, **limits})
        connection = self.kind(**{**self._settings, **limits, "connection_pool": pool.proxy})
        # It knows its pool by a weak reference only.
        connection.pool_of_coord = pool
        return connection

    def _hurried_sentinels(self, within: float) -> Any:
        """Return a pool of the same Sentinel service whose sentinels share so many seconds."""
        pool = self.pool if "connection_pool" in self._settings else None
        if pool is None or type(pool.sentinel_manager) is not _Asking:
            return None
        share = within / (len(pool.sentinel_manager.sentinels) + 1)
        limits = {"socket_timeout": share, "socket_connect_timeout": share}
        return _own_sentinel(pool, self.kind.__name__, limits)

    def awaited(self) -> Dialer | None:
        """Return a dialer that opens asyncio connections to the same server; None if redis-py has no such class.

        A connection class of the user's own, or a function that connects it, has no counterpart in asyncio.
        """
        if self._asynchronous:
            return self if self.is_socket else None
        kind = getattr(redis.asyncio.connection, self.kind.__name__, None)
        sentinels = "connection_pool" in self._settings
        if not self.is_socket or not (kind or sentinels) or self._settings.get("redis_connect_func") is not None:
            return None
        dialer = copy(self)
        dialer._asynchronous = True
        dialer._settings = {**self._settings, "retry": AsyncRetry(NoBackoff(), 0)}
        if sentinels:
            pool = _own_sentinel(self.pool, self.kind.__name__, asynchronous=True)
            dialer.pool, dialer._settings["connection_pool"] = pool, weakref.proxy(pool)
            kind = pool.connection_class
        dialer.kind = kind
        taken = _taken_by(kind)
        dialer._settings = {
            name: value for name, value in dialer._settings.items() if name in taken and name != "parser_class"
        }
        return dialer

    def elsewhere(self, host: str, port: int) -> Dialer:
        """Return a dialer to another server, with the same settings."""
        dialer = copy(self)
        dialer._settings = {**self._settings, "host": host, "port": port}
        return dialer


def from_url(url: str, options: Options, *, asynchronous: bool) -> Dialer:
    """Return a dialer for any URL but that of a cluster."""
    refuse_objects(url)
    scheme, _, rest = url.partition("://")
    if scheme.endswith("+sentinel"):
        return _sentinel_from_url(url, options, asynchronous=asynchronous)
    scheme = _PLAIN.get(scheme, scheme)
    pools: Any = redis.asyncio.ConnectionPool if asynchronous else redis.ConnectionPool
    try:
        pool = pools.from_url(f"{scheme}://{rest}")
        if scheme != "unix":
            _database(rest)
    except (ValueError, TypeError) as error:
        # The error's text may quote the URL, and the URL may hold a password.
        raise ConfigError(f"cannot read this {scheme}:// URL ({type(error).__name__}): {_hint(scheme)}") from None
    return _tried(_from_pool(pool, options, asynchronous=asynchronous), url)


_PLAIN = {"valkey": "redis", "valkeys": "rediss"}
"""Schemes, and the name that redis-py has for each."""


def _tried(dialer: Dialer, url: str) -> Dialer:
    """Return a dialer from a URL, if redis-py knows all of its options."""
    try:
        dialer.dial()
    except (TypeError, ValueError, redis.RedisError):
        raise unknown_option(url, _taken_by(dialer.kind)) from None
    return dialer


def _sentinel_from_url(url: str, options: Options, *, asynchronous: bool) -> Dialer:
    """``redis+sentinel://user:password@h:p,h:p/service/db?sentinel_password=...``."""
    parts = _Parts(url, 26379, "/service/db")
    service, _, database = parts.path.partition("/")
    if not service or (database and not database.isdecimal()):
        raise ConfigError(f"a {parts.scheme}:// URL needs the name of the service: ...host:port/service/0")
    settings = parts.settings(asynchronous=asynchronous)
    theirs = parts.settings(asynchronous=asynchronous, of_sentinels=True)
    for each in (settings, theirs):
        if "ssl" in each:
            raise ConfigError("the option ssl cannot be set in this URL: for TLS, write rediss+sentinel://")
        # redis-py wants to choose the class by itself.
        each["ssl"] = each.pop("connection_class", None) is not None
    retry: Any = (AsyncRetry if asynchronous else Retry)(NoBackoff(), 0)
    seconds = options.waiting(settings.get("socket_timeout"))
    theirs = {**_DRIVER, "socket_timeout": seconds, "socket_connect_timeout": seconds, **theirs, "retry": retry}
    sentinels = _asking_async if asynchronous else _asking
    try:
        sentinel = sentinels(
            parts.addresses, sentinel_kwargs=theirs, **{**settings, **({"db": int(database)} if database else {})}
        )
        pool = sentinel.master_for(service).connection_pool
    except TypeError:
        connections: Any = redis.asyncio.connection if asynchronous else redis.connection
        raise unknown_option(url, _taken_by(connections.SSLConnection)) from None
    return _tried(_from_pool(pool, options, asynchronous=asynchronous), url)


# Seen through Any: redis-py leaves the types of these two open.
_sentinels: Any = redis.sentinel.Sentinel
_sentinels_async: Any = redis.asyncio.Sentinel


class _Asking(redis.sentinel.Sentinel):
    """Sentinels that threads may ask at the same time, and whose connections are closed after each question.

    redis-py moves the sentinel that answered to the front of its list in two steps, between which another thread may
    read the list, and a sentinel is forgotten for good. Here each question works on a copy.
    """

    def discover_master(self, service_name: str) -> Any:
        """Return the address of the primary."""
        asked = copy(self)
        asked.sentinels = list(self.sentinels)
        try:
            return _sentinels.discover_master(asked, service_name)
        finally:
            self.sentinels = asked.sentinels
            for each in asked.sentinels:
                # Not those that another thread is asking at this moment.
                each.connection_pool.disconnect(inuse_connections=False)


class _AskingAsync(redis.asyncio.Sentinel):
    """The same for asyncio."""

    async def discover_master(self, service_name: str) -> Any:
        """Return the address of the primary."""
        asked = copy(self)
        asked.sentinels = list(self.sentinels)
        try:
            return await _sentinels_async.discover_master(asked, service_name)
        finally:
            self.sentinels = asked.sentinels
            for each in asked.sentinels:
                await each.connection_pool.disconnect(inuse_connections=False)


_asking: Any = _Asking
_asking_async: Any = _AskingAsync


def cluster_from_url(url: str, options: Options, *, asynchronous: bool) -> tuple[Dialer, list[Address]]:
    """``redis+cluster://user:password@h:p,h:p/db``: return a dialer, and the nodes to begin with."""
    refuse_objects(url)
    parts = _Parts(url, 6379, "/db")
    settings = parts.settings(asynchronous=asynchronous)
    if parts.path:
        if not parts.path.isdecimal():
            raise ConfigError(f"the database in a {parts.scheme}:// URL must be a number: ...host:port/1")
        # Valkey 9 may have several in a cluster; other servers refuse to SELECT.
        settings["db"] = int(parts.path)
    kind = settings.pop("connection_class", None) or (redis.asyncio.Connection if asynchronous else redis.Connection)
    host, port = parts.addresses[0]
    dialer = Dialer(kind, {**settings, "host": host, "port": port}, options, asynchronous=asynchronous)
    return _tried(dialer, url), parts.addresses


_HOST = re.compile(r"(?:\[(?P<six>[^\[\]]+)\]|(?P<name>[^:\[\]]+))(?::(?P<port>\d+))?")
_connections: Any = redis.connection
_DECODES_TWICE = _connections.parse_url("redis://?client_name=%2541")["client_name"] == "A"
"""Older redis-py (redis-py issue 4208), down to 5.1, decodes the options of a URL twice."""
_OF_BOTH = ("ssl_", "socket_")
"""Prefixes of the options that are for both, unless the sentinels have their own."""


class _Parts:
    """The parts of a URL with several hosts. No error quotes any of it: a password may be in the wrong place."""

    def __init__(self, url: str, port: int, path: str) -> None:
        self.scheme, _, rest = url.partition("://")
        self._form = f"{self.scheme}://user:password@host:port,host:port{path}?option=value"
        rest, _, self._query = rest.partition("?")
        authority, _, self.path = rest.partition("/")
        userinfo, _, hosts = authority.rpartition("@")
        user, _, password = userinfo.partition(":")
        self._credentials = {
            name: unquote(value) for name, value in (("username", user), ("password", password)) if value
        }
        self.addresses = [self._address(host, port) for host in hosts.split(",") if host]
        if not self.addresses:
            raise ConfigError(f"this URL has no host: write {self._form}")

    def _address(self, host: str, port: int) -> Address:
        found = _HOST.fullmatch(host)
        if found is None:
            raise ConfigError(f"cannot read a host of this URL: write {self._form}")
        return found["six"] or found["name"], int(found["port"] or port)

    def settings(self, *, asynchronous: bool, of_sentinels: bool = False) -> dict[str, Any]:
        """The user, the password and the options, as redis-py reads them."""
        base = self.scheme.partition("+")[0]
        connections: Any = redis.asyncio.connection if asynchronous else redis.connection
        query = self._of_sentinels() if of_sentinels else self._of_servers()
        if _DECODES_TWICE:
            query = [(name, quote(value, safe="")) for name, value in query]
        try:
            settings: dict[str, Any] = connections.parse_url(f"{_PLAIN.get(base, base)}://?{urlencode(query)}")
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"cannot read an option of this URL ({type(error).__name__}): write {self._form}"
            ) from None
        for name in ("host", "port", *_NOT_OF_CONNECTIONS):
            settings.pop(name, None)
        return settings if of_sentinels else settings | self._credentials

    def _of_servers(self) -> list[tuple[str, str]]:
        return [(name, value) for name, value in parse_qsl(self._query) if not name.startswith(OF_SENTINELS)]

    def _of_sentinels(self) -> list[tuple[str, str]]:
        shared = {name: value for name, value in parse_qsl(self._query) if name.startswith(_OF_BOTH)}
        own = {name: value for name, value in parse_qsl(self._query) if name.startswith(OF_SENTINELS)}
        return [*(shared | {name.removeprefix(OF_SENTINELS): value for name, value in own.items()}).items()]


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
    plain: Any = redis.asyncio.Connection if asynchronous else redis.Connection
    if not asynchronous and settings.pop("ssl", False):
        plain = redis.SSLConnection
    kind = settings.pop("connection_class", None) or plain
    addresses = [(str(node.host), int(node.port)) for node in nodes]
    host, port = addresses[0]
    settings |= {"host": host, "port": port}
    dialer = Dialer(kind, settings, options, asynchronous=asynchronous)
    dialer.remap = client.nodes_manager.address_remap
    return dialer, addresses


def from_client(client: Any, options: Options, *, asynchronous: bool) -> Dialer:
    """Return a dialer that opens connections like those of a redis-py client."""
    wanted = redis.asyncio.Redis if asynchronous else redis.Redis
    if not isinstance(client, wanted):
        other = redis.Redis if asynchronous else redis.asyncio.Redis
        if isinstance(client, other):
            raise ConfigError(_OTHER_KIND)
        raise TypeError(f"client must be a redis-py client, not {type(client).__name__}")
    return _from_pool(client.connection_pool, options, asynchronous=asynchronous)


def _from_pool(pool: Any, options: Options, *, asynchronous: bool) -> Dialer:
    if type(getattr(pool, "sentinel_manager", None)) in (redis.sentinel.Sentinel, redis.asyncio.Sentinel):
        # The client's own sentinels may be asked by other threads at the same time.
        pool = _own_sentinel(pool, pool.connection_class.__name__, asynchronous=asynchronous)
    dialer = Dialer(pool.connection_class, pool.connection_kwargs, options, asynchronous=asynchronous)
    # Connections hold the pool, which finds the primary, by a weak reference.
    dialer.pool = pool
    return dialer


def _own_sentinel(
    pool: Any, kind: str, limits: Mapping[str, Any] = MappingProxyType({}), *, asynchronous: bool = False
) -> Any:
    """Return a pool of the same Sentinel service, blocking or async, with sentinels of its own."""
    theirs = pool.sentinel_manager
    retry: Any = (AsyncRetry if asynchronous else Retry)(NoBackoff(), 0)
    connections: Any = redis.asyncio.connection if asynchronous else redis.connection
    clients: Any = redis.asyncio if asynchronous else redis
    services: Any = redis.asyncio.sentinel if asynchronous else redis.sentinel
    manager: Any = (_asking_async if asynchronous else _asking)([], theirs.min_other_sentinels)
    manager._force_master_ip = getattr(theirs, "_force_master_ip", None)
    for asked in (each.connection_pool for each in theirs.sentinels):
        same = getattr(connections, asked.connection_class.__name__)
        settings = {**_settings_for(same, asked), "retry": retry, **limits}
        manager.sentinels.append(clients.Redis(connection_pool=clients.ConnectionPool(same, **settings)))
    managed = getattr(services, kind)
    settings = _settings_for(managed, pool)
    settings.pop("connection_pool", None)
    return services.SentinelConnectionPool(pool.service_name, manager, connection_class=managed, **settings)


def _settings_for(kind: Any, pool: Any) -> dict[str, Any]:
    """Return the settings of a pool's connections that a class accepts; it may be their asyncio counterpart."""
    taken = _taken_by(kind).difference(_NOT_OURS, () if kind is pool.connection_class else ("parser_class",))
    return {name: value for name, value in pool.connection_kwargs.items() if name in taken}


@lru_cache
def _taken_by(kind: Any) -> frozenset[str]:
    """The names of the settings that a connection class takes."""
    classes = [each for each in getattr(kind, "__mro__", ()) if each is not object]
    names = (name for each in classes for name in signature(each.__init__).parameters)
    return frozenset(("connection_pool", *names))


def _database(rest: str) -> None:
    """Refuse a database that is not a number, which redis-py ignores."""
    path = rest.partition("?")[0].partition("/")[2]
    if path and not path.isdecimal():
        raise ValueError("database")


def _hint(scheme: str) -> str:
    return "it is unix:///path?db=0" if scheme == "unix" else "it is scheme://user:password@host:port/db"
