"""Blocking calls on a server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from typing import Any, Self, TypeVar

from coord.clock import SYSTEM, Clock
from coord.errors import ReplyError
from coord.fork import ForkSafeLock
from coord.notifier import Notifier
from coord.options import Options
from coord.redis.awaited import AsyncRedis
from coord.redis.callstate import MISREAD, CallState, misread
from coord.redis.connection import Unsent
from coord.redis.dialing import LOST
from coord.redis.pool import TRUSTED_SECONDS, Pool
from coord.redis.retry import AT_ONCE, SlowPath, chunks
from coord.redis.router import Router
from coord.redis.steps import Alone, Exchange, Gather, Sleep, Step, Steps
from coord.redis.subscription import Subscription
from coord.script import Call, Script

__all__ = ["Redis"]

T = TypeVar("T")


class Driver:
    """Carries out steps by blocking the thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.alone = ForkSafeLock()

    def run(self, steps: Steps[T]) -> T:
        """Carry out the steps of a generator, and return its result."""
        failed: Exception | None = None
        while True:
            try:
                step = steps.send(None) if failed is None else steps.throw(failed)
            except StopIteration as end:
                result: T = end.value
                return result
            failed = None
            try:
                self._carry_out(step)
            except Exception as error:
                failed = error

    def _carry_out(self, step: Step) -> None:
        match step:
            case Exchange():
                step.node.exchange(step)
            case Sleep():
                self._clock.sleep(step.seconds)
            case Gather():
                for part in step.parts:
                    self.run(part)
            case Alone():
                # Taken once: a child of a fork has another lock.
                lock = self.alone.lock
                if lock.acquire(timeout=step.within):
                    try:
                        self.run(step.work())
                    finally:
                        lock.release()


class Redis:
    """Makes calls on servers, for any number of threads."""

    distributed = True
    has_slots = True

    def __init__(
        self, router: Router[Pool], options: Options, awaited: Callable[[], AsyncRedis | None] = lambda: None
    ) -> None:
        self.awaited = awaited
        """Return what makes calls on the same servers in an event loop; None: it cannot."""
        self.clock = options.clock or SYSTEM
        self.driver = Driver(self.clock)
        self._run = self.driver.run
        try:
            self._run(router.open())
        except BaseException:
            for pool in router.nodes:
                pool.close()
            raise
        self.remember_ms = int(options.remember * 1000)
        self.publish = router.publish
        self.router = router
        self._route = router.route
        self._now = self.clock.monotonic
        # Without ids a call cannot be repeated: check each idle connection before use.
        self._trusted = TRUSTED_SECONDS if options.remember else -1.0
        self._is_view = False
        self._subscription = Subscription(router)
        self._configure(options, router.timeout)

    def __repr__(self) -> str:
        return repr(self.router)

    def _configure(self, options: Options, timeout: float) -> None:
        self._options = options
        self._timeout = timeout
        self.call_seconds = timeout + options.patience
        self._slow = SlowPath(self.router, options, timeout)
        self.__dict__.pop("call", None)
        self.observe = options.observe
        if options.observe is not None:
            self.call = self._observed  # type: ignore[method-assign]  # calls without ``observe`` have no overhead

    def with_options(self, **options: Any) -> Self:
        """Return a view with other ``timeout`` or ``patience``, which shares the connections; closing it does nothing.

        ``ConfigError`` when operation ids would be forgotten while their calls are still repeated.
        """
        view = copy(self)
        view._is_view = True
        changed = self._options.replace(**options)
        view._configure(changed, changed.waiting(self._timeout))
        return view

    def call(  # noqa: C901  # the fast path is one function, for speed
        self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T]
    ) -> T:
        """Make a call and return its result."""
        if script.checks_calls:
            script.check(keys, argv)
        pool = self._route(keys)
        if pool.outage.on:
            # The slow path ends the outage.
            return self._slowly(script, keys, argv, read)
        try:
            connection = pool.free.pop()
        except IndexError:
            return self._slowly(script, keys, argv, read)
        if (self._now() - connection.idle_since > self._trusted or script.repeats == "never") and not pool.is_usable(
            connection
        ):
            pool.drop(connection)
            return self._slowly(script, keys, argv, read)
        if connection.timeout != self._timeout:
            connection.limit(self._timeout)
        own, words = keys, argv
        if script.sequence_at >= 0:
            own, words = connection.slots.assign(script, keys, argv)
        try:
            reply = connection.ask(("EVALSHA", script.sha, len(own), *own, *words))
        except Unsent:
            pool.lost(connection)
            return self._slowly(script, keys, argv, read)
        except LOST as error:
            pool.lost(connection)
            return self._slowly(script, own, words, read, lost=error)
        except BaseException:
            # Interrupted between command and reply: the next reply would be this one's.
            pool.drop(connection)
            raise
        pool.give(connection)
        if reply.__class__ is ReplyError:
            return self._slowly(script, keys, argv, read, reply=reply)
        try:
            return read(reply)
        except MISREAD as error:
            raise misread(script, error)  # noqa: B904  # it has its cause

    def _observed(
        self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T]
    ) -> T:
        """Make a call that is observed."""
        if script.checks_calls:
            script.check(keys, argv)
        return self._slowly(script, keys, argv, read)

    def _slowly(
        self,
        script: Script,
        keys: tuple[str, ...],
        argv: tuple[str | int, ...],
        read: Callable[[Any], T],
        **first: Any,
    ) -> T:
        """Continue a call whose first attempt had no plain answer."""
        state: CallState = self._run(self._slow.call(script, keys, argv, **first))
        return state.result(read)

    def run_many(self, calls: Iterable[Call[Any]], within: float | None = None, /) -> list[Any]:
        """Make calls, up to a thousand in one write, within so many seconds; a result or an error each, in order."""
        calls = list(calls)
        end = None if within is None else self._now() + within
        answers: list[Any] = []
        for some in chunks(calls, AT_ONCE):
            answers += self._run(self._slow.run_many(some, None if end is None else end - self._now()))
        return answers

    def ping(self) -> float:
        """Return the seconds of one round trip; ``Unavailable`` without an answer within ``timeout``."""
        return self._run(self._slow.ping())

    @property
    def notifier(self) -> Notifier:
        """The notifications of this server, over one subscription connection per process."""
        return self._subscription.notifier

    def close(self) -> None:
        """Finish what is in flight and close all connections. May be called again."""
        if self._is_view:
            return
        for pool in self.router.nodes:
            pool.close()
        for ending in self._subscription.close():
            ending.join()
