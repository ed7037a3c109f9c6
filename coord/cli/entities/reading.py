"""Find and read the entities under a prefix. No value and no TTL changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from coord.cli.entities.keys import EntityKey, parse_key
from coord.cli.entities.kind import Details, Kind
from coord.cli.entities.kinds import kind_of
from coord.cli.servers import find_primaries
from coord.connecting import connect
from coord.errors import ConfigError, CoordError, ReplyError
from coord.names import percent_encode

if TYPE_CHECKING:
    from coord.coordinator import Coordinator
    from coord.redis.primaries import Node

__all__ = ["Entity", "Inventory", "Listing", "Query"]


class Entity(NamedTuple):
    """An entity: its key, the seconds until it expires (None: never), its details, and their summary."""

    key: EntityKey
    expires_in: float | None
    details: Details
    summary: str

    def as_json(self) -> Details:
        """Return all of it in types of JSON."""
        key = {name: value for name, value in self.key._asdict().items() if value is not None}
        return {**key, "expires_in": self.expires_in, **self.details}


class Listing(NamedTuple):
    """Entities, sorted by kind and name; ``more``: there are more than the limit."""

    entities: list[Entity]
    more: bool


class Query(NamedTuple):
    """Which entities to list: of some kinds (none: all), whose name or id matches a pattern, up to a limit.

    ``exactly``: the pattern is a name without wildcards.
    """

    pattern: str = "*"
    kinds: frozenset[str] = frozenset()
    limit: int = 1000
    exactly: bool = False

    def matches(self, key: EntityKey) -> bool:
        """Whether to list the entity of this key."""
        names = [each for each in (key.name, key.id) if each is not None]
        if self.kinds and key.kind not in self.kinds:
            return False
        return self.pattern in names if self.exactly else any(fnmatchcase(name, self.pattern) for name in names)


class Inventory:
    """The entities under a prefix of a server, a Sentinel service or a cluster."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url, self._prefix = url, prefix
        self._c: Coordinator = connect(url, prefix=prefix, eviction="ignore")
        self.nodes: list[str] = []
        """The place that the last ``find`` read: a server, or the primaries of a cluster."""

    def close(self) -> None:
        """Close the connections."""
        self._c.close()

    def find(self, query: Query) -> Listing:
        """Return the entities that match a query."""
        entities: list[Entity] = []
        for entity in self._read(query):
            if len(entities) == query.limit:
                return Listing(sorted(entities, key=_order), more=True)
            entities.append(entity)
        return Listing(sorted(entities, key=_order), more=False)

    def _read(self, query: Query) -> Iterator[Entity]:
        from coord.redis.scanning import keys_under  # noqa: PLC0415  # the other commands run without redis-py

        within = percent_encode(query.pattern) if query.exactly else ""
        # A slot that moves during the scan is on two nodes.
        seen: set[str] = set()
        self.nodes.clear()
        for primary in find_primaries(self._url, self._prefix):
            with primary.look() as node:
                self.nodes.append(node.where)
                try:
                    for keys in keys_under(node, self._prefix, within):
                        found = [each for key in keys if key not in seen and (each := parse_key(key, self._prefix))]
                        seen.update(each.key for each in found)
                        yield from self._entities(node, [each for each in found if query.matches(each)])
                except ReplyError as error:
                    raise ConfigError(f"{node.where}: {error}; ls, show and watch also need +scan +type") from None

    def _entities(self, node: Node, found: Sequence[EntityKey]) -> Iterator[Entity]:
        types = _checked(node.ask_many([("TYPE", key.key) for key in found]))
        kinds = [kind_of(key, str(type)) for key, type in zip(found, types, strict=True)]
        fields = _fields(node, [key.key for key, kind in zip(found, kinds, strict=True) if kind.by_fields])
        asked = [
            kind.calls(self._c.calls, key, fields.get(key.key, ())) for kind, key in zip(kinds, found, strict=True)
        ]
        answers = iter(self._c.run_many([call for calls in asked for call in calls]))
        left = _checked(node.ask_many([("PTTL", key.key) for key in found]))
        for key, kind, calls, ms in zip(found, kinds, asked, left, strict=True):
            shown = _shown(kind, [next(answers) for _ in calls])
            if shown is not None and ms != _MISSING:
                yield Entity(key, None if ms < 0 else ms / 1000, *shown)


def _fields(node: Node, keys: Sequence[str]) -> dict[str, list[str]]:
    """Return the fields of hashes; of other types, whose own operation then says what is wrong, there are none."""
    replies = zip(keys, node.ask_many([("HKEYS", key) for key in keys]), strict=True)
    return {key: [str(each) for each in reply] for key, reply in replies if not isinstance(reply, ReplyError)}


_MISSING = -2
"""The reply of PTTL for a key that does not exist."""


def _checked(replies: Sequence[Any]) -> Sequence[Any]:
    """Return the replies; raise the first error, except for keys that have moved to another node."""
    for reply in replies:
        if isinstance(reply, ReplyError) and reply.code not in ("MOVED", "ASK"):
            raise reply
    return [_MISSING if isinstance(reply, ReplyError) else reply for reply in replies]


def _shown(kind: Kind, answers: list[Any]) -> tuple[Details, str] | None:
    """Return details and summary of the answers; None if the entity does not exist any more."""
    for answer in answers:
        if isinstance(answer, CoordError):
            return {"error": str(answer)}, str(answer)
    details = kind.details(kind.answer(answers))
    return None if details is None else (details, kind.summary(details))


def _order(entity: Entity) -> tuple[str, str]:
    return entity.key.kind, entity.key.title
