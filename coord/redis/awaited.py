"""Calls on a server from asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from copy import copy
from typing import Any, Self, TypeVar

from coord.clock import SYSTEM, Clock
from coord.errors import ReplyError
from coord.loops import check_loop
from coord.notifier import Notifier
from coord.options import Options
from coord.redis.asyncconnection import Unsent
from coord.redis.callstate import MISREAD, CallState, misread
from coord.redis.dialing import LOST
from coord.redis.node import Node
from coord.redis.retry import AT_ONCE, SlowPath, chunks
from coord.redis.room import Room
from coord.redis.router import Router
from coord.redis.steps import Alone, Exchange, Gather, Sleep, Step, Steps
from coord.redis.subscription import Subscription
from coord.script import Call, Script

__all__ = ["AsyncRedis", "open_runner"]

T = TypeVar("T")


class Driver:
    """Carries out steps by awaiting."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._alone: asyncio.Task[None] | None = None

    async def run(self, steps: Steps[T]) -> T:
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
                await self._carry_out(step)
            except Exception as error:
                failed = error

    async def _carry_out(self, step: Step) -> None:
        match step:
            case Exchange():
                await step.node.exchange(step)
            case Sleep():
                await self._clock.sleep_async(step.seconds)
            case Gather():
                await asyncio.gather(*(self.run(part) for part in step.parts))
            case Alone():
                task = self._alone
                if task is None:
                    task = self._alone = asyncio.get_running_loop().create_task(self.run(step.work()))
                    task.add_done_callback(self._alone_ended)
                # Waited for, not awaited: the cancellation of one caller must not cancel it for the others.
                await asyncio.wait([task], timeout=step.within)
                if task.done():
                    task.result()

    def _alone_ended(self, _task: asyncio.Task[None]) -> None:
        self._alone = None

    async def close(self) -> None:
        """Wait for the end of the work that callers share."""
        if self._alone is not None:
            await asyncio.wait([self._alone])


async def open_runner(router: Router[Node], options: Options) -> AsyncRedis:
    """Connect to the servers of a router, check them, and return what makes calls there."""
    runner = AsyncRedis(router, options)
    try:
        await runner.open()
    except BaseException:
        await runner.aclose()
        raise
    return runner


class AsyncRedis:
    """Makes calls on servers, over one connection to each, which all tasks of the loop share."""

    distributed = True
    has_slots = True

    def __init__(self, router: Router[Node], options: Options) -> None:
        self.remember_ms = int(options.remember * 1000)
        self.publish = router.publish
        self.router = router
        self._route = router.route
        self.clock = options.clock or SYSTEM
        self.driver = Driver(self.clock)
        self._run = self.driver.run
        self._now = self.clock.monotonic
        self._loop = asyncio.get_running_loop()
        self.room = Room(options.in_flight, self._loop)
        self._is_view = False
        self._subscription = Subscription(router)
        self._configure(options, router.timeout)

    async def open(self) -> None:
        """Connect to the servers and check them."""
        await self._run(self.router.open())
        self.publish = self.router.publish

    def __repr__(self) -> str:
        return repr(self.router)

    def _configure(self, options: Options, timeout: float) -> None:
        self._options = options
        self._timeout = timeout
        self.call_seconds = timeout + options.patience
        self._slow = SlowPath(self.router, options, timeout)
        self.__dict__.pop("call", None)
        self.observe = options.observe
        if options.observe is not None or timeout != self.router.timeout:
            self.call = self._limited  # type: ignore[method-assign]  # calls without these options have no overhead

    def with_options(self, **options: Any) -> Self:
        """Return a view with other ``timeout`` or ``patience``, which shares the connection; closing it does nothing.

        ``ConfigError`` when operation ids would be forgotten while their calls are still repeated.
        """
        view = copy(self)
        view._is_view = True
        changed = self._options.replace(**options)
        view._configure(changed, changed.waiting(self._timeout))
        return view

    async def call(  # noqa: C901, PLR0912  # the fast path is one function, for speed
        self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T]
    ) -> T:
        """Make a call and return its result."""
        if script.checks_calls:
            script.check(keys, argv)
        if asyncio.get_running_loop() is not self._loop:
            # Before anything of that loop is touched.
            self.check_loop()
        room = self.room
        if room.taken >= room.most:
            await room.enter()
        else:
            room.taken += 1
        try:
            node = self._route(keys)
            connection = node.connection
            if connection is None or connection.closed or node.outage.on:
                return await self._slowly(script, keys, argv, read)
            own, words = keys, argv
            if script.sequence_at >= 0:
                own, words = connection.slots.assign(script, keys, argv, connection.in_flight)
            try:
                reply = await connection.ask(("EVALSHA", script.sha, len(own), *own, *words))
            except Unsent:
                return await self._slowly(script, keys, argv, read)
            except LOST as error:
                return await self._slowly(script, own, words, read, lost=error)
            if reply.__class__ is ReplyError:
                return await self._slowly(script, keys, argv, read, reply=reply)
            try:
                return read(reply)
            except MISREAD as error:
                raise misread(script, error)  # noqa: B904  # it has its cause
        finally:
            if room.queue:
                room.leave()
            else:
                room.taken -= 1

    async def _slowly(
        self,
        script: Script,
        keys: tuple[str, ...],
        argv: tuple[str | int, ...],
        read: Callable[[Any], T],
        **first: Any,
    ) -> T:
        """Continue a call whose first attempt had no plain answer."""
        state: CallState = await self._run(self._slow.call(script, keys, argv, **first))
        return state.result(read)

    async def _limited(
        self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T]
    ) -> T:
        """Make a call that is observed, or whose ``timeout`` differs from the connection's."""
        if script.checks_calls:
            script.check(keys, argv)
        self.check_loop()
        await self.room.enter()
        try:
            return await self._slowly(script, keys, argv, read)
        finally:
            self.room.leave()

    async def run_many(self, calls: Iterable[Call[Any]], within: float | None = None, /) -> list[Any]:
        """Make calls, up to a thousand in one write, within so many seconds; a result or an error each, in order."""
        self.check_loop()
        calls = list(calls)
        end = None if within is None else self._now() + within
        answers: list[Any] = []
        for some in chunks(calls, min(AT_ONCE, self.room.most)):
            try:
                async with asyncio.timeout(None if end is None else max(0.0, end - self._now())):
                    await self.room.enter(len(some))
            except TimeoutError:
                answers += await self._run(self._slow.run_many(some, 0.0))
                continue
            try:
                answers += await self._run(self._slow.run_many(some, None if end is None else end - self._now()))
            finally:
                self.room.leave(len(some))
        return answers

    async def ping(self) -> float:
        """Return the seconds of one round trip; ``Unavailable`` without an answer within ``timeout``."""
        self.check_loop()
        return await self._run(self._slow.ping())

    @property
    def notifier(self) -> Notifier:
        """The notifications of this server, over one subscription connection per event loop."""
        return self._subscription.notifier

    def check_loop(self) -> None:
        """Raise ``ConfigError`` in another event loop than that of the connections."""
        check_loop(self._loop)

    async def aclose(self) -> None:
        """Finish what is in flight and close the connection. May be called again."""
        self.check_loop()
        if self._is_view:
            return
        for closing in self._subscription.close():
            await closing.joined()
        await self.driver.close()
        for node in self.router.nodes:
            await node.close()
