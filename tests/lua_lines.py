"""Which statements of lua/ run: copies of the scripts that log each statement before it is executed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tree_sitter_lua
from tree_sitter import Language, Node, Parser

import coord
from coord.script import Script

LUA = Path(coord.__file__).parent.parent / "lua"
_NOTICE = 2
_parser = Parser(Language(tree_sitter_lua.language()))


def marked(text: str, file: str) -> tuple[str, set[str]]:
    """Return a source that logs ``FILE:LINE`` before each statement, and all that it may log."""
    source = text.encode()
    marks: dict[int, str] = {}
    for statement in _statements(_parser.parse(source).root_node):
        # The lines that name KEYS and ARGV are compared with the header, and run whenever the script does.
        if not statement.text or not _names_arguments(statement.text):
            marks[statement.start_byte] = f"{file}:{statement.start_point[0] + 1}"
    for at, mark in sorted(marks.items(), reverse=True):
        source = source[:at] + f'redis.log({_NOTICE}, "{mark}") '.encode() + source[at:]
    return source.decode(), set(marks.values())


def _names_arguments(statement: bytes) -> bool:
    return statement.startswith(b"local ") and (b"KEYS[" in statement or b"ARGV[" in statement)


def _statements(node: Node) -> Iterator[Node]:
    for child in node.children:
        if node.type in ("chunk", "block") and child.is_named and child.type != "comment":
            yield child
        yield from _statements(child)


def marked_scripts(scripts: list[Script], folder: Path) -> tuple[list[Script], set[str]]:
    """Return copies of the scripts that log their statements, and all that they may log; libraries go to ``folder``."""
    every: set[str] = set()
    for file in (LUA / "lib").glob("*.lua"):
        text, marks = marked(file.read_text(encoding="utf-8"), f"lib/{file.name}")
        (folder / file.name).write_text(text, encoding="utf-8")
        every |= marks
    copies = []
    for script in scripts:
        text, marks = marked(script.text, script.file)
        copies.append(Script(script.name, text, script.twin, file=script.file, lib=folder, errors=script.errors))
        every |= marks
    return copies, every


class _Collected(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.seen: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.add(record.getMessage())


@contextmanager
def logged() -> Iterator[set[str]]:
    """Collect what scripts log while the block runs."""
    logger, handler = logging.getLogger("coord.script"), _Collected()
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield handler.seen
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before
