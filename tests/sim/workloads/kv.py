"""Numbers, flags, sets and lists: each change once, or not at all."""

from __future__ import annotations

from collections import Counter

from coord.testing.sim import Client, Outcome, Sim

__all__ = ["collections", "counts", "lifetimes"]


class _Counts:
    """Every increment adds a bit of its own, so that the sum tells which of them ran, and whether one ran twice."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._bits = self._surely = self._maybe = 0
        self._flags: list[str] = []

    async def work(self, client: Client) -> None:
        for step in client.steps(8):
            await self._incr(client, 1 << self._bits)
            if (await client.attempt(client.c.kv.set_if_absent, "flag", ttl=3600)).value:
                self._flags.append(client.name)
                once = len(self._flags) == 1 or self._sim.topology.lost_writes
                self._sim.check(once, f"the flag was set by {self._flags}")
            await client.sleep(step.random.choice((0.0, 0.02, 0.4)))

    async def _incr(self, client: Client, bit: int) -> None:
        self._bits += 1
        got = await client.attempt(client.c.kv.incr, "n", bit, ttl=3600)
        if got.value is not None:
            self._surely |= bit
            self._sim.check(got.value & bit, f"the answer {got.value:b} lacks what was added, {bit:b}")
        elif not got.is_known:
            self._maybe |= bit

    async def see(self, client: Client) -> None:
        total = await client.c.kv.get_int("n") or 0
        if not self._sim.deaths and not self._sim.topology.lost_writes:
            extra = total & ~(self._surely | self._maybe)
            self._sim.check(total & self._surely == self._surely, f"lost: {self._surely & ~total:b}")
            self._sim.check(not extra, f"never added, or added twice: {extra:b}")


async def counts(sim: Sim) -> None:
    """Every increment adds a bit of its own, so that the sum tells which of them ran, and whether one ran twice."""
    them = _Counts(sim)
    await sim.run(them.work, clients=3, remember=sim.random.choice((60, 60, 0)))
    await sim.look(them.see)


class _Collections:
    """Members and items are added by one call each; none is lost or doubled whose outcome is known."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._pushed: set[str] = set()
        self._maybe_pushed: set[str] = set()
        self._members: set[str] = set()
        self._unsure: set[str] = set()

    async def work(self, client: Client) -> None:
        for step in client.steps(8):
            item = f"{client.name}-{step.number}"
            await self._push(client, item)
            added = await self._change(client, item, add=True)
            if added and step.random.random() < 0.4:
                await self._change(client, item, add=False)
            await client.sleep(step.random.choice((0.0, 0.02, 0.4)))

    async def _push(self, client: Client, item: str) -> None:
        self._maybe_pushed.add(item)
        got = await client.attempt(client.c.kv.rpush, "list", item, ttl=3600)
        if got.is_done:
            self._pushed.add(item)
        elif got.is_known:
            self._maybe_pushed.discard(item)

    async def _change(self, client: Client, item: str, *, add: bool) -> bool:
        """Add or remove a member; return whether that is known to be done."""
        if add:
            got = await client.attempt(client.c.kv.sadd, "set", item, ttl=3600)
        else:
            got = await client.attempt(client.c.kv.srem, "set", item)
        expected = got.value in (None, 1) or self._sim.topology.lost_writes
        self._sim.check(expected, f"{'sadd' if add else 'srem'} of {item} answered {got.value}")
        if not got.is_known:
            self._unsure.add(item)
        elif got.is_done:
            (self._members.add if add else self._members.discard)(item)
        return got.is_done

    async def see(self, client: Client) -> None:
        sim = self._sim
        items = Counter(await client.c.kv.lrange("list", 0, -1))
        size = await client.c.kv.scard("set")
        if sim.deaths or sim.topology.lost_writes:
            return
        sim.check(all(count == 1 for count in items.values()), f"pushed more than once: {items.most_common(2)}")
        sim.check(self._pushed <= set(items), f"pushed, and not there: {self._pushed - set(items)}")
        sim.check(set(items) <= self._maybe_pushed, f"there, and never pushed: {set(items) - self._maybe_pushed}")
        least, most = len(self._members - self._unsure), len(self._members | self._unsure)
        sim.check(least <= size <= most, f"{size} members: between {least} and {most} were expected")


async def collections(sim: Sim) -> None:
    """Members and items are added by one call each; none is lost or doubled whose outcome is known."""
    them = _Collections(sim)
    await sim.run(them.work, clients=3, remember=sim.random.choice((60, 60, 0)))
    await sim.look(them.see)


class _Lifetimes:
    """Every client sets, prolongs and deletes flags of its own, so that it knows what each call has to answer."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._there: dict[str, bool | None] = {}

    async def work(self, client: Client) -> None:
        kv = client.c.kv
        for step in client.steps(12):
            flag = f"{client.name}-{step.random.choice('ab')}"
            match step.random.choice(("set", "set", "expire", "delete")):
                case "set":
                    self._judge(flag, await client.attempt(kv.set_if_absent, flag, ttl=3600), True, effect_on=False)
                case "expire":
                    self._judge(flag, await client.attempt(kv.expire, flag, ttl=1800), None, effect_on=True)
                case _:
                    self._judge(flag, await client.attempt(kv.delete, flag), False, effect_on=True)
            await client.sleep(step.random.choice((0.0, 0.02, 0.4)))

    def _judge(self, flag: str, got: Outcome[bool] | Outcome[int], after: bool | None, *, effect_on: bool) -> None:
        """Compare an answer with what is known of the flag; ``after``: whether it is there then, None: as before."""
        there = self._there.get(flag, False)
        if not got.is_known:
            # It may take effect at any time from now on.
            self._there[flag] = None
        elif got.is_done and there is not None:
            right = bool(got.value) == (there == effect_on) or self._sim.topology.lost_writes
            self._sim.check(right, f"{flag!r} was {there}, and a call answered {got.value}")
            self._there[flag] = there if after is None else after


async def lifetimes(sim: Sim) -> None:
    """Every client sets, prolongs and deletes flags of its own, so that it knows what each call has to answer."""
    await sim.run(_Lifetimes(sim).work, clients=3, remember=sim.random.choice((60, 60, 0)))
