"""Celery beat on every instance, of which one schedules: ``celery beat -S examples.celery_beat:LeaderScheduler``.

The setting ``coord_url`` of the Celery app says where the coordinator is (default: ``$COORD_DSN``).
"""

from __future__ import annotations

from typing import Any

from celery.beat import Scheduler  # type: ignore[import-untyped]  # it has no types

import coord

__all__ = ["LeaderScheduler"]

_LOOK_AGAIN = 1.0
"""Seconds until an instance that does not lead asks again."""


class LeaderScheduler(Scheduler):  # type: ignore[misc]  # celery has no types
    """A scheduler whose ticks do something only while it leads.

    An instance that takes over runs each entry that is due at once, and goes on from there.
    """

    ttl = 15.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._c: coord.Coordinator | None = None
        self._term: Any = None
        self.lease: coord.Lease | None = None
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due if this instance leads; return the seconds until the next tick."""
        if not self._leads():
            return _LOOK_AGAIN
        return float(super().tick(*args, **kwargs))

    def close(self) -> None:
        """Resign, so that another instance takes over at once."""
        self._resign()
        if self._c is not None:
            self._c.close()
        super().close()

    def _leads(self) -> bool:
        if self.lease is not None and not self.lease.lost.is_set():
            return True
        self._resign()
        if self._c is None:
            self._c = coord.connect(self.app.conf.get("coord_url"))
        term = self._c.leader("celery-beat", ttl=self.ttl).hold(wait=0)
        try:
            self.lease = term.__enter__()
        except (coord.WaitTimeout, coord.Unavailable, coord.OutcomeUnknown):
            # Another one leads, or the server is away: then nobody schedules.
            return False
        self._term = term
        return True

    def _resign(self) -> None:
        term, self._term, self.lease = self._term, None, None
        if term is not None:
            try:
                term.__exit__(None, None, None)
            except coord.CoordError:
                # It was lost, or ends by its TTL.
                return
