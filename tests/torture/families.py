"""All families: what lanes do, by weight, and what must hold afterwards."""

from __future__ import annotations

from collections.abc import Iterator

from torture import accumulating, holding, limiting, meeting
from torture.judging import Family, Finding, Seen

__all__ = ["FAMILIES", "LONGEST_TTL", "findings"]

FAMILIES: dict[str, Family] = {**accumulating.FAMILIES, **holding.FAMILIES, **limiting.FAMILIES}

LONGEST_TTL = holding.LONGEST_TTL


def findings(seen: Seen) -> Iterator[Finding]:
    """Yield every promise that did not hold."""
    for family in FAMILIES.values():
        yield from family.judge(seen)
    yield from meeting.judge(seen)
    for record in seen.records:
        if record.outcome == "error":
            yield Finding("errors", f"{record.family} {record.op}: {record.value}")
    for fact in seen.facts:
        if fact.what == "left":
            yield Finding("left", f"{fact.worker}: {fact.value}")
