"""Every benchmark runs to its end, with the least of effort: what it measures is shown by ``make bench``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import redis

from benchmarks import floor, report
from benchmarks.bench import Bench, Case
from benchmarks.cases import CASES
from benchmarks.goals import GOALS, verdicts
from benchmarks.measure import Effort, Figure
from benchmarks.peers import installed
from coord.testing.servers import Server, engines

pytestmark = pytest.mark.slow

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


def test_every_comparison_on_a_server_has_its_floor(measured: Callable[[Case], list[Figure]]):
    floors = {"blocking": floor.BLOCKING, "async-once": floor.ASYNC, "handover": floor.BLOCKING}
    for case in CASES:
        least = next((who for name, who in floors.items() if case.name.startswith(name)), None)
        sizes = {figure.at for figure in measured(case) if figure.at != "in memory"}
        if least:
            assert {figure.at for figure in measured(case) if figure.who == least} == sizes


def test_the_summary_fits_one_screen(measured: Callable[[Case], list[Figure]]):
    figures = [figure for case in CASES for figure in measured(case)]
    here = dict.fromkeys(("cpu", "cores", "load", "python", "redis-py", "hiredis", "server"), "a long name of it " * 9)
    lines = report.summary(report.Results(here, figures, verdicts(figures))).splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 80


def test_the_report_is_one_page_with_a_plot_of_every_case(measured: Callable[[Case], list[Figure]]):
    figures = [figure for case in CASES for figure in measured(case)]
    page = report.page(report.Results({"cpu": "<tiny>"}, figures, verdicts(figures)))
    assert page.count("<svg") == len(CASES)
    assert "&lt;tiny&gt;" in page
    assert not re.findall(r"(?:src|href)=|url\(|@import|<script|<link", page)


def test_a_users_server_is_measured_and_not_emptied(tmp_path: Path):
    written, page = tmp_path / "figures.json", tmp_path / "report.html"
    with Server(next(iter(engines().values()))) as server, redis.Redis.from_url(server.url) as client:
        client.set("mine", "kept")
        options = ("--quick", "--only", "async-ids", "blocking-once", "--url", server.url.replace("redis:", "valkey:"))
        ran = command(*options, "--json", str(written), "--report", str(page))
        assert ran.returncode == 0, ran.stderr
        assert client.get("mine") == b"kept"
        assert not [key for key in client.scan_iter() if key != b"mine" and client.ttl(key) < 0]
    assert "blocking, 1 thread: CPU of a bare socket" in ran.stdout
    assert {figure["case"] for figure in json.loads(written.read_text())["figures"]} == {"async-ids", "blocking-once"}
    assert "blocking-once" in page.read_text()
    again = command("--read", str(written))
    assert again.stdout.strip() in ran.stdout


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis+cluster://localhost:7000", "--url takes one server"),
        ("redis://:hush@127.0.0.1:1/0", "cannot reach the server"),
    ],
)
def test_a_server_that_cannot_be_measured_is_one_sentence(url: str, says: str):
    ran = command("--url", url)
    assert ran.returncode == 1
    assert ran.stderr.startswith(says)
    assert ran.stderr.count("\n") == 1
    assert "hush" not in ran.stderr


def command(*options: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "benchmarks", *options]
    return subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
