"""Requests: each piece is done once, and every wait ends when nothing is pending."""

from __future__ import annotations

from collections import defaultdict

from coord.testing.sim.world import Client, Sim

__all__ = ["pieces"]


async def pieces(sim: Sim) -> None:
    """Every client adds pieces of its own and does the pieces of all; each is done for one caller."""
    done: dict[str, list[str]] = defaultdict(list)
    unsure: set[str] = set()
    added: list[str] = []
    maybe_added: set[str] = set()

    async def surely(client: Client, operation: object) -> object:
        while True:
            got = await client.attempt(operation)  # type: ignore[arg-type]  # one of the closures below
            if got.is_done:
                return got.value
            await client.sleep(0.1)

    async def work(client: Client) -> None:
        request = client.c.request("r")
        await surely(client, lambda: request.register(ttl=3600))
        own: list[str] = []
        for step in client.steps(4):
            root = f"{client.name}-{step.number}"
            maybe_added.add(root)
            was_added = await surely(client, lambda root=root: request.add("embed", root))  # type: ignore[misc]  # bound per step
            sim.check(was_added, "the request was registered, and takes no piece")
            added.append(root)
            own.append(root)
            await client.sleep(step.random.choice((0.0, 0.05)))
        for root in sorted(own + added, key=lambda root: client.sim.plan.random(f"{client.name}/{root}").random()):
            got = await client.attempt(lambda root=root: request.done("embed", root))  # type: ignore[misc]  # bound per step
            if not got.is_known:
                unsure.add(root)
            if got.value:
                done[root].append(client.name)
                sim.check(len(done[root]) == 1, f"{root} was done by {done[root]}")
        while not sim.deaths:
            waited = await client.attempt(lambda: request.wait(timeout=20))
            if waited.is_done:
                stages = waited.value or {}
                sim.check(all(stage.pending == 0 for stage in stages.values()), f"a wait ended: {stages}")
                break
            for root in own:
                # A piece whose doing failed is done again.
                got = await client.attempt(lambda root=root: request.done("embed", root))  # type: ignore[misc]  # bound per step
                if not got.is_known:
                    unsure.add(root)
                if got.value:
                    done[root].append(client.name)
                    sim.check(len(done[root]) == 1, f"{root} was done by {done[root]}")

    async def see(client: Client) -> None:
        status = await client.c.request("r").status()
        embed = status.get("embed")
        if embed is None:
            sim.check(not added, "pieces were added, and the request has none")
            return
        told = sum(map(len, done.values()))
        sim.check(
            told <= embed.processed <= told + len(unsure) or sim.deaths, f"{embed.processed} processed, {told} told so"
        )
        sim.check(sim.deaths or embed.pending == 0, f"{embed.pending} pending, and everybody has ended")
        sim.check(embed.processed + embed.pending <= len(maybe_added), f"{embed} of {len(maybe_added)} pieces")

    await sim.run(work, clients=3)
    await sim.look(see)
