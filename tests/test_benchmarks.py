"""Every benchmark runs to its end, with the least of effort: what it measures is shown by ``make bench``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from benchmarks.bench import Bench, Case
from benchmarks.cases import CASES
from benchmarks.goals import GOALS, verdicts
from benchmarks.measure import Effort, Figure
from benchmarks.peers import installed
from coord.testing.servers import Server, engines

LEAST = Effort(rounds=1, seconds=0.0)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    found = engines()
    if not found:
        pytest.skip("no server program: install coord[servers]")
    with Server(next(iter(found.values()))) as server:
        yield Bench(server.url, server.pid, LEAST, quick=True, tell=lambda _: None)


@pytest.fixture(scope="module")
def measured(bench: Bench) -> Callable[[Case], list[Figure]]:
    """What a case measures, once for all tests that ask."""
    return cache(lambda case: list(case.run(bench)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_measures_coord(case: Case, measured: Callable[[Case], list[Figure]]):
    figures = measured(case)
    assert any(figure.who == "coord" for figure in figures)
    assert all(value > 0 for figure in figures for value in figure.rounds)


def test_every_goal_finds_what_it_is_about(measured: Callable[[Case], list[Figure]]):
    found = {verdict.goal.words for verdict in verdicts(figure for case in CASES for figure in measured(case))}
    missed = [goal.words for goal in GOALS if goal.words not in found]
    assert missed == [goal.words for goal in GOALS if "glide" in goal.words and not installed("valkey-glide")]


def test_the_command_prints_a_table_and_writes_every_round(tmp_path: Path):
    written = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "async-ids", "--json", str(written)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "async, 100 tasks: operation ids cost" in ran.stdout
    assert {figure["who"] for figure in json.loads(written.read_text())["figures"]} == {"coord", "coord, no ids"}
