"""Every case there is, in the order in which they run."""

from __future__ import annotations

from benchmarks.bench import Case
from benchmarks.cases import awaited, blocking, catalogue, executions, growth, handover, memory, semaphores, server

CASES: tuple[Case, ...] = (
    *memory.CASES,
    *blocking.CASES,
    *awaited.CASES,
    *executions.CASES,
    *handover.CASES,
    *semaphores.CASES,
    *catalogue.CASES,
    *server.CASES,
    *growth.CASES,
)
