"""Leaders: never two at work, the work ends before another may begin, and watchers see the last."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from coord.changes import AsyncChangesIterator
from coord.claims import Holder
from coord.leases import AsyncLease
from coord.testing.sim import Client, Sim, Step

__all__ = ["terms", "watchers"]

_TTL = 2.0


@dataclass(eq=False)
class _Term:
    """A leader at work."""

    client: Client
    lease: AsyncLease
    began: float
    is_cancelled_on_loss: bool


class _Terms:
    """Clients campaign, lead, lose, fail, are cancelled and resign."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._at_work: list[_Term] = []
        self._ended: list[tuple[float, int]] = []

    async def work(self, client: Client) -> None:
        for step in client.steps(4):
            asked = self._sim.now
            await client.attempt(self._lead, client, step, asked)
            await client.sleep(step.random.uniform(0, 0.3))

    async def _lead(self, client: Client, step: Step, asked: float) -> None:
        seconds = step.random.choice((0.0, 0.5, 3.0))
        if step.random.random() < 0.3:
            async with client.c.leader("beat", ttl=_TTL).hold(wait=20) as lease:
                await self._led(_Term(client, lease, self._sim.now, is_cancelled_on_loss=False), seconds)
            return

        async def lead(lease: AsyncLease) -> None:
            await self._led(_Term(client, lease, self._sim.now, is_cancelled_on_loss=True), seconds)

        await client.c.leader("beat", ttl=_TTL).run(lead)

    async def _led(self, term: _Term, seconds: float) -> None:
        sim, client, lease = self._sim, term.client, term.lease
        for other in self._at_work:
            # A process that died, or stands still, cannot stop; a block of hold is not cancelled.
            gone = not other.client.alive or other.client.has_paused_since(other.began)
            lost = other.lease.expires_in == 0.0 and not other.is_cancelled_on_loss
            sim.check(gone or lost or sim.leases_may_end_early, f"{client.name} leads beside {other.client.name}")
        for ended, fence in self._ended:
            grown = lease.fence > fence or ended >= term.began or sim.topology.lost_writes
            sim.check(grown, f"the fence of {lease!r} is not above {fence}")
        self._at_work.append(term)
        try:
            await client.sleep(seconds)
        finally:
            self._at_work.remove(term)
            self._ended.append((sim.now, lease.fence))

    async def see(self, client: Client) -> None:
        left = await client.c.leader("beat").current()
        self._sim.check(left is None, f"{left} leads, and all have resigned or died")


async def terms(sim: Sim) -> None:
    """Clients campaign, lead, lose, fail, are cancelled and resign."""
    them = _Terms(sim)
    await sim.run(them.work, clients=3)
    await sim.look(them.see)


class _Watchers:
    """A watcher sees no leader twice in a row, fences that grow, and the last state."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._number = 0
        self._seen: Holder | Literal[0] | None = 0

    async def work(self, client: Client) -> None:
        self._number += 1
        if self._number == 1:
            await self._watch(client)
            return
        for step in client.steps(3):
            await client.attempt(self._lead, client, step)
            await client.sleep(step.random.uniform(0, 0.5))

    async def _lead(self, client: Client, step: Step) -> None:
        async with client.c.leader("beat", ttl=_TTL).hold(wait=10):
            await client.sleep(step.random.uniform(0, 0.5))

    async def _watch(self, client: Client) -> None:
        changes = client.c.leader("beat").changes()
        following = asyncio.ensure_future(self._follow(changes))
        # The others have ended then, and so have the leases of the dead.
        await client.sleep(90)
        self._sim.check(self._seen is None, f"the last that a watcher saw is {self._seen}, and nobody leads")
        await changes.aclose()
        await following

    async def _follow(self, changes: AsyncChangesIterator[Holder | None]) -> None:
        sim, newest = self._sim, 0
        async for holder in changes:
            sim.check(self._seen == 0 or holder != self._seen, "a state was given twice in a row")
            self._seen = holder
            if holder is not None:
                grown = holder.fence > newest or sim.topology.lost_writes
                sim.check(grown, f"the fence {holder.fence} was seen after {newest}")
                newest = max(newest, holder.fence)


async def watchers(sim: Sim) -> None:
    """A watcher sees no leader twice in a row, fences that grow, and the last state."""
    them = _Watchers(sim)
    sim.calm_after(60.0)
    await sim.run(them.work, clients=3)
