"""Faults that are planted by rule are found: a sample of what ``python tests/mutants`` runs, and the machine itself."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from mutants.child import in_child, plant
from mutants.python import Place, places
from mutants.recorded import lua_fails, twin_fails
from mutants.targets import drawn, script_named
from mutants.trial import EVERY_KIND, Trial, difference
from reporting import say

import coord.stats

pytestmark = pytest.mark.proof

SAMPLE = 40
LEAST = 0.75
"""The score of a sample varies around that of the whole run, which docs/proof.md has."""


@pytest.mark.slow
def test_a_sample_of_planted_faults_is_found() -> None:
    """Faults in scripts, twins and the Keyspace, by the histories of agreement alone, and few of them."""
    trial = Trial(histories=20, rows=0, worlds=0, tests=False, seconds=10)
    sample = drawn(("scripts", "twins", "keyspace"), SAMPLE, "a sample", EVERY_KIND)
    assert len(sample) == SAMPLE
    results = [(mutant, trial.run(mutant)[0]) for mutant in sample]
    valid = [each for each in results if each[1] != "invalid"]
    survivors = [mutant for mutant, verdict in valid if verdict == "survived"]
    say(f"mutants: {len(valid) - len(survivors)} of {len(valid)} found")
    # Rows of commands, which take a server, find most of what survives here in the Keyspace.
    counted = [mutant for mutant, _ in valid if mutant.group != "keyspace"]
    missed = [mutant for mutant in survivors if mutant.group != "keyspace"]
    assert len(missed) <= (1 - LEAST) * len(counted), "\n".join(f"{each.name}\n{difference(each)}" for each in missed)
    assert len(valid) > SAMPLE * 0.8


def test_without_a_fault_nothing_is_found() -> None:
    """A replay differs in nothing from what was recorded."""
    histories = Trial(histories=5, rows=0, worlds=0, tests=False, seconds=10).of("merge")
    assert sum(map(len, histories)) > 50
    assert twin_fails(histories) == 0
    assert lua_fails(histories, script_named("merge")) == 0


def test_an_endless_fault_counts_as_found() -> None:
    """The child ends, and the process that started it goes on."""
    assert in_child(lambda: ("survived", str(sum(itertools.count()))), 0.2)[0] == "killed"
    assert in_child(lambda: ("survived", ""), 10) == ("survived", "")


def test_a_fault_stays_in_its_child() -> None:
    """Code is replaced in a fork."""
    place = next(each for each in places(coord.stats.__file__) if each.function == "_merge")

    twin: Any = script_named("merge").twin

    def run() -> tuple[str, str]:
        return ("killed" if plant(place) and twin.__code__ is not before else "survived"), ""

    before = twin.__code__
    assert in_child(run, 10) == ("killed", "")
    assert twin.__code__ is before


@pytest.mark.parametrize(
    "rule", ["comparison", "missing TTL", "missing notice", "blind retry", "deadline from the reply", "index"]
)
def test_every_rule_applies_somewhere(rule: str) -> None:
    """A rule whose words fit nothing any more would say nothing."""
    groups = ("twins", "plans", "transport")
    found = [each.place for each in drawn(groups, 20_000, "all") if each.place.rule == rule]
    assert found
    assert all(isinstance(place, Place) for place in found)
