"""``coord script new``: a script, how it is called, its twin, and their test; all of it runs as it is."""

from __future__ import annotations

import argparse
import builtins
import keyword
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from coord.cli.script.template import LUA, PYTHON, TEST
from coord.errors import ConfigError
from coord.script import all_scripts

__all__ = ["declare"]

_NAME = re.compile(r"(?=.{1,24}$)[a-z][a-z0-9]*(_[a-z0-9]+)*")
_IN_USE = ("check_agreement", "c", "engines", "lint", "named_tuple", "path", "serving")
"""What the module and the test call other things."""


def declare(commands: Any) -> None:
    """Add this command to the parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "new",
        help="write a script, a module that calls it, and a test, to go on from",
        description="Writes NAME.lua, a script with its header; NAME.py, with a function that builds the call and "
        "the script's twin; and test_NAME.py, which checks the Lua, shows what it is for, and compares script and "
        "twin on every server program that is installed. All three run as they are: they give away a limited number "
        "of places, until you make them do what you need.",
        epilog="The test takes pytest and coord[test]. No file is ever written over. Exit code: 0, or 2 when "
        "nothing was written.",
    )
    parser.add_argument("name", metavar="NAME", help="what the script does, such as reserve or move_item")
    parser.add_argument("--into", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)")
    parser.set_defaults(run=_new)


def _new(args: argparse.Namespace) -> int:
    name, folder = _usable(args.name), args.into
    files = {
        folder / f"{name}.lua": _renamed(LUA, name),
        folder / f"{name}.py": _renamed(PYTHON, name),
        folder / f"test_{name}.py": _renamed(TEST, name),
    }
    there = [str(file) for file in files if file.exists()]
    if there:
        raise ConfigError(f"{', '.join(there)}: there already, and not written over")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            file.write_text(text, encoding="utf-8")
            print(f"wrote {file}")
    except OSError as error:
        raise ConfigError(f"cannot write: {error}") from None
    script, _, test = files
    print(f"\nNow change them, and after each change:\n\n  coord script check {script}\n  python -m pytest {test}")
    return 0


def _usable(name: str) -> str:
    """Return a name that can be that of a script, a function, a module and a kind of key; refuse another."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is no name for a script: 1 to 24 small letters, digits and _, such as move_item")
    if keyword.iskeyword(name) or hasattr(builtins, name) or name in _IN_USE:
        raise ConfigError(f"{name!r} is in use for something else in Python, or in what would be written")
    own = {key.shape.split(":")[1] for script in all_scripts() if script.header for key in script.header.keys}
    if name in own or name in {script.name for script in all_scripts()}:
        raise ConfigError(f"{name!r} is one of coord's own, and their keys would meet")
    if find_spec(name) is not None:
        raise ConfigError(f"there is a module {name!r} already, which would be imported instead")
    return name


def _renamed(template: str, name: str) -> str:
    capitals = "".join(part.title() for part in name.split("_"))
    return template.replace("EXAMPLE", name.upper()).replace("Example", capitals).replace("example", name)
