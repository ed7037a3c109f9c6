"""What strikes a worker while it works."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NoReturn

from coord.cli.demo.load import STALL, Blow, Update

if TYPE_CHECKING:
    from collections.abc import Callable

    from coord.cli.demo.world import Roster

__all__ = ["Fate", "Killed"]


class Killed(BaseException):
    """The simulated death of a worker that is a thread. No ``except Exception`` outlives it."""


class Fate:
    """The fate of one worker, who meets it by its own steps, so that both runs are struck at the same places.

    ``die`` ends the worker on the spot and does not return.
    """

    def __init__(self, name: str, blow: Blow | None, roster: Roster, die: Callable[[], NoReturn]) -> None:
        self._name = name
        self._blow = blow
        self._roster = roster
        self._die = die
        self._passed = 0

    def reach(self, step: str, update: Update) -> None:
        """Say that the worker has come to this step with this update; it may end here."""
        if self._blow is None or not self._blow.is_for(update, step):
            return
        self._passed += 1
        if self._passed != self._blow.nth:
            return
        if self._blow.kind == "killed":
            self._die()
        self._stall()

    def _stall(self) -> None:
        self._roster.struck(self._name, "stalled")
        time.sleep(STALL)
        self._roster.recovered(self._name)
