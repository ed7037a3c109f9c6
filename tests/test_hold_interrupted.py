"""A hold that is cancelled, interrupted or forked leaves nothing held."""

from __future__ import annotations

import asyncio
import dis
import inspect
import random
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, Self

import pytest
from forked import Child, forks, in_child
from holding import JOB, TTL, UNHURRIED, count_renewals
from live import SOON, Live, Thread, run, until, until_async, waiters

import coord
from coord.coordinator import runner_of
from coord.testing.servers import Engine, Server

pytest_plugins = ("live_fixtures", "hold_fixtures")


# --- cancelled and interrupted --------------------------------------------------------------------


class FarAway:
    """A line to the server on which every call takes a little, going and coming: cancelling strikes anywhere."""

    def __init__(self, c: coord.AsyncCoordinator, dice: random.Random) -> None:
        call = runner_of(c).call

        async def far(*words: Any) -> Any:
            await asyncio.sleep(dice.uniform(0, 0.002))
            result = await call(*words)
            await asyncio.sleep(dice.uniform(0, 0.002))
            return result

        runner_of(c).call = far  # type: ignore[method-assign]
        c.call = far


@pytest.mark.slow
def test_cancelled_anywhere_it_leaves_nothing_held(live: Live) -> None:
    """Getting, waiting, working, releasing: cancelled at 300 random moments, the name is free each time."""
    dice = random.Random(7)

    async def main() -> None:
        async with live.connect_async() as c, live.connect_async() as looker:
            FarAway(c, dice)

            async def block(name: str) -> None:
                async with c.hold(name, ttl=60):
                    await asyncio.sleep(dice.uniform(0, 0.002))

            for number in range(100):
                tasks = [asyncio.create_task(block(f"job-{number}")) for _ in range(3)]
                for task in tasks:
                    asyncio.get_running_loop().call_later(dice.uniform(0, 0.012), task.cancel)
                await asyncio.wait(tasks)
                await until_async(_nobody_holds(looker, f"job-{number}"), "the release")
            assert not any(waiters(c, f"coord:claim:{{job-{number}}}") for number in range(100))

    run(main())


def _nobody_holds(c: coord.AsyncCoordinator, name: str) -> Any:
    async def look() -> bool:
        return await c.holder(name) is None

    return look


@pytest.mark.slow
def test_a_claim_cancelled_anywhere_leaves_nothing_held(live: Live) -> None:
    """The same for ``claim``, which never waits: 200 random moments."""
    dice = random.Random(11)

    async def main() -> None:
        async with live.connect_async() as c, live.connect_async() as looker:
            FarAway(c, dice)
            kept = 0
            for number in range(200):
                task = asyncio.create_task(c.claim(f"job-{number}", ttl=60))
                # Some for certain, and some for certain not, however slow the machine is.
                if number % 20 == 0:
                    task.cancel()
                elif number % 20 != 1:
                    asyncio.get_running_loop().call_later(dice.uniform(0, 0.005), task.cancel)
                await asyncio.wait([task])
                if task.cancelled():
                    await until_async(_nobody_holds(looker, f"job-{number}"), "the release")
                else:
                    kept += 1
                    assert await looker.holder(f"job-{number}") is not None
            assert 0 < kept < 200

    run(main())


class Interrupts:
    """Raises ``KeyboardInterrupt`` at the n-th moment at which Python would do so for Ctrl-C, in the code of coord.

    It looks for signals when a function begins, when a loop turns, and when a function that
    is not written in Python has returned. ``where`` is the line it came to.
    Only the beginning of ``__exit__`` is left out: no code can be written that would be prepared for it.
    """

    def __init__(self, at: int) -> None:
        self._left = at
        self.where = ""

    def __enter__(self) -> Self:
        sys.setprofile(self._profile)
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        sys.setprofile(None)

    def _trace(self, frame: Any, event: str, arg: object) -> Any:
        if not _is_ours(frame):
            return None
        code = frame.f_code
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            if not code.co_flags & inspect.CO_GENERATOR and code.co_name != "__exit__":
                self._count(frame)
        elif event == "opcode" and dis.opname[code.co_code[frame.f_lasti]] == "JUMP_BACKWARD":
            self._count(frame)
        return self._trace

    def _profile(self, frame: Any, event: str, arg: object) -> None:
        if event == "c_return" and _is_ours(frame):
            self._count(frame)

    def _count(self, frame: Any) -> None:
        self._left -= 1
        if not self._left:
            self.where = f"{frame.f_code.co_name}:{frame.f_lineno}"
            raise KeyboardInterrupt


def _is_ours(frame: Any) -> bool:
    return str(frame.f_code.co_filename).startswith(coord.__path__[0])


@pytest.mark.slow
def test_interrupted_at_any_moment_a_hold_leaves_nothing_held() -> None:
    """Ctrl-C at each moment in turn, from before the claim until after the release."""
    at = 0
    while True:
        at += 1
        with coord.connect(f"memory://interrupted-{at}") as c:
            # What is made once for all calls is made now.
            with c.hold("warm"):
                pass
            interrupts = Interrupts(at)
            hold: Any = c.hold("job", ttl=3600)
            try:
                with interrupts, hold:
                    pass
            except KeyboardInterrupt:
                pass
            hold = None
            until(lambda c=c: c.holder("job") is None, f"the release after an interrupt at {interrupts.where}")
            assert waiters(c, JOB) == 0
        if not interrupts.where:
            break
    assert at > 50


def _press_ctrl_c() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def test_interrupted_while_waiting_a_thread_leaves_the_line(live: Live) -> None:
    """Ctrl-C in the main thread while it waits for a name: the line is empty, and the name still its holder's."""
    with live.connect() as c, c.hold("job") as lease:
        interrupt = Thread(lambda: (until(lambda: waiters(c, JOB) == 1), _press_ctrl_c()))
        with pytest.raises(KeyboardInterrupt), c.hold("job", wait=SOON):
            pass
        interrupt.result()
        assert waiters(c, JOB) == 0
        assert c.holder("job").fence == lease.fence


def interrupted_soon(ask: Callable[[], Any]) -> None:
    """Do something that takes long; Ctrl-C comes in the middle of it."""
    timer = threading.Timer(0.1, _press_ctrl_c)
    timer.start()
    try:
        ask()
    finally:
        timer.join()


def test_interrupted_between_command_and_reply_nothing_stays_held(engine: Engine) -> None:
    """The server runs the claim after its caller has gone; it is taken back in the background."""
    with Server(engine) as server, coord.connect(server.url, **UNHURRIED) as c:
        assert c.holder("job") is None
        for ask in (lambda: c.claim("job", ttl=3600), lambda: c.hold("job", ttl=3600).__enter__()):
            server.signal(signal.SIGSTOP)
            with pytest.raises(KeyboardInterrupt):
                interrupted_soon(ask)
            server.signal(signal.SIGCONT)
            until(lambda: c.holder("job") is None, "the release")


def test_closing_at_once_takes_back_what_was_interrupted(engine: Engine) -> None:
    """A program that ends on Ctrl-C closes its coordinator; the claim is taken back before that is done."""
    with Server(engine) as server:

        def interrupt() -> None:
            _press_ctrl_c()
            server.signal(signal.SIGCONT)

        timer = threading.Timer(0.1, interrupt)

        def program() -> None:
            with coord.connect(server.url, **UNHURRIED) as c:
                server.signal(signal.SIGSTOP)
                timer.start()
                c.claim("job", ttl=3600)

        with pytest.raises(KeyboardInterrupt):
            program()
        timer.join()
        with coord.connect(server.url) as c:
            assert c.holder("job") is None


# --- forks ----------------------------------------------------------------------------------------


@forks
@pytest.mark.usefixtures("brisk")
def test_parent_and_child_of_a_fork_hold_for_themselves(live_server: Live) -> None:
    """A child waits for its parent's name like anybody else, and renews what it holds by a thread of its own."""
    with live_server.connect() as c:
        with c.hold("job", ttl=60):

            def hold() -> None:
                with c.hold("job", ttl=TTL) as lease:
                    assert count_renewals(lease, 3).wait(SOON)

            child = Child(hold)
            # The child waits, and is woken by this release.
            until(lambda: live_server.subscriptions() == 1, "the child's subscription")
        child.result()
        assert c.holder("job") is None


@forks
def test_a_child_waits_in_its_own_copy_of_a_keyspace() -> None:
    """``memory://`` after a fork: the waiters of the parent are not in the child's line."""
    with coord.connect("memory://forked-while-waited-for") as c, c.hold("job") as lease:
        waiter = Thread(lambda: c.hold("job", wait=SOON).__enter__().release())
        until(lambda: waiters(c, JOB) == 1, "the waiter")

        def hold() -> None:
            releasing = Thread(lambda: (until(lambda: waiters(c, JOB) == 1), lease.release()))
            with c.hold("job", wait=SOON):
                pass
            releasing.result()

        in_child(hold)
        lease.release()
        assert waiter.result() is True


@pytest.mark.slow
@forks
def test_a_child_learns_that_its_parents_lease_is_over(live: Live) -> None:
    """Nobody renews it for the child: its copy is lost when the time is over that was known at the fork."""
    with live.connect() as c, c.hold("job", ttl=TTL) as lease:
        assert not lease.lost.is_set()
        assert in_child(lambda: (lease.lost.wait(SOON), lease.expires_in)) == "(True, 0.0)"
        assert not lease.lost.is_set()
