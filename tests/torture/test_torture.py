"""The short form of torture, and that it can fail: bugs planted into a copy of coord break a row by name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from reporting import say

from torture.journal import Fact, Record
from torture.judging import Seen, overlaps, stalled, ungrown
from torture.results import Result, Task, total

pytestmark = pytest.mark.proof

TORTURE = Path(__file__).resolve().parent
ROOT = TORTURE.parents[1]


def tortured(*words: str, where: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TORTURE), "--short", *words],
        cwd=where, env={**os.environ, "PYTHONPATH": str(where)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_every_promise_is_kept_under_every_fault() -> None:
    ran = tortured()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    say(f"torture: {ran.stdout.splitlines()[-1]}")


PLANTED = [
    pytest.param(
        "coord/redis/blocking.py",
        "self._slowly(script, own, words, read, lost=error)",
        "self._slowly(script, keys, argv, read, lost=error)",
        ("--only=reset after", "--families=kv,lists,quotas"),
        "doubled: ",
        id="a call whose reply was lost is repeated under another id",
    ),
    pytest.param(
        "lua/claim.lua",
        'if redis.call("EXISTS", tombstone, answered) > 0 then',
        "if false then",
        ("--only=late request, after", "--families=claims,kv,versions", "--operations=8000"),
        "left: claims c-",
        id="a claim that arrives after its repetition is granted",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("file", "old", "new", "words", "found"), PLANTED)
def test_a_planted_bug_breaks_its_row(
    file: str, old: str, new: str, words: tuple[str, ...], found: str, tmp_path: Path
) -> None:
    for folder in ("coord", "lua"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    source = (tmp_path / file).read_text(encoding="utf-8")
    assert old in source, f"{file} has changed: plant the bug anew"
    (tmp_path / file).write_text(source.replace(old, new), encoding="utf-8")
    # Whether anything comes in between is chance, and on a busy machine less does.
    for _ in range(3):
        ran = tortured(*words, where=tmp_path)
        if found in ran.stderr:
            break
    assert found in ran.stderr, ran.stdout + ran.stderr
    assert ": BROKEN" in ran.stderr
    assert ran.returncode == 1


def row(met: int, *broken: str) -> Result:
    task = Task("reset after", "redis-8.2", operations=10, least=3, seconds=1, seed=0, workers=2, lanes=2)
    return Result(task, operations=10, met=met, broken=list(broken))


def test_a_row_that_did_not_meet_its_fault_is_void() -> None:
    assert row(3).verdict == "kept"
    assert row(2).verdict == "void"
    assert row(3, "lost: one").verdict == "BROKEN"
    assert total([row(3)])[1]
    assert not total([row(3), row(2)])[1]
    assert not total([row(3)], least=2)[1], "three faults are too few for ten operations"


def record(started: float, ended: float, value: object = None, outcome: str = "done") -> Record:
    return Record("w0g0", "holds", "h", "enter", None, started, ended, outcome, value)


def test_numbers_have_to_grow_from_call_to_call() -> None:
    assert not list(ungrown([record(0, 2, 8), record(1, 3, 7), record(4, 5, 9)]))
    assert list(ungrown([record(0, 1, 8), record(2, 3, 7)])) == ["holds h: 7 after 8"]
    assert list(ungrown([record(0, 2, 8), record(1, 3, 8)])) == ["holds h: a number was given twice"]


def test_two_that_are_inside_together_are_found() -> None:
    def inside(*spans: tuple[float, float]) -> list[Fact]:
        return [Fact("w0g0", "holds", "h", "inside", [*span, fence], span[1]) for fence, span in enumerate(spans)]

    assert not list(overlaps(inside((0, 1), (1, 2), (5, 6))))
    assert len(list(overlaps(inside((0, 2), (1, 3))))) == 1
    assert not list(overlaps(inside((0, 2), (1, 3)), limit=2))
    assert len(list(overlaps(inside((0, 2), (1, 3), (1, 2)), limit=2))) == 1


def test_a_waiter_that_nobody_woke_is_found() -> None:
    seen, waited = Seen(None, None), record(0, 10, outcome="timeout")
    assert len(list(stalled(seen, [waited], [waited, record(0, 2, 1)]))) == 1
    assert not list(stalled(seen, [waited], [waited, record(5, 6, 2)])), "another got it"
    seen.outages = [(2.5, 4)]
    assert not list(stalled(seen, [waited], [waited])), "the server was away"
