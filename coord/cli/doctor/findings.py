"""What an examination finds: one sentence each, how bad it is, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal, NamedTuple

from coord.names import printable

__all__ = ["Finding", "Level", "Report", "ok", "problem", "unchecked", "warning"]

Level = Literal["ok", "warning", "problem", "unchecked"]

_INDENT = " " * 25


class Finding(NamedTuple):
    """One thing that was looked at, what was seen, and what to do."""

    level: Level
    what: str
    seen: str
    advice: str = ""


def ok(what: str, seen: str) -> Finding:
    """It is as it should be."""
    return Finding("ok", what, seen)


def warning(what: str, seen: str, advice: str) -> Finding:
    """It works, and will cost something one day."""
    return Finding("warning", what, seen, advice)


def problem(what: str, seen: str, advice: str) -> Finding:
    """It does not work, or loses what coord promises to keep."""
    return Finding("problem", what, seen, advice)


def unchecked(what: str, seen: str, advice: str = "") -> Finding:
    """It could not be looked at."""
    return Finding("unchecked", what, seen, advice)


class Report:
    """Findings, told as they come, and counted."""

    def __init__(self) -> None:
        self._counts: Counter[Level] = Counter()

    def tell(self, findings: Iterable[Finding]) -> None:
        """Print findings, a line each and a line below for what to do."""
        for level, what, seen, advice in findings:
            self._counts[level] += 1
            print(f"{level:<10} {what:<13} {printable(seen)}", flush=True)
            if advice:
                print(f"{_INDENT}-> {printable(advice)}", flush=True)

    @property
    def summary(self) -> str:
        """How many there were of each."""
        warnings, problems = self._counts["warning"], self._counts["problem"]
        return (
            f"{self._counts['ok']} ok, {warnings} warning{'' if warnings == 1 else 's'}, "
            f"{problems} problem{'' if problems == 1 else 's'}, {self._counts['unchecked']} unchecked"
        )

    @property
    def code(self) -> int:
        """The exit code: 2 with a problem, 1 with a warning, else 0."""
        return 2 if self._counts["problem"] else 1 if self._counts["warning"] else 0
