"""Numbers, flags, sets and lists: each change once, or not at all."""

from __future__ import annotations

from collections import Counter

from coord.testing.sim.world import Client, Sim

__all__ = ["collections", "counts"]


async def counts(sim: Sim) -> None:
    """Every increment adds a bit of its own, so that the sum tells which of them ran, and whether one ran twice."""
    surely = maybe = bits = 0
    flags: list[str] = []

    async def work(client: Client) -> None:
        nonlocal surely, maybe, bits
        for step in client.steps(8):
            bit = 1 << bits
            bits += 1
            got = await client.attempt(lambda bit=bit: client.c.kv.incr("n", bit, ttl=3600))  # type: ignore[misc]  # bound per step
            if got.value is not None:
                surely |= bit
                sim.check(got.value & bit, f"the answer {got.value:b} lacks what was added, {bit:b}")
            elif not got.is_known:
                maybe |= bit
            first = await client.attempt(lambda: client.c.kv.set_if_absent("flag", ttl=3600))
            if first.value:
                flags.append(client.name)
                sim.check(len(flags) == 1, f"the flag was set by {flags}")
            await client.sleep(step.random.choice((0.0, 0.02, 0.4)))

    async def see(client: Client) -> None:
        total = await client.c.kv.get_int("n")
        if not sim.deaths:
            sim.check(total & surely == surely, f"lost: {surely & ~total:b}")
            sim.check(not total & ~(surely | maybe), f"never added, or added twice: {total & ~(surely | maybe):b}")

    await sim.run(work, clients=3)
    await sim.look(see)


async def collections(sim: Sim) -> None:
    """Members and items are added by one call each; none is lost or doubled whose outcome is known."""
    pushed: set[str] = set()
    maybe_pushed: set[str] = set()
    members: set[str] = set()
    unsure: set[str] = set()

    async def work(client: Client) -> None:
        for step in client.steps(8):
            item = f"{client.name}-{step.number}"
            maybe_pushed.add(item)
            got = await client.attempt(lambda item=item: client.c.kv.rpush("list", item, ttl=3600))  # type: ignore[misc]  # bound per step
            if got.is_done:
                pushed.add(item)
            elif got.is_known:
                maybe_pushed.discard(item)
            added = await client.attempt(lambda item=item: client.c.kv.sadd("set", item, ttl=3600))  # type: ignore[misc]  # bound per step
            sim.check(added.value in (None, 1), f"sadd of a new member answered {added.value}")
            if added.is_done:
                members.add(item)
            elif not added.is_known:
                unsure.add(item)
            if step.random.random() < 0.4 and added.is_done:
                removed = await client.attempt(lambda item=item: client.c.kv.srem("set", item))  # type: ignore[misc]  # bound per step
                sim.check(removed.value in (None, 1), f"srem of a member answered {removed.value}")
                if removed.is_done:
                    members.discard(item)
                elif not removed.is_known:
                    unsure.add(item)
            await client.sleep(step.random.choice((0.0, 0.02, 0.4)))

    async def see(client: Client) -> None:
        if sim.deaths:
            return
        items = Counter(await client.c.kv.lrange("list", 0, -1))
        sim.check(all(count == 1 for count in items.values()), f"pushed more than once: {items.most_common(2)}")
        sim.check(pushed <= set(items), f"pushed, and not there: {pushed - set(items)}")
        sim.check(set(items) <= maybe_pushed, f"there, and never pushed: {set(items) - maybe_pushed}")
        size = await client.c.kv.scard("set")
        least, most = len(members - unsure), len(members | unsure)
        sim.check(least <= size <= most, f"{size} members: between {least} and {most} were expected")

    await sim.run(work, clients=3)
    await sim.look(see)
