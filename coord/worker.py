"""One thread that follows many plans in the background of a blocking coordinator.

Calls that fall due together travel in one write, and none of them may take longer than until another plan would suffer:
a server that does not answer does not keep the others from learning in time that their leases are lost.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Iterable
from itertools import count
from time import monotonic
from typing import Any, Protocol

from coord.notifier import Notifier
from coord.plan import (
    Batch,
    Compensate,
    Event,
    Invoke,
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
from coord.script import Call

__all__ = ["GRACE", "Background", "Worker"]

_LINGER = 0.25
"""Seconds that the thread stays when it has nothing to do."""

_SHORTEST = 0.02
"""Seconds that a call is given however soon another plan has to go on."""

_LONGEST = 10.0

_FEW = 64
"""Entries of a timetable that are not worth tidying up."""

GRACE = 2.0
"""Seconds that closing gives to what undoes something."""


class Background(Protocol):
    """What a worker needs of its backend."""

    def run_many(self, calls: Iterable[Call[Any]], within: float | None = None, /) -> list[Any]:
        """Make calls in one write, within so many seconds; an answer or an error each."""
        ...

    @property
    def notifier(self) -> Notifier:
        """Where its notices arrive."""
        ...


class _Job:
    """One plan that a worker follows."""

    __slots__ = ("cancelled", "compensates", "plan", "resting", "ticket", "worker")

    def __init__(self, worker: Worker, plan: Plan[None]) -> None:
        self.worker = worker
        self.plan = plan
        self.compensates = getattr(plan, "gi_code", None) is compensating.__code__
        self.cancelled = False
        self.resting: _JobEvent | None = None
        self.ticket = 0

    def cancel(self) -> None:
        """Stop following the plan; its ``finally`` runs."""
        self.cancelled = True
        self.worker._wake(self, None)


class _Timetable:
    """Jobs by the time at which something is due for them, the next first; those that went on before it are stale."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int, _Job]] = []
        self._numbers = count()
        self._tidy_at = _FEW

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, due: float, job: _Job) -> None:
        """Enter a job; what is stale is thrown out whenever it may be more than half."""
        if len(self._heap) >= self._tidy_at:
            self._heap = [entry for entry in self._heap if entry[2] == entry[3].ticket]
            heapq.heapify(self._heap)
            self._tidy_at = max(_FEW, 2 * len(self._heap))
        heapq.heappush(self._heap, (due, next(self._numbers), job.ticket, job))

    def next_due(self) -> float | None:
        """When something is due for the next job; None: for none."""
        while self._heap and self._heap[0][2] != self._heap[0][3].ticket:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take_due(self, now: float) -> Iterable[_Job]:
        """Take the jobs out whose time has come."""
        while (due := self.next_due()) is not None and due <= now:
            yield heapq.heappop(self._heap)[3]


class _JobEvent(Event):
    __slots__ = ("_job", "rung", "waiter")

    def __init__(self, job: _Job) -> None:
        self._job = job
        self.rung = False

    def set(self) -> bool:
        """Wake the plan, or let it pass its next rest."""
        worker = self._job.worker
        with worker._changed:
            self.rung = True
            if self._job.resting is self:
                worker._wake(self._job, True)
        return True


class Worker:
    """Follows plans, each step as soon as it can be taken, until they end or are cancelled."""

    def __init__(self, backend: Background, name: str) -> None:
        self._backend = backend
        self._name = name
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._jobs: set[_Job] = set()
        self._ready: deque[tuple[_Job, Any]] = deque()
        self._parked = _Timetable()
        self._limits = _Timetable()
        self._calls: list[tuple[_Job, Call[Any], float | None]] = []
        self._closed = False
        self._end_at = 0.0

    def start(self, plan: Plan[None]) -> _Job:
        """Follow a plan from now on. When no thread can be started for it, nothing is left of it."""
        job = _Job(self, plan)
        with self._changed:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                thread.start()
                self._thread = thread
            self._jobs.add(job)
            self._ready.append((job, None))
            self._changed.notify()
        return job

    def close(self) -> None:
        """Cancel what is left, but what undoes something, and end the thread. May be called again."""
        with self._changed:
            if not self._closed:
                self._closed = True
                self._end_at = monotonic() + GRACE
            thread = self._thread
            self._changed.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    # --- on the thread ---------------------------------------------------------------------------

    def _work(self) -> None:
        while self._await_work():
            while self._ready:
                self._go_on(*self._ready.popleft())
            if self._calls:
                self._make_calls()

    def _await_work(self) -> bool:
        """Wait until a plan can go on; False when the thread is to end."""
        with self._changed:
            if self._thread is not threading.current_thread():
                # Who started it was interrupted before he knew.
                return False
            idle_since = monotonic()
            while True:
                now = monotonic()
                if self._closed:
                    self._cancel_all(but_undoing=now < self._end_at)
                for job in self._parked.take_due(now):
                    self._wake(job, False)
                if self._ready:
                    return True
                if not self._jobs and (self._closed or now - idle_since >= _LINGER):
                    self._thread = None
                    return False
                due = self._parked.next_due()
                left = None if due is None else due - now
                self._changed.wait(left if self._jobs else _LINGER)

    def _cancel_all(self, *, but_undoing: bool) -> None:
        for job in self._jobs:
            if not job.cancelled and not (job.compensates and but_undoing):
                job.cancel()

    def _wake(self, job: _Job, result: Any) -> None:
        with self._changed:
            job.ticket += 1
            job.resting = None
            self._ready.append((job, result))
            self._changed.notify()

    def _go_on(self, job: _Job, result: Any) -> None:
        """Follow a plan as far as it goes now; one that fails does not end the others."""
        try:
            self._advance(job, result)
        except StopIteration:
            self._end(job)
        except Exception:
            report(job.plan)
            self._end(job)

    def _advance(self, job: _Job, result: Any) -> None:
        """Take the steps of a plan until one of them has to wait."""
        if job not in self._jobs:
            return
        if job.cancelled:
            self._end(job)
            return
        while True:
            step = job.plan.throw(result) if isinstance(result, BaseException) else job.plan.send(result)
            result = None
            match step:
                case Call():
                    self._calls.append((job, step, None))
                    return
                case WithTimeout():
                    self._calls.append((job, step.call, step.seconds))
                    return
                case Sleep():
                    self._park(job, step.seconds, step.late)
                    return
                case Wait():
                    if not self._rest(job, step):
                        return
                    result = True
                case _:
                    result = self._take(job, step)

    def _take(self, job: _Job, step: Batch | Subscribe | Invoke | Run | Spawn | Compensate) -> Any:
        """Take a step that waits for nothing but its own work."""
        try:
            match step:
                case Batch():
                    limit = self._until_limit()
                    within = limit if step.seconds is None else min(limit, step.seconds)
                    return self._backend.run_many(step.calls, within)
                case Subscribe():
                    event = _JobEvent(job)
                    event.waiter = self._backend.notifier.subscribe(
                        step.channel, event.set, in_turn=step.in_turn, group=step.group
                    )
                    return event
                case Invoke() | Run():
                    return step.run()
                case Spawn():
                    return self.start(step.plan)
                case Compensate():
                    return self.start(compensating(step))
        except Exception as error:
            return error

    def _park(self, job: _Job, seconds: float, late: float | None = None) -> None:
        with self._changed:
            due = monotonic() + seconds
            self._parked.add(due, job)
            if late is not None:
                self._limits.add(due + late, job)

    def _rest(self, job: _Job, step: Wait) -> bool:
        """Let a plan rest at its bell; True when it has rung already."""
        event = step.event
        assert isinstance(event, _JobEvent)
        with self._changed:
            rung, event.rung = event.rung, False
            if not rung:
                job.resting = event
                if step.seconds is not None:
                    self._park(job, step.seconds)
            return rung

    def _make_calls(self) -> None:
        calls, self._calls = self._calls, []
        limits = [seconds for _, _, seconds in calls if seconds is not None]
        within = min([*limits, self._until_limit()])
        try:
            answers = self._backend.run_many([call for _, call, _ in calls], within)
        except Exception as error:
            answers = [error] * len(calls)
        for (job, _, _), answer in zip(calls, answers, strict=True):
            self._ready.append((job, answer))

    def _until_limit(self) -> float:
        """Seconds until a plan that pauses would suffer from having to wait longer."""
        with self._changed:
            limit = self._limits.next_due()
        left = _LONGEST if limit is None else limit - monotonic()
        return min(max(left, _SHORTEST), _LONGEST)

    def _end(self, job: _Job) -> None:
        with self._changed:
            self._jobs.discard(job)
        job.plan.close()
