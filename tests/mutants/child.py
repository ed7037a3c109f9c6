"""A child of this process for each mutant, with a limit of time, so that no fault outlives its own test."""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from types import FunctionType

from mutants.python import Place, changed, code_named

__all__ = ["Verdict", "in_child", "plant"]

_PATIENCE = 5
"""How many times as long as its CPU time a mutant may take: the machine may be busy, and a thread may wait for ever."""

Verdict = tuple[str, str]
"""How a mutant ended ("killed", "survived", "invalid"), and by what."""


class _Endless(BaseException):
    """The time is over; no handler of the code under test may take this for its own."""


def in_child(run: Callable[[], Verdict], seconds: float) -> Verdict:
    """Run in a child, and return what it returned. One that takes more CPU time is killed, and so is the mutant."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if not pid:
        _be_the_child(run, reader, writer, seconds)
    os.close(writer)
    try:
        # The child ends by itself; this is for one that stands in C.
        ready, _, _ = select.select([reader], [], [], 2 * _PATIENCE * seconds + 5)
        data = os.read(reader, 1 << 16) if ready else b""
    finally:
        os.close(reader)
        if not ready:
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if not ready:
        return "killed", "endless"
    if not data:
        return "killed", "the process ended"
    verdict, by = json.loads(data)
    return verdict, by


def _be_the_child(run: Callable[[], Verdict], reader: int, writer: int, seconds: float) -> None:
    code = 1
    try:
        os.close(reader)
        for timer, number, limit in (
            (signal.ITIMER_PROF, signal.SIGPROF, seconds),
            (signal.ITIMER_REAL, signal.SIGALRM, _PATIENCE * seconds),
        ):
            signal.signal(number, _ended)
            signal.setitimer(timer, limit)
        started = time.process_time()
        try:
            verdict = run()
        except _Endless:
            verdict = "killed", f"endless ({time.process_time() - started:.0f} s of CPU)"
        except MemoryError:
            verdict = "killed", "MemoryError"
        for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
            signal.setitimer(timer, 0)
        os.write(writer, json.dumps(verdict).encode()[: 1 << 16])
        code = 0
    finally:
        os._exit(code)


def _ended(*_: object) -> None:
    raise _Endless


def plant(place: Place) -> bool:
    """Put a fault into the functions of this process; False when Python takes it for no other code."""
    compiled = code_named(compile(changed(place), place.file, "exec", dont_inherit=True), place.function)
    if compiled is None:
        return False
    live = [
        each
        for each in gc.get_objects()
        if type(each) is FunctionType  # objects of others may say anything of their class
        and each.__code__.co_name == compiled.co_name
        and each.__code__.co_qualname == compiled.co_qualname
        and each.__code__.co_filename == place.file
    ]
    if not live:
        return False
    is_new = False
    for function in live:
        if function.__code__.co_freevars != compiled.co_freevars:
            return False
        is_new = is_new or function.__code__ != compiled
        function.__code__ = compiled
    return is_new
