"""``coord script new``: a script, how it is called, its twin, and their test; all of it runs as it is."""

from __future__ import annotations

import argparse
import builtins
import keyword
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from coord.cli.script.template import CONFTEST, IN_A_FILE, IN_A_PACKAGE, LUA, PYTHON, TEST
from coord.errors import ConfigError
from coord.script import all_scripts

__all__ = ["declare"]

_NAME = re.compile(r"(?=.{1,24}$)[a-z][a-z0-9]*(_[a-z0-9]+)*")
_PACKAGE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_IN_USE = ("c", "check_agreement", "engines", "lint", "named_tuple", "path", "serving", "trial")
"""Names that the generated module and test use for something else."""


def declare(commands: Any) -> None:
    """Add this command to the parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "new",
        help="write a script, a module that calls it, and a test, to go on from",
        description="Writes NAME.lua, a script with its header; NAME.py, with a family whose operation calls it and "
        "the script's twin; and test_NAME.py, which checks the Lua, shows what it is for, and compares script and twin "
        "on every server program that is installed. All three run as they are: they hand out a limited number of "
        "places. Change them to do what you need.",
        epilog="The test needs coord[testing]. No file is ever overwritten. Exit code: 0, or 2 when nothing "
        "was written.",
    )
    parser.add_argument("name", metavar="NAME", help="what the script does, such as reserve or move_item")
    parser.add_argument("--into", type=Path, default=Path(), metavar="DIR", help="the project's folder (default: here)")
    parser.add_argument(
        "--package",
        metavar="P",
        help="the package that gets script and module, such as shop or shop.stock: in src/ where there is one. "
        "Without it they are files of their own",
    )
    parser.add_argument(
        "--tests", type=Path, metavar="DIR", help="where the test goes (default: tests, with --package, else with NAME)"
    )
    parser.add_argument(
        "--family",
        metavar="F",
        help="the kind of thing that several scripts work on: keys read coord:F:{name}, and files are F_NAME",
    )
    parser.set_defaults(run=_new)


class _Paths(NamedTuple):
    """The paths of the files, and the import path of the module."""

    folder: Path
    lua: Path
    tests: Path
    sources: Path
    """The folder that must be on ``sys.path``."""
    module: str


def _new(args: argparse.Namespace) -> int:
    name = _usable(args.name)
    family = _usable_family(args.family) if args.family else None
    stem = f"{family}_{name}" if family else name
    _refuse_coords_own(stem, family or name)
    if not args.package and find_spec(stem) is not None:
        raise ConfigError(f"a module {stem!r} exists already and would be imported instead: choose another name")
    place = _place(args, stem)
    kind = family or name
    words = {
        **(IN_A_PACKAGE if args.package else IN_A_FILE),
        "STEM": stem,
        "KIND": kind,
        "MODULE": place.module,
        "PACKAGE": args.package or "",
        "EXAMPLE": name.upper(),
        "Result": f"{_capitals(name)}Result",
        "Family_": _capitals(kind),
        "example": name,
    }
    script, module, test = place.lua / f"{stem}.lua", place.folder / f"{stem}.py", place.tests / f"test_{stem}.py"
    files = {file: _filled(text, words) for file, text in ((script, LUA), (module, PYTHON), (test, TEST))}
    there = [str(file) for file in files if file.exists()]
    if there:
        raise ConfigError(f"{', '.join(there)}: exists already, and was not overwritten")
    _write({**_packages(args, place), **files, **_conftest(args, place)})
    print(f"\nNow change them, and after each change:\n\n  coord script check {script}\n  python -m pytest {test}")
    if args.package:
        print('\nThe wheel needs the .lua files: hatchling takes them, setuptools wants package-data = ["lua/*.lua"]')
    return 0


def _place(args: argparse.Namespace, stem: str) -> _Paths:
    root: Path = args.into
    if not args.package:
        return _Paths(root, root, args.tests or root, root, stem)
    if not _PACKAGE.fullmatch(args.package) or any(map(keyword.iskeyword, args.package.split("."))):
        raise ConfigError(f"{args.package!r} is not the name of a package, such as shop or shop.stock")
    top, *_ = args.package.split(".")
    sources = root / "src" if (root / "src").is_dir() and not (root / top / "__init__.py").exists() else root
    folder = sources.joinpath(*args.package.split("."))
    return _Paths(folder, folder / "lua", args.tests or root / "tests", sources, f"{args.package}.{stem}")


def _packages(args: argparse.Namespace, place: _Paths) -> dict[Path, str]:
    """Return an ``__init__.py`` for each level of the package that has none."""
    if not args.package:
        return {}
    folders = [place.folder, *place.folder.parents][: len(args.package.split("."))]
    return {folder / "__init__.py": "" for folder in folders if not (folder / "__init__.py").exists()}


def _conftest(args: argparse.Namespace, place: _Paths) -> dict[Path, str]:
    """Return what lets the test import the module, where nothing else does."""
    file = place.tests / "conftest.py"
    if place.tests.resolve() == place.folder.resolve() or file.exists() or _is_installed(args.package, place.sources):
        return {}
    return {file: CONFTEST.replace("SOURCES", Path(os.path.relpath(place.sources, place.tests)).as_posix())}


def _is_installed(package: str | None, sources: Path) -> bool:
    """Whether Python finds the package there by itself, as after ``pip install -e``."""
    paths = [Path(path).resolve() for path in sys.path if path]
    return package is not None and sources.resolve() in paths and sources.resolve() != Path.cwd()


def _write(files: dict[Path, str]) -> None:
    try:
        for file, text in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            print(f"wrote {file}")
    except OSError as error:
        raise ConfigError(f"cannot write: {error}") from None


def _usable(name: str) -> str:
    """Return a name that can be that of a script, a function, a module and a kind of key; refuse another."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot name a script: use 1 to 24 lower-case letters, digits and _, such as move_item"
        )
    if keyword.iskeyword(name) or hasattr(builtins, name) or name in _IN_USE:
        raise ConfigError(f"{name!r} has another meaning in Python, or in the files to be written: choose another name")
    return name


def _usable_family(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot name a family: use 1 to 24 lower-case letters, digits and _, such as tokens"
        )
    return name


def _refuse_coords_own(stem: str, kind: str) -> None:
    kinds = {key.shape.split(":")[1] for script in all_scripts() if script.header for key in script.header.keys}
    if kind in kinds or stem in {script.name for script in all_scripts()}:
        raise ConfigError(f"{kind!r} is one of coord's own kinds: choose another name")


def _capitals(name: str) -> str:
    return "".join(part.title() for part in name.split("_"))


def _filled(template: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        template = template.replace(word, value)
    return template
