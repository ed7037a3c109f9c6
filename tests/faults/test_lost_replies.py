"""A reply is lost after its operation ran. The operation is asked for again, and its caller cannot tell.

Every public operation is made twice from the same beginnings: over a good line, and over one that loses the reply, in
each way that a connection can break. The caller's answer and what the server keeps afterwards must be the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from backends import Backend
from machines import QUICK, client_of, dialled
from operations import EXAMPLES, Example

import coord
from coord.testing.proxy import Fault, LossyProxy
from coord.testing.servers import Server

BREAKS: tuple[Fault, ...] = ("reset_reply", "close_reply", "half_reply", "reset_request")

Accident = tuple[Fault, ...]


@pytest.fixture
def a_line(any_server: Server) -> Any:
    with LossyProxy("127.0.0.1", any_server.port) as proxy:
        yield proxy


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_operation_whose_reply_is_lost_is_done_once_and_gives_its_first_answer(
    mode: Backend, example: Example, any_server: Server, a_line: LossyProxy
) -> None:
    c = mode.dial(a_line.url, **QUICK)
    with client_of(any_server) as look:
        wanted = _outcome(c, example, look, a_line, ())
        accidents: tuple[Accident, ...] = tuple((fault,) for fault in BREAKS)
        for accident in (*accidents, ("reset_reply", "reset_request", "half_reply")):
            assert _outcome(c, example, look, a_line, accident) == wanted, accident


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
@pytest.mark.parametrize("fault", ["drop_reply", "drop_request"])
def test_an_operation_that_is_met_with_silence_is_asked_for_again(
    mode: Backend, example: Example, fault: Fault, one_server: Server, line: LossyProxy, look: Any
) -> None:
    c = dialled(mode.dial, line.url, **{**QUICK, "timeout": 0.15})
    assert _outcome(c, example, look, line, (fault,)) == _outcome(c, example, look, line, ())


def _outcome(c: Any, example: Example, look: Any, line: LossyProxy, accident: Accident) -> tuple[str, list[str]]:
    """Return the caller's answer and what the server keeps, when the commands have these accidents in turn."""
    look.flushall()
    at = example.prepare(c)
    for fault in accident:
        line.arm(fault)
    told = example.run(at)
    assert not line.armed, "the operation sent fewer commands than it was to lose"
    # Remembered for late copies of a call that was sent again.
    kept = [key for key in look.keys("*") if not _is_of_a_repetition(look, key)]
    return _tidy(repr(told)), sorted(_tidy(f"{key} {_value(look, key)}") for key in kept)


def _is_of_a_repetition(look: Any, key: str) -> bool:
    """Whether a key keeps the answer of a repeated call for its first copy, which may be late; it expires."""
    kept = ":answered:" in key
    if ":op:slot-" in key:
        kept = look.get(key).endswith("|0")
    elif ":batch:" in key:
        kept = look.hexists(key, "refused") and look.hlen(key) == 1
    assert not kept or look.pttl(key) > 0
    return kept


def _value(look: Any, key: str) -> Any:
    """A key's value, and whether it expires."""
    value: Any
    match look.type(key):
        case "string":
            value = look.get(key)
        case "hash":
            value = sorted(look.hgetall(key).items())
        case "set":
            value = sorted(look.smembers(key))
        case "list":
            value = look.lrange(key, 0, -1)
        case kind:
            value = kind
    return value, look.pttl(key) > 0


def _tidy(text: str) -> str:
    """A text without what differs from one time to the next: nonces, fences, seconds."""
    return re.sub(r"(?:slot|call)-[\w.-]+|(?<=')\d+(?=\|)|[\w-]{16}\d+|\d{8,}|\d+\.\d+", "#", text)


# --- what cannot be repeated ---------------------------------------------------------------------

ACCUMULATIONS: dict[str, Callable[[Any], Any]] = {
    "merge": lambda c: c.stats("s").merge("x", n=1),
    "consume": lambda c: c.stats("s").consume("x"),
    "incr": lambda c: c.kv.incr("x"),
    "rpush": lambda c: c.kv.rpush("x", "v"),
    "sadd": lambda c: c.kv.sadd("x", "v"),
    "srem": lambda c: c.kv.srem("x", "v"),
    "set_if_absent": lambda c: c.kv.set_if_absent("x", ttl=60),
    "delete": lambda c: c.kv.delete("x"),
    "bump": lambda c: c.bump("x"),
    "bump_if_current": lambda c: c.bump_if_current("x", 0),
    "open": lambda c: c.barrier("x").open(parties=2),
    "requeue": lambda c: c.request("x").requeue("embed"),
    "cleanup": lambda c: c.request("x").cleanup(),
}


@pytest.mark.parametrize("name", ACCUMULATIONS)
def test_without_an_operation_id_a_lost_reply_is_an_unknown_outcome(mode: Backend, name: str, line: LossyProxy) -> None:
    c = mode.dial(line.url, **{**QUICK, "remember": 0})
    # Once over the good line: a script that the server lacks is refused before it runs.
    ACCUMULATIONS[name](c)
    line.arm("reset_reply")
    with pytest.raises(coord.OutcomeUnknown) as raised:
        ACCUMULATIONS[name](c)
    assert raised.value.op_id is None
    assert "no operation id" in str(raised.value)


def test_an_id_of_the_caller_is_repeated_without_being_remembered_otherwise(mode: Backend, line: LossyProxy) -> None:
    c = mode.dial(line.url, **{**QUICK, "remember": 0})
    c.stats("s").merge("x", n=1, op_id="mine")
    line.arm("reset_reply")
    c.stats("s").merge("x", n=1, op_id="mine too")
    assert c.stats("s").peek("x") == {"n": 2}


def test_what_stays_unknown_names_the_id_to_ask_again_by(mode: Backend, line: LossyProxy) -> None:
    """Every reply is lost until patience ends. The id in the error makes the repetition by hand safe."""
    c = mode.dial(line.url, timeout=3, patience=0.5, remember=20)
    stats = c.stats("s")
    stats.merge("x", n=1)
    line.misbehave(1, {"reset_reply": 1})
    with pytest.raises(coord.OutcomeUnknown) as raised:
        stats.merge("x", n=10)
    line.behave()
    op_id = raised.value.op_id
    assert op_id
    assert repr(op_id) in str(raised.value)
    stats.merge("x", n=10, op_id=op_id)
    assert stats.peek("x") == {"n": 11}


def test_what_never_reached_the_server_is_unavailable_not_unknown(mode: Backend, line: LossyProxy) -> None:
    c = mode.dial(line.url, timeout=3, patience=0.4, remember=20)
    c.once("warm")
    line.close()
    _notice(mode)
    with pytest.raises(coord.Unavailable, match=r"cannot reach the server at 127\.0\.0\.1"):
        c.once("x")


def _notice(mode: Backend) -> None:
    """Let the news that a connection has ended arrive; a loop has to be running to hear them."""
    time.sleep(0.02)
    if mode.loop is not None:
        mode.loop.run_until_complete(asyncio.sleep(0.02))


COUNTS = coord.Script("counts", "return redis.call('INCRBY', KEYS[1], ARGV[1])")


def test_a_script_that_does_not_promise_to_be_repeatable_is_not_repeated(
    mode: Backend, line: LossyProxy, look: Any
) -> None:
    c = mode.dial(line.url, **QUICK)
    call = coord.Call(COUNTS, ("{x}",), (1,), int)
    assert c.run(call) == 1
    line.arm("reset_reply")
    with pytest.raises(coord.OutcomeUnknown, match="counts may have run"):
        c.run(call)
    assert look.get("{x}") == "2", "it ran, once"


def test_a_script_that_was_not_sent_is_sent_whatever_it_promises(mode: Backend, line: LossyProxy, look: Any) -> None:
    """The server closed the idle connection: nothing was sent on it, so the call is made on another."""
    c = mode.dial(line.url, **QUICK)
    call = coord.Call(COUNTS, ("{x}",), (1,), int)
    assert c.run(call) == 1
    for turn in range(2, 6):
        line.reset_all()
        _notice(mode)
        assert c.run(call) == turn
    assert look.get("{x}") == "5"


def test_a_connection_that_breaks_while_the_script_is_loaded_loses_nothing(
    mode: Backend, line: LossyProxy, look: Any
) -> None:
    c = mode.dial(line.url, **QUICK)
    for fault in BREAKS:
        look.script_flush()
        line.arm(fault, command="SCRIPT")
        c.kv.incr("x")
    assert c.kv.get_int("x") == len(BREAKS)


def test_each_of_many_calls_in_one_write_is_settled_by_itself(mode: Backend, line: LossyProxy) -> None:
    """The third reply of five is lost, and the two behind it: all are asked for again, none counts twice."""
    c = mode.dial(line.url, **QUICK)
    c.kv.incr("x", 0)
    for fault in BREAKS:
        before = c.kv.get_int("y") or 0
        line.arm("delay_reply", 2)
        line.arm(fault)
        assert c.run_many([c.calls.kv.incr("y") for _ in range(5)]) == [before + n for n in range(1, 6)]


def test_connect_raises_when_the_connection_is_lost_at_once(mode: Backend, line: LossyProxy) -> None:
    for fault in ("reset_reply", "half_reply", "drop_reply", "reset_request"):
        line.arm(fault, command="INFO")
        with pytest.raises(coord.Unavailable, match="cannot reach"):
            mode.dial(line.url, **{**QUICK, "timeout": 0.5})


def test_a_late_reply_after_a_rest_is_waited_for(line: LossyProxy) -> None:
    """How long a connection has been silent counts from the call that waits, not from the last one before a rest."""
    line.delay = 0.6

    async def run() -> None:
        async with coord.connect_async(line.url, **{**QUICK, "timeout": 2.4}) as c:
            await c.version("x")
            for turn in range(4):
                await asyncio.sleep(2.45 + turn / 50)
                line.arm("delay_reply")
                await c.version("x")

    asyncio.run(run())
    assert line.connections == 1


def test_a_batch_that_was_cancelled_leaves_no_complaint_behind(line: LossyProxy, caplog: Any) -> None:
    """Its replies are lost afterwards: there is no caller, and nothing is logged."""

    async def run() -> None:
        async with coord.connect_async(line.url, **QUICK) as c:
            await c.kv.incr("x")
            line.arm("drop_reply")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    await c.run_many([c.calls.kv.incr("x") for _ in range(5)])
            line.reset_all()
            await asyncio.sleep(0.02)

    asyncio.run(run())
    gc.collect()
    assert not caplog.records
