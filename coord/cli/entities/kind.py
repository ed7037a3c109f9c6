"""Kinds of entities, as ``ls``, ``show`` and ``watch`` find, read and show them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from coord.cli.entities.keys import EntityKey

if TYPE_CHECKING:
    from coord.coordinator import CallMaker
    from coord.script import Call

__all__ = ["Details", "Kind", "lasting"]

Details = dict[str, Any]
"""The details of an entity that are shown, in types of JSON."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The call that reads an entity, its details (None: it does not exist), and their summary in one line."""

    call: Callable[[CallMaker, EntityKey], Call[Any]] | None
    details: Callable[[Any], Details | None]
    summary: Callable[[Details], str]
    by_fields: Callable[[CallMaker, EntityKey, Sequence[str]], list[Call[Any]]] | None = None
    """The calls for a hash whose fields say what to ask; ``details`` gets the list of their answers."""

    def calls(self, calls: CallMaker, entity: EntityKey, fields: Sequence[str]) -> list[Call[Any]]:
        """Return the calls that read an entity. ``fields``: the names of the fields of a hash."""
        if self.by_fields is not None:
            return self.by_fields(calls, entity, fields)
        return [] if self.call is None else [self.call(calls, entity)]

    def answer(self, answers: list[Any]) -> Any:
        """Return what ``details`` takes, of the answers to all calls."""
        if self.by_fields is not None:
            return answers
        return answers[0] if answers else None


def lasting(seconds: float | None) -> str:
    """Return a remaining time as text: 26.5 s, 3 min, 2 h; "never" for None."""
    if seconds is None:
        return "never"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"
