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


@pytest.mark.slow
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
    family = importlib.import_module("reserve").Reserve
    with live.connect() as c:
        assert family(c, "printers").reserve("anna", limit=1, ttl=30) == (True, 1)
        assert family(c, "printers").reserve("bert", limit=1).granted is False
        assert c.run(family(c.calls, "printers").reserve("anna", limit=1)).granted is True

    async def awaited() -> Any:
        async with live.connect_async() as ac:
            return await family(ac, "printers").reserve("anna", limit=1)

    assert asyncio.run(awaited()).granted is True
    with pytest.raises(ValueError, match="limit is -1"), coord.connect("memory://") as c:
        family(c, "printers").reserve("anna", limit=-1)
    del sys.modules["reserve"]


@pytest.mark.slow
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
    assert "reserve.py: exists already" in capsys.readouterr().err
    assert [file.read_text() for file in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Reserve", "lower-case letters"),
        ("re-serve", "lower-case letters"),
        ("2nd", "lower-case letters"),
        ("x" * 25, "lower-case letters"),
        ("../x", "lower-case letters"),
        ("import", "another meaning"),
        ("list", "another meaning"),
        ("path", "another meaning"),
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


# --- packages, families ----------------------------------------------------------------------------


def lay_out(folder: Path, layout: str) -> None:
    """An empty project of a layout: src/ with an empty package, or the package beside the tests, or nothing yet."""
    if layout == "src":
        (folder / "src" / "shop").mkdir(parents=True)
        (folder / "src" / "shop" / "__init__.py").touch()
    elif layout == "flat":
        (folder / "shop").mkdir()
        (folder / "shop" / "__init__.py").touch()


IN_PLACE = ["-m", "pytest"]
FROM_ELSEWHERE = ["-c", "import sys, pytest; sys.path.remove(''); sys.exit(pytest.main(sys.argv[1:]))"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "command"), [("src", IN_PLACE), ("flat", IN_PLACE), ("flat", FROM_ELSEWHERE), ("empty", FROM_ELSEWHERE)]
)
def test_what_is_written_into_a_package_runs_as_it_is(layout: str, command: list[str], tmp_path: Path) -> None:
    """In a src layout and in a flat one, whether or not the current folder is on the path of imports."""
    lay_out(tmp_path, layout)
    assert main(["script", "new", "take", "--into", str(tmp_path), "--package", "shop", "--family", "shelf"]) == 0
    source = tmp_path / "src" if layout == "src" else tmp_path
    assert (source / "shop" / "lua" / "shelf_take.lua").read_text().startswith("-- shelf_take: ")
    assert "coord:shelf:{name}" in (source / "shop" / "lua" / "shelf_take.lua").read_text()
    options = ["-q", "-W", "error", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "tests"]
    ran = subprocess.run(
        [sys.executable, *command, *options, "-k", "places or place or checks"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 passed" in ran.stdout


def test_scripts_of_a_family_stand_beside_each_other(tmp_path: Path) -> None:
    for name in ("take", "put_back"):
        command = ["script", "new", name, "--into", str(tmp_path), "--package", "shop.stock", "--family", "shelf"]
        assert main([*command, "--tests", str(tmp_path / "checks")]) == 0
    files = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.*"))
    assert files == [
        "checks/conftest.py",
        "checks/test_shelf_put_back.py",
        "checks/test_shelf_take.py",
        "shop/__init__.py",
        "shop/stock/__init__.py",
        "shop/stock/lua/shelf_put_back.lua",
        "shop/stock/lua/shelf_take.lua",
        "shop/stock/shelf_put_back.py",
        "shop/stock/shelf_take.py",
    ]


def test_an_installed_package_needs_no_conftest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, "src")
    monkeypatch.syspath_prepend(tmp_path / "src")
    assert main(["script", "new", "take", "--into", str(tmp_path), "--package", "shop"]) == 0
    assert not (tmp_path / "tests" / "conftest.py").exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["take", "--package", "my-shop"], "not the name of a package"),
        (["take", "--package", "shop.class"], "not the name of a package"),
        (["take", "--family", "Shelf"], "cannot name a family"),
        (["take", "--family", "claim"], "one of coord's own"),
        (["get_int", "--family", "kv"], "one of coord's own"),
    ],
)
def test_packages_and_families_that_cannot_be(words: list[str], why: str, tmp_path: Path, capsys: Any) -> None:
    assert main(["script", "new", "--into", str(tmp_path), *words]) == 2
    assert why in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
