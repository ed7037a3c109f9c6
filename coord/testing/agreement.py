"""Agreement: a script and its twin answer the same and leave the same keys, after any history, at any time.

    def test_my_scripts_agree():
        with serving(engines()["redis-8.2"]) as (server, clock):
            agree([RESERVE, CANCEL], [server], clock, histories=500)

A history is a row of steps. Each step lets some time pass, calls one script with arguments drawn from the types in
its header, and compares the reply and the whole keyspace (keys, types, values, times to live) of every side with
those of the twin. Names come from small pools, so that calls meet at the same keys; pauses end on what is due, one
millisecond before and one after; calls are made again, as by a caller whose answer was lost; now and then a stranger
leaves a value that the script did not expect.

Hypothesis draws the histories, and shortens one that ends in a disagreement before it shows it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeGuard

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from redis.backoff import NoBackoff
from redis.connection import Connection
from redis.exceptions import ResponseError
from redis.retry import Retry

from coord.errors import ConfigError, ReplyError
from coord.memory import Keyspace
from coord.names import INT64_MAX, INT64_MIN, percent_encode
from coord.script import Argument, Key, Script
from coord.testing.clock import START_US, Clock, VirtualClock, VirtualServer, why_not
from coord.testing.servers import Engine, Server

__all__ = [
    "AgedSide",
    "Agreeing",
    "Answer",
    "Disagreement",
    "Failed",
    "LuaSide",
    "Seen",
    "ServerSide",
    "Tally",
    "TwinSide",
    "check",
    "check_agreement",
    "machine",
    "serving",
]

STEPS = 18
"""How many steps a history has."""

Word = str | int
Stored = dict[str, tuple[str, Any, int]]
"""Of each key: its type, its value and its PTTL (-1: no deadline)."""


class Disagreement(AssertionError):  # it is what the test found, not an error of its own
    """A script and its twin differ; the message says in what."""


class Failed(NamedTuple):
    """An error reply."""

    text: str


class Answer(NamedTuple):
    """What a side says after a call: the reply, and all it stores now."""

    reply: Any
    stored: Stored


# --- sides ---------------------------------------------------------------------------------------


class Agreeing(Protocol):
    """One who runs the scripts.

    ``unit_us`` is the smallest step of time that it follows exactly; 1: it is exact also at the very moment of a
    deadline. ``slack_ms`` is by how much less than the twin it may say that a key has left.
    """

    name: str
    unit_us: int
    slack_ms: int

    def begin(self) -> None:
        """Forget all keys: a new history begins."""
        ...

    def ask(self, script: Script, keys: Sequence[str], argv: Sequence[Word]) -> None:
        """Begin a call."""
        ...

    def answer(self) -> Answer:
        """End the call that was begun."""
        ...


class TwinSide:
    """The twins, on a keyspace of their own; the side that all others are compared with."""

    name = "the twin"
    unit_us = 1
    slack_ms = 0

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        """Begin anew, with an empty keyspace."""
        clock = self._clock
        self.space = Keyspace(lambda: clock.now_us)

    def ask(self, script: Script, keys: Sequence[str], argv: Sequence[Word]) -> None:
        """Run the script's twin."""
        assert script.twin is not None, f"{script.file} has no twin"
        try:
            self._reply = self.space.call(script.twin, *keys, *argv)
        except ReplyError as error:
            self._reply = Failed(str(error))

    def answer(self) -> Answer:
        """Return what it answered, and all keys."""
        return Answer(self._reply, self.space.dump())


class LuaSide:
    """The Lua of the scripts, run by lupa on a keyspace of its own: no server is needed."""

    name = "lupa"
    unit_us = 1
    slack_ms = 0

    def __init__(self, clock: Clock) -> None:
        # One for all histories: making an interpreter takes longer than a history.
        self._space = Keyspace(lambda: clock.now_us)

    def begin(self) -> None:
        """Forget all keys."""
        self._space.flush()

    def ask(self, script: Script, keys: Sequence[str], argv: Sequence[Word]) -> None:
        """Run the script's Lua."""
        try:
            self._reply = self._space.call(Keyspace.run_lua, script, keys, argv)
        except ReplyError as error:
            self._reply = Failed(str(error))

    def answer(self) -> Answer:
        """Return what it answered, and all keys."""
        return Answer(self._reply, self._space.dump())


class Sends(Protocol):
    """A connection that packs commands and reads replies, as redis-py's connections do."""

    def pack_commands(self, commands: Iterable[Sequence[Any]], /) -> Any:
        """Return commands as they travel."""
        ...

    def send_packed_command(self, command: Any, /, check_health: bool = True) -> Any:
        """Send them."""
        ...

    def read_response(self) -> Any:
        """Return the next reply, or raise it when it is an error."""
        ...

    def disconnect(self) -> Any:
        """Close it."""
        ...


class ServerSide:
    """A server, over one connection: each step is one write of the call and of a look at all keys.

    ``server`` lives in the clock of the histories (``coord.testing.clock.VirtualServer``).
    A ``connection`` of another kind may be handed in instead.
    """

    unit_us = 1
    slack_ms = 0

    def __init__(self, server: Server | None = None, *, name: str = "", connection: Sends | None = None) -> None:
        self.name = name or (server.engine.name if server else "a server")
        self._connection = connection or _connected(server)
        self._shas: dict[Script, str] = {}
        self._dump = self._load(_DUMP)
        self.begin()

    def begin(self) -> None:
        """Delete all keys; the scripts stay."""
        self._send(["FLUSHALL"])
        self._connection.read_response()

    def ask(self, script: Script, keys: Sequence[str], argv: Sequence[Word]) -> None:
        """Send the call, and a look at all keys behind it."""
        sha = self._shas.get(script) or self._shas.setdefault(script, self._load(self._source(script)))
        self._send(["EVALSHA", sha, len(keys), *keys, *argv], ["EVALSHA", self._dump, 0])

    def answer(self) -> Answer:
        """Read what the server answered."""
        try:
            reply = self._connection.read_response()
        except ResponseError as error:
            reply = Failed(str(error))
        return Answer(reply, _stored(self._connection.read_response()))

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()

    def _source(self, script: Script) -> str:
        return script.source

    def _load(self, source: str) -> str:
        self._send(["SCRIPT", "LOAD", source])
        return str(self._connection.read_response())

    def _send(self, *commands: Sequence[Any]) -> None:
        self._connection.send_packed_command(self._connection.pack_commands(commands), check_health=False)


class AgedSide(ServerSide):
    """A server in real time, where none can be had that lives in the clock: its keys are aged by hand.

    Before each call every key's time to live is shortened by what the clock moved, and scripts read the time from a
    key. Real time passes besides: pauses and TTLs are whole seconds, and what is left may be less than the twin says.
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
        # A moment more: a key must not live on for having been written in the middle of a millisecond.
        self._send(["EVALSHA", self._age, 1, _NOW, passed_ms, *divmod(now_us, 1_000_000)])
        self._connection.read_response()
        super().ask(script, keys, argv)

    def _source(self, script: Script) -> str:
        return script.source.replace('redis.call("TIME")', f'redis.call("LRANGE", "{_NOW}", 0, 1)')


_NOW = "coord-testing:now"

_DUMP = """
local read = {
  string = { "GET" }, hash = { "HGETALL" }, set = { "SMEMBERS" },
  list = { "LRANGE", 0, -1 }, zset = { "ZRANGE", 0, -1, "WITHSCORES" },
}
local stored = {}
for _, key in ipairs(redis.call("KEYS", "*")) do
  local kind = redis.call("TYPE", key).ok
  local command = read[kind]
  local value = redis.call(command[1], key, unpack(command, 2))
  stored[#stored + 1] = { key, kind, redis.call("PTTL", key), value }
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


def _connected(server: Server | None) -> Sends:
    assert server is not None, "a side needs a server or a connection"
    connect: Callable[..., Sends] = Connection
    return connect(host="127.0.0.1", port=server.port, protocol=2, decode_responses=True, retry=Retry(NoBackoff(), 0))


def _stored(rows: list[tuple[str, str, int, Any]]) -> Stored:
    return {key: (kind, _plain(kind, value), left) for key, kind, left, value in rows if key != _NOW}


def _plain(kind: str, value: Any) -> Any:
    """Return a value without an order that says nothing."""
    if kind == "hash":
        return _pairs(value)
    if kind == "set":
        return frozenset(value)
    if kind == "zset":
        return {member: int(score) for member, score in _pairs(value).items()}
    return value


def _pairs(flat: list[Any]) -> dict[Any, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _is_list(reply: Any) -> TypeGuard[list[Any]]:
    return isinstance(reply, list)


# --- steps ---------------------------------------------------------------------------------------
# What is drawn does not say everything: some words stand for what is known only when the step is made.


class Seen(NamedTuple):
    """A text, or a number, that stood in an earlier reply of this history, counted back from the newest."""

    back: int
    number: bool = False


class Edge(NamedTuple):
    """A pause until something is due: which of what is, in the order of time, and how many units of time off."""

    which: int
    off: int


class Form(NamedTuple):
    """What a call consists of: the shapes of its keys, the words of its arguments, and which of them are times."""

    script: Script
    shapes: tuple[str, ...]
    words: tuple[str, ...]
    times: tuple[str, ...]


class Step(NamedTuple):
    """A pause, and a call whose words were drawn."""

    form: Form
    pause: int | Edge
    drawn: Mapping[str, Word | Seen]
    rest: Sequence[tuple[Word | Seen, ...]]

    def __repr__(self) -> str:
        words = [f"{word}={value!r}" for word, value in self.drawn.items()]
        words += [f"*{list(self.rest)!r}"] if self.rest else []
        words += [f"after {self.pause!r} us"] if self.pause else []
        return f"{self.form.script.name}({', '.join(words)})"


class Again(NamedTuple):
    """A pause, and an earlier call of this history once more, as a caller does whose answer was lost."""

    pause: int | Edge
    back: int

    def __repr__(self) -> str:
        return f"again({self.back} back{f', after {self.pause!r} us' if self.pause else ''})"


class Made(NamedTuple):
    """A call as it is made."""

    script: Script
    keys: Sequence[str]
    argv: Sequence[Word]


_TAGS = ("a", "b", "ö:{")
_PARTS = ("1", "2")
_NAMES = ("x", "x", "y", "z|1", "\n€", Seen(0), Seen(1))
_TEXTS = ("x", "y", "", "0", "-1", "1e3", "\0 €|", Seen(0), Seen(1))
_COUNTS = (0, 1, 2, 2**53, INT64_MAX, *(Seen(back, number=True) for back in (0, 0, 0, 1, 2)))
_INTS = (
    *(0, 1, -1, 2, -2, 10, -1000, INT64_MAX, INT64_MAX - 1, INT64_MIN, INT64_MIN + 1),
    *(sign * (2**53 + off) for sign in (1, -1) for off in (-1, 0, 1)),
)
_MS = (1, 2, 3, 50, 1_000, 1_001, 30_000, 10 * 365 * 24 * 3600 * 1000)

_EDGES = tuple(Edge(which, off) for which in range(3) for off in (-1, 0, 1))
_PAUSES = (*(0,) * 12, 1, 7, 999, 1_000, 1_001, 50_000, 1_000_000, 86_400_000_000)

_HOLES = re.compile(r"\{(\w+)\}|<(\w+)>")
_ANY_PAIRS = re.compile(r"^-- REPLY +\{\w+, \w+, \.\.\.\}", re.MULTILINE)


# What a stranger leaves at a key: a value of another kind, or one that nobody who follows the header would write.

_NUMBERS = ("007", "-1", "-0", " 1", "1.0", "0x10", "٣", str(2**53), str(2**53 + 1), str(INT64_MAX), "9" * 20)
_CLAIMS = ("||", "||5", "|n|5", "o|n|12", "o|n|007", "o|n|x", "o|n|٣", f"o|n|{2**53 + 1}", "o|n|" + "9" * 20, "x\n|y|7")
_TEXT = (("RPUSH", "x"), *(("SET", text) for text in ("", "garbage", *_NUMBERS, *_CLAIMS)))
_FIELDS = (("SET", "x"), ("HSET", "z", "1"), *(("HSET", "", "1", "x", text) for text in ("", "garbage", *_NUMBERS)))
_ELSE = (("SET", "x"), ("HSET", "x", "1"))


def _stranger(space: Keyspace, key: str, ttl_ms: int, command: str, *words: str) -> int:
    space.delete(key)
    getattr(space, command.lower())(key, *words)
    if ttl_ms:
        space.pexpire(key, ttl_ms)
    return 1


_STRANGER = Script(
    "foreign_writer",
    """
    redis.call("DEL", KEYS[1])
    redis.call(ARGV[2], KEYS[1], unpack(ARGV, 3))
    if ARGV[1] ~= "0" then
      redis.call("PEXPIRE", KEYS[1], ARGV[1])
    end
    return 1
    """,
    _stranger,
)


class _Draws:
    """The strategies for the steps of histories.

    ``unit_us`` is the time in which the coarsest side moves; ``words`` are pools for words that need their own.
    """

    def __init__(self, unit_us: int, words: Mapping[str, Sequence[Word | Seen]]) -> None:
        self._own = words
        self._ms = tuple(min(ms * max(1, unit_us // 1_000), _MS[-1]) for ms in _MS)
        self._types: Mapping[str, st.SearchStrategy[Any]] = {
            "str": st.sampled_from(_TEXTS),
            "name": st.sampled_from(_NAMES),
            "int": st.integers(-3, 3) | st.sampled_from(_INTS) | st.integers(INT64_MIN, INT64_MAX),
            "count": st.sampled_from(_COUNTS),
            "ms": st.sampled_from(self._ms),
            "ms?": st.sampled_from((0, *self._ms)),
        }
        self._pause = st.sampled_from((*(-(-us // unit_us) * unit_us for us in _PAUSES), *_EDGES))

    def family(self, scripts: Sequence[Script]) -> st.SearchStrategy[Step | Again]:
        """Return the steps of a history in which these scripts are called, and strangers come by now and then."""
        strangers = st.sampled_from([visit for script in scripts for visit in self._visits(script)])
        calls = st.one_of([self._calls(script) for script in scripts])
        again = st.builds(Again, self._pause, st.integers(0, 2))
        steps: Mapping[str, st.SearchStrategy[Step | Again]] = {
            "call": calls,
            "again": again,
            "foreign_writer": strangers.flatmap(lambda visit: visit),
        }
        return st.sampled_from(("call",) * 7 + ("again", "again", "foreign_writer")).flatmap(steps.__getitem__)

    def _calls(self, script: Script) -> st.SearchStrategy[Step]:
        header = script.header
        assert header is not None, f"{script.file} has no header"
        shapes = tuple(key.shape for key in header.keys)
        words = {argument.word: self._word(argument) for argument in header.fixed}
        times = tuple(argument.word for argument in header.fixed if argument.type.startswith("ms"))
        group = [self._word(argument) for argument in header.argv if argument.repeats]
        least = max((argument.least for argument in header.argv), default=0)
        return st.builds(
            Step,
            st.just(Form(script, shapes, tuple(words), times)),
            self._pause,
            st.fixed_dictionaries(self._holes(script, shapes) | words),
            st.lists(st.tuples(*group), min_size=least, max_size=4) if group else st.just(()),
        )

    def _visits(self, script: Script) -> list[st.SearchStrategy[Step]]:
        assert script.header is not None, f"{script.file} has no header"
        return [self._visit(script, key, first=not place) for place, key in enumerate(script.header.keys)]

    def _visit(self, script: Script, key: Key, *, first: bool) -> st.SearchStrategy[Step]:
        left = {"string": _TEXT, "hash": _FIELDS}.get(key.kind, _ELSE)
        # The first key is the entity. What coord notes behind it, nobody else can name; only its type is disturbed.
        values = left if first else left[:1]
        return st.builds(
            Step,
            st.just(Form(_STRANGER, (key.shape,), ("ttl_ms",), ())),
            self._pause,
            st.fixed_dictionaries(self._holes(script, (key.shape,)) | {"ttl_ms": st.sampled_from((0, *self._ms))}),
            st.sampled_from([(value,) for value in values]),
        )

    def _holes(self, script: Script, shapes: Iterable[str]) -> dict[str, st.SearchStrategy[Any]]:
        """Return the strategies for what stands in braces and in angles in the shapes of keys."""
        # An operation id belongs to one operation: no other is asked to repeat it.
        pools = {"op_id": tuple(f"{script.name}-{part}" for part in _PARTS), **self._own}
        found = [hole for shape in shapes for hole in _HOLES.findall(shape)]
        return {tag or part: st.sampled_from(pools.get(tag or part, _TAGS if tag else _PARTS)) for tag, part in found}

    def _word(self, argument: Argument) -> st.SearchStrategy[Any]:
        """Return the strategy for one argument."""
        if argument.word in self._own:
            return st.sampled_from(self._own[argument.word])
        found = self._types.get(argument.type)
        return st.sampled_from(argument.type.split("|")) if found is None else found


def _families(scripts: Sequence[Script]) -> dict[str, list[Script]]:
    """Scripts that meet at the same keys, each such family by itself, and at last all together."""
    found: dict[str, list[Script]] = {}
    for script in scripts:
        if script.header is None or script.twin is None:
            raise ConfigError(f"{script.file}: without a {'twin' if script.header else 'header'} it cannot be compared")
        shape = script.header.keys[0].shape if script.header.keys else ""
        found.setdefault(shape.partition("{")[0], []).append(script)
    return {**found, "all": list(scripts)}


# --- histories -----------------------------------------------------------------------------------


@dataclass
class Tally:
    """What was compared: histories, calls by script, and the visits of strangers in between."""

    histories: int = 0
    calls: Counter[str] = field(default_factory=Counter[str])
    visits: int = 0

    def __str__(self) -> str:
        return f"{self.histories:,} histories, {self.calls.total():,} calls, all equal"


class History(RuleBasedStateMachine):
    """One history. ``machine`` makes the subclass that knows what to compare."""

    twin: TwinSide
    backends: Sequence[Agreeing]
    clock: Clock
    tally: Tally
    unit_us: int
    families: Mapping[str, st.SearchStrategy[Step | Again]]
    turns: Sequence[str]

    def __init__(self) -> None:
        super().__init__()
        self.clock.set(START_US)
        self.seen: list[str] = []
        self.made: list[Made] = []
        self.due_ms: set[int] = set()
        self.stored: Stored = {}
        for side in (self.twin, *self.backends):
            side.begin()

    @initialize(family=st.runner().flatmap(lambda history: st.sampled_from(history.turns)))
    def turn_to(self, family: str) -> None:
        """Decide which keys this history is about."""
        self.tally.histories += 1
        self.steps = self.families[family]

    @rule(step=st.runner().flatmap(lambda history: history.steps))
    def step(self, step: Step | Again) -> None:
        """Let time pass, make the call everywhere, and compare."""
        self.clock.advance(us=self._pause_us(step.pause))
        made = self._made(step)
        if made is None:
            return
        answer = check(self.twin, self.backends, *made)
        self.stored = answer.stored
        if made.script is _STRANGER:
            self.tally.visits += 1
            return
        self.made.append(made)
        self.tally.calls[made.script.name] += 1
        for word in answer.reply if _is_list(answer.reply) else (answer.reply,):
            if isinstance(word, str) and word and word not in self.seen:
                self.seen.append(word)

    def _pause_us(self, pause: int | Edge) -> int:
        unit_us = self.unit_us
        now_ms = self.clock.now_us // 1_000
        self.due_ms.update(now_ms + left for _, _, left in self.stored.values() if left >= 0)
        left_us = sorted((due_ms - now_ms) * 1_000 for due_ms in self.due_ms if due_ms >= now_ms)
        if isinstance(pause, Edge):
            # One unit off is one millisecond, or what the coarsest side can follow.
            off_us = pause.off * max(unit_us, 1_000)
            pause = max(0, left_us[pause.which % len(left_us)] + off_us) if left_us else 0
        if unit_us > 1:
            pause = -(-pause // unit_us) * unit_us
            while pause in left_us:
                pause += unit_us
        return pause

    def _made(self, step: Step | Again) -> Made | None:
        if isinstance(step, Again):
            return self.made[-1 - step.back % len(self.made)] if self.made else None
        drawn = {word: self._word(value) for word, value in step.drawn.items()}
        keys = [_HOLES.sub(lambda hole: _filled(hole, drawn), shape) for shape in step.form.shapes]
        argv = [drawn[word] for word in step.form.words]
        argv += [self._word(value) for group in step.rest for value in group]
        self.due_ms.update(self.clock.now_us // 1_000 + int(drawn[word]) for word in step.form.times)
        return Made(step.form.script, keys, argv)

    def _word(self, value: Word | Seen) -> Word:
        if not isinstance(value, Seen):
            return value
        seen = [int(word) for word in self.seen if _is_count(word)] if value.number else self.seen
        return seen[-1 - value.back % len(seen)] if seen else 0 if value.number else "0"


def _is_count(word: str) -> bool:
    return word.isascii() and word.isdigit() and int(word) <= INT64_MAX


def _filled(hole: re.Match[str], drawn: Mapping[str, Word]) -> str:
    if hole[1]:
        return "{" + percent_encode(str(drawn[hole[1]])) + "}"
    return str(drawn[hole[2]])


def machine(
    scripts: Iterable[Script],
    backends: Iterable[Agreeing],
    clock: Clock,
    *,
    words: Mapping[str, Sequence[Word | Seen]] | None = None,
    tally: Tally | None = None,
) -> type[History]:
    """Return a state machine whose runs are histories of all ``scripts``, compared on all ``backends``.

    Every side lives in the time of ``clock``. ``words`` gives some arguments, or parts of keys, pools of their own.
    ``tally`` counts what was compared.
    """
    backends = list(backends)
    unit_us = max((side.unit_us for side in backends), default=1)
    draws = _Draws(unit_us, words or {})
    families = _families(list(scripts))
    members = {
        "twin": TwinSide(clock),
        "backends": backends,
        "clock": clock,
        "tally": Tally() if tally is None else tally,
        "unit_us": unit_us,
        "families": {name: draws.family(family) for name, family in families.items()},
        # Each family is as often the subject as it has scripts.
        "turns": ["all", "all", *(name for name, family in families.items() if name != "all" for _ in family)],
    }
    return type("History", (History,), members)


def check_agreement(
    scripts: Iterable[Script],
    backends: Iterable[Agreeing],
    clock: Clock,
    *,
    histories: int = 200,
    words: Mapping[str, Sequence[Word | Seen]] | None = None,
    fixed: bool = True,
    shorten: bool = True,
) -> Tally:
    """Run histories; raise ``Disagreement`` at the first difference, return what was compared otherwise.

    ``fixed``: the same histories every time, so that a red build is red again; otherwise new ones.
    ``shorten``: look for the shortest history that ends in the disagreement.
    """
    tally = Tally()
    how = settings(
        max_examples=histories,
        stateful_step_count=STEPS,
        derandomize=fixed,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink) if shorten else (Phase.generate,),
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example),
    )
    run_state_machine_as_test(machine(scripts, backends, clock, words=words, tally=tally), settings=how)
    return tally


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


# --- comparing -----------------------------------------------------------------------------------


def check(
    twin: TwinSide, backends: Iterable[Agreeing], script: Script, keys: Sequence[str], argv: Sequence[Word]
) -> Answer:
    """Make one call everywhere; return the twin's answer, or raise ``Disagreement``, or what the twin raises."""
    backends = list(backends)
    for side in backends:
        side.ask(script, keys, argv)
    try:
        twin.ask(script, keys, argv)
    except Exception as error:
        # What was sent is answered: the next call must not read this one's reply.
        for side in backends:
            side.answer()
        error.add_note(f"the twin of {script.file} raised it, keys={list(keys)!r} argv={list(argv)!r}")
        raise
    mine = twin.answer()
    for side in backends:
        _compare(script, keys, argv, mine, side, side.answer())
    return mine


def _compare(
    script: Script, keys: Sequence[str], argv: Sequence[Word], twin: Answer, side: Agreeing, other: Answer
) -> None:
    mine, theirs = twin.reply, other.reply
    if _ANY_PAIRS.search(script.source):
        mine, theirs = _in_pairs(mine), _in_pairs(theirs)
    differences: list[str] = []
    if not _same(mine, theirs, side.slack_ms):
        differences.append(f"the reply: {mine!r} of the twin, {theirs!r} of {side.name}")
    if twin.stored != other.stored:
        for key in sorted(twin.stored.keys() | other.stored.keys()):
            here, there = twin.stored.get(key), other.stored.get(key)
            if here != there and not _nearly(here, there, side.slack_ms):
                differences.append(f"{key}: {here!r} of the twin, {there!r} on {side.name}")
    if differences:
        call = f"{script.name} keys={list(keys)!r} argv={list(argv)!r}"
        raise Disagreement("\n  ".join((f"{script.file} and its twin disagree after {call}", *differences)))


def _same(mine: Any, theirs: Any, slack_ms: int) -> bool:
    if isinstance(mine, Failed):
        # A server that stops a script puts the script's name and line around its sentence.
        return isinstance(theirs, Failed) and mine.text.removeprefix("ERR ") in theirs.text
    if type(mine) is not type(theirs):
        return False
    if _is_list(mine):
        return len(mine) == len(theirs) and all(_same(*both, slack_ms) for both in zip(mine, theirs, strict=True))
    if slack_ms and isinstance(mine, int) and mine > slack_ms:
        return bool(0 <= mine - theirs <= slack_ms)
    return bool(mine == theirs)


def _in_pairs(reply: Any) -> Any:
    return _pairs(reply) if _is_list(reply) else reply


def _nearly(here: tuple[str, Any, int] | None, there: tuple[str, Any, int] | None, slack_ms: int) -> bool:
    if here is None or there is None or here[:2] != there[:2] or min(here[2], there[2]) < 0:
        return False
    return 0 <= here[2] - there[2] <= slack_ms
