"""Quotas: spent is what was settled, to the unit, and never more is admitted than there is."""

from __future__ import annotations

from coord import AsyncReservation, Limit
from coord.errors import QuotaExceeded
from coord.testing.sim import Client, Sim, Step

__all__ = ["budgets", "settlements"]

_LONG = 290_000_000
"""A window that does not turn in a simulation, also when a clock goes back: the start is far from its bounds."""


class _Settlements:
    """Every reservation is settled for a bit of its own, so the sum says which of them were booked, and how often."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._next = 1
        self._sure = self._maybe = 0
        self._limit = Limit(10**15, per=_LONG)

    async def work(self, client: Client) -> None:
        quota = client.c.quota("team", self._limit)
        for step in client.steps(5):
            bit, self._next = self._next, self._next * 2
            self._maybe |= bit
            if step.random.random() < 0.3:
                got = await client.attempt(quota.spend, bit)
                self._note(bit, done=got.value is True, never=got.is_known and got.value is not True)
                continue
            reservation = (await client.attempt(quota.reserve, 1, ttl=step.random.choice((1.0, 5.0)))).value
            if reservation is None:
                self._note(bit, done=False, never=True)
                continue
            await client.sleep(step.random.uniform(0, 2.0))
            if step.random.random() < 0.3:
                await client.attempt(reservation.renew)
                await client.attempt(reservation.ensure_held)
            if step.random.random() < 0.2:
                await client.attempt(reservation.cancel)
            got = await client.attempt(reservation.settle, bit)
            self._note(bit, done=got.value is True, never=False)

    def _note(self, bit: int, *, done: bool, never: bool) -> None:
        if done:
            self._sure |= bit
        elif never:
            self._maybe &= ~bit

    async def see(self, client: Client) -> None:
        (status,) = await client.c.quota("team", self._limit).status()
        spent, excused = status.spent, self._sim.topology.lost_writes
        self._sim.check(status.held == 0 or excused, f"{status.held} is held and nobody is there")
        self._sim.check(spent & ~self._maybe == 0 or excused, f"booked and never settled: {spent & ~self._maybe:b}")
        self._sim.check(self._sure & ~spent == 0 or excused, f"settled and not booked: {self._sure & ~spent:b}")


async def settlements(sim: Sim) -> None:
    """Every reservation is settled for a bit of its own, so the sum says which of them were booked, and how often."""
    them = _Settlements(sim)
    await sim.run(them.work, clients=3)
    await sim.look(them.see)


class _Budgets:
    """What is spent and held never passes the limit, and what nobody settles returns."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._limit = Limit(7, per=_LONG)
        self._late = 0
        """Units whose reservation may have ended before they were settled."""

    async def work(self, client: Client) -> None:
        for step in client.steps(5):
            await self._hold(client, step)
            status = (await client.attempt(client.c.quota("team", self._limit).status)).value
            if status:
                late = status[0].spent if self._sim.leases_may_end_early else self._late
                full = status[0].spent + status[0].held - late
                self._sim.check(full <= 7 or self._sim.topology.lost_writes, f"{full} of 7 are admitted")
            await client.sleep(step.random.uniform(0, 0.5))

    async def _hold(self, client: Client, step: Step) -> None:
        async def block() -> None:
            try:
                async with client.c.quota("team", self._limit).hold(3, ttl=2.0) as reservation:
                    await client.sleep(step.random.uniform(0, 3.0))
                    await self._settle(reservation, step.random.choice((0, 1)))
            except QuotaExceeded as error:
                self._sim.check(error.limit == self._limit, f"{error.limit} refuses")

        await client.attempt(block)

    async def _settle(self, reservation: AsyncReservation, amount: int) -> None:
        """Settle; what ended before that may have been reserved anew, and is booked all the same."""
        self._late += amount
        sent, left = self._sim.loop.time(), reservation.expires_in
        await reservation.settle(amount)
        if self._sim.loop.time() - sent < left:
            self._late -= amount

    async def see(self, client: Client) -> None:
        (status,) = await client.c.quota("team", self._limit).status()
        self._sim.check(status.held == 0 or self._sim.topology.lost_writes, f"{status.held} is held")


async def budgets(sim: Sim) -> None:
    """What is spent and held never passes the limit, and what nobody settles returns."""
    them = _Budgets(sim)
    await sim.run(them.work, clients=3)
    await sim.look(them.see)
