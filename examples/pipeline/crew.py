"""Producers and workers as threads, or as processes that share one environment through a manager process."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from multiprocessing.managers import BaseManager
from typing import Any

import coord
from examples.pipeline import coordinated, naive
from examples.pipeline.environment import Environment, Snapshot
from examples.pipeline.load import KEEP, PRODUCERS, STALL, Load, Update

_LOOK = 0.1
_ENDING = 5.0


class Killed(BaseException):
    """The simulated death of a worker thread. No ``except Exception`` catches it."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: the load, where the state is kept, and with which pipeline."""

    load: Load
    url: str
    prefix: str
    with_coord: bool
    in_processes: bool


class _Manager(BaseManager):
    Environment: Callable[[Load], Environment]


_Manager.register("Environment", Environment)


def run(how: Run, show: Callable[..., None]) -> Snapshot:
    """Run a pipeline to its end and return what came of it. ``show`` is called about ten times a second."""
    with contextlib.ExitStack() as stack:
        if how.with_coord:
            with coord.connect(how.url, prefix=how.prefix, ttl=KEEP) as c:
                coordinated.prepare(c, how.load)
        env = stack.enter_context(_environment(how))
        members = [_start(stack, how, env, f"producer-{number}") for number in range(1, PRODUCERS + 1)]
        members += [_start(stack, how, env, f"worker-{number}") for number in range(1, how.load.workers + 1)]
        return _watch(env, members, show)


def _watch(env: Environment, members: list[Any], show: Callable[..., None]) -> Snapshot:
    """Show the run until every thread or process has ended."""
    began = time.monotonic()
    while True:
        time.sleep(_LOOK)
        ended = [member.name for member in members if not member.is_alive()]
        now = env.snapshot()
        show(now, time.monotonic() - began, last=len(ended) == len(members))
        for message in now.failures:
            raise coord.CoordError(message)
        for name in ended:
            # Only workers are killed: no other producer has a producer's updates.
            if now.states.get(name) not in ("done", "killed"):
                raise coord.CoordError(f"{name} ended before its work was done")
        if len(ended) == len(members):
            if now.settled < now.truth["enqueued"]:
                raise coord.CoordError("all workers have ended and left updates behind")
            return now


@contextlib.contextmanager
def _environment(how: Run) -> Generator[Environment]:
    if not how.in_processes:
        yield Environment(how.load)
        return
    with _Manager(ctx=multiprocessing.get_context("spawn")) as manager:
        yield manager.Environment(how.load)


def _start(stack: contextlib.ExitStack, how: Run, env: Environment, name: str) -> Any:
    """Start a producer or a worker, which ends with the stack."""
    if not how.in_processes:
        thread = threading.Thread(target=_perform, args=(how, env, name), name=name, daemon=True)
        thread.start()
        return thread
    # A fresh interpreter shares no connection and no lock with this one. It ignores Ctrl-C: the demo ends it.
    process = multiprocessing.get_context("spawn").Process(target=_perform, args=(how, env, name), name=name)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    process.start()
    signal.signal(signal.SIGINT, before)
    stack.callback(process.join, _ENDING)
    stack.callback(process.kill)
    return process


def _perform(how: Run, env: Environment, name: str) -> None:
    """Run one producer or worker to its end."""
    reach = partial(_reach, how, env, name)
    number = int(name.rpartition("-")[2]) - 1
    try:
        with contextlib.ExitStack() as stack:
            state: Any
            pipeline: Any
            if how.with_coord:
                pipeline = coordinated
                state = stack.enter_context(coord.connect(how.url, prefix=how.prefix, ttl=KEEP))
            else:
                pipeline = naive
                state = naive.Local()
            env.start(name)
            if name.startswith("producer"):
                counts = pipeline.produce(state, env, how.load, number)
            else:
                counts = pipeline.work(state, env, reach)
        env.finish(name, counts)
    except coord.CoordError as error:
        env.fail(str(error))
    except (Killed, EOFError, ConnectionError):
        # Killed as planned; or the run is over, or the demo itself was ended.
        return


def _reach(how: Run, env: Environment, name: str, step: str, update: Update) -> None:
    """Meet the fault that is due at this step, if any."""
    match env.fault(name, step, update):
        case "kill" if how.in_processes:
            os.kill(os.getpid(), signal.SIGKILL)
        case "kill":
            raise Killed
        case "stall":
            time.sleep(STALL)
