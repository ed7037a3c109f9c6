"""Producers and workers as threads, or as processes that reach the world through a pipe each."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast

from coord.cli.demo import naive, worker
from coord.cli.demo.fate import Fate, Killed
from coord.cli.demo.load import Blow, Burst
from coord.cli.demo.world import Queue, Roster, Store, World
from coord.config import connect
from coord.errors import CoordError

if TYPE_CHECKING:
    from collections.abc import Generator
    from multiprocessing.connection import Connection

__all__ = ["GRACE", "KEEP", "Job", "Member", "start"]

KEEP = 120.0
"""Seconds after which nothing of the demo is left on a server."""
GRACE = 5.0

Produce = Callable[[Queue, Iterable[Burst], float], None]
Work = Callable[[Queue, Store, Fate, str], dict[str, int] | None]


@dataclass(frozen=True, slots=True)
class Job:
    """What a member of the crew is to do: to work, or to produce when it has bursts."""

    name: str
    url: str
    prefix: str
    with_coord: bool
    blow: Blow | None = None
    bursts: tuple[Burst, ...] | None = None
    pause: float = 0.0
    documents: int = 0


class Outside(Protocol):
    """The world as a member sees it: the real one, or one behind a pipe."""

    @property
    def queue(self) -> Queue:
        """Where updates come from."""
        ...

    @property
    def store(self) -> Store:
        """Where their effects go."""
        ...

    @property
    def roster(self) -> Roster:
        """Who takes part."""
        ...


class Member(Protocol):
    """A producer or a worker that runs."""

    name: str

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        ...

    def stop(self) -> None:
        """End it, if it can be ended from outside, and wait until it has gone."""
        ...


def start(job: Job, world: World, *, in_process: bool) -> Member:
    """Set somebody to work, in a process of its own or in a thread."""
    return ProcessMember(job, world) if in_process else ThreadMember(job, world)


def perform(job: Job, world: Outside, die: Callable[[], NoReturn]) -> None:
    """Do a job to its end, and tell the roster how it went."""
    try:
        with contextlib.ExitStack() as stack:
            produce, work = _pipeline(job, stack)
            world.roster.arrive(job.name)
            if job.bursts is not None:
                produce(world.queue, job.bursts, job.pause)
                world.queue.done()
            elif counts := work(world.queue, world.store, Fate(job.name, job.blow, world.roster, die), job.name):
                world.roster.report(counts)
        world.roster.left(job.name)
    except CoordError as error:
        world.roster.failed(str(error))
    except (threading.BrokenBarrierError, EOFError, BrokenPipeError):
        # The run is over before it began, or the demo itself has gone.
        return


def _pipeline(job: Job, stack: contextlib.ExitStack) -> tuple[Produce, Work]:
    """Open what the job keeps its state in, and return how to produce and how to work with it."""
    if job.with_coord:
        c = stack.enter_context(connect(job.url, prefix=job.prefix, ttl=KEEP))
        return partial(worker.produce, c, job.documents), partial(worker.work, c)
    state = naive.state_at(job.url, job.prefix)
    return partial(naive.produce, state), partial(naive.work, state)


# --- threads -------------------------------------------------------------------------------------


class ThreadMember:
    """A member that is a thread. Its death is simulated: it stops where it stands and lets go of nothing."""

    def __init__(self, job: Job, world: World) -> None:
        self.name = job.name
        self._job = job
        self._world = world
        self._thread = threading.Thread(target=self._run, name=job.name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Wait until it has gone; nobody can end a thread from outside."""
        self._thread.join(GRACE)

    def _run(self) -> None:
        try:
            perform(self._job, self._world, _fall)
        except Killed:
            self._world.roster.struck(self.name, "killed")


def _fall() -> NoReturn:
    raise Killed


# --- processes -----------------------------------------------------------------------------------


class ProcessMember:
    """A member that is a process. It reaches the world through a pipe; SIGKILL ends it like any other process."""

    def __init__(self, job: Job, world: World) -> None:
        self.name = job.name
        self._world = world
        # A fresh interpreter: it shares no connection, no lock and no random state with this one.
        context = multiprocessing.get_context("spawn")
        self._pipe, far = context.Pipe()
        self._process = context.Process(target=_in_process, args=(job, far), name=job.name, daemon=True)
        with _deaf_to_ctrl_c():
            self._process.start()
        # With the far end closed here, the process's death ends the pipe.
        far.close()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End it and wait until it has gone."""
        self._process.kill()
        self._thread.join(GRACE)

    def _serve(self) -> None:
        """Answer what the process asks of the world, for as long as it lives."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                part, method, args = self._pipe.recv()
                self._pipe.send(_answer(self._world, part, method, args))
        self._process.join()
        if self._process.exitcode == -signal.SIGKILL:
            self._world.roster.struck(self.name, "killed")


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Generator[None]:
    """Let processes that are started meanwhile not hear Ctrl-C, which reaches the whole group: the demo ends them."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _in_process(job: Job, pipe: Connection) -> None:
    perform(job, cast("Outside", _Far(pipe)), _kill_oneself)


def _kill_oneself() -> NoReturn:
    while True:
        os.kill(os.getpid(), signal.SIGKILL)


def _answer(world: World, part: str, method: str, args: tuple[Any, ...]) -> Any:
    """Return the result of a method of the world, or the error that a member waiting for others meets."""
    try:
        return getattr(getattr(world, part), method)(*args)
    except threading.BrokenBarrierError as error:
        return error


class _Far:
    """The world behind a pipe: its parts have the methods of the real ones."""

    def __init__(self, pipe: Connection) -> None:
        self.queue, self.store, self.roster = (_FarPart(pipe, part) for part in ("queue", "store", "roster"))


class _FarPart:
    def __init__(self, pipe: Connection, part: str) -> None:
        self._pipe = pipe
        self._part = part

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def ask(*args: Any) -> Any:
            self._pipe.send((self._part, method, args))
            answer = self._pipe.recv()
            if isinstance(answer, Exception):
                raise answer
            return answer

        return ask
