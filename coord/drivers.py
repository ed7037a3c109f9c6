"""Drivers: they follow plans, one by blocking a thread, one in an event loop, alone or in the background."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar, cast

from coord.clock import Clock
from coord.errors import Closed
from coord.notifier import Notifier
from coord.observe import Observe, WaitObserved, notify
from coord.plan import (
    Act,
    Batch,
    Compensate,
    Event,
    Invoke,
    Job,
    Now,
    Plan,
    Run,
    Sleep,
    Spawn,
    Subscribe,
    Wait,
    WithTimeout,
    compensating,
    report,
)
from coord.script import Call, Script

__all__ = ["AsyncDriver", "AsyncMakesCalls", "Driver", "MakesCalls", "StartsPlans", "Tasks", "wake_all"]

T = TypeVar("T")

_TICKS = 3
"""Loop ticks until a cancelled call, which may be nested in another task, has noticed it."""


class MakesCalls(Protocol):
    """The interface of a backend for the blocking driver."""

    def call(
        self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T], /
    ) -> T:
        """Make a call and return its result."""
        ...

    def run_many(self, calls: Iterable[Call[Any]], within: float | None = None, /) -> list[Any]:
        """Make calls in one write, within so many seconds; an answer or an error each, in order."""
        ...

    @property
    def notifier(self) -> Notifier:
        """The waiters of its channels, which notifications wake."""
        ...


class AsyncMakesCalls(Protocol):
    """The interface of a backend for the async driver."""

    def call(
        self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T], /
    ) -> Coroutine[Any, Any, T]:
        """Make a call; await its result."""
        ...

    def run_many(self, calls: Iterable[Call[Any]], within: float | None = None, /) -> Coroutine[Any, Any, list[Any]]:
        """Make calls in one write, within so many seconds; await an answer or an error each, in order."""
        ...


class StartsPlans(Protocol):
    """Runs plans in the background. ``waiting``: the events that closing sets, so that their waiters end."""

    is_closed: bool
    waiting: set[Event]

    def keep(self, plan: Plan[None], /) -> Job:
        """Follow a plan until it ends, or the coordinator is closed."""
        ...

    def compensate(self, step: Compensate, /) -> None:
        """Make a call again and again until it is answered or its time is over."""
        ...


# --- blocking ------------------------------------------------------------------------------------


def _tell_wait(observe: Observe, event: Event, seconds: float, *, woken: bool) -> None:
    notify(observe, WaitObserved(channel=event.waiter.channel, seconds=seconds, woken=woken))


@contextmanager
def _until_closed(background: StartsPlans, event: Event) -> Generator[None, None, None]:
    """Wait inside the block; ``Closed`` when the coordinator was closed, meanwhile or before."""
    background.waiting.add(event)
    try:
        # Looked at after the event can be found: closing sets it, or is seen here.
        if background.is_closed:
            raise Closed("the coordinator is closed")
        yield
        if background.is_closed:
            raise Closed("the coordinator is closed")
    finally:
        background.waiting.discard(event)


def wake_all(waiting: set[Event]) -> None:
    """Set the events of a closed coordinator."""
    for event in list(waiting):
        event.set()


class _ThreadEvent(Event):
    def __init__(self) -> None:
        self.event = threading.Event()

    def set(self) -> bool:
        """Wake the thread that waits for it."""
        self.event.set()
        return True


class Driver:
    """Follows plans by blocking the thread."""

    def __init__(self, runner: MakesCalls, clock: Clock, background: StartsPlans) -> None:
        self._runner = runner
        self._clock = clock
        self._background = background
        self._observe: Observe | None = getattr(runner, "observe", None)

    def follow(self, plan: Plan[T]) -> T:
        """Follow a plan to its end and return its result."""
        result: Any = None
        failed: BaseException | None = None
        while True:
            try:
                step = plan.send(result) if failed is None else plan.throw(failed)
            except StopIteration as end:
                return cast("T", end.value)
            try:
                # Most steps are calls.
                result = self._runner.call(*step) if isinstance(step, Call) else self._take(step)
                failed = None
            except BaseException as error:
                failed = error

    def _take(self, step: Act) -> Any:
        match step:
            case WithTimeout():
                (answer,) = self._runner.run_many([step.call], step.seconds)
                if isinstance(answer, Exception):
                    raise answer
                return answer
            case Batch():
                return self._runner.run_many(step.calls, step.seconds)
            case Sleep() | Now():
                return self._pass(step)
            case Subscribe():
                event = _ThreadEvent()
                event.waiter = self._runner.notifier.subscribe(
                    step.channel, event.set, in_turn=step.in_turn, group=step.group
                )
                return event
            case Wait():
                return self._wait(step)
            case Invoke() | Run():
                return step.run()
            case Spawn():
                return self._background.keep(step.plan)
            case Compensate():
                return self._compensate(step)

    def _pass(self, step: Sleep | Now) -> float:
        if isinstance(step, Sleep):
            self._clock.sleep(step.seconds)
        return self._clock.monotonic()

    def _wait(self, step: Wait) -> bool:
        event = cast("_ThreadEvent", step.event)
        began = self._clock.monotonic()
        with _until_closed(self._background, event):
            was_set = self._clock.wait(event.event, step.seconds)
        event.event.clear()
        if self._observe is not None:
            _tell_wait(self._observe, event, self._clock.monotonic() - began, woken=was_set)
        return was_set

    def _compensate(self, step: Compensate) -> None:
        try:
            self._background.compensate(step)
        except RuntimeError:
            # No thread can be started: here and now.
            self.follow(compensating(step))


# --- in an event loop ----------------------------------------------------------------------------


class _LoopEvent(Event):
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.event = asyncio.Event()
        self._is_set = False

    def set(self) -> bool:
        """Wake the task that waits for it; False when its loop is closed."""
        try:
            # A blocked loop must not collect a callback for every notification.
            if self._loop.is_closed() or not self._is_set:
                self._is_set = True
                self._loop.call_soon_threadsafe(self.event.set)
        except RuntimeError:
            return False
        return True

    def clear(self) -> None:
        """Wait for the next notification."""
        self._is_set = False
        self.event.clear()


class AsyncDriver:
    """Follows plans in an event loop."""

    def __init__(
        self, runner: AsyncMakesCalls, notifier: Callable[[], Notifier], clock: Clock, background: StartsPlans
    ) -> None:
        self._runner = runner
        self._notifier = notifier
        self._clock = clock
        self._background = background
        self._observe: Observe | None = getattr(runner, "observe", None)

    async def follow(self, plan: Plan[T]) -> T:
        """Follow a plan to its end and return its result."""
        result: Any = None
        failed: BaseException | None = None
        while True:
            try:
                step = plan.send(result) if failed is None else plan.throw(failed)
            except StopIteration as end:
                return cast("T", end.value)
            try:
                # Most steps are calls.
                result = await (self._runner.call(*step) if isinstance(step, Call) else self._take(step))
                failed = None
            except BaseException as error:
                failed = error

    async def _take(self, step: Act) -> Any:
        match step:
            case WithTimeout():
                return await self._call_within(step.call, step.seconds)
            case Batch():
                return await self._runner.run_many(step.calls, step.seconds)
            case Sleep() | Now():
                return await self._pass(step)
            case Subscribe():
                event = _LoopEvent()
                event.waiter = self._notifier().subscribe(
                    step.channel, event.set, in_turn=step.in_turn, group=step.group
                )
                return event
            case Wait():
                return await self._wait(step)
            case Invoke() | Run():
                return await self._invoke(step)
            case Spawn():
                return self._background.keep(step.plan)
            case Compensate():
                return self._background.compensate(step)

    async def _wait(self, step: Wait) -> bool:
        event = cast("_LoopEvent", step.event)
        began = self._clock.monotonic()
        with _until_closed(self._background, event):
            was_set = await self._clock.wait_async(event.event, step.seconds)
        if was_set:
            event.clear()
        if self._observe is not None:
            _tell_wait(self._observe, event, self._clock.monotonic() - began, woken=was_set)
        return was_set

    async def _call_within(self, call: Call[Any], seconds: float) -> Any:
        (answer,) = await self._runner.run_many([call], seconds)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _pass(self, step: Sleep | Now) -> float:
        if isinstance(step, Sleep):
            await self._clock.sleep_async(self._pause(step))
        return self._clock.monotonic()

    def _pause(self, step: Sleep) -> float:
        return step.seconds

    async def _invoke(self, step: Invoke | Run) -> Any:
        return await step.run_async()


class _TaskDriver(AsyncDriver):
    """Follows plans in the background: calls that fall due in the same loop tick travel in one batch."""

    def __init__(
        self,
        runner: AsyncMakesCalls,
        notifier: Callable[[], Notifier],
        clock: Clock,
        background: StartsPlans,
        invoke: Callable[[Invoke | Run], Coroutine[Any, Any, Any]] | None,
    ) -> None:
        super().__init__(runner, notifier, clock, background)
        self._batches = _Batches(runner)
        self._invoke_elsewhere = invoke

    async def _call_within(self, call: Call[Any], seconds: float) -> Any:
        answer = await self._batches.answer(call, seconds)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _pause(self, step: Sleep) -> float:
        """Return a pause up to an eighth shorter, so that many renewals fall due in the same tick."""
        if not step.late or step.seconds <= 0:
            return step.seconds
        tick = 2.0 ** math.floor(math.log2(step.seconds / 8))
        now = self._clock.monotonic()
        return max(0.0, math.floor((now + step.seconds) / tick) * tick - now)

    async def _invoke(self, step: Invoke | Run) -> Any:
        return await (step.run_async() if self._invoke_elsewhere is None else self._invoke_elsewhere(step))


class _Batches:
    """Collects the calls of one loop tick and makes them in one write."""

    def __init__(self, runner: AsyncMakesCalls) -> None:
        self._runner = runner
        self._collected: list[tuple[float, Call[Any], asyncio.Future[Any]]] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def answer(self, call: Call[Any], seconds: float) -> Any:
        """Make a call within ``seconds``; return its answer or its error."""
        loop = asyncio.get_running_loop()
        if not self._collected:
            loop.call_soon(self._send)
        future: asyncio.Future[Any] = loop.create_future()
        self._collected.append((seconds, call, future))
        return await future

    def _send(self) -> None:
        collected, self._collected = self._collected, []
        for some in _alike(each for each in collected if not each[2].done()):
            task = asyncio.get_running_loop().create_task(self._make(some))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
            for _, _, future in some:
                # Defaults bind the values of this round of the loop.
                future.add_done_callback(lambda _, some=some, task=task: _cancel_unwanted(some, task))  # type: ignore[misc]  # as above

    async def _make(self, some: list[tuple[float, Call[Any], asyncio.Future[Any]]]) -> None:
        try:
            answers = await self._runner.run_many([call for _, call, _ in some], some[0][0])
        except Exception as error:
            answers = [error] * len(some)
        except BaseException:
            for _, _, future in some:
                future.cancel()
            raise
        for (_, _, future), answer in zip(some, answers, strict=True):
            if not future.done():
                future.set_result(answer)


def _alike(
    calls: Iterable[tuple[float, Call[Any], asyncio.Future[Any]]],
) -> Iterator[list[tuple[float, Call[Any], asyncio.Future[Any]]]]:
    """Group calls by their time limits: the shortest limit of a batch is at least half of the longest."""
    some: list[tuple[float, Call[Any], asyncio.Future[Any]]] = []
    for each in sorted(calls, key=lambda each: each[0]):
        if some and each[0] > 2 * some[0][0]:
            yield some
            some = []
        some.append(each)
    if some:
        yield some


def _cancel_unwanted(some: list[tuple[float, Call[Any], asyncio.Future[Any]]], task: asyncio.Task[None]) -> None:
    if all(future.cancelled() for _, _, future in some):
        task.cancel()


class Tasks:
    """Plans that are followed in tasks of one event loop."""

    def __init__(
        self,
        runner: AsyncMakesCalls,
        notifier: Callable[[], Notifier],
        clock: Clock,
        invoke: Callable[[Invoke | Run], Coroutine[Any, Any, Any]] | None = None,
    ) -> None:
        self.is_closed = False
        self.waiting: set[Event] = set()
        self._driver = _TaskDriver(runner, notifier, clock, self, invoke)
        self._kept: set[asyncio.Task[None]] = set()
        self._compensations: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._kept) + len(self._compensations)

    def keep(self, plan: Plan[None]) -> asyncio.Task[None]:
        """Follow a plan in a task of its own, until it ends or the tasks are closed."""
        if self.is_closed:
            raise Closed("the coordinator is closed")
        return self._begin(plan, self._kept)

    def compensate(self, step: Compensate) -> None:
        """Make a call again and again until it is answered or its time is over."""
        self.keep_compensating(compensating(step))

    def keep_compensating(self, plan: Plan[None]) -> asyncio.Task[None]:
        """Follow a plan that compensates: closing waits for it."""
        return self._begin(plan, self._compensations)

    def _begin(self, plan: Plan[None], among: set[asyncio.Task[None]]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._follow(plan))
        among.add(task)
        task.add_done_callback(among.discard)
        return task

    async def _follow(self, plan: Plan[None]) -> None:
        try:
            await self._driver.follow(plan)
        except Exception:
            report(plan)

    async def close(self, seconds: float) -> None:
        """Cancel all plans; those that compensate get up to ``seconds`` to end by themselves. May be called again."""
        self.is_closed = True
        wake_all(self.waiting)
        # Callers that were cancelled just before have not compensated yet: a cancellation arrives a few ticks later.
        for _ in range(_TICKS):
            await asyncio.sleep(0)
        # A callback that closes its coordinator is not cancelled.
        closing = asyncio.current_task()
        for task in self._kept:
            if task is not closing:
                task.cancel()
        # Cancelled plans may compensate as well.
        await self._end(self._kept - {closing}, None)
        await self._end(self._compensations - {closing}, seconds)
        while left := (self._kept | self._compensations) - {closing}:
            for task in left:
                task.cancel()
            await self._end(left, None)

    async def _end(self, tasks: Iterable[asyncio.Task[Any] | None], seconds: float | None) -> None:
        waiting = [each for each in tasks if each is not None]
        if waiting:
            await asyncio.wait(waiting, timeout=seconds)
