"""One run: clients, servers and a network between them, all of them drawn from one seed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Sequence
from random import Random
from typing import Any, Generic, ParamSpec, TypeVar

import coord
from coord.coordinator import AsyncCoordinator
from coord.errors import (
    ConfigError,
    CoordError,
    LeaseLost,
    MissingBarrier,
    MissingRequest,
    OutcomeUnknown,
    Unavailable,
    WaitTimeout,
)
from coord.script import Script
from coord.testing.sim.faults import CLIENT, FaultPlan, Faults
from coord.testing.sim.loop import START_SECONDS, SimLoop
from coord.testing.sim.network import Network
from coord.testing.sim.process import Process
from coord.testing.sim.topologies import TOPOLOGIES
from coord.testing.sim.topology import Topology

__all__ = ["Client", "Outcome", "Sim", "Step", "Violation"]

P = ParamSpec("P")
T = TypeVar("T")

_EXPECTED = (Unavailable, OutcomeUnknown, LeaseLost, WaitTimeout)
"""The only errors that an operation may raise under faults."""

_MISSING = (MissingBarrier, MissingRequest)

_CALM_SECONDS = 45.0
"""Longer than a claim that nobody holds is taken back, and than every fault lasts."""


class Violation(AssertionError):
    """An invariant does not hold."""


class Outcome(Generic[T]):
    """The outcome of an operation: ``value``, or the ``error`` of its caller; ``cancelled``: by the simulation."""

    __slots__ = ("cancelled", "error", "value")

    def __init__(self, value: T | None = None, error: CoordError | None = None, *, cancelled: bool = False) -> None:
        self.value = value
        self.error = error
        self.cancelled = cancelled

    @property
    def is_known(self) -> bool:
        """Whether it is known what happened: an answer came, or surely nothing ran."""
        return not self.cancelled and not isinstance(self.error, OutcomeUnknown)

    @property
    def is_done(self) -> bool:
        """Whether an answer came."""
        return self.error is None and not self.cancelled


class Step:
    """One step of a client's work: its ``number``, and a ``random`` that no other step has an influence on."""

    __slots__ = ("number", "random")

    def __init__(self, number: int, random: Random) -> None:
        self.number = number
        self.random = random


class Client:
    """One simulated process that has a coordinator, ``c``."""

    def __init__(self, sim: Sim, process: Process, options: dict[str, Any]) -> None:
        self.sim = sim
        self.process = process
        self.name = process.name
        self.random = sim.plan.random(f"client/{process.name}")
        self.c: AsyncCoordinator
        self.ended = False
        self._options = options
        self._attempts = 0

    def __repr__(self) -> str:
        return f"<Client {self.name}>"

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.alive

    def has_paused_since(self, moment: float) -> bool:
        """Whether the process stood still at some time after a moment of ``sim.now``."""
        return self.process.frozen_until - START_SECONDS > moment

    async def connect(self, **options: Any) -> AsyncCoordinator:
        """Return another coordinator of this process; tried again until the servers can be reached."""
        while True:
            try:
                return await coord.connect_async(self.sim.url, **{**self._options, **options})
            except (Unavailable, OutcomeUnknown):
                await asyncio.sleep(self.random.uniform(0.05, 0.5))

    def steps(self, count: int) -> Iterator[Step]:
        """Yield the steps of this client's work, less those that shrinking leaves out."""
        for number in range(count):
            place = f"step/{self.name}.{number}"
            if self.sim.takes(place):
                yield Step(number, self.sim.plan.random(place))

    async def attempt(
        self, operation: Callable[P, Awaitable[T]], *arguments: P.args, **options: P.kwargs
    ) -> Outcome[T]:
        """Make one operation, perhaps cancelled at one of its awaits, and return what came of it.

        Errors that faults explain are part of the outcome; any other passes.
        """
        self._attempts += 1
        self.sim.operations += 1
        place = f"cancel/{self.name}.{self._attempts}"
        # A copy that took over may lack the entity.
        expected = (*_EXPECTED, *_MISSING) if self.sim.topology.may_lose_writes else _EXPECTED
        draw = self.sim.plan.on_operation(place)
        if draw is None:
            return await _outcome(operation(*arguments, **options), expected)
        cancelling = CancelAt(operation(*arguments, **options), draw.choice((1, 1, 2, 2, 3, 4, 6, 9)))
        try:
            return await _outcome(cancelling, expected)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not cancelling.fired or task is None:
                raise
            task.uncancel()
            return Outcome(cancelled=True)
        finally:
            if cancelling.fired:
                self.sim.plan.fire(place, "cancel", self.sim.loop.elapsed)
                self.sim.note(self.name, "cancelled", self._attempts)

    async def surely(self, operation: Callable[P, Awaitable[T]], *arguments: P.args, **options: P.kwargs) -> T:
        """Make one operation again and again, until it is answered; return the answer.

        None when the entity was lost with what a copy lacked.
        """
        while not (got := await self.attempt(operation, *arguments, **options)).is_done:
            if isinstance(got.error, _MISSING):
                break
            await self.sleep(0.1)
        return got.value  # type: ignore[return-value]  # it is done: None is an answer only where T has it

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(seconds)


async def _outcome(operation: Awaitable[T], expected: tuple[type[CoordError], ...]) -> Outcome[T]:
    try:
        return Outcome(await operation)
    except expected as error:
        return Outcome(error=error)


class CancelAt(Generic[T]):
    """Await something, and cancel the present task at the n-th of its awaits."""

    def __init__(self, awaitable: Awaitable[T], place: int) -> None:
        self._awaitable = awaitable
        self._place = place
        self.fired = False

    def __await__(self) -> Generator[Any, Any, T]:
        generator = self._awaitable.__await__()
        waits = 0
        try:
            yielded = next(generator)
            while True:
                waits += 1
                if waits == self._place:
                    self.fired = True
                    task = asyncio.current_task()
                    assert task is not None
                    task.cancel()
                try:
                    sent = yield yielded
                except BaseException as error:
                    yielded = generator.throw(error)
                else:
                    yielded = generator.send(sent)
        except StopIteration as end:
            if self.fired:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    # It had its answer when it was cancelled, and its caller goes on.
                    task.uncancel()
            result: T = end.value
            return result


class Sim:
    """A simulated world. A workload starts clients in it, and checks their results.

    ``url`` is what clients connect to. ``random`` draws for the workload, and is the same in every run of the seed.
    """

    def __init__(
        self,
        seed: int,
        *,
        faults: Faults,
        topology: str = "standalone",
        only: frozenset[str] | None = None,
        skipped: frozenset[str] = frozenset(),
        scripts: Sequence[Script] = (),
        traced: bool = False,
    ) -> None:
        self.seed = seed
        self.loop = SimLoop(seed)  # type: ignore[abstract]  # what is left out raises NotImplementedError
        self.plan = FaultPlan(seed, faults, only)
        self.random = self.plan.random("workload")
        self.trace: list[tuple[Any, ...]] = []
        self.operations = 0
        self.clients: list[Client] = []
        self.violations: list[str] = []
        self.used_steps: list[str] = []
        self._happened: set[str] = set()
        self.skipped = skipped
        self._traced = traced
        self.network = Network(self.loop, self.plan, self.note)
        self.loop.network = self.network
        self.topology: Topology = TOPOLOGIES[topology](self.loop, self.network, self.plan, self.note, scripts)
        self.url = self.topology.url
        self._schedule()

    # --- what a workload uses --------------------------------------------------------------------

    def check(self, condition: object, message: str) -> None:
        """Note a violation unless the condition holds."""
        if not condition:
            self.violations.append(f"at {self.loop.elapsed:.6f} s: {message}")
            raise Violation(message)

    @property
    def now(self) -> float:
        """The virtual seconds since the run began."""
        return self.loop.elapsed

    async def run(
        self,
        work: Callable[[Client], Coroutine[Any, Any, None]],
        clients: int = 1,
        *,
        within: float = 600.0,
        **options: Any,
    ) -> None:
        """Run the same work in several processes, each with a coordinator, until all have ended or died.

        ``options`` are those of ``coord.connect_async``. A process that has not ended after ``within`` virtual
        seconds, or that ends with an error that no fault explains, is a violation.
        """
        started = [self._start(work, options) for _ in range(clients)]
        await self._ended(started, within)

    async def prepare(self, work: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
        """Run something in a process that meets no faults, before others do."""
        self.plan.calm = True
        try:
            await self.run(work)
        finally:
            self.plan.calm = False

    async def look(self, work: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
        """Let all faults end, and run something in a new process that meets none: to see what is left."""
        self.plan.calm = True
        await asyncio.sleep(_CALM_SECONDS)
        await self.run(work)

    def calm_after(self, seconds: float) -> None:
        """Let all faults end after so many virtual seconds from now."""
        self.loop.call_later(seconds, setattr, self.plan, "calm", True)

    @property
    def leases_may_end_early(self) -> bool:
        """Whether a server's clock went forward, or a copy took over: then leases may end early, as documented."""
        return "clock_forward" in self._happened or self.topology.lost_writes

    @property
    def backward_steps(self) -> bool:
        """Whether keys met a clock that went back, or moved to a node of a cluster whose clock is behind."""
        return "clock_back" in self._happened or {"clock_forward", "move_slots"} <= self._happened

    @property
    def deaths(self) -> int:
        """How many clients have died."""
        return sum(not client.alive for client in self.clients)

    def _start(self, work: Callable[[Client], Coroutine[Any, Any, None]], options: dict[str, Any]) -> _Started:
        process = self.loop.process(f"client-{len(self.clients) + 1}")
        client = Client(self, process, options)
        self.clients.append(client)
        task = process.context.run(self.loop.create_task, self._work(client, work))
        return client, task

    async def _work(self, client: Client, work: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
        client.c = await client.connect()
        try:
            await work(client)
        finally:
            client.ended = True
            await client.c.aclose()

    async def _ended(self, started: list[_Started], within: float) -> None:
        end = self.loop.now + within
        while True:
            waiting = [(client, task) for client, task in started if client.alive and not task.done()]
            if not waiting:
                break
            if self.loop.now >= end:
                client, task = waiting[0]
                self.check(condition=False, message=f"{client.name} did not end within {within} s: {_where(task)}")
            await asyncio.wait([task for _, task in waiting], timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
        for client, task in started:
            if client.alive and not task.cancelled() and (error := task.exception()) is not None:
                if not isinstance(error, Violation):
                    self.note(client.name, "raised", repr(error))
                raise error

    def note(self, *what: Any) -> None:
        """Put something into the trace."""
        if self._traced:
            self.trace.append((round(self.loop.elapsed, 9), *what))

    # --- what happens by itself ------------------------------------------------------------------

    def takes(self, place: str) -> bool:
        """Whether a step is taken, and not left out by shrinking."""
        self.used_steps.append(place)
        return place not in self.skipped

    def _schedule(self) -> None:
        """Draw the events of this run, and let each happen at its time."""
        for when, place, kind, draw in self.plan.events((*self.topology.kinds, *(k for k in CLIENT if k != "cancel"))):
            self.loop.call_later(when, self._happen, place, kind, draw)

    def _happen(self, place: str, kind: str, draw: Random) -> None:
        if self.plan.calm:
            return
        if kind in CLIENT:
            alive = [client for client in self.clients if client.alive and not client.ended]
            if not alive or (kind == "client_dies" and len(alive) < 2):
                return
            client = draw.choice(alive)
            self.note(client.name, kind)
            if kind == "client_pause":
                self.loop.freeze(client.process, draw.choice((0.1, 1.0, 3.0, 8.0)) * draw.uniform(0.5, 1.5))
            else:
                self.loop.kill(client.process)
                self.network.drop_process(client.process)
        else:
            self._happened.add(kind)
            self.topology.happen(kind, draw)
        self.plan.fire(place, kind, self.loop.elapsed)

    # --- the run ---------------------------------------------------------------------------------

    def play(self, workload: Callable[[Sim], Coroutine[Any, Any, None]]) -> None:
        """Run a workload to its end; raises what it found."""
        with self._logged():
            try:
                self.loop.run_until_complete(workload(self))
                # Background work gets time to end, and must end.
                self.loop.settle(60.0)
                self._judge()
            finally:
                self.loop.close()

    def _judge(self) -> None:
        """Check what holds for every workload."""
        if self.violations:
            raise Violation(self.violations[0])
        for process, context in self.loop.errors:
            if process is None or process.alive:
                error = context.get("exception")
                if isinstance(error, ConfigError):
                    raise error
                raise Violation(f"the event loop reported: {context.get('message')}: {error!r}")
        self._nothing_left()
        self._all_expire()

    def _nothing_left(self) -> None:
        """No task of a client that closed its coordinator goes on."""
        for task in self.loop.tasks:
            process = _process_of(task)
            if not task.done() and process is not None and process.alive and process.name.startswith("client"):
                raise Violation(f"a task of {process.name} goes on after aclose(): {_where(task)}")

    def _all_expire(self) -> None:
        """No key of a run is permanent."""
        for server in self.topology.servers:
            permanent = [key for key, (_, _, left_ms) in server.space.dump().items() if left_ms < 0]
            if permanent:
                raise Violation(f"keys without a TTL: {', '.join(permanent)}")

    @contextlib.contextmanager
    def _logged(self) -> Generator[None]:
        log = logging.getLogger("coord")
        handler = _Errors(self)
        propagate, log.propagate = log.propagate, False
        log.addHandler(handler)
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.propagate = propagate


_Started = tuple[Client, "asyncio.Task[None]"]


class _Errors(logging.Handler):
    """An error that coord logs is one that it did not expect."""

    def __init__(self, sim: Sim) -> None:
        super().__init__(logging.ERROR)
        self._sim = sim

    def emit(self, record: logging.LogRecord) -> None:
        """Note it."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, Violation):
            self._sim.violations.append(f"coord logged an error: {record.getMessage()}: {error!r}")


def _process_of(task: asyncio.Task[Any]) -> Process | None:
    from coord.testing.sim.process import current  # noqa: PLC0415  # the name is too general for this module

    get_context = getattr(task, "get_context", None)
    return get_context().get(current) if get_context is not None else None


def _where(task: asyncio.Task[Any]) -> str:
    """The line at which a task waits, the innermost that is not asyncio's."""
    lines: list[str] = []
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame: types.FrameType | None = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            lines.append(f"{frame.f_code.co_name} (line {frame.f_lineno})")
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return " > ".join(lines)
