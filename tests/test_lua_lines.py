"""Which statements of lua/ run in the random histories that compare scripts with their twins; the rest is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from agreeing import SEED, WORDS
from lua_lines import logged, marked_scripts
from reporting import say

from coord.script import all_scripts
from coord.testing.agreement import LuaSide, check_agreement
from coord.testing.clock import Clock

pytestmark = pytest.mark.proof

LEAST = 0.92
"""The part of the statements that has to run; raise it with what the histories reach."""
HISTORIES = int(os.environ.get("COORD_HISTORIES", "2000"))


@pytest.mark.slow
@pytest.mark.skipif(HISTORIES < 2000, reason="a short run meets what is rare only by luck")
def test_nearly_every_statement_of_the_scripts_runs(tmp_path: Path) -> None:
    """The copies that log are compared with the twins too, so that they are known to do what the scripts do."""
    scripts, every = marked_scripts(list(all_scripts()), tmp_path)
    clock = Clock()
    with logged() as seen:
        check_agreement(scripts, [LuaSide(clock)], clock, histories=HISTORIES, words=WORDS, seed=SEED)
    say(f"lines of lua/ with a statement: {len(every & seen)} of {len(every)} ran")
    say(f"never ran, in these histories: {', '.join(sorted(every - seen))}")
    assert len(every & seen) >= LEAST * len(every)
