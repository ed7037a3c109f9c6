"""Replicas: their number, their lag, and what a failover would lose."""

from __future__ import annotations

from collections.abc import Iterator

from coord.cli.doctor.findings import Finding, ok, problem, warning
from coord.cli.doctor.server import Info

__all__ = ["replication"]

_LATE = 10
_SHORT = 2
_SEE = "docs/guarantees.md has the figures"


def replication(info: Info, configured: Info, *, fails_over: bool) -> Iterator[Finding]:
    """Check the replicas of a primary; ``fails_over``: Sentinel or a cluster would promote one."""
    if info.get("role") != "master":
        return
    replicas = [_row(text) for name, text in sorted(info.items()) if name[:5] == "slave" and name[5:].isdecimal()]
    least = int(configured.get("min-replicas-to-write") or (1 if "min_slaves_good_slaves" in info else 0))
    yield _judged(replicas, least, int(configured.get("min-replicas-max-lag") or 0), fails_over=fails_over)
    for each in replicas:
        where, state, lag = f"{each.get('ip')}:{each.get('port')}", each.get("state"), int(each.get("lag") or 0)
        if state != "online":
            yield warning("replication", f"the replica at {where} is not in sync: {state}", "see its log")
        elif lag > _LATE:
            yield warning("replication", f"the replica at {where} last answered {lag} s ago", "see its log")


def _row(text: str) -> dict[str, str]:
    """Read ``ip=127.0.0.1,port=6380,state=online,offset=14,lag=0``."""
    return dict(part.split("=", 1) for part in text.split(",") if "=" in part)


def _judged(replicas: list[dict[str, str]], least: int, longest: int, *, fails_over: bool) -> Finding:
    count = len(replicas)
    good = sum(each.get("state") == "online" and int(each.get("lag") or 0) <= (longest or _LATE) for each in replicas)
    seen = f"{count} replica{'' if count == 1 else 's'}, min-replicas-to-write {least}"
    if good < least:
        return problem("replication", f"{seen}, {good} in sync: every write is refused", "bring the replicas back")
    if not count:
        if fails_over:
            return warning("replication", "no replica: if this server fails, none takes over", "add two")
        return ok("replication", "no replica, so no failover can lose a claim")
    if not least:
        return warning(
            "replication",
            f"{seen}: cut off from the network, it goes on granting claims that the failover loses",
            f"with two replicas or more, set min-replicas-to-write 1 and min-replicas-max-lag 1; {_SEE}",
        )
    if count == least:
        return warning(
            "replication",
            f"{seen}: without one replica, as after a failover, every write is refused",
            "add another replica",
        )
    if longest > _SHORT:
        return warning(
            "replication",
            f"{seen}, min-replicas-max-lag {longest}: cut off, it goes on granting claims for that many seconds",
            f"set min-replicas-max-lag 1; {_SEE}",
        )
    return ok("replication", f"{seen}, {good} in sync")
