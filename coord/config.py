"""From a service's settings to a coordinator."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, cast

from coord.connecting import connect
from coord.coordinator import Coordinator
from coord.errors import ConfigError
from coord.keys import Keys
from coord.names import Seconds
from coord.options import Options
from coord.urls import ENVIRONMENT, memory_name

__all__ = ["BACKENDS", "from_config"]

BACKENDS = "coord.backends"
"""The entry-point group by which packages offer backends under a short name."""

_KEYS = ("backend", "redis", "custom_params")
_OPTIONS = ("timeout", "patience", "remember", "max_connections", "in_flight", "eviction")
_REDIS_KEYS = ("dsn", "key_prefix", "ttl_sec", *_OPTIONS)


def from_config(config: Mapping[str, Any]) -> Coordinator:
    """Return a coordinator as a service's settings describe it.

    ``config`` is the ``[coordination]`` table: ``backend`` is "memory" (the default), "redis", the name of an entry
    point in the group ``coord.backends``, or the dotted path of a class with ``from_config(config)``.
    ``redis`` has ``dsn`` (else ``$COORD_DSN``), ``key_prefix``, ``ttl_sec`` (0: no expiry) and the options of
    ``connect`` that are plain values; they hold for every backend.
    ``custom_params`` is for a custom backend: its class gets the whole table, with these parameters also at its top.
    ``ConfigError`` names a key that is not known, and says what is wrong with a backend.
    """
    if not isinstance(config, Mapping):
        raise TypeError(f"config must be a mapping, not {type(config).__name__}")
    if set(config) == {"coordination"}:
        config = config["coordination"]
    _known(config, _KEYS, "")
    backend = config.get("backend", "memory")
    if not isinstance(backend, str):
        raise ConfigError(f"backend must be a str, not {type(backend).__name__}")
    redis: Mapping[str, Any] = config.get("redis") or {}
    _known(redis, _REDIS_KEYS, "redis.")
    prefix = redis.get("key_prefix", "coord:")
    seconds: Any = redis.get("ttl_sec", 3600)
    if seconds is None:
        raise ConfigError("redis.ttl_sec must be a number of seconds, or 0 for no expiry")
    # False equals 0, and is not a number of seconds: connect says so.
    ttl = None if seconds == 0 and not isinstance(seconds, bool) else seconds
    options: Any = {name: redis[name] for name in _OPTIONS if name in redis}
    if backend == "memory":
        return connect("memory://", prefix=prefix, ttl=ttl, **options)
    if backend == "redis":
        dsn = redis.get("dsn") or os.environ.get(ENVIRONMENT)
        if not dsn:
            raise ConfigError(f"backend is redis: set redis.dsn or ${ENVIRONMENT} to the URL of the server")
        if memory_name(dsn) is not None:
            raise ConfigError("backend is redis, and its dsn is a memory:// URL: change one of the two")
        return connect(dsn, prefix=prefix, ttl=ttl, **options)
    if "://" in backend or set(backend) & set("/@?#"):
        # Not quoted: it may hold a password.
        raise ConfigError('backend looks like a URL: write backend = "redis" and put the URL into redis.dsn')
    Keys(prefix, ttl)
    Options(prefix=prefix, **options)
    return _custom(backend, config, prefix, ttl)


def _known(table: Mapping[str, Any], keys: tuple[str, ...], where: str) -> None:
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where.rstrip('.') or 'config'} must be a table, not {type(table).__name__}")
    unknown = [f"{where}{key}" for key in table if key not in keys]
    if unknown:
        raise ConfigError(f"unknown key {', '.join(unknown)}: known are {', '.join(where + key for key in keys)}")


def _custom(path: str, config: Mapping[str, Any], prefix: str, ttl: Seconds | None) -> Coordinator:
    kind = _found(path)
    if not isinstance(kind, type):
        raise ConfigError(f"backend {path}: it is {type(kind).__name__}, not a class")
    make = getattr(kind, "from_config", None)
    if make is None:
        raise ConfigError(f"backend {path}: the class has no from_config(config)")
    params: Mapping[str, Any] = config.get("custom_params") or {}
    if not isinstance(params, Mapping):
        raise ConfigError(f"custom_params must be a table, not {type(params).__name__}")
    made: Any = make({**params, **config})
    if made is None:
        raise ConfigError(f"backend {path}: its from_config returned None")
    if not hasattr(made, "run") and hasattr(made, "call"):
        # An object that makes calls is a backend; one with operations is a coordinator already.
        return Coordinator(made, prefix=prefix, ttl=ttl)
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
        raise ConfigError(f"backend {path}: {module} has no {name}")
    return getattr(found, name)
