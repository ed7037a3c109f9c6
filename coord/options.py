"""Options of a coordinator towards its server."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict, cast

from coord.clock import Clock
from coord.errors import ConfigError
from coord.names import Seconds, milliseconds
from coord.observe import Observe

__all__ = ["Given", "Options"]

_TIMEOUT = 5.0

Eviction = Literal["warn", "refuse", "ignore"]


class Given(TypedDict, total=False):
    """The options that a caller may give by keyword; ``Options`` says what they mean."""

    timeout: Seconds | None
    patience: Seconds
    remember: Seconds
    max_connections: int
    in_flight: int
    max_idle: Seconds | None
    keepalive: Seconds
    eviction: Eviction
    clock: Clock | None
    observe: Observe | None


@dataclass(frozen=True, slots=True)
class Options:
    """The options of ``coord.connect``. Times are seconds: int, float or timedelta.

    ``prefix``: every key starts with it.
    ``timeout``: seconds to wait for a connection, and for one reply on it; None: as URL or client have it, else 5.
    ``patience``: seconds for which a call is repeated, where that is safe, before it fails.
    ``remember``: seconds for which the server remembers the operation id that coord gives to an accumulation, so that
    repeating it after a lost reply adds nothing; 0 gives none, and a lost reply raises ``OutcomeUnknown``.
    ``max_connections``: how many connections the threads of a blocking coordinator may hold at a time; more wait.
    ``in_flight``: how many calls of an async coordinator, those of a batch among them, may await their replies; more
    wait.
    ``max_idle``: seconds after which an idle connection is replaced before the next call, because a firewall or
    balancer may have forgotten it; None: the URL's ``health_check_interval``, else 180.
    ``keepalive``: seconds of silence after which TCP probes the connection, and again every third of it; it is closed
    when three probes are not answered. 0: the operating system's settings.
    ``eviction``: what to do about a server that may evict live claims, because its ``maxmemory-policy`` is not
    ``noeviction``: "warn", "refuse" or "ignore".
    ``clock``: where time is read and spent (``coord.clock.Clock``); None: the clocks of the operating system, or on
    ``memory://NAME`` the clock of that keyspace.
    ``observe``: called with an event of ``coord.observe`` after each call, each wait and each lost lease; None: nothing
    is measured.
    """

    prefix: str = "coord:"
    timeout: float | None = None
    patience: float = 10.0
    remember: float = 60.0
    max_connections: int = 64
    in_flight: int = 10_000
    max_idle: float | None = None
    keepalive: float = 60.0
    eviction: Eviction = "warn"
    clock: Clock | None = None
    observe: Observe | None = None

    def __post_init__(self) -> None:
        for name in ("timeout", "patience", "remember", "max_idle", "keepalive"):
            object.__setattr__(self, name, _seconds(name, getattr(self, name)))
        for name in ("max_connections", "in_flight"):
            if not getattr(self, name) >= 1:
                raise ConfigError(f"{name} is {getattr(self, name)!r}: it must be at least 1")
        if self.eviction not in ("warn", "refuse", "ignore"):
            raise ConfigError(f"eviction is {self.eviction!r}: it must be warn, refuse or ignore")

    def replace(self, **options: Any) -> Options:
        """Return the options of a view: another ``timeout`` or ``patience``."""
        for name in options:
            if name not in ("timeout", "patience"):
                raise ConfigError(f"a view cannot set the option {name!r}: it can set 'timeout' and 'patience'")
        return replace(self, **options)

    def waiting(self, theirs: float | None) -> float:
        """Return the seconds to wait for one reply, where the URL or the client says ``theirs``.

        ``ConfigError`` when operation ids would be forgotten while their calls are still repeated.
        """
        timeout = self.timeout or theirs or _TIMEOUT
        least = 2 * (self.patience + timeout)
        if 0 < self.remember < least:
            raise ConfigError(
                f"remember is {self.remember} s: an operation id has to outlive every repetition of its call, "
                f"so it must be at least {least} s with a timeout of {timeout} s; 0 switches ids off"
            )
        return timeout


def _seconds(name: str, value: Any) -> float | None:
    if value is None and name in ("timeout", "max_idle"):
        return None
    if value == 0 and name in ("remember", "keepalive") and not isinstance(value, bool):
        return 0.0
    try:
        return milliseconds(cast("Seconds", value), name) / 1000
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error)) from None
