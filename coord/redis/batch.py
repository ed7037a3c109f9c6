"""One write: calls, before them the scripts that the server asked for, and what each reply means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coord.errors import ReplyError
from coord.redis.retry import CallState
from coord.script import Script

__all__ = ["Batch"]

_ASKING: tuple[str | int, ...] = ("ASKING",)
"""Goes before a call that a node sent to where its keys are on their way to."""


class Batch:
    """The commands of one attempt at some calls; what becomes of each is told by its place among them.

    A script that the server does not know goes just before the calls of it, so that nobody can make the server forget
    it in between: LOAD and not EVAL, since what EVAL brought may be evicted again.
    """

    def __init__(self, states: Sequence[CallState]) -> None:
        self.commands: list[tuple[str | int, ...]] = []
        self._whose: list[CallState | Script | None] = []
        self._refused: dict[Script, ReplyError] = {}
        for script in dict.fromkeys(state.script for state in states if state.needs_script):
            self._add(script, ("SCRIPT", "LOAD", script.source))
        for state in states:
            if state.asking:
                self._add(None, _ASKING)
            self._add(state, state.words)

    def _add(self, whose: CallState | Script | None, words: tuple[str | int, ...]) -> None:
        self._whose.append(whose)
        self.commands.append(words)

    def answered(self, place: int, reply: Any) -> None:
        """The server answered a command."""
        whose = self._whose[place]
        if isinstance(whose, CallState):
            if isinstance(reply, ReplyError) and reply.code == "NOSCRIPT":
                # Why it could not be loaded says more than that it is missing.
                reply = self._refused.get(whose.script, reply)
            whose.answered(reply)
        elif isinstance(whose, Script) and isinstance(reply, ReplyError):
            self._refused[whose] = reply

    def lost(self, place: int, error: BaseException) -> None:
        """A command was sent, and no answer came."""
        whose = self._whose[place]
        if isinstance(whose, CallState):
            whose.lost(error)

    def unreached(self, place: int, error: BaseException) -> None:
        """A command was not sent."""
        whose = self._whose[place]
        if isinstance(whose, CallState):
            whose.unreached(error)
