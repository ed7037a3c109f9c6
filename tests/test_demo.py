"""The demo, run small: it proves what it says, on memory and with processes that are really killed."""

import subprocess
import sys

import pytest

from coord.cli import main
from coord.cli.demo.load import Load
from coord.cli.demo.run import Run, run
from coord.cli.demo.truth import Proof
from coord.cli.demo.world import Store
from coord.testing.servers import engines

SMALL = Load(documents=40, updates=3, workers=4)
OPTIONS = ("--documents", "40", "--updates", "3", "--workers", "4")


def demo(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "coord", "demo", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def last_numbers(output: str, label: str) -> list[int]:
    """The numbers on the line of the final table that begins with this label."""
    line = next(line for line in output.splitlines() if line.startswith(label))
    return [int(word.replace(",", "")) for word in line.removeprefix(label).split()]


def on_memory(*, with_coord: bool) -> Proof:
    return run(SMALL, Run("memory://", f"test-demo-{with_coord}:", False, with_coord), lambda world, seconds: None)


def test_with_coord_nothing_is_lost_or_doubled_and_the_counts_are_true():
    proof = on_memory(with_coord=True)
    assert (proof.lost, proof.doubled) == (0, 0)
    assert proof.counted == proof.truth
    assert proof.truth["worked"] + proof.truth["superseded"] == proof.truth["enqueued"] == SMALL.total
    assert proof.truth["deduped"] > 0
    assert proof.reports == 1
    assert (proof.awaited, proof.callbacks) == (SMALL.total, 1)
    assert proof.killed == SMALL.killed
    assert proof.holds


def test_naive_code_goes_wrong_under_the_same_load():
    proof = on_memory(with_coord=False)
    assert proof.lost + proof.doubled > 0
    assert not proof.holds


@pytest.mark.skipif(not engines(), reason="no server program: install coord[servers]")
def test_processes_on_a_private_server_are_killed_and_nothing_is_lost():
    ran = demo("--url", "auto", *OPTIONS)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert last_numbers(ran.stdout, "killed workers") == [2, 2]
    lost, naive_lost = last_numbers(ran.stdout, "lost")
    doubled, naive_doubled = last_numbers(ran.stdout, "doubled")
    assert (lost, doubled) == (0, 0)
    assert naive_lost + naive_doubled > 0


def test_the_command_shows_the_proof_beside_the_truth(capsys):
    assert main(["demo", *OPTIONS, "--no-naive"]) == 0
    shown = capsys.readouterr().out
    for count in ("enqueued", "delivered", "deduped", "worked", "superseded"):
        counted, true = last_numbers(shown, count)
        assert counted == true
    assert last_numbers(shown, "enqueued")[0] == SMALL.total


def test_a_server_that_is_not_there_is_one_sentence_without_the_password():
    ran = demo("--url", "redis://:hush@127.0.0.1:1/0")
    assert ran.returncode == 2
    assert ran.stderr.startswith("coord: cannot reach the server")
    assert ran.stderr.count("\n") == 1
    assert "hush" not in ran.stdout + ran.stderr


@pytest.mark.parametrize("option", ["--workers", "--documents", "--updates"])
def test_a_size_that_makes_no_sense_is_refused(option, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["demo", option, "0"])
    assert ended.value.code == 2
    assert "at least" in capsys.readouterr().err


def test_the_same_seed_is_the_same_load():
    assert Load(seed=3).bursts(0) == Load(seed=3).bursts(0)
    assert Load(seed=3).bursts(0) != Load(seed=4).bursts(0)
    assert Load(seed=3).blows() == Load(seed=3).blows()


def test_every_revision_of_every_document_is_written_once_and_in_order():
    written: dict[str, list[int]] = {}
    for producer in (0, 1):
        for burst in SMALL.bursts(producer):
            written.setdefault(burst.document, []).extend(burst.revisions)
            assert burst.last == (burst.revisions[-1] == SMALL.updates)
    assert len(written) == SMALL.documents
    assert set(map(tuple, written.values())) == {(1, 2, 3)}


def test_the_store_refuses_who_comes_with_a_lower_fence_than_the_last_reader():
    store = Store()
    assert store.open("doc", 1) == []
    assert store.open("doc", 2) == []
    assert not store.write("doc", 7, 1)
    assert store.open("doc", 1) is None
    assert store.write("doc", 8, 2)
    assert (store.newest("doc"), store.refused) == (8, 2)
