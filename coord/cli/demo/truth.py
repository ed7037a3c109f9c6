"""The proof beside the truth: what the workers counted together, and what the queue and the store saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coord.cli.demo.load import Load
    from coord.cli.demo.world import World

__all__ = ["COUNTS", "Proof", "proof"]

COUNTS = ("enqueued", "delivered", "deduped", "worked", "superseded")
_OUTCOMES = ("enqueued", "worked", "superseded")


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of a run.

    ``lost``: documents whose newest update is not what the store ended with.
    ``doubled``: effects of updates that the store had already.
    ``reports``: how many workers believed that the statistics were theirs.
    ``awaited``: how many updates were settled when the producers' waits returned; ``callbacks``: how often the barrier
    called back. Naive code neither waits nor is called back.
    """

    counted: dict[str, int]
    truth: dict[str, int]
    killed: int
    refused: int
    reports: int
    awaited: int
    callbacks: int
    lost: int
    doubled: int
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether nothing was lost or doubled, and the statistics say what is true.

        A worker killed from outside may have fallen between a delivery and its count: each death may cost one of those.
        """
        off = {count: abs(self.counted[count] - self.truth[count]) for count in COUNTS}
        exact = not any(off[count] for count in _OUTCOMES)
        exact = exact and (self.awaited, self.callbacks) == (self.truth["enqueued"], 1)
        return exact and max(off.values()) <= self.killed and (self.lost, self.doubled, self.reports) == (0, 0, 1)

    @property
    def miscounted(self) -> int:
        """By how much the statistics are off, over all counts."""
        return sum(abs(self.counted[count] - self.truth[count]) for count in COUNTS)


def proof(load: Load, world: World, seconds: float) -> Proof:
    """Compare what was counted with what is true. Only the queue and the store are asked for the truth."""
    queue, effects = world.queue, world.store.effects
    worked = len(set(effects))
    truth = {
        "enqueued": queue.enqueued,
        "delivered": queue.delivered,
        "deduped": queue.repeats,
        "worked": worked,
        "superseded": queue.enqueued - worked,
    }
    reports = world.roster.reports
    return Proof(
        counted={count: sum(report.get(count, 0) for report in reports) for count in COUNTS},
        truth=truth,
        killed=world.roster.blows.count("killed"),
        refused=world.store.refused,
        reports=len(reports),
        awaited=sum(report.get("awaited", 0) for report in reports),
        callbacks=sum(report.get("callbacks", 0) for report in reports),
        lost=lost(load, world),
        doubled=doubled(world),
        seconds=seconds,
    )


def lost(load: Load, world: World) -> int:
    """Count the documents that do not have their newest revision."""
    return sum(world.store.newest(f"doc-{number:03}") != load.updates for number in range(load.documents))


def doubled(world: World) -> int:
    """Count the effects that came a second time."""
    effects = world.store.effects
    return len(effects) - len(set(effects))
