"""Statistics: what was merged is consumed once, to the last piece."""

from __future__ import annotations

from collections import Counter

from coord.errors import OutcomeUnknown
from coord.testing.sim.world import Client, Sim

__all__ = ["pieces"]


async def pieces(sim: Sim) -> None:
    """Every merge adds 1 to a field of its own; in the end each field was taken, or is left, exactly once."""
    merged: set[str] = set()
    maybe: set[str] = set()
    taken: Counter[str] = Counter()
    unknown_takes: list[str] = []

    async def consume(client: Client) -> None:
        got = await client.attempt(lambda: client.c.stats("work").consume("job"))
        for _ in range(5):
            if not (isinstance(got.error, OutcomeUnknown) and got.error.op_id):
                break
            op_id = got.error.op_id
            got = await client.attempt(lambda op_id=op_id: client.c.stats("work").consume("job", op_id=op_id))  # type: ignore[misc]  # bound per step
        if not got.is_known:
            unknown_takes.append(client.name)
        taken.update(got.value or {})

    async def work(client: Client) -> None:
        for step in client.steps(8):
            if step.random.random() < 0.7:
                field = f"{client.name}-{step.number}"
                maybe.add(field)
                got = await client.attempt(
                    lambda field=field: client.c.stats("work").merge("job", {field: 1, "all": 1})
                )  # type: ignore[misc]  # bound per step
                if got.is_done:
                    merged.add(field)
                elif got.is_known:
                    maybe.discard(field)
            else:
                await consume(client)
            await client.sleep(step.random.choice((0.0, 0.02, 0.5)))

    async def see(client: Client) -> None:
        taken.update(await client.c.stats("work").consume("job") or {})

    await sim.run(work, clients=3)
    await sim.look(see)
    total = taken.pop("all", 0)
    doubled = {field: count for field, count in taken.items() if count != 1}
    sim.check(not doubled, f"merged once, taken more often: {doubled}")
    sim.check(set(taken) <= maybe, f"taken, and never merged: {set(taken) - maybe}")
    sim.check(total == len(taken), f"{total} in all, and {len(taken)} pieces")
    if not unknown_takes and not sim.deaths:
        sim.check(merged <= set(taken), f"merged, and never taken: {merged - set(taken)}")
