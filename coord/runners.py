"""Runners: what a coordinator needs of a backend, in either mode."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol, Self

from coord.drivers import AsyncMakesCalls, MakesCalls
from coord.notifier import Notifier

__all__ = ["AsyncRunner", "Runner"]


class Runner(MakesCalls, Protocol):
    """A blocking backend."""

    distributed: bool
    remember_ms: int
    publish: str

    def close(self) -> None:
        """Finish what is in flight and close all connections. May be called again."""
        ...

    def ping(self) -> float:
        """Return the seconds of one round trip."""
        ...

    def with_options(self, **options: Any) -> Self:
        """Return a view with other options, which shares the connections."""
        ...


class AsyncRunner(AsyncMakesCalls, Protocol):
    """An async backend."""

    distributed: bool
    remember_ms: int
    publish: str

    @property
    def notifier(self) -> Notifier:
        """The waiters of its channels, which notifications wake."""
        ...

    def aclose(self) -> Coroutine[Any, Any, None]:
        """Finish what is in flight and close all connections. May be called again."""
        ...

    def ping(self) -> Coroutine[Any, Any, float]:
        """Return the seconds of one round trip."""
        ...

    def with_options(self, **options: Any) -> Self:
        """Return a view with other options, which shares the connections."""
        ...
