"""Kinds of inputs, and what is done with each."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import itertools
from collections.abc import Callable, Iterator
from functools import cache
from random import Random
from typing import Any

from operations import EXAMPLES
from redis.exceptions import RedisError

import coord
from coord import connecting
from coord.cli import main as cli
from coord.config import from_config
from coord.memory import Keyspace, Memory
from coord.options import Options
from coord.redis.dialing import cluster_from_url, from_url
from coord.redis.wire import new_reader
from coord.script import Script, all_scripts
from coord.urls import memory_name
from fuzz.drawn import PASSWORD, bytes_of_garbage, garbled, reply, text, url, value

__all__ = ["KINDS", "Kind"]

Kind = Callable[[Random], Callable[[], object]]
"""Draws an input, and returns what uses it."""


class _Described:
    """A use of an input that shows it."""

    def __init__(self, use: Callable[[], object], shown: object) -> None:
        self._use, self._shown = use, shown

    def __call__(self) -> object:
        return self._use()

    def __repr__(self) -> str:
        return f"{self._shown!r:.600}"


def _urls(random: Random) -> Callable[[], object]:
    drawn: Any = url(random) if random.random() < 0.97 else value(random)
    asynchronous = random.random() < 0.5

    def use() -> None:
        if memory_name(drawn) is None:
            _dialer(drawn, asynchronous=asynchronous)

    return _Described(use, drawn)


def _dialer(given: str, *, asynchronous: bool, options: Options | None = None) -> object:
    read = cluster_from_url if given.partition("://")[0].endswith("+cluster") else from_url
    return repr(read(given, options or Options(), asynchronous=asynchronous))


class _Unconnected:
    """Reads a URL as the backend of servers does, and connects to nothing."""

    def connect(self, given: str, client: Any, options: Options) -> Memory:
        _dialer(given, asynchronous=False, options=options)
        return Memory(Keyspace())


_unconnected = _Unconnected()
_KEYS = ("backend", "redis", "custom_params", "coordination", "backned", "")
_REDIS = (
    *("dsn", "key_prefix", "ttl_sec", "timeout", "patience", "remember", "max_connections", "in_flight", "eviction"),
    *("password", "", "dns"),
)


def _configuration(random: Random) -> Callable[[], object]:
    table: dict[Any, Any] = {}
    if random.random() < 0.9:
        table["backend"] = random.choice(("memory", "redis", "redis", url(random), text(random), value(random)))
    if random.random() < 0.8:
        table["redis"] = {
            random.choice(_REDIS): random.choice((value(random), 1, 30, "warn")) for _ in range(random.randint(0, 3))
        }
        if random.random() < 0.6:
            table["redis"]["dsn"] = url(random)
    if random.random() < 0.2:
        table[random.choice(_KEYS)] = value(random)
    if str(table.get("backend")) not in ("memory", "redis", "None"):
        # A dotted path would be imported.
        table["backend"] = table["backend"].replace(".", "") if isinstance(table["backend"], str) else table["backend"]
    given: Any = random.choice((table, table, table, {"coordination": table}, value(random)))

    def use() -> None:
        connecting.redis_backend, before = lambda: _unconnected, connecting.redis_backend
        try:
            from_config(given).close()
        finally:
            connecting.redis_backend = before

    return _Described(use, given)


# --- operations ----------------------------------------------------------------------------------


@cache
def _space() -> Keyspace:
    return Keyspace()


@cache
def _coordinator() -> coord.Coordinator:
    return coord.Coordinator(Memory(_space()))


_METHODS: dict[str, tuple[str, ...]] = {
    "": ("once", "claim", "forget", "holder", "bump", "bump_if_current", "version", "is_stale", "key"),
    "kv": (
        *("incr", "delete_one", "get_int", "set_if_absent", "sadd", "srem", "scard", "rpush", "lrange", "expire"),
        "delete",
    ),
    "stats": ("merge", "consume", "peek"),
    "barrier": ("open", "arrive", "fail", "status", "abort"),
    "request": ("register", "add", "done", "fail", "requeue", "is_complete", "status", "cleanup"),
    "semaphore": ("claim", "holders"),
    "limiter": ("hit", "peek", "refund", "penalize", "reset"),
    "quota": ("spend", "reserve", "status"),
    "execution": ("begin", "status", "forget"),
    "leader": ("current",),
    "group": ("members",),
}
_GOOD: dict[str, tuple[Any, ...]] = {
    "limit": (2,),
    "limits": (coord.Limit(3, per=60), coord.Limit(50, per=3600)),
    "deltas": ({"n": 1}, {"a": 2}),
    **dict.fromkeys(("name", "key", "id", "owner", "op_id", "stage", "piece", "member", "value", "by"), ("x", "y")),
    **dict.fromkeys(("members", "values", "keys", "fingerprint", "reason", "error", "prefix"), ("x", "y")),
}


def _arguments_of(random: Random, function: Callable[..., Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return arguments by position and by name: mostly good ones, so that calls get further."""
    args: list[Any] = []
    words: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        good = _GOOD.get(name, (1, 3, 30))
        drawn = random.choice(good) if random.random() < 0.75 else value(random)
        if parameter.kind is parameter.VAR_POSITIONAL:
            args += [drawn, *(random.choice(good) for _ in range(random.choice((0, 0, 1))))]
        elif parameter.kind is parameter.KEYWORD_ONLY or parameter.default is not parameter.empty:
            if random.random() < 0.4:
                words[name] = drawn
        elif parameter.kind is parameter.VAR_KEYWORD:
            words |= {text(random): drawn} if random.random() < 0.2 else {}
        elif random.random() < 0.99:
            args.append(drawn)
    return args, words


@cache
def _handle(name: str) -> Any:
    """Return a handle, for the signatures of its operations."""
    c = _coordinator()
    limits = {"limiter": (coord.Limit(3, per=60),), "quota": (coord.Limit(3, per=60),)}.get(name, ())
    if name in ("", "kv"):
        return c.kv if name else c
    return getattr(c, name)("x", *limits, **({"limit": 2} if name == "semaphore" else {}))


def _operations(random: Random) -> Callable[[], object]:
    handle = random.choice(list(_METHODS))
    method = random.choice(_METHODS[handle])
    made, of_handle = _arguments_of(random, getattr(_coordinator(), handle)) if handle not in ("", "kv") else ([], {})
    args, words = _arguments_of(random, getattr(_handle(handle), method))

    def use() -> None:
        on: Any = _coordinator()
        if handle == "kv":
            on = on.kv
        elif handle:
            on = getattr(on, handle)(*made, **of_handle)
        result = getattr(on, method)(*args, **words)
        release = getattr(result, "release", None)
        if release is not None:
            release()

    return _Described(use, (handle, made, of_handle, method, args, words))


class _Garbling(Keyspace):
    """A keyspace whose scripts answer whatever was drawn."""

    garbage: Any = None
    is_garbling = False

    def answer(self, script: Any, keys: Any, argv: Any, read: Callable[[Any], Any]) -> Any:
        if self.is_garbling:
            return read(self.garbage)
        return super().answer(script, keys, argv, read)


@cache
def _garbling() -> tuple[_Garbling, coord.Coordinator]:
    space = _Garbling()
    return space, coord.Coordinator(Memory(space))


def _replies(random: Random) -> Callable[[], object]:
    example, garbage = random.choice(EXAMPLES), reply(random)
    early = random.random() < 0.3

    def use() -> None:
        space, c = _garbling()
        space.garbage, space.is_garbling = garbage, early
        try:
            prepared = example.prepare(c)
            space.is_garbling = True
            if prepared is not None:
                # A claim that garbage refused has no lease.
                example.run(prepared)
        finally:
            space.is_garbling = False
            space.flush()

    return _Described(use, (example.name, garbage))


# --- scripts and the command line ----------------------------------------------------------------


@cache
def _texts() -> tuple[str, ...]:
    return tuple(script.text for script in all_scripts())


def _headers(random: Random) -> Callable[[], object]:
    whole = random.choice(_texts())
    head, rule, rest = whole.partition("\n\n")
    drawn = garbled(random, head, (1, 2, 3, 8)) + rule + rest if random.random() < 0.8 else garbled(random, whole)
    return _Described(lambda: Script("fuzz", drawn), drawn)


_COMMANDS = (
    "doctor",
    "ls",
    "show",
    "watch",
    "script",
    "script check",
    "script show",
    "--version",
    "--help",
    "nonsense",
)
_FLAGS = ("--prefix", "--json", "--count", "--limit", "--interval", "--help", "-h", "--", "--url", "-x", "--family")
_URLS = (
    *("memory://", "memory://x", f"redis://u:{PASSWORD}@", f"redis://:{PASSWORD}@h/x", f"http://{PASSWORD}@h"),
    *("unix:///nonexistent/coord.sock", f"redis://:{PASSWORD}@localhost:x/0", "nonsense"),
)


def _exit_code(words: list[str]) -> object:
    try:
        return cli(words)
    except SystemExit as ended:
        return ended.code
    except (TypeError, ValueError) as error:
        raise AssertionError("a traceback for the user") from error


def _arguments(random: Random) -> Callable[[], object]:
    words = random.choice(_COMMANDS).split() if random.random() < 0.9 else [text(random)]
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        words.append(random.choice((random.choice(_FLAGS), random.choice(_URLS), text(random))))
    # A folder is searched to its bottom.
    words = [words[0], *(word for word in words[1:] if word.strip("/."))]
    if words[0] == "script" and "new" in words:
        # It writes files.
        words.remove("new")

    def use() -> None:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = _exit_code(words)
        assert code in (0, 2), f"exit code {code}"
        assert PASSWORD not in out.getvalue(), f"a password: {out.getvalue()}"

    return _Described(use, words)


# --- what comes over the wire --------------------------------------------------------------------


def _wire(random: Random) -> Callable[[], object]:
    chunks = [bytes_of_garbage(random) for _ in range(random.choice((1, 2, 3)))]

    def use() -> None:
        reader = new_reader()
        try:
            for chunk in chunks:
                reader.feed(chunk)
                for _ in itertools.takewhile(lambda answer: answer is not False, _answers(reader)):
                    pass
        except (ConnectionError, RedisError):
            # The connection is closed: coord takes it for lost.
            return

    return _Described(use, chunks)


def _answers(reader: Any) -> Iterator[Any]:
    while True:
        yield reader.gets()


def _server(random: Random) -> Callable[[], object]:
    from fuzz.server import Garbage

    chunks = [bytes_of_garbage(random) for _ in range(random.choice((1, 3, 9)))]
    handshakes = random.random() < 0.7
    is_awaited = random.random() < 0.5

    def use() -> None:
        with Garbage(chunks, handshakes=handshakes) as server:
            there = f"redis://u:{PASSWORD}@127.0.0.1:{server.port}/0"
            options: dict[str, Any] = {"timeout": 0.2, "patience": 0.2, "remember": 5}
            if is_awaited:
                asyncio.run(_ask_async(there, options))
            else:
                with coord.connect(there, **options) as c:
                    c.kv.incr("x")

    return _Described(use, (handshakes, is_awaited, chunks))


async def _ask_async(there: str, options: dict[str, Any]) -> None:
    async with coord.connect_async(there, **options) as c:
        await c.kv.incr("x")


KINDS: dict[str, tuple[Kind, float]] = {
    "operations": (_operations, 0.40),
    "urls": (_urls, 0.15),
    "replies": (_replies, 0.16),
    "wire": (_wire, 0.15),
    "headers": (_headers, 0.06),
    "configuration": (_configuration, 0.07),
    "arguments": (_arguments, 0.0095),
    "server": (_server, 0.0005),
}
"""Each kind, and its part of the inputs."""
