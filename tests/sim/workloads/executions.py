"""Executions: one accepted result a key, given to everyone; growing fences; nothing left running."""

from __future__ import annotations

from collections import defaultdict

from coord.errors import Unavailable
from coord.testing.sim import Client, Sim, Step

__all__ = ["attempts", "results"]


class _BrokenError(Exception):
    """What the function of a client raises now and then."""


class _Results:
    """``execute_once`` on shared keys: all get the result of one run, and a run that failed gives none."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._given: dict[str, set[str]] = defaultdict(set)
        self._returned: dict[str, set[str]] = defaultdict(set)

    async def work(self, client: Client) -> None:
        for step in client.steps(4):
            key = step.random.choice("ab")
            got = await client.attempt(self._once, client, step, key)
            if got.value is not None:
                self._give(key, got.value)
            await client.sleep(step.random.uniform(0, 0.5))

    async def _once(self, client: Client, step: Step, key: str) -> str | None:
        token = f"{client.name}.{step.number}"
        seconds, fails = step.random.choice((0.0, 0.3, 1.5)), step.random.random() < 0.3

        async def fn() -> str:
            await client.sleep(seconds)
            if fails:
                raise _BrokenError
            self._returned[key].add(token)
            return token

        try:
            return await client.c.execute_once(key, fn, ttl=1.0, keep=3600, wait=step.random.choice((0.5, 5.0)))
        except _BrokenError:
            return None

    def _give(self, key: str, result: str) -> None:
        sim, given = self._sim, self._given[key]
        given.add(result)
        sim.check(result in self._returned[key], f"{result!r} was given for {key!r}, and no run returned it")
        sim.check(len(given) == 1 or sim.topology.lost_writes, f"two results of {key!r} were given: {sorted(given)}")

    async def see(self, client: Client) -> None:
        for key in sorted(self._given):
            found = await client.c.execution(key).status()
            lost = self._sim.topology.lost_writes
            self._sim.check(found or lost, f"the result of {key!r} is gone, and was to be kept for an hour")
            if found is not None and found.state == "done":
                self._give(key, str(found.result)[1:-1])


async def results(sim: Sim) -> None:
    """``execute_once`` on shared keys: all get the result of one run, and a run that failed gives none."""
    them = _Results(sim)
    await sim.run(them.work, clients=3)
    await sim.look(them.see)


class _Attempts:
    """``begin``, ``renew``, ``complete``, ``fail``, ``abandon`` and ``forget``, by hand."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._accepted: dict[str, str] = {}
        self._fences: dict[str, list[tuple[float, int]]] = defaultdict(list)

    async def work(self, client: Client) -> None:
        for step in client.steps(4):
            await self._shared(client, step, f"shared-{step.number % 2}")
            await self._own(client, step, f"{client.name}-{step.number}")

    async def _shared(self, client: Client, step: Step, key: str) -> None:
        """Results of a key that is never forgotten: the first that is accepted is the only one."""
        sim, asked = self._sim, self._sim.now
        begun = (await client.attempt(client.c.execution(key).begin, ttl=1.0)).value
        if begun is None:
            return
        if begun.state == "done":
            self._accept(key, str(begun.result))
        if begun.state != "new":
            return
        grown = all(begun.fence > fence for given, fence in self._fences[key] if given < asked)
        sim.check(grown or sim.topology.lost_writes, f"the fence of {begun!r} is not above those before")
        self._fences[key].append((sim.now, begun.fence))
        await client.sleep(step.random.choice((0.0, 0.5, 1.5)))
        if step.random.random() < 0.3:
            await client.attempt(begun.renew)
            await client.sleep(step.random.uniform(0, 0.7))
        if step.random.random() < 0.3:
            await client.attempt(begun.abandon)
        result = f"{client.name}.{step.number}"
        if (await client.attempt(begun.complete, result, keep=3600)).value:
            self._accept(key, result)

    def _accept(self, key: str, result: str) -> None:
        first = self._accepted.setdefault(key, result)
        same = first == result or self._sim.topology.lost_writes
        self._sim.check(same, f"two results of {key!r} were accepted: {first!r} and {result!r}")

    async def _own(self, client: Client, step: Step, key: str) -> None:
        """A key that nobody else knows: what is answered is known, as long as every outcome is."""
        sim, work = self._sim, client.c.execution(key)
        begun = (await client.attempt(work.begin, fingerprint="a", ttl=600)).value
        if begun is None or sim.topology.lost_writes:
            return
        sim.check(begun.state == "new", f"the first attempt of {key!r} is {begun.state}")
        other = await client.attempt(work.begin, fingerprint="b", ttl=600)
        if other.value is not None and not sim.topology.lost_writes:
            sim.check(other.value.state == "mismatch", f"another fingerprint of {key!r} is {other.value.state}")
        fails = step.random.random() < 0.5
        ended = await (client.attempt(begun.fail, "ValueError", "no") if fails else client.attempt(begun.complete, "x"))
        if not ended.is_done or sim.topology.lost_writes:
            return
        sim.check(ended.value, f"the only attempt of {key!r} was refused")
        forgot = await client.attempt(work.forget)
        if not forgot.is_done or sim.topology.lost_writes:
            return
        sim.check(forgot.value, f"the result of {key!r} was not there to be forgotten")
        again = await client.attempt(work.begin, ttl=600)
        if again.value is not None and not sim.topology.lost_writes:
            sim.check(again.value.state == "new", f"the forgotten {key!r} is {again.value.state}")
            abandoned = await client.attempt(again.value.abandon)
            # It ended by itself where the servers were away for longer than it had.
            kept = abandoned.value or isinstance(abandoned.error, Unavailable) or not abandoned.is_done
            sim.check(kept or sim.leases_may_end_early, f"the only attempt of {key!r} had ended")


async def attempts(sim: Sim) -> None:
    """``begin``, ``renew``, ``complete``, ``fail``, ``abandon`` and ``forget``, by hand."""
    await sim.run(_Attempts(sim).work, clients=3)
