"""``python tests/faults/figures.py [ENGINE]``: print the figures of docs/guarantees.md, in five seconds.

They depend on the machine; what must not happen is counted, and is 0 on each.
"""

from __future__ import annotations

import logging
import signal
import sys
from contextlib import suppress
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "faults")]

from backends import found  # noqa: E402  # found by the line above
from late_line import LateLine  # noqa: E402
from machines import client_of  # noqa: E402

import coord  # noqa: E402
from coord.testing.proxy import LossyProxy  # noqa: E402
from coord.testing.servers import Server  # noqa: E402

COUNTS = 2_000
COPIES = 100
ATTEMPTS = 500


def losses(server: Server, look: Any) -> None:
    """How long before the server, and how late on a server that stands still, a lease is lost."""
    with coord.connect(server.url) as c:
        left = []
        for number in range(20):
            lease = c.claim(f"lost-{number}", ttl=0.5)
            assert lease is not None
            lease.lost.wait()
            left.append(look.pttl(f"coord:claim:{{lost-{number}}}"))
        print(f"lost: set {median(left):.0f} ms (median of 20) before the server ends a lease of 500 ms")
        hold = c.hold("frozen", ttl=2)
        began = monotonic()
        lease = hold.__enter__()
        server.signal(signal.SIGSTOP)
        lease.lost.wait()
        lost = monotonic() - began
        began = monotonic()
        with suppress(coord.LeaseLost):
            hold.__exit__(None, None, None)
        left_in = monotonic() - began
        server.signal(signal.SIGCONT)
        print(
            f"lost: {lost:.2f} s after a claim of 2 s on a server that stands still; leaving then took {left_in:.2f} s"
        )


def unknown(server: Server, look: Any) -> None:
    """How many counts through a bad line stay unknown, with operation ids and without."""
    with LossyProxy("127.0.0.1", server.port, seed=20) as line:
        for remember in (130.0, 0.0):
            with coord.connect(line.url, timeout=1, patience=60, remember=remember) as c:
                line.misbehave(20, {"reset_reply": 1.0})
                outcomes = [counted(c) for _ in range(COUNTS)]
                line.behave()
            ran = int(look.get("coord:kv:{n}"))
            look.delete("coord:kv:{n}")
            said = outcomes.count(True)
            print(
                f"OutcomeUnknown: remember={remember:g}: {outcomes.count(False)} of {COUNTS:,} counts, "
                f"one reply in 20 lost; {ran - said} of them had run, {max(said - ran, 0)} lost"
            )


def counted(c: coord.Coordinator) -> bool:
    try:
        c.kv.incr("n")
    except coord.OutcomeUnknown:
        return False
    return True


def copies(server: Server, look: Any) -> None:
    """How many first copies took effect that arrived after their repetition was answered "no"."""
    line = LateLine(server.port)
    with coord.connect(line.url, timeout=3, patience=8) as a, coord.connect(server.url) as b:
        a.claim("warm", ttl=1)
        a.stats("s").consume("warm")
        effects = 0
        for number in range(COPIES):
            name = f"late-{number}"
            lease = b.claim(name, ttl=30)
            assert lease is not None
            line.arm()
            assert a.claim(name, ttl=600) is None
            lease.release()
            line.deliver()
            effects += b.holder(name) is not None
            line.arm()
            assert a.stats("s").consume(name) is None
            b.stats("s").merge(name, n=1)
            line.deliver()
            effects += b.stats("s").consume(name) != {"n": 1}
        kept = [look.memory_usage(key) for key in look.scan_iter("coord:claim:*:tombstone:*")]
        print(
            f"late copies: {effects} of {2 * COPIES} took effect; "
            f"a repeated claim that is refused keeps {max(kept)} bytes"
        )
    line.close()


def reopened(server: Server, look: Any) -> None:
    """How many repetitions that belong to the attempt before acted on the new one."""
    with coord.connect(server.url) as c:
        acted = other = 0
        for number in range(ATTEMPTS):
            barrier, calls = c.barrier(f"b-{number}"), c.calls.barrier(f"b-{number}")
            for lost in (calls.arrive("m"), calls.abort("changed our minds")):
                barrier.open(1)
                first = c.run(lost)
                barrier.open(1)
                # As the transport sends a call again: it says that a copy may have been executed.
                at = lost.script.repeated_at
                again = c.run(lost._replace(argv=(*lost.argv[:at], "1", *lost.argv[at + 1 :])))
                status = barrier.status()
                assert status is not None
                acted += status.state != "open" or status.arrived > 0
                other += again != first
        size = look.memory_usage("coord:barrier:{b-0}:last")
        print(
            f"reopened barriers: {acted} of {2 * ATTEMPTS:,} repetitions acted on the next attempt, "
            f"{other} got another answer; the attempt before takes {size} bytes"
        )


def main() -> None:
    logging.getLogger("coord").setLevel(logging.ERROR)
    engine = sys.argv[1] if sys.argv[1:] else "redis-8.2"
    with Server(found()[engine]) as server:
        look = client_of(server)
        print(engine)
        for measure in (losses, unknown, copies, reopened):
            measure(server, look)
        look.close()


if __name__ == "__main__":
    main()
