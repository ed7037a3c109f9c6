"""Forks, other loops, closing, and the end of the interpreter."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
from backends import Backend
from forked import forks, in_child
from live import SOON, Thread, until, until_async
from machines import QUICK, complaints
from storm import judged, storm

import coord
from coord.coordinator import runner_of
from coord.leases import held_of
from coord.testing.proxy import LossyProxy
from coord.testing.servers import Server


@forks
def test_parent_and_children_use_one_coordinator(one_server: Server, line: LossyProxy, look: Any) -> None:
    """Four children and their parent, at the same time, each over connections of its own."""
    with coord.connect(line.url, **QUICK) as c:
        c.kv.incr("x", 0)
        lease = c.claim("held by the parent", ttl=300)

        def add_up() -> None:
            for _ in range(300):
                c.kv.incr("x")

        def child() -> None:
            add_up()
            assert c.claim("held by the parent") is None
            with c.hold("by a child", ttl=3, wait=SOON) as mine:
                first = held_of(mine).deadline
                until(lambda: held_of(mine).deadline > first, "the renewal")
                assert not mine.lost.is_set()
            c.close()

        with ThreadPoolExecutor(4) as pool:
            children = [pool.submit(in_child, child) for _ in range(4)]
            add_up()
            for each in children:
                each.result()
        assert c.kv.get_int("x") == 1_500
        assert lease.release()


@forks
def test_a_fork_in_the_middle_of_a_storm(one_server: Server, look: Any) -> None:
    """Connections are lent out and locks are held when the fork happens: the child is free of them."""
    with coord.connect(one_server.url, **QUICK) as c:
        storms = threading.Thread(target=lambda: told.append(storm(c, 6_000, threads=6)))
        told: list[Any] = []
        storms.start()
        for number in range(5):
            time.sleep(0.02)
            in_child(lambda number=number: c.once(f"child {number}") or 1 / 0)
        storms.join()
    assert judged(told[0], look).is_clean


@forks
def test_ids_of_parent_and_child_differ(one_server: Server) -> None:
    with coord.connect(one_server.url, **QUICK) as c:
        assert c.kv.incr("x") == 1
        in_child(lambda: c.kv.incr("x") == 2 or 1 / 0)
        assert c.kv.incr("x") == 3, "an id used twice would have been given an earlier answer"


@pytest.mark.parametrize("full", [False, True], ids=["", "with all places taken"])
@pytest.mark.parametrize("place", ["memory", "server"])
def test_a_loop_that_the_coordinator_does_not_belong_to(one_server: Server, place: str, full: bool) -> None:
    """Every use of it there is refused, closing included; in its own loop it goes on."""
    url = one_server.url if place == "server" else "memory://loops"

    async def connected() -> Any:
        c = await coord.connect_async(url, **QUICK, in_flight=1)
        # Renewed in a task, which closing would wait for.
        return c, await c.claim("held", ttl=300, renew=True)

    with asyncio.Runner() as home:
        c, lease = home.run(connected())
        if full and place == "server":
            runner_of(c).room.taken = 1

        async def elsewhere() -> None:
            for use in (
                lambda: c.kv.incr("x"),
                lambda: c.claim("x"),
                lambda: c.run_many([c.calls.bump("x")]),
                lambda: c.hold("x", wait=1).__aenter__(),
                lambda: c.barrier("b").wait(timeout=1),
                lambda: c.with_options(patience=1).kv.incr("x"),
                c.ping,
                c.aclose,
            ):
                with pytest.raises(coord.ConfigError, match="another event loop: call connect_async"):
                    await use()

        thread = Thread(lambda: asyncio.run(elsewhere()))
        thread.result()
        if full and place == "server":
            runner_of(c).room.taken = 0
        assert not lease.lost.is_set()
        home.run(lease.release())
        home.run(c.aclose())


# --- closing -------------------------------------------------------------------------------------


def test_after_closing(mode: Backend, one_server: Server) -> None:
    c = mode.dial(one_server.url, **QUICK)
    c.kv.incr("x")
    c.close()
    c.close()
    for use in (
        lambda: c.kv.incr("x"),
        lambda: c.claim("x"),
        lambda: c.stats("s").merge("x", n=1),
        lambda: c.run_many([c.calls.bump("x")])[0],
    ):
        began = time.monotonic()
        try:
            told = use()
        except coord.Unavailable as error:
            told = error
        assert isinstance(told, coord.Unavailable)
        assert "the coordinator is closed" in str(told)
        assert time.monotonic() - began < QUICK["patience"] / 2, "it is not waited for"


def test_closing_waits_for_what_is_in_flight(line: LossyProxy) -> None:
    line.delay = 0.2
    with ThreadPoolExecutor(4) as pool:
        with coord.connect(line.url, **QUICK) as c:
            c.kv.incr("x", 0)
            line.arm("delay_reply", 4)
            sums = [pool.submit(c.kv.incr, "x") for _ in range(4)]
            until(lambda: not line.armed, "four calls in flight")
        assert sorted(each.result() for each in sums) == [1, 2, 3, 4]


def test_closing_awaits_what_is_in_flight(line: LossyProxy) -> None:
    async def run() -> None:
        line.delay = 0.2
        async with coord.connect_async(line.url, **QUICK) as c:
            await c.kv.incr("x", 0)
            line.arm("delay_reply", 4)
            sums = [asyncio.create_task(c.kv.incr("x")) for _ in range(4)]
            await until_async(lambda: not line.armed, "four calls in flight")
        assert await asyncio.gather(*sums) == [1, 2, 3, 4]

    asyncio.run(run())


def test_closing_while_threads_go_on_asking(one_server: Server) -> None:
    """Each call is either made, or told that the coordinator is closed; no connection is forgotten."""
    for _ in range(20):
        c = coord.connect(one_server.url, **QUICK)
        start = threading.Barrier(5)

        def ask(c: Any = c, start: Any = start) -> None:
            start.wait()
            with pytest.raises(coord.Unavailable, match="closed"):
                any(c.kv.incr("x") == 0 for _ in count())

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        start.wait()
        time.sleep(0.005)
        c.close()
        for thread in threads:
            thread.join()
        assert runner_of(c).router.nodes[0].opened == 0


# --- the end of the interpreter ------------------------------------------------------------------

AT_THE_END = {
    "closed": """
with coord.connect(url) as c:
    c.kv.incr("x")
    with c.hold("y", ttl=5):
        pass
""",
    "left open": """
c = coord.connect(url)
c.kv.incr("x")
lease = c.claim("y", ttl=5)
lease.lost
""",
    "held": """
c = coord.connect(url)
holding = c.hold("y", ttl=5)
holding.__enter__()
""",
    "awaited, closed": """
async def main():
    async with coord.connect_async(url) as c:
        await c.kv.incr("x")
        async with c.hold("y", ttl=5):
            pass
asyncio.run(main())
""",
    "awaited, after its connections were killed": """
async def main():
    async with coord.connect_async(url) as c:
        for _ in range(3):
            await c.kv.incr("x")
            other = redis.Redis.from_url(url)
            other.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            other.close()
        await c.kv.incr("x")
asyncio.run(main())
gc.collect()
""",
}


@pytest.mark.parametrize("how", AT_THE_END)
def test_the_interpreter_ends_without_a_word(how: str, one_server: Server) -> None:
    strict = () if how in ("left open", "held") else ("-X", "dev", "-W", "error")
    program = f"import asyncio, gc, redis, coord\nurl = {one_server.url!r}\n{AT_THE_END[how]}"
    ended = subprocess.run(
        [sys.executable, *strict, "-c", program], capture_output=True, text=True, timeout=180, check=False
    )
    assert (ended.returncode, ended.stdout, complaints(ended.stderr)) == (0, "", "")


CLOSED_LOOP = """
loop = asyncio.new_event_loop()
async def main():
    c = await coord.connect_async(url)
    await c.claim("y", ttl=5)
    await c.hold("y").__aenter__()
waiting = loop.create_task(main())
loop.run_until_complete(asyncio.sleep(0.2))
assert not waiting.done()
loop.close()
del waiting, loop
gc.collect()
"""


def test_a_loop_that_is_closed_while_a_task_waits_costs_no_traceback(one_server: Server) -> None:
    """asyncio says that tasks were destroyed; coord adds nothing to that."""
    program = f"import asyncio, gc, coord\nurl = {one_server.url!r}\n{CLOSED_LOOP}"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=180, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert "Task was destroyed but it is pending" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "failed" not in ended.stderr


A_FAMILY = """
import os, sys
from coord.testing.clock import VirtualClock, why_not
from coord.testing.servers import Server, engines

server = Server(engines()[sys.argv[1]])
clock = None if why_not() else VirtualClock()
if clock:
    clock.env(server.engine)
child = os.fork()
if not child:
    sys.exit()
os.waitpid(child, 0)
assert server._answers(), "the server is gone"
assert server.folder.exists(), "its folder is gone"
assert clock is None or clock.file.exists(), "the clock is gone"
print(server.folder, clock.file if clock else "")
"""


@forks
def test_a_child_that_ends_leaves_its_parent_s_servers_alone(one_server: Server) -> None:
    """A private server, its folder and its clock are gone with the process that made them, not with a child of it."""
    command = [sys.executable, "-W", "ignore", "-c", A_FAMILY, one_server.engine.name]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    left = [path for path in ended.stdout.split() if os.path.lexists(path)]
    assert not left, "the parent has left nothing behind"
