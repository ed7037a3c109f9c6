"""Keys of entities: their kind and name, as they were given to coord."""

from __future__ import annotations

import re
from typing import NamedTuple

from coord.names import percent_decode, percent_encode

__all__ = ["EntityKey", "parse_key"]

_SHAPE = re.compile(r"(?P<kind>[^:{}]+):\{(?P<tag>[^{}]*)\}(?::(?P<rest>.*))?", re.DOTALL)
_CALL_RECORD = re.compile(r"(^|:)(op|tombstone|answered|batch|ended|last|place|reservation|held|taken)(:|$)")


class EntityKey(NamedTuple):
    """The kind and name of an entity; ``id`` of statistics, ``part`` for several keys of one name."""

    kind: str
    name: str
    key: str
    id: str | None = None
    part: str | None = None

    @property
    def title(self) -> str:
        """The name shown in a table."""
        return " ".join(each for each in (self.name, self.id, self.part) if each is not None)


def parse_key(key: str, prefix: str) -> EntityKey | None:
    """Return what a key belongs to; None for the record of a call (an operation id, a tombstone) and for other keys."""
    found = _SHAPE.fullmatch(key, len(prefix)) if key.startswith(prefix) else None
    if found is None or found["kind"] == "permitted" or _CALL_RECORD.search(found["rest"] or ""):
        return None
    kind, tag, rest = found["kind"], _name(found["tag"]), found["rest"]
    if tag is None:
        return None
    if kind == "stats":
        name = _name(rest or "")
        return None if name is None else EntityKey(kind, name, key, id=tag)
    return EntityKey(kind, tag, key, part=None if rest is None else percent_decode(rest))


def _name(part: str) -> str | None:
    """Return the name that is encoded in a part of a key; None if it is not the encoding of a name."""
    name = percent_decode(part)
    try:
        return name if percent_encode(name) == part else None
    except ValueError:
        return None
