"""NOSCRIPT can come at any time: SCRIPT FLUSH, a restart, a new primary. It means that nothing ran.

Only the calls that did not run are sent again, behind the source of their script.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest
from backends import Backend
from machines import QUICK, client_of, start

import coord
from coord.testing.proxy import LossyProxy
from coord.testing.servers import Server


def test_scripts_forgotten_before_each_of_a_thousand_calls(mode: Backend, any_server: Server) -> None:
    c = mode.dial(any_server.url, **QUICK)
    with client_of(any_server) as look:
        for number in range(1, 1_001):
            look.script_flush()
            assert c.kv.incr("x") == number


def test_in_a_batch_only_what_did_not_run_is_sent_again(mode: Backend, line: LossyProxy, look: Any) -> None:
    """Three scripts, one of them unknown to the server: its calls, and its source, are sent again and no others."""
    c = mode.dial(line.url, **QUICK)
    calls = c.calls
    c.kv.incr("x")
    c.bump("x")
    sent, ran = line.commands, _executions(look)
    mixed = [calls.kv.incr("x"), calls.kv.sadd("s", "a"), calls.bump("x"), calls.kv.sadd("s", "b"), calls.kv.incr("x")]
    answers = c.run_many(mixed)
    assert answers == [2, 1, answers[2], 1, 3]
    assert line.commands - sent == len(mixed) + 1 + 2
    assert _executions(look) - ran == len(mixed) + 2, "five, and the two refused"


def _executions(look: Any) -> int:
    return int(look.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0))


def test_scripts_forgotten_all_the_time(mode: Backend, any_server: Server) -> None:
    """As fast as a client can ask for it, while calls are made one by one and many at a time."""
    c = mode.dial(any_server.url, **QUICK)
    over = threading.Event()

    def forget() -> None:
        with client_of(any_server) as client:
            while not over.wait(0.0005):
                client.script_flush()

    thread = threading.Thread(target=forget)
    thread.start()
    try:
        for turn in range(60):
            assert c.run_many([c.calls.kv.incr("x") for _ in range(50)]) == list(range(turn * 51 + 1, turn * 51 + 51))
            assert c.kv.incr("x") == (turn + 1) * 51
    finally:
        over.set()
        thread.join()


def test_a_server_that_was_started_again_is_given_the_scripts_again(mode: Backend, any_server: Server) -> None:
    with start(any_server.engine.name) as server:
        c = mode.dial(server.url, **QUICK)
        assert c.kv.incr("x") == 1
        server.kill()
        server.start()
        assert c.kv.incr("x") == 1, "it kept no script"
        assert c.run_many([c.calls.kv.incr("x"), c.calls.bump("v")])[0] == 2


def test_a_script_that_may_not_be_loaded_says_so(mode: Backend, any_server: Server) -> None:
    """A user without SCRIPT LOAD finds a server that has forgotten: the right is named, not the missing script."""
    toms = any_server.url.replace("redis://", "redis://tom:pw@")
    with client_of(any_server) as look:
        look.execute_command("ACL", "SETUSER", "tom", "on", ">pw", "~*", "&*", "+@all")
        c = mode.dial(toms, **QUICK)
        look.execute_command("ACL", "SETUSER", "tom", "-script")
        look.script_flush()
    with pytest.raises(coord.ConfigError, match="NOPERM"):
        c.kv.incr("x")
    with pytest.raises(coord.ConfigError, match="does not let this user run SCRIPT LOAD"):
        mode.dial(toms, **QUICK)
