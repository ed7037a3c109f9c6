"""The worker processes of a row."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from typing import Any

from torture.worker import Orders, Progress, work

__all__ = ["CONTEXT", "Crew"]

CONTEXT = multiprocessing.get_context("forkserver")
"""Workers are forks of a small process that has imported coord and has nothing open."""


class Crew:
    """Workers that are started together, and again after they were killed."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self.progress = Progress(orders.place, orders.workers)
        self._generations = [0] * orders.workers
        self._processes: list[Any] = [self._start(number) for number in range(orders.workers)]

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self._processes)

    @property
    def killed(self) -> int:
        """How many were killed."""
        return sum(self._generations)

    def _start(self, number: int) -> Any:
        process = CONTEXT.Process(target=work, args=(self.orders, number, self._generations[number]), daemon=True)
        process.start()
        return process

    def kill(self, number: int) -> None:
        """End a worker as a crash does, and start another in its place."""
        self._processes[number].kill()
        self._processes[number].join()
        self._generations[number] += 1
        self._processes[number] = self._start(number)

    def signal(self, number: int, what: int) -> None:
        """Send a worker SIGSTOP or SIGCONT."""
        os.kill(self._processes[number].pid, what)

    def are_alive(self) -> bool:
        """Whether all of them run."""
        return all(process.is_alive() for process in self._processes)

    def stop(self, seconds: float) -> list[str]:
        """Tell them to stop, and return what is wrong with those that did not end well within ``seconds``."""
        (self.orders.place / "stop").touch()
        end, wrong = time.monotonic() + seconds, list[str]()
        for number, process in enumerate(self._processes):
            self.signal(number, signal.SIGCONT) if process.is_alive() else None
            process.join(max(0.0, end - time.monotonic()))
            if process.is_alive():
                wrong.append(f"worker {number} did not end within {seconds} s")
            elif process.exitcode:
                wrong.append(f"worker {number} ended with {process.exitcode}")
        self.end()
        return wrong

    def end(self) -> None:
        """Kill those that still run."""
        for process in self._processes:
            if process.is_alive():
                process.kill()
                process.join()
