"""The findings of a check: a sentence, a level, and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal, NamedTuple

from coord.names import printable

__all__ = ["Finding", "Level", "Report", "ok", "problem", "unchecked", "warning"]

Level = Literal["ok", "warning", "problem", "unchecked"]

_INDENT = " " * 25


class Finding(NamedTuple):
    """One check: its level, its name, what was seen, and what to do."""

    level: Level
    what: str
    seen: str
    advice: str = ""


def ok(what: str, seen: str) -> Finding:
    """Return a finding: nothing to do."""
    return Finding("ok", what, seen)


def warning(what: str, seen: str, advice: str) -> Finding:
    """Return a finding: it works, and may cost something later."""
    return Finding("warning", what, seen, advice)


def problem(what: str, seen: str, advice: str) -> Finding:
    """Return a finding: it does not work, or breaks a promise of coord."""
    return Finding("problem", what, seen, advice)


def unchecked(what: str, seen: str, advice: str = "") -> Finding:
    """Return a finding: it could not be checked."""
    return Finding("unchecked", what, seen, advice)


class Report:
    """Findings, printed as they arrive, and counted."""

    def __init__(self) -> None:
        self._counts: Counter[Level] = Counter()

    def add(self, findings: Iterable[Finding]) -> None:
        """Print findings, a line each and another for what to do."""
        for level, what, seen, advice in findings:
            self._counts[level] += 1
            print(f"{level:<10} {what:<13} {printable(seen)}", flush=True)
            if advice:
                print(f"{_INDENT}-> {printable(advice)}", flush=True)

    @property
    def summary(self) -> str:
        """The number of findings of each level."""
        warnings, problems = self._counts["warning"], self._counts["problem"]
        return (
            f"{self._counts['ok']} ok, {warnings} warning{'' if warnings == 1 else 's'}, "
            f"{problems} problem{'' if problems == 1 else 's'}, {self._counts['unchecked']} unchecked"
        )

    @property
    def code(self) -> int:
        """The exit code: 2 with a problem, 1 with a warning, else 0."""
        return 2 if self._counts["problem"] else 1 if self._counts["warning"] else 0
