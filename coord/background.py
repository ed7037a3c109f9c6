"""The background of a blocking coordinator: plans run in a loop that all coordinators share, callbacks on a thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol, TypeVar

from coord.clock import Clock
from coord.drivers import AsyncMakesCalls, MakesCalls, Tasks, wake_all
from coord.errors import Closed
from coord.fork import register
from coord.loops import BACKGROUND
from coord.plan import Compensate, Event, Invoke, Plan, Run, compensating
from coord.script import Call, Script

__all__ = ["Background"]

T = TypeVar("T")

_IDLE_SECONDS = 1.0
"""Seconds without a plan after which a coordinator leaves the loop, and the loop ends with its last user."""

_LINGER_SECONDS = 0.25
"""Seconds that a thread stays without work."""

_CLOSE_SECONDS = 5.0
"""The most that closing the connections of the background may take."""

CALLBACK_SECONDS = 2.0
"""The most that closing waits for a callback that runs."""


class AsyncBackend(AsyncMakesCalls, Protocol):
    """A backend that lives in the background loop."""

    async def aclose(self) -> None:
        """Close its connections."""


class Background:
    """Follows plans for a blocking coordinator; may be used from any thread, and by the children of a fork."""

    def __init__(self, runner: MakesCalls, clock: Clock, closing_seconds: float) -> None:
        self.is_closed = False
        self.waiting: set[Event] = set()
        self._runner = runner
        self._clock = clock
        self._closing_seconds = closing_seconds
        self.reset_after_fork()
        register(self)

    def reset_after_fork(self) -> None:
        """Forget the parent's plans, which continue in the parent."""
        # Reentrant: a finalizer may compensate while this thread holds the lock.
        self._lock = threading.RLock()
        self._user: _LoopUser | None = None
        self._plans = 0
        self._callbacks = _Thread("coord-watcher")

    def keep(self, plan: Plan[None]) -> Job:
        """Follow a plan until it ends, or the coordinator is closed. ``RuntimeError``: no thread can be started."""
        return self._start(plan, compensates=False)

    def compensate(self, step: Compensate) -> None:
        """Make a call again and again until it is answered or its time is over."""
        self._start(compensating(step), compensates=True)

    def _start(self, plan: Plan[None], *, compensates: bool) -> Job:
        with self._lock:
            if self.is_closed:
                raise Closed("the coordinator is closed")
            if self._user is None:
                self._user = _LoopUser(self._runner, self._clock, self._callbacks)
            user = self._user
            self._plans += 1
        job = Job(user.loop)
        BACKGROUND.call(user.loop, self._begin, user, job, plan, compensates)
        return job

    def _begin(self, user: _LoopUser, job: Job, plan: Plan[None], compensates: bool) -> None:  # for call()
        """In the loop: begin to follow a plan."""
        job.begin(user.tasks(), plan, compensates=compensates)
        if job.task is None:
            self._ended(user)
        else:
            job.task.add_done_callback(lambda _: self._ended(user))

    def _ended(self, user: _LoopUser) -> None:
        with self._lock:
            self._plans -= 1
            is_idle = self._plans == 0
        if is_idle:
            user.loop.call_later(_IDLE_SECONDS, self._leave_if_idle, user)

    def _leave_if_idle(self, user: _LoopUser) -> None:
        with self._lock:
            if self._plans or self._user is not user:
                return
            self._user = None
        user.begin_closing(0.0)

    def close(self) -> None:
        """End all plans. Compensation in flight gets as long as a call may take, a callback 2 s. May be called again.

        From a callback, it does not wait for that callback.
        """
        with self._lock:
            self.is_closed = True
            user, self._user = self._user, None
        wake_all(self.waiting)
        if user is not None:
            with contextlib.suppress(RuntimeError):
                user.close(self._closing_seconds)
        self._callbacks.join(CALLBACK_SECONDS)


class Job:
    """A plan that is followed in the background loop."""

    __slots__ = ("_is_cancelled", "_is_over", "_loop", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._is_cancelled = False
        self._is_over = False
        self.task: asyncio.Task[None] | None = None

    def begin(self, tasks: Tasks, plan: Plan[None], *, compensates: bool) -> None:
        """In the loop: begin to follow the plan, unless it was cancelled."""
        if self._is_cancelled or (tasks.is_closed and not compensates):
            self._is_over = True
            plan.close()
            return
        self.task = (tasks.keep_compensating if compensates else tasks.keep)(plan)

    def cancel(self) -> None:
        """Stop following the plan; its ``finally`` runs."""
        self._is_cancelled = True
        BACKGROUND.call(self._loop, self._cancel)

    def _cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def done(self) -> bool:
        """Return whether the plan has ended."""
        return self._is_over or (self.task is not None and self.task.done())


class _LoopUser:
    """One coordinator's use of the background loop: its tasks, and the backend for their calls."""

    def __init__(self, runner: MakesCalls, clock: Clock, callbacks: _Thread) -> None:
        self._blocking = runner
        self._clock = clock
        self._callbacks = callbacks
        self._runner: AsyncBackend | None = None
        self._tasks: Tasks | None = None
        self.loop = BACKGROUND.enter()

    def tasks(self) -> Tasks:
        """In the loop: return the tasks, with a backend of their own for their calls."""
        if self._tasks is None:
            awaited: Callable[[], AsyncBackend | None] | None = getattr(self._blocking, "awaited", None)
            self._runner = (None if awaited is None else awaited()) or _InThreads(self._blocking)
            self._tasks = Tasks(self._runner, lambda: self._blocking.notifier, self._clock, self._invoke)
        return self._tasks

    async def _invoke(self, step: Invoke | Run) -> Any:
        return await asyncio.wrap_future(self._callbacks.submit(step.run))

    def begin_closing(self, seconds: float) -> asyncio.Task[None]:
        """In the loop: end the tasks, close the backend, and leave the loop."""
        return self.loop.create_task(self._close(seconds))

    def close(self, seconds: float) -> None:
        """End the tasks, close the backend, and leave the loop."""
        if BACKGROUND.is_current(self.loop):
            # A finalizer that the collector runs here cannot wait for this thread.
            self.begin_closing(seconds)
            return
        closing = asyncio.run_coroutine_threadsafe(self._close(seconds), self.loop)
        with contextlib.suppress(TimeoutError):
            # Bounded: at exit the loop may have been stopped.
            closing.result(seconds + _CLOSE_SECONDS)

    async def _close(self, seconds: float) -> None:
        try:
            if self._tasks is not None:
                await self._tasks.close(seconds)
            if self._runner is not None:
                await self._runner.aclose()
        finally:
            BACKGROUND.leave(self.loop)


class _InThreads:
    """A blocking backend for the background loop: its calls are made on threads."""

    def __init__(self, runner: MakesCalls) -> None:
        self._runner = runner
        # A call that may take its time must not delay a renewal.
        self._limited, self._unlimited = _Thread("coord-renewals"), _Thread("coord-calls")

    async def call(
        self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T]
    ) -> T:
        """Make a call and return its result."""
        call = partial(self._runner.call, script, keys, argv, read)
        return await asyncio.wrap_future(self._unlimited.submit(call))

    async def run_many(self, calls: Iterable[Call[Any]], within: float | None = None, /) -> list[Any]:
        """Make calls, within so many seconds; return a result or an error each, in order."""
        thread = self._unlimited if within is None else self._limited
        return await asyncio.wrap_future(thread.submit(partial(self._runner.run_many, list(calls), within)))

    async def aclose(self) -> None:
        """The coordinator closes the backend."""


class _Thread:
    """A daemon thread that runs functions in order; it ends shortly after the last one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._queue: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._thread: threading.Thread | None = None
        self._is_running = False

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Run a function on the thread. ``RuntimeError``: no thread can be started."""
        future: Future[T] = Future()
        with self._changed:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                thread.start()
                self._thread = thread
            self._queue.append((function, future))
            self._changed.notify_all()
        return future

    def join(self, seconds: float) -> None:
        """Wait up to ``seconds`` until nothing is queued or runs; return at once on the thread itself."""
        with self._changed:
            if self._thread is not threading.current_thread():
                self._changed.wait_for(lambda: not self._queue and not self._is_running, seconds)

    def _work(self) -> None:
        while (work := self._next()) is not None:
            function, future = work
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except BaseException as error:
                    future.set_exception(error)
            del work, function, future

    def _next(self) -> tuple[Callable[[], Any], Future[Any]] | None:
        with self._changed:
            self._is_running = False
            self._changed.notify_all()
            if not self._queue:
                self._changed.wait_for(lambda: bool(self._queue), _LINGER_SECONDS)
            if self._thread is not threading.current_thread():
                # ``start()`` was interrupted before ``_thread`` was set.
                return None
            if not self._queue:
                self._thread = None
                return None
            self._is_running = True
            return self._queue.popleft()
