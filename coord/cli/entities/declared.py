"""Kinds that families declare: they are read with the family's own operation, and shown without further code."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from coord.cli.entities.kind import Details, Kind
from coord.errors import ConfigError, CoordError
from coord.script import Call

if TYPE_CHECKING:
    from coord.cli.entities.keys import EntityKey
    from coord.coordinator import CallMaker
    from coord.family import Family

__all__ = ["declared", "import_families"]

_GROUP = "coord.families"
_MOST_VALUES = 100


def import_families(modules: Iterable[str]) -> None:
    """Import modules that declare families, and those that installed packages name under ``coord.families``."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        for module in (*modules, *(point.module for point in entry_points(group=_GROUP))):
            try:
                import_module(module)
            except Exception as error:
                raise ConfigError(f"cannot import {module!r}: {type(error).__name__}: {error}") from error
    finally:
        del sys.path[0]


def declared(family: type[Family[Any]]) -> Kind:
    """Return how to read and show an entity of a family."""

    def call(calls: CallMaker, entity: EntityKey) -> Call[Any]:
        try:
            make: Any = family
            made: Any = getattr(make(calls, entity.name), family.reader)()
        except CoordError:
            raise
        except Exception as error:
            where = f"{family.__module__}.{family.__qualname__}(c, name).{family.reader}()"
            raise ConfigError(f"{where} raised {type(error).__name__}: {error}") from error
        if not _is_call(made):
            raise ConfigError(f"{family.__qualname__}.{family.reader} is not an operation: it returned {made!r}")
        return cast("Call[Any]", made)

    return Kind(call, _details, _summary)


def _is_call(value: Any) -> bool:
    return isinstance(value, Call)


def _details(value: Any) -> Details | None:
    if value is None:
        return None
    shown: Any = value
    if is_dataclass(value):
        shown = asdict(cast("Any", value))
    elif hasattr(value, "_asdict"):
        shown = value._asdict()
    elif isinstance(value, (list, tuple, set, frozenset)):
        values = list(cast("Iterable[Any]", value))
        shown = {"values": values[:_MOST_VALUES], "more": len(values) > _MOST_VALUES}
    elif not isinstance(value, Mapping):
        shown = {"value": value}
    return cast("Details", json.loads(json.dumps(shown, default=str)))


def _summary(details: Details) -> str:
    return ", ".join(f"{name} {_text(value)}" for name, value in details.items())


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
