"""The rows of the table: every fault, how many are the least, and what may be lost under it."""

from __future__ import annotations

from dataclasses import dataclass

from torture import faults, topologies
from torture.faults import BadLine, Fault, Killed

__all__ = ["ROWS", "Row"]


@dataclass(frozen=True, slots=True)
class Row:
    """A fault. A row that met fewer than ``least`` of them is void; ``short`` is that of the short form.

    ``may_lose`` says why what was acknowledged may be lost; "": nothing may. Fences and versions grow, nothing is
    doubled that a loss does not explain, waiters wake, and nothing is left behind under any fault.
    """

    name: str
    fault: type[Fault]
    least: int
    short: int
    may_lose: str = ""


def _line(name: str, *accidents: str, every: int = 20, delay: float = 0.02) -> type[BadLine]:
    return type(name, (BadLine,), {"mix": dict.fromkeys(accidents, 1), "every": every, "delay": delay})


def _killed(name: str, fsync: str) -> type[Killed]:
    return type(name, (Killed,), {"fsync": fsync})


_NOT_REPLICATED = "what was not replicated yet"

ROWS = (
    Row("reply eaten", _line("Eaten", "drop_reply", every=50), 100, 3),
    Row("late request", _line("Late", "late_request"), 200, 3),
    Row("late request, after its repetition", _line("Later", "late_request", delay=0.2), 200, 3),
    Row("reset before", _line("Before", "reset_request"), 200, 3),
    Row("reset half-way", _line("HalfWay", "half_request", "half_reply"), 200, 3),
    Row("reset after", _line("After", "reset_reply", "close_reply"), 200, 3),
    Row("black hole", faults.BlackHole, 20, 1),
    Row("SCRIPT FLUSH", faults.Forgotten, 100, 3),
    Row("CLIENT KILL", faults.Disconnected, 100, 3),
    Row("CLIENT PAUSE", faults.Paused, 5, 1),
    Row("kill -9, appendfsync always", _killed("Always", "always"), 5, 1),
    Row("kill -9, appendfsync everysec", _killed("EverySecond", "everysec"), 5, 1, "the last second"),
    Row("kill -9, appendfsync no", _killed("Never", "no"), 5, 1, "what the system had not written"),
    Row("SIGSTOP of the server", faults.ServerStopped, 5, 1),
    Row("SIGSTOP of a client", faults.ClientStopped, 3, 1),
    Row("kill -9 of a client", faults.ClientKilled, 5, 1),
    Row("memory full", faults.Full, 50, 1),
    Row("read-only", faults.ReadOnly, 5, 1),
    Row("BUSY", faults.Busy, 5, 1),
    Row("ACL taken away", faults.Forbidden, 50, 1),
    Row("password rotated", faults.Rotated, 20, 1),
    Row("maxclients", faults.Crowded, 20, 1),
    Row("FLUSHALL", faults.Flushed, 5, 1, "everything"),
    Row("another port behind the name", faults.Readdressed, 5, 1),
    Row("Sentinel: primary killed", topologies.SentinelKilled, 2, 1, _NOT_REPLICATED),
    Row("Sentinel: failover by order", topologies.SentinelAsked, 2, 1, "writes to the old primary"),
    Row("cluster: primary killed", topologies.ClusterKilled, 2, 1, _NOT_REPLICATED),
    Row("cluster: failover by order", topologies.ClusterAsked, 3, 1),
    Row("cluster: slots moving", topologies.SlotsMoved, 10, 1),
)
