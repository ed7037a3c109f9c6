"""Which node of a cluster has which keys."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Callable, Iterable
from typing import Any

from coord.errors import ConfigError, CoordError, ReplyError, Unavailable
from coord.redis.retry import could_not_connect

__all__ = ["Address", "SlotMap", "nobody_answers", "slot"]

Address = tuple[str, int]

_SLOTS = 16384


def slot(key: str) -> int:
    """Return the slot of a key: CRC16 of its hash tag, or of all of it where it has none.

    https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
    """
    start = key.find("{")
    if start >= 0:
        end = key.find("}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key.encode("utf-8", "surrogateescape"), 0) % _SLOTS


class SlotMap:
    """The primaries of a cluster, by slot. ``remap``: from where nodes say that one is to where it is reached."""

    def __init__(self, remap: Callable[[Address], Address] | None = None) -> None:
        self._remap = remap
        self._owners: list[Address | None] = [None] * _SLOTS
        self.primaries: list[Address] = []

    def read(self, reply: Any, answered_by: Address) -> CoordError | None:
        """Take over what a node answers to CLUSTER SLOTS; return what is wrong with the answer."""
        where = f"the server at {answered_by[0]}:{answered_by[1]}"
        if isinstance(reply, ReplyError):
            if "cluster support disabled" in str(reply):
                return ConfigError(f"{where} is no cluster: connect with redis://")
            return could_not_connect(reply, where)
        if not reply:
            return Unavailable(f"{where} knows of no node that has slots")
        owners: list[Address | None] = [None] * _SLOTS
        primaries: dict[Address, None] = {}
        for first, last, primary, *_ in reply:
            # A node that does not know its own name is the one that we asked.
            address = self._reached((primary[0] if primary[0] not in (None, "", "?") else answered_by[0], primary[1]))
            primaries[address] = None
            owners[first : last + 1] = [address] * (last - first + 1)
        self._owners, self.primaries = owners, list(primaries)
        return None

    def _reached(self, address: Address) -> Address:
        return address if self._remap is None else self._remap(address)

    def owner(self, key: str) -> Address | None:
        """The primary that has a key; None when none is known."""
        return self._owners[slot(key)]

    def first_at(self, address: Address, keys: Iterable[str]) -> str:
        """The first of some keys that a primary has."""
        return next(key for key in keys if self.owner(key) == address)

    def sent_to(self, key: str, address: Address, *, once: bool) -> Address:
        """Take over where a node sent a call to, unless that is for once; return where that is reached."""
        if not address[0]:
            # Nodes that do not know their names leave them out: another port of the same host.
            host, _ = self.owner(key) or address
            address = host, address[1]
        address = self._reached(address)
        if not once:
            self._owners[slot(key)] = address
        return address


def nobody_answers(seeds: Iterable[Address], troubles: Iterable[CoordError]) -> CoordError:
    """Why no node of a cluster told its topology: what is wrong with the URL, if that is why."""
    last: CoordError | None = None
    for last in troubles:
        if isinstance(last, ConfigError):
            return last
    named = ", ".join(f"{host}:{port}" for host, port in seeds)
    return Unavailable(f"no node of the cluster answers: {named} ({last})")
