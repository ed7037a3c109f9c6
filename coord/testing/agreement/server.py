"""Sides that are servers, over one connection each."""

from __future__ import annotations

import socket
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Protocol, cast

import hiredis

from coord.errors import ReplyError
from coord.redis.wire import new_reader, pack
from coord.script import Script, script_failed
from coord.testing.agreement.compare import Answer, Failed, Stored, Word, is_list, pairs
from coord.testing.agreement.inprocess import LONG
from coord.testing.clock import Clock, VirtualClock, VirtualServer, why_not
from coord.testing.servers import Engine, Server

__all__ = ["AgedSide", "Connects", "ServerSide", "serving"]

_SECONDS = 60.0


class Connects(Protocol):
    """A connection that sends commands and reads replies."""

    def send(self, *commands: Sequence[Any]) -> None:
        """Send commands in one write."""
        ...

    def read(self) -> Any:
        """Return the next reply, or raise it as a ``ReplyError``."""
        ...

    def notices(self) -> list[str] | None:
        """Return the channels of the notices that came since the last look; None: it cannot observe them."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class _Connection:
    """RESP3 over a socket: notices arrive between the replies, so that nothing has to wait for them."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), _SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = new_reader()
        self._heard: list[str] = []
        self._channels: set[str] = set()
        self.send(["HELLO", 3], ["PSUBSCRIBE", "*"])
        self.read()

    def send(self, *commands: Sequence[Any]) -> None:
        self._socket.sendall(b"".join([pack(tuple(_bytes(word) for word in words)) for words in commands]))

    def subscribe(self, keys: Sequence[str]) -> None:
        """Observe the shard channels of these keys as well: no pattern covers them."""
        for key in keys:
            if key not in self._channels:
                self._channels.add(key)
                self.send(["SSUBSCRIBE", key])

    def read(self) -> Any:
        while True:
            reply = self._reader.gets()
            if reply is False:
                data = self._socket.recv(1 << 16)
                if not data:
                    raise ConnectionError("the server closed the connection")
                self._reader.feed(data)
            elif isinstance(reply, hiredis.PushNotification):
                self._push(cast("list[Any]", reply))
            elif isinstance(reply, ReplyError):
                raise reply
            else:
                return reply

    def _push(self, words: list[Any]) -> None:
        if words[0] in ("pmessage", "smessage"):
            self._heard.append(words[-2])

    def notices(self) -> list[str]:
        heard, self._heard = self._heard, []
        return heard

    def close(self) -> None:
        self._socket.close()


def _bytes(word: Any) -> bytes:
    return str(word).encode("utf-8", "surrogateescape")


class ServerSide:
    """A server, over one connection: each step is one write of the call and of a look at all keys.

    ``server`` lives in the clock of the histories (``coord.testing.clock.VirtualServer``).
    A ``connection`` of another kind may be handed in instead.
    """

    unit_us = 1
    slack_ms = 0
    exact_below_ms: int | None = None
    lacks: frozenset[str] = frozenset()

    def __init__(self, server: Server | None = None, *, name: str = "", connection: Connects | None = None) -> None:
        self.name = name or (server.engine.name if server else "a server")
        if server is not None and server.engine.version < (7,):
            self.lacks = frozenset({"SPUBLISH"})
        self.connection = connection or _connected(server)
        self._shas: dict[Script, str] = {}
        self._dump = self._load(_DUMP)
        self.begin()

    def begin(self) -> None:
        """Delete all keys; the scripts stay."""
        self.connection.send(["FLUSHALL"])
        self.connection.read()

    def ask(self, script: Script, keys: Sequence[str], argv: Sequence[Word]) -> None:
        """Send the call, and a look at all keys behind it."""
        self._script = script
        sha = self._shas.get(script) or self._shas.setdefault(script, self._load(self._source(script)))
        if "SPUBLISH" in argv and isinstance(self.connection, _Connection):
            self.connection.subscribe(keys)
        self.send("EVALSHA", sha, len(keys), *keys, *argv)

    def send(self, *words: Any) -> None:
        """Send a command, and a look at all keys behind it."""
        self.connection.notices()
        self.connection.send(words, ["EVALSHA", self._dump, 0])

    def answer(self) -> Answer:
        """Read what the server answered."""
        try:
            reply = self.connection.read()
        except ReplyError as error:
            reply = Failed(str(error), type(script_failed(self._script, str(error))))
        stored = _stored(self.connection.read())
        notices = self.connection.notices()
        return Answer(reply, stored, None if notices is None else tuple(notices))

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def _source(self, script: Script) -> str:
        return script.source

    def _load(self, source: str) -> str:
        self.connection.send(["SCRIPT", "LOAD", source])
        return str(self.connection.read())


class AgedSide(ServerSide):
    """A server in real time, where none can be had that lives in the clock: its keys are aged by hand.

    Before each call every key's time to live is shortened by what the clock moved, and scripts read the time from a
    key. Real time passes too: pauses and TTLs are whole seconds, and what is left may be less than the twin says.
    """

    unit_us = 1_000_000
    slack_ms = 900

    def __init__(self, server: Server, clock: Clock) -> None:
        self._clock = clock
        self._aged_us = clock.now_us
        super().__init__(server, name=f"{server.engine.name} (keys aged by hand)")
        self._age = self._load(_AGE)

    def begin(self) -> None:
        """Delete all keys."""
        super().begin()
        self._aged_us = self._clock.now_us

    def ask(self, script: Script, keys: Sequence[str], argv: Sequence[Word]) -> None:
        """Let the keys grow older, then send the call."""
        now_us = self._clock.now_us
        passed_ms, self._aged_us = (now_us - self._aged_us) // 1000, now_us
        self.connection.send(["EVALSHA", self._age, 1, _NOW, passed_ms, *divmod(now_us, 1_000_000)])
        self.connection.read()
        super().ask(script, keys, argv)

    def _source(self, script: Script) -> str:
        return script.source.replace('redis.call("TIME")', f'redis.call("LRANGE", "{_NOW}", 0, 1)')


_NOW = "coord-testing:now"

_DUMP = f"""
local read = {{
  string = {{ "GET" }}, hash = {{ "HGETALL" }}, set = {{ "SMEMBERS" }},
  list = {{ "LRANGE", 0, -1 }}, zset = {{ "ZRANGE", 0, -1, "WITHSCORES" }},
  stream = {{ "XRANGE", "-", "+" }},
}}
local stored = {{}}
for _, key in ipairs(redis.call("KEYS", "*")) do
  local kind = redis.call("TYPE", key).ok
  local command = read[kind]
  local value
  if kind == "list" and redis.call("LLEN", key) > {LONG} then
    value = {{ redis.call("LLEN", key), redis.call("LINDEX", key, 0), redis.call("LINDEX", key, -1) }}
  else
    value = redis.call(command[1], key, unpack(command, 2))
  end
  stored[#stored + 1] = {{ key, kind, redis.call("PTTL", key), value }}
end
return stored
"""

_AGE = """
for _, key in ipairs(redis.call("KEYS", "*")) do
  local left = redis.call("PTTL", key)
  if left >= 0 and left <= tonumber(ARGV[1]) then
    redis.call("DEL", key)
  elseif left >= 0 then
    redis.call("PEXPIRE", key, left - ARGV[1])
  end
end
redis.call("DEL", KEYS[1])
redis.call("RPUSH", KEYS[1], ARGV[2], ARGV[3])
"""


def _connected(server: Server | None) -> Connects:
    assert server is not None, "a side needs a server or a connection"
    return _Connection(server.port)


def _stored(rows: list[tuple[str, str, int, Any]]) -> Stored:
    return {key: (kind, _plain(kind, value), left) for key, kind, left, value in rows if key != _NOW}


def _plain(kind: str, value: Any) -> Any:
    """Return a value without an order that says nothing."""
    if kind == "hash":
        return pairs(value) if is_list(value) else value
    if kind == "set":
        return frozenset(value)
    if kind == "stream":
        return dict(value)
    if kind == "zset":
        return {member: float(score) for member, score in pairs(value).items()}
    return value


@contextmanager
def serving(engine: Engine) -> Generator[tuple[ServerSide, Clock]]:
    """Start a server that lives in a clock, and yield it as a side together with the clock.

    Where no clock can be had (``coord.testing.clock.why_not``), its keys are aged by hand.
    """
    if why_not():
        hand_moved = Clock()
        with Server(engine) as server, closing(AgedSide(server, hand_moved)) as aged:
            yield aged, hand_moved
        return
    clock = VirtualClock()
    with closing(clock), VirtualServer(engine, clock) as server, closing(ServerSide(server)) as side:
        yield side, clock
