"""coord's own families are written with what a user's package may import, and nothing else."""

from __future__ import annotations

import pytest
from sources import imports

KIT = {"coord.errors", "coord.extend", "coord.leases", "coord.lualib", "coord.waiting"}
"""What a package that extends coord imports: families, leases, waits, and the twins of coord's Lua library."""

FAMILIES = (
    "coord.barriers",
    "coord.claims",
    "coord.kv",
    "coord.requests",
    "coord.semaphore",
    "coord.stats",
    "coord.versions",
)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_imports_the_kit_alone(family: str) -> None:
    others = imports()[family] - KIT - set(FAMILIES)
    assert not others, f"{family} imports what is not part of the kit: {', '.join(sorted(others))}"
