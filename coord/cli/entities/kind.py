"""Kinds of entities, as ``ls``, ``show`` and ``watch`` find, read and show them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from coord.cli.entities.keys import EntityKey

if TYPE_CHECKING:
    from coord.coordinator import CallMaker
    from coord.script import Call

__all__ = ["Details", "Kind"]

Details = dict[str, Any]
"""The details of an entity that are shown, in types of JSON."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The call that reads an entity, its details (None: it does not exist), and their summary in one line."""

    call: Callable[[CallMaker, EntityKey], Call[Any]] | None
    details: Callable[[Any], Details | None]
    summary: Callable[[Details], str]
