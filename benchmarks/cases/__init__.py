"""Every case there is, in the order in which they run."""

from __future__ import annotations

from benchmarks.bench import Case
from benchmarks.cases import awaited, blocking, growth, handover, memory, semaphores, server

CASES: tuple[Case, ...] = (
    *memory.CASES,
    *blocking.CASES,
    *awaited.CASES,
    *handover.CASES,
    *semaphores.CASES,
    *server.CASES,
    *growth.CASES,
)
