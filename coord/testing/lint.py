"""Checks of a script's Lua, as far as reading can tell: each fault is one sentence with its file and line.

    assert lint(MY_SCRIPT) == []

Lua 5.1 itself compiles the script, and the globals are read from what it compiled. The rest is read from the text:
that keys come from KEYS, that no time but the server's is used, and what the style asks for.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from coord.script import Script, library

__all__ = ["lint"]

_TABLES = frozenset({"KEYS", "ARGV", "redis", "math", "string", "table"})
_FUNCTIONS = frozenset(
    {"assert", "error", "ipairs", "next", "pairs", "pcall", "select", "tonumber", "tostring", "type"}
)
GLOBALS = _TABLES | _FUNCTIONS | {"unpack"}
"""What a script may use: there on every server, and in the same way."""

_WIDEST = 88
_CLIENT_CLOCK = re.compile(r"(^|_)(now|timestamp|clock|date|epoch)(_|$)")
_KEYLESS = ("TIME", "PUBLISH", "SPUBLISH", "PING", "ECHO")
_ALL_KEYS = ("DEL", "UNLINK", "EXISTS", "MGET", "RENAME", "RENAMENX", "SINTER", "SUNION", "SDIFF")


def lint(script: Script) -> list[str]:
    """Return what is wrong with a script's Lua; an empty list when nothing is."""
    try:
        used = list(_globals(script.source))
    except NotLuaError as error:
        return [f"{script.file}:{error}"]
    text = _Text.read(script.source)
    faults = [
        *_stray(used),
        *_keys(text),
        *_clocks(script, text),
        *_numbers(text),
        *_commands(text),
        *_widths(script.source),
    ]
    return [f"{script.file}:{line}: {what}" for line, what in sorted(set(faults))]


class Fault(NamedTuple):
    """A line, and what is wrong there."""

    line: int
    what: str


# --- globals, from the bytecode ------------------------------------------------------------------
# The format is that of Lua 5.1's string.dump, which lundump.c of its sources reads.


class NotLuaError(Exception):
    """The text is not Lua 5.1: its line, and Lua's own sentence."""


class _Global(NamedTuple):
    line: int
    name: str
    written: bool


_COMPILE = b"""
function(text)
  local made, why = loadstring(text, "=")
  if made then
    return true, string.dump(made)
  end
  return false, why
end
"""
_GETGLOBAL, _SETGLOBAL = 5, 7
_NIL, _BOOLEAN, _NUMBER, _STRING = 0, 1, 3, 4


def _globals(source: str) -> Iterator[_Global]:
    """Yield each global that the compiled script, or a function in it, reads or writes."""
    yield from _Dump(_compiled(source)).function()


def _compiled(source: str) -> bytes:
    lua = import_module("lupa.lua51").LuaRuntime(encoding=None, register_eval=False)
    compiled: Any = lua.eval(_COMPILE)(source.encode())
    done: bool = compiled[0]
    if not done:
        raise NotLuaError(compiled[1].decode(errors="replace").lstrip(":"))
    dumped: bytes = compiled[1]
    return dumped


class _Dump:
    """A reader of dumped functions."""

    def __init__(self, data: bytes) -> None:
        order, self._int, self._size, self._instruction, number = struct.unpack_from("5B", data, 6)
        self._order = "<" if order else ">"
        self._number = number
        self._data = data
        self._at = 12

    def function(self) -> Iterator[_Global]:
        """Read one function, and those inside it."""
        self._string()
        self._skip(2 * self._int + 4)
        code = [self._whole(self._instruction) for _ in range(self._whole(self._int))]
        constants = [self._constant() for _ in range(self._whole(self._int))]
        for _ in range(self._whole(self._int)):
            yield from self.function()
        lines = [self._whole(self._int) for _ in range(self._whole(self._int))]
        for _ in range(self._whole(self._int)):
            self._string()
            self._skip(2 * self._int)
        for _ in range(self._whole(self._int)):
            self._string()
        for line, word in zip(lines, code, strict=True):
            if word & 0x3F in (_GETGLOBAL, _SETGLOBAL):
                yield _Global(line, str(constants[word >> 14]), word & 0x3F == _SETGLOBAL)

    def _constant(self) -> object:
        kind = self._whole(1)
        if kind == _STRING:
            return self._string()
        self._skip({_NIL: 0, _BOOLEAN: 1, _NUMBER: self._number}[kind])
        return None

    def _string(self) -> str:
        size = self._whole(self._size)
        self._skip(size)
        return self._data[self._at - size : self._at].removesuffix(b"\0").decode(errors="replace")

    def _whole(self, size: int) -> int:
        self._skip(size)
        word = self._data[self._at - size : self._at]
        return int.from_bytes(word, "little" if self._order == "<" else "big")

    def _skip(self, size: int) -> None:
        self._at += size


def _stray(used: Iterable[_Global]) -> Iterator[Fault]:
    for line, name, written in used:
        if written:
            yield Fault(line, f"writes the global {name!r}; servers refuse that: it lacks a 'local'")
        elif name not in GLOBALS:
            yield Fault(line, f"reads the global {name!r}, which is not there on every server")


# --- the text, in tokens -------------------------------------------------------------------------


class Token(NamedTuple):
    """A word, a number, a string or a sign, and its line."""

    kind: str
    text: str
    line: int


class Use(NamedTuple):
    """A call of a function: its name, and the tokens of each argument."""

    name: str
    args: tuple[tuple[Token, ...], ...]
    line: int
    at: int


@dataclass
class Function:
    """A local function: its parameters, where its body is, and which parameters it uses as keys."""

    params: list[str]
    body: range
    keyed: set[int] = field(default_factory=set[int])


_TOKEN = re.compile(
    r"""(?P<comment>--\[\[.*?\]\]|--[^\n]*)
      | (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\[\[.*?\]\])
      | (?P<word>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)
      | (?P<number>0[xX][0-9a-fA-F]+|\d+\.?\d*(?:[eE][+-]?\d+)?)
      | (?P<sign>\.\.\.|\.\.|[=~<>]=|[^\s\w])""",
    re.VERBOSE | re.DOTALL,
)


@dataclass
class _Text:
    """A script as tokens, with its functions, its calls and the names that KEYS were given."""

    tokens: list[Token]
    functions: dict[str, Function]
    uses: list[Use]
    keys: set[str]

    @classmethod
    def read(cls, source: str) -> _Text:
        """Read a script."""
        tokens = list(_tokens(source))
        functions = dict(_functions(tokens))
        text = cls(tokens, functions, list(_uses(tokens)), set(_key_names(tokens)))
        text.follow_keys()
        return text

    def inside(self, at: int) -> Function | None:
        """Return the function whose body a token stands in; None for the script itself."""
        return next((function for function in self.functions.values() if at in function.body), None)

    def follow_keys(self) -> None:
        """Find which parameters are used as keys, also by handing them on."""
        before = -1
        while before != (before := sum(len(function.keyed) for function in self.functions.values())):
            for use, arg in self.key_args():
                function = self.inside(use.at)
                if function and len(arg) == 1 and arg[0].text in function.params:
                    function.keyed.add(function.params.index(arg[0].text))

    def key_args(self) -> Iterator[tuple[Use, tuple[Token, ...]]]:
        """Yield each argument that stands where a key stands."""
        for use in self.uses:
            if use.name in ("redis.call", "redis.pcall"):
                command = _literal(use.args[0]) if use.args else None
                last = len(use.args) if command in _ALL_KEYS else 2
                yield from ((use, arg) for arg in (() if command in _KEYLESS else use.args[1:last]))
            elif use.name in self.functions:
                keyed = self.functions[use.name].keyed
                yield from ((use, arg) for place, arg in enumerate(use.args) if place in keyed)


def _tokens(source: str) -> Iterator[Token]:
    line, at = 1, 0
    for found in _TOKEN.finditer(source):
        line += source.count("\n", at, found.start())
        at = found.start()
        if found.lastgroup != "comment":
            yield Token(str(found.lastgroup), found[0], line)


def _functions(tokens: list[Token]) -> Iterator[tuple[str, Function]]:
    for at, token in enumerate(tokens):
        if token.text == "function" and tokens[at - 1].text == "local":
            params, begin = _bracketed(tokens, at + 2)
            yield tokens[at + 1].text, Function([param[0].text for param in params if param], _body(tokens, begin))


def _body(tokens: list[Token], begin: int) -> range:
    depth = 1
    for at in range(begin, len(tokens)):
        if tokens[at].kind == "word":
            depth += (tokens[at].text in ("function", "if", "do", "repeat")) - (tokens[at].text in ("end", "until"))
        if depth == 0:
            return range(begin, at)
    return range(begin, len(tokens))


def _uses(tokens: list[Token]) -> Iterator[Use]:
    for at, token in enumerate(tokens[:-1]):
        if token.kind == "word" and tokens[at + 1].text == "(" and tokens[at - 1].text != "function":
            yield Use(token.text, tuple(map(tuple, _bracketed(tokens, at + 1)[0])), token.line, at)


def _bracketed(tokens: list[Token], at: int) -> tuple[list[list[Token]], int]:
    """Return what stands between an opening bracket and its end, parted at the commas, and where it ends."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for end in range(at, len(tokens)):
        token = tokens[end]
        depth += (token.text in "([{") - (token.text in ")]}")
        if depth == 0:
            return ([] if parts == [[]] else parts), end + 1
        if depth == 1 and token.text == ",":
            parts.append([])
        elif end > at:
            parts[-1].append(token)
    return parts, len(tokens)


def _key_names(tokens: list[Token]) -> Iterator[str]:
    """Yield the names that are bound to a part of KEYS, in ``local`` lines and in loops over all of them."""
    for at, token in enumerate(tokens):
        if token.text == "local":
            line = [other for other in tokens[at + 1 : at + 200] if other.line == token.line]
            signs = [other.text for other in line]
            if "=" in signs:
                middle = signs.index("=")
                names = [other.text for other in line[:middle] if other.kind == "word"]
                values = _bracketed([Token("sign", "(", 0), *line[middle + 1 :]], 0)[0]
                yield from (
                    name for name, value in zip(names, values, strict=False) if value and value[0].text == "KEYS"
                )
        elif token.text == "in" and [other.text for other in tokens[at + 1 : at + 4]] == ["ipairs", "(", "KEYS"]:
            yield tokens[at - 1].text


def _literal(arg: tuple[Token, ...]) -> str | None:
    return arg[0].text[1:-1] if len(arg) == 1 and arg[0].kind == "string" else None


# --- what the text must not say ------------------------------------------------------------------


def _keys(text: _Text) -> Iterator[Fault]:
    for use, arg in text.key_args():
        said = " ".join(token.text for token in arg)
        function = text.inside(use.at)
        if any(token.text == ".." or token.kind == "string" for token in arg):
            yield Fault(use.line, f"builds a key: {said}; every key comes from KEYS")
        elif arg and arg[0].text not in ("KEYS", *text.keys, *(function.params if function else ())):
            yield Fault(use.line, f"uses {said!r} as a key; every key comes from KEYS")


def _clocks(script: Script, text: _Text) -> Iterator[Fault]:
    for argument in script.header.argv if script.header else ():
        if _CLIENT_CLOCK.search(argument.word):
            yield Fault(1, f"takes {argument.word!r} from its caller; only the server's clock counts: TIME, or a TTL")
    tells = {name for name, function in text.functions.items() if _asks_time(text, function.body)}
    while more := {
        name
        for name, function in text.functions.items()
        if name not in tells and any(use.name in tells and use.at in function.body for use in text.uses)
    }:
        tells |= more
    asked = [use for use in text.uses if text.inside(use.at) is None and (use.name in tells or _is_time(use))]
    for use in asked[1:]:
        yield Fault(use.line, "asks for TIME again; it moves on inside a script on 6.2 and 7.0: ask once")


def _asks_time(text: _Text, body: range) -> bool:
    return any(_is_time(use) for use in text.uses if use.at in body)


def _is_time(use: Use) -> bool:
    return use.name in ("redis.call", "redis.pcall") and bool(use.args) and _literal(use.args[0]) == "TIME"


def _numbers(text: _Text) -> Iterator[Fault]:
    """Yield where a number that may be long is made into text; a count of a few digits may be."""
    tokens = text.tokens
    for use in text.uses:
        if use.name == "tostring":
            yield Fault(use.line, 'uses tostring, which rounds at 14 digits; use string.format("%.0f", number)')
        if use.name == "tonumber" and use.at and ".." in (tokens[use.at - 1].text, _behind(tokens, use.at)):
            yield Fault(
                use.line, 'joins a number with .., which rounds at 14 digits; use string.format("%.0f", number)'
            )
    for at, token in enumerate(tokens):
        if token.text == ".." and "number" in (tokens[at - 1].kind, tokens[at + 1].kind):
            yield Fault(token.line, "joins a number with ..; write it as text")


def _behind(tokens: list[Token], at: int) -> str:
    end = _bracketed(tokens, at + 1)[1]
    return tokens[end].text if end < len(tokens) else ""


def _commands(text: _Text) -> Iterator[Fault]:
    for use in text.uses:
        command = _literal(use.args[0]) if use.name in ("redis.call", "redis.pcall") and use.args else None
        if command is not None and command != command.upper():
            yield Fault(use.line, f"says {command!r}; commands stand in capitals")


def _widths(source: str) -> Iterator[Fault]:
    for number, line in enumerate(source.splitlines(), 1):
        if len(line) > _WIDEST and not _is_folded(line):
            yield Fault(number, f"is {len(line)} columns wide; {_WIDEST} are enough")


def _is_folded(line: str) -> bool:
    """Whether a line was an include: it holds a function of the library, whole."""
    names = re.findall(r"\blocal function (\w+)", line)
    return bool(names) and _is_in_library(names[-1])


@cache
def _is_in_library(name: str) -> bool:
    try:
        library(name)
    except FileNotFoundError:
        return False
    return True
