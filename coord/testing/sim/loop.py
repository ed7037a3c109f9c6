"""An asyncio event loop whose time is virtual and whose scheduling is drawn from a seed.

Nothing of it waits: when no callback is ready, time jumps to the next timer. Every callback belongs to a process, the
one in whose context it was scheduled. Callbacks of one process run in order, as asyncio promises; which process runs
next is drawn.
"""

from __future__ import annotations

import asyncio
import asyncio.events
import contextlib
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from heapq import heappop, heappush
from random import Random
from typing import Any, Protocol, TypeVar, TypeVarTuple, Unpack, cast

from coord.testing.sim.process import Process, current

__all__ = ["START_SECONDS", "Deadlock", "SimLoop", "Stuck"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

START_SECONDS = 1_000.0
"""The loop's time at the beginning of a run."""

_STEP_SECONDS = 20e-6
"""Average seconds of a callback, so that a loop that never waits does not stop the clock."""


class Connects(Protocol):
    """A network, as far as a loop needs it."""

    async def connect(
        self, protocol_factory: Callable[[], asyncio.Protocol], host: str, port: int, /
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Open a connection, as ``loop.create_connection`` does."""
        ...


class Deadlock(Exception):
    """Something is awaited, and no callback and no timer is left that could bring it."""


class Stuck(Exception):
    """A run needed more steps or more virtual time than it may."""


class _Numbered:
    """Hash by order of creation: sets of tasks and futures are walked in the same order in every run."""

    _number: int

    def __hash__(self) -> int:
        return self._number


class _Future(_Numbered, asyncio.Future[Any]):
    __hash__ = _Numbered.__hash__

    def __init__(self, number: int, loop: asyncio.AbstractEventLoop) -> None:
        self._number = number
        super().__init__(loop=loop)


class _Task(_Numbered, asyncio.Task[Any]):
    __hash__ = _Numbered.__hash__

    def __init__(self, number: int, coro: Any, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        self._number = number
        super().__init__(coro, loop=loop, **options)


class SimLoop(asyncio.AbstractEventLoop):
    """The loop of one run: ``now`` is its time, ``steps`` counts callbacks, ``errors`` are those not handled."""

    def __init__(self, seed: int, *, most_steps: int = 2_000_000, most_seconds: float = 100_000.0) -> None:
        self._draw = Random(seed).random
        self.now = START_SECONDS
        self._most_steps = most_steps
        self._end = START_SECONDS + most_seconds
        self._timers: list[tuple[float, int, asyncio.TimerHandle, Process]] = []
        self._scheduled = 0
        self._made = 0
        self._processes: list[Process] = []
        self._dead: list[object] = []
        self._running = self._closed = self._discarding = False
        self._main = Process("workload")
        self._processes.append(self._main)
        self.steps = 0
        self.errors: list[tuple[Process | None, dict[str, Any]]] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.network: Connects | None = None

    def __repr__(self) -> str:
        return f"<SimLoop at {self.now - START_SECONDS:.6f} s, step {self.steps}>"

    # --- processes -------------------------------------------------------------------------------

    def process(self, name: str) -> Process:
        """Return a new process."""
        process = Process(name)
        self._processes.append(process)
        return process

    def freeze(self, process: Process, seconds: float) -> None:
        """Let nothing of a process run for so many seconds, as after SIGSTOP."""
        process.frozen_until = max(process.frozen_until, self.now + seconds)

    def kill(self, process: Process) -> None:
        """Let nothing of a process run ever again, not even what stands in its ``finally`` blocks."""
        process.alive = False
        self._dead.extend(process.queue)
        process.queue.clear()
        if process in self._processes:
            self._processes.remove(process)

    # --- time ------------------------------------------------------------------------------------

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self.now

    @property
    def elapsed(self) -> float:
        """The virtual seconds since the run began."""
        return self.now - START_SECONDS

    # --- scheduling ------------------------------------------------------------------------------

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Call back in the next steps of the process in whose context this is."""
        context = copy_context() if context is None else context
        handle = asyncio.Handle(callback, args, self, context)
        process = context.get(current) or self._main
        if process.alive and not self._discarding:
            process.queue.append(handle)
        else:
            self._dead.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Call back soon: there are no threads to be safe from."""
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call back after so many virtual seconds."""
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call back at a moment of virtual time."""
        context = copy_context() if context is None else context
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        process = context.get(current) or self._main
        self._scheduled += 1
        heappush(self._timers, (when, self._scheduled, timer, process))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Nothing: a cancelled timer is passed over when its time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future whose hash is the same in every run."""
        self._made += 1
        return _Future(self._made, self)

    def create_task(self, coro: Generator[Any, None, T] | Coroutine[Any, Any, T], **options: Any) -> asyncio.Task[T]:
        """Return a task whose hash is the same in every run."""
        self._made += 1
        if self._discarding:
            coro.close()
            cancelled: Any = self.create_future()
            cancelled.cancel()
            return cast("asyncio.Task[T]", cancelled)
        task = _Task(self._made, coro, self, **options)
        self.tasks.append(task)
        return task

    # --- running ---------------------------------------------------------------------------------

    def run_until_complete(self, future: Any) -> Any:
        """Run until a coroutine or future is done, and return its result."""
        task = self._main.context.run(asyncio.ensure_future, future, loop=self)
        self._run(task.done)
        return task.result()

    def run_forever(self) -> None:
        """Run until ``stop``."""
        self._run(lambda: False)

    def stop(self) -> None:
        """End ``run_forever`` after the present step."""
        self._running = False

    def settle(self, seconds: float) -> None:
        """Run what is left, for at most so many virtual seconds."""
        end = self.now + seconds
        try:
            self._run(lambda: self.now >= end)
        except Deadlock:
            return

    def _run(self, is_over: Callable[[], bool]) -> None:
        self._running = True
        asyncio.events._set_running_loop(self)
        try:
            while self._running and not is_over():
                self._step()
        finally:
            self._running = False
            asyncio.events._set_running_loop(None)

    def _step(self) -> None:
        timers, now = self._timers, self.now
        while timers and timers[0][0] <= now:
            _, _, timer, process = heappop(timers)
            if process.alive:
                process.queue.append(timer)
            else:
                self._dead.append(timer)
        ready = [each for each in self._processes if each.queue and each.frozen_until <= now]
        if not ready:
            self._jump()
            return
        draw = self._draw()
        process = ready[int(draw * len(ready))] if len(ready) > 1 else ready[0]
        handle = process.queue.popleft()
        if handle.cancelled():
            return
        self.now = now + _STEP_SECONDS * 2 * draw
        self.steps += 1
        if self.steps > self._most_steps:
            raise Stuck(f"{self.steps} steps and no end: something loops without waiting")
        handle._run()

    def _jump(self) -> None:
        """Let time pass until something can run."""
        while self._timers and self._timers[0][2].cancelled():
            heappop(self._timers)
        moments = [each.frozen_until for each in self._processes if each.queue]
        if self._timers:
            moments.append(self._timers[0][0])
        if not moments:
            raise Deadlock("nothing is left that could happen")
        self.now = max(self.now, min(moments))
        if self.now > self._end:
            raise Stuck(f"{self.elapsed:.0f} virtual seconds and no end")

    # --- the rest of what asyncio asks of a loop -------------------------------------------------

    def is_running(self) -> bool:
        """Whether it runs."""
        return self._running

    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def close(self) -> None:
        """End every task where it waits."""
        self._closed = self._discarding = True
        self._timers.clear()
        for process in self._processes:
            self._dead.extend(process.queue)
            process.queue.clear()
        asyncio.events._set_running_loop(self)
        try:
            for task in self.tasks:
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's own switch
                    # Its ``finally`` blocks run and find nobody who would answer.
                    with contextlib.suppress(BaseException):
                        task.get_coro().close()
        finally:
            asyncio.events._set_running_loop(None)

    async def shutdown_asyncgens(self) -> None:
        """Nothing: generators end with their run."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  # asyncio's own
        """Nothing: a simulation has no threads."""

    def get_debug(self) -> bool:
        """Return False."""
        return False

    def set_debug(self, enabled: bool) -> None:
        """Nothing: the trace says more."""

    def set_exception_handler(self, handler: object) -> None:
        """Nothing: a run keeps every error."""

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep an error that nobody handled."""
        self.call_exception_handler(context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep an error that nobody handled."""
        if not self._discarding:
            self.errors.append((current.get(), context))

    async def create_connection(  # type: ignore[override]  # only what a client of a simulated server needs
        self, protocol_factory: Callable[[], asyncio.Protocol], host: str = "", port: int = 0, **_: Any
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Connect to a simulated server."""
        if self.network is None:
            raise ConnectionRefusedError("this simulation has no network")
        return await self.network.connect(protocol_factory, host, int(port))

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> list[Any]:
        """Return the address as it was given: names of simulated servers need no resolving."""
        return [(2, 1, 6, "", (str(host), int(port)))]
