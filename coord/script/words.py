"""The words of a header, in the Lua and in the twin: the same, in the same order."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

from coord.errors import ConfigError
from coord.script.header import Header

__all__ = ["check_words"]

_BINDING = re.compile(r"^local ([\w, ]+?) = (.*\b(?:KEYS|ARGV)\[.*)$")
_INDEX = re.compile(r"\b(KEYS|ARGV)\[(\d+)\]")
_LOOP = re.compile(r"(?:for \w+ = (\d+), #ARGV(?:, (\d+))? do|batched\(.*, (\d+)\))")


def check_words(file: str, header: Header, source: str, twin: Callable[..., Any] | None) -> None:
    """Refuse a script whose header, ``local`` lines and twin differ in words or order, with a ``ConfigError``."""
    lines = list(_code(source))
    bound = {place: (name, number) for number, line in lines for place, name in _bound(line)}
    for section, words in (
        ("KEYS", [(key.word, key.line) for key in header.keys]),
        ("ARGV", [(argument.word, argument.line) for argument in header.fixed]),
    ):
        for index, (word, line) in enumerate(words, 1):
            name, number = bound.get((section, index), ("nothing", line))
            if name != word:
                raise ConfigError(
                    f"{file}:{number}: {section}[{index}] is {word!r} in the header and {name!r} in the local lines"
                )
    _check_places(file, header, lines, bound)
    _check_loops(file, header, lines)
    if twin is not None:
        _check_parameters(file, header, twin)


def _code(source: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that is not a comment."""
    for number, line in enumerate(source.split("\n"), 1):
        if not line.lstrip().startswith("--"):
            yield number, line.partition(" --")[0]


def _bound(line: str) -> Iterator[tuple[tuple[str, int], str]]:
    """Yield which of KEYS and ARGV a ``local`` line gives which name."""
    if found := _BINDING.match(line):
        for name, (section, index) in zip(found[1].split(", "), _INDEX.findall(found[2]), strict=False):
            yield (section, int(index)), name


def _check_places(
    file: str, header: Header, lines: list[tuple[int, str]], bound: dict[tuple[str, int], tuple[str, int]]
) -> None:
    """Refuse a key or an argument beyond those that the header declares."""
    most = {"KEYS": len(header.keys), "ARGV": len(header.fixed)}
    if len(header.argv) > len(header.fixed):
        del most["ARGV"]
    for number, line in lines:
        for section, index in _INDEX.findall(line):
            if not 0 < int(index) <= most.get(section, int(index)):
                name = bound.get((section, int(index)), ("", 0))[0]
                what = f"the local lines bind {name!r}" if name else f"{section}[{index}] is used"
                raise ConfigError(f"{file}:{number}: {what}, which {section} in the header does not declare")


def _check_loops(file: str, header: Header, lines: list[tuple[int, str]]) -> None:
    group = len(header.argv) - len(header.fixed)
    first = len(header.fixed) + 1
    loops: dict[tuple[int, int], int] = {}
    for number, line in lines:
        for start, step, last in _LOOP.findall(line):
            loops[int(start or last), int(step or 1)] = number
    if group and (first, group) not in loops:
        number = header.argv[-1].line
        raise ConfigError(
            f"{file}:{number}: the header repeats {group} argument(s) from ARGV[{first}] on; "
            f"no 'for i = {first}, #ARGV, {group} do' reads them"
        )
    if loops and not group:
        number = next(iter(loops.values()))
        raise ConfigError(f"{file}:{number}: a loop reads ARGV to its end, and the header repeats no argument")


def _check_parameters(file: str, header: Header, twin: Callable[..., Any]) -> None:
    parameters = list(inspect.signature(twin).parameters.values())[1:]
    names = tuple(each.name for each in parameters if each.kind is not each.VAR_POSITIONAL)
    takes_rest = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    called = getattr(twin, "__qualname__", repr(twin))
    if names != header.words:
        for in_header, in_twin in zip((*header.words, "nothing"), (*names, "nothing"), strict=False):
            if in_header != in_twin:
                raise ConfigError(f"{file}: the header says {in_header!r} where the twin {called} says {in_twin!r}")
    if takes_rest != any(argument.repeats for argument in header.argv):
        raise ConfigError(f"{file}: only one of the header and the twin {called} has arguments that repeat to the end")
