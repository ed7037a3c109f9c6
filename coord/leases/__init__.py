"""Leases: something that one holder has for a while, renews, releases, waits for, and learns when it is lost.

A family describes what it leases as a ``Leasable``; claims, permits, reservations and memberships are leased by the
same code. ``acquiring`` asks and waits, ``held`` counts the time, ``keeping`` renews and releases.
"""

from coord.leases.acquiring import Answer, acquiring, answering, asking, claiming, or_compensate
from coord.leases.awaited import AsyncHolding, AsyncLease
from coord.leases.blocking import Holding, Lease
from coord.leases.held import Held
from coord.leases.keeping import compensation, exiting, keep_renewing, releasing, renewing
from coord.leases.leasable import Attempt, Grant, Granted, Grants, Leasable, LeaseRequest, loss
from coord.leases.lease import BaseLease, Entry, held_of

__all__ = [
    "Answer",
    "AsyncHolding",
    "AsyncLease",
    "Attempt",
    "BaseLease",
    "Entry",
    "Grant",
    "Granted",
    "Grants",
    "Held",
    "Holding",
    "Leasable",
    "Lease",
    "LeaseRequest",
    "acquiring",
    "answering",
    "asking",
    "claiming",
    "compensation",
    "exiting",
    "held_of",
    "keep_renewing",
    "loss",
    "or_compensate",
    "releasing",
    "renewing",
]
