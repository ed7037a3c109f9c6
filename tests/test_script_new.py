"""``coord script new``: what it writes runs as it is, on every backend."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from live import Live

import coord
from coord.cli import main

pytest_plugins = ("live_fixtures",)


def new(folder: Path, name: str = "reserve") -> Path:
    assert main(["script", "new", name, "--into", str(folder)]) == 0
    return folder / f"{name}.lua"


def test_what_is_written_runs_as_it_is(tmp_path: Path) -> None:
    """Its test passes: the example on memory, the checks, and the agreement on every engine that is here."""
    new(tmp_path / "deeper", "move_item")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "test_move_item.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path / "deeper",
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout
    assert "failed" not in ran.stdout


def test_what_is_written_runs_everywhere(live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function that it brings builds a call for every backend, blocking and awaited."""
    new(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "reserve", raising=False)
    reserve = importlib.import_module("reserve").reserve
    with live.connect() as c:
        assert c.run(reserve(c, "printers", "anna", limit=1, ttl=30)) == (True, 1)
        assert c.run(reserve(c, "printers", "bert", limit=1)).granted is False

    async def awaited() -> Any:
        async with live.connect_async() as ac:
            return await ac.run(reserve(ac, "printers", "anna", limit=1))

    assert asyncio.run(awaited()).granted is True
    with pytest.raises(ValueError, match="a limit is not below 0"):
        reserve(coord.connect("memory://"), "printers", "anna", limit=-1)
    del sys.modules["reserve"]


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy comes with the extra 'lint'")
def test_what_is_written_is_typed(tmp_path: Path) -> None:
    new(tmp_path)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache")]
    ran = subprocess.run(
        [*command, "reserve.py", "test_reserve.py"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_it_says_what_it_wrote_and_what_comes_next(tmp_path: Path, capsys: Any) -> None:
    script = new(tmp_path)
    told = capsys.readouterr().out
    for file in ("reserve.lua", "reserve.py", "test_reserve.py"):
        assert f"wrote {tmp_path / file}\n" in told
    assert f"coord script check {script}" in told
    assert script.read_text().startswith("-- reserve: ")
    assert "coord:reserve:{name}" in script.read_text()


def test_no_file_is_written_over(tmp_path: Path, capsys: Any) -> None:
    """Also not in part: when one of the three is there, none is written."""
    (tmp_path / "reserve.py").write_text("mine")
    assert main(["script", "new", "reserve", "--into", str(tmp_path)]) == 2
    assert "reserve.py: there already" in capsys.readouterr().err
    assert [file.read_text() for file in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Reserve", "small letters"),
        ("re-serve", "small letters"),
        ("2nd", "small letters"),
        ("x" * 25, "small letters"),
        ("../x", "small letters"),
        ("import", "in use"),
        ("list", "in use"),
        ("path", "in use"),
        ("claim", "one of coord's own"),
        ("stats", "one of coord's own"),
        ("merge", "one of coord's own"),
        ("json", "a module"),
        ("coord", "a module"),
    ],
)
def test_names_that_cannot_be(name: str, why: str, tmp_path: Path, capsys: Any) -> None:
    assert main(["script", "new", name, "--into", str(tmp_path)]) == 2
    assert why in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
