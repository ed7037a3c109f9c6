"""The simulation is alive: it finds every bug of ``planted.py``, and shrinks what it found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from planted import PLANTED, REVERTED, Planted

SIM = Path(__file__).resolve().parent
ROOT = SIM.parents[1]

pytestmark = pytest.mark.proof


def patched(planted: Planted, where: Path) -> Path:
    """Return a copy of coord with a bug in it."""
    shutil.copytree(ROOT / "coord", where / "coord", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "lua", where / "lua")
    file = where / "coord" / planted.file
    source = file.read_text(encoding="utf-8")
    assert source.count(planted.old) == 1, f"{planted.file} has changed: plant {planted.name!r} anew"
    file.write_text(source.replace(planted.old, planted.new), encoding="utf-8")
    return where


def searched(planted: Planted, where: Path, first: int, seeds: int) -> subprocess.CompletedProcess[str]:
    """Simulate the copy until a run fails."""
    return subprocess.run(
        [sys.executable, str(SIM), "--jobs=1", "--stop", f"--only={planted.workload}",
         f"--topology={planted.topology}", f"--first={first}", f"--seeds={seeds}",
         *(f"--fault={kind}" for kind in planted.faults)],
        cwd=where, env={**os.environ, "PYTHONPATH": str(where)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("planted", [*PLANTED, *REVERTED], ids=lambda planted: planted.name)
def test_a_planted_bug_is_found(planted: Planted, tmp_path: Path) -> None:
    where = patched(planted, tmp_path)
    ran = searched(planted, where, planted.first, 5)
    if ran.returncode == 0:
        # The seeds have moved with the workload: from the beginning.
        ran = searched(planted, where, 0, planted.seeds)
    assert "violations: 1" in ran.stdout, f"not found within {planted.seeds} seeds\n{ran.stdout}{ran.stderr}"
    assert ran.returncode == 1
    assert "replay: replay(" in ran.stderr


def test_there_are_enough_of_them() -> None:
    every = (*PLANTED, *REVERTED)
    assert len(PLANTED) >= 15
    assert len(REVERTED) >= 10
    assert all(planted.reverts for planted in REVERTED)
    assert len({planted.name for planted in every}) == len(every)
