"""Finding what lives under a prefix, and reading it. Nothing of it changes: no value, and no TTL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from coord.cli.entities.keys import Named, named
from coord.cli.entities.kinds import Kind, Told, kind_of
from coord.cli.place import found_primaries
from coord.config import connect
from coord.errors import ConfigError, CoordError, ReplyError
from coord.names import percent_encode

if TYPE_CHECKING:
    from coord.coordinator import Coordinator
    from coord.redis.primaries import Node

__all__ = ["Entity", "Listing", "Place", "Wanted"]


class Entity(NamedTuple):
    """Something that lives: whose it is, the seconds that it has left (None: no end), and what is told of it."""

    named: Named
    expires_in: float | None
    told: Told
    line: str

    def as_json(self) -> Told:
        """Return all of it in words that JSON has."""
        head = {name: value for name, value in self.named._asdict().items() if value is not None}
        return {**head, "expires_in": self.expires_in, **self.told}


class Listing(NamedTuple):
    """Entities in the order of their kinds and names; ``more``: there were more than one asked for."""

    entities: list[Entity]
    more: bool


class Wanted(NamedTuple):
    """Which entities are meant: those of some kinds (none: all), whose name or id a pattern matches, so many at most.

    ``exactly``: the pattern is a name, and nothing in it stands for anything else.
    """

    pattern: str = "*"
    kinds: frozenset[str] = frozenset()
    limit: int = 1000
    exactly: bool = False

    def has(self, entity: Named) -> bool:
        """Whether an entity is meant."""
        names = [each for each in (entity.name, entity.id) if each is not None]
        if self.kinds and entity.kind not in self.kinds:
            return False
        return self.pattern in names if self.exactly else any(fnmatchcase(name, self.pattern) for name in names)


class Place:
    """A server, a Sentinel service or a cluster, and a prefix on it."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url, self._prefix = url, prefix
        self._c: Coordinator = connect(url, prefix=prefix, eviction="ignore")

    def __repr__(self) -> str:
        return repr(self._c._runner)

    def close(self) -> None:
        """Close the connections."""
        self._c.close()

    def living(self, wanted: Wanted) -> Listing:
        """Return what lives there and is meant."""
        entities: list[Entity] = []
        for entity in self._read(wanted):
            if len(entities) == wanted.limit:
                return Listing(sorted(entities, key=_order), more=True)
            entities.append(entity)
        return Listing(sorted(entities, key=_order), more=False)

    def _read(self, wanted: Wanted) -> Iterator[Entity]:
        from coord.redis.scanning import keys_under  # noqa: PLC0415  # the other commands run without redis-py

        within = percent_encode(wanted.pattern) if wanted.exactly else ""
        # A slot that moves meanwhile is on two nodes.
        seen: set[str] = set()
        for primary in found_primaries(self._url, self._prefix):
            with primary.look() as node:
                try:
                    for keys in keys_under(node, self._prefix, within):
                        found = [entity for key in keys if key not in seen and (entity := named(key, self._prefix))]
                        seen.update(entity.key for entity in found)
                        yield from self._told(node, [entity for entity in found if wanted.has(entity)])
                except ReplyError as error:
                    raise ConfigError(
                        f"{node.where}: {error}; to look takes +scan +type besides what coord needs"
                    ) from None

    def _told(self, node: Node, found: Sequence[Named]) -> Iterator[Entity]:
        types = _plain(node.ask_many([("TYPE", entity.key) for entity in found]))
        kinds = [kind_of(entity, str(type)) for entity, type in zip(found, types, strict=True)]
        calls = [kind.ask(self._c.calls, entity) for kind, entity in zip(kinds, found, strict=True) if kind.ask]
        answers = iter(self._c.run_many(calls))
        left = _plain(node.ask_many([("PTTL", entity.key) for entity in found]))
        for entity, kind, ms in zip(found, kinds, left, strict=True):
            answer: Any = next(answers) if kind.ask else None
            told = _read(kind, answer)
            # -2: it has gone since.
            if told is not None and ms != _GONE:
                yield Entity(entity, None if ms < 0 else ms / 1000, *told)


_GONE = -2


def _plain(replies: Sequence[Any]) -> Sequence[Any]:
    """Return replies without an error among them; raise it when there is one, but for keys that have moved away."""
    for reply in replies:
        if isinstance(reply, ReplyError) and reply.code not in ("MOVED", "ASK"):
            raise reply
    return [_GONE if isinstance(reply, ReplyError) else reply for reply in replies]


def _read(kind: Kind, answer: Any) -> tuple[Told, str] | None:
    """What an answer tells, and that in one line; None when the entity is not there any more."""
    if isinstance(answer, CoordError):
        return {"error": str(answer)}, str(answer)
    told = kind.tell(answer)
    return None if told is None else (told, kind.line(told))


def _order(entity: Entity) -> tuple[str, str]:
    return entity.named.kind, entity.named.title
