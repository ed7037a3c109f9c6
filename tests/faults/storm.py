"""Accumulations in a storm: many callers add to a few entities through a bad line, and then all is added up.

Each operation leaves a trace that tells a lost one and a doubled one apart: the sums that callers of ``incr`` got
are 1, 2, 3 ... without a gap or a repetition; every value that was pushed stands in its list once, at the place that
its caller got; the counts that were merged are as many as the calls; no two callers were given the same version.
Between them each caller claims a name of its own, which must never look foreign.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from coord import OutcomeUnknown

ENTITIES = 8
CLAIM_EVERY = 25


@dataclass
class Told:
    """What callers asked for and got. Appending to a list and adding a key are atomic: threads may share it."""

    sums: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    places: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    merged: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    versions: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    unknown: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


@dataclass
class Verdict:
    """What the sums say."""

    lost: int = 0
    doubled: int = 0
    wrong_answers: int = 0
    unknown: int = 0
    foreign: int = 0
    done: int = 0

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.wrong_answers or self.unknown or self.foreign)


def accumulate(c: Any, told: Told, number: int) -> None:
    """Make one of the four accumulations, as its number says."""
    entity, kind = f"e{number // 4 % ENTITIES}", number % 4
    try:
        if kind == 0:
            told.sums[entity].append(c.kv.incr(f"n-{entity}"))
        elif kind == 1:
            told.places[entity][str(number)] = c.kv.rpush(f"l-{entity}", str(number))
        elif kind == 2:
            c.stats("storm").merge(entity, n=1)
            told.merged[entity].append(str(number))
        else:
            told.versions[entity].append(c.bump(entity))
    except OutcomeUnknown as error:
        told.unknown.append(str(error))


async def accumulate_awaited(c: Any, told: Told, number: int) -> None:
    """The same, awaited."""
    entity, kind = f"e{number // 4 % ENTITIES}", number % 4
    try:
        if kind == 0:
            told.sums[entity].append(await c.kv.incr(f"n-{entity}"))
        elif kind == 1:
            told.places[entity][str(number)] = await c.kv.rpush(f"l-{entity}", str(number))
        elif kind == 2:
            await c.stats("storm").merge(entity, n=1)
            told.merged[entity].append(str(number))
        else:
            told.versions[entity].append(await c.bump(entity))
    except OutcomeUnknown as error:
        told.unknown.append(str(error))


def claim_own(c: Any, told: Told, name: str) -> None:
    """Claim a name that nobody else asks for, renew it and let it go."""
    lease = c.claim(name, ttl=60, owner=name)
    if lease is None:
        told.foreign.append(f"{name} was refused")
    elif not lease.renew():
        told.foreign.append(f"{name} was lost while held")
    elif not lease.release():
        told.foreign.append(f"{name} was not released")


async def claim_own_awaited(c: Any, told: Told, name: str) -> None:
    """The same, awaited."""
    lease = await c.claim(name, ttl=60, owner=name)
    if lease is None:
        told.foreign.append(f"{name} was refused")
    elif not await lease.renew():
        told.foreign.append(f"{name} was lost while held")
    elif not await lease.release():
        told.foreign.append(f"{name} was not released")


def storm(c: Any, many: int, threads: int, *, claims: bool = True) -> Told:
    """Let threads make ``many`` accumulations together."""
    told = Told()

    def run(caller: int) -> None:
        for turn, number in enumerate(range(caller, many, threads)):
            accumulate(c, told, number)
            if claims and turn % CLAIM_EVERY == 0:
                claim_own(c, told, f"own-{caller}")

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, range(threads)))
    return told


async def storm_awaited(c: Any, many: int, tasks: int) -> Told:
    """Let tasks make ``many`` accumulations together."""
    told = Told()

    async def run(caller: int) -> None:
        for turn, number in enumerate(range(caller, many, tasks)):
            await accumulate_awaited(c, told, number)
            if turn % CLAIM_EVERY == 0:
                await claim_own_awaited(c, told, f"own-{caller}")

    await asyncio.gather(*map(run, range(tasks)))
    return told


def judged(told: Told, look: Any, prefix: str = "coord:") -> Verdict:
    """Add everything up, by a client that looks past coord."""
    verdict = Verdict(unknown=len(told.unknown), foreign=len(told.foreign))
    for entity, sums in told.sums.items():
        _count(verdict, len(sums), int(look.get(f"{prefix}kv:{{n-{entity}}}") or 0))
        verdict.wrong_answers += len(set(range(1, len(sums) + 1)) - set(sums))
    for entity, places in told.places.items():
        values = look.lrange(f"{prefix}kv:{{l-{entity}}}", 0, -1)
        pushed = Counter(values)
        verdict.done += len(places)
        verdict.lost += sum(value not in pushed for value in places)
        verdict.doubled += sum(times - 1 for times in pushed.values())
        first = {value: place for place, value in reversed(list(enumerate(values, 1)))}
        verdict.wrong_answers += sum(first.get(value) != place for value, place in places.items())
    for entity, merged in told.merged.items():
        _count(verdict, len(merged), int(look.hget(f"{prefix}stats:{{{entity}}}:storm", "n") or 0))
    for entity, versions in told.versions.items():
        verdict.done += len(versions)
        verdict.wrong_answers += len(versions) - len(set(versions))
        verdict.wrong_answers += max(versions) != int(look.get(f"{prefix}version:{{{entity}}}") or 0)
    return verdict


def _count(verdict: Verdict, asked: int, found: int) -> None:
    verdict.done += asked
    verdict.lost += max(0, asked - found)
    verdict.doubled += max(0, found - asked)
