"""The bad line does what it says: each accident, exactly as often as it is asked for, and nothing is left behind."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from live import until
from redis.backoff import NoBackoff
from redis.retry import Retry

from coord.testing.leaks import nothing_left_behind
from coord.testing.proxy import FAULTS, Fault, LossyProxy
from coord.testing.servers import Server


def through(line: LossyProxy, timeout: float = 20) -> Any:
    """A client that says what happened, and sends nothing twice."""
    return redis.Redis(
        "127.0.0.1", line.port, decode_responses=True, protocol=2, retry=Retry(NoBackoff(), 0), socket_timeout=timeout
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_each_accident_happens_once_and_as_described(fault: Fault, line: LossyProxy, look: Any) -> None:
    line.delay = 0.05
    with through(line, timeout=2 if "drop" in fault else 20) as client:
        client.ping()
        line.arm(fault, command="INCRBY")
        if fault == "delay_reply":
            assert client.incr("x") == 1
        else:
            with pytest.raises(redis.ConnectionError if "drop" not in fault else redis.TimeoutError):
                client.incr("x")
        assert line.faults == {fault: 1}
        assert line.armed == 0
        if fault == "late_request":
            until(lambda: look.get("x") == "1", "the late request")
        assert look.get("x") == (None if "request" in fault and fault != "late_request" else "1")
        assert client.incr("y") == 1, "the next connection is good"


def test_one_in_twenty_is_exactly_one_in_twenty(one_server: Server) -> None:
    resets: dict[Fault, float] = {"reset_reply": 1}
    with (
        LossyProxy("127.0.0.1", one_server.port, every=20, mix=resets, suffering=("INCRBY",)) as line,
        through(line) as client,
    ):
        lost = 0
        for _ in range(400):
            try:
                client.incr("x")
            except redis.ConnectionError:
                lost += 1
        assert lost == line.faults["reset_reply"] == 20


def test_the_same_seed_gives_the_same_faults(one_server: Server) -> None:
    def fates(seed: int) -> list[Any]:
        with LossyProxy("127.0.0.1", one_server.port, every=3, seed=seed) as line:
            return [line.fate(b"EVALSHA") for _ in range(60)]

    assert fates(1) == fates(1) != fates(2)


def test_large_and_nested_replies_pass_unharmed_in_any_pieces(line: LossyProxy, look: Any) -> None:
    with through(line) as client:
        client.rpush("l", *("v" * 10_000 for _ in range(300)))
        assert client.lrange("l", 0, -1) == look.lrange("l", 0, -1)
        assert client.eval("return {1, {2, {'a', {}}}, false, 'b'}", 0) == [1, [2, ["a", []]], None, "b"]
        with client.pipeline(transaction=False) as some:
            for _ in range(2_000):
                some.incr("n")
            assert some.execute() == list(range(1, 2_001))


def test_pauses_and_resets(line: LossyProxy) -> None:
    with through(line, timeout=2) as client:
        client.ping()
        with line.paused(), pytest.raises(redis.TimeoutError):
            client.ping()
        assert client.ping()
        before = line.connections
        line.reset_all()
        assert client.ping()
        assert line.connections == before + 1


def test_new_connections_lead_to_another_server_and_open_ones_stay(line: LossyProxy, one_server: Server) -> None:
    with Server(one_server.engine) as other, through(line) as client, through(line) as later:
        assert client.incr("x") == client.incr("x") - 1
        line.lead_to("127.0.0.1", other.port)
        assert later.incr("x") == 1
        assert client.incr("x") == 3


def test_messages_of_a_subscription_pass(line: LossyProxy, look: Any) -> None:
    line.misbehave(1)
    with through(line) as client, client.pubsub() as channel:
        channel.subscribe("news")
        assert channel.get_message(timeout=20)["type"] == "subscribe"
        look.publish("news", "hello")
        assert channel.get_message(timeout=20)["data"] == "hello"


def test_nothing_is_left_behind(one_server: Server) -> None:
    with nothing_left_behind():
        line = LossyProxy("127.0.0.1", one_server.port)
        clients = [through(line) for _ in range(5)]
        for client in clients:
            client.ping()
        line.close()
        line.close()
        for client in clients:
            client.close()


def test_a_server_that_is_not_there_is_a_line_that_hangs_up() -> None:
    with LossyProxy("127.0.0.1", 1) as line, through(line) as client, pytest.raises(redis.ConnectionError):
        client.ping()
