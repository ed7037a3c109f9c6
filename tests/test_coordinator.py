"""Coordinators: where to connect, whose scripts to run, and what outlives what."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio
from backends import Backend, found, wanted
from forked import forks, in_child

import coord
from coord.coordinator import runner_of
from coord.memory import Keyspace
from coord.testing.servers import Server, free_port

# --- memory:// -----------------------------------------------------------------------------------


def test_the_first_steps() -> None:
    """A coordinator in this process needs no server and no settings."""
    with coord.connect("memory://first-steps") as c:
        assert c.is_distributed is False
        assert c.once("welcome-mail:42", ttl=45) is True
        assert c.once("welcome-mail:42", ttl=45) is False


def test_blocking_and_awaited_share_a_keyspace() -> None:
    """One keyspace per name in this process, for every coordinator of that name, blocking and awaited."""

    async def awaited() -> bool:
        async with coord.connect_async("memory://shared") as c:
            return await c.once("job")

    assert coord.connect("memory://shared").once("job") is True
    assert asyncio.run(awaited()) is False
    assert coord.connect("memory://another").once("job") is True


def test_an_awaited_coordinator_is_awaited_or_entered() -> None:
    """``await connect_async(url)`` gives one to close by hand, ``async with`` one that closes by itself."""

    async def main() -> None:
        c = await coord.connect_async("memory://entered")
        await c.aclose()
        async with coord.connect_async("memory://entered") as c, c:
            assert await c.version("index") == 0

    asyncio.run(main())


def test_the_environment_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a URL ``$COORD_DSN`` counts, and without that it is memory://."""
    monkeypatch.delenv("COORD_DSN", raising=False)
    assert coord.connect().is_distributed is False
    monkeypatch.setenv("COORD_DSN", "memory://from-the-environment")
    coord.connect().once("job")
    assert coord.connect("memory://from-the-environment").once("job") is False


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://localhost", "http"),
        ("localhost:6379", "memory://, redis://"),
        ("", "memory://, redis://"),
        ("memory://name?db=1", "a name and nothing else"),
        ("memory://user@name", "a name and nothing else"),
        ("redis://localhost:port", "scheme://user:password@host:port/db"),
        ("redis://localhost/first", "scheme://user:password@host:port/db"),
        ("redis://localhost?no_such_option=1", "option"),
        ("redis+cluster://localhost?no_such_option=1", "option"),
        ("rediss+cluster://localhost?ssl_check_hostname=1&no_such_option=1", "option"),
        ("redis+cluster://localhost?socket_timeout=soon", "?option=value"),
        ("redis+cluster://localhost/first", "must be a number"),
        ("redis+cluster://localhost:port", "host:port,host:port"),
        ("redis+cluster://", "has no host"),
        ("redis+sentinel://localhost", "needs the name of the service"),
        ("redis+sentinel://localhost/coord?no_such_option=1", "option"),
        ("redis+sentinel://localhost/coord?sentinel_no_such_option=1", "option"),
        ("redis+sentinel://localhost/coord?sentinel_ssl=true", "rediss+sentinel://"),
    ],
)
def test_a_url_that_cannot_be_read_is_a_config_error(url: str, says: str) -> None:
    """The message says what a URL looks like."""
    with pytest.raises(coord.ConfigError, match=re.escape(says)):
        coord.connect(url)


def test_wrong_arguments_of_connect() -> None:
    """A URL is text; a URL and a client exclude each other; options have names."""
    with pytest.raises(TypeError, match="URL"):
        coord.connect(6379)  # type: ignore[arg-type]
    with pytest.raises(coord.ConfigError, match="not both"):
        coord.connect("memory://", client=fakeredis.FakeRedis())
    with pytest.raises(coord.ConfigError, match="'retries'"):
        coord.connect("memory://", retries=3)  # type: ignore[call-arg]  # refused at run time too
    with pytest.raises(coord.ConfigError, match="'retries'"):
        coord.connect("redis://localhost", retries=3)  # type: ignore[call-arg]  # as above
    with pytest.raises(TypeError, match="redis-py client"):
        coord.connect(client=object())


def test_a_client_of_the_other_world_is_refused() -> None:
    """``connect`` takes a blocking client, ``connect_async`` one of redis.asyncio."""

    async def connected() -> None:
        await coord.connect_async(client=redis.Redis())

    with pytest.raises(coord.ConfigError, match="the other kind"):
        coord.connect(client=redis.asyncio.Redis())
    with pytest.raises(coord.ConfigError, match="the other kind"):
        asyncio.run(connected())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"timeout": 0}, "timeout is 0 s"),
        ({"timeout": True}, "timeout must be a number of seconds"),
        ({"patience": "long"}, "patience must be seconds"),
        ({"remember": float("inf")}, "remember is inf"),
        ({"remember": 20}, "at least 30.0 s with a timeout of 5.0 s"),
        ({"remember": dt.timedelta(seconds=20)}, "at least 30.0 s"),
        ({"max_connections": 0}, "max_connections is 0"),
        ({"eviction": "maybe"}, "it must be warn, refuse or ignore"),
    ],
)
def test_an_option_out_of_bounds_is_a_config_error(options: dict[str, Any], says: str) -> None:
    """Said before anything is opened."""
    with pytest.raises(coord.ConfigError, match=re.escape(says)):
        coord.connect("redis://localhost:1", **options)


def test_an_operation_id_outlives_a_time_out_that_the_url_or_the_client_brings() -> None:
    """Waiting for one reply for longer than ids are remembered, and then asking again, would count twice."""
    with pytest.raises(coord.ConfigError, match=r"timeout of 100\.0 s"):
        coord.connect("redis://localhost:1?socket_timeout=100")
    with pytest.raises(coord.ConfigError, match="timeout of 100 s"):
        coord.connect(client=redis.Redis(socket_timeout=100))


def test_an_option_goes_before_what_the_client_says(server: Backend) -> None:
    """A time-out that was asked for is not silently another."""
    with coord.connect(client=redis.Redis(port=server.place.server.port, socket_timeout=7), timeout=0.5) as c:
        held = runner_of(c).router.nodes[0].take()
        assert held.timeout == 0.5


# --- servers -------------------------------------------------------------------------------------


def test_a_server_is_reached_by_either_name(server: Backend) -> None:
    """valkey:// and redis:// mean the same."""
    for scheme in ("redis", "valkey"):
        c = server.dial(f"{scheme}://127.0.0.1:{server.place.server.port}/0")
        assert c.is_distributed is True
        assert c.once(scheme) is True


def test_databases_are_apart(server: Backend) -> None:
    """The number behind the port is the database."""
    url = f"redis://127.0.0.1:{server.place.server.port}"
    assert server.dial(f"{url}/0").once("job") is True
    assert server.dial(f"{url}/3").once("job") is True
    assert server.dial(f"{url}/3").once("job") is False


@pytest.mark.parametrize("decode_responses", [False, True])
def test_a_client_s_settings_are_taken_over(server: Backend, decode_responses: bool) -> None:
    """Any redis-py client will do, whether it decodes replies or not; it stays its owner's."""
    kind = redis.asyncio.Redis if server.line.awaited else redis.Redis
    client: Any = kind(port=server.place.server.port, db=2, decode_responses=decode_responses)
    c = server.dial(client=client)
    assert c.claim("job", owner="änna").owner == "änna"
    assert c.holder("job").owner == "änna"
    assert c.claim("job", owner="bert") is None
    assert server.dial(f"redis://127.0.0.1:{server.place.server.port}/2").once("job") is True


def test_a_server_that_is_not_there(server: Backend) -> None:
    """Who cannot be reached is Unavailable, at once, when connecting."""
    with pytest.raises(coord.Unavailable, match=r"cannot reach the server at 127\.0\.0\.1:"):
        server.dial(f"redis://127.0.0.1:{free_port()}")


def test_prefixes_keep_services_apart(backend: Backend) -> None:
    """Two prefixes keep their keys apart; every key begins with its own."""
    assert backend.connect(prefix="shop:").once("job") is True
    assert backend.connect(prefix="mail:").once("job") is True
    assert backend.connect(prefix="").once("job") is True
    assert set(backend.stored) == {"shop:once:{job}", "mail:once:{job}", "once:{job}"}


def test_closing_twice_is_closing_once(backend: Backend) -> None:
    """``close`` may be repeated."""
    c = backend.connect()
    c.once("job")
    c.close()
    c.close()


def test_a_closed_coordinator_says_so(server: Backend) -> None:
    """Who calls after ``close`` gets Unavailable, not a connection nobody closes."""
    c = server.connect()
    c.close()
    with pytest.raises(coord.Unavailable, match="closed"):
        c.once("job")


def test_leaving_the_block_closes(server: Backend) -> None:
    """``with`` and ``async with`` close on the way out."""
    with server.connect() as c:
        c.once("job")
    with pytest.raises(coord.Unavailable, match="closed"):
        c.once("job")


def test_a_broken_connection_is_replaced(server: Backend) -> None:
    """A server that drops idle connections is not noticed."""
    c = server.connect()
    before = c.bump("index")
    server.place.do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert c.bump("index") > before


# --- scripts -------------------------------------------------------------------------------------


def _greet(space: Keyspace, greeted: str, who: str) -> list[object]:
    return [f"hello {who}", space.incrby(greeted, 1), space.pexpire(greeted, 60_000)]


GREET = coord.Script(
    "greet",
    """
local greeted = KEYS[1]
local who = ARGV[1]

return { "hello " .. who, redis.call("INCR", greeted), redis.call("PEXPIRE", greeted, 60000) }
""",
    twin=_greet,
)


def test_a_script_of_one_s_own_runs_like_any_operation(c: Any) -> None:
    """A Script and its twin, a Call of it, and a function that reads the reply: the same on every backend."""
    hello = coord.Call(GREET, (c.key("greeted", "anna"),), ("anna",), read=lambda reply: (reply[0], reply[1]))
    assert c.run(hello) == ("hello anna", 1)
    assert c.run(hello) == ("hello anna", 2)


def test_calls_are_values(c: Any) -> None:
    """``c.calls`` hands out what ``run`` makes: an operation that was not done yet."""
    call = c.calls.once("job", ttl=45)
    assert isinstance(call, coord.Call)
    assert call.keys[0] == "coord:once:{job}"
    assert c.run(call) is True
    assert c.run(call) is True, "the same attempt is answered alike"
    assert c.once("job", ttl=45) is False


def test_many_calls_get_an_answer_or_an_error_each(backend: Backend, c: Any) -> None:
    """``run_many`` keeps the order, and one call that fails does not stop the others."""
    backend.plant("coord:kv:{bad}", ["a", "list"])
    calls = [c.calls.kv.incr("n"), c.calls.kv.incr("bad"), c.calls.kv.incr("n"), c.calls.stats("s").peek("x")]
    first, error, second, nothing = c.run_many(calls)
    assert (first, second, nothing) == (1, 2, None)
    assert isinstance(error, coord.WrongType)
    assert c.run_many([]) == []


def test_a_result_that_cannot_be_read_does_not_cost_the_others_theirs(c: Any) -> None:
    """What a Call's ``read`` raises stands in its place; everything ran all the same."""
    own = coord.Script("own", "return 2", lambda *_: 2)
    odd = coord.Call(own, ("{n}",), (), lambda _: int("abc"))
    one, error, two = c.run_many([c.calls.kv.incr("n"), odd, c.calls.kv.incr("n")])
    assert (one, type(error), two) == (1, ValueError, 2)


def test_a_loop_that_asks_again_and_again_lets_others_have_a_turn() -> None:
    """In memory as well as on a server, where each call waits for its reply."""

    async def impatient() -> None:
        async with coord.connect_async("memory://turns") as c, asyncio.timeout(0.05):
            while True:
                await c.kv.get_int("x")

    with pytest.raises(TimeoutError):
        asyncio.run(impatient())


def test_every_key_stays_under_any_prefix(server: Backend) -> None:
    """Also under one that has what operation ids have in their keys."""
    c = server.connect(prefix="dev:op:")
    c.stats("s").merge("x", n=1)
    c.stats("s").consume("x")
    assert server.stored
    assert all(key.startswith("dev:op:") for key in server.stored)


def test_many_calls_of_many_kinds(c: Any) -> None:
    """Calls of different scripts, some used for the first time, travel together."""
    of = c.calls
    answers = c.run_many([of.once("x"), of.kv.sadd("s", "a"), of.once("y"), of.kv.scard("s"), of.version("v")])
    assert answers == [True, 1, True, 1, 0]


@pytest.mark.slow
def test_a_thousand_calls(c: Any) -> None:
    """More calls than one write holds arrive all, in order."""
    assert c.run_many([c.calls.kv.incr("n") for _ in range(1_100)]) == list(range(1, 1_101))


def test_a_flushed_script_is_loaded_again(server: Backend) -> None:
    """After SCRIPT FLUSH, a restart or a fail-over nobody notices anything."""
    c = server.connect()
    c.kv.incr("n")
    server.place.do("SCRIPT", "FLUSH")
    assert c.kv.incr("n") == 2


def test_scripts_missing_in_the_middle_of_many(server: Backend) -> None:
    """Of many calls only those are sent again whose script was missing; none runs twice, none is left out."""
    c = server.connect()
    of = c.calls
    server.place.do("SCRIPT", "FLUSH")
    server.place.do("SCRIPT", "LOAD", of.kv.incr("n").script.source)
    answers = c.run_many([of.kv.incr("n"), of.bump("v"), of.kv.incr("n"), of.once("x"), of.kv.incr("n")])
    assert answers[0::2] == [1, 2, 3]
    assert answers[1] == c.version("v")
    assert answers[3] is True


# --- processes and loops -------------------------------------------------------------------------


@forks
def test_parent_and_child_of_a_fork_share_a_coordinator(server: Backend) -> None:
    """The child opens connections of its own; replies never go to the wrong process."""
    if server.line.awaited:
        return
    c = server.connect()
    assert c.kv.incr("n") == 1
    assert in_child(lambda: [c.kv.incr("n") for _ in range(3)]) == "[2, 3, 4]"
    assert c.kv.incr("n") == 5
    assert in_child(lambda: c.claim("job") is not None) == "True"
    assert c.claim("job") is None


@forks
def test_nonces_of_a_child_are_its_own() -> None:
    """After a fork parent and child make different ids, so neither is taken for the other."""
    c = coord.connect("memory://forked")
    mine = [c.calls.once("x").argv[1] for _ in range(3)]
    theirs = in_child(lambda: " ".join(str(c.calls.once("x").argv[1]) for _ in range(3))).split()
    assert len({*mine, *theirs}) == 6


def test_another_event_loop_is_an_error(server: Backend) -> None:
    """An awaited coordinator belongs to the loop it was made in, and says so in any other."""
    if not server.line.awaited:
        return
    c = server.connect()
    assert c.once("job") is True
    with pytest.raises(coord.ConfigError, match="another event loop"):
        asyncio.run(c.inner.once("job"))
    assert c.once("job") is False


# --- no secret is ever shown ---------------------------------------------------------------------

CANARY = "canary-7f3a"


@pytest.fixture(params=[name for name in wanted() if name in found()])
def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server with a password and a unix socket."""
    with Server(found()[request.param], "--requirepass", CANARY, "--unixsocket", str(tmp_path / "s")) as server:
        yield server


def test_a_password_opens_a_server(guarded: Server, tmp_path: Path) -> None:
    """The password stands in the URL, for a port as for a unix socket; no repr shows it."""
    port = guarded.port
    for url in (f"redis://:{CANARY}@127.0.0.1:{port}/0", f"unix://:{CANARY}@{tmp_path}/s?db=1"):
        with coord.connect(url) as c:
            assert c.once("job") is True
            assert CANARY not in f"{c!r} {c.claim('x')!r} {c.stats('s')!r} {c.kv!r}"


def test_a_wrong_password_is_a_config_error(guarded: Server) -> None:
    """It says who refused whom, and repeats neither password."""
    wrong = f"{CANARY}-wrong"
    for url in (f"redis://:{wrong}@127.0.0.1:{guarded.port}", f"redis://127.0.0.1:{guarded.port}"):
        with pytest.raises(coord.ConfigError, match="password") as raised:
            coord.connect(url)
        assert CANARY not in _all_said(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{CANARY}@127.0.0.1:1/0",
        f"redis://anna:{CANARY}@127.0.0.1:port/0",
        f"redis://anna:{CANARY}@127.0.0.1/no-number",
        f"redis://anna:{CANARY}@[::1",
        f"redis://anna:{CANARY}@127.0.0.1?socket_timeout=soon",
        f"redis://127.0.0.1?password={CANARY}&no_such_option=1",
        f"rediss://anna:{CANARY}@127.0.0.1:1/0",
        f"valkey://anna:{CANARY}@127.0.0.1:1/0",
        f"unix://anna:{CANARY}@/no/such/socket",
        f"redis+cluster://anna:{CANARY}/rest@127.0.0.1:1",
        f"redis+sentinel://anna:{CANARY}?rest@127.0.0.1:1/service",
        f"redis//anna:{CANARY}@localhost",
        f"anna:{CANARY}@localhost:6379",
        f"{CANARY}@localhost:6379",
        f":{CANARY}@localhost",
        f"memory://anna:{CANARY}@name",
        f"redis+cluster://anna:{CANARY}@127.0.0.1:1,127.0.0.1:1",
        f"rediss+cluster://anna:{CANARY}@127.0.0.1:1",
        f"redis+cluster://anna:{CANARY}/x@127.0.0.1:1",
        f"redis+cluster://anna:{CANARY}?x@127.0.0.1:1",
        f"redis+cluster://anna:{CANARY}@127.0.0.1:port",
        f"redis+cluster://127.0.0.1:1?password={CANARY}&no_such_option=1",
        f"redis+cluster://127.0.0.1:1?password={CANARY}&socket_timeout=soon",
        f"rediss+sentinel://anna:{CANARY}@127.0.0.1:1/coord?sentinel_password={CANARY}",
        f"redis+sentinel://anna:{CANARY}@127.0.0.1:1",
        f"redis+sentinel://127.0.0.1:1/coord?sentinel_password={CANARY}&sentinel_no_such_option=1",
        f"redis+sentinel://127.0.0.1:1/coord?sentinel_password={CANARY}&no_such_option=1",
        f"redis+sentinel://127.0.0.1:1/coord?sentinel_password={CANARY}&sentinel_socket_timeout=soon",
        f"redis+sentinel://127.0.0.1:1/coord?sentinel_password={CANARY}&sentinel_ssl=true",
    ],
)
def test_no_message_and_no_log_line_shows_a_password(
    url: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever is wrong with a URL, its password is not repeated, in no message, cause, log line or output."""
    caplog.set_level(logging.DEBUG)

    async def awaited() -> None:
        await coord.connect_async(url)

    for connect in (lambda: coord.connect(url), lambda: asyncio.run(awaited())):
        with pytest.raises(coord.CoordError) as raised:
            connect()
        assert CANARY not in _all_said(raised.value)
    captured = capfd.readouterr()
    assert CANARY not in caplog.text + captured.out + captured.err


def _all_said(error: BaseException) -> str:
    """An error's message and those of its causes, its repr, and its traceback without our own lines."""
    told = traceback.TracebackException.from_exception(error)
    texts = [repr(error), str(error)]
    while told is not None:
        texts += told.format_exception_only()
        told = told.__cause__ or told.__context__  # type: ignore[assignment]
    return "\n".join(texts)
