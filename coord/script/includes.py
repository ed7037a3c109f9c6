"""Includes: ``-- include: NAME`` brings a library file into a script, on that one line."""

from __future__ import annotations

import re
from collections.abc import Callable

from coord.errors import ConfigError

__all__ = ["inline_includes"]

Reads = Callable[[str], str]

_INCLUDE = re.compile(r"--\s*include:(.*)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def inline_includes(source: str, file: str, read: Reads) -> str:
    """Return ``source`` with each ``-- include: NAME`` line replaced by that library, on that one line.

    One line stays one line, so the line numbers in a server's errors are those of the file.
    ``read`` returns the text of a library, or raises ``FileNotFoundError``.
    """
    done: set[str] = set()
    lines: list[str] = []
    for number, line in enumerate(source.removesuffix("\n").split("\n"), 1):
        name = _included(line, f"{file}:{number}")
        lines.append(line if name is None else _inlined(name, (f"{file}:{number}",), done, read))
    return "\n".join(lines) + "\n"


def _included(line: str, where: str) -> str | None:
    """Return the name that a line includes; None when it is another line."""
    found = _INCLUDE.match(line)
    if found is None:
        return None
    name = found[1].strip()
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{where}: an include names a file without .lua, in at most 64 letters, digits and _, not {name[:64]!r}"
        )
    return name


def _inlined(name: str, path: tuple[str, ...], done: set[str], read: Reads) -> str:
    if name in path:
        raise ConfigError(f"{path[0]}: includes form a circle: {' -> '.join((*path[1:], name))}")
    if name in done:
        return f"-- {name} is included above"
    try:
        text = read(name)
    except OSError:
        way = "".join(f" (by way of {each})" for each in path[1:][-1:])
        raise ConfigError(f"{path[0]}: there is no lib/{name}.lua to include{way}") from None
    parts: list[str] = []
    for line in map(str.strip, text.split("\n")):
        other = _included(line, f"lib/{name}.lua")
        if other is not None:
            if other not in done:
                parts.append(_inlined(other, (*path, name), done, read))
        elif line and not line.startswith("--"):
            if "--" in line:
                raise ConfigError(f"lib/{name}.lua: a comment after code cannot be put on one line: {line}")
            parts.append(line)
    done.add(name)
    return " ".join(parts)
