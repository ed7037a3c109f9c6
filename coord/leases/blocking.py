"""Leases of blocking coordinators."""

from __future__ import annotations

import os
import threading
import weakref
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from coord.errors import CoordError
from coord.leases.acquiring import acquiring
from coord.leases.held import Held
from coord.leases.keeping import compensation, keep_renewing
from coord.leases.leasable import Attempt, Grants, LeaseRequest
from coord.leases.lease import BaseLease, Entry, held_of
from coord.plan import Compensate, Plan

__all__ = ["Holding", "Lease"]

T = TypeVar("T")


class _Lost(threading.Event):
    """The loss of a lease, for threads. It looks at the clock itself: the plan that watches may be late, or gone."""

    def __init__(self, held: Held) -> None:
        super().__init__()
        self._held = held

    def is_set(self) -> bool:
        """Return whether the lease is lost."""
        return self._held.is_lost or super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the lease is lost."""
        return self.is_set() or super().wait(timeout)


class Lease(BaseLease):
    """A lease that was granted; leaving its ``with`` block releases it.

    ``fence`` is above every fence granted before for this name: have the datastore reject any smaller one.
    """

    @property
    def lost(self) -> threading.Event:
        """Set as soon as the loss is known: another has the name, or the time is over by the holder's own clock."""
        return cast("threading.Event", self._held.watch_loss(_Lost))

    def follow(self, plan: Plan[T]) -> T:
        """Follow a plan with the coordinator that granted the lease."""
        return cast("T", self._held.ops.follow(plan))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the lease. Raises ``LeaseLost`` if it was lost, unless the block raised another exception."""
        # The ``try`` comes first: any exception may come between two lines, Ctrl-C or a job library's time limit.
        try:
            if self._held.made_in != os.getpid():
                # A child of a fork leaves its parent's lease alone.
                return
            self.follow(self._leaving(error))
        except CoordError:
            raise
        except BaseException:
            held = self._held
            held.stop_renewing()
            self.follow(_only(compensation(held.what, held.nonce, held.ttl_ms)))
            raise


L = TypeVar("L", bound=Lease)


class Holding(Generic[L]):
    """Something that is held while a block runs; one block at a time may enter it."""

    def __init__(self, ops: Grants, request: LeaseRequest[Any], lease: type[L], *, renew: bool) -> None:
        self._ops = ops
        self._request = request
        self._lease_type = lease
        self._renew = renew
        self._entry = Entry(request.what.name)

    def __enter__(self) -> L:
        self._entry.take()
        try:
            return self._hold()
        except BaseException:
            self._entry.give_back()
            raise

    def _hold(self) -> L:
        attempt = Attempt()
        try:
            lease: L = self._ops.follow(self._acquiring(attempt))
            self._lease = lease
            if self._renew:
                keep_renewing(held_of(lease), weakref.ref(self))
            return lease
        except CoordError:
            raise
        except BaseException:
            # Interrupted between the grant and the block, or no thread could be started.
            if attempt.asked:
                self._ops.follow(_only(compensation(self._request.what, attempt.nonce, self._request.ttl_ms)))
            raise

    def _acquiring(self, attempt: Attempt) -> Plan[L]:
        return acquiring(self._ops, self._lease_type, self._request, attempt)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._lease.__exit__(kind, error, trace)
        finally:
            self._entry.give_back()


def _only(step: Compensate) -> Plan[None]:
    yield step
