"""Executions and leaders of many processes, which are killed in the middle of their work."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from live import SOON, until
from machines import QUICK

import coord
from coord.testing.proxy import LossyProxy
from coord.testing.servers import Server

RUNNER = """
import os, sys, time, coord

url, log, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])

def say(*words):
    with open(log, "a") as file:
        file.write(" ".join(map(str, words)) + "\\n")

def work():
    say("runs", os.getpid())
    time.sleep(seconds)
    return os.getpid()

with coord.connect(url) as c:
    say("got", c.execute_once("report", work, ttl=1))
"""

LEADER = """
import os, sys, time, coord

url, log = sys.argv[1], sys.argv[2]

def lead(lease):
    while not lease.lost.wait(0.01):
        with open(log, "a") as file:
            # One write is one line: O_APPEND.
            file.write(f"{time.monotonic():.6f} {os.getpid()} {lease.fence}\\n")

with coord.connect(url) as c:
    c.leader("beat", ttl=1).run(lead)
"""


@contextmanager
def processes(program: str, count: int, *argv: Any) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run a program in so many processes, which are killed at the end."""
    running = [subprocess.Popen([sys.executable, "-c", program, *map(str, argv)]) for _ in range(count)]
    try:
        yield running
    finally:
        for each in running:
            each.kill()
            each.wait()


def lines(log: Path) -> list[list[str]]:
    """All complete lines of a log."""
    text = log.read_text() if log.exists() else ""
    return [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]


def test_when_the_runner_is_killed_another_takes_over(any_server: Server, tmp_path: Path) -> None:
    """Those that wait run the work one at a time; all that live get the one result (powertools 8049)."""
    log = tmp_path / "log"
    with processes(RUNNER, 1, any_server.url, log, 600) as stuck:
        until(lambda: lines(log) != [], "the first run")
        with processes(RUNNER, 3, any_server.url, log, 0.1) as others:
            stuck[0].send_signal(signal.SIGKILL)
            for each in others:
                assert each.wait(SOON) == 0
    runs = [line[1] for line in lines(log) if line[0] == "runs"]
    got = {line[1] for line in lines(log) if line[0] == "got"}
    assert runs[0] == str(stuck[0].pid)
    assert got == {runs[1]}
    assert len(runs) == 2


def test_a_stopped_runner_is_given_the_accepted_result(any_server: Server, tmp_path: Path) -> None:
    """SIGSTOP for longer than its lease: its own result is refused."""
    log = tmp_path / "log"
    with processes(RUNNER, 1, any_server.url, log, 0.5) as paused:
        until(lambda: lines(log) != [], "the first run")
        paused[0].send_signal(signal.SIGSTOP)
        with coord.connect(any_server.url) as c:
            assert c.execute_once("report", lambda: "heir", ttl=1, wait=SOON) == "heir"
        paused[0].send_signal(signal.SIGCONT)
        assert paused[0].wait(SOON) == 0
    assert lines(log)[-1] == ["got", "heir"]


def test_leaders_never_overlap(any_server: Server, tmp_path: Path) -> None:
    """Each is killed in its turn; what the next one does comes after, under a higher fence."""
    log = tmp_path / "log"
    with processes(LEADER, 4, any_server.url, log) as running:
        for dead in range(3):
            until(lambda dead=dead: len({line[1] for line in lines(log)}) > dead, "a leader")
            leader = int(lines(log)[-1][1])
            next(each for each in running if each.pid == leader).kill()
        until(lambda: len({line[1] for line in lines(log)}) > 3, "the last leader")
    told = [(float(moment), int(fence)) for moment, _, fence in lines(log)]
    assert [fence for _, fence in sorted(told)] == sorted(fence for _, fence in told)


def test_a_blocking_leader_that_resigns_is_followed_at_once(any_server: Server) -> None:
    with coord.connect(any_server.url) as a, coord.connect(any_server.url) as b, b.leader("beat").changes() as changes:
        assert next(changes) is None
        fence = a.leader("beat", ttl=600).run(lambda lease: lease.fence)
        assert b.leader("beat").run(lambda lease: lease.fence) > fence


def test_lost_replies_neither_repeat_the_work_nor_lose_its_result(one_server: Server, line: LossyProxy) -> None:
    """Without a pause longer than the lease, a reply that is lost never runs the work twice."""
    runs: dict[str, int] = {}

    async def main() -> None:
        async with coord.connect_async(line.url, **QUICK) as ac:
            line.misbehave(7, {"reset_reply": 0.1})

            async def one(key: str) -> str:
                async def work() -> str:
                    runs[key] = runs.get(key, 0) + 1
                    return key

                return await ac.execute_once(key, work, ttl=60, wait=SOON)

            for number in range(20):
                # Four at a time share a connection, and lose their replies together.
                keys = [f"k-{number}", f"k-{number}", f"l-{number}", f"l-{number}"]
                assert await asyncio.gather(*(one(key) for key in keys)) == keys
            line.behave()

    asyncio.run(main())
    assert set(runs.values()) == {1}
    with coord.connect(one_server.url) as c:
        for key in runs:
            found = c.execution(key).status()
            assert found is not None
            assert json.loads(str(found.result)) == key
