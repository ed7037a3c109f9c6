"""Counts of what was compared, and of what was not reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from coord.testing.agreement.lines import Line
from coord.testing.agreement.outcomes import Outcomes

__all__ = ["Tally"]


@dataclass
class Tally:
    """Counts of what was compared: histories, calls and outcomes by script, lines of the twins, and foreign writes."""

    declared: Mapping[str, Outcomes] = field(default_factory=dict[str, Outcomes])
    every_line: Mapping[Line, str] = field(default_factory=dict[Line, str])
    """The lines of all twins, and the script that each belongs to."""
    histories: int = 0
    calls: Counter[str] = field(default_factory=Counter[str])
    outcomes: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    lines: Counter[Line] = field(default_factory=Counter[Line])
    visits: int = 0
    notices: int = 0

    def __str__(self) -> str:
        return f"{self.histories:,} histories, {self.calls.total():,} calls, all equal"

    def count(self, script: str, outcomes: Iterable[str]) -> None:
        """Count the outcomes of one call."""
        self.outcomes.setdefault(script, Counter()).update(outcomes)

    def add(self, other: Tally) -> None:
        """Add what another run of the same scripts compared."""
        self.histories += other.histories
        self.calls += other.calls
        self.lines += other.lines
        self.visits += other.visits
        self.notices += other.notices
        for script, outcomes in other.outcomes.items():
            self.count(script, outcomes.elements())

    def unreached(self, least: int = 1, *, only: str = "") -> list[str]:
        """Return the outcomes that were seen less often, with their numbers: ``claim: granted=0: 2 of 5``.

        ``only``: those of the script of this name.
        """
        return [
            f"{script}: {outcome}: {seen} of {least}"
            for script, outcomes in self.declared.items()
            if only in ("", script)
            for outcome in outcomes.declared
            if (seen := self.outcomes.get(script, Counter())[outcome]) < least
        ]

    def unreached_lines(self, least: int = 1, *, only: str = "") -> list[str]:
        """Return the lines of twins that ran less often, with their numbers: ``claims.py:210 (claim): 0 of 5``."""
        return [
            f"{Path(file).name}:{line} ({script}): {self.lines[file, line]} of {least}"
            for (file, line), script in sorted(self.every_line.items())
            if only in ("", script) and self.lines[file, line] < least
        ]

    def report(self) -> list[str]:
        """Return one line a script: ``request_done: 412 times 1, 210 times 0, 96 times repeated``."""
        return [
            f"{script}: " + ", ".join(f"{name} {number:,}" for name, number in self.outcomes[script].items())
            for script in sorted(self.outcomes)
        ]
