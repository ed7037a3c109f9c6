"""``coord script check``: each fault of a script is found, and the line that it is on."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import coord
from coord.cli import main
from coord.script import ARGUMENT_TYPES, KINDS, all_scripts
from coord.testing.servers import engines

LUA = Path(coord.__file__).resolve().parent.parent / "lua"


def new(folder: Path, name: str = "reserve") -> Path:
    """A script without a fault."""
    assert main(["script", "new", name, "--into", str(folder)]) == 0
    return folder / f"{name}.lua"


def check(*files: Path | str) -> int:
    return main(["script", "check", *map(str, files)])


@pytest.mark.slow
def test_no_file_of_a_folder_above_is_imported(tmp_path: Path, capsys: Any) -> None:
    """A word in quotes somewhere above does not make a file part of the script; nor does one without coord beside."""
    script = new(tmp_path / "mine")
    for folder, first in ((tmp_path, "import coord\n"), (tmp_path / "mine", "")):
        (folder / "other.py").write_text(f'{first}raise SystemExit("imported: reserve")\nNAMES = ["reserve"]\n')
    assert check(script) == 0


@pytest.mark.slow
def test_what_coord_ships_has_no_fault(capsys: Any) -> None:
    """A folder is all scripts in it, without the libraries in ``lib``; each runs with its twin."""
    assert check(LUA) == 0
    assert capsys.readouterr().out == f"{len(list(LUA.glob('*.lua')))} scripts, no fault\n"


@pytest.mark.slow
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
        (put("local members", "-- include: nowhere\nlocal members"), 14, "there is no lib/nowhere.lua to include"),
        (put("local taken", "taken"), 18, "assigns the global 'taken'"),
        (put("== 0 then", "== 0 thne"), 22, "'then' expected near 'thne'"),
        (put('"SADD", members', '"SADD", "mine"'), 26, "builds a key"),
        (put("granted, taken}", "granted}"), 24, "returns 2 values"),
        (put('\nredis.call("PEXPIRE", members, ttl_ms)', ""), 26, "leaves 'members', declared expiring, without a TTL"),
        (put("REPEAT safe", "REPEAT remembered"), 12, "no ARGV 'remember_ms'"),
        (lambda text: text[text.index("local members") :], 1, "has no header"),
    ],
)
def test_each_fault_names_its_line(change: Change, line: int, what: str, tmp_path: Path, capsys: Any) -> None:
    script = new(tmp_path)
    sound = script.read_text()
    script.write_text(change(sound))
    assert script.read_text() != sound
    capsys.readouterr()
    assert check(script) == 1
    told = capsys.readouterr().out.splitlines()
    assert any(each.startswith(f"{script}:{line}:") and what in each for each in told), told


def test_a_fault_is_shown_with_a_caret(tmp_path: Path, capsys: Any) -> None:
    script = new(tmp_path)
    script.write_text(script.read_text().replace('"SADD", members', '"SADD", "mine"'))
    capsys.readouterr()
    assert check(script) == 1
    assert capsys.readouterr().out.splitlines() == [
        f'{script}:26:22: builds a key: "mine"; every key must come from KEYS',
        '      redis.call("SADD", "mine", member)',
        "                         ^",
        "1 script, 1 fault (1 only read, not run)",
    ]


@pytest.mark.slow
def test_style_is_a_warning(tmp_path: Path, capsys: Any) -> None:
    """It is printed, and changes no exit code."""
    script = new(tmp_path)
    module = script.with_suffix(".py")
    script.write_text(script.read_text().replace('"SADD", members', '"sadd", members') + "-- " + 90 * "x" + "\n")
    module.write_text(module.read_text())
    capsys.readouterr()
    assert check(script) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"{script}:26:14: warning: says 'sadd'; write commands in capitals"
    assert f"{script}:31:89: warning: is 93 columns wide; 88 are enough" in told
    assert told[-1] == "1 script, no fault"


@pytest.mark.slow
def test_a_header_with_a_fault_hides_none_of_the_lua(tmp_path: Path, capsys: Any) -> None:
    """All are reported at once, in the order of their lines; files without a fault are passed over."""
    sound, faulty = new(tmp_path, "sound"), new(tmp_path, "faulty")
    faulty.write_text(faulty.read_text().replace("REPEAT safe", "REPEAT often").replace("local taken", "taken"))
    capsys.readouterr()
    assert check(sound, faulty) == 1
    told = [line for line in capsys.readouterr().out.splitlines()[:-1] if not line.startswith("    ")]
    begun = [re.sub(r"^.*faulty\.lua:(\d+):\d+: (\w+).*", r"\1 \2", each) for each in told]
    assert begun[:2] == ["12 REPEAT", "18 assigns"]
    assert all(each.startswith(str(faulty)) for each in told)


@pytest.mark.slow
def test_a_script_runs_with_its_twin(tmp_path: Path, capsys: Any) -> None:
    """The twin is found in the module that names the script's file; a lie in the header shows in what it does."""
    script = new(tmp_path)
    module = script.with_suffix(".py")
    module.write_text(module.read_text().replace("    space.pexpire(members, ttl_ms)\n", ""))
    capsys.readouterr()
    assert check(script) == 1
    assert "its twin leaves a set" in capsys.readouterr().out
    assert check(script, "--read-only") == 0
    assert capsys.readouterr().out == "1 script, no fault (1 only read, not run)\n"


@pytest.mark.slow
def test_a_script_in_a_package_runs_with_its_twin(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    """A folder is checked as a whole; a module is imported by its name in its package."""
    (tmp_path / "src").mkdir()
    command = ["script", "new", "borrow", "--into", str(tmp_path), "--package", "shelf.loans", "--family", "book"]
    assert main(command) == 0
    capsys.readouterr()
    assert check(tmp_path) == 0
    assert capsys.readouterr().out == "1 script, no fault\n", "not even said to be only read"
    monkeypatch.chdir(tmp_path / "src" / "shelf" / "loans" / "lua")
    assert check(Path("book_borrow.lua")) == 0
    assert capsys.readouterr().out == "1 script, no fault\n", "also from inside the folder"
    assert not [name for name in sys.modules if name.startswith("shelf")], "another folder may have a package shelf"


@pytest.mark.slow
@pytest.mark.skipif(not engines(), reason="no server program is here to compare with")
def test_agree_compares_script_and_twin_on_servers(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    """A difference is reported with the engine; agreement reports nothing."""
    name, engine = next(iter(engines().items()))
    monkeypatch.setattr("coord.testing.servers.engines", lambda: {name: engine})
    script = new(tmp_path, "lend")
    capsys.readouterr()
    assert check(script, "--agree") == 0
    assert capsys.readouterr().out == "1 script, no fault\n"
    script = new(tmp_path, "lend_more")
    module = script.with_suffix(".py")
    module.write_text(module.read_text().replace("taken >= limit", "taken > limit"))
    capsys.readouterr()
    assert check(script, "--agree") == 1
    assert f"{script}:1:1: {name}: {script} and its twin disagree" in capsys.readouterr().out


@pytest.mark.slow
def test_a_script_in_the_text_of_a_module_is_checked(tmp_path: Path, capsys: Any) -> None:
    """A Python file is imported, and each script that it makes is read and run."""
    script = new(tmp_path)
    source = script.read_text()
    twin = script.with_suffix(".py").read_text()
    module = tmp_path / "inline.py"
    for text, code in ((source, 0), (source.replace("local taken", "taken"), 1)):
        read = 'Path(__file__).with_name("reserve.lua").read_text(encoding="utf-8")'
        assert read in twin
        module.write_text(twin.replace(read, repr(text)))
        importlib.invalidate_caches()
        capsys.readouterr()
        assert check(module) == code
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "reserve.lua:18:1: assigns the global 'taken', which servers refuse: add 'local'"
    assert told[-1] == "1 script, 2 faults (1 only read, not run)"


def test_a_module_that_cannot_be_imported(tmp_path: Path, capsys: Any) -> None:
    script = new(tmp_path)
    script.with_suffix(".py").write_text("import coord\nraise RuntimeError('not today')  # 'reserve.lua'\n")
    capsys.readouterr()
    assert check(script) == 1
    assert "cannot import" in (said := capsys.readouterr().out)
    assert "not today" in said


def test_files_that_cannot_be_read(tmp_path: Path, capsys: Any) -> None:
    assert check(tmp_path / "none.lua") == 2
    assert "cannot read" in capsys.readouterr().err
    assert check(tmp_path) == 2
    assert "there is no .lua file" in capsys.readouterr().err
    (tmp_path / "latin.lua").write_bytes(b"-- caf\xe9\n")
    assert check(tmp_path / "latin.lua") == 1
    assert capsys.readouterr().out.splitlines()[0].endswith("latin.lua:1:1: is not UTF-8")


@pytest.mark.parametrize("package", ["lupa.lua51", "tree_sitter_lua"])
def test_without_its_packages_it_says_what_to_install(
    package: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = new(tmp_path)
    for name in [name for name in sys.modules if name.startswith(("coord.testing.lint", "coord.cli.script.findings"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert check(script) == 2
    assert "pip install 'coord[lua]'" in capsys.readouterr().err


# --- the other commands of coord script -----------------------------------------------------------


def test_show_prints_the_text_that_is_sent(capsys: Any) -> None:
    (claim,) = (script for script in all_scripts() if script.name == "claim")
    assert main(["script", "show", "claim"]) == 0
    told = capsys.readouterr().out
    assert f"sha     {claim.sha}\n" in told
    assert claim.header is not None
    assert f"cost    {claim.header.cost}\n" in told
    assert told.endswith(f"\n\n{claim.source}")
    assert "\n-- include:" not in told


def test_show_prints_a_users_script(tmp_path: Path, capsys: Any) -> None:
    script = new(tmp_path)
    capsys.readouterr()
    assert main(["script", "show", str(script)]) == 0
    assert f"script  reserve, {script}\n" in capsys.readouterr().out
    assert main(["script", "show", "nothing"]) == 2
    assert "coord has no script 'nothing'" in capsys.readouterr().err


def test_the_grammar_is_the_page_of_the_documents(capsys: Any) -> None:
    page = (LUA.parent / "docs" / "scripts.md").read_text()
    assert main(["script", "grammar"]) == 0
    assert capsys.readouterr().out == page
    with pytest.raises(SystemExit):
        main(["script", "--help"])
    assert page in capsys.readouterr().out


def test_the_grammar_lists_every_kind_and_type() -> None:
    page = (LUA.parent / "docs" / "scripts.md").read_text()
    for word in (*KINDS, *ARGUMENT_TYPES):
        assert f"`{word}`" in page
