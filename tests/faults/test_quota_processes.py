"""Eight processes spend from one quota; some are killed, replies are lost, work is delivered again: spent is exact."""

from __future__ import annotations

import subprocess
import sys

import coord
from coord.testing.proxy import LossyProxy
from coord.testing.servers import Server

WORKER = """
import sys, coord
url, *items = sys.argv[1:]

def dialled():
    while True:
        try:
            return coord.connect(url, timeout=3, patience=20)
        except coord.Unavailable:
            # The reply to the handshake was lost.
            pass

with dialled() as c:
    quota = c.quota("team", coord.Limit(10**12, per=86_400 * 365))
    for item in items:
        reservation = quota.reserve(100, ttl=60, op_id=item)
        reservation.settle(int(item) % 7 + 1)
        quota.spend(1, op_id=item)
        print(item, flush=True)
"""
ITEMS = [str(number) for number in range(1, 121)]


def _start(url: str, items: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WORKER, url, *items], stdout=subprocess.PIPE, text=True)


def test_spent_is_what_was_settled_to_the_unit(one_server: Server, line: LossyProxy) -> None:
    """Each item is settled and spent once, however often it is delivered, and whichever process dies in between."""
    line.misbehave(7, {"reset_reply": 0.05})
    left, rounds = list(ITEMS), 0
    while left:
        workers = [_start(line.url, left[number::8]) for number in range(8)]
        done: set[str] = set()
        for number, worker in enumerate(workers):
            assert worker.stdout is not None
            for seen, text in enumerate(worker.stdout, 1):
                done.add(text.strip())
                if rounds == 0 and number % 3 == 0 and seen == 5:
                    # In the middle of its work: what it has begun is delivered to another.
                    worker.kill()
                    break
            worker.stdout.close()
            assert worker.wait() == 0 or (rounds == 0 and number % 3 == 0), "a worker failed by itself"
        left = [item for item in left if item not in done]
        rounds += 1
    line.behave()
    assert rounds > 1
    with coord.connect(one_server.url) as c:
        (status,) = c.quota("team", coord.Limit(10**12, per=86_400 * 365)).status()
    assert status.spent == sum(int(item) % 7 + 2 for item in ITEMS)
    assert status.held == 0
