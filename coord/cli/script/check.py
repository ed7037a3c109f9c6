"""``coord script check``: what is wrong with the header and the Lua of scripts, each fault with its file and line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coord.errors import ConfigError
from coord.script import Script
from coord.testing.lint import lint

__all__ = ["declare", "faults"]


def declare(commands: Any) -> None:
    """Add this command to the parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "check",
        help="check the headers and the Lua of scripts",
        description="Reads scripts and prints each fault as FILE:LINE: what. The header has to be complete, and to say "
        "what the 'local' lines say. The Lua has to compile as Lua 5.1, use no stray global, take every key from KEYS, "
        "ask no clock but the server's, and lose no digit of a long number. The twin is compared by the test that "
        "'coord script new' writes.",
        epilog="Exit code: 0 when there is no fault, 1 when there is one, 2 when a file could not be read. "
        "Takes lupa: pip install 'coord[lua]'.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a script, such as lua/reserve.lua")
    parser.set_defaults(run=_check)


def _check(args: argparse.Namespace) -> int:
    found = [fault for file in args.files for fault in faults(file)]
    for fault in found:
        print(fault)
    if not found:
        print(f"{len(args.files)} script{'' if len(args.files) == 1 else 's'}, no fault")
    return 1 if found else 0


def faults(file: Path) -> list[str]:
    """Return what is wrong with a script, in the order of its lines."""
    try:
        source = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return [f"{file}:1: is not UTF-8"]
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from None
    found = [*_of_header(file, source), *_of_lua(file, source)]
    return [f"{file}:{line}: {what}" for line, what in sorted(set(found))]


def _of_header(file: Path, source: str) -> Iterator[tuple[int, str]]:
    try:
        script = Script(file.stem, source, file=str(file))
    except ConfigError as error:
        what = str(error).removeprefix(str(file)).removeprefix(": ")
        yield _line_of(what, source), what
        return
    if script.header is None:
        yield 1, "has no header: it says KEYS, ARGV, REPLY, ERRORS, COST and REPEAT, as CONTRIBUTING.md shows"


def _of_lua(file: Path, source: str) -> Iterator[tuple[int, str]]:
    try:
        script = Script(file.stem, source, file=str(file))
    except ConfigError:
        # A header with a fault hides none of the Lua's: the same lines, without a word of the header.
        try:
            script = Script(file.stem, _COMMENT.sub("--", source), file=str(file))
        except ConfigError:
            return
    try:
        told = lint(script)
    except ModuleNotFoundError:
        raise ConfigError("checking Lua takes the package lupa: pip install 'coord[lua]'") from None
    for fault in told:
        line, _, what = fault.removeprefix(f"{file}:").partition(": ")
        yield int(line), what


_COMMENT = re.compile(r"^--(?! include: ).*$", re.MULTILINE)


# --- lines ---------------------------------------------------------------------------------------
# A header is compared as a whole, and its faults name words: the line is the first that has the word.

_PLACES = (
    (r"^(?:KEYS|ARGV) (\w+)", r"^-- (?:KEYS|ARGV)? +{}\b"),
    (r"^(KEYS\[\d+\]|ARGV\[\d+\]) is", r"^local .*{}"),
    (r"^(?:KEYS|ARGV)\[\d+\] is '(\w+)'", r"^-- (?:KEYS|ARGV)? +{}\b"),
    (r"^the local lines bind '(\w+)'", r"^local .*\b{}\b"),
    (r"^(REPEAT) says", r"^-- {}\b"),
    (r"^the header repeats()", r"^-- .*\w\.\.\."),
    (r"^a loop reads (ARGV)", r"#{}"),
    (r"no lua/lib/(\w+)\.lua|circle: \S+ -> (\w+)", r"^-- include: {}$"),
)


def _line_of(what: str, source: str) -> int:
    for said, place in _PLACES:
        found = re.search(said, what)
        if found and (line := _first(place.format(re.escape(found[found.lastindex or 1])), source)):
            return line
    return 1


def _first(pattern: str, source: str) -> int:
    return next((number for number, line in enumerate(source.splitlines(), 1) if re.search(pattern, line)), 0)
