"""The kinds of entities: how each is asked for, by its own operation, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from coord.cli.entities.keys import Named

if TYPE_CHECKING:
    from coord.barriers import BarrierStatus
    from coord.claims import Holder
    from coord.coordinator import CallMaker
    from coord.requests import StageStatus
    from coord.script import Call

__all__ = ["Kind", "Told", "kind_of", "lasting"]

Told = dict[str, Any]
"""What is told of an entity, in words that JSON has."""

_MOST_VALUES = 100


@dataclass(frozen=True, slots=True)
class Kind:
    """How an entity is asked for, what its answer tells (None: it is not there), and that in one line."""

    ask: Callable[[CallMaker, Named], Call[Any]] | None
    tell: Callable[[Any], Told | None]
    line: Callable[[Told], str]


def kind_of(entity: Named, type: str) -> Kind:
    """Return how to read an entity; ``type`` is what its key holds."""
    if entity.kind == "kv" and type in _VALUES:
        return _VALUES[type]
    return _KINDS.get(entity.kind) or Kind(None, lambda _: {"type": type}, lambda told: f"a {told['type']}")


def lasting(seconds: float | None) -> str:
    """Return a time that is left, as people say it."""
    if seconds is None:
        return "never"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"


# --- claims, versions, statistics ----------------------------------------------------------------


def _tell_claim(holder: Holder | None) -> Told | None:
    return holder and {"owner": holder.owner, "fence": holder.fence}


def _tell_version(version: int) -> Told | None:
    return {"version": version} if version else None


def _tell_counts(counts: dict[str, int] | None) -> Told | None:
    return None if counts is None else {"counts": counts}


def _line_of_counts(told: Told) -> str:
    return ", ".join(f"{field} {count}" for field, count in told["counts"].items()) or "merged, without a count"


# --- barriers, requests --------------------------------------------------------------------------


def _tell_barrier(status: BarrierStatus | None) -> Told | None:
    if status is None:
        return None
    told: Told = status._asdict()
    told["deadline_in"] = told.pop("expires_in")
    return told


def _line_of_barrier(told: Told) -> str:
    line = f"{told['state']}, {told['arrived']} of {told['parties']} arrived"
    if told["error_count"]:
        line += f", {told['error_count']} failed"
    if told["reason"]:
        line += f": {told['reason']}"
    if told["state"] == "open" and told["deadline_in"] is not None:
        line += f", deadline in {lasting(told['deadline_in'])}"
    return line


def _tell_request(stages: dict[str, StageStatus]) -> Told:
    pending = sum(stage.pending for stage in stages.values())
    return {"pending": pending, "stages": {name: stage._asdict() for name, stage in stages.items()}}


def _line_of_request(told: Told) -> str:
    if not told["stages"]:
        return "registered, no work yet"
    stages = ", ".join(f"{name}: {_line_of_stage(stage)}" for name, stage in told["stages"].items())
    return f"{told['pending']} pending ({stages})" if told["pending"] else f"complete ({stages})"


def _line_of_stage(stage: Mapping[str, Any]) -> str:
    counts = (
        ("processed", "processed"),
        ("pending", "pending"),
        ("error_count", "failed"),
        ("requeue_count", "requeued"),
    )
    return " ".join(f"{stage[field]} {word}" for field, word in counts if stage[field] or field == "processed")


# --- primitives ----------------------------------------------------------------------------------


def _tell_values(values: list[str]) -> Told | None:
    if not values:
        return None
    return {"values": values[:_MOST_VALUES], "more": len(values) > _MOST_VALUES}


def _line_of_values(told: Told) -> str:
    return f"a list of {len(told['values'])}{' and more' if told['more'] else ''}"


_VALUES: dict[str, Kind] = {
    "string": Kind(
        lambda calls, at: calls.kv.get_int(at.name),
        lambda number: None if number is None else {"number": number},
        lambda told: str(told["number"]),
    ),
    "set": Kind(
        lambda calls, at: calls.kv.scard(at.name),
        lambda size: {"members": size} if size else None,
        lambda told: f"a set of {told['members']}",
    ),
    "list": Kind(lambda calls, at: calls.kv.lrange(at.name, 0, _MOST_VALUES), _tell_values, _line_of_values),
}
"""Primitives, by what their key holds."""

_KINDS: dict[str, Kind] = {
    "claim": Kind(
        lambda calls, at: calls.holder(at.name),
        _tell_claim,
        lambda told: f"held by {told['owner']}, fence {told['fence']}",
    ),
    "once": Kind(None, lambda _: {}, lambda _: "taken"),
    "version": Kind(lambda calls, at: calls.version(at.name), _tell_version, lambda told: f"version {told['version']}"),
    "stats": Kind(lambda calls, at: calls.stats(at.name).peek(at.id or ""), _tell_counts, _line_of_counts),
    "barrier": Kind(lambda calls, at: calls.barrier(at.name).status(), _tell_barrier, _line_of_barrier),
    "request": Kind(lambda calls, at: calls.request(at.name).status(), _tell_request, _line_of_request),
}
