"""What a server refuses, and the error that the caller gets: the right class, and what to do about it.

What passes by itself (BUSY, LOADING, a replica that is about to be a primary again) is waited out. What does not is
an error at once. Refused means that nothing happened.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from backends import Backend
from live import until
from machines import QUICK, busy, client_of, configured, start
from operations import EXAMPLES, Example
from redis.client import NEVER_DECODE

import coord
from coord.errors import ReplyError
from coord.kv import INCR
from coord.options import Options
from coord.redis.callstate import CallState
from coord.testing.proxy import LossyProxy
from coord.testing.servers import Server, free_port

HASTY = {**QUICK, "patience": 0.5}


@pytest.fixture
def look(any_server: Server) -> Iterator[Any]:
    with client_of(any_server) as client:
        yield client


def test_a_replica(mode: Backend, any_server: Server, look: Any) -> None:
    c = mode.dial(any_server.url, **HASTY)
    c.kv.incr("x")
    look.replicaof("127.0.0.1", free_port())
    try:
        with pytest.raises(coord.Unavailable, match=r"did not run: READONLY: .* connect to the primary"):
            c.kv.incr("x")
    finally:
        look.replicaof("NO", "ONE")
    assert c.kv.incr("x") == 2


def test_a_replica_that_becomes_the_primary_is_waited_for(mode: Backend, any_server: Server, look: Any) -> None:
    c = mode.dial(any_server.url, **QUICK)
    look.replicaof("127.0.0.1", free_port())
    promote = threading.Timer(0.3, look.replicaof, ("NO", "ONE"))
    promote.start()
    assert c.kv.incr("x") == 1
    promote.join()


def test_a_busy_server_is_waited_for_until_patience_ends(mode: Backend, any_server: Server, look: Any) -> None:
    c = mode.dial(any_server.url, **HASTY)
    c.kv.incr("x")
    with (
        busy(any_server, look),
        pytest.raises(coord.Unavailable, match=r"did not run: BUSY: .* SCRIPT KILL ends one that has not written"),
    ):
        c.kv.incr("x")
    assert c.kv.incr("x") == 2


def test_a_busy_server_is_used_again_once_it_is_free(mode: Backend, any_server: Server, look: Any) -> None:
    c = mode.dial(any_server.url, **QUICK)
    c.kv.incr("x")
    with busy(any_server, look):
        kill = threading.Timer(0.3, look.script_kill)
        kill.start()
        assert c.kv.incr("x") == 2
        kill.join()


def test_a_server_that_is_loading_is_waited_for(mode: Backend, any_server: Server) -> None:
    """Two thousand keys at half a millisecond each: it has begun to listen, and takes a second to be ready."""
    slow = ("--key-load-delay", "500", "--rdbcompression", "no")
    with start(any_server.engine.name, *slow) as server:
        with client_of(server) as client:
            client.eval("for i = 1, 2000 do redis.call('SET', 'k' .. i, string.rep('x', 4096)) end", 0)
            client.save()
        c = mode.dial(server.url, **QUICK)
        server.kill()
        starting = threading.Thread(target=server.start)
        began = time.monotonic()
        starting.start()
        assert c.kv.incr("x") == 1
        assert time.monotonic() - began > 0.3
        starting.join()


def test_a_full_server_refuses_to_add_and_still_releases(mode: Backend, any_server: Server, look: Any) -> None:
    c = mode.dial(any_server.url, **QUICK)
    lease, other = c.claim("x", ttl=60), c.claim("y", ttl=60)
    stats = c.stats("s")
    stats.merge("x", n=1)
    c.kv.sadd("s", "a")
    with configured(look, maxmemory=1):
        for refused in (lambda: stats.merge("x", n=1), lambda: c.kv.incr("x"), lambda: c.claim("z")):
            began = time.monotonic()
            with pytest.raises(coord.Unavailable, match=r"did not run: OOM: .* raise maxmemory"):
                refused()
            assert time.monotonic() - began < QUICK["patience"] / 2, "what lasts is not waited for"
        assert lease.renew()
        assert lease.release()
        assert not lease.release()
        assert c.holder("x") is None
        assert c.holder("y").fence == other.fence
        assert stats.peek("x") == {"n": 1}
        assert stats.consume("x") == {"n": 1}
        assert c.kv.srem("s", "a") == 1
        assert c.kv.delete("s") == 0


def test_too_few_replicas(mode: Backend, any_server: Server, look: Any) -> None:
    c = mode.dial(any_server.url, **HASTY)
    with (
        configured(look, min_replicas_to_write=1),
        pytest.raises(coord.Unavailable, match="did not run: NOREPLICAS: too few replicas"),
    ):
        c.kv.incr("x")
    assert c.kv.incr("x") == 1


def test_a_disk_that_takes_nothing(mode: Backend, any_server: Server) -> None:
    """Where the snapshot should go is a folder: saving fails, and the server refuses writes."""
    with start(any_server.engine.name) as server, client_of(server) as client:
        (server.folder / "dump.rdb").mkdir()
        c = mode.dial(server.url, **QUICK)
        lease = c.claim("x")
        client.config_set("save", "3600 1")
        client.bgsave()
        until(lambda: client.info("persistence")["rdb_last_bgsave_status"] != "ok", "the snapshot that fails")
        with pytest.raises(coord.Unavailable, match=r"did not run: MISCONF: .* see its log"):
            c.kv.incr("x")
        assert c.holder("x").fence == lease.fence


def test_a_password_that_is_missing_or_wrong(mode: Backend, any_server: Server, look: Any) -> None:
    with configured(look, requirepass="hunter2"):
        for url, sentence in (
            (any_server.url, "requires a password"),
            (any_server.url.replace("://", "://:wrong-one@"), "does not accept this user and password"),
        ):
            with pytest.raises(coord.ConfigError, match=sentence) as raised:
                mode.dial(url, **QUICK).once("x")
            assert "wrong-one" not in f"{raised.value!r} {raised.value}"
        assert mode.dial(any_server.url.replace("://", "://:hunter2@"), **QUICK).once("x")
        look.config_set("requirepass", "")


def test_a_login_refused_after_a_lost_reply_leaves_the_outcome_unknown(
    mode: Backend, one_server: Server, line: LossyProxy
) -> None:
    """The call ran: a ConfigError would say that it did not."""
    c, hasty = mode.dial(line.url, **QUICK), mode.dial(line.url, **HASTY)
    c.kv.incr("x")
    hasty.kv.incr("x")
    with client_of(one_server) as look, configured(look, requirepass="another"):
        line.arm("reset_reply")
        with pytest.raises(coord.OutcomeUnknown, match=r"may have run, but no reply arrived: .* requires a password"):
            hasty.kv.incr("x")
        line.arm("reset_reply")
        restore = threading.Timer(0.3, look.config_set, ("requirepass", ""))
        restore.start()
        assert c.kv.incr("x") == 4, "a password that is rotated is waited for"
        restore.join()


@pytest.mark.parametrize("refusal", ["NOPERM this user", "NOAUTH Authentication required.", "WRONGPASS invalid"])
def test_a_repetition_that_is_denied_says_nothing_about_the_first_run(refusal: str) -> None:
    state = CallState(INCR, ("x", "x:op:1"), (1, 60_000, 0, 1, 1000, 0), Options(patience=0.001))
    state.lost(ConnectionResetError())
    until(lambda: state.answered(ReplyError(refusal)) or state.settled)
    assert isinstance(state.outcome, coord.OutcomeUnknown)


def test_a_right_that_is_taken_away_while_connected(mode: Backend, any_server: Server, look: Any) -> None:
    c = mode.dial(_as_user(any_server, look), **QUICK)
    assert c.kv.incr("x") == 1
    look.execute_command("ACL", "SETUSER", "tom", "-evalsha")
    with pytest.raises(
        coord.ConfigError, match=r"kv_incr: NOPERM: .* grant it what docs/guarantees.md lists under ACL"
    ):
        c.kv.incr("x")


def _as_user(server: Server, look: Any, *rules: str) -> str:
    look.execute_command("ACL", "SETUSER", "tom", "reset", "on", ">pw", "~*", "&*", "+@all", *rules)
    return server.url.replace("redis://", "redis://tom:pw@")


INNER = """
    set setnx get del exists pexpire persist pttl publish time rename incrby
    hset hget hmget hgetall hdel hexists hincrby hlen hsetnx sadd srem scard sismember rpush llen lrange
"""


def test_a_user_without_one_inner_command_never_does_half_of_it(one_server: Server) -> None:
    """Redis checks every command inside a script when it comes to it, and what was written before stays.

    So a user who lacks a right learns it when connecting, before a script stops half-way.
    """
    halves: list[str] = []
    with client_of(one_server) as look, coord.connect(one_server.url, **QUICK) as free:
        for command in INNER.split():
            try:
                c = coord.connect(_as_user(one_server, look, f"-{command}"), **QUICK)
            except coord.ConfigError as error:
                halves += [] if command in str(error).lower() else [f"{error} does not name {command}"]
                continue
            with c:
                halves += [f"{example} without {command}" for example in EXAMPLES if _does_half(example, free, c, look)]
    assert not halves


def test_connecting_names_every_command_that_the_user_lacks(mode: Backend, any_server: Server, look: Any) -> None:
    lacking = _as_user(any_server, look, "-incrby", "-hset", "-publish")
    with pytest.raises(coord.ConfigError, match=r"does not let this user run PUBLISH, INCRBY, HSET: .* under ACL"):
        mode.dial(lacking, **QUICK)
    assert look.keys("*") == [], "nothing is left of the look"


def test_connecting_with_rights_to_other_keys_says_so(mode: Backend, any_server: Server, look: Any) -> None:
    url = _as_user(any_server, look, "resetkeys", "~theirs:*")
    with pytest.raises(coord.ConfigError, match="does not let this user run scripts under this prefix"):
        mode.dial(url, **QUICK)
    assert mode.dial(url, prefix="theirs:", **QUICK).once("x")


def _does_half(example: Example, free: Any, c: Any, look: Any) -> bool:
    """Whether an operation is refused to a user after it has changed something; another user prepares it."""
    look.flushall()
    ops = example.prepare(free)
    if ops is free:
        ops = c
    else:
        setattr(ops, "ops" if hasattr(ops, "ops") else "_ops", c)
    before = _kept(look)
    try:
        example.run(ops)
    except coord.ConfigError:
        return _kept(look) != before
    return False


def _kept(look: Any) -> dict[str, Any]:
    with look.pipeline(transaction=False) as some:
        keys = sorted(look.keys("*"))
        for key in keys:
            some.execute_command("DUMP", key, **{NEVER_DECODE: []})
        return dict(zip(keys, some.execute(), strict=True))


def test_too_many_clients(mode: Backend, any_server: Server, look: Any) -> None:
    c = mode.dial(any_server.url, **HASTY)
    with configured(look, maxclients=1):
        with pytest.raises(coord.Unavailable, match="cannot reach the server"):
            mode.dial(any_server.url, **HASTY)
        assert c.kv.incr("x") == 1, "who is connected already goes on"
