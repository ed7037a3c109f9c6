"""Lua on a Keyspace gives what each server gives: replies, errors, libraries, and the keys that are left.

Every line of the tables below is a script that runs on real servers and in this process.
"""

from __future__ import annotations

import os
import random
import re
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from differential import ENGINES, Error, Local, Remote, running
from lua_cases import BINARY, CALLS, CJSON, DIFFERENT_ON_6_2, DIFFERENT_TEXT, ERRORS, REPLIES, SANDBOX

import coord
from coord.errors import ReplyError
from coord.memory import Keyspace
from coord.memory.command import COMMANDS
from coord.script import Call, Script
from coord.testing.clock import START_US, VirtualClock

KEYS, ARGV = ("{k}:1", "{k}:2"), ("a", "b\xff", "3")


@pytest.fixture(scope="module", params=ENGINES)
def living(request: pytest.FixtureRequest) -> Iterator[tuple[Remote, VirtualClock]]:
    with running(request.param) as opened:
        yield opened


class Failed(str):
    """An error reply, in the words that all have in common."""

    __slots__ = ()


def told(text: str) -> Failed:
    """An error without the place that 7.0 and newer put behind it, and 6.2 around it."""
    text = re.sub(r",? script: .*$", "", text, flags=re.DOTALL)
    text = re.sub(r"^Error running script \(call to f_\w+\): @\w+:\d+: (@user_script: \d+: )?", "", text)
    text = text.removeprefix("ERR ")
    for theirs, ours in DIFFERENT_TEXT:
        text = re.sub(theirs, ours, text)
    return Failed(text)


def marked(reply: Any) -> Any:
    if isinstance(reply, list):
        return [marked(each) for each in reply]
    if isinstance(reply, Exception) or type(reply) is Error:
        return told(str(reply))
    # An error's text, as a script reads it.
    return str(told(reply)) if isinstance(reply, str) and reply.startswith("ERR ") else reply


def here(space: Keyspace, source: str, keys: tuple[str, ...] = KEYS, argv: tuple[str | int, ...] = ARGV) -> Any:
    try:
        return marked(space.call(Keyspace.run_lua, Script("case", source), keys, argv))
    except ReplyError as error:
        return told(str(error))


def compared(living: tuple[Remote, VirtualClock], source: str) -> None:
    remote, clock = living
    clock.set(START_US)
    remote.run("FLUSHALL")
    local = Local(clock)
    source = Script("case", source).source
    mine = here(local.space, source)
    theirs = marked(remote.run("EVAL", source, len(KEYS), *KEYS, *ARGV))
    if remote.engine.version < (7,) and source.strip() in DIFFERENT_ON_6_2:
        return
    if (mine, type(mine)) != (theirs, type(theirs)):
        pytest.fail(f"{source}\n here:  {mine!r}\n there: {theirs!r}")
    assert local.dump() == remote.dump(remote.run("KEYS", "*")), source


@pytest.mark.parametrize("source", [*REPLIES, *CALLS])
def test_replies_are_those_of_servers(living: tuple[Remote, VirtualClock], source: str) -> None:
    """What a script returns is converted as on a server, and its commands leave the same keys."""
    compared(living, source)


@pytest.mark.parametrize("source", ERRORS)
def test_errors_are_those_of_servers(living: tuple[Remote, VirtualClock], source: str) -> None:
    """What a script raises has the server's words, and what it wrote before stays."""
    compared(living, source)


@pytest.mark.parametrize("source", SANDBOX)
def test_the_sandbox_is_that_of_servers(living: tuple[Remote, VirtualClock], source: str) -> None:
    """Globals are read-only, and nothing leads out of the interpreter."""
    compared(living, source)


@pytest.mark.parametrize("source", CJSON)
def test_cjson_is_that_of_servers(living: tuple[Remote, VirtualClock], source: str) -> None:
    """JSON is written and read as on a server, errors included."""
    compared(living, source)


@pytest.mark.parametrize("source", BINARY)
def test_bit_struct_and_cmsgpack_are_those_of_servers(living: tuple[Remote, VirtualClock], source: str) -> None:
    """Bits and bytes are those of a server, errors included."""
    compared(living, source)


def test_numbers_become_texts_as_on_servers(living: tuple[Remote, VirtualClock]) -> None:
    """A double that is an argument of a command is printed with the digits that servers since 7.2 find."""
    remote, clock = living
    if remote.engine.version < (7, 2):
        pytest.skip("6.2 prints seventeen digits")
    draw = random.Random(1)
    numbers = [draw.uniform(-1, 1) * 10 ** draw.randint(-30, 30) for _ in range(2_000)]
    source = "local t = {} for i = 1, #ARGV do t[i] = redis.call('ECHO', tonumber(ARGV[i])) end return t"
    argv = tuple(map(repr, numbers))
    assert here(Local(clock).space, source, (), argv) == remote.run("EVAL", source, 0, *argv)


# --- on memory:// --------------------------------------------------------------------------------


def asked(source: str, *argv: str | int) -> Call[Any]:
    return Call(Script("mine", source, file="mine.lua"), ("{k}",), argv, lambda reply: reply)


def test_a_script_without_a_twin_runs_in_memory() -> None:
    """No twin is needed, blocking and batched alike; both see the same keys."""
    with coord.connect("memory://lua") as c:
        c.run(asked('redis.call("SET", KEYS[1], ARGV[1])', 5))
        assert c.run(asked('return redis.call("INCR", KEYS[1])')) == 6
        assert c.run_many([asked('return redis.call("GET", KEYS[1])'), asked("return 7")]) == ["6", 7]


def test_an_error_names_the_file_and_the_line() -> None:
    """What a script raises names its file, its line and the text there; what it wrote before stays."""
    with coord.connect("memory://lua-errors") as c:
        source = 'redis.call("SET", KEYS[1], "x")\nlocal a = nil\nreturn a.b'
        with pytest.raises(coord.ScriptError, match=r"mine\.lua:3: attempt to index local 'a'.*\n    return a\.b"):
            c.run(asked(source))
        assert c.run(asked('return redis.call("GET", KEYS[1])')) == "x"
        with pytest.raises(coord.ScriptError, match=r"mine\.lua:2: offset is out of range"):
            c.run(asked('\nreturn redis.call("SETRANGE", KEYS[1], -1, "x")'))


def test_undeclared_keys_random_draws_and_missing_commands_are_refused_by_name() -> None:
    """A key that is not among KEYS, SPOP, and what the Keyspace lacks each say what they are."""
    with coord.connect("memory://lua-refusals") as c:
        for source, says in (
            ('redis.call("GET", "other")', "not among its KEYS: 'other'"),
            ('redis.call("MGET", KEYS[1], "other")', "not among its KEYS: 'other'"),
            ('redis.call("SPOP", KEYS[1])', "SPOP draws at random"),
            ('redis.call("XREADGROUP", KEYS[1])', "no command 'XREADGROUP'"),
        ):
            with pytest.raises(coord.ScriptError, match=says):
                c.run(asked(source))


def test_without_lupa_one_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without lupa a script without a twin is refused, and the error says what to install."""
    monkeypatch.setitem(sys.modules, "lupa.lua51", None)
    with pytest.raises(coord.ConfigError, match=r"pip install 'coord\[lua\]'"):
        Keyspace().answer(*asked("return 1"))


def test_an_interrupt_inside_a_script_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a signal handler raises in the middle of a command leaves the script, whatever it catches."""
    space = Keyspace()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(COMMANDS, "ECHO", COMMANDS["ECHO"]._replace(run=interrupted))
    with pytest.raises(KeyboardInterrupt):
        space.answer(*asked('pcall(redis.call, "ECHO", "x") redis.pcall("SET", KEYS[1], "x") return 1'))
    assert space.answer(*asked("return 2")) == 2
    assert len(space) == 0


def test_an_endless_script_can_be_interrupted() -> None:
    """A signal handler runs while a script loops, and what it raises ends the script."""
    space = Keyspace()

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(TimeoutError):
            space.answer(*asked("while true do pcall(function() end) end"))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert space.answer(*asked("return 2")) == 2


def test_threads_share_one_interpreter() -> None:
    """Scripts of eight threads run one after another: no count is lost."""
    space = Keyspace()
    add = asked('local n = redis.call("GET", KEYS[1]) or 0 redis.call("SET", KEYS[1], n + 1)')
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: [space.answer(*add) for _ in range(200)], range(8)))
    assert space.answer(*asked('return redis.call("GET", KEYS[1])')) == "1600"


def test_a_child_of_a_fork_has_an_interpreter_of_its_own() -> None:
    """A child runs scripts on its copy of the keyspace."""
    space = Keyspace()
    add = asked('return redis.call("INCR", KEYS[1])')
    assert space.answer(*add) == 1
    child = os.fork()
    if child == 0:
        os._exit(0 if space.answer(*add) == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert space.answer(*add) == 2


def test_waiters_are_woken_by_what_lua_publishes() -> None:
    """PUBLISH of a script wakes the waiters of the channel, once the script has ended."""
    space = Keyspace()
    woken: list[str] = []
    place = space.notifier.subscribe("{k}", lambda: woken.append("now"))
    woken.clear()
    space.answer(*asked('redis.call("PUBLISH", KEYS[1], "x") redis.call("SET", KEYS[1], "x")'))
    assert woken == ["now"]
    place.leave()
