"""What came of rows, and the table of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Result", "Task", "table", "total"]

COLUMNS = ("lost", "doubled", "two holders", "not grown", "callbacks", "never woken", "no TTL", "left", "errors")


@dataclass(frozen=True)
class Task:
    """A row on one engine: make so many operations under at least ``least`` faults, in at most ``seconds``."""

    row: str
    engine: str
    operations: int
    least: int
    seconds: float
    seed: int
    workers: int
    lanes: int
    only: tuple[str, ...] = ()
    may_lose: str = ""


@dataclass
class Result:
    """What came of a row. ``counts`` are findings by column; ``broken`` are those that nothing excuses."""

    task: Task
    operations: int = 0
    met: int = 0
    unknown: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    families: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    cpu: float = 0.0
    failure: str = ""

    @property
    def verdict(self) -> str:
        """Return "kept", "BROKEN" or "void"."""
        if self.broken or self.failure:
            return "BROKEN"
        return "void" if self.met < self.task.least or not self.operations else "kept"


def table(results: Sequence[Result]) -> str:
    """Return the table, as Markdown."""
    head = ["fault", "engine", "operations", "faults met", "unknown", *COLUMNS, "may be lost", "verdict"]
    rows = [
        [
            result.task.row,
            result.task.engine,
            f"{result.operations:,}",
            f"{result.met:,}",
            f"{result.unknown:,}",
            *(f"{result.counts[column]:,}" for column in COLUMNS),
            result.task.may_lose or "nothing",
            result.verdict,
        ]
        for result in results
    ]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in [head, ["-" * width for width in widths], *rows]
    ]
    return "\n".join(lines)


def total(results: Sequence[Result], least: int = 0, cpu: float = 0.0) -> tuple[str, bool]:
    """Return a sentence about all rows, and whether every promise was kept and every fault met.

    ``least``: there has to be a fault in so many operations of all rows; 0: in any number. ``cpu``: seconds of CPU that
    no worker has used.
    """
    operations, met = sum(each.operations for each in results), sum(each.met for each in results)
    broken, void = (sum(each.verdict == word for each in results) for word in ("BROKEN", "void"))
    cpu += sum(each.cpu for each in results)
    sentence = (
        f"{operations:,} operations, {met:,} faults met, {len(results)} rows: {broken} broken, {void} void; "
        f"{cpu:.0f} s of CPU"
    )
    if least and met < operations // least:
        return f"{sentence}; void: too few faults for so many operations", False
    return sentence, not broken and not void
