"""The two coordinators: every operation as a method, blocking on one and awaited on the other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar, overload
from weakref import WeakSet

from coord import barriers, claims, requests, versions
from coord.background import Background
from coord.clock import SYSTEM
from coord.drivers import AsyncDriver, Driver, Tasks
from coord.execution import ExecutionHandle
from coord.family import Calls, Runs
from coord.group import Group
from coord.idempotent import ExecutesOnce, ExecutesOnceAsync
from coord.kv import Kv
from coord.leader import AsyncLeader, Leader, LeaderHandle, Term
from coord.leases import AsyncHolding, AsyncLease, Holding, Lease, LeaseRequest, claiming
from coord.limit import Limit
from coord.limiter import Limiter
from coord.modes import Async, Build, M, Mode, Sync, op
from coord.names import Seconds
from coord.notifier import Notifier
from coord.plan import Job, Plan, planned
from coord.quota import Quota
from coord.runners import AsyncRunner, Runner
from coord.script import Call
from coord.semaphore import Semaphore
from coord.stats import Stats

__all__ = [
    "AsyncCoordinator",
    "Barrier",
    "Coordinator",
    "Kv",
    "Request",
    "Stats",
    "runner_of",
]

T = TypeVar("T")

GRACE = 2.0
"""Seconds that closing gives to the work of leaders."""


@overload
def runner_of(c: Coordinator) -> Runner: ...
@overload
def runner_of(c: AsyncCoordinator) -> AsyncRunner: ...
def runner_of(c: Coordinator | AsyncCoordinator) -> Runner | AsyncRunner:
    """Return the backend of a coordinator, for tools that measure, record or change it."""
    return c._runner


def _all_calls(calls: Iterable[Call[T]]) -> list[Call[T]]:
    calls = list(calls)
    for call in calls:
        if not isinstance(call, Call):
            raise TypeError(f"run_many takes Calls, not {type(call).__name__}")
        if call.script.checks_calls:
            call.script.check(call.keys, call.argv)
    return calls


# --- operations, in every mode -------------------------------------------------------------------


class Barrier(barriers.BarrierHandle[M]):
    """One barrier: ``open``, ``arrive``, ``fail``, ``status``, ``wait``, ``abort``, ``watch``."""

    open = op(barriers.open_)
    arrive = op(barriers.arrive)
    fail = op(barriers.fail)
    status = op(barriers.status)
    abort = op(barriers.abort)
    wait = planned(barriers.waiting)
    watch = planned(barriers.start_watching)


class Request(requests.RequestHandle[M]):
    """One request: ``register``, ``add``, ``done``, ``fail``, ``requeue``, ``is_complete``, ``status``, ``wait``."""

    register = op(requests.register)
    add = op(requests.add)
    done = op(requests.done)
    fail = op(requests.fail)
    requeue = op(requests.requeue)
    is_complete = op(requests.is_complete)
    status = op(requests.status)
    cleanup = op(requests.cleanup)
    wait = planned(requests.waiting)


class Operations(Runs[M]):
    """The operations of a coordinator, in each mode."""

    once = op(claims.once)
    forget = op(claims.forget)
    holder = op(claims.holder)
    bump = op(versions.bump)
    bump_if_current = op(versions.bump_if_current)
    version = op(versions.version)
    is_stale = op(versions.is_stale)

    @property
    def kv(self) -> Kv[M]:
        """Numbers, flags, sets and lists under names of their own."""
        return Kv(self)

    def stats(self, name: str, ttl: Seconds | None = None) -> Stats[M]:
        """Return the statistics of that name.

        ``ttl``: seconds that the counts of an id are kept after the last merge; None: the coordinator's default.
        """
        return Stats(self, name, ttl)

    def barrier(self, name: str) -> Barrier[M]:
        """Return the barrier of that name."""
        return Barrier(self, name)

    def request(self, id: str) -> Request[M]:
        """Return the request of that id."""
        return Request(self, id)

    def semaphore(self, name: str, limit: int) -> Semaphore[M]:
        """Return the semaphore of that name: at most ``limit`` weight of permits is held at once.

        Raises ``ValueError`` unless ``limit`` is 1 to 1,000,000,000.
        """
        return Semaphore(self, name, limit)

    def group(self, name: str, ttl: Seconds = 15) -> Group[M]:
        """Return the group of that name; a member counts as alive for ``ttl`` seconds after its last heartbeat."""
        return Group(self, name, ttl)

    def limiter(self, name: str, *limits: Limit) -> Limiter[M]:
        """Return the rate limiter of that name, under these limits: a cost passes under all of them or none.

        Each ``Limit`` has its own state, which all users of the name share if ``amount`` and ``per`` are equal.
        """
        return Limiter(self, name, *limits)

    def execution(self, key: str) -> ExecutionHandle[M]:
        """Return the work of that key, which is run once and whose result is kept."""
        return ExecutionHandle(self, key)

    def quota(self, name: str, *limits: Limit) -> Quota[M]:
        """Return the quota of that name, under these limits: an amount is admitted by all of them or none.

        Each ``Limit`` counts in fixed windows of ``per``, for all users of the name; ``burst`` is refused.
        """
        return Quota(self, name, *limits)


class CallMaker(Operations[Build], Calls):
    """Every operation as a Call, for ``run`` and ``run_many``: ``c.run_many(c.calls.bump(each) for each in names)``."""

    def leader(self, name: str, ttl: Seconds = 15) -> LeaderHandle[Build]:
        """Return the leader of that name."""
        return LeaderHandle(self, name, ttl)


def _anywhere() -> None:
    """Accept any loop: a backend of the user's own may."""


class _Running(Operations[M]):
    """The base of both coordinators: a backend, and the operations built for it."""

    def __init__(self, runner: Runner | AsyncRunner, prefix: str, ttl: Seconds | None) -> None:
        super().__init__(prefix, ttl)
        self._calls = CallMaker(prefix, ttl)
        self._calls.remember_ms = self.remember_ms = runner.remember_ms
        self.has_slots = getattr(runner, "has_slots", False)
        self._calls.sends_once = self.sends_once = getattr(runner, "sends_once", False)
        self._calls.publish = self.publish = runner.publish
        self._calls.clock = self.clock = getattr(runner, "clock", SYSTEM)
        self._calls.observe = self.observe = getattr(runner, "observe", None)
        self.call_seconds = getattr(runner, "call_seconds", self.call_seconds)
        self._calls.nonce = self.nonce = getattr(runner, "nonce", self.nonce)
        # The runner's own method: an operation calls its backend directly.
        self.call = runner.call
        self._views: WeakSet[_Running[Any]] = WeakSet((self,))
        """Those that share its connections, itself among them."""
        self._kv = Kv(self)

    def _working_terms(self, closing: Any) -> list[Term[Any]]:
        """Return the leaders whose work has to end before this thread, or task, goes on with closing."""
        return [each for each in self.attached.values() if isinstance(each, Term) and each.is_waited_for(closing)]

    def _call_anew(self, call: Any) -> None:
        """Use the method of a backend that was closed: it refuses calls."""
        for each in self._views:
            each.call = call

    def _share(self, view: _Running[Any]) -> None:
        self._views.add(view)
        view._views = self._views

    def _close_attached(self) -> None:
        for each in list(self.attached.values()):
            each.close()

    @property
    def calls(self) -> CallMaker:
        """Every operation as a ``Call``, for ``run`` and ``run_many``."""
        return self._calls

    @property
    def kv(self) -> Kv[M]:
        """Numbers, flags, sets and lists under names of their own."""
        return self._kv


# --- blocking ------------------------------------------------------------------------------------


class Coordinator(ExecutesOnce, _Running[Sync]):
    """Every operation as a blocking method. Threads may share one; so may the children of a fork.

    Made by ``coord.connect``.
    """

    def __init__(self, runner: Runner, *, prefix: str = "coord:", ttl: Seconds | None = 3600) -> None:
        super().__init__(runner, prefix, ttl)
        self._runner = runner
        self._background = Background(runner, self.clock, self.call_seconds)
        self._driver = Driver(runner, self.clock, self._background)
        self._is_view = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.prefix!r} on {self._runner!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_distributed(self) -> bool:
        """Whether other processes see the same state; False for ``memory://``."""
        return self._runner.distributed

    def ping(self) -> float:
        """Return the seconds of one round trip to the server, for readiness probes.

        Raises ``Unavailable`` when the server does not answer within ``timeout``. ``memory://`` answers at once.
        """
        return self._runner.ping()

    def with_options(self, *, timeout: Seconds | None = None, patience: Seconds | None = None) -> Coordinator:
        """Return a view of this coordinator with another ``timeout`` or ``patience``, which shares its connections.

        A limiter in front of users, say, should not wait for 10 s. Closing the view closes nothing.
        """
        given = {name: value for name, value in (("timeout", timeout), ("patience", patience)) if value is not None}
        view = Coordinator(self._runner.with_options(**given), prefix=self.prefix)
        view.ttl_ms = view.calls.ttl_ms = self.ttl_ms
        view._background, view._is_view = self._background, True
        self._share(view)
        view._driver = Driver(view._runner, view.clock, self._background)
        return view

    def make(self, call: Call[T]) -> T:
        """Make a call and return its result; the same as ``run``."""
        result: T = self._runner.call(call.script, call.keys, call.argv, call.read)
        return result

    def run(self, call: Call[T]) -> T:
        """Make a call, one of ``calls`` or of a script of your own, and return its result."""
        if not isinstance(call, Call):
            raise TypeError(f"run takes a Call, not {type(call).__name__}")
        result: T = self.make(call)
        return result

    def run_many(self, calls: Iterable[Call[T]]) -> list[T | Exception]:
        """Make calls in one write, and return a result or an error for each, in order."""
        return self._runner.run_many(_all_calls(calls))

    def claim(self, name: str, ttl: Seconds = 30, owner: str | None = None, renew: bool = False) -> Lease | None:
        """Take a name for ``ttl`` seconds, or return None at once when another owner has it.

        If the same ``owner`` asks again, it gets its own lease back, with the same fence and at least ``ttl`` left.
        Without ``owner`` every call counts as a different owner. A failed or interrupted call holds nothing. With
        ``renew`` the lease is renewed in the background until it is released, lost or garbage-collected.
        """
        request = LeaseRequest.of(claims.Claimable(self.calls, name), ttl, owner=owner)
        return self.follow(claiming(self, Lease, request, renew=renew))

    def hold(
        self, name: str, ttl: Seconds = 30, wait: Seconds | None = None, renew: bool = True, owner: str | None = None
    ) -> Holding[Lease]:
        """Hold a name while a ``with`` block runs; the block is given its ``Lease``.

        Waits for it up to ``wait`` seconds (None: without limit; 0: one try), else raises ``WaitTimeout``.
        With ``renew`` the lease is renewed at a third of its TTL for as long as the block runs; when that fails until
        its time is over, or another has the name, ``lease.lost`` is set at once, and leaving the block raises
        ``LeaseLost`` unless the block raised another exception.
        """
        request = LeaseRequest.of(claims.Claimable(self.calls, name), ttl, wait, owner)
        return Holding(self, request, Lease, renew=renew)

    def leader(self, name: str, ttl: Seconds = 15) -> Leader:
        """Return the leader of that name: one of many runs the work. ``ttl``: seconds of its lease."""
        return Leader(self, name, ttl)

    def follow(self, plan: Plan[T]) -> T:
        """Follow a plan to its end; see ``coord.plan``."""
        return self._driver.follow(plan)

    def keep(self, plan: Plan[None]) -> Job:
        """Follow a plan in the background, until it ends or the coordinator is closed."""
        return self._background.keep(plan)

    @property
    def is_closed(self) -> bool:
        """Whether it was closed: its leases are lost."""
        return self._background.is_closed

    def close(self) -> None:
        """Finish what is in flight, end the background work, and close all connections. May be called again.

        Leaders resign: ``lease.lost`` is set, and closing waits up to 2 s for their work to end. No other lease is
        released: ``lost`` is set, and their TTLs end them. Waits up to ``timeout`` + ``patience`` for a cancelled claim
        or a failed release that is still being taken back, and up to 2 s for a callback that runs.
        """
        self._close_attached()
        end = self.clock.monotonic() + GRACE
        for each in self._working_terms(threading.get_ident()):
            self.clock.wait(each.ended, max(0.0, end - self.clock.monotonic()))
        if self._is_view:
            return
        self._background.close()
        self._runner.close()
        self._call_anew(self._runner.call)


# --- awaited -------------------------------------------------------------------------------------


class AsyncCoordinator(ExecutesOnceAsync, _Running[Async]):
    """Every operation as a method to await. It belongs to the event loop in which it was made.

    Made by ``coord.connect_async``.
    """

    mode: type[Mode] = Async

    def __init__(self, runner: AsyncRunner, *, prefix: str = "coord:", ttl: Seconds | None = 3600) -> None:
        super().__init__(runner, prefix, ttl)
        self._runner = runner
        self._tasks = Tasks(runner, self._notifier, self.clock)
        self._driver = AsyncDriver(runner, self._notifier, self.clock, self._tasks)
        self._is_view = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.prefix!r} on {self._runner!r}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def is_distributed(self) -> bool:
        """Whether other processes see the same state; False for ``memory://``."""
        return self._runner.distributed

    async def ping(self) -> float:
        """Return the seconds of one round trip to the server, for readiness probes.

        Raises ``Unavailable`` when the server does not answer within ``timeout``. ``memory://`` answers at once.
        """
        return await self._runner.ping()

    def with_options(self, *, timeout: Seconds | None = None, patience: Seconds | None = None) -> AsyncCoordinator:
        """Return a view of this coordinator with another ``timeout`` or ``patience``, which shares its connections.

        A limiter in front of users, say, should not wait for 10 s. Closing the view closes nothing.
        """
        given = {name: value for name, value in (("timeout", timeout), ("patience", patience)) if value is not None}
        view = AsyncCoordinator(self._runner.with_options(**given), prefix=self.prefix)
        view.ttl_ms = view.calls.ttl_ms = self.ttl_ms
        view._tasks, view._is_view = self._tasks, True
        self._share(view)
        view._driver = AsyncDriver(view._runner, self._notifier, view.clock, self._tasks)
        return view

    def _notifier(self) -> Notifier:
        return self._runner.notifier

    async def make(self, call: Call[T]) -> T:
        """Make a call; await its result; the same as ``run``."""
        return await self._runner.call(call.script, call.keys, call.argv, call.read)

    async def run(self, call: Call[T]) -> T:
        """Make a call, one of ``calls`` or of a script of your own; await its result."""
        if not isinstance(call, Call):
            raise TypeError(f"run takes a Call, not {type(call).__name__}")
        return await self._runner.call(call.script, call.keys, call.argv, call.read)

    async def run_many(self, calls: Iterable[Call[T]]) -> list[T | Exception]:
        """Make calls in one write; await a result or an error for each, in order."""
        return await self._runner.run_many(_all_calls(calls))

    async def claim(
        self, name: str, ttl: Seconds = 30, owner: str | None = None, renew: bool = False
    ) -> AsyncLease | None:
        """Take a name for ``ttl`` seconds, or return None at once when another owner has it.

        If the same ``owner`` asks again, it gets its own lease back, with the same fence and at least ``ttl`` left.
        Without ``owner`` every call counts as a different owner. A cancelled or failed call holds nothing. With
        ``renew`` the lease is renewed in the background until it is released, lost or garbage-collected.
        """
        request = LeaseRequest.of(claims.Claimable(self.calls, name), ttl, owner=owner)
        return await self.follow(claiming(self, AsyncLease, request, renew=renew))

    def hold(
        self, name: str, ttl: Seconds = 30, wait: Seconds | None = None, renew: bool = True, owner: str | None = None
    ) -> AsyncHolding[AsyncLease]:
        """Hold a name while an ``async with`` block runs; the block is given its ``AsyncLease``.

        Waits for it up to ``wait`` seconds (None: without limit; 0: one try), else raises ``WaitTimeout``.
        With ``renew`` the lease is renewed at a third of its TTL for as long as the block runs; when that fails until
        its time is over, or another has the name, ``lease.lost`` is set at once, and leaving the block raises
        ``LeaseLost`` unless the block raised another exception.
        """
        request = LeaseRequest.of(claims.Claimable(self.calls, name), ttl, wait, owner)
        return AsyncHolding(self, request, AsyncLease, renew=renew)

    def leader(self, name: str, ttl: Seconds = 15) -> AsyncLeader:
        """Return the leader of that name: one of many runs the work. ``ttl``: seconds of its lease."""
        return AsyncLeader(self, name, ttl)

    def follow(self, plan: Plan[T]) -> Coroutine[Any, Any, T]:
        """Follow a plan to its end; see ``coord.plan``."""
        return self._driver.follow(plan)

    def keep(self, plan: Plan[None]) -> Job:
        """Follow a plan in a task of its own, until it ends or the coordinator is closed."""
        return self._tasks.keep(plan)

    @property
    def is_closed(self) -> bool:
        """Whether it was closed: its leases are lost."""
        return self._tasks.is_closed

    async def aclose(self) -> None:
        """Finish what is in flight, end the background work, and close all connections. May be called again.

        Leaders resign: their work is cancelled, and closing waits up to 2 s for it to end. No other lease is released:
        ``lost`` is set, and their TTLs end them. Waits up to ``timeout`` + ``patience`` for a cancelled claim or a
        failed release that is still being taken back.
        """
        # Before anything of another loop is awaited.
        getattr(self._runner, "check_loop", _anywhere)()
        self._close_attached()
        end = self.clock.monotonic() + GRACE
        for each in self._working_terms(asyncio.current_task()):
            await self.clock.wait_async(each.ended, max(0.0, end - self.clock.monotonic()))
        if self._is_view:
            return
        await self._tasks.close(self.call_seconds)
        await self._runner.aclose()
        self._call_anew(self._runner.call)
