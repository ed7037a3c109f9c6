"""Which node of a cluster has which keys."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Callable, Iterable
from typing import Any

from coord.errors import ConfigError, CoordError, ReplyError, Unavailable
from coord.redis.refusals import could_not_connect

__all__ = ["Address", "SlotMap", "no_node_answers", "slot"]

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
    """The primaries of a cluster, by slot. ``remap`` turns the address that nodes announce into a reachable one."""

    def __init__(self, remap: Callable[[Address], Address] | None = None) -> None:
        self._remap = remap
        self._owners: list[Address | None] = [None] * _SLOTS
        self.primaries: list[Address] = []

    def read(self, reply: Any, answered_by: Address) -> CoordError | None:
        """Read the answer of a node to CLUSTER SLOTS; return the error if it cannot be used."""
        where = f"the server at {answered_by[0]}:{answered_by[1]}"
        if isinstance(reply, ReplyError):
            if "cluster support disabled" in str(reply):
                return ConfigError(f"{where} is not part of a cluster: connect with redis://")
            return could_not_connect(reply, where)
        owners: list[Address | None] = [None] * _SLOTS
        try:
            for first, last, (host, port, *_), *_ in reply:
                if not (0 <= first <= last < _SLOTS and 0 < port < 65_536):
                    raise ValueError  # noqa: TRY301  # reported below, as every other shape
                # A node that does not know its own address leaves it out: use the address that was asked.
                address = self._reached((str(host) if host not in (None, "", "?") else answered_by[0], port))
                owners[first : last + 1] = [address] * (last - first + 1)
        except (TypeError, ValueError):
            return Unavailable(f"{where} sent an unreadable reply to CLUSTER SLOTS")
        if not any(owners):
            return Unavailable(f"{where} reports no node that has slots")
        # Ranges may overlap while slots move.
        self._owners, self.primaries = owners, [each for each in dict.fromkeys(owners) if each]
        return None

    def _reached(self, address: Address) -> Address:
        return address if self._remap is None else self._remap(address)

    def owner(self, key: str) -> Address | None:
        """Return the primary that has a key; None when none is known."""
        return self._owners[slot(key)]

    def first_at(self, address: Address, keys: Iterable[str]) -> str:
        """Return the first of some keys that a primary has."""
        return next(key for key in keys if self.owner(key) == address)

    def redirect(self, key: str, address: Address, *, once: bool) -> Address:
        """Note where a node redirected a call to, unless ``once``; return the reachable address."""
        if not address[0]:
            # A node without an announced address leaves the host out: another port of the same host.
            host, _ = self.owner(key) or address
            address = host, address[1]
        address = self._reached(address)
        if not once:
            self._owners[slot(key)] = address
        return address


def no_node_answers(seeds: Iterable[Address], troubles: Iterable[CoordError]) -> CoordError:
    """Return the error when no node of a cluster gave its topology: a ``ConfigError`` if one of them was."""
    last: CoordError | None = None
    for last in troubles:
        if isinstance(last, ConfigError):
            return last
    named = ", ".join(f"{host}:{port}" for host, port in seeds)
    return Unavailable(f"no node of the cluster answers: {named} ({last})")
