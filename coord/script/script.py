"""A script: its Lua, its header and its twin, compared when it is made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coord.errors import ConfigError, CoordError
from coord.script.arguments import call_checker
from coord.script.header import Repeat, parse_header
from coord.script.includes import inline_includes
from coord.script.resources import library
from coord.script.words import check_words

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["Reply", "Script", "Twin"]

Reply = Any
"""The reply of a script: str, int, None, or a list of these."""

Twin = Callable[..., Reply]
"""``twin(space, *keys, *argv)``: the script in Python, over a Keyspace."""


class Script:
    """A Lua script and its twin: one operation, written in both languages.

    ``source`` is the text of the script's file and ``twin`` the same in Python, ``twin(space, *keys, *argv)``,
    where ``space`` is a ``coord.memory.Keyspace``. ``file`` is its name in errors. ``lib`` is a folder with library
    files of your own for ``-- include: NAME``; coord's are found without it. ``errors``: the exception for an error
    reply, by its first word.

    A script whose text has a header is checked against its ``local`` lines and the twin's parameters; ``ConfigError``
    names the file, the line and both sides of a disagreement. ``check`` then compares calls with the header.
    A script is sent again after a lost reply only if its header's REPEAT line says ``safe``, or ``remembered`` and the
    call carries an operation id.
    """

    __slots__ = (
        "__dict__",
        "check",
        "checks_calls",
        "errors",
        "file",
        "header",
        "name",
        "repeats",
        "source",
        "text",
        "twin",
    )

    def __init__(
        self,
        name: str,
        source: str,
        twin: Twin | None = None,
        *,
        file: str = "",
        lib: Traversable | Path | None = None,
        errors: Mapping[str, type[CoordError]] | None = None,
    ) -> None:
        self.name = name
        self.file = file or f"{name}.lua"
        # Not splitlines anywhere: a string of Lua may hold what only Python takes for the end of a line.
        self.text = source = source.replace("\r\n", "\n")
        self.source = inline_includes(source, self.file, _reader(lib))
        self.twin = twin
        self.errors = _checked_errors(self.file, errors or {})
        self.header = parse_header(source, self.file)
        self.repeats: Repeat = self.header.repeat if self.header else "never"
        self.checks_calls = True
        """Whether backends compare calls with the header first; coord's operations have checked what they take."""
        self.check = call_checker(name, self.header)
        """``check(keys, argv)`` compares a call with the header, and raises ``TypeError`` or ``ValueError``."""
        if self.header:
            check_words(self.file, self.header, source, twin)

    def __repr__(self) -> str:
        return f"<Script {self.name} ({self.file})>"

    @cached_property
    def sha(self) -> str:
        """The digest by which EVALSHA calls it."""
        return hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    @cached_property
    def remember_at(self) -> int:
        """The index of ``remember_ms`` in ARGV; -1 when the script takes no operation id."""
        return self.header.remember_at if self.header else -1

    @cached_property
    def sequence_at(self) -> int:
        """The index of ``sequence`` in ARGV, just before ``remember_ms``; -1 when its operation ids have none."""
        return self.header.sequence_at if self.header else -1

    @cached_property
    def repeated_at(self) -> int:
        """The index of ``repeated`` in ARGV, "1" when an earlier copy of the call may still be executed; -1: none."""
        return self.header.repeated_at if self.header else -1

    def line(self, number: int) -> str:
        """Return one line of the source, counted from 1; "" when there is none."""
        lines = self.source.split("\n")
        return lines[number - 1] if 0 < number <= len(lines) else ""


def _checked_errors(file: str, errors: Mapping[str, type[CoordError]]) -> dict[str, type[CoordError]]:
    for code, kind in errors.items():
        if not code.isupper() or not code.isidentifier() or code.startswith("COORD_"):
            raise ConfigError(f"{file}: error {code!r}: a code is a word in capitals, and COORD_ is taken")
        if not (isinstance(kind, type) and issubclass(kind, CoordError)):
            raise ConfigError(f"{file}: the error for {code} is not a subclass of CoordError")
    return dict(errors)


def _reader(lib: Traversable | Path | None) -> Callable[[str], str]:
    """Return what reads a library file: from a folder of the user's first, then from coord's."""

    def read(name: str) -> str:
        mine = lib / f"{name}.lua" if lib is not None else None
        return mine.read_text(encoding="utf-8") if mine is not None and mine.is_file() else library(name)

    return read
