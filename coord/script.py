"""A script, and one call of it: the Lua that runs on a server, and its twin that runs here.

A script's file opens with a header, and the words in that header are its contract:

    -- renew: hold a claim longer, if it is still the asker's.
    --
    -- KEYS   claim    string, expiring: owner|nonce|fence     coord:claim:{name}
    -- ARGV   nonce    name    the attempt that won it
    --        ttl_ms   ms      how long to hold it from now
    -- REPLY  {renewed, fence}
    --        renewed  1 when the asker still held it, else 0
    --        fence    the fence of the asker's claim, "0" when not renewed
    -- ERRORS WRONGTYPE
    -- COST   O(1), one write when renewed
    -- REPEAT safe: a second run renews once more

The same words, in the same order, name the ``local`` lines of the Lua and the parameters of the twin.
``Script`` compares the three when it is made, and names the word on which they disagree.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar

from coord.errors import ConfigError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["Argument", "Call", "Header", "Key", "Script", "all_scripts", "library", "load"]

T = TypeVar("T")

Reply = Any
"""What a script answers: str, int, None, or a list of these."""

Twin = Callable[..., Reply]
"""``twin(space, *keys, *argv)``: the script in Python, over a Keyspace."""

KINDS = ("string", "hash", "set", "list", "zset")
ARGUMENT_TYPES = ("str", "name", "int", "count", "ms", "ms?")

_SECTION = re.compile(r"-- (KEYS|ARGV|REPLY|ERRORS|COST|REPEAT) +(.*)")
_CONTINUED = re.compile(r"-- {8}(.*)")
_BINDING = re.compile(r"^local ([\w, ]+?) = (.*\b(?:KEYS|ARGV)\[.*)$", re.MULTILINE)
_INDEX = re.compile(r"\b(KEYS|ARGV)\[(\d+)\]")
_REST = re.compile(r"(?:for \w+ = (\d+), #ARGV(?:, (\d+))? do|batched\(.*, (\d+)\))")
_INCLUDE = re.compile(r"^-- include: (\w+)$")


class Call(NamedTuple, Generic[T]):
    """One round trip, not yet made.

    ``keys`` are complete, prefix included, and share one hash tag; ``argv`` are strings and integers.
    ``read`` turns the reply, whose strings are ``str``, into the result.
    """

    script: Script
    keys: tuple[str, ...]
    argv: tuple[str | int, ...]
    read: Callable[[Any], T]


@dataclass(frozen=True, slots=True)
class Key:
    """One of a script's KEYS: its word, the kind of value it holds, and the shape of its name."""

    word: str
    kind: str
    shape: str


@dataclass(frozen=True, slots=True)
class Argument:
    """One of a script's ARGV: its word, its type, and whether it repeats to the end."""

    word: str
    type: str
    repeats: bool


@dataclass(frozen=True, slots=True)
class Header:
    """What the comment at the top of a script's file declares."""

    title: str
    keys: tuple[Key, ...]
    argv: tuple[Argument, ...]
    repeat: Literal["safe", "remembered", "never"]

    @property
    def fixed(self) -> tuple[Argument, ...]:
        """The arguments that stand once."""
        return tuple(argument for argument in self.argv if not argument.repeats)

    @property
    def words(self) -> tuple[str, ...]:
        """The words of KEYS and of the arguments that stand once, in order."""
        return (*(key.word for key in self.keys), *(argument.word for argument in self.fixed))


class Script:
    """A Lua script and its twin: one operation, told twice.

    ``source`` is the text of the script's file and ``twin`` the same in Python, ``twin(space, *keys, *argv)``,
    where ``space`` is a ``coord.memory.Keyspace``. Without a twin the script runs on servers only.
    ``file`` is what errors call it.

    A script whose text has a header is checked against its ``local`` lines and the twin's parameters;
    ``ConfigError`` names the file, the word and both sides of a disagreement.
    A script is sent again after a lost reply only if its header's REPEAT line says ``safe``, or
    ``remembered`` and the call carries an operation id.
    """

    __slots__ = ("__dict__", "file", "header", "name", "repeats", "source", "twin")

    def __init__(self, name: str, source: str, twin: Twin | None = None, *, file: str = "") -> None:
        self.name = name
        self.file = file or f"{name}.lua"
        self.source = inline_includes(source, self.file)
        self.twin = twin
        self.header = parse_header(source, self.file)
        self.repeats: Literal["safe", "remembered", "never"] = "never"
        if self.header:
            self.repeats = self.header.repeat
            _same_words(self.file, self.header, source, twin)

    def __repr__(self) -> str:
        return f"<Script {self.name} ({self.file})>"

    @cached_property
    def sha(self) -> str:
        """The digest by which EVALSHA calls it."""
        return hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    @cached_property
    def remember_at(self) -> int:
        """Where ``remember_ms`` stands in ARGV; -1 when the script takes no operation id."""
        return self._place("remember_ms")

    @cached_property
    def sequence_at(self) -> int:
        """Where ``turn`` stands in ARGV, just before ``remember_ms``; -1 when its operation ids have no turns."""
        return self._place("sequence")

    def _place(self, word: str) -> int:
        words = [argument.word for argument in self.header.argv] if self.header else []
        return words.index(word) if word in words else -1

    def line(self, number: int) -> str:
        """The text of one line of the source, counted from 1."""
        lines = self.source.splitlines()
        return lines[number - 1].strip() if 0 < number <= len(lines) else ""


_loaded: dict[str, Script] = {}


def load(name: str, twin: Twin) -> Script:
    """Load ``lua/NAME.lua``, one of the scripts that coord ships, and join it to its twin."""
    source = (_home() / f"{name}.lua").read_text(encoding="utf-8")
    script = _loaded[name] = Script(name, source, twin, file=f"lua/{name}.lua")
    return script


def all_scripts() -> tuple[Script, ...]:
    """Every script that coord ships and that has been loaded, in the order of their names."""
    return tuple(_loaded[name] for name in sorted(_loaded))


def library(name: str) -> str:
    """Return the text of ``lua/lib/NAME.lua``, which ``-- include: NAME`` folds into a script."""
    return (_home() / "lib" / f"{name}.lua").read_text(encoding="utf-8")


def _home() -> Traversable | Path:
    home = files("coord") / "lua"
    if home.is_dir():
        return home
    # A checkout or an editable install: lua/ is our neighbour.
    return Path(__file__).resolve().parent.parent / "lua"


# --- includes ------------------------------------------------------------------------------------


def inline_includes(source: str, file: str, read: Callable[[str], str] = library) -> str:
    """Return ``source`` with each ``-- include: NAME`` line replaced by that library, on that one line.

    One line stays one line, so the line numbers in the server's errors are those of the file.
    """
    done: set[str] = set()
    lines: list[str] = []
    for line in source.splitlines():
        found = _INCLUDE.match(line)
        lines.append(_folded_library(found[1], (file,), done, read) if found else line)
    return "\n".join(lines) + "\n"


def _folded_library(name: str, path: tuple[str, ...], done: set[str], read: Callable[[str], str]) -> str:
    if name in path:
        raise ConfigError(f"{path[0]}: includes go round in a circle: {' -> '.join((*path, name))}")
    if name in done:
        return f"-- {name} is included above"
    try:
        text = read(name)
    except FileNotFoundError:
        raise ConfigError(f"{' -> '.join(path)}: there is no lua/lib/{name}.lua to include") from None
    done.add(name)
    parts: list[str] = []
    for line in map(str.strip, text.splitlines()):
        found = _INCLUDE.match(line)
        if found and found[1] not in done:
            parts.append(_folded_library(found[1], (*path, name), done, read))
        elif found and found[1] in (*path, name):
            raise ConfigError(f"{path[0]}: includes go round in a circle: {' -> '.join((*path, name, found[1]))}")
        elif line and not line.startswith("--"):
            if "--" in line:
                raise ConfigError(f"lua/lib/{name}.lua: a comment after code cannot be folded: {line}")
            parts.append(line)
    return " ".join(parts)


# --- header --------------------------------------------------------------------------------------


def parse_header(source: str, file: str) -> Header | None:
    """Read the header of a script's file; None when the file has none."""
    lines = source.splitlines()
    sections: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in lines:
        if not line.startswith("--"):
            break
        if section := _SECTION.match(line):
            current = sections.setdefault(section[1], [])
            current.append(section[2])
        elif current is not None and (more := _CONTINUED.match(line)):
            current.append(more[1])
    if not sections:
        return None
    for wanted in ("KEYS", "ARGV", "REPLY", "ERRORS", "COST"):
        if wanted not in sections:
            raise ConfigError(f"{file}: its header has no {wanted} line")
    repeat = sections.get("REPEAT", ["never"])[0].replace(":", " ").split()[0]
    if repeat not in ("safe", "remembered", "never"):
        raise ConfigError(f"{file}: REPEAT says {repeat!r}; it is safe, remembered or never")
    return Header(
        title=lines[0].removeprefix("--").strip(),
        keys=tuple(_key(line, file) for line in _entries(sections["KEYS"])),
        argv=tuple(_argument(line, file) for line in _entries(sections["ARGV"])),
        repeat=repeat,  # type: ignore[arg-type]  # narrowed by the test above
    )


def _entries(lines: Iterable[str]) -> list[str]:
    """The lines that begin an entry; deeper ones go on with the one before."""
    return [line for line in lines if line.strip() and line.strip() != "none" and not line.startswith(" ")]


def _key(line: str, file: str) -> Key:
    word, _, rest = line.partition(" ")
    kind = re.match(r"\w+", rest.strip())
    shape = rest.split()[-1] if rest.split() else ""
    if not kind or kind[0] not in KINDS:
        raise ConfigError(f"{file}: KEYS {word} has no kind: one of {', '.join(KINDS)} stands after the word")
    if "{" not in shape:
        raise ConfigError(f"{file}: KEYS {word} shows no shape: end its line with one such as coord:kind:{{name}}")
    return Key(word, kind[0], shape)


def _argument(line: str, file: str) -> Argument:
    word, _, rest = line.partition(" ")
    kind = rest.split()[0] if rest.split() else ""
    if kind not in ARGUMENT_TYPES and "|" not in kind:
        raise ConfigError(
            f"{file}: ARGV {word} has type {kind!r}: one of {', '.join(ARGUMENT_TYPES)}, or words such as A|B"
        )
    return Argument(word.removesuffix("..."), kind, word.endswith("..."))


def _same_words(file: str, header: Header, source: str, twin: Twin | None) -> None:
    """Refuse a script whose header, ``local`` lines and twin do not say the same words in the same order."""
    body = "\n".join(line for line in source.splitlines() if not line.startswith("--"))
    bound = _bound(body)
    for section, wanted in (
        ("KEYS", [key.word for key in header.keys]),
        ("ARGV", [argument.word for argument in header.fixed]),
    ):
        found = [bound.get((section, index + 1), "nothing") for index in range(len(wanted))]
        for index, (in_header, in_lua) in enumerate(zip(wanted, found, strict=True), 1):
            if in_header != in_lua:
                raise ConfigError(
                    f"{file}: {section}[{index}] is {in_header!r} in the header and {in_lua!r} in the local lines"
                )
        extra = [name for (kind, index), name in bound.items() if kind == section and index > len(wanted)]
        if extra:
            raise ConfigError(f"{file}: the local lines bind {extra[0]!r}, which {section} in the header lacks")
    _same_rest(file, header, body)
    if twin is not None:
        _same_parameters(file, header, twin)


def _bound(body: str) -> dict[tuple[str, int], str]:
    bound: dict[tuple[str, int], str] = {}
    for names, values in _BINDING.findall(body):
        for name, (kind, index) in zip(names.split(", "), _INDEX.findall(values), strict=False):
            bound[kind, int(index)] = name
    return bound


def _same_rest(file: str, header: Header, body: str) -> None:
    group = len(header.argv) - len(header.fixed)
    loops = [(int(start or last), int(step or 1)) for start, step, last in _REST.findall(body)]
    wanted = (len(header.fixed) + 1, group)
    if group and wanted not in loops:
        raise ConfigError(
            f"{file}: the header repeats {group} argument(s) from ARGV[{wanted[0]}] on; "
            f"no 'for i = {wanted[0]}, #ARGV, {group} do' reads them"
        )
    if loops and not group:
        raise ConfigError(f"{file}: a loop reads ARGV to its end, and the header repeats no argument")


def _same_parameters(file: str, header: Header, twin: Twin) -> None:
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
