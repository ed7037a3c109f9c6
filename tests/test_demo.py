"""The demo, run small: it shows what it says, in threads and with processes that are really killed."""

import subprocess
import sys

import pytest

from coord.testing.servers import engines
from examples.pipeline.__main__ import main
from examples.pipeline.crew import Run, run
from examples.pipeline.environment import Environment, Snapshot
from examples.pipeline.load import Load

SMALL = Load(documents=40, updates=3, workers=4)
OPTIONS = ("--documents", "40", "--updates", "3", "--workers", "4")


def demo(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "examples.pipeline", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def last_numbers(output: str, label: str) -> list[int]:
    """The numbers on the line of the final table that begins with this label."""
    line = next(line for line in output.splitlines() if line.startswith(label))
    return [int(word.replace(",", "")) for word in line.removeprefix(label).split()]


def on_memory(*, with_coord: bool) -> Snapshot:
    how = Run(SMALL, "memory://", f"test-demo-{with_coord}:", with_coord, in_processes=False)
    return run(how, lambda now, seconds, last: None)


@pytest.mark.slow
def test_with_coord_nothing_is_lost_or_doubled_and_the_counts_are_true():
    ours = on_memory(with_coord=True)
    assert (ours.lost, ours.doubled) == (0, 0)
    assert {count: ours.counted[count] for count in ours.truth} == ours.truth
    assert ours.truth["worked"] + ours.truth["superseded"] == ours.truth["enqueued"] == SMALL.total
    assert ours.truth["deduped"] > 0
    assert ours.reports == 1
    assert (ours.counted["awaited"], ours.counted["completed"]) == (SMALL.total, 1)
    assert ours.killed == SMALL.workers // 2
    assert ours.holds


@pytest.mark.slow
def test_naive_code_goes_wrong_under_the_same_load():
    naive = on_memory(with_coord=False)
    assert naive.lost + naive.doubled > 0
    assert not naive.holds


@pytest.mark.slow
@pytest.mark.skipif(not engines(), reason="no server program: install coord[servers]")
def test_processes_on_a_private_server_are_killed_and_nothing_is_lost():
    ran = demo("--url", "auto", *OPTIONS)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr == ""
    assert last_numbers(ran.stdout, "killed workers") == [2, 2]
    lost, naive_lost = last_numbers(ran.stdout, "lost")
    doubled, naive_doubled = last_numbers(ran.stdout, "doubled")
    assert (lost, doubled) == (0, 0)
    assert naive_lost + naive_doubled > 0


def test_the_command_shows_the_counts_beside_the_truth(capsys):
    assert main([*OPTIONS, "--no-naive"]) == 0
    shown = capsys.readouterr().out
    for count in ("enqueued", "delivered", "deduped", "worked", "superseded"):
        counted, true = last_numbers(shown, count)
        assert counted == true
    assert last_numbers(shown, "enqueued")[0] == SMALL.total


@pytest.mark.slow
def test_an_unreachable_server_is_one_sentence_without_the_password():
    ran = demo("--url", "redis://:hush@127.0.0.1:1/0")
    assert ran.returncode == 2
    assert ran.stderr.startswith("demo: cannot reach the server")
    assert ran.stderr.count("\n") == 1
    assert "hush" not in ran.stdout + ran.stderr


@pytest.mark.parametrize("option", ["--workers", "--documents", "--updates"])
def test_a_size_that_makes_no_sense_is_refused(option, capsys):
    with pytest.raises(SystemExit) as ended:
        main([option, "0"])
    assert ended.value.code == 2
    assert "at least" in capsys.readouterr().err


def test_the_same_seed_is_the_same_load():
    assert Load(seed=3).bursts(0) == Load(seed=3).bursts(0)
    assert Load(seed=3).bursts(0) != Load(seed=4).bursts(0)
    assert Load(seed=3).faults() == Load(seed=3).faults()


def test_every_revision_of_every_document_is_written_once_and_in_order():
    written: dict[str, list[int]] = {}
    for producer in (0, 1):
        for document, revisions in SMALL.bursts(producer):
            written.setdefault(document, []).extend(revisions)
    assert sorted(written) == SMALL.names()
    assert set(map(tuple, written.values())) == {(1, 2, 3)}


def test_the_store_rejects_a_fence_lower_than_the_last_reader_had():
    store = Environment(SMALL)
    assert store.read("doc-001", 1) == []
    assert store.read("doc-001", 2) == []
    assert not store.write("doc-001", 7, 1)
    assert store.read("doc-001", 1) is None
    assert store.write("doc-001", 8, 2)
    assert store.read("doc-001", 2) == [8]
    assert store.snapshot().refused == 2
