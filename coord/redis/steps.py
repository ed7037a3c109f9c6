"""I/O steps that the generators of retrying and routing yield; a driver carries them out, blocking or awaiting.

A driver carries out each step and resumes the generator; only ``Exchange`` may fail there, with a ``CoordError``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from coord.redis.dialing import LOST
from coord.redis.outage import Outage
from coord.redis.refusals import refuse

__all__ = ["Alone", "Exchange", "Gather", "Node", "Sleep", "Step", "Steps", "Unsent", "Words", "ask", "left"]

T = TypeVar("T")
N = TypeVar("N", bound="Node")

Words: TypeAlias = tuple[Any, ...]


class Unsent(ConnectionError):
    """The connection broke before anything of the command was sent."""


class Node(Protocol):
    """One server, with its connections."""

    outage: Outage

    @property
    def where(self) -> str:
        """The address in words."""
        ...

    def reconnect(self) -> None:
        """Use new connections from now on; those in use are closed once their calls are answered."""
        ...


@dataclass(slots=True)
class Exchange(Generic[N]):
    """Send commands in one write; append a reply each to ``outcomes``, or the error by which it was lost.

    Raises a ``CoordError`` without a connection. ``within``: seconds to wait for a connection, and for a reply.
    ``fresh``: on a new connection, where connections are many.
    """

    node: N
    commands: Sequence[Words]
    within: float
    fresh: bool = False
    outcomes: list[Any] = field(default_factory=list[Any])


@dataclass(slots=True, frozen=True)
class Sleep:
    """Wait for ``seconds``."""

    seconds: float


@dataclass(slots=True, frozen=True)
class Gather:
    """Run several generators, concurrently in async mode."""

    parts: Sequence[Steps[None]]


@dataclass(slots=True, frozen=True)
class Alone:
    """Run a generator that callers share: one caller runs it, the others wait for its end, up to ``within`` seconds."""

    work: Callable[[], Steps[None]]
    within: float


Step: TypeAlias = "Exchange[Any] | Sleep | Gather | Alone"
Steps: TypeAlias = Generator[Step, None, T]


_SHORTEST = 0.001
"""Seconds that are waited at least: to a socket, 0 means for ever."""


def left(seconds: float, most: float) -> float:
    """Return ``seconds``, kept between the shortest time that can be waited and ``most``."""
    return max(_SHORTEST, min(most, seconds))


def ask(node: Node, commands: Sequence[Words], within: float) -> Steps[list[Any]]:
    """Send commands to a server and return the replies; a ``CoordError`` if it cannot be reached."""
    exchange = Exchange(node, commands, within)
    yield exchange
    for outcome in exchange.outcomes:
        if isinstance(outcome, LOST):
            refuse(outcome, node.where)
    return exchange.outcomes
