"""A call on ``memory://`` that is made from inside another one is refused at once, and both are atomic."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from live import SOON, Thread

import coord
from coord.errors import ReplyError
from coord.memory import Keyspace, keyspace


class Twin:
    """A twin that writes half, is interrupted, and writes the rest."""

    def __init__(self, interrupt: Callable[[], object]) -> None:
        self.interrupt = interrupt

    def __call__(self, space: Keyspace) -> int:
        space.set("first", "1")
        self.interrupt()
        space.set("second", "1")
        return 7


def interrupted(name: str, handler: Callable[[coord.Coordinator], object], by: Callable[[Any], None]) -> list[Any]:
    """Run a twin that is interrupted by a handler, and return what the handler got."""
    told: list[Any] = []
    with coord.connect(f"memory://{name}") as c:

        def handle(*_: object) -> None:
            try:
                told.append(handler(c))
            except coord.CoordError as error:
                told.append(error)

        script = coord.Script("half", "return 1", Twin(lambda: by(handle)))
        assert c.run(coord.Call(script, (), (), int)) == 7
        # The refused call has harmed nothing, and the next one is made.
        assert keyspace(name).dump().keys() >= {"first", "second"}
        assert c.kv.incr("n") == 1
    return told


def by_signal(handle: Callable[..., None]) -> None:
    before = signal.signal(signal.SIGUSR1, handle)
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def by_collection(handle: Callable[..., None]) -> None:
    class Dropped:
        def __del__(self) -> None:
            handle()

    dropped: Any = Dropped()
    dropped.itself = dropped
    del dropped
    gc.collect(0)


@pytest.mark.parametrize("by", [by_signal, by_collection], ids=["signal", "__del__"])
@pytest.mark.parametrize(
    "handler",
    [lambda c: c.kv.incr("n"), lambda c: c.once("job"), lambda c: c.claim("job"), lambda c: c.holder("job")],
    ids=["incr", "once", "claim", "holder"],
)
def test_a_call_from_inside_a_call_is_refused(handler: Any, by: Any, request: pytest.FixtureRequest) -> None:
    """It neither waits for itself nor sees a half-done state: Unavailable, and nothing happened."""
    told = interrupted(f"reentry-{request.node.name}", handler, by)
    assert len(told) == 1
    assert isinstance(told[0], coord.Unavailable)
    assert "signal handler" in str(told[0])


def test_a_look_at_the_keys_from_inside_a_call_is_refused() -> None:
    """``dump`` and ``flush`` would see, or make, half a state."""
    space = Keyspace()
    for look in (space.dump, space.flush):
        with pytest.raises(coord.Unavailable):
            space.call(Twin(look))
    assert space.dump().keys() == {"first"}


def test_a_thread_that_is_interrupted_while_it_waits_for_the_keyspace_has_not_got_it() -> None:
    """Ctrl-C arrives unchanged, nothing happened, and afterwards every thread gets its turn."""
    inside, free, interrupted = threading.Event(), threading.Event(), threading.Event()
    main = threading.get_ident()

    def stay(space: Keyspace) -> bool:
        inside.set()
        return free.wait(SOON)

    def handle(*_: object) -> None:
        if not interrupted.is_set():
            interrupted.set()
            raise KeyboardInterrupt

    def interrupt() -> None:
        while not interrupted.wait(0.01):
            signal.pthread_kill(main, signal.SIGUSR1)

    def interrupted_call() -> None:
        interrupters.append(Thread(interrupt))
        c.once("job")

    interrupters: list[Thread] = []
    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with coord.connect("memory://waits") as c:
            holder = Thread(lambda: keyspace("waits").call(stay))
            assert inside.wait(SOON)
            with pytest.raises(KeyboardInterrupt):
                interrupted_call()
            interrupters[0].result()
            free.set()
            assert holder.result() is True
            assert c.once("job") is True
            assert Thread(lambda: c.once("job")).result() is False
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_the_keyspace_works_on_after_an_exception_in_a_twin() -> None:
    """Whatever a twin raises, the next call does not count as one from inside another."""
    space = Keyspace()

    def failing() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        space.call(Twin(failing))
    assert space.call(Keyspace.get, "first") == "1"


# --- bad arguments -------------------------------------------------------------------------------

WORDS = "Lua redis lib command arguments must be strings or integers"


@pytest.mark.parametrize("word", [None, True, False, b"x", [], object()])
@pytest.mark.parametrize(
    "write",
    [
        lambda space, word: space.set("k", word),
        lambda space, word: space.hset("k", "f", word),
        lambda space, word: space.sadd("k", word),
        lambda space, word: space.rpush("k", word),
        lambda space, word: space.zadd("k", 1, word),
        lambda space, word: space.incrby("k", word),
        lambda space, word: space.execute("SET", "k", word),
    ],
    ids=["set", "hset", "sadd", "rpush", "zadd", "incrby", "execute"],
)
def test_values_that_redis_call_does_not_take_are_refused_as_in_lua(word: object, write: Any) -> None:
    """None, a bool and other objects are what ``redis.call`` refuses, in its words; nothing is stored."""
    space = Keyspace()
    with pytest.raises(ReplyError, match=WORDS):
        space.call(write, word)
    assert space.dump() == {}


def test_numbers_are_stored_as_their_texts() -> None:
    """``set(k, 5)`` stores what a server would be sent."""
    space = Keyspace()
    space.call(lambda space: (space.set("k", 5), space.hset("h", "f", 1.5), space.rpush("l", 2)))
    assert space.call(Keyspace.get, "k") == "5"
    assert space.call(Keyspace.incrby, "k", 1) == 6
    assert space.call(Keyspace.hget, "h", "f") == "1.5"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda space: space.set("k", "v", px=0), "invalid expire time in 'set' command"),
        (lambda space: space.set("k", "v", px=2**63), "invalid expire time in 'set' command"),
        (lambda space: space.sadd("k"), "wrong number of arguments for 'sadd' command"),
        (lambda space: space.hset("k", "f"), "wrong number of arguments for 'hset' command"),
        (lambda space: space.rpush("k"), "wrong number of arguments for 'rpush' command"),
        (lambda space: space.delete(), "wrong number of arguments for 'del' command"),
        (lambda space: space.execute("COPY", "k", "l", "DB", "1"), "memory:// has one database: COPY takes no DB"),
        (lambda space: space.execute("SPOP", "k"), "SPOP draws at random"),
        (lambda space: space.execute("HRANDFIELD", "k"), "HRANDFIELD draws at random"),
        (lambda space: space.execute("GEOADD", "k"), "has no command 'GEOADD'"),
    ],
)
def test_bad_calls_say_what_a_server_says(call: Any, says: str) -> None:
    """Arguments that a server refuses are refused in its words."""
    with pytest.raises(ReplyError, match=says):
        Keyspace().call(call)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        *((name, ()) for name in ("exists", "unlink")),
        *((name, ("k",)) for name in ("rpush", "lpush", "sadd", "srem", "smismember", "zrem", "zmscore")),
        *((name, ("k",)) for name in ("hset", "hmset", "hdel", "hmget")),
        *((name, ("k", "f", "v", "g")) for name in ("hset", "hmset")),
        ("zadd_words", ("k", 1)),
    ],
)
def test_a_command_without_its_words_is_refused(name: str, words: tuple[Any, ...]) -> None:
    """A twin that calls a method with nothing to do gets the server's error, as its Lua does; nothing is stored."""
    space = Keyspace()
    with pytest.raises(ReplyError, match=f"wrong number of arguments for '{name.partition('_')[0]}' command"):
        space.call(lambda space: getattr(space, name)(*words))
    assert space.dump() == {}


def test_deadlines_near_two_to_the_62_are_deadlines() -> None:
    """No deadline that can be set is taken for none."""
    space = Keyspace(lambda: 0)
    for deadline in (2**62 - 1, 2**62, 2**62 + 1, 2**63 - 1):
        space.call(Keyspace.set, "k", "v")
        assert space.call(Keyspace.pexpireat, "k", deadline) == 1
        assert space.call(Keyspace.pttl, "k") == deadline
        assert space.call(Keyspace.persist, "k") == 1
