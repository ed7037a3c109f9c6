"""A simulated server: it speaks RESP2 and runs scripts on a keyspace, by twin or by Lua, in a clock of its own."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from coord.errors import ConfigError, ReplyError
from coord.memory import Keyspace
from coord.script import Script, all_scripts
from coord.testing.clock import START_US
from coord.testing.sim.loop import SimLoop
from coord.testing.sim.process import Process
from coord.testing.sim.resp import CommandReader, Status, encode

__all__ = ["SimServer", "SimSession", "Space", "script_arguments"]

OK = Status("OK")
_VERSION = "7.2.0"

_BUSY = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
_LOADING = "LOADING Redis is loading the dataset in memory"
_READONLY = "READONLY You can't write against a read only replica."
_NOSCRIPT = "NOSCRIPT No matching script. Please use EVAL."


class Space(Keyspace):
    """A keyspace that hands what is published to its server, not to waiters of this process."""

    def __init__(self, clock: Callable[[], int]) -> None:
        super().__init__(clock)
        self.sent: list[tuple[str, str]] = []

    def publish(self, channel: str, message: str | float) -> int:
        """PUBLISH and SPUBLISH."""
        self.sent.append((channel, str(message)))
        return 0


class SimServer:
    """One server. ``executed`` counts the scripts that ran, by name; ``note`` gets the events for the trace."""

    def __init__(
        self,
        loop: SimLoop,
        name: str,
        address: tuple[str, int],
        note: Callable[..., None],
        scripts: Iterable[Script] = (),
    ) -> None:
        self.loop = loop
        self.name = name
        self.address = address
        self.process: Process = loop.process(name)
        self.space = Space(self.now_us)
        self.offset_us = 0
        self.busy_until = self.loading_until = 0.0
        self.readonly = False
        self.executed: Counter[str] = Counter()
        self.sessions: list[SimSession] = []
        self._note = note
        self.known = {script.sha: script for script in (*all_scripts(), *scripts)}
        self._loaded: set[str] = set()

    def __repr__(self) -> str:
        return f"<SimServer {self.name}>"

    def now_us(self) -> int:
        """Return the server's wall clock, in microseconds since 1970."""
        return START_US + int(self.loop.elapsed * 1_000_000) + self.offset_us

    def open(self, reply: Callable[[bytes], None], *, duplicate: bool = False) -> SimSession:
        """Take a connection."""
        session = SimSession(self, reply, duplicate=duplicate)
        self.sessions.append(session)
        return session

    def flush_scripts(self) -> None:
        """SCRIPT FLUSH."""
        self._loaded.clear()

    # --- commands --------------------------------------------------------------------------------

    def refusal(self, command: str) -> ReplyError | None:
        """Why a command is refused at present; None when it is not."""
        now = self.loop.now
        if now < self.loading_until and command != "HELLO":
            return ReplyError(_LOADING)
        if now < self.busy_until and command not in ("HELLO", "AUTH", "CLIENT"):
            return ReplyError(_BUSY)
        return None

    def evalsha(self, session: SimSession, words: list[str]) -> Any:
        """Run a script's twin, or its Lua if it has none; what it publishes is sent once it has ended."""
        script = self.known.get(words[1])
        if script is None or words[1] not in self._loaded:
            return ReplyError(_NOSCRIPT)
        if self.readonly:
            return ReplyError(_READONLY)
        count = int(words[2])
        keys, argv = words[3 : 3 + count], words[3 + count :]
        if (moved := self.redirect(session, keys)) is not None:
            return moved
        self.executed[script.name] += 1
        try:
            if script.twin is None:
                reply = self.space.call(Space.run_lua, script, keys, argv)
            else:
                reply = self.space.call(script.twin, *keys, *script_arguments(script, argv))
        except ReplyError as error:
            reply = error
        self._note(self.name, script.name, keys, argv, reply)
        self.written(keys)
        sent, self.space.sent = self.space.sent, []
        for channel, message in sent:
            self.publish(channel, message)
        return reply

    def redirect(self, session: SimSession, keys: list[str]) -> ReplyError | None:
        """Return the redirection of a call; a standalone server has all keys."""
        return None

    def written(self, keys: list[str]) -> None:
        """A script ran with these keys: what copies a server has a look."""

    def script(self, words: list[str]) -> Any:
        """SCRIPT LOAD, EXISTS and FLUSH."""
        match words[1].upper():
            case "LOAD":
                sha = hashlib.sha1(words[2].encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
                self._loaded.add(sha)
                if sha not in self.known:
                    self.known[sha] = _script_of(words[2])
                return sha
            case "EXISTS":
                return [int(sha in self._loaded) for sha in words[2:]]
            case "FLUSH":
                self.flush_scripts()
                return OK
            case other:
                return ReplyError(f"ERR unknown subcommand '{other}'")

    def publish(self, channel: str, message: str) -> int:
        """Send a message to the subscribers of a channel; return how many."""
        told = [session for session in self.sessions if session.hears(channel)]
        for session in told:
            session.push(channel, message)
        return len(told)

    def info(self) -> str:
        """INFO, as far as coord reads it."""
        role = "slave" if self.readonly else "master"
        return f"redis_version:{_VERSION}\r\nmaxmemory_policy:noeviction\r\nrole:{role}\r\n"

    def special(self, words: list[str]) -> Any:
        """Answer a command that only some servers know; those of a cluster and of Sentinel."""
        if words[0].upper() == "CLUSTER":
            return ReplyError("ERR This instance has cluster support disabled")
        return ReplyError(f"ERR unknown command '{words[0]}'")


class SimSession:
    """One connection, as its server sees it."""

    def __init__(self, server: SimServer, reply: Callable[[bytes], None], *, duplicate: bool) -> None:
        self._server = server
        self._reply = reply
        self._duplicate = duplicate
        self._reader = CommandReader()
        self._channels: dict[str, str] = {}
        self._protocol = 2
        self.asking = False

    def receive(self, data: bytes) -> None:
        """Run the commands that have arrived, and send the replies in one write."""
        commands = self._reader.feed(data)
        replies = [encode(reply, self._protocol) for words in commands for reply in self._answer(words)]
        if replies:
            self._reply(b"".join(replies))

    def hang_up(self) -> None:
        """The client is gone."""
        self._channels.clear()
        if self in self._server.sessions:
            self._server.sessions.remove(self)

    def hears(self, channel: str) -> bool:
        """Whether it is subscribed to a channel."""
        return channel in self._channels

    def hears_sharded(self, channel: str) -> bool:
        """Whether it is subscribed to a sharded channel."""
        return self._channels.get(channel) == "smessage"

    def push(self, channel: str, message: str) -> None:
        """Send what was published."""
        self._reply(encode([self._channels[channel], channel, message]))

    def _answer(self, words: list[str]) -> list[Any]:
        """Answer a command; subscribing to several channels gives several replies."""
        command = words[0].upper()
        if self._duplicate and not self._may_repeat(command, words):
            return []
        refused = self._server.refusal(command)
        if refused is not None:
            return [refused]
        if command in ("SUBSCRIBE", "SSUBSCRIBE"):
            return self._subscribe(command, words[1:])
        if command in ("UNSUBSCRIBE", "SUNSUBSCRIBE"):
            return self._unsubscribe(command, words[1:])
        reply = self._server.evalsha(self, words) if command == "EVALSHA" else self._plain(command, words)
        # ASKING holds for the next command alone.
        self.asking = command == "ASKING"
        return [reply]

    def _plain(self, command: str, words: list[str]) -> Any:
        server = self._server
        match command:
            case "SCRIPT":
                return server.script(words)
            case "PUBLISH" | "SPUBLISH":
                return server.publish(words[1], words[2])
            case "PING":
                return ["pong", ""] if self._channels else Status("PONG")
            case "INFO":
                return server.info()
            case "HELLO":
                self._protocol = int(words[1]) if len(words) > 1 else self._protocol
                return {"server": "redis", "version": _VERSION, "proto": self._protocol}
            case "CLIENT" if words[1].upper() not in ("SETINFO", "SETNAME"):
                return ReplyError(f"ERR unknown subcommand '{words[1]}'. Try CLIENT HELP.")
            case "CLIENT" | "SELECT" | "AUTH" | "ASKING":
                return OK
            case "TIME":
                return [str(part) for part in divmod(server.now_us(), 1_000_000)]
            case _:
                return server.special(words)

    def _may_repeat(self, command: str, words: list[str]) -> bool:
        """Whether a second delivery is one that coord promises to survive."""
        script = self._server.known.get(words[1]) if command == "EVALSHA" else None
        if script is None:
            return False
        remembered = script.repeats == "remembered" and words[3 + int(words[2]) + script.remember_at] not in ("", "0")
        return script.repeats == "safe" or remembered

    def _subscribe(self, command: str, channels: list[str]) -> list[Any]:
        kind = "smessage" if command == "SSUBSCRIBE" else "message"
        replies: list[Any] = []
        for channel in channels:
            moved = self._server.redirect(self, [channel]) if kind == "smessage" else None
            if moved is not None:
                replies.append(moved)
                continue
            self._channels[channel] = kind
            replies.append([command.lower(), channel, len(self._channels)])
        return replies

    def _unsubscribe(self, command: str, channels: list[str]) -> list[Any]:
        replies: list[Any] = []
        for channel in channels or list(self._channels) or [""]:
            self._channels.pop(channel, None)
            replies.append([command.lower(), channel or None, len(self._channels)])
        return replies

    def drop_channels(self, moved: Callable[[str], bool]) -> None:
        """Unsubscribe from sharded channels whose slot has gone to another node, and say so."""
        for channel in [each for each, kind in self._channels.items() if kind == "smessage" and moved(each)]:
            del self._channels[channel]
            self._reply(encode(["sunsubscribe", channel, len(self._channels)]))


def _script_of(source: str) -> Script:
    """Return what a client loaded, as a script without a twin."""
    name = source.removeprefix("--").partition(":")[0].strip()
    try:
        return Script(name, source)
    except ConfigError:
        # Its own text made it a script; with libraries in the text, words of theirs may not be the header's.
        return Script(name, _COMMENT.sub("--", source))


_COMMENT = re.compile(r"^--.*$", re.MULTILINE)
_NUMBERS = ("int", "count", "ms", "ms?")


def script_arguments(script: Script, argv: list[str]) -> list[str | int]:
    """Return what the twin is given: the words of the wire, numbers where the header says so."""
    if script.header is None:
        return list(argv)
    fixed = script.header.fixed
    rest = [argument for argument in script.header.argv if argument.repeats]
    given: list[str | int] = []
    for place, word in enumerate(argv):
        argument = fixed[place] if place < len(fixed) else rest[(place - len(fixed)) % len(rest)]
        given.append(int(word) if argument.type in _NUMBERS else word)
    return given
