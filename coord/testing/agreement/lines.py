"""Which lines of twins run: those of their own functions and of libraries they call, not those of the Keyspace."""

from __future__ import annotations

import dis
import inspect
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import coord.memory

__all__ = ["Line", "Trace", "lines_of", "traced"]

Line = tuple[str, int]
"""A file's name and the number of a line in it."""

_MEMORY = str(Path(coord.memory.__file__).parent)
_HASHES = str(Path(coord.memory.__file__).with_name("hashes.py"))
_OF_FIELDS = ("hget", "hmget", "hincrby", "hexists")
_wanted: dict[CodeType, bool] = {}


class Trace(NamedTuple):
    """The lines that ran, and which fields of which hashes they asked for."""

    lines: set[Line]
    fields: set[tuple[str, str]]


@contextmanager
def traced() -> Generator[Trace]:
    """Collect what runs in the block, in this thread."""
    seen: set[Line] = set()
    fields: set[tuple[str, str]] = set()

    def local(frame: FrameType, event: str, _: Any) -> Callable[..., Any]:
        if event == "line":
            seen.add((frame.f_code.co_filename, frame.f_lineno))
        return local

    def called(frame: FrameType, _event: str, _: Any) -> Callable[..., Any] | None:
        code = frame.f_code
        wanted = _wanted.get(code)
        if wanted is None:
            wanted = _wanted[code] = _is_wanted(code)
        if wanted:
            return local
        if code.co_name in _OF_FIELDS and code.co_filename == _HASHES:
            words = frame.f_locals
            asked = words.get("fields") or (words["field"],)
            fields.update((words["key"], field) for field in asked)
        return None

    before = sys.gettrace()
    sys.settrace(called)
    try:
        yield Trace(seen, fields)
    finally:
        sys.settrace(before)


def _is_wanted(code: CodeType) -> bool:
    file = code.co_filename
    return not (file.startswith((_MEMORY, "<")) or file in (__file__, contextmanager.__code__.co_filename))


def lines_of(function: Callable[..., Any]) -> set[Line]:
    """Return every line of a twin that can run, with those of the functions that it calls."""
    return _lines(inspect.unwrap(function), set())


def _lines(function: Any, seen: set[Any]) -> set[Line]:
    if not inspect.isfunction(function) or function in seen or not _is_wanted(function.__code__):
        return set()
    seen.add(function)
    found = _lines_in(function.__code__)
    for instruction in dis.get_instructions(function):
        if instruction.opname == "LOAD_GLOBAL":
            found |= _lines(function.__globals__.get(instruction.argval), seen)
    return found


def _lines_in(code: CodeType) -> set[Line]:
    found = {(code.co_filename, line) for _, _, line in code.co_lines() if line and line != code.co_firstlineno}
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            found |= _lines_in(inner)
    return found
