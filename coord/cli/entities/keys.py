"""Whose key it is: kind and name, as they were before they became a part of the key."""

from __future__ import annotations

import re
from typing import NamedTuple

from coord.names import percent_decode, percent_encode

__all__ = ["Named", "named"]

_SHAPE = re.compile(r"(?P<kind>[^:{}]+):\{(?P<tag>[^{}]*)\}(?::(?P<rest>.*))?", re.DOTALL)
_NOTE = re.compile(r"(^|:)(op|tombstone|batch):")


class Named(NamedTuple):
    """An entity by kind and name; ``id`` is that of a row of statistics, ``part`` tells keys of one name apart."""

    kind: str
    name: str
    key: str
    id: str | None = None
    part: str | None = None

    @property
    def title(self) -> str:
        """The name as it stands in a table."""
        return " ".join(each for each in (self.name, self.id, self.part) if each is not None)


def named(key: str, prefix: str) -> Named | None:
    """Return whose key it is; None when it is no entity's, but a note about a call, or a stranger's."""
    found = _SHAPE.fullmatch(key, len(prefix)) if key.startswith(prefix) else None
    if found is None or found["kind"] == "permitted" or _NOTE.search(found["rest"] or ""):
        return None
    kind, tag, rest = found["kind"], _name(found["tag"]), found["rest"]
    if tag is None:
        return None
    if kind == "stats":
        name = _name(rest or "")
        return None if name is None else Named(kind, name, key, id=tag)
    return Named(kind, tag, key, part=None if rest is None else percent_decode(rest))


def _name(part: str) -> str | None:
    """Return the name that became this part of a key; None when no name does."""
    name = percent_decode(part)
    try:
        return name if percent_encode(name) == part else None
    except ValueError:
        return None
