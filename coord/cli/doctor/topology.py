"""The slots of a cluster, and the sentinels of a service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from coord.cli.doctor.findings import Finding, ok, problem, unchecked, warning
from coord.errors import ReplyError

if TYPE_CHECKING:
    from coord.redis.dialing import Dialer
    from coord.redis.primaries import Node

__all__ = ["sentinels", "slots"]

_SLOTS = 16384
_MOST_NAMED = 3


def slots(node: Node) -> Iterator[Finding]:
    """Check that every slot is served and each primary has a replica, as one node sees it."""
    rows = node.ask("CLUSTER", "SLOTS")
    if isinstance(rows, ReplyError):
        yield unchecked("cluster", f"CLUSTER SLOTS: {rows}", "grant +cluster|slots")
        return
    yield from _shared_out(rows)
    reply = node.ask("CLUSTER", "INFO")
    if isinstance(reply, ReplyError):
        yield unchecked("cluster", f"its state: {reply}", "grant +cluster|info to check it")
        return
    info = dict(line.split(":", 1) for line in str(reply).splitlines() if ":" in line)
    failing = int(info.get("cluster_slots_fail", 0)) + int(info.get("cluster_slots_pfail", 0))
    if info.get("cluster_state") != "ok" or failing:
        advice = "bring the failed nodes back, or promote their replicas; CLUSTER NODES names them"
        seen = f"its state is {info.get('cluster_state')}, {failing:,} slots are on failing nodes"
        yield problem("cluster", seen, advice)
    else:
        yield ok("cluster", "its state is ok")


def _shared_out(rows: list[list[Any]]) -> Iterator[Finding]:
    served = sum(last - first + 1 for first, last, *_ in rows)
    replicas: dict[str, int] = {}
    for _, _, primary, *others in rows:
        where = f"{primary[0]}:{primary[1]}"
        replicas[where] = max(replicas.get(where, 0), len(others))
    if served < _SLOTS:
        yield problem(
            "cluster",
            f"{_SLOTS - served:,} of {_SLOTS:,} slots are served by no node: calls for names in them fail",
            "assign them to a node: redis-cli --cluster fix HOST:PORT",
        )
    alone = sorted(where for where, count in replicas.items() if not count)
    if alone:
        named = ", ".join(alone[:_MOST_NAMED]) + (", ..." if len(alone) > _MOST_NAMED else "")
        seen = f"{len(alone)} of {len(replicas)} primaries have no replica: {named}"
        yield warning("cluster", seen, "add replicas: without one, a failure loses the slots")
    if served >= _SLOTS:
        yield ok("cluster", f"{served:,} slots on {len(replicas)} primaries")


# --- Sentinel ------------------------------------------------------------------------------------


def sentinels(dialer: Dialer) -> Iterator[Finding]:
    """Check that the sentinels answer, agree on the primary, and could promote another."""
    service, asked = dialer.pool.service_name, dialer.pool.sentinel_manager.sentinels
    answers = [each for each in (_ask(sentinel, service) for sentinel in asked) if each]
    if not answers:
        yield problem(
            "sentinels", f"none of {len(asked)} answers for {service!r}", "check that they run, and the service's name"
        )
        return
    if len(answers) < len(asked):
        seen = f"{len(answers)} of {len(asked)} answer for {service!r}"
        yield warning("sentinels", seen, "bring the others back, or remove them from the URL")
    if len({(each["ip"], each["port"]) for each in answers}) > 1:
        seen = "they do not agree on the primary"
        yield problem("sentinels", seen, "wait for the end of the failover; SENTINEL MASTER shows the view of each")
    first = answers[0]
    known, quorum = int(first["num-other-sentinels"]) + 1, int(first["quorum"])
    seen = f"{known} watch {service!r}, {quorum} of them have to agree that it is down"
    if first.get("is_odown") or first.get("is_sdown"):
        yield problem("sentinels", f"{seen}, and they say that it is down", "see their logs")
    elif known < _FEWEST or quorum > known:
        yield warning(
            "sentinels", f"{seen}: too few to survive the loss of one", "run three or more, each on its own machine"
        )
    else:
        yield ok("sentinels", seen)


_FEWEST = 3


def _ask(sentinel: Any, service: str) -> dict[str, Any] | None:
    """Return what one sentinel knows of the service; None if it does not answer, or does not know it."""
    import redis  # noqa: PLC0415  # the other commands run without redis-py

    try:
        answer: dict[str, Any] = sentinel.sentinel_master(service)
    except redis.RedisError:
        return None
    finally:
        sentinel.connection_pool.disconnect()
    return answer
