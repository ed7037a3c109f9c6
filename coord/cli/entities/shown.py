"""Entities as text: a table, each in full, or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

from coord.cli.entities.kind import lasting
from coord.cli.entities.reading import Entity, Listing
from coord.names import printable

__all__ = ["HEAD", "Show", "as_json", "full", "row", "table"]

HEAD = ("KIND", "NAME", "ENDS IN", "STATE")

Show = Callable[[str, Listing], None]
"""Show a listing under a title, in place of the one before."""


def row(entity: Entity) -> tuple[str, ...]:
    """Return an entity as a row of a table, without control characters."""
    cells = entity.key.kind, entity.key.title, lasting(entity.expires_in), entity.summary
    return tuple(map(printable, cells))


def table(entities: Sequence[Entity]) -> Iterator[str]:
    """Yield the lines of a table, the head first."""
    rows = [HEAD, *map(row, entities)]
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(HEAD) - 1)]
    for cells in rows:
        padded = (f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=False))
        yield "  ".join((*padded, cells[-1])).rstrip()


def full(entity: Entity) -> Iterator[str]:
    """Yield all details of an entity, a line each."""
    yield f"{entity.key.kind} {printable(entity.key.title)}"
    yield from _lines({"key": entity.key.key, "expires_in": lasting(entity.expires_in), **entity.details}, "  ")


def _lines(details: dict[str, Any], indent: str) -> Iterator[str]:
    width = max(len(printable(name)) for name in details)
    for name, value in details.items():
        if inner := _inner(name, value):
            yield f"{indent}{printable(name)}"
            yield from _lines(inner, f"{indent}  ")
        elif value != "":
            yield f"{indent}{printable(name):<{width}}  {printable(_text(value))}".rstrip()


def _inner(name: str, value: object) -> dict[str, Any]:
    """Return what is shown in lines of its own. Metadata of any depth stays on one line."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) and name != "metadata" else {}


def _text(value: object) -> str:
    if isinstance(value, float):
        return lasting(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def as_json(entities: Iterable[Entity]) -> str:
    """Return a JSON array, an entity on each line."""
    rows = ",\n ".join(json.dumps(entity.as_json()) for entity in entities)
    return f"[{rows}]"
