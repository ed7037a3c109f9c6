"""The kinds of entities: the operation that reads each, and what is shown of the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from coord.cli.entities.declared import declared
from coord.cli.entities.keys import EntityKey
from coord.cli.entities.kind import Details, Kind, lasting
from coord.cli.entities.limits import LIMITER, QUOTA
from coord.family import family_of

if TYPE_CHECKING:
    from coord.barriers import BarrierStatus
    from coord.claims import Holder
    from coord.execution import ExecutionStatus
    from coord.group import Member
    from coord.requests import StageStatus
    from coord.semaphore import PermitHolder

__all__ = ["KINDS", "Details", "Kind", "kind_of"]

_MOST_VALUES = 100
_MOST_LETTERS = 1_000


def kind_of(entity: EntityKey, type: str) -> Kind:
    """Return how to read an entity; ``type`` is the Redis type of its key."""
    if entity.kind == "kv" and type in _VALUES:
        return _VALUES[type]
    if entity.kind in _READERS:
        return _READERS[entity.kind]
    if entity.part is None and (family := family_of(entity.kind)) is not None:
        return declared(family)
    return Kind(None, lambda _: {"type": type}, lambda details: f"a {details['type']}")


# --- claims, versions, statistics ----------------------------------------------------------------


def _details_of_claim(holder: Holder | None) -> Details | None:
    return None if holder is None else {"owner": holder.owner, "fence": holder.fence}


def _details_of_execution(status: ExecutionStatus | None) -> Details | None:
    if status is None:
        return None
    details = {name: value for name, value in asdict(status).items() if value is not None and name != "expires_in"}
    if status.error is not None:
        details["error"] = f"{status.error.type}: {status.error.message}"
    if status.result is not None:
        details |= {"result": status.result[:_MOST_LETTERS], "size": len(status.result)}
    return details


def _summary_of_execution(details: Details) -> str:
    if details["state"] == "running":
        return f"running by {details['owner']}, fence {details['fence']}"
    return f"failed: {details['error']}" if "error" in details else f"done, a result of {details['size']:,} characters"


def _details_of_version(version: int) -> Details | None:
    return {"version": version} if version else None


def _details_of_counts(counts: dict[str, int] | None) -> Details | None:
    return None if counts is None else {"counts": counts}


def _summary_of_counts(details: Details) -> str:
    return ", ".join(f"{field} {count}" for field, count in details["counts"].items()) or "merged, without a count"


def _details_of_semaphore(holders: list[PermitHolder]) -> Details | None:
    return {"weight": sum(each.weight for each in holders), "holders": _first(holders)} if holders else None


def _details_of_group(members: list[Member]) -> Details | None:
    return {"size": len(members), "members": _first(members)} if members else None


def _first(found: Sequence[Any]) -> list[Details]:
    return [asdict(each) for each in found[:_MOST_VALUES]]


# --- barriers, requests --------------------------------------------------------------------------


def _details_of_barrier(status: BarrierStatus | None) -> Details | None:
    if status is None:
        return None
    details: Details = asdict(status)
    details["deadline_in"] = details.pop("expires_in")
    return details


def _summary_of_barrier(details: Details) -> str:
    line = f"{details['state']}, {details['arrived']} of {details['parties']} arrived"
    if details["error_count"]:
        line += f", {details['error_count']} failed"
    if details["reason"]:
        line += f": {details['reason']}"
    if details["state"] == "open" and details["deadline_in"] is not None:
        line += f", deadline in {lasting(details['deadline_in'])}"
    return line


def _details_of_request(stages: dict[str, StageStatus]) -> Details:
    pending = sum(stage.pending for stage in stages.values())
    return {"pending": pending, "stages": {name: asdict(stage) for name, stage in stages.items()}}


def _summary_of_request(details: Details) -> str:
    if not details["stages"]:
        return "registered, no work yet"
    stages = ", ".join(f"{name}: {_summary_of_stage(stage)}" for name, stage in details["stages"].items())
    return f"{details['pending']} pending ({stages})" if details["pending"] else f"complete ({stages})"


def _summary_of_stage(stage: Mapping[str, Any]) -> str:
    counts = (
        ("processed", "processed"),
        ("pending", "pending"),
        ("error_count", "failed"),
        ("requeue_count", "requeued"),
    )
    return " ".join(f"{stage[field]} {word}" for field, word in counts if stage[field] or field == "processed")


# --- primitives ----------------------------------------------------------------------------------


def _details_of_values(values: list[str]) -> Details | None:
    if not values:
        return None
    return {"values": values[:_MOST_VALUES], "more": len(values) > _MOST_VALUES}


def _summary_of_values(details: Details) -> str:
    return f"a list of {len(details['values'])}{' and more' if details['more'] else ''}"


_VALUES: dict[str, Kind] = {
    "string": Kind(
        lambda calls, key: calls.kv.get_int(key.name),
        lambda number: None if number is None else {"number": number},
        lambda details: str(details["number"]),
    ),
    "set": Kind(
        lambda calls, key: calls.kv.scard(key.name),
        lambda size: {"members": size} if size else None,
        lambda details: f"a set of {details['members']}",
    ),
    "list": Kind(lambda calls, key: calls.kv.lrange(key.name, 0, _MOST_VALUES), _details_of_values, _summary_of_values),
}
"""Primitives, by the Redis type of their key."""

_READERS: dict[str, Kind] = {
    "claim": Kind(
        lambda calls, key: calls.holder(key.name),
        _details_of_claim,
        lambda details: f"held by {details['owner']}, fence {details['fence']}",
    ),
    "leader": Kind(
        lambda calls, key: calls.leader(key.name).current(),
        _details_of_claim,
        lambda details: f"{details['owner']} leads, fence {details['fence']}",
    ),
    "execution": Kind(
        lambda calls, key: calls.execution(key.name).status(), _details_of_execution, _summary_of_execution
    ),
    "once": Kind(None, lambda _: {}, lambda _: "taken"),
    "version": Kind(
        lambda calls, key: calls.version(key.name), _details_of_version, lambda details: f"version {details['version']}"
    ),
    "stats": Kind(lambda calls, key: calls.stats(key.name).peek(key.id or ""), _details_of_counts, _summary_of_counts),
    "barrier": Kind(lambda calls, key: calls.barrier(key.name).status(), _details_of_barrier, _summary_of_barrier),
    "semaphore": Kind(
        lambda calls, key: calls.semaphore(key.name, limit=1).holders(),
        _details_of_semaphore,
        lambda details: f"weight {details['weight']} held",
    ),
    "limiter": LIMITER,
    "quota": QUOTA,
    "group": Kind(
        lambda calls, key: calls.group(key.name).members(),
        _details_of_group,
        lambda details: f"members alive: {details['size']}",
    ),
    "request": Kind(lambda calls, key: calls.request(key.name).status(), _details_of_request, _summary_of_request),
}

KINDS = (*_READERS, "kv")
"""The kinds that coord has itself."""
