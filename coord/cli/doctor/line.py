"""The connection to a server: its round trip, the difference of the clocks, and the parser of replies."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import TYPE_CHECKING

from coord.cli.doctor.findings import Finding, ok, problem, unchecked, warning
from coord.clock import SYSTEM
from coord.errors import ConfigError, ReplyError

if TYPE_CHECKING:
    from coord.redis.primaries import Node

__all__ = ["clock", "parser", "reached", "unreachable"]

_ROUND_TRIPS = 20
_FAR_MS = 20.0
_APART_SECONDS = 1.0


def unreachable(error: Exception) -> Finding:
    """Return the finding for a server that cannot be used."""
    advice = "" if isinstance(error, ConfigError) else "check that it runs, its host and port, and firewalls"
    return problem("reached", str(error), advice)


def reached(node: Node) -> Finding:
    """Measure the round trip."""
    took = [_took_ms(node) for _ in range(_ROUND_TRIPS)]
    seen = f"{node.where}, a round trip takes {median(took):.2f} ms (median of {_ROUND_TRIPS}, at most {max(took):.2f})"
    if median(took) > _FAR_MS:
        return warning(
            "reached", f"{seen}: each operation takes that long", "move services and server closer to each other"
        )
    return ok("reached", seen)


def _took_ms(node: Node) -> float:
    begun = SYSTEM.monotonic()
    node.ask("PING")
    return (SYSTEM.monotonic() - begun) * 1000


def clock(node: Node) -> Finding:
    """Compare the clocks, as exactly as one round trip allows."""
    sent = SYSTEM.time_us() / 1e6
    reply = node.ask("TIME")
    come = SYSTEM.time_us() / 1e6
    if isinstance(reply, ReplyError):
        return unchecked("clock", f"this user may not read the time: {reply}", "grant +time")
    ahead = int(reply[0]) + int(reply[1]) / 1e6 - (sent + come) / 2
    unsure_ms = (come - sent) / 2 * 1000
    seen = f"the server's is {abs(ahead) * 1000:.1f} ms {'ahead of' if ahead > 0 else 'behind'} this machine's"
    if abs(ahead) > _APART_SECONDS + unsure_ms / 1000:
        return warning(
            "clock",
            f"{seen}: coord uses only the server's, but after a failover to a different clock leases end early or late",
            "synchronize the clocks of all machines, with NTP",
        )
    return ok("clock", f"{seen}, give or take {unsure_ms:.1f} ms")


def parser() -> Finding:
    """Check whether hiredis parses replies."""
    try:
        return ok("hiredis", f"{version('hiredis')} parses replies, redis-py {version('redis')} connects")
    except PackageNotFoundError:
        advice = "pip install 'coord[redis]'"
        return warning("hiredis", "not installed: replies are parsed in Python, which is slower", advice)
