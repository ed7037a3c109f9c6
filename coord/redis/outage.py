"""One warning when calls to a server begin to be repeated, and one when that is over."""

from __future__ import annotations

import logging

from coord.clock import Clock

__all__ = ["Outage"]

_QUIET_SECONDS = 10.0
"""A server whose connections keep breaking is reported once in so many seconds."""

_log = logging.getLogger("coord")


class Outage:
    """Whether calls to one server are being repeated. ``on`` is read before each call."""

    __slots__ = ("_calls", "_clock", "_quiet_until", "_since", "_told", "on")

    def __init__(self, clock: Clock) -> None:
        self.on = False
        self._clock = clock
        self._calls = 0
        self._since = 0.0
        self._told = False
        self._quiet_until = clock.monotonic()

    def begin(self, where: str, calls: int, why: object) -> None:
        """Note that so many more calls are repeated. Calls that were counted at another server begin no outage here."""
        if not self.on:
            if not calls:
                return
            self.on, self._calls, self._since = True, 0, self._clock.monotonic()
            self._told = self._since >= self._quiet_until
            if self._told:
                self._quiet_until = self._since + _QUIET_SECONDS
                _log.warning("coord repeats calls to %s: %s", where, why)
        self._calls += calls

    def end(self, where: str) -> None:
        """Note that the server answered."""
        if not self.on:
            return
        self.on = False
        if self._told:
            seconds = self._clock.monotonic() - self._since
            _log.warning("coord no longer repeats calls to %s: %d calls, %.1f s", where, self._calls, seconds)
