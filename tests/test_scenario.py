"""A service of four instances, one of which is killed: requests fan out over all of them, and every answer is exact."""

from __future__ import annotations

import pytest
import redis
from backends import found
from reporting import say
from scenario.broker import Broker
from scenario.service import PROCESSED_A_DOCUMENT, Message

import coord
from coord.testing.servers import Server

pytestmark = pytest.mark.slow

REQUESTS = [f"request-{number}" for number in range(6)]
DOCUMENTS = 8


@pytest.mark.parametrize("engine", sorted(found()))
def test_four_instances_and_a_death(engine: str) -> None:
    """Redelivery, disorder and a killed instance change no count, fire no callback twice, and leave nothing behind."""
    with Server(found()[engine]) as server:
        broker = Broker(server.url)
        try:
            for name in REQUESTS:
                broker.send(Message("request", name, documents=DOCUMENTS))
            finished = broker.wait_for(REQUESTS, seconds=120)
        finally:
            died = broker.stop()
        assert finished, f"waited for: {dict(broker.waited)}, called back: {broker.callbacks}"
        assert died == 1

        for name in REQUESTS:
            exact = {"semantic": (DOCUMENTS, 0), "embedding": (DOCUMENTS * PROCESSED_A_DOCUMENT, 0)}
            assert all(status == exact for status in broker.waited[name]), broker.waited[name]
            assert broker.callbacks[name] == 1

        for piece, version in broker.stale:
            assert max(broker.bumped[piece]) > version, f"{piece} {version} went stale, and nothing newer was made"

        with coord.connect(server.url, prefix="service:") as c:
            for name in REQUESTS:
                assert c.stats("embedding").consume(name) == {"embedded": DOCUMENTS}
                assert c.barrier(name).status().arrived == DOCUMENTS
        with redis.Redis(port=server.port, decode_responses=True) as client:
            assert not [key for key in client.scan_iter() if client.pttl(key) < 0]
        say(f"scenario: {engine}: {broker.delivered} deliveries for {len(REQUESTS)} requests, {died} instance killed")
