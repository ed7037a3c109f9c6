"""How a coordinator behaves towards its server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from coord.errors import ConfigError

__all__ = ["Options"]


@dataclass(frozen=True, slots=True)
class Options:
    """The options of ``coord.connect`` for servers.

    ``prefix``: what opens every key.
    ``timeout``: seconds to wait for a connection, and for one reply on it.
    ``patience``: seconds for which a call is repeated, where that is safe, before it fails.
    ``remember``: seconds for which the server remembers the operation id that coord gives to an accumulation, so that
    repeating it after a lost reply adds nothing; 0 gives none, and a lost reply raises ``OutcomeUnknown``.
    ``max_connections``: how many connections the threads of a blocking coordinator may hold at a time; more wait.
    ``in_flight``: how many calls of an async coordinator, those of a batch among them, may await their replies; more
    wait.
    ``eviction``: what to do about a server that may evict live claims, because its ``maxmemory-policy`` is not
    ``noeviction``: "warn", "refuse" or "ignore".
    """

    prefix: str = "coord:"
    timeout: float = 5.0
    patience: float = 10.0
    remember: float = 60.0
    max_connections: int = 64
    in_flight: int = 10_000
    eviction: Literal["warn", "refuse", "ignore"] = "warn"

    def __post_init__(self) -> None:
        for name in ("timeout", "patience"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)!r}: a number of seconds above 0")
        for name in ("max_connections", "in_flight"):
            if not getattr(self, name) >= 1:
                raise ConfigError(f"{name} is {getattr(self, name)!r}: at least 1")
        if self.remember and self.remember < 2 * (self.patience + self.timeout):
            raise ConfigError(
                f"remember is {self.remember} s: an operation id has to outlive every repetition of its call, "
                f"so at least {2 * (self.patience + self.timeout)} s here, or 0 for none"
            )
        if self.eviction not in ("warn", "refuse", "ignore"):
            raise ConfigError(f"eviction is {self.eviction!r}: it is warn, refuse or ignore")
