"""Connections to the primaries behind a URL, for commands that report on servers and list keys.

They share no connection with a coordinator.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from coord.errors import CoordError
from coord.options import Options
from coord.redis.connection import open_connection
from coord.redis.dialing import LOST, Dialer, cluster_from_url, from_url
from coord.redis.handshake import scratch_keys
from coord.redis.refusals import refuse
from coord.redis.topology import Address, SlotMap, no_node_answers

__all__ = ["Node", "Primary", "primaries"]


@dataclass(frozen=True, slots=True)
class Primary:
    """A server that takes writes; ``scratch`` is a unique key in one of its slots."""

    dialer: Dialer
    scratch: str

    @contextlib.contextmanager
    def look(self) -> Generator[Node]:
        """Connect, and hang up at the end."""
        node = Node(self.dialer)
        try:
            yield node
        finally:
            node.close()


class Node:
    """One connection to one server, for plain commands; an error reply is a ``ReplyError``, and not raised."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer
        self._connection = open_connection(dialer)

    @property
    def where(self) -> str:
        """The address in words; behind Sentinel, that of the primary which was found."""
        return self._connection.where or self._dialer.where

    def ask(self, *words: Any) -> Any:
        """Send one command and return its reply."""
        return self.ask_many([words])[0]

    def ask_many(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send commands in one write and return their replies, in order; ``Unavailable`` when the connection breaks."""
        # Keys of others may be of any bytes.
        packed = [tuple(str(word).encode("utf-8", "surrogateescape") for word in words) for words in commands]
        try:
            return list(self._connection.ask_many(packed))
        except LOST as error:
            refuse(error, self.where)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def primaries(url: str, options: Options) -> list[Primary]:
    """Return the one primary of a server or of a Sentinel service, or all those of a cluster, found by any node."""
    if not url.partition("://")[0].endswith("+cluster"):
        return [Primary(from_url(url, options, asynchronous=False), next(scratch_keys(options.prefix)))]
    dialer, seeds = cluster_from_url(url, options, asynchronous=False)
    slots = _slots(dialer, seeds)
    return [
        Primary(dialer.elsewhere(*address), slots.first_at(address, scratch_keys(options.prefix)))
        for address in slots.primaries
    ]


def _slots(dialer: Dialer, seeds: Sequence[Address]) -> SlotMap:
    """Ask the nodes in turn which slots are where, until one answers."""
    slots, troubles = SlotMap(), list[CoordError]()
    for seed in seeds:
        try:
            with contextlib.closing(Node(dialer.elsewhere(*seed))) as node:
                trouble = slots.read(node.ask("CLUSTER", "SLOTS"), seed)
        except CoordError as error:
            trouble = error
        if trouble is None:
            return slots
        troubles.append(trouble)
    raise no_node_answers(seeds, troubles)
