"""The base of both lease classes: their attributes, and the plan that runs at the end of a block."""

from __future__ import annotations

import threading
import warnings
import weakref
from typing import Any

from coord.errors import CoordError
from coord.leases.held import Held
from coord.leases.keeping import ensuring, exiting, keep_renewing, releasing, renewing
from coord.names import Seconds
from coord.plan import Plan, planned

__all__ = ["BaseLease", "Entry", "held_of", "renew_until_collected"]


def _renewing(lease: BaseLease, ttl: Seconds | None = None) -> Plan[bool]:
    """Hold the lease for ``ttl`` seconds from now (None: as long as it was claimed for).

    False when it was released, or is lost: then ``lost`` is set.
    """
    return renewing(held_of(lease), ttl)


def _releasing(lease: BaseLease) -> Plan[bool]:
    """Release the lease and wake one waiter.

    False when it was released before, or was lost by now: then ``lost`` is set. May be repeated after an error.
    """
    return releasing(held_of(lease))


def _ensuring(lease: BaseLease) -> Plan[None]:
    """Ask the server; raise ``LeaseLost``, and set ``lost``, unless the lease is still held."""
    return ensuring(held_of(lease))


class BaseLease:
    """A lease that was granted, in the hands of its user."""

    _warns = False

    def __init__(self, held: Held) -> None:
        self._held = held

    def __del__(self) -> None:
        if self._warns and not self._held.is_over:
            text = f"{self._held.what.title} was dropped while it was renewed; it ends by its TTL"
            warnings.warn(text, ResourceWarning, stacklevel=2, source=self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._held!r}>"

    @property
    def name(self) -> str:
        """The name that is held."""
        return self._held.what.name

    @property
    def owner(self) -> str:
        """The owner of the lease; a new id for each lease where none was given."""
        return self._held.owner

    @property
    def fence(self) -> int:
        """Above every fence that was granted before for this name."""
        return self._held.fence

    @property
    def expires_in(self) -> float:
        """Seconds for which the holder may count on the lease; 0.0 when it was lost or released."""
        return self._held.expires_in

    renew = planned(_renewing)
    release = planned(_releasing)
    ensure_held = planned(_ensuring)

    def _leaving(self, error: BaseException | None) -> Plan[Any]:
        """Return the plan that runs at the end of the block; ``error`` is the exception of the block."""
        return exiting(self._held, error)


def held_of(lease: BaseLease) -> Held:
    """Return the internal state of a lease."""
    return lease._held


def renew_until_collected(lease: BaseLease) -> None:
    """Renew a lease in the background until it is over, or nothing refers to it any more."""
    lease._warns = True
    keep_renewing(lease._held, weakref.ref(lease))


class Entry:
    """Lets one block at a time in: leases of two blocks in one place would be released for one another."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._free = threading.Lock()

    def take(self) -> None:
        """Enter; ``CoordError`` while another block is inside."""
        if not self._free.acquire(blocking=False):
            raise CoordError(f"this hold of {self._name!r} is entered already: make a new one for each block")

    def give_back(self) -> None:
        """Let the next block in."""
        self._free.release()
