"""Plans: operations of more than one step, written once for both modes.

A plan is a generator that yields steps and is sent their results. A ``Call`` is made; a ``WithTimeout`` is a call with
a time limit; a ``Batch`` is many calls in one write. A ``Sleep`` lets time pass, and ``Now`` reads the clock. A
``Subscribe`` takes a place on a channel, whose notifications set an ``Event``; a ``Wait`` waits for it. An ``Invoke``
runs a callback, a ``Run`` a function of the user. ``Spawn`` and ``Compensate`` start something in the background.

Drivers follow plans, blocking or in an event loop (``coord.drivers``). A step that fails, and a cancellation, are
thrown into the plan at that step, so that its ``finally`` and ``except`` run.
"""

from __future__ import annotations

import inspect
import logging
import re
from asyncio import FIRST_COMPLETED, CancelledError, current_task, ensure_future, wait
from asyncio import Event as AsyncEvent
from collections.abc import Awaitable, Callable, Coroutine, Generator, Hashable
from contextlib import suppress
from dataclasses import dataclass
from inspect import isawaitable
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    get_args,
    get_origin,
    overload,
)

from coord.errors import CoordError, OutcomeUnknown, Unavailable
from coord.script import Call

if TYPE_CHECKING:
    from coord.notifier import InTurn, Waiter

__all__ = [
    "Batch",
    "Cancelled",
    "Compensate",
    "Event",
    "Invoke",
    "Job",
    "Now",
    "Plan",
    "Run",
    "Sleep",
    "Spawn",
    "Step",
    "Subscribe",
    "Wait",
    "WithTimeout",
    "ask",
    "ask_together",
    "ask_within",
    "compensating",
    "planned",
    "report",
    "show_result",
    "subscribe",
]

_log = logging.getLogger("coord")

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WithTimeout:
    """Make a call that has only this many seconds to be answered."""

    call: Call[Any]
    seconds: float


@dataclass(frozen=True, slots=True)
class Batch:
    """Many calls in one write; the step's result is an answer or an error for each, in order.

    They have ``seconds`` to be answered; None: as long as any call.
    """

    calls: tuple[Call[Any], ...]
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Sleep:
    """Let this many seconds pass; ``late``: how many more it may take without harm (None: any number)."""

    seconds: float
    late: float | None = None


@dataclass(frozen=True, slots=True)
class Now:
    """Read the clock; the step's result is its seconds, of which only differences mean something."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Take a place on a channel; the step's result is an ``Event``. ``in_turn``: only the first waiter is woken.

    In turn "behind": the waiter is queued only behind others; without others, ``event.waiter`` is not queued.
    ``group``: only waiters of the same group take turns.
    """

    channel: str
    in_turn: InTurn = False
    group: Hashable = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait until the event is set, or this many seconds have passed (None: no limit); the result says which."""

    event: Event
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Invoke:
    """Run a callback with ``what``; async mode awaits it. Whatever it raises is thrown back as an ``Exception``."""

    callback: Callable[[Any], object]
    what: Any

    def run(self) -> object:
        """Run the callback, on a thread of coord: Ctrl-C does not arrive here, and ``SystemExit`` ends nothing."""
        try:
            return self.callback(self.what)
        except Exception:
            raise
        except BaseException as error:
            raise _raised(error) from error

    async def run_async(self) -> object:
        """Run the callback, in a task that coord has started."""
        try:
            told = self.callback(self.what)
            return await told if isawaitable(told) else told
        except (Exception, KeyboardInterrupt, GeneratorExit):
            # The last two are meant for the loop, not for the callback that happens to run.
            raise
        except BaseException as error:
            if isinstance(error, CancelledError) and _is_cancelled():
                raise
            raise _raised(error) from error


def _raised(error: BaseException) -> RuntimeError:
    return RuntimeError(f"a callback raised {error!r}")


@dataclass(frozen=True, slots=True)
class Run:
    """Run a function of the user, which takes no argument; async mode awaits it. Whatever it raises is thrown back.

    ``lost``: async mode gives the function a task of its own, and cancels that when this event is set.
    """

    fn: Callable[[], Any]
    lost: Any = None

    def run(self) -> Any:
        """Run the function, in the thread of the caller."""
        result = self.fn()
        if isawaitable(result):
            if isinstance(result, Coroutine):
                result.close()
            raise TypeError(f"{self.fn!r} returned an awaitable: an AsyncCoordinator runs async functions")
        return result

    async def run_async(self) -> Any:
        """Run the function, in the task of the caller."""
        result = self.fn()
        if not isawaitable(result):
            raise TypeError(f"an AsyncCoordinator runs async functions, and {self.fn!r} returned {type(result)}")
        return await (result if self.lost is None else _until_lost(result, self.lost))


async def _until_lost(running: Awaitable[Any], lost: AsyncEvent) -> Any:
    """Await something in a task of its own, which is cancelled, and waited for, when ``lost`` is set."""
    task = ensure_future(running)
    watcher = ensure_future(lost.wait())
    is_lost = False
    try:
        await wait({task, watcher}, return_when=FIRST_COMPLETED)
        if not task.done():
            is_lost = True
            task.cancel()
            await wait({task})
    except BaseException:
        # The caller may be cancelled more than once: the lease is released after the work has ended.
        task.cancel()
        while not task.done():
            with suppress(CancelledError):
                await wait({task})
        if not task.cancelled():
            # The cancellation says more.
            task.exception()
        raise
    finally:
        watcher.cancel()
    return None if is_lost and task.cancelled() else task.result()


@dataclass(frozen=True, slots=True)
class Spawn:
    """Follow a plan in the background; the step's result is the job, whose ``cancel`` ends it."""

    plan: Plan[None]


class Job(Protocol):
    """A plan that is followed in the background."""

    def cancel(self) -> object:
        """Stop following it."""
        ...

    def done(self) -> bool:
        """Return whether it has ended."""
        ...


@dataclass(frozen=True, slots=True)
class Compensate:
    """Make this call in the background, again and again for ``seconds`` if need be; do not wait for it."""

    call: Call[Any]
    seconds: float


class Event:
    """Set when there may be something to look at. ``set`` may be called from any thread."""

    waiter: Waiter

    def set(self) -> bool:
        """Wake the plan that waits for it, now or next. Return False when that plan can never go on again."""
        raise NotImplementedError

    def leave(self) -> None:
        """Give the place up."""
        self.waiter.leave()


Cancelled = (CancelledError, KeyboardInterrupt, SystemExit)
"""Exceptions that end a plan from outside, whatever its step would have answered."""

_ONE_UNDO = 2.0
"""Seconds after which a compensating call that is not answered is tried again."""


def _is_cancelled() -> bool:
    """Return whether the current task was cancelled."""
    task = current_task()
    return task is not None and task.cancelling() > 0


Act = WithTimeout | Batch | Sleep | Now | Subscribe | Wait | Invoke | Run | Spawn | Compensate
Step = Call[Any] | Act
Plan = Generator[Step, Any, T]


def ask(call: Call[T]) -> Plan[T]:
    """Make a call and return its result, typed: ``won = yield from ask(claim(...))``."""
    result: T = yield call
    return result


def ask_together(calls: tuple[Call[T], ...], seconds: float | None = None) -> Plan[list[T | Exception]]:
    """Make calls in one write, within so many seconds, and return an answer or an error for each."""
    results: list[T | Exception] = yield Batch(calls, seconds)
    return results


def ask_within(call: Call[T], seconds: float) -> Plan[T]:
    """Make a call that has only this many seconds, and return its result."""
    result: T = yield WithTimeout(call, seconds)
    return result


def subscribe(channel: str, *, in_turn: InTurn = False, group: Hashable = None) -> Plan[Event]:
    """Take a place on a channel and return its event."""
    event: Event = yield Subscribe(channel, in_turn, group)
    return event


def compensating(step: Compensate) -> Plan[None]:
    """Make a call until it is answered, or its time is over."""
    now: float = yield Now()
    end = now + step.seconds
    pause = 0.05
    while True:
        try:
            yield WithTimeout(step.call, max(0.05, min(_ONE_UNDO, end - now)))
        except (Unavailable, OutcomeUnknown):
            now = yield Now()
            if now + pause > end:
                return
            yield Sleep(pause)
            now += pause
            pause = min(2 * pause, 1.0)
        except CoordError:
            # It is refused for good: there is nothing left to undo, or no permission.
            return
        else:
            return


def report(plan: Plan[Any]) -> None:
    """Log the error that has just ended a plan in the background: it cannot be raised to a caller."""
    name: str = getattr(plan, "__name__", "")
    _log.exception("coord: background work failed: %s", name.strip("_").replace("_", " "))


class Follows(Protocol):
    """Sync mode: following a plan returns its result."""

    def follow(self, plan: Plan[T], /) -> T:
        """Follow the plan to its end."""
        ...


class FollowsAsync(Protocol):
    """Async mode: following a plan returns an awaitable."""

    def follow(self, plan: Plan[T], /) -> Coroutine[Any, Any, T]:
        """Follow the plan; await its end."""
        ...


def show_result(build: Any, method: Any) -> None:
    """Give a method the signature of ``build``, with result ``T`` where that says ``Call[T]`` or ``Plan[T]``."""
    signature = inspect.signature(build)
    shown = _result_of(signature.return_annotation)
    if shown is not None:
        first, *rest = signature.parameters.values()
        self = first.replace(name="self", annotation=first.empty)
        method.__signature__ = signature.replace(parameters=[self, *rest], return_annotation=shown)


def _result_of(annotation: Any) -> Any:
    """Return the ``T`` of ``Call[T]`` or ``Plan[T]``, given as text or as a type; None: it is neither."""
    if isinstance(annotation, str):
        found = re.fullmatch(r"(?:\w+\.)*(?:Call|Plan)\[(.*)\]", annotation, re.DOTALL)
        return found[1] if found else None
    return get_args(annotation)[-1] if get_origin(annotation) in (Call, Generator) else None


class planned(Generic[P, T]):
    """A function that makes a plan, as a method that follows it in its mode; see ``coord.modes.op``."""

    def __init__(self, plan: Callable[Concatenate[Any, P], Plan[T]]) -> None:
        self.plan = plan

    def __set_name__(self, owner: type, name: str) -> None:
        """Put a method that follows the plan in this descriptor's place."""
        plan = self.plan

        def method(ops: Any, *args: P.args, **kwargs: P.kwargs) -> Any:
            return ops.follow(plan(ops, *args, **kwargs))

        method.__doc__, method.__name__, method.__wrapped__ = plan.__doc__, name, plan  # type: ignore[attr-defined]  # as functools.wraps does
        method.__qualname__ = f"{owner.__qualname__}.{name}"
        show_result(plan, method)
        setattr(owner, name, method)

    @overload
    def __get__(self, ops: None, kind: type) -> Callable[Concatenate[Any, P], Any]: ...
    @overload
    def __get__(self, ops: Follows, kind: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, ops: FollowsAsync, kind: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, ops: Any, kind: type) -> Any:
        """Type checkers see this method only; see ``__set_name__``."""
        return self.plan
