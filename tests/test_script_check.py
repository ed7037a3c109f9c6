"""``coord script check``: each fault of a script is found, and the line that it is on."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import coord
from coord.cli import main

LUA = Path(coord.__file__).resolve().parent.parent / "lua"


def new(folder: Path, name: str = "reserve") -> Path:
    """A script without a fault."""
    assert main(["script", "new", name, "--into", str(folder)]) == 0
    return folder / f"{name}.lua"


def check(*files: Path) -> int:
    return main(["script", "check", *map(str, files)])


def test_what_coord_ships_has_no_fault(capsys: Any) -> None:
    files = sorted(LUA.glob("*.lua"))
    assert check(*files) == 0
    assert capsys.readouterr().out == f"{len(files)} scripts, no fault\n"


@pytest.mark.parametrize("name", ["reserve", "x" * 24])
def test_what_new_writes_has_no_fault(name: str, tmp_path: Path, capsys: Any) -> None:
    script = new(tmp_path, name)
    capsys.readouterr()
    assert check(script) == 0
    assert capsys.readouterr().out == "1 script, no fault\n"


Change = Callable[[str], str]


def put(before: str, after: str) -> Change:
    return lambda text: text.replace(before, after, 1)


@pytest.mark.parametrize(
    ("change", "line", "what"),
    [
        (put("-- COST ", "-- "), 1, "its header has no COST line"),
        (put("REPEAT safe", "REPEAT often"), 12, "REPEAT says 'often'"),
        (put("members  set,", "members  bag,"), 3, "KEYS members has no kind"),
        (put("coord:reserve:{name}", "of the name"), 3, "KEYS members shows no shape"),
        (put("limit    count", "limit    number"), 5, "ARGV limit has type 'number'"),
        (
            put("local members = KEYS[1]", "local places = KEYS[1]"),
            14,
            "KEYS[1] is 'members' in the header and 'places'",
        ),
        (put("local member, limit, ttl_ms =", "local member, ttl_ms, limit ="), 15, "ARGV[2] is 'limit'"),
        (put("local members = KEYS[1]", "local members, log = KEYS[1], KEYS[2]"), 14, "bind 'log', which KEYS"),
        (
            lambda text: text.replace("ttl_ms   ms ", "ttl_ms... ms ").replace(
                ", ttl_ms = ARGV[1], ARGV[2], ARGV[3]", " = ARGV[1], ARGV[2]"
            ),
            6,
            "the header repeats 1 argument(s)",
        ),
        (put("return { 1,", "for i = 4, #ARGV do\nend\nreturn { 1,"), 30, "a loop reads ARGV to its end"),
        (put("local members", "-- include: nowhere\nlocal members"), 14, "there is no lua/lib/nowhere.lua to include"),
        (put("local taken", "taken"), 18, "writes the global 'taken'"),
        (put("== 0 then", "== 0 thne"), 22, "'then' expected near 'thne'"),
        (put('"SADD", members', '"SADD", "mine"'), 26, "builds a key"),
        (put('"SADD", members', '"sadd", members'), 26, "commands stand in capitals"),
        (put("return { 1,", "-- " + 90 * "-" + "\nreturn { 1,"), 30, "columns wide"),
        (lambda text: text[text.index("local members") :], 1, "has no header"),
    ],
)
def test_each_fault_is_told_with_its_line(change: Change, line: int, what: str, tmp_path: Path, capsys: Any) -> None:
    script = new(tmp_path)
    sound = script.read_text()
    script.write_text(change(sound))
    assert script.read_text() != sound
    capsys.readouterr()
    assert check(script) == 1
    told = capsys.readouterr().out.splitlines()
    assert any(each.startswith(f"{script}:{line}: ") and what in each for each in told), told


def test_a_header_with_a_fault_hides_none_of_the_lua(tmp_path: Path, capsys: Any) -> None:
    """All are told at once, in the order of their lines; files without a fault are passed over."""
    sound, faulty = new(tmp_path, "sound"), new(tmp_path, "faulty")
    faulty.write_text(faulty.read_text().replace("REPEAT safe", "REPEAT often").replace("local taken", "taken"))
    capsys.readouterr()
    assert check(sound, faulty) == 1
    told = capsys.readouterr().out.splitlines()
    assert [re.sub(r"^.*faulty\.lua:(\d+): (\w+).*", r"\1 \2", each) for each in told][:2] == ["12 REPEAT", "18 writes"]
    assert all(each.startswith(str(faulty)) for each in told)


def test_files_that_cannot_be_read(tmp_path: Path, capsys: Any) -> None:
    assert check(tmp_path / "none.lua") == 2
    assert "cannot read" in capsys.readouterr().err
    assert check(tmp_path) == 2
    (tmp_path / "latin.lua").write_bytes(b"-- caf\xe9\n")
    assert check(tmp_path / "latin.lua") == 1
    assert capsys.readouterr().out.endswith("latin.lua:1: is not UTF-8\n")


def test_without_lupa_it_says_what_to_install(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    script = new(tmp_path)
    monkeypatch.setitem(sys.modules, "lupa.lua51", None)
    assert check(script) == 2
    assert "pip install 'coord[lua]'" in capsys.readouterr().err
