"""Requests: each piece is done once, and every wait ends when nothing is pending."""

from __future__ import annotations

from collections import defaultdict

from coord.testing.sim import Client, Sim

__all__ = ["pieces"]


class _Pieces:
    """Every client adds pieces of its own and does the pieces of all; each is done for one caller."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._done: dict[str, list[str]] = defaultdict(list)
        self._unsure: set[str] = set()
        self._added: list[str] = []
        self._requeued = self._maybe_requeued = 0

    async def register(self, client: Client) -> None:
        await client.c.request("r").register(ttl=3600)

    async def work(self, client: Client) -> None:
        own: list[str] = []
        for step in client.steps(4):
            root = f"{client.name}-{step.number}"
            own.append(root)
            added = await client.surely(client.c.request("r").add, "embed", root)
            self._sim.check(added or self._sim.topology.lost_writes, "the request is registered, and takes no piece")
            self._added.append(root)
            if step.random.random() < 0.3:
                again = await client.attempt(client.c.request("r").requeue, "embed")
                self._requeued += bool(again.value)
                self._maybe_requeued += not again.is_known
            await client.sleep(step.random.choice((0.0, 0.05)))
        for root in sorted(self._added, key=lambda root: self._sim.plan.random(f"{client.name}/{root}").random()):
            await self._do(client, root)
        await self._wait(client, own)

    async def _do(self, client: Client, root: str) -> None:
        got = await client.attempt(client.c.request("r").done, "embed", root)
        if not got.is_known:
            self._unsure.add(root)
        if got.value:
            self._done[root].append(client.name)
            once = len(self._done[root]) == 1 or self._sim.topology.lost_writes
            self._sim.check(once, f"{root} was done by {self._done[root]}")

    async def _wait(self, client: Client, own: list[str]) -> None:
        while not self._sim.deaths and not self._sim.topology.lost_writes:
            waited = await client.attempt(client.c.request("r").wait, timeout=20)
            if waited.is_done:
                stages = waited.value or {}
                self._sim.check(all(stage.pending == 0 for stage in stages.values()), f"a wait ended: {stages}")
                return
            for root in own:
                # A piece whose doing failed is done again.
                await self._do(client, root)

    async def see(self, client: Client) -> None:
        sim = self._sim
        embed = (await client.c.request("r").status()).get("embed")
        if sim.deaths or sim.topology.lost_writes:
            return
        if embed is None:
            sim.check(not self._added, "pieces were added, and the request has none")
            return
        told = sum(map(len, self._done.values()))
        sim.check(told <= embed.processed <= told + len(self._unsure), f"{embed.processed} processed, {told} told so")
        sim.check(embed.pending == 0, f"{embed.pending} pending, and everybody has ended")
        sim.check(embed.processed == len(self._added), f"{embed} of {len(self._added)} pieces")
        again = embed.requeue_count - self._requeued
        sim.check(0 <= again <= self._maybe_requeued, f"{embed.requeue_count} requeued, {self._requeued} told so")
        sim.check(await client.c.request("r").is_complete(), "nothing is pending, and the request is not complete")
        sim.check(await client.c.request("r").cleanup(), "the request was not there to be cleaned up")
        sim.check(not await client.c.request("r").cleanup(), "the request was cleaned up twice")


async def pieces(sim: Sim) -> None:
    """Every client adds pieces of its own and does the pieces of all; each is done for one caller."""
    them = _Pieces(sim)
    await sim.prepare(them.register)
    await sim.run(them.work, clients=3)
    await sim.look(them.see)
