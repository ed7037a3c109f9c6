"""One run of the pipeline, from the first worker to the last."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coord.cli.demo.crew import Job, Member, start
from coord.cli.demo.load import PRODUCERS, Load
from coord.cli.demo.truth import Proof, proof
from coord.cli.demo.world import World
from coord.errors import CoordError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Run", "run"]

_LOOK = 0.1


@dataclass(frozen=True, slots=True)
class Run:
    """Where a run keeps its state, and how: in threads or processes, with coord or naively."""

    url: str
    prefix: str
    in_processes: bool
    with_coord: bool


def run(load: Load, how: Run, show: Callable[[World, float], None]) -> Proof:
    """Run the pipeline until nothing is left to do; ``show`` is called about ten times a second."""
    jobs = _jobs(load, how)
    producers = [job.name for job in jobs if job.bursts is not None]
    workers = [job.name for job in jobs if job.bursts is None]
    world = World(producers, workers, load.dice("queue"))
    crew: list[Member] = []
    try:
        crew += [start(job, world, in_process=how.in_processes) for job in jobs]
        seconds = _watch(world, crew, show)
    finally:
        world.close()
        for member in crew:
            member.stop()
    return proof(load, world, seconds)


def _watch(world: World, crew: list[Member], show: Callable[[World, float], None]) -> float:
    """Wait until everybody has gone; return the seconds since everybody was there."""
    began = time.monotonic()
    running = crew
    while running:
        time.sleep(_LOOK)
        running = [member for member in crew if member.alive]
        if not world.roster.everyone_is_here:
            began = time.monotonic()
        show(world, time.monotonic() - began)
        _check(world, crew)
    return time.monotonic() - began


def _check(world: World, crew: list[Member]) -> None:
    """Raise when the run cannot come to its end."""
    for sentence in world.roster.failures:
        raise CoordError(sentence)
    gone = [member.name for member in crew if not member.alive]
    for name in gone:
        state = world.roster.states[name]
        # Any worker may be killed; a producer may not, for nobody else has its updates.
        if state != "done" and not (state == "killed" and name in world.workers):
            raise CoordError(f"{name} broke off before its work was done")
    if len(gone) == len(crew) and not world.queue.is_empty:
        raise CoordError("all workers have gone and left updates behind")


def _jobs(load: Load, how: Run) -> list[Job]:
    """Deal out the work."""
    where = how.url, how.prefix, how.with_coord
    producers = [
        Job(
            f"producer-{number + 1}",
            *where,
            bursts=tuple(load.bursts(number)),
            pause=load.pause,
            documents=load.documents,
        )
        for number in range(PRODUCERS)
    ]
    workers = [Job(f"worker-{number + 1}", *where, blow=blow) for number, blow in enumerate(load.blows())]
    return producers + workers
