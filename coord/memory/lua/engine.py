"""Run a script's Lua on a Keyspace, as a server runs it: Lua 5.1 by ``lupa``, the extra ``coord[lua]``.

What a script sees is made in ``environment.lua``; here commands are run and values are converted. Bytes that are not
UTF-8 survive the way from Lua into the Keyspace and back.
"""

from __future__ import annotations

import hashlib
import logging
import struct
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any

from coord.errors import ConfigError, ReplyError
from coord.memory.command import COMMANDS, OK, RANDOM, Status
from coord.memory.entries import Entries
from coord.memory.lua.bytecode import without_tail_calls
from coord.memory.parse import double_text
from coord.names import INT64_MAX, INT64_MIN
from coord.script import Script

__all__ = ["LuaEngine"]

_MOST_SCRIPTS = 500
_MOST_VARARGS = 100
_LEVELS = (logging.DEBUG, logging.DEBUG, logging.INFO, logging.WARNING)
_FORBIDDEN = frozenset(
    (
        *("AUTH", "BLPOP", "BRPOP", "DISCARD", "EVAL", "EVALSHA"),
        *("EXEC", "FCALL", "MONITOR", "MULTI", "PSUBSCRIBE", "PUNSUBSCRIBE"),
        *("QUIT", "RESET", "SCRIPT", "SHUTDOWN", "SSUBSCRIBE", "SUBSCRIBE"),
        *("SUNSUBSCRIBE", "UNSUBSCRIBE", "UNWATCH", "WAIT", "WATCH"),
    )
)
_UNDECLARED = "ERR Script attempted to access a key that is not among its KEYS: {}"

_log = logging.getLogger("coord.script")


class LuaEngine:
    """One interpreter, for one Keyspace. It is used under the Keyspace's lock only, by one thread at a time."""

    def __init__(self, space: Entries) -> None:
        self._space = space
        self._keys: Sequence[str] = ()
        self._raised: BaseException | None = None
        self._chunks: dict[str, Any] = {}
        self._lua: Any = _runtime()
        host = (self._execute, _double_text, _sha1hex, _print, self._tick, self._stop, without_tail_calls)
        libraries = self._lua.execute(_source("binary"), _pack_float, _unpack_float)
        libraries[b"cjson"] = self._lua.execute(_source("cjson"))
        self._compile, self._run = self._lua.execute(_source("environment"), self._lua.table_from(host), libraries)

    def run(self, script: Script, keys: Sequence[str], argv: Sequence[str | int]) -> Any:
        """Run a script and return its reply; raise ``ReplyError`` as a server answers it."""
        chunk = self._chunks.get(script.source)
        if chunk is None:
            chunk = self._compiled(script)
        self._keys = keys
        words = [word.encode("utf-8", "surrogateescape") for word in keys]
        words += [
            word.encode("utf-8", "surrogateescape") if isinstance(word, str) else str(word).encode() for word in argv
        ]
        try:
            if len(words) < _MOST_VARARGS:
                reply = self._run(chunk, len(keys), *words)
            else:
                named = self._lua.table_from(words[: len(keys)])
                reply = self._run(chunk, named, self._lua.table_from(words[len(keys) :]))
        finally:
            raised, self._raised = self._raised, None
        if raised is not None:
            raise raised
        if reply.__class__ is tuple:
            return self._reply(script, *reply)
        return _plain(reply)

    def _compiled(self, script: Script) -> Any:
        chunk = self._compile(script.source.encode())
        if chunk.__class__ is tuple:
            raise ReplyError(f"ERR Error compiling script (new function): {_text(chunk[1])}")
        if len(self._chunks) >= _MOST_SCRIPTS:
            self._chunks.clear()
        self._chunks[script.source] = chunk
        return chunk

    # --- commands --------------------------------------------------------------------------------

    def _execute(self, *words: Any) -> Any:
        """Run a command of the script. A list of replies is a table; None in front says what else it is."""
        try:
            if len(words) == 1 and words[0].__class__ is not bytes:
                words = tuple(words[0].values())
            return self._answer([word.decode("utf-8", "surrogateescape") for word in words])
        except ReplyError as error:
            return None, b"error", str(error).encode("utf-8", "surrogateescape")
        except BaseException as error:
            return self._stopped(error)

    def _answer(self, words: list[str]) -> Any:
        if self._raised is not None:
            raise self._raised
        name = words.pop(0).upper()
        found = COMMANDS.get(name)
        if found is None:
            raise ReplyError(_unknown(name))
        if not found.takes(words):
            raise ReplyError("ERR Wrong number of args calling Redis command from script")
        declared = self._keys
        for key in words[found.keys]:
            if key not in declared:
                raise ReplyError(_UNDECLARED.format(ascii(key)))
        reply = found.run(self._space, *words)
        if found.status:
            reply = OK if reply is None else Status(reply)
        return self._converted(reply)

    def _converted(self, reply: Any) -> Any:
        kind = reply.__class__
        if kind is str:
            return reply.encode("utf-8", "surrogateescape")
        if kind is int:
            return reply
        if reply is None:
            return False
        if kind is Status:
            return None, b"status", reply.encode()
        return None, b"list", self._table(reply)

    def _table(self, items: list[Any]) -> Any:
        return self._lua.table_from([self._item(item) for item in items])

    def _item(self, item: Any) -> Any:
        kind = item.__class__
        if kind is str:
            return item.encode("utf-8", "surrogateescape")
        if kind is list:
            return self._table(item)
        return False if item is None else item

    def _tick(self, *_: object) -> None:
        """Called now and then while a script loops, so that signals are handled."""

    def _stop(self, error: object) -> bool:
        """Keep what Python raised between two commands; False for what Lua itself raised."""
        if isinstance(error, BaseException):
            self._raised = error
        return self._raised is not None

    def _stopped(self, error: BaseException) -> tuple[None, bytes]:
        """Keep an exception other than an error reply, to be raised once Lua has ended."""
        self._raised = error
        return None, b"stopped"

    # --- replies ---------------------------------------------------------------------------------

    def _reply(self, script: Script, _: None, kind: bytes, *parts: Any) -> Any:
        if kind == b"row":
            return _value(iter(parts), top=True)
        if kind == b"long":
            return _value(iter(parts[0].values()), top=True)
        text, line = parts
        where = f", on @user_script:{line}." if line else ""
        raise ReplyError(f"{_text(text)} script: {script.sha}{where}")


def _unknown(name: str) -> str:
    if name in RANDOM:
        return f"ERR {name} draws at random, so memory:// and a server could not agree; it is refused"
    if name in _FORBIDDEN:
        return "ERR This Redis command is not allowed from script"
    return f"ERR memory:// has no command '{name}'"


def _value(row: Iterator[Any], *, top: bool = False) -> Any:
    """Read one value of a row."""
    first = next(row)
    if first is not True:
        return _plain(first)
    kind, what = next(row), next(row)
    if kind == b"list":
        return [_value(row) for _ in range(what)]
    text = _text(what)
    if kind == b"status":
        return text
    text = text.replace("\r", " ").replace("\n", " ")
    if top:
        raise ReplyError(text)
    return ReplyError(text)


def _plain(value: Any) -> Any:
    """Convert a scalar: numbers lose their fraction, as on a server."""
    kind = value.__class__
    if kind is bytes:
        return value.decode("utf-8", "surrogateescape")
    if kind is int:
        return value
    if kind is float:
        # Numbers above 64 bits, and NaN, are converted as C does it.
        return int(value) if INT64_MIN <= value < INT64_MAX else INT64_MIN
    return None


def _text(data: Any) -> str:
    found: str = data.decode("utf-8", "surrogateescape")
    return found


# --- what Lua asks of Python ---------------------------------------------------------------------


def _double_text(digits: bytes) -> bytes:
    return double_text(float(digits.decode().replace("-nan", "nan"))).encode()


def _sha1hex(text: bytes) -> bytes:
    return hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()


def _print(level: float, message: bytes) -> None:
    _log.log(_LEVELS[int(level)], "%s", message.decode("utf-8", "replace"))


def _pack_float(digits: bytes, size: int) -> bytes:
    value = float(digits.decode().replace("-nan", "nan"))
    try:
        return struct.pack(">f" if size == 4 else ">d", value)
    except OverflowError:
        return struct.pack(">f", float("inf") if value > 0 else float("-inf"))


def _unpack_float(data: bytes) -> float:
    value: float = struct.unpack(">f" if len(data) == 4 else ">d", data)[0]
    return value


# --- the interpreter -----------------------------------------------------------------------------


def _runtime() -> Any:
    try:
        lupa = import_module("lupa.lua51")
    except ImportError:
        raise ConfigError("a script without a twin needs lupa on memory://: pip install 'coord[lua]'") from None
    return lupa.LuaRuntime(encoding=None, register_eval=False, register_builtins=False, unpack_returned_tuples=True)


@cache
def _source(name: str) -> bytes:
    return (files("coord.memory.lua") / f"{name}.lua").read_bytes()
