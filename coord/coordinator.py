"""The two coordinators: every operation as a method, blocking on one and awaited on the other."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from coord import claims, kv, stats, versions
from coord.claims import AsyncLease, Lease
from coord.errors import ConfigError
from coord.names import Seconds
from coord.operation import Calls, Naming, op
from coord.plan import Pause, Plan, Together, Undo, planned
from coord.script import Call, Script

__all__ = ["AsyncCoordinator", "AsyncKv", "AsyncStats", "Coordinator", "Kv", "Stats"]

T = TypeVar("T")


class Runner(Protocol):
    """A backend, blocking: it makes calls."""

    distributed: bool
    remember_ms: int
    publish: str

    def call(
        self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T], /
    ) -> T:
        """Make a call and return its result."""
        ...

    def run_many(self, calls: Iterable[Call[Any]], /) -> list[Any]:
        """Make calls in one write; an answer or an error each, in order."""
        ...

    def close(self) -> None:
        """Finish what is in flight and let go of everything. May be called again."""
        ...


class AsyncRunner(Protocol):
    """A backend, awaited: it makes calls."""

    distributed: bool
    remember_ms: int
    publish: str

    def call(
        self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T], /
    ) -> Coroutine[Any, Any, T]:
        """Make a call; await its result."""
        ...

    def run_many(self, calls: Iterable[Call[Any]], /) -> Coroutine[Any, Any, list[Any]]:
        """Make calls in one write; await an answer or an error each, in order."""
        ...

    def aclose(self) -> Coroutine[Any, Any, None]:
        """Finish what is in flight and let go of everything. May be called again."""
        ...


# --- operations, in every world ------------------------------------------------------------------


class _Operations:
    once = op(claims.once)
    holder = op(claims.holder)
    bump = op(versions.bump)
    bump_if_current = op(versions.bump_if_current)
    version = op(versions.version)
    is_stale = op(versions.is_stale)


class _StatsOperations(stats.StatsHandle):
    merge = op(stats.merge)
    consume = op(stats.consume)
    peek = op(stats.peek)


class _KvOperations(kv.KvHandle):
    incr = op(kv.incr)
    get_int = op(kv.get_int)
    set_if_absent = op(kv.set_if_absent)
    sadd = op(kv.sadd)
    srem = op(kv.srem)
    scard = op(kv.scard)
    rpush = op(kv.rpush)
    lrange = op(kv.lrange)
    expire = op(kv.expire)


# --- calls as values -----------------------------------------------------------------------------


class StatsCalls(_StatsOperations):
    """Statistics of one name, whose operations are handed out as Calls."""

    def make(self, call: Call[T]) -> Call[T]:
        """Return the call itself."""
        return call


class KvCalls(_KvOperations):
    """Primitives, handed out as Calls."""

    delete_one = op(kv.delete_one)

    def make(self, call: Call[T]) -> Call[T]:
        """Return the call itself."""
        return call


class CallMaker(_Operations, Calls):
    """Every operation as a Call, for ``run`` and ``run_many``: ``c.run_many([c.calls.bump("a"), c.calls.bump("b")])``."""

    @property
    def kv(self) -> KvCalls:
        """Primitives as Calls."""
        return KvCalls(self)

    def stats(self, name: str, ttl: Seconds | None = None) -> StatsCalls:
        """Statistics of that name, as Calls."""
        return StatsCalls(self, name, ttl)


# --- blocking ------------------------------------------------------------------------------------


class Stats(_StatsOperations):
    """Statistics of one name: ``merge``, ``consume``, ``peek``."""

    def make(self, call: Call[T]) -> T:
        """Make the call and return its result."""
        made: Any = self.at.call(*call)
        return made  # type: ignore[no-any-return]  # the world of self.at is blocking


class Kv(_KvOperations):
    """Numbers, flags, sets and lists, each operation one round trip."""

    delete = planned(kv.deleting)

    def make(self, call: Call[T]) -> T:
        """Make the call and return its result."""
        made: Any = self.at.call(*call)
        return made  # type: ignore[no-any-return]  # the world of self.at is blocking

    def follow(self, plan: Plan[T]) -> T:
        """Follow a plan to its end."""
        followed: Any = self.at.follow(plan)  # type: ignore[attr-defined]  # the world of self.at is blocking
        return followed  # type: ignore[no-any-return]


class Coordinator(_Operations, Naming):
    """Every operation as a blocking method. Threads may share one; so may the children of a fork.

    Made by ``coord.connect``.
    """

    call: Callable[..., Any]

    def __init__(self, runner: Runner, *, prefix: str = "coord:", ttl: Seconds | None = 3600) -> None:
        super().__init__(prefix, ttl)
        self._runner = runner
        self.calls = CallMaker(prefix, ttl)
        self.calls.remember_ms = self.remember_ms = runner.remember_ms
        self.calls.publish = self.publish = runner.publish
        # The runner's own method: nothing stands between an operation and its backend.
        self.call = runner.call
        self.kv = Kv(self)

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

    def make(self, call: Call[T]) -> T:
        """Make a call and return its result; the same as ``run``."""
        return self._runner.call(*call)

    def run(self, call: Call[T]) -> T:
        """Make a call, one of ``calls`` or of a script of your own, and return its result."""
        if not isinstance(call, Call):
            raise TypeError(f"run takes a Call, not {type(call).__name__}")
        return self._runner.call(*call)

    def run_many(self, calls: Iterable[Call[T]]) -> list[T | Exception]:
        """Make calls in one write, and return an answer or an error for each, in order."""
        return self._runner.run_many(calls)

    def claim(self, name: str, ttl: Seconds = 30, owner: str | None = None) -> Lease | None:
        """Take a name for ``ttl`` seconds, or return None at once when another owner has it.

        The same ``owner`` asking again gets its own lease back, with the same fence and at least ``ttl`` to go.
        Without an owner each call is one of its own. Interrupted or failed, it leaves nothing held.
        """
        return self.follow(claims.claiming(self, _lease, name, ttl, owner))

    def stats(self, name: str, ttl: Seconds | None = None) -> Stats:
        """Return the statistics of that name.

        ``ttl``: seconds that the counts of an id are kept after the last merge; None: the coordinator's default.
        """
        return Stats(self, name, ttl)

    def follow(self, plan: Plan[T]) -> T:
        """Follow a plan to its end; see ``coord.plan``."""
        result: Any = None
        failed: BaseException | None = None
        while True:
            try:
                step = plan.send(result) if failed is None else plan.throw(failed)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # the plan's own T
            result, failed = None, None
            try:
                match step:
                    case Call():
                        result = self._runner.call(*step)
                    case Together():
                        result = self._runner.run_many(step.calls)
                    case Pause():
                        time.sleep(step.seconds)
                    case Undo():
                        self._undo(step)
            except BaseException as error:
                failed = error

    def close(self) -> None:
        """Finish what is in flight and close all connections. May be called again."""
        self._runner.close()

    def _undo(self, step: Undo) -> None:
        try:
            self._runner.call(*step.call)
        except Exception:
            return


def _lease(*args: Any) -> Lease:
    lease = Lease(*args)
    lease.lost = threading.Event()
    return lease


# --- awaited -------------------------------------------------------------------------------------


class AsyncStats(_StatsOperations):
    """Statistics of one name: ``merge``, ``consume``, ``peek``, awaited."""

    async def make(self, call: Call[T]) -> T:
        """Make the call; await its result."""
        made: Any = self.at.call(*call)
        return await made  # type: ignore[no-any-return]  # the world of self.at is awaited


class AsyncKv(_KvOperations):
    """Numbers, flags, sets and lists, each operation one round trip, awaited."""

    delete = planned(kv.deleting)

    async def make(self, call: Call[T]) -> T:
        """Make the call; await its result."""
        made: Any = self.at.call(*call)
        return await made  # type: ignore[no-any-return]  # the world of self.at is awaited

    async def follow(self, plan: Plan[T]) -> T:
        """Follow a plan; await its end."""
        followed: Any = self.at.follow(plan)  # type: ignore[attr-defined]  # the world of self.at is awaited
        return await followed  # type: ignore[no-any-return]


class AsyncCoordinator(_Operations, Naming):
    """Every operation as a method to await. It belongs to the event loop in which it was made.

    Made by ``coord.connect_async``.
    """

    call: Callable[..., Any]

    def __init__(self, runner: AsyncRunner, *, prefix: str = "coord:", ttl: Seconds | None = 3600) -> None:
        super().__init__(prefix, ttl)
        self._runner = runner
        self._undoing: set[asyncio.Task[None]] = set()
        self.calls = CallMaker(prefix, ttl)
        self.calls.remember_ms = self.remember_ms = runner.remember_ms
        self.calls.publish = self.publish = runner.publish
        # The runner's own method: nothing stands between an operation and its backend.
        self.call = runner.call
        self.kv = AsyncKv(self)

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

    async def make(self, call: Call[T]) -> T:
        """Make a call; await its result; the same as ``run``."""
        return await self._runner.call(*call)

    async def run(self, call: Call[T]) -> T:
        """Make a call, one of ``calls`` or of a script of your own; await its result."""
        if not isinstance(call, Call):
            raise TypeError(f"run takes a Call, not {type(call).__name__}")
        return await self._runner.call(*call)

    async def run_many(self, calls: Iterable[Call[T]]) -> list[T | Exception]:
        """Make calls in one write; await an answer or an error for each, in order."""
        return await self._runner.run_many(calls)

    async def claim(self, name: str, ttl: Seconds = 30, owner: str | None = None) -> AsyncLease | None:
        """Take a name for ``ttl`` seconds, or return None at once when another owner has it.

        The same ``owner`` asking again gets its own lease back, with the same fence and at least ``ttl`` to go.
        Without an owner each call is one of its own. Cancelled or failed, it leaves nothing held.
        """
        return await self.follow(claims.claiming(self, _async_lease, name, ttl, owner))

    def stats(self, name: str, ttl: Seconds | None = None) -> AsyncStats:
        """Return the statistics of that name.

        ``ttl``: seconds that the counts of an id are kept after the last merge; None: the coordinator's default.
        """
        return AsyncStats(self, name, ttl)

    async def follow(self, plan: Plan[T]) -> T:
        """Follow a plan to its end; see ``coord.plan``."""
        result: Any = None
        failed: BaseException | None = None
        while True:
            try:
                step = plan.send(result) if failed is None else plan.throw(failed)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # the plan's own T
            result, failed = None, None
            try:
                match step:
                    case Call():
                        result = await self._runner.call(*step)
                    case Together():
                        result = await self._runner.run_many(step.calls)
                    case Pause():
                        await asyncio.sleep(step.seconds)
                    case Undo():
                        self._undo(step)
            except BaseException as error:
                failed = error

    async def aclose(self) -> None:
        """Finish what is in flight and close all connections. May be called again."""
        while self._undoing:
            await asyncio.wait(self._undoing)
        await self._runner.aclose()

    def _undo(self, step: Undo) -> None:
        async def undo() -> None:
            try:
                await asyncio.wait_for(self._runner.call(*step.call), step.seconds)
            except Exception:
                return

        task = asyncio.get_running_loop().create_task(undo())
        self._undoing.add(task)
        task.add_done_callback(self._undoing.discard)


def _async_lease(*args: Any) -> AsyncLease:
    lease = AsyncLease(*args)
    lease.lost = asyncio.Event()
    return lease
