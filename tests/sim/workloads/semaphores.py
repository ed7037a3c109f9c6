"""Semaphores: never more weight than the limit, growing fences, nothing left behind."""

from __future__ import annotations

from dataclasses import dataclass

from coord.errors import LeaseLost, OutcomeUnknown, Unavailable
from coord.semaphore import AsyncPermit
from coord.testing.sim import Client, Sim, Step

__all__ = ["ghosts", "handovers", "permits"]


@dataclass
class _Entry:
    """A permit that was handed out: when it was asked for and given, and whether its holder has given it back."""

    permit: AsyncPermit
    asked: float
    given: float
    over: bool = False

    @property
    def weighs(self) -> int:
        """The weight that its holder counts on at present."""
        return 0 if self.over or self.permit.expires_in <= 0 else self.permit.weight


class _Permits:
    """Clients claim, hold, renew, lose and release permits of different weights."""

    limit = 3

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._entries: dict[int, _Entry] = {}

    def grant(self, permit: AsyncPermit, asked: float) -> _Entry:
        """Note a permit, and check it against all others."""
        sim = self._sim
        known = self._entries.get(permit.fence)
        if known is not None and known.permit.owner == permit.owner:
            # The same owner asked again.
            return known
        entry = self._entries[permit.fence] = _Entry(permit, asked, sim.now)
        for other in self._entries.values():
            if other.given < asked and not sim.topology.lost_writes:
                sim.check(permit.fence > other.permit.fence, f"the fence of {permit!r} is not above {other.permit!r}")
        weight = sum(each.weighs for each in self._entries.values())
        sim.check(weight <= self.limit or sim.leases_may_end_early, f"{weight} of {self.limit} are held")
        return entry

    async def work(self, client: Client) -> None:
        semaphore = client.c.semaphore("gpu", limit=self.limit)
        for step in client.steps(5):
            weight, ttl = step.random.choice((1, 1, 2, 3)), step.random.choice((1.0, 2.0, 4.0))
            if step.random.random() < 0.5:
                await self._claim(client, step, weight, ttl)
            else:
                await client.attempt(self._hold, client, step, weight, ttl)
            if step.random.random() < 0.3:
                await self._list(client)
            await client.sleep(step.random.uniform(0, 0.3))
        await client.attempt(semaphore.holders)

    async def _claim(self, client: Client, step: Step, weight: int, ttl: float) -> None:
        semaphore, asked = client.c.semaphore("gpu", limit=self.limit), self._sim.now
        owner = f"{client.name}-{step.number % 2}" if step.random.random() < 0.3 else None
        permit = (await client.attempt(semaphore.claim, ttl=ttl, weight=weight, owner=owner)).value
        if permit is None:
            return
        entry = self.grant(permit, asked)
        await client.sleep(step.random.uniform(0, 0.8 * ttl))
        renewed = await client.attempt(permit.renew)
        if renewed.value is False:
            self._sim.check(permit.lost.is_set(), f"{permit!r} could not be renewed, and its loss is not told")
        checked = await client.attempt(permit.ensure_held)
        if isinstance(checked.error, LeaseLost):
            self._sim.check(permit.lost.is_set(), f"{permit!r} is lost, and its loss is not told")
        await client.sleep(step.random.uniform(0, 0.8 * ttl))
        entry.over = True
        await client.attempt(permit.release)

    async def _hold(self, client: Client, step: Step, weight: int, ttl: float) -> None:
        semaphore, asked = client.c.semaphore("gpu", limit=self.limit), self._sim.now
        async with semaphore.hold(ttl=ttl, wait=step.random.choice((0.5, 5.0)), weight=weight) as permit:
            entry = self.grant(permit, asked)
            try:
                await client.sleep(step.random.uniform(0, 1.5 * ttl))
            finally:
                entry.over = True

    async def _list(self, client: Client) -> None:
        found = (await client.attempt(client.c.semaphore("gpu", limit=self.limit).holders)).value or []
        weight = sum(each.weight for each in found)
        self._sim.check(weight <= self.limit, f"{found} weigh {weight}")


async def permits(sim: Sim) -> None:
    """Clients claim, hold, renew, lose and release permits of different weights."""
    await sim.run(_Permits(sim).work, clients=3)


class _Ghosts:
    """Long permits that are cancelled, fail or are released: none is left, and no weight is counted twice."""

    limit = 4

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._unreleased = False

    async def work(self, client: Client) -> None:
        semaphore = client.c.semaphore("ghost", limit=self.limit)
        for step in client.steps(5):
            weight = step.random.choice((1, 2))
            if step.random.random() < 0.5:
                permit = (await client.attempt(semaphore.claim, ttl=900, weight=weight)).value
                if permit is not None:
                    await client.sleep(step.random.uniform(0, 0.2))
                    await client.surely(permit.release)
            else:
                left = await client.attempt(self._hold, client, step, weight)
                # The release on leaving the block failed, and said so: the TTL ends the permit.
                self._unreleased = self._unreleased or isinstance(left.error, (OutcomeUnknown, Unavailable))
        # A process that ends takes back no more.
        await client.sleep(60)

    async def _hold(self, client: Client, step: Step, weight: int) -> None:
        async with client.c.semaphore("ghost", limit=self.limit).hold(ttl=900, wait=3, weight=weight):
            await client.sleep(step.random.uniform(0, 0.2))

    async def see(self, client: Client) -> None:
        semaphore = client.c.semaphore("ghost", limit=self.limit)
        if self._sim.deaths or self._unreleased or self._sim.topology.lost_writes:
            return
        left = await semaphore.holders()
        self._sim.check(not left, f"held by {left}, and all have released it")
        whole = await semaphore.claim(weight=self.limit)
        self._sim.check(whole is not None, "no permit is held, and not all of the limit is free")


async def ghosts(sim: Sim) -> None:
    """Long permits that are cancelled, fail or are released: none is left, and no weight is counted twice."""
    them = _Ghosts(sim)
    # A permit is taken back for 30 s: no outage is to last longer.
    sim.calm_after(20.0)
    await sim.run(them.work, clients=3)
    await sim.look(them.see)


class _Handovers:
    """Waiters get their permits as soon as enough is free, while nothing is wrong with the network."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._inside = 0

    async def work(self, client: Client) -> None:
        for step in client.steps(3):
            weight = step.random.choice((1, 2))
            asked = self._sim.now
            async with client.c.semaphore("baton", limit=2).hold(ttl=30, wait=5, weight=weight):
                waited = self._sim.now - asked
                self._inside += weight
                self._sim.check(self._inside <= 2, f"{self._inside} of 2 are inside")
                self._sim.check(waited < 3.0, f"{client.name} was woken after {waited:.3f} s")
                await client.sleep(step.random.uniform(0.0, 0.05))
                self._inside -= weight


async def handovers(sim: Sim) -> None:
    """Waiters get their permits as soon as enough is free, while nothing is wrong with the network."""
    sim.plan.calm = True
    await sim.run(_Handovers(sim).work, clients=4)
