"""Groups: the dead are never listed, incarnations grow, watchers see the last state."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict

from coord.group import Member
from coord.testing.sim import Client, Sim, Step

__all__ = ["memberships", "presence", "takeovers"]


class _Memberships:
    """Clients join under names of their own and a shared one, stay for a while, and leave; one watches."""

    ttl = 3.0

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._ended = 0
        self._incarnations: dict[str, list[tuple[float, int]]] = defaultdict(list)

    async def work(self, client: Client) -> None:
        if client.name == "client-1":
            await self._watch(client)
            return
        for step in client.steps(3):
            await client.attempt(self._stay, client, step)
            await client.sleep(step.random.uniform(0, 1.0))
        self._ended += 1

    async def _stay(self, client: Client, step: Step) -> None:
        sim, asked = self._sim, self._sim.now
        group = client.c.group("workers", ttl=self.ttl)
        name = step.random.choice(("shared", client.name))
        async with group.join(name, metadata={"of": client.name}) as me:
            for given, incarnation in self._incarnations[name]:
                newer = me.incarnation > incarnation or given >= asked or sim.topology.lost_writes
                # A group that nobody is in leaves nothing: only the clock tells a later life from an earlier one.
                sim.check(newer or sim.backward_steps, f"the incarnation of {me!r} is not above {incarnation}")
            self._incarnations[name].append((sim.now, me.incarnation))
            await client.sleep(step.random.uniform(0, 3 * self.ttl))
            self._check(await group.members())

    def _check(self, found: list[Member]) -> None:
        names = [each.member for each in found]
        self._sim.check(names == sorted(set(names)), f"{names} are not sorted, or listed twice")
        for each in found:
            left = each.expires_in
            self._sim.check(0 <= left <= self.ttl or self._sim.backward_steps, f"{each} has {left} s left")

    async def _watch(self, client: Client) -> None:
        """Watch until the others have ended: the last state that is seen is that nobody is there."""
        seen: list[list[Member]] = []
        watching = asyncio.create_task(self._follow(client, seen))
        others = self._sim.clients[1:]
        while self._ended + sum(not each.alive for each in others) < len(others):
            await client.sleep(1)
        await client.sleep(60)
        self._sim.check(seen and not seen[-1], f"the last state that was seen is {seen[-1:]}")
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching

    async def _follow(self, client: Client, seen: list[list[Member]]) -> None:
        async for members in client.c.group("workers", ttl=self.ttl).changes():
            self._check(members)
            seen.append(members)

    async def see(self, client: Client) -> None:
        left = await client.c.group("workers", ttl=self.ttl).members()
        self._sim.check(not left, f"{left} are listed, and everybody has left or died")


async def memberships(sim: Sim) -> None:
    """Clients join, stay, leave, take over and die; one watches."""
    them = _Memberships(sim)
    sim.calm_after(30.0)
    await sim.run(them.work, clients=4)
    await sim.look(them.see)


class _Presence:
    """While nothing is wrong with the network, a member is always listed, and watchers see who comes and goes."""

    ttl = 2.0

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._seen: list[tuple[str, ...]] = []

    async def work(self, client: Client) -> None:
        group = client.c.group("crew", ttl=self.ttl)
        if client.name == "client-1":
            async for members in group.changes():
                self._seen.append(tuple(each.member for each in members))
                if len(self._seen) > 1 and not members:
                    break
            return
        for step in client.steps(1):
            async with group.join(client.name) as me:
                for _ in range(4):
                    await client.sleep(step.random.uniform(0.5, 2 * self.ttl))
                    found = {each.member: each.incarnation for each in await group.members()}
                    self._sim.check(found.get(client.name) == me.incarnation, f"{me!r} is not listed: {found}")
                    self._sim.check(not me.lost.is_set(), f"{me!r} is lost")
                left_at = self._sim.now
            self._sim.check(self._sim.now - left_at < 1.0, "leaving took long")


async def presence(sim: Sim) -> None:
    """While nothing is wrong with the network, a member is always listed, and watchers see who comes and goes."""
    sim.plan.calm = True
    await sim.run(_Presence(sim).work, clients=4)


class _Takeovers:
    """Clients join under one name, one after the other: each hears that the next has taken it over."""

    ttl = 2.0

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._newest = 0
        self._given = 0.0

    async def work(self, client: Client) -> None:
        group = client.c.group("chairs", ttl=self.ttl)
        for step in client.steps(1):
            await client.sleep(step.random.uniform(0, 3 * self.ttl))
            asked = self._sim.now
            async with group.join("chair") as me:
                newer = me.incarnation > self._newest
                # Replies to clients that join at the same time may come in another order.
                self._sim.check(newer or self._given >= asked, f"{me!r} is not above {self._newest}")
                if newer:
                    self._newest, self._given = me.incarnation, self._sim.now
                for _ in range(4):
                    await client.sleep(self.ttl)
                    told = me.incarnation == self._newest or self._sim.now - self._given < self.ttl or me.lost.is_set()
                    self._sim.check(told, f"{me!r} does not know of incarnation {self._newest}")


async def takeovers(sim: Sim) -> None:
    """While nothing is wrong with the network, a member knows within a TTL that its name was taken over."""
    sim.plan.calm = True
    await sim.run(_Takeovers(sim).work, clients=4)
