"""Which node of a cluster has which keys."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterable
from typing import Any

__all__ = ["Address", "SlotMap", "slot"]

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
    """The primaries of a cluster, by slot."""

    def __init__(self) -> None:
        self._owners: list[Address | None] = [None] * _SLOTS
        self.primaries: list[Address] = []

    def read(self, reply: Iterable[Any], answered_by: Address) -> None:
        """Take over what a node answers to CLUSTER SLOTS."""
        owners: list[Address | None] = [None] * _SLOTS
        primaries: dict[Address, None] = {}
        for first, last, primary, *_ in reply:
            # A node that does not know its own name is the one that we asked.
            address = (primary[0] if primary[0] not in (None, "", "?") else answered_by[0], primary[1])
            primaries[address] = None
            owners[first : last + 1] = [address] * (last - first + 1)
        self._owners, self.primaries = owners, list(primaries)

    def owner(self, key: str) -> Address | None:
        """The primary that has a key; None when none is known."""
        return self._owners[slot(key)]

    def moved(self, key: str, address: Address) -> None:
        """Take over what a node said of one slot."""
        self._owners[slot(key)] = address
