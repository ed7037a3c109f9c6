"""The grammar of headers: what the comment at the top of a script declares. ``docs/scripts.md`` is its reference."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

from coord.errors import ConfigError

__all__ = ["ARGUMENT_TYPES", "KINDS", "Argument", "Header", "Key", "Repeat", "parse_header"]

KINDS = ("string", "hash", "set", "list", "zset", "stream")
ARGUMENT_TYPES = ("str", "name", "int", "count", "ms", "ms?")
Repeat = Literal["safe", "remembered", "never"]

_SECTION = re.compile(r"-- (KEYS|ARGV|REPLY|ERRORS|COST|REPEAT) +(.*)")
_CONTINUED = re.compile(r"-- {8}(.*)")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CHOICE = re.compile(r"[\w-]+(\|[\w-]+)+", re.ASCII)
_TAG = re.compile(r"\{(\w+)\}")
_REPLY_ARRAY = re.compile(r"\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
_RESERVED = (
    "and break do else elseif end false for function if in local nil not or repeat return then true until while "
    "space KEYS ARGV redis math string table cjson cmsgpack struct bit assert error ipairs next pairs pcall select "
    "tonumber tostring type unpack"
)
"""Words that already mean something in Lua, or to a twin; Python's own are refused too."""


@dataclass(frozen=True, slots=True)
class Key:
    """One of a script's KEYS: its word, the kind of value it holds, whether it always has a TTL, and its shape."""

    word: str
    kind: str
    shape: str
    expiring: bool = False
    line: int = 0


@dataclass(frozen=True, slots=True)
class Argument:
    """One of a script's ARGV: its word, its type, whether it repeats to the end, and its meaning."""

    word: str
    type: str
    repeats: bool
    meaning: str = ""
    line: int = 0

    @property
    def least(self) -> int:
        """The least number of values of an argument that repeats."""
        return 1 if self.meaning.startswith("at least one") else 0

    @property
    def is_time(self) -> bool:
        """Whether it is a duration in milliseconds."""
        return self.type.startswith("ms")


@dataclass(frozen=True, slots=True)
class Header:
    """The declarations in the comment at the top of a script's file."""

    title: str
    keys: tuple[Key, ...]
    argv: tuple[Argument, ...]
    reply: str
    errors: str
    cost: str
    repeat: Repeat

    @property
    def fixed(self) -> tuple[Argument, ...]:
        """The arguments that appear once."""
        return tuple(argument for argument in self.argv if not argument.repeats)

    @property
    def words(self) -> tuple[str, ...]:
        """The words of KEYS and of the arguments that appear once, in order."""
        return (*(key.word for key in self.keys), *(argument.word for argument in self.fixed))

    @property
    def reply_sizes(self) -> set[int | None] | None:
        """How many values the arrays have that REPLY allows; a None among them: any number. None: not an array."""
        if not self.reply.startswith("{"):
            return None
        return {_size(found[1]) for found in _REPLY_ARRAY.finditer(self.reply)}

    @property
    def remember_at(self) -> int:
        """The index of ``remember_ms`` in ARGV; -1 when the script takes no operation id."""
        return self._place("remember_ms")

    @property
    def sequence_at(self) -> int:
        """The index of ``sequence`` in ARGV, just before ``remember_ms``; -1 when its operation ids have none."""
        return self._place("sequence")

    @property
    def repeated_at(self) -> int:
        """The index of ``repeated`` in ARGV; -1 when the script does not ask whether a call was sent before."""
        return self._place("repeated")

    def _place(self, word: str) -> int:
        words = [argument.word for argument in self.argv]
        return words.index(word) if word in words else -1


class _Line(NamedTuple):
    number: int
    text: str


def parse_header(source: str, file: str) -> Header | None:
    """Return the header of a script's file; None when it has none. ``ConfigError`` names file, line and fault."""
    sections = _sections(source)
    if not sections:
        return None
    for wanted in ("KEYS", "ARGV", "REPLY", "ERRORS", "COST"):
        if wanted not in sections:
            raise ConfigError(f"{file}:1: its header has no {wanted} line")
    header = Header(
        title=source.split("\n", maxsplit=1)[0].removeprefix("--").strip(),
        keys=tuple(_key(line, file) for line in _entries(sections["KEYS"])),
        argv=tuple(_argument(line, file) for line in _entries(sections["ARGV"])),
        reply="\n".join(line.text for line in sections["REPLY"]),
        errors="\n".join(line.text for line in sections["ERRORS"]),
        cost=" ".join(line.text.strip() for line in sections["COST"]),
        repeat=_repeat(sections, file),
    )
    _check_words(header, file)
    _check_tags(header.keys, file)
    _check_ids(header, file, sections["REPEAT"][0].number if "REPEAT" in sections else 1)
    return header


def _sections(source: str) -> dict[str, list[_Line]]:
    sections: dict[str, list[_Line]] = {}
    current: list[_Line] | None = None
    for number, line in enumerate(source.split("\n"), 1):
        if not line.startswith("--"):
            break
        if section := _SECTION.match(line):
            current = sections.setdefault(section[1], [])
            current.append(_Line(number, section[2]))
        elif current is not None and (more := _CONTINUED.match(line)):
            current.append(_Line(number, more[1]))
    return sections


def _entries(lines: list[_Line]) -> Iterator[_Line]:
    """Yield the lines that begin an entry; deeper ones continue the one before."""
    for line in lines:
        if line.text.strip() and line.text.strip() != "none" and not line.text.startswith(" "):
            yield line


def _key(line: _Line, file: str) -> Key:
    word, _, rest = line.text.partition(" ")
    rest = rest.strip()
    kind = re.match(r"\w+", rest)
    shape = rest.split()[-1] if rest else ""
    if not kind or kind[0] not in KINDS:
        raise ConfigError(f"{file}:{line.number}: KEYS {word} has no kind: write one of {', '.join(KINDS)} after it")
    if len(_TAG.findall(shape)) != 1:
        raise ConfigError(
            f"{file}:{line.number}: KEYS {word} shows no shape: end its line with one such as coord:kind:{{name}}"
        )
    return Key(word, kind[0], shape, rest.startswith(f"{kind[0]}, expiring"), line.number)


def _argument(line: _Line, file: str) -> Argument:
    word, _, rest = line.text.partition(" ")
    kind, _, meaning = rest.strip().partition(" ")
    if kind not in ARGUMENT_TYPES and not _CHOICE.fullmatch(kind):
        raise ConfigError(
            f"{file}:{line.number}: ARGV {word} has type {kind!r}: "
            f"one of {', '.join(ARGUMENT_TYPES)}, or words such as A|B"
        )
    return Argument(word.removesuffix("..."), kind, word.endswith("..."), meaning.strip(), line.number)


def _repeat(sections: dict[str, list[_Line]], file: str) -> Repeat:
    if "REPEAT" not in sections:
        return "never"
    line = sections["REPEAT"][0]
    said = line.text.replace(":", " ").split()[:1]
    if said not in (["safe"], ["remembered"], ["never"]):
        raise ConfigError(f"{file}:{line.number}: REPEAT says {''.join(said)!r}; it must be safe, remembered or never")
    return cast("Repeat", said[0])


# --- what the entries say together ---------------------------------------------------------------


def _check_words(header: Header, file: str) -> None:
    seen: set[str] = set()
    repeats = False
    entries: list[Key | Argument] = [*header.keys, *header.argv]
    for entry in entries:
        place = f"{file}:{entry.line}"
        if not _WORD.fullmatch(entry.word):
            raise ConfigError(f"{place}: {entry.word!r} is not a word: letters, digits and _, no digit first")
        if entry.word in _RESERVED.split() or keyword.iskeyword(entry.word):
            raise ConfigError(f"{place}: {entry.word!r} already means something in Lua or Python: choose another word")
        if entry.word in seen:
            raise ConfigError(f"{place}: {entry.word!r} is declared twice")
        seen.add(entry.word)
        if isinstance(entry, Argument):
            if repeats and not entry.repeats:
                raise ConfigError(f"{place}: {entry.word!r} comes after an argument that repeats to the end")
            repeats = entry.repeats


def _check_tags(keys: tuple[Key, ...], file: str) -> None:
    """Refuse keys of two names: they are in two slots, and a cluster refuses the script."""
    for key in keys[1:]:
        first, tag = _tag(keys[0]), _tag(key)
        if tag != first:
            raise ConfigError(
                f"{file}:{key.line}: {key.word!r} is under {{{tag}}} and {keys[0].word!r} under {{{first}}}: "
                "a cluster refuses keys of two names; give all keys of a script one name in braces"
            )


def _tag(key: Key) -> str:
    found = _TAG.search(key.shape)
    return found[1] if found else ""


def _check_ids(header: Header, file: str, line: int) -> None:
    """Refuse the words of operation ids where they are not one: the transport writes at their places."""
    words = {argument.word: argument for argument in header.argv}
    remember, sequence = words.get("remember_ms"), words.get("sequence")
    repeated = words.get("repeated")
    if repeated is not None and (repeated.type != "0|1" or repeated.repeats):
        raise ConfigError(
            f"{file}:{repeated.line}: 'repeated' tells that an earlier copy of a call may still be executed: its type "
            "is 0|1; give any other argument another name"
        )
    if header.repeat == "remembered":
        if remember is None or remember.type != "ms?" or remember.repeats:
            raise ConfigError(
                f"{file}:{line}: REPEAT says remembered, and no ARGV 'remember_ms' of type ms? says for how long: "
                "a repetition would count twice"
            )
        if not any("<op_id>" in key.shape and key.expiring for key in header.keys):
            raise ConfigError(
                f"{file}:{line}: REPEAT says remembered, and no expiring key with <op_id> in its shape keeps the answer"
            )
    elif remember is not None:
        raise ConfigError(
            f"{file}:{remember.line}: 'remember_ms' belongs to operation ids: REPEAT says remembered, or the argument "
            "has another name"
        )
    if sequence is None:
        return
    is_id = (
        header.remember_at == header.sequence_at + 1
        and sequence.type in ("count", "int")
        and len(header.keys) >= 2
        and header.keys[1].shape == f"{header.keys[0].shape}:op:<op_id>"
    )
    if not is_id:
        raise ConfigError(
            f"{file}:{sequence.line}: 'sequence' belongs to operation ids: it is a count or an int just before "
            "'remember_ms', and the second key is the first with :op:<op_id>; give any other argument another name"
        )


def _size(inside: str) -> int | None:
    """Return how many values an array has, whose braces hold this; None: any number."""
    if "..." in inside:
        return None
    flat = re.sub(r"\{[^{}]*\}", "", inside)
    return len(flat.split(",")) if flat.strip() or "{" in inside else 0
