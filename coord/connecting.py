"""Connect: from a URL or a client to a coordinator, and the coordinator of the process."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, TypeVar, Unpack, cast

from coord.coordinator import AsyncCoordinator, Coordinator
from coord.errors import ConfigError
from coord.fork import ForkSafeLock
from coord.keys import Keys
from coord.memory import AsyncMemory, Memory, shared_keyspace
from coord.names import Seconds
from coord.options import Given, Options
from coord.urls import given_url, memory_name

__all__ = ["Connecting", "connect", "connect_async", "get_coordinator", "redis_backend", "set_coordinator"]

F = TypeVar("F", bound=Callable[..., Any])


def _with_options(function: F) -> F:
    """Show every option in the signature, with its default."""
    signature = inspect.signature(function)
    options = [each for name, each in inspect.signature(Options).parameters.items() if name != "prefix"]
    own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    shown = [*own, *(each.replace(kind=each.KEYWORD_ONLY) for each in options)]
    function.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]  # read by inspect
    return function


@_with_options
def connect(
    url: str | None = None,
    *,
    client: Any = None,
    prefix: str = "coord:",
    ttl: Seconds | None = 3600,
    **options: Unpack[Given],
) -> Coordinator:
    """Return a blocking coordinator.

    ``url``: ``memory://`` or ``memory://name``, one keyspace per name in this process; ``redis://host:port/db``,
    ``rediss://`` over TLS, ``unix://path?db=0``; ``redis+cluster://h:p,h:p``, ``redis+sentinel://h:p,h:p/service/db``,
    and with ``rediss`` both over TLS; ``valkey`` and ``valkeys`` mean the same. None: ``$COORD_DSN``, else
    ``memory://``.
    ``client``: instead of a URL, a redis-py client, whose settings are copied.
    Every key starts with ``prefix``, which has no braces. ``ttl``: seconds until a key expires, for calls without
    ``ttl``; None: such keys never expire. The other options are those of ``coord.options.Options``; ``memory://``
    checks and accepts those that only concern servers.

    Connects at once: ``Unavailable`` when the server cannot be reached. ``ConfigError`` when the URL or an option is
    wrong; nothing was sent then.
    """
    opts = _checked(url, client, prefix, ttl, options)
    name = memory_name(url) if client is None else None
    runner = (
        Memory(*shared_keyspace(name, opts.clock), opts.observe)
        if name is not None
        else redis_backend().connect("" if client is not None else given_url(url), client, opts)
    )
    return Coordinator(runner, prefix=prefix, ttl=ttl)


@_with_options
def connect_async(
    url: str | None = None,
    *,
    client: Any = None,
    prefix: str = "coord:",
    ttl: Seconds | None = 3600,
    **options: Unpack[Given],
) -> Connecting:
    """Return an AsyncCoordinator: ``await connect_async(url)``, or ``async with connect_async(url) as c``.

    Takes what ``connect`` takes; a client is one of ``redis.asyncio``. The coordinator belongs to the running loop.
    """
    return Connecting(url, client, prefix, ttl, options)


class Connecting:
    """A connection about to be made: await it, or enter it."""

    def __init__(self, url: str | None, client: Any, prefix: str, ttl: Seconds | None, options: Given) -> None:
        self._url, self._client, self._prefix, self._ttl, self._options = url, client, prefix, ttl, options
        self._made: AsyncCoordinator | None = None

    async def _connect(self) -> AsyncCoordinator:
        opts = _checked(self._url, self._client, self._prefix, self._ttl, self._options)
        name = memory_name(self._url) if self._client is None else None
        if name is not None:
            memory = AsyncMemory(*shared_keyspace(name, opts.clock), opts.observe)
            memory.check_loop()
            return AsyncCoordinator(memory, prefix=self._prefix, ttl=self._ttl)
        url = "" if self._client is not None else given_url(self._url)
        runner = await redis_backend().connect_async(url, self._client, opts)
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


def _checked(url: str | None, client: Any, prefix: str, ttl: Seconds | None, options: Given) -> Options:
    """Return the options, checked before anything is opened."""
    Keys(prefix, ttl)
    if client is not None and url is not None:
        raise ConfigError("connect takes a URL or a client, not both")
    unknown = [name for name in options if name not in Given.__annotations__]
    if unknown:
        raise ConfigError(
            f"unknown option {', '.join(map(repr, unknown))}: known are {', '.join(Given.__annotations__)}"
        )
    return Options(prefix=prefix, **cast("dict[str, Any]", options))


def redis_backend() -> Any:
    """Return the package ``coord.redis``; ``ConfigError`` without redis-py."""
    try:
        from coord import redis  # noqa: PLC0415  # memory:// needs no redis-py
    except ModuleNotFoundError as error:
        if error.name not in ("redis", "hiredis"):
            raise
        raise ConfigError("servers need the package redis: pip install 'coord[redis]'") from None
    return redis


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
