"""APScheduler on every instance, of which one runs the jobs.

    run_scheduler(coordinator, lambda scheduler: scheduler.add_job(report, "cron", hour=4))

The jobs are added anew by each leader, so a memory job store does: who leads schedules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler  # type: ignore[import-untyped]  # it has no types

import coord

__all__ = ["run_scheduler"]


def run_scheduler(
    coordinator: coord.Coordinator, add_jobs: Callable[[Any], object], name: str = "scheduler", ttl: float = 15
) -> None:
    """Run a scheduler whenever this instance leads, until the coordinator is closed."""

    def lead(lease: coord.Lease) -> None:
        scheduler = BackgroundScheduler()
        add_jobs(scheduler)
        scheduler.start()
        try:
            lease.lost.wait()
        finally:
            # Jobs that run are waited for: another leader begins no earlier than the lease allows.
            scheduler.shutdown(wait=True)

    try:
        coordinator.leader(name, ttl=ttl).run(lead)
    except coord.Closed:
        return
