"""Entities on paper: a table, one after the other in full, or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

from coord.cli.entities.kinds import lasting
from coord.cli.entities.reading import Entity, Listing
from coord.names import printable

__all__ = ["HEAD", "Picture", "as_json", "full", "row", "table"]

HEAD = ("KIND", "NAME", "ENDS IN", "STATE")

Picture = Callable[[str, Listing], None]
"""Show a listing under a title, in place of the one before."""


def row(entity: Entity) -> tuple[str, ...]:
    """Return an entity as a row of a table; nothing in it moves a terminal's cursor."""
    cells = entity.named.kind, entity.named.title, lasting(entity.expires_in), entity.line
    return tuple(map(printable, cells))


def table(entities: Sequence[Entity]) -> Iterator[str]:
    """Yield the lines of a table, its head first."""
    rows = [HEAD, *map(row, entities)]
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(HEAD) - 1)]
    for cells in rows:
        padded = (f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=False))
        yield "  ".join((*padded, cells[-1])).rstrip()


def full(entity: Entity) -> Iterator[str]:
    """Yield all that is told of an entity, a line each."""
    yield f"{entity.named.kind} {printable(entity.named.title)}"
    yield from _lines({"key": entity.named.key, "expires_in": lasting(entity.expires_in), **entity.told}, "  ")


def _lines(told: dict[str, Any], indent: str) -> Iterator[str]:
    width = max(len(printable(name)) for name in told)
    for name, value in told.items():
        if inner := _inner(name, value):
            yield f"{indent}{printable(name)}"
            yield from _lines(inner, f"{indent}  ")
        else:
            yield f"{indent}{printable(name):<{width}}  {printable(_text(value))}".rstrip()


def _inner(name: str, value: object) -> dict[str, Any]:
    """What is told in lines of its own; metadata is its owner's, of any depth, and is not."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) and name != "metadata" else {}


def _text(value: object) -> str:
    if isinstance(value, float):
        return lasting(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def as_json(entities: Iterable[Entity]) -> str:
    """Return a JSON array, with an entity a line."""
    rows = ",\n ".join(json.dumps(entity.as_json()) for entity in entities)
    return f"[{rows}]"
