"""From a URL, a client or a settings file to a coordinator."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from types import TracebackType
from typing import Any, cast

from coord.coordinator import AsyncCoordinator, Coordinator
from coord.errors import ConfigError
from coord.fork import ForkSafeLock
from coord.keys import Keys
from coord.memory import AsyncMemory, Memory, keyspace
from coord.names import Seconds

__all__ = ["Connecting", "connect", "connect_async", "from_config", "get_coordinator", "set_coordinator"]

ENVIRONMENT = "COORD_DSN"
"""The environment variable that says where to connect when no URL is given."""

_TCP = ("redis", "rediss", "valkey", "valkeys")
_SERVERS = (*_TCP, "unix", *(f"{each}+{many}" for many in ("cluster", "sentinel") for each in _TCP))


def is_url(text: str) -> bool:
    """Whether a text starts as the URLs of ``connect`` do."""
    scheme, separator, _ = text.partition("://")
    return bool(separator) and scheme in ("memory", *_SERVERS)


def connect(
    url: str | None = None, *, client: Any = None, prefix: str = "coord:", ttl: Seconds | None = 3600, **options: Any
) -> Coordinator:
    """Return a blocking coordinator.

    ``url``: ``memory://`` or ``memory://name``, one keyspace per name in this process; ``redis://host:port/db``,
    ``rediss://`` over TLS, ``unix://path?db=0``; ``redis+cluster://h:p,h:p``, ``redis+sentinel://h:p,h:p/service/db``,
    and with ``rediss`` either over TLS; ``valkey`` and ``valkeys`` say the same. ``$COORD_DSN``, else ``memory://``,
    when None.
    ``client``: instead of a URL, a redis-py client, whose settings are taken over.
    ``prefix`` opens every key and has no braces. ``ttl``: the lifetime, in seconds, of entities that have none of
    their own; None: they never expire. ``options`` are those of ``coord.redis.Options``.

    A server is reached at once: ``Unavailable`` when it cannot be. ``ConfigError`` when the URL cannot be read.
    """
    # What is wrong here is told before anything is opened.
    Keys(prefix, ttl)
    name = memory_name(url, client)
    if name is not None:
        _no_options(options)
        return Coordinator(Memory(keyspace(name)), prefix=prefix, ttl=ttl)
    redis = redis_backend()
    return Coordinator(redis.connect(given_url(url), client, prefix=prefix, **options), prefix=prefix, ttl=ttl)


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
        Keys(self._prefix, self._ttl)
        name = memory_name(self._url, self._client)
        if name is not None:
            _no_options(self._options)
            return AsyncCoordinator(AsyncMemory(keyspace(name)), prefix=self._prefix, ttl=self._ttl)
        redis = redis_backend()
        runner = await redis.connect_async(given_url(self._url), self._client, prefix=self._prefix, **self._options)
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


# --- settings ------------------------------------------------------------------------------------

BACKENDS = "coord.backends"
"""The entry-point group by which packages offer backends under a short name."""

_KEYS = ("backend", "redis", "custom_params")
_REDIS_KEYS = ("dsn", "key_prefix", "ttl_sec")


def from_config(config: Mapping[str, Any]) -> Coordinator:
    """Return a coordinator as a service's settings describe it.

    ``config`` is the ``[coordination]`` table: ``backend`` is "memory" (the default), "redis", the name of an entry
    point in the group ``coord.backends``, or the dotted path of a class with ``from_config(config)``.
    ``redis`` has ``dsn`` (else ``$COORD_DSN``), ``key_prefix`` and ``ttl_sec`` (0: no expiry).
    ``custom_params`` is for a custom backend, which is given the table, with these parameters also at its top.
    ``ConfigError`` names a key that is not known, and says what is wrong with a backend.
    """
    if not isinstance(config, Mapping):
        raise TypeError(f"config is a mapping, not {type(config).__name__}")
    if set(config) == {"coordination"}:
        config = config["coordination"]
    _known(config, _KEYS, "")
    backend = config.get("backend", "memory")
    if not isinstance(backend, str):
        raise ConfigError(f"backend is a str, not {type(backend).__name__}")
    redis: Mapping[str, Any] = config.get("redis") or {}
    _known(redis, _REDIS_KEYS, "redis.")
    prefix = redis.get("key_prefix", "coord:")
    seconds: Any = redis.get("ttl_sec", 3600)
    if seconds is None:
        raise ConfigError("redis.ttl_sec is a number of seconds, or 0 for no expiry")
    # False is no number of seconds, though it equals 0; connect says so.
    ttl = None if seconds == 0 and not isinstance(seconds, bool) else seconds
    if backend == "memory":
        return connect("memory://", prefix=prefix, ttl=ttl)
    if backend == "redis":
        dsn = redis.get("dsn") or os.environ.get(ENVIRONMENT)
        if not dsn:
            raise ConfigError(f"backend is redis, and neither redis.dsn nor ${ENVIRONMENT} says where it is")
        if memory_name(dsn, None) is not None:
            raise ConfigError("backend is redis, and its dsn is a memory:// URL: say which of the two is meant")
        return connect(dsn, prefix=prefix, ttl=ttl)
    return _custom(backend, config)


def _known(table: Mapping[str, Any], keys: tuple[str, ...], where: str) -> None:
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where.rstrip('.') or 'config'} is a table, not {type(table).__name__}")
    unknown = [f"{where}{key}" for key in table if key not in keys]
    if unknown:
        raise ConfigError(f"unknown key {', '.join(unknown)}: there are {', '.join(where + key for key in keys)}")


def _custom(path: str, config: Mapping[str, Any]) -> Coordinator:
    kind = _found(path)
    if not isinstance(kind, type):
        raise ConfigError(f"backend {path}: it is {type(kind).__name__}, not a class")
    make = getattr(kind, "from_config", None)
    if make is None:
        raise ConfigError(f"backend {path}: the class has no from_config(config)")
    params: Mapping[str, Any] = config.get("custom_params") or {}
    if not isinstance(params, Mapping):
        raise ConfigError(f"custom_params is a table, not {type(params).__name__}")
    made: Any = make({**params, **config})
    if made is None:
        raise ConfigError(f"backend {path}: its from_config returned None")
    if not hasattr(made, "run") and hasattr(made, "call"):
        # What makes calls is a backend; what has operations is a coordinator already.
        return Coordinator(made)
    return cast("Coordinator", made)


def _found(path: str) -> Any:
    for offered in entry_points(group=BACKENDS, name=path):
        try:
            return offered.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"backend {path}: cannot import {offered.value}: {error}") from error
    module, _, name = path.replace(":", ".").rpartition(".")
    if not module:
        raise ConfigError(f"backend {path!r} is neither memory, redis, an entry point of {BACKENDS}, nor a dotted path")
    try:
        found = import_module(module)
    except ImportError as error:
        raise ConfigError(f"backend {path}: cannot import {module}: {error}") from error
    if not hasattr(found, name):
        raise ConfigError(f"backend {path}: there is no {name} in {module}")
    return getattr(found, name)


# --- of the process ------------------------------------------------------------------------------

_of_process: Coordinator | None = None
_setting = ForkSafeLock()


def set_coordinator(coordinator: Coordinator | None) -> None:
    """Make this the coordinator that ``get_coordinator`` returns in this process; None: none was set."""
    global _of_process  # noqa: PLW0603  # one for the process is the point
    with _setting.lock:
        _of_process = coordinator


def get_coordinator() -> Coordinator:
    """Return the coordinator of this process: the one that was set, or else one on ``memory://``."""
    global _of_process  # noqa: PLW0603  # one for the process is the point
    with _setting.lock:
        if _of_process is None:
            _of_process = connect("memory://")
        return _of_process


# --- URLs ----------------------------------------------------------------------------------------


def given_url(url: str | None) -> str:
    """Return the URL, or without one that of the environment, or ``memory://``."""
    return os.environ.get(ENVIRONMENT) or "memory://" if url is None else url


def memory_name(url: str | None, client: Any) -> str | None:
    """Return the name of the keyspace in a ``memory://`` URL; None for a server. ``ConfigError`` for other URLs."""
    if client is not None:
        if url is not None:
            raise ConfigError("connect takes a URL or a client, not both")
        return None
    url = given_url(url)
    if not isinstance(url, str):
        raise TypeError(f"a URL is a str, not {type(url).__name__}")
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("memory", *_SERVERS):
        # What stands before :// is quoted, and nothing else: it may be a password.
        begins = f" that begins with {scheme[:20]}://" if separator and "@" not in scheme else ""
        known = ", ".join(f"{each}://" for each in ("memory", *_SERVERS))
        raise ConfigError(f"cannot connect to a URL{begins}: it begins with one of {known}")
    if scheme != "memory":
        return None
    if set(rest) & set("?#@"):
        raise ConfigError("a memory:// URL is a name and nothing else, such as memory://jobs")
    return rest.strip("/")


def _no_options(options: dict[str, Any]) -> None:
    if options:
        raise ConfigError(f"memory:// has no option {', '.join(map(repr, options))}")


def redis_backend() -> Any:
    """Return the package ``coord.redis``; ``ConfigError`` without redis-py."""
    try:
        from coord import redis  # noqa: PLC0415  # memory:// needs no redis-py
    except ModuleNotFoundError as error:
        if error.name != "redis":
            raise
        raise ConfigError("servers need the package redis: pip install 'coord[redis]'") from None
    return redis
