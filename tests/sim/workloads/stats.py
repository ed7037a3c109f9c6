"""Statistics: what was merged is consumed once, to the last piece."""

from __future__ import annotations

from collections import Counter

from coord.errors import OutcomeUnknown
from coord.testing.sim import Client, Sim

__all__ = ["pieces"]


class _Pieces:
    """Every merge adds 1 to a field of its own; in the end each field was taken, or is left, exactly once."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._merged: set[str] = set()
        self._maybe: set[str] = set()
        self._taken: Counter[str] = Counter()
        self._lost_takes = 0

    async def work(self, client: Client) -> None:
        for step in client.steps(8):
            match step.random.randrange(10):
                case 0 | 1 | 2:
                    await self._consume(client)
                case 3:
                    await self._peek(client)
                case _:
                    await self._merge(client, f"{client.name}-{step.number}")
            await client.sleep(step.random.choice((0.0, 0.02, 0.5)))

    async def _merge(self, client: Client, field: str) -> None:
        self._maybe.add(field)
        got = await client.attempt(client.c.stats("work").merge, "job", {field: 1, "all": 1})
        if got.is_done:
            self._merged.add(field)
        elif got.is_known:
            self._maybe.discard(field)

    async def _peek(self, client: Client) -> None:
        seen = (await client.attempt(client.c.stats("work").peek, "job")).value or {}
        total = seen.get("all", 0)
        self._sim.check(total == len(seen) - bool(seen), f"half a merge was seen: {seen}")

    async def _consume(self, client: Client) -> None:
        stats = client.c.stats("work")
        got = await client.attempt(stats.consume, "job")
        was_known = got.is_known
        for _ in range(5):
            # The batch is kept under the id that the error names.
            if not (isinstance(got.error, OutcomeUnknown) and got.error.op_id):
                break
            got = await client.attempt(stats.consume, "job", op_id=got.error.op_id)
        # A repetition that was refused says nothing about the batch that was taken before.
        self._lost_takes += not (was_known or got.is_done)
        self._taken.update(got.value or {})

    async def see(self, client: Client) -> None:
        self._taken.update(await client.c.stats("work").consume("job") or {})

    def judge(self) -> None:
        sim, taken = self._sim, self._taken
        if sim.topology.lost_writes:
            return
        total = taken.pop("all", 0)
        doubled = {field: count for field, count in taken.items() if count != 1}
        sim.check(not doubled, f"merged once, taken more often: {doubled}")
        sim.check(set(taken) <= self._maybe, f"taken, and never merged: {set(taken) - self._maybe}")
        sim.check(total == len(taken), f"{total} in all, and {len(taken)} pieces")
        excused = self._lost_takes or sim.deaths
        sim.check(excused or self._merged <= set(taken), f"merged, and never taken: {self._merged - set(taken)}")


async def pieces(sim: Sim) -> None:
    """Every merge adds 1 to a field of its own; in the end each field was taken, or is left, exactly once."""
    them = _Pieces(sim)
    await sim.run(them.work, clients=3, remember=sim.random.choice((60, 60, 0)))
    await sim.look(them.see)
    them.judge()
