"""Compare the commands of a Keyspace with those of real servers: any row of commands, in virtual time.

Each row of commands runs on both; after every command the replies, the errors and all keys (types, values, times to
live) must be equal. Where servers differ from each other, a table of the test says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import pytest
from backends import covered
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from redis.backoff import NoBackoff
from redis.connection import Connection
from redis.exceptions import ResponseError
from redis.retry import Retry
from reporting import say

from coord.errors import ReplyError
from coord.memory import Keyspace
from coord.memory.parse import double_text
from coord.testing.clock import START_US, VirtualClock, VirtualServer, why_not
from coord.testing.servers import Engine

ENGINES = [pytest.param(engine, id=name) for name, engine in covered().items()]
PAUSES = st.sampled_from([0, 0, 0, 0, 1, 999, 1_000, 1_001, 500_000, 501_000, 999_000, 1_000_000, 5_000_000])

Words = list[Any]
Differs = Callable[[Sequence[Any], Engine], bool]
"""Whether a command is known to differ on an engine, so that its reply is not compared there."""


class Error(str):
    """An error reply."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Error({str(self)!r})"


def each(*parts: Any) -> st.SearchStrategy[Words]:
    """The words of a command, in order; a strategy for a list stands for as many words."""
    drawn = st.tuples(*(part if isinstance(part, st.SearchStrategy) else st.just(part) for part in parts))
    return drawn.map(lambda words: [word for part in words for word in (part if isinstance(part, list) else [part])])


def some(words: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[list[Any]]:
    return st.lists(words, min_size=1, max_size=most)


def maybe(*parts: Any) -> st.SearchStrategy[list[Any]]:
    """These words, or none."""
    return st.one_of(st.just([]), each(*parts))


def pairs(*parts: Any, most: int = 3) -> st.SearchStrategy[list[Any]]:
    """These words, once or more often."""
    return st.lists(each(*parts), min_size=1, max_size=most).map(lambda rows: [word for row in rows for word in row])


class Remote:
    """A server, over one connection."""

    def __init__(self, server: VirtualServer) -> None:
        connect: Any = Connection
        self.engine = server.engine
        self._connection = connect(
            port=server.port,
            protocol=2,
            decode_responses=True,
            encoding_errors="surrogateescape",
            retry=Retry(NoBackoff(), 0),
        )

    def run(self, *words: Any) -> Any:
        return self.run_all([words])[0]

    def run_all(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        sent = [[str(word).encode("utf-8", "surrogateescape") for word in words] for words in commands]
        if sent:
            self._connection.send_packed_command(self._connection.pack_commands(sent), check_health=False)
        return [self._reply() for _ in commands]

    def _reply(self) -> Any:
        try:
            return _marked(self._connection.read_response())
        except ResponseError as error:
            return _told(str(error))

    def dump(self, keys: Sequence[str]) -> dict[str, Any]:
        seen = self.run_all([words for key in keys for words in (("TYPE", key), ("PTTL", key))])
        kinds, left = seen[::2], seen[1::2]
        reads = [(_READ[kind], key, *_ALL_OF.get(kind, ())) for kind, key in zip(kinds, keys, strict=True)]
        values = self.run_all(reads)
        return {
            key: (kind, _plain(kind, value), ms) for key, kind, value, ms in zip(keys, kinds, values, left, strict=True)
        }

    def close(self) -> None:
        self._connection.disconnect()


_READ = {
    "string": "GET",
    "hash": "HGETALL",
    "set": "SMEMBERS",
    "list": "LRANGE",
    "zset": "ZRANGE",
    "stream": "XRANGE",
}
_ALL_OF = {"list": (0, -1), "zset": (0, -1, "WITHSCORES"), "stream": ("-", "+")}


def _plain(kind: str, value: Any) -> Any:
    match kind:
        case "hash":
            return _paired(value)
        case "set":
            return frozenset(value)
        case "zset":
            return {member: float(score) for member, score in _paired(value).items()}
        case "stream":
            return dict(value)
        case _:
            return value


class Local:
    """A Keyspace in the time of a clock."""

    def __init__(self, clock: VirtualClock) -> None:
        self.space = Keyspace(lambda: clock.now_us)

    def run(self, *words: Any) -> Any:
        try:
            return self.space.call(Keyspace.execute, *words)
        except ReplyError as error:
            return _told(str(error))

    def dump(self) -> dict[str, Any]:
        return self.space.dump()


def _told(text: str) -> Error:
    """An error without its code ERR, which redis-py takes away, and in the words of later versions than 6.2."""
    text = re.sub(r"invalid expire time in (\w+)$", r"invalid expire time in '\1' command", text.removeprefix("ERR "))
    return Error(re.sub(r"(arguments for) ([A-Z]+)$", lambda found: f"{found[1]} '{found[2].lower()}' command", text))


def _marked(reply: Any) -> Any:
    return Error(str(reply)) if isinstance(reply, Exception) else reply


def _paired(flat: list[Any]) -> dict[Any, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


IN_NO_ORDER = ("SMEMBERS", "SUNION", "SINTER", "SDIFF", "HKEYS", "HVALS", "HGETALL", "KEYS")


_FRACTION = re.compile(r"-?\d+(\.\d+)?(e[+-]\d+)?").fullmatch


def comparable(words: Sequence[Any], reply: Any, engine: Engine) -> Any:
    """A reply without an order that says nothing, and with scores in the fewest digits (6.2 prints seventeen)."""
    if words[0].startswith("Z") and engine.version < (7, 2):
        if isinstance(reply, list):
            return [comparable(words, each, engine) for each in reply]
        if isinstance(reply, str) and type(reply) is not Error and _FRACTION(reply):
            return double_text(float(reply))
    return sorted(reply) if isinstance(reply, list) and words[0] in IN_NO_ORDER else reply


@contextmanager
def running(engine: Engine) -> Iterator[tuple[Remote, VirtualClock]]:
    if why_not():
        pytest.skip(f"commands are compared in virtual time only, and there is none: {why_not()}")
    clock = VirtualClock()
    with closing(clock), VirtualServer(engine, clock) as server, closing(Remote(server)) as remote:
        yield remote, clock


def compare(
    engine: Engine, commands: st.SearchStrategy[Words], *, rows: int, differs: Differs = lambda words, engine: False
) -> None:
    """Run rows of drawn commands on a server and on a Keyspace, and fail at the first difference."""
    made = failed = 0
    with running(engine) as (remote, clock):

        @settings(
            max_examples=rows,
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            report_multiple_bugs=False,
            suppress_health_check=tuple(HealthCheck),
        )
        @given(st.lists(st.tuples(PAUSES, commands), min_size=10, max_size=30))
        def compared(row: list[tuple[int, Words]]) -> None:
            nonlocal made, failed
            clock.set(START_US)
            remote.run("FLUSHALL")
            local = Local(clock)
            for pause, words in row:
                if differs(words, engine):
                    continue
                clock.advance(us=pause)
                reply, keys = remote.run_all([words, ("KEYS", "*")])
                theirs = comparable(words, reply, engine)
                mine = comparable(words, local.run(*words), engine)
                assert (mine, type(mine) is Error) == (theirs, type(theirs) is Error), (words, mine, theirs)
                made += 1
                failed += type(mine) is Error
                here, there = local.dump(), remote.dump(keys)
                assert here == there, (words, here, there)

        compared()
    say(f"keyspace: {engine.name}: {made:,} commands, all equal, {failed:,} of them errors")
    assert failed < made * 0.7, "most commands fail: they compare little"
