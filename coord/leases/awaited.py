"""Leases of async coordinators."""

from __future__ import annotations

import asyncio
import weakref
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar, cast

from coord.leases.acquiring import acquiring
from coord.leases.held import Held
from coord.leases.keeping import keep_renewing
from coord.leases.leasable import Attempt, Grants, LeaseRequest
from coord.leases.lease import BaseLease, Entry, held_of
from coord.plan import Plan

__all__ = ["AsyncHolding", "AsyncLease"]

T = TypeVar("T")


class _Lost(asyncio.Event):
    """The loss of a lease, for tasks. It looks at the clock itself: in a loop that was blocked, no plan watched."""

    def __init__(self, held: Held) -> None:
        super().__init__()
        self._held = held

    def is_set(self) -> bool:
        """Return whether the lease is lost."""
        return self._held.is_lost or super().is_set()

    async def wait(self) -> Literal[True]:
        """Wait until the lease is lost."""
        return self.is_set() or await super().wait()


class AsyncLease(BaseLease):
    """A lease that was granted; leaving its ``async with`` block releases it.

    ``fence`` is above every fence granted before for this name: have the datastore reject any smaller one.
    """

    @property
    def lost(self) -> asyncio.Event:
        """Set as soon as the loss is known: another has the name, or the time is over by the holder's own clock."""
        return cast("asyncio.Event", self._held.watch_loss(_Lost))

    async def follow(self, plan: Plan[T]) -> T:
        """Follow a plan with the coordinator that granted the lease."""
        return cast("T", await self._held.ops.follow(plan))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the lease. Raises ``LeaseLost`` if it was lost, unless the block raised another exception."""
        await self.follow(self._leaving(error))


L = TypeVar("L", bound=AsyncLease)


class AsyncHolding(Generic[L]):
    """Something that is held while a block runs; one block at a time may enter it."""

    def __init__(self, ops: Grants, request: LeaseRequest[Any], lease: type[L], *, renew: bool) -> None:
        self._ops = ops
        self._request = request
        self._lease_type = lease
        self._renew = renew
        self._entry = Entry(request.what.name)

    async def __aenter__(self) -> L:
        self._entry.take()
        try:
            return await self._hold()
        except BaseException:
            self._entry.give_back()
            raise

    async def _hold(self) -> L:
        lease: L = await self._ops.follow(self._acquiring(Attempt()))
        self._lease = lease
        if self._renew:
            keep_renewing(held_of(lease), weakref.ref(self))
        return lease

    def _acquiring(self, attempt: Attempt) -> Plan[L]:
        return acquiring(self._ops, self._lease_type, self._request, attempt)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._lease.__aexit__(kind, error, trace)
        finally:
            self._entry.give_back()
